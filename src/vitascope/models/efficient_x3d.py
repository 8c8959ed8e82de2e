"""X3D (arXiv:2004.04730) of blocks with a form for deployment on a CPU."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn
from torch.ao.nn.quantized import FloatFunctional

from vitascope.errors import ConfigError, InputError
from vitascope.layers.mobile_cpu.activations import Identity, ReLU, make_named_activation
from vitascope.layers.mobile_cpu.attention import SqueezeExcitation
from vitascope.layers.mobile_cpu.base import BlobSize, EfficientBlockBase
from vitascope.layers.mobile_cpu.convolutions import (
    Conv3d3x3x3DwBnAct,
    Conv3d5x1x1BnAct,
    Conv3dPwBnAct,
    Conv3dTemporalKernel1BnAct,
)
from vitascope.layers.mobile_cpu.linear import FullyConnected
from vitascope.layers.mobile_cpu.pool import AdaptiveAvgPool3dOutSize1
from vitascope.layers.utils import round_width
from vitascope.models.base import FeatureInfo, InputSpec, VideoModel

# name -> blocks of each stage, frames and crop of the clip that it was made for
EXPANSIONS: dict[str, tuple[tuple[int, ...], int, int]] = {
    "XS": ((3, 5, 11, 7), 4, 160),
    "S": ((3, 5, 11, 7), 13, 160),
    "M": ((3, 5, 11, 7), 16, 224),
    "L": ((5, 10, 25, 15), 16, 312),
}
_WIDTHS = (24, 48, 96, 192)


class X3dBottleneckBlock(EfficientBlockBase):
    """A residual block of X3D.

    Args:
        in_channels: channels of the input.
        mid_channels: channels of the depthwise convolution.
        out_channels: channels of the result.
        use_residual: add the shortcut.
        spatial_stride: step in H and W.
        se_ratio: hidden width of squeeze-and-excitation as a share of `mid_channels`; 0 for none.
        act_functions: activations after the first, the second convolution, and at the end.
        bias: whether the three convolutions add a number to each channel.
        use_bn: whether they have a batch norm.
        norm_eps: its epsilon.
        norm_momentum: its momentum.
    """

    def __init__(
        self,
        in_channels: int,
        mid_channels: int,
        out_channels: int,
        use_residual: bool = True,
        spatial_stride: int = 1,
        se_ratio: float = 0.0625,
        act_functions: Sequence[str] = ("relu", "relu", "relu"),
        bias: Sequence[bool] = (False, False, False),
        use_bn: Sequence[bool] = (True, True, True),
        norm_eps: float = 1e-5,
        norm_momentum: float = 0.1,
    ) -> None:
        super().__init__()
        norm: dict[str, Any] = {"norm_eps": norm_eps, "norm_momentum": norm_momentum}
        self._use_residual = use_residual
        self._sum = FloatFunctional()  # a module, so that quantization can replace it
        self._relu_in_sum = False
        self._res_proj: nn.Module | None = None
        if use_residual and (spatial_stride != 1 or in_channels != out_channels):
            self._res_proj = Conv3dTemporalKernel1BnAct(
                in_channels,
                out_channels,
                bias=False,
                spatial_stride=spatial_stride,
                activation="identity",
                use_bn=True,
                **norm,
            )
        squeeze = se_ratio > 0
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        layers["conv_0"] = Conv3dPwBnAct(
            in_channels, mid_channels, bias[0], act_functions[0], use_bn[0], **norm
        )
        layers["conv_1"] = Conv3d3x3x3DwBnAct(
            mid_channels,
            spatial_stride,
            bias[1],
            "identity" if squeeze else act_functions[1],
            use_bn[1],
            **norm,
        )
        if squeeze:
            reduced = round_width(mid_channels, se_ratio)
            layers["se"] = SqueezeExcitation(mid_channels, reduced, is_3d=True)
            layers["act_func_1"] = make_named_activation(act_functions[1])
        layers["conv_2"] = Conv3dPwBnAct(
            mid_channels, out_channels, bias[2], "identity", use_bn[2], **norm
        )
        self.layers = nn.Sequential(layers)
        self.final_act = make_named_activation(act_functions[2])
        self.convert_flag = False

    def convert(
        self,
        input_blob_size: BlobSize | None = None,
        *args: Any,
        convert_for_quantize: bool = False,
        native_conv3d_op_qnnpack: bool = False,
        **kwargs: Any,
    ) -> None:
        """Converts all parts of the block.

        Args:
            input_blob_size: shape of the input; any other size works too.
            args: not used.
            convert_for_quantize: see `Conv3dPwBnAct.convert`.
            native_conv3d_op_qnnpack: likewise.
            kwargs: not used.
        """
        assert not self.convert_flag, "converted already"
        for part in [self._res_proj, *self.layers, self.final_act]:
            if isinstance(part, EfficientBlockBase):
                part.convert(
                    input_blob_size=input_blob_size,
                    convert_for_quantize=convert_for_quantize,
                    native_conv3d_op_qnnpack=native_conv3d_op_qnnpack,
                )
        if self._use_residual and isinstance(self.final_act, ReLU):
            self._relu_in_sum, self.final_act = True, Identity()
        self.convert_flag = True

    def forward(self, x: Tensor) -> Tensor:
        """Maps B C T H W to B C' T H' W'."""
        out: Tensor = self.layers(x)
        if self._use_residual:
            add = self._sum.add_relu if self._relu_in_sum else self._sum.add
            out = add(out, x if self._res_proj is None else self._res_proj(x))
        out = self.final_act(out)
        return out


