"""Squeeze-and-excitation (arXiv:1709.01507) with a form for deployment."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from torch import Tensor, nn
from torch.ao.nn.quantized import FloatFunctional

from vitascope.layers.mobile_cpu.base import BlobSize, EfficientBlockBase
from vitascope.layers.squeeze_excitation import SqueezeExcitation as _SqueezeExcitation


class SqueezeExcitation(EfficientBlockBase):
    """Scales each channel by a number in (0, 1) computed from the means of all channels.

    Args:
        num_channels: channels C of the input.
        num_channels_reduced: channels of the hidden layer; None takes C / reduction_ratio.
        reduction_ratio: divides C where `num_channels_reduced` is None.
        is_3d: B C T H W instead of B C H W.
        activation: module of the hidden layer; None is ReLU.
    """

    def __init__(
        self,
        num_channels: int,
        num_channels_reduced: int | None = None,
        reduction_ratio: float = 2.0,
        is_3d: bool = False,
        activation: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.se: nn.Module = _SqueezeExcitation(
            num_channels, num_channels_reduced, reduction_ratio, is_3d, activation
        )
        self.is_3d = is_3d
        self.convert_flag = False

    def convert(self, input_blob_size: BlobSize | None = None, **kwargs: Any) -> None:
        """Makes linear layers of the 1x1 convolutions, which see one position only.

        Args:
            input_blob_size: shape of the input; any other size works too.
            kwargs: not used here.
        """
        assert not self.convert_flag, "converted already"
        block = self.se.get_submodule("block")
        assert isinstance(block, nn.Sequential)
        self.se = _Scale(
            nn.Sequential(
                OrderedDict(
                    fc1=_linear(block[0]), act=block[1], fc2=_linear(block[2]), gate=block[3]
                )
            )
        )
        self.convert_flag = True

    def forward(self, x: Tensor) -> Tensor:
        """Weights the channels."""
        out: Tensor = self.se(x)
        return out


class _Scale(nn.Module):
    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.block = block
        self.product = FloatFunctional()  # a module, so that quantization can replace it

    def forward(self, x: Tensor) -> Tensor:
        scale: Tensor = self.block(x.flatten(2).mean(2))
        scale = scale.reshape(list(scale.shape) + [1] * (x.dim() - 2))
        out: Tensor = self.product.mul(x, scale)
        return out


def _linear(conv: nn.Module) -> nn.Linear:
    """The linear layer that a 1x1 convolution is at one position; shares its weights' values."""
    assert isinstance(conv, nn.Conv2d | nn.Conv3d)
    weight = conv.weight.detach().flatten(1)
    linear = nn.Linear(
        weight.shape[1], weight.shape[0], conv.bias is not None, weight.device, weight.dtype
    )
    linear.weight = nn.Parameter(weight.clone())
    if conv.bias is not None:
        linear.bias = nn.Parameter(conv.bias.detach().clone())
    return linear
