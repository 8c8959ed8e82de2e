"""X3D (arXiv:2004.04730): small models, expanded along one axis at a time."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from torch import nn

from vitascope.errors import ConfigError
from vitascope.layers.batch_norm import (
    ModuleFactory,
    make_activation,
    make_norm,
    mark_final_norm,
)
from vitascope.layers.convolutions import Conv2plus1d, depthwise_conv3d
from vitascope.layers.res_block import BottleneckBlock, ResBlock, ResStage, sum_fusion
from vitascope.layers.squeeze_excitation import SqueezeExcitation
from vitascope.layers.swish import Swish
from vitascope.layers.utils import round_repeats, round_width
from vitascope.models.base import FeatureInfo, InputSpec, smallest_input
from vitascope.models.head import ProjectedPool, ResNetBasicHead, make_dropout
from vitascope.models.net import Net
from vitascope.models.stem import ResNetBasicStem

Triple = tuple[int, int, int]
SHORTCUT_NORM = ("width", "always")
_STAGE_DEPTHS = (1, 2, 5, 3)


def create_x3d_stem(
    *,
    in_channels: int,
    out_channels: int,
    conv_kernel_size: Triple = (5, 3, 3),
    conv_stride: Triple = (1, 2, 2),
    conv_padding: Triple = (2, 1, 1),
    norm: ModuleFactory | None = nn.BatchNorm3d,
    norm_eps: float = 1e-5,
    norm_momentum: float = 0.1,
    activation: ModuleFactory | None = nn.ReLU,
) -> ResNetBasicStem:
    """Builds the stem: a spatial convolution, then a depthwise one over time.

    Args:
        in_channels: channels of the clip.
        out_channels: channels of the result.
        conv_kernel_size: size (T, H, W) of the two convolutions together.
        conv_stride: step (T, H, W) of both together.
        conv_padding: zeros (T, H, W) at both ends.
        norm: norm class, None for none.
        norm_eps: its epsilon.
        norm_momentum: its momentum.
        activation: activation class, None for none.
    """
    (kt, kh, kw), (st, sh, sw), (pt, ph, pw) = conv_kernel_size, conv_stride, conv_padding
    spatial = nn.Conv3d(
        in_channels, out_channels, (1, kh, kw), (1, sh, sw), (0, ph, pw), bias=False
    )
    temporal = depthwise_conv3d(
        out_channels, (kt, 1, 1), stride=(st, 1, 1), padding=(pt, 0, 0), bias=False
    )
    return ResNetBasicStem(
        conv=Conv2plus1d(conv_t=spatial, conv_xy=temporal),
        norm=make_norm(norm, out_channels, norm_eps, norm_momentum),
        activation=make_activation(activation),
    )


def create_x3d_bottleneck_block(
    *,
    dim_in: int,
    dim_inner: int,
    dim_out: int,
    conv_kernel_size: Triple = (3, 3, 3),
    conv_stride: Triple = (1, 2, 2),
    norm: ModuleFactory | None = nn.BatchNorm3d,
    norm_eps: float = 1e-5,
    norm_momentum: float = 0.1,
    se_ratio: float = 0.0625,
    activation: ModuleFactory | None = nn.ReLU,
    inner_act: ModuleFactory | None = Swish,
) -> BottleneckBlock:
    """Builds a residual branch: 1x1x1 wider, depthwise, squeeze-and-excitation, 1x1x1 back.

    Args:
        dim_in: channels of the input.
        dim_inner: channels of the depthwise convolution.
        dim_out: channels of the result.
        conv_kernel_size: size (T, H, W) of the depthwise convolution.
        conv_stride: its step.
        norm: norm class, None for none.
        norm_eps: its epsilon.
        norm_momentum: its momentum.
        se_ratio: hidden width of squeeze-and-excitation as a share of `dim_inner`; 0 for none.
        activation: activation class after the first convolution.
        inner_act: activation class after the depthwise one.
    """
    norms = [make_norm(norm, d, norm_eps, norm_momentum) for d in (dim_inner, dim_inner, dim_out)]
    mark_final_norm(norms[2])
    squeeze = (
        SqueezeExcitation(dim_inner, round_width(dim_inner, se_ratio), is_3d=True)
        if se_ratio > 0.0
        else nn.Identity()
    )
    return BottleneckBlock(
        conv_a=nn.Conv3d(dim_in, dim_inner, 1, bias=False),
        norm_a=norms[0],
        act_a=make_activation(activation),
        conv_b=depthwise_conv3d(
            dim_inner, conv_kernel_size, stride=conv_stride, padding=_same(conv_kernel_size)
        ),
        norm_b=nn.Sequential(nn.Identity() if norms[1] is None else norms[1], squeeze),
        act_b=make_activation(inner_act),
        conv_c=nn.Conv3d(dim_inner, dim_out, 1, bias=False),
        norm_c=norms[2],
    )


def create_x3d_res_block(
    *,
    dim_in: int,
    dim_inner: int,
    dim_out: int,
    bottleneck: Callable[..., nn.Module] = create_x3d_bottleneck_block,
    use_shortcut: bool = True,
    conv_kernel_size: Triple = (3, 3, 3),
    conv_stride: Triple = (1, 2, 2),
    norm: ModuleFactory | None = nn.BatchNorm3d,
    norm_eps: float = 1e-5,
    norm_momentum: float = 0.1,
    se_ratio: float = 0.0625,
    activation: ModuleFactory | None = nn.ReLU,
    inner_act: ModuleFactory | None = Swish,
    shortcut_norm: str = "width",
) -> ResBlock:
    """Builds a residual block around `bottleneck`.

    Args:
        dim_in: channels of the input.
        dim_inner: channels of the depthwise convolution.
        dim_out: channels of the result.
        bottleneck: builder of the residual branch, called with the arguments named here.
        use_shortcut: put a convolution into the shortcut where width or size change.
        conv_kernel_size: size (T, H, W) of the depthwise convolution.
        conv_stride: its step.
        norm: norm class, None for none.
        norm_eps: its epsilon.
        norm_momentum: its momentum.
        se_ratio: see `create_x3d_bottleneck_block`.
        activation: activation class after the first convolution and after the sum.
        inner_act: activation class after the depthwise convolution.
        shortcut_norm: "width" puts a norm after the shortcut's convolution only where the width
            changes (PyTorchVideo's weights), "always" after each (PySlowFast's weights and
            EfficientX3D).

    Raises:
        ConfigError: another `shortcut_norm`.
    """
    if shortcut_norm not in SHORTCUT_NORM:
        raise ConfigError(
            f"shortcut_norm = {shortcut_norm!r}; legal values: {', '.join(SHORTCUT_NORM)}"
        )
    project = use_shortcut and (dim_in != dim_out or math.prod(conv_stride) > 1)
    with_norm = project and (dim_in != dim_out or shortcut_norm == "always")
    return ResBlock(
        branch1_conv=(
            nn.Conv3d(dim_in, dim_out, 1, stride=conv_stride, bias=False) if project else None
        ),
        branch1_norm=make_norm(norm, dim_out, norm_eps, norm_momentum) if with_norm else None,
        branch2=bottleneck(
            dim_in=dim_in,
            dim_inner=dim_inner,
            dim_out=dim_out,
            conv_kernel_size=conv_kernel_size,
            conv_stride=conv_stride,
            norm=norm,
            norm_eps=norm_eps,
            norm_momentum=norm_momentum,
            se_ratio=se_ratio,
            activation=activation,
            inner_act=inner_act,
        ),
        activation=make_activation(activation),
        branch_fusion=sum_fusion,
    )


def create_x3d_res_stage(
    *,
    depth: int,
    dim_in: int,
    dim_inner: int,
    dim_out: int,
    bottleneck: Callable[..., nn.Module] = create_x3d_bottleneck_block,
    conv_kernel_size: Triple = (3, 3, 3),
    conv_stride: Triple = (1, 2, 2),
    norm: ModuleFactory | None = nn.BatchNorm3d,
    norm_eps: float = 1e-5,
    norm_momentum: float = 0.1,
    se_ratio: float = 0.0625,
    activation: ModuleFactory | None = nn.ReLU,
    inner_act: ModuleFactory | None = Swish,
    shortcut_norm: str = "width",
) -> ResStage:
    """Builds `depth` residual blocks; the first changes width and size.

    Squeeze-and-excitation sits in every second block, from the first on. The other arguments are
    those of `create_x3d_res_block`.
    """
    blocks = [
        create_x3d_res_block(
            dim_in=dim_out if index else dim_in,
            dim_inner=dim_inner,
            dim_out=dim_out,
            bottleneck=bottleneck,
            conv_kernel_size=conv_kernel_size,
            conv_stride=(1, 1, 1) if index else conv_stride,
            norm=norm,
            norm_eps=norm_eps,
            norm_momentum=norm_momentum,
            se_ratio=0.0 if index % 2 else se_ratio,
            activation=activation,
            inner_act=inner_act,
            shortcut_norm=shortcut_norm,
        )
        for index in range(depth)
    ]
    return ResStage(res_blocks=nn.ModuleList(blocks))


def create_x3d_head(
    *,
    dim_in: int,
    dim_inner: int,
    dim_out: int,
    num_classes: int,
    pool_act: ModuleFactory | None = nn.ReLU,
    pool_kernel_size: Triple | None = (13, 5, 5),
    norm: ModuleFactory | None = nn.BatchNorm3d,
    norm_eps: float = 1e-5,
    norm_momentum: float = 0.1,
    bn_lin5_on: bool = False,
    dropout_rate: float = 0.5,
    activation: ModuleFactory | None = nn.Softmax,
    output_with_global_average: bool = True,
    when: str = "always",
) -> ResNetBasicHead:
    """Builds the head: wider, pooled, wider again, classes.

    Args:
        dim_in: channels of the features.
        dim_inner: channels that are pooled.
        dim_out: channels after the pooling.
        num_classes: number of classes.
        pool_act: activation class around the pooling.
        pool_kernel_size: window (T, H, W) of the average; None averages everything.
        norm: norm class, None for none.
        norm_eps: its epsilon.
        norm_momentum: its momentum.
        bn_lin5_on: put a norm after the second convolution.
        dropout_rate: share of pooled features set to 0 in training.
        activation: class of the activation of the scores; None leaves logits.
        output_with_global_average: average the scores over the positions left by the pooling.
        when: see `ResNetBasicHead`.
    """
    pool = (
        nn.AdaptiveAvgPool3d((1, 1, 1))
        if pool_kernel_size is None
        else nn.AvgPool3d(pool_kernel_size, stride=1)
    )
    return ResNetBasicHead(
        pool=ProjectedPool(
            pre_conv=nn.Conv3d(dim_in, dim_inner, 1, bias=False),
            pre_norm=make_norm(norm, dim_inner, norm_eps, norm_momentum),
            pre_act=make_activation(pool_act),
            pool=pool,
            post_conv=nn.Conv3d(dim_inner, dim_out, 1, bias=False),
            post_norm=make_norm(norm, dim_out, norm_eps, norm_momentum) if bn_lin5_on else None,
            post_act=make_activation(pool_act),
        ),
        dropout=make_dropout(dropout_rate),
        proj=nn.Linear(dim_out, num_classes),
        activation=make_activation(activation),
        output_pool=nn.AdaptiveAvgPool3d(1) if output_with_global_average else None,
        when=when,
    )


def create_x3d(
    *,
    input_channel: int = 3,
    input_clip_length: int = 13,
    input_crop_size: int = 160,
    model_num_class: int = 400,
    dropout_rate: float = 0.5,
    width_factor: float = 2.0,
    depth_factor: float = 2.2,
    norm: ModuleFactory | None = nn.BatchNorm3d,
    norm_eps: float = 1e-5,
    norm_momentum: float = 0.1,
    activation: ModuleFactory | None = nn.ReLU,
    stem_dim_in: int = 12,
    stem_conv_kernel_size: Triple = (5, 3, 3),
    stem_conv_stride: Triple = (1, 2, 2),
    stage_conv_kernel_size: Sequence[Triple] = ((3, 3, 3),) * 4,
    stage_spatial_stride: Sequence[int] = (2, 2, 2, 2),
    stage_temporal_stride: Sequence[int] = (1, 1, 1, 1),
    bottleneck: Callable[..., nn.Module] = create_x3d_bottleneck_block,
    bottleneck_factor: float = 2.25,
    se_ratio: float = 0.0625,
    inner_act: ModuleFactory | None = Swish,
    head_dim_out: int = 2048,
    head_pool_act: ModuleFactory | None = nn.ReLU,
    head_bn_lin5_on: bool = False,
    head_activation: ModuleFactory | None = None,
    head_output_with_global_average: bool = True,
    head_when: str = "always",
    shortcut_norm: str = "width",
    scale_res2: bool = False,
) -> Net:
    """Builds an X3D: stem, four stages of residual blocks, head.

    Args:
        input_channel: channels of the clip.
        input_clip_length: frames T of the clip; with `input_crop_size` it fixes the pooling window
            of the head. Larger clips are averaged over the positions of the window.
        input_crop_size: height and width of the clip.
        model_num_class: number of classes.
        dropout_rate: dropout in the head.
        width_factor: multiplies the channels of all stages.
        depth_factor: multiplies the blocks (1, 2, 5, 3) of the stages.
        norm: norm class, None for none.
        norm_eps: its epsilon.
        norm_momentum: its momentum.
        activation: activation class of the blocks.
        stem_dim_in: channels of the stem before `width_factor`.
        stem_conv_kernel_size: size (T, H, W) of the stem's convolutions.
        stem_conv_stride: their step.
        stage_conv_kernel_size: size (T, H, W) of the depthwise convolutions of each stage.
        stage_spatial_stride: step in H and W of each stage.
        stage_temporal_stride: step in T of each stage.
        bottleneck: builder of the residual branches.
        bottleneck_factor: inner channels of a block for each of its output channels.
        se_ratio: hidden width of squeeze-and-excitation as a share of the inner channels.
        inner_act: activation class after the depthwise convolutions.
        head_dim_out: channels before the classifying layer.
        head_pool_act: activation class around the pooling of the head.
        head_bn_lin5_on: norm after the last convolution of the head.
        head_activation: activation class of the scores; None leaves logits.
        head_output_with_global_average: average the scores over the positions that are left.
        head_when: "always" or "evaluation", see `ResNetBasicHead`.
        shortcut_norm: "width" or "always", see `create_x3d_res_block`.
        scale_res2: give the first stage twice the channels too.

    Returns:
        A model from B C T H W to B classes.

    Raises:
        ConfigError: the clip is shorter or smaller than the strides.
    """
    strides = [(t, s, s) for t, s in zip(stage_temporal_stride, stage_spatial_stride, strict=True)]
    stem_dim = round_width(stem_dim_in, width_factor)
    norms: dict[str, Any] = {"norm": norm, "norm_eps": norm_eps, "norm_momentum": norm_momentum}
    stem = create_x3d_stem(
        in_channels=input_channel,
        out_channels=stem_dim,
        conv_kernel_size=stem_conv_kernel_size,
        conv_stride=stem_conv_stride,
        conv_padding=_same(stem_conv_kernel_size),
        activation=activation,
        **norms,
    )
    blocks: list[nn.Module] = [stem]
    features = [FeatureInfo(name="blocks.0", channels=(stem_dim,), stride=(stem_conv_stride,))]
    dim_in, width, total = stem_dim, stem_dim_in, stem_conv_stride
    for index, depth in enumerate(_STAGE_DEPTHS):
        width = round_width(width, 2.0) if index or scale_res2 else width
        dim_out = round_width(width, width_factor)
        stage = create_x3d_res_stage(
            depth=round_repeats(depth, depth_factor),
            dim_in=dim_in,
            dim_inner=int(bottleneck_factor * dim_out),
            dim_out=dim_out,
            bottleneck=bottleneck,
            conv_kernel_size=stage_conv_kernel_size[index],
            conv_stride=strides[index],
            se_ratio=se_ratio,
            activation=activation,
            inner_act=inner_act,
            shortcut_norm=shortcut_norm,
            **norms,
        )
        blocks.append(stage)
        dim_in, total = dim_out, _product(total, strides[index])
        name = f"blocks.{index + 1}"
        features.append(FeatureInfo(name=name, channels=(dim_out,), stride=(total,)))
    window = _head_window(total, input_clip_length, input_crop_size)
    head = create_x3d_head(
        dim_in=dim_in,
        dim_inner=int(bottleneck_factor * dim_in),
        dim_out=head_dim_out,
        num_classes=model_num_class,
        pool_act=head_pool_act,
        pool_kernel_size=window,
        bn_lin5_on=head_bn_lin5_on,
        dropout_rate=dropout_rate,
        activation=head_activation,
        output_with_global_average=head_output_with_global_average,
        when=head_when,
        **norms,
    )
    inputs = InputSpec(channels=(input_channel,), minimum=(smallest_input(total, window),))
    return Net(blocks=nn.ModuleList([*blocks, head]), inputs=inputs, features=features)


def _same(kernel: Triple) -> Triple:
    """Padding that keeps the size at a stride of 1."""
    t, h, w = kernel
    return (t // 2, h // 2, w // 2)


def _product(a: Triple, b: Triple) -> Triple:
    return (a[0] * b[0], a[1] * b[1], a[2] * b[2])


def _head_window(stride: Triple, frames: int, crop: int) -> Triple:
    if frames < stride[0] or crop < max(stride[1:]):
        raise ConfigError(
            f"a clip of {frames} frames of {crop}x{crop} is smaller than the strides "
            f"{'x'.join(map(str, stride))} (T x H x W) of this model"
        )
    return (frames // stride[0], math.ceil(crop / stride[1]), math.ceil(crop / stride[2]))
