"""Helpers of PyTorchVideo's modules that programs reach by their dotted path, over ours.

Their names are the original's; nothing in vitascope uses them.
"""

from __future__ import annotations

import importlib.util
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from vitascope.errors import ConfigError, UnknownChoiceError
from vitascope.layers.attention_pool import TokenPool
from vitascope.layers.mobile_cpu.base import EfficientBlockBase
from vitascope.layers.mobile_cpu.lowered import FramewiseConv
from vitascope.models.weight_init import init_net_weights
from vitascope.transforms.augmix import AugMix
from vitascope.transforms.mix import mix_labels
from vitascope.transforms.rand_augment import RandAugment
from vitascope.transforms.random_source import TorchDraws
from vitascope.transforms.spatial import (
    Box,
    cut,
    frame_size,
    random_resized_box,
    resize_opencv,
    uniform_crop_box,
)
from vitascope.transforms.transforms import Transform
from vitascope.transforms.transforms_factory import augmentation_steps

_HAS_CV2 = importlib.util.find_spec("cv2") is not None


def _find_equivalent_efficient_module(
    module_input: nn.Module,
    efficient_block_transmuter_list: Sequence[Callable[[nn.Module], nn.Module | None]],
    module_name: str = "",
) -> nn.Module | None:
    blocks = (transmuter(module_input) for transmuter in efficient_block_transmuter_list)
    return next((block for block in blocks if block is not None), None)


def _add_input_tensor_size_lut_hook(
    module: nn.Module,
    input_tensor_size_lut: dict[str, tuple[int, ...]],
    hook_handle_list: list[Any],
    base_name: str = "",
) -> None:
    """Notes the size of each module's input in a forward pass, by `.`-joined names."""
    for name, part in module.named_modules():
        key = f"{base_name}.{name}" if name else base_name

        def note(_: nn.Module, inputs: Any, __: Any, key: str = key) -> None:
            if inputs and isinstance(inputs[0], Tensor):
                input_tensor_size_lut[key] = tuple(inputs[0].shape)

        hook_handle_list.append(part.register_forward_hook(note))


def _convert_module(
    module: nn.Module,
    input_tensor_size_lut: Mapping[str, tuple[int, ...]],
    base_name: str = "",
    convert_for_quantize: bool = False,
    native_conv3d_op_qnnpack: bool = False,
) -> None:
    """Converts the outermost blocks in place, given the sizes of their inputs."""
    how = {
        "convert_for_quantize": convert_for_quantize,
        "native_conv3d_op_qnnpack": native_conv3d_op_qnnpack,
    }
    if isinstance(module, EfficientBlockBase):
        module.convert(input_tensor_size_lut[base_name], **how)
        return
    for name, child in module.named_children():
        _convert_module(child, input_tensor_size_lut, f"{base_name}.{name}", **how)


class _Reshape(nn.Module):
    def __init__(self, reshape_size: Sequence[int]) -> None:
        super().__init__()
        self.reshape_size = tuple(reshape_size)

    def forward(self, x: Tensor) -> Tensor:
        return x.reshape(self.reshape_size)


class _SkipConnectMul(nn.Module):
    """The input times what a layer makes of it."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer
        self.mul_func = torch.ao.nn.quantized.FloatFunctional()

    def forward(self, x: Tensor) -> Tensor:
        product: Tensor = self.mul_func.mul(x, self.layer(x))
        return product


class _Decomposed(FramewiseConv):
    """A convolution of some taps in time as convolutions over images; any clip size will do."""

    taps_in_time: int

    def __init__(self, conv3d: nn.Conv3d, thw_shape: Sequence[int]) -> None:
        if conv3d.kernel_size[0] != self.taps_in_time or conv3d.padding_mode != "zeros":
            raise ConfigError(
                f"expected {self.taps_in_time} taps in time and padding with zeros: {conv3d}"
            )
        super().__init__(conv3d)


class _Conv3dTemporalKernel1Decomposed(_Decomposed):
    taps_in_time = 1


class _Conv3dTemporalKernel3Decomposed(_Decomposed):
    taps_in_time = 3


class _Conv3dTemporalKernel5Decomposed(_Decomposed):
    taps_in_time = 5


def _attention_pool(
    tensor: Tensor,
    pool: nn.Module | None,
    thw_shape: Sequence[int],
    has_cls_embed: bool = True,
    norm: nn.Module | None = None,
) -> tuple[Tensor, list[int]]:
    """Pools tokens B N D, or B heads N D, over time and space; gives their new grid as well."""
    if tensor.ndim not in (3, 4):
        raise UnknownChoiceError(f"expected B N D or B heads N D, got {tuple(tensor.shape)}")
    folded = tensor.flatten(0, -3) if tensor.ndim == 4 else tensor
    pooled, shape = TokenPool(pool, has_cls_embed, norm)(folded, list(thw_shape))
    return pooled.unflatten(0, tensor.shape[:-2]), shape


def _is_pos_int(number: Any) -> bool:
    return isinstance(number, int) and number >= 0


def _verify_feature_dim(feature_dims: Sequence[int]) -> None:
    if not isinstance(feature_dims, list) or not all(dim > 0 for dim in feature_dims):
        raise ConfigError(f"feature_dims = {feature_dims!r}; expected a list of positive widths")


def _init_resnet_weights(model: nn.Module, fc_init_std: float = 0.01) -> None:
    init_net_weights(model, init_std=fc_init_std, style="resnet")


def _init_vit_weights(model: nn.Module, trunc_normal_std: float = 0.02) -> None:
    if trunc_normal_std != 0.02:
        raise ConfigError(f"trunc_normal_std = {trunc_normal_std}; the only legal value is 0.02")
    init_net_weights(model, style="vit")


def _check_fill_arg(kwargs: Mapping[str, Any]) -> None:
    if "fill" not in kwargs:
        raise ConfigError(f"expected fill among {', '.join(kwargs) or 'no arguments'}")


def _interpolate_opencv(x: Tensor, size: tuple[int, int], interpolation: str) -> Tensor:
    return resize_opencv(x, size[0], size[1], interpolation)


def _uniform_crop_helper(images: Tensor, size: int, spatial_idx: int) -> tuple[Tensor, int, int]:
    box = uniform_crop_box(*frame_size(images), size, spatial_idx)
    return cut(images, box), box[1], box[0]


def _get_param_spatial_crop(
    scale: tuple[float, float],
    ratio: tuple[float, float],
    height: int,
    width: int,
    log_uniform_ratio: bool = True,
    num_tries: int = 10,
) -> Box:
    return random_resized_box(
        height,
        width,
        scale,
        ratio,
        TorchDraws(),
        log_uniform_ratio=log_uniform_ratio,
        num_tries=num_tries,
    )


def _mix_labels(
    labels: Tensor,
    num_classes: int,
    lam: float = 1.0,
    label_smoothing: float = 0.0,
    one_hot: bool = False,
) -> Tensor:
    return mix_labels(labels, lam, num_classes, label_smoothing, one_hot)


def _defaults(build: type) -> dict[str, Any]:
    found = inspect.signature(build).parameters.values()
    return {p.name: p.default for p in found if p.kind is p.POSITIONAL_OR_KEYWORD}


_RANDAUG_DEFAULT_PARAS = _defaults(RandAugment)
_AUGMIX_DEFAULT_PARAS = _defaults(AugMix)


def _get_augmentation(aug_type: str, aug_paras: Mapping[str, Any] | None = None) -> list[Transform]:
    return augmentation_steps(aug_type, aug_paras or {})