def _stage(depth: int, dim_in: int, dim_out: int) -> nn.Sequential:
    blocks: OrderedDict[str, nn.Module] = OrderedDict()
    for index in range(depth):
        blocks[f"pathway0_res{index}"] = X3dBottleneckBlock(
            in_channels=dim_out if index else dim_in,
            mid_channels=int(2.25 * dim_out),
            out_channels=dim_out,
            spatial_stride=1 if index else 2,
            se_ratio=0.0 if index % 2 else 0.0625,
            act_functions=("relu", "swish", "relu"),
        )
    return nn.Sequential(blocks)


class EfficientX3d(VideoModel):
    """X3D of blocks with a form for training and one for deployment.

    It is X3D with a norm after every shortcut (`create_x3d(shortcut_norm="always")`).

    Args:
        num_classes: number of classes.
        dropout: dropout in the head.
        expansion: "XS", "S", "M" or "L". The first three are one model, made for clips of 4, 13
            and 16 frames (`clip_size`); L is deeper.
        head_act: activation of the scores in evaluation: "identity", "relu", "swish", "hswish".
        enable_head: False ends the model in the features of the last stage.

    Raises:
        ConfigError: another expansion.
    """

    def __init__(
        self,
        num_classes: int = 400,
        dropout: float = 0.5,
        expansion: str = "XS",
        head_act: str = "identity",
        enable_head: bool = True,
    ) -> None:
        super().__init__()
        if expansion not in EXPANSIONS:
            raise ConfigError(f"expansion = {expansion!r}; legal values: {', '.join(EXPANSIONS)}")
        depths, frames, crop = EXPANSIONS[expansion]
        self.clip_size = (frames, crop, crop)
        self.enable_head = enable_head
        self.s1 = nn.Sequential(
            OrderedDict(
                pathway0_stem_conv_xy=Conv3dTemporalKernel1BnAct(
                    3, _WIDTHS[0], spatial_kernel=3, spatial_stride=2, spatial_padding=1,
                    activation="identity", use_bn=False,
                ),
                pathway0_stem_conv=Conv3d5x1x1BnAct(_WIDTHS[0], _WIDTHS[0], groups=_WIDTHS[0]),
            )
        )  # fmt: skip
        self.s2 = _stage(depths[0], _WIDTHS[0], _WIDTHS[0])
        self.s3 = _stage(depths[1], _WIDTHS[0], _WIDTHS[1])
        self.s4 = _stage(depths[2], _WIDTHS[1], _WIDTHS[2])
        self.s5 = _stage(depths[3], _WIDTHS[2], _WIDTHS[3])
        self.inputs = InputSpec(channels=(3,))
        if not enable_head:
            return
        inner = int(2.25 * _WIDTHS[3])
        self.head = nn.Sequential(
            OrderedDict(
                conv_5=Conv3dPwBnAct(_WIDTHS[3], inner),
                avg_pool=AdaptiveAvgPool3dOutSize1(),
                lin_5=Conv3dPwBnAct(inner, 2048, use_bn=False),
            )
        )
        self.dropout = nn.Dropout(dropout) if dropout > 0 else nn.Identity()
        self.projection = FullyConnected(2048, num_classes, bias=True)
        self.act = make_named_activation(head_act)

    def forward_features(self, x: Any) -> Any:
        """Maps a clip to the features of the last stage, B 192 T H W."""
        for stage in (self.s1, self.s2, self.s3, self.s4, self.s5):
            x = self.run_stage(stage, x)
        return x

    def forward_head(self, features: Any, bboxes: Tensor | None = None) -> Any:
        """Maps features to scores; without a head it returns them."""
        if bboxes is not None:
            raise InputError("this model has no head for boxes")
        if not self.enable_head:
            return features
        x = self.head(features).permute(0, 2, 3, 4, 1)
        x = self.projection(self.dropout(x))
        if not self.training:
            x = self.act(x).mean([1, 2, 3])
        return x.flatten(1)

    def head_linear(self) -> tuple[nn.Module, str]:
        """The classifying layer."""
        if not self.enable_head:
            raise InputError("this model was built without a classifying head")
        return self.projection, "model"

    def depth_prefixes(self) -> tuple[tuple[str, ...], ...]:
        """One depth for each stage; the head is one."""
        stages = tuple((f"s{i}",) for i in range(1, 6))
        return (*stages, ("head", "projection")) if self.enable_head else stages

    @property
    def feature_info(self) -> tuple[FeatureInfo, ...]:
        """The stem and the stages."""
        widths = (_WIDTHS[0], *_WIDTHS)
        return tuple(
            FeatureInfo(
                name=f"s{i + 1}", channels=(width,), stride=((1, 2 ** (i + 1), 2 ** (i + 1)),)
            )
            for i, width in enumerate(widths)
        )


def create_efficient_x3d(
    *,
    num_classes: int = 400,
    dropout: float = 0.5,
    expansion: str = "XS",
    head_act: str = "identity",
    enable_head: bool = True,
) -> EfficientX3d:
    """Builds `EfficientX3d`; arguments as there."""
    return EfficientX3d(
        num_classes=num_classes,
        dropout=dropout,
        expansion=expansion,
        head_act=head_act,
        enable_head=enable_head,
    )
