"""ResNets for log-mel spectrograms, the audio pathway of AVSlowFast (arXiv:2001.08740).

A spectrogram is a clip B C T 1 F: time, one row, frequency.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from vitascope.layers.batch_norm import ModuleFactory, make_activation, make_norm
from vitascope.layers.res_block import SeparableBottleneckBlock
from vitascope.models.base import Triple
from vitascope.models.net import Net
from vitascope.models.resnet import create_resnet
from vitascope.models.resnet_blocks import create_bottleneck_block
from vitascope.models.resnet_stages import Kernels
from vitascope.models.stem import create_acoustic_res_basic_stem


def create_acoustic_bottleneck_block(
    *,
    dim_in: int,
    dim_inner: int,
    dim_out: int,
    conv_a_kernel_size: Triple = (3, 1, 1),
    conv_a_stride: Triple = (2, 1, 1),
    conv_a_padding: Triple = (1, 0, 0),
    conv_a: ModuleFactory = nn.Conv3d,
    conv_b_kernel_size: Triple = (1, 1, 1),
    conv_b_stride: Triple = (1, 1, 1),
    conv_b_padding: Triple = (0, 0, 0),
    conv_b_num_groups: int = 1,
    conv_b_dilation: Triple = (1, 1, 1),
    conv_b: ModuleFactory = nn.Conv3d,
    conv_c: ModuleFactory = nn.Conv3d,
    norm: ModuleFactory | None = nn.BatchNorm3d,
    norm_eps: float = 1e-5,
    norm_momentum: float = 0.1,
    activation: ModuleFactory | None = nn.ReLU,
) -> SeparableBottleneckBlock:
    """Builds a bottleneck whose second convolution is one over frequency and one over time, added.

    Args:
        dim_in: channels of the input.
        dim_inner: channels of the second convolutions.
        dim_out: channels of the result.
        conv_a_kernel_size: size (T, H, W) of the first convolution.
        conv_a_stride: its step.
        conv_a_padding: its zeros.
        conv_a: its class.
        conv_b_kernel_size: size of the second ones together.
        conv_b_stride: step of both.
        conv_b_padding: zeros of both together.
        conv_b_num_groups: channel groups of both.
        conv_b_dilation: distance of their taps.
        conv_b: their class.
        conv_c: class of the third convolution.
        norm: norm class, None for none.
        norm_eps: its epsilon.
        norm_momentum: its momentum.
        activation: activation class, None for none.
    """
    (kt, kh, kw), (pt, ph, pw) = conv_b_kernel_size, conv_b_padding
    parts = [((1, kh, kw), (0, ph, pw)), ((kt, 1, 1), (pt, 0, 0))]
    convs = [
        conv_b(
            dim_inner,
            dim_inner,
            kernel_size=kernel,
            stride=tuple(conv_b_stride),
            padding=padding,
            bias=False,
            groups=conv_b_num_groups,
            dilation=tuple(conv_b_dilation),
        )
        for kernel, padding in parts
    ]
    norms = [make_norm(norm, dim_inner, norm_eps, norm_momentum) for _ in parts]
    acts = [make_activation(activation) for _ in parts]
    return SeparableBottleneckBlock(
        conv_a=conv_a(
            dim_in,
            dim_inner,
            kernel_size=tuple(conv_a_kernel_size),
            stride=tuple(conv_a_stride),
            padding=tuple(conv_a_padding),
            bias=False,
        ),
        norm_a=make_norm(norm, dim_inner, norm_eps, norm_momentum),
        act_a=make_activation(activation),
        conv_b=nn.ModuleList(convs),
        norm_b=None if norm is None else nn.ModuleList(n for n in norms if n is not None),
        act_b=None if activation is None else nn.ModuleList(a for a in acts if a is not None),
        conv_c=conv_c(dim_inner, dim_out, kernel_size=(1, 1, 1), bias=False),
        norm_c=make_norm(norm, dim_out, norm_eps, norm_momentum),
    )


_BOTTLENECKS = (create_acoustic_bottleneck_block,) * 2 + (create_bottleneck_block,) * 2


def create_acoustic_resnet(
    *,
    input_channel: int = 1,
    model_depth: int = 50,
    model_num_class: int = 400,
    dropout_rate: float = 0.5,
    norm: ModuleFactory | None = nn.BatchNorm3d,
    activation: ModuleFactory | None = nn.ReLU,
    stem_dim_out: int = 64,
    stem_conv_kernel_size: Triple = (9, 1, 9),
    stem_conv_stride: Triple = (1, 1, 3),
    stem_pool: ModuleFactory | None = None,
    stem_pool_kernel_size: Triple = (3, 1, 3),
    stem_pool_stride: Triple = (2, 1, 2),
    stem: ModuleFactory = create_acoustic_res_basic_stem,
    stage1_pool: ModuleFactory | None = None,
    stage1_pool_kernel_size: Triple = (2, 1, 1),
    stage_conv_a_kernel_size: Kernels = (3, 1, 1),
    stage_conv_b_kernel_size: Kernels = (3, 1, 3),
    stage_conv_b_num_groups: int | Sequence[int] = (1, 1, 1, 1),
    stage_conv_b_dilation: Kernels = (1, 1, 1),
    stage_spatial_h_stride: Sequence[int] = (1, 1, 1, 1),
    stage_spatial_w_stride: Sequence[int] = (1, 2, 2, 2),
    stage_temporal_stride: Sequence[int] = (1, 2, 2, 2),
    bottleneck: ModuleFactory | Sequence[ModuleFactory] = _BOTTLENECKS,
    head_pool: ModuleFactory | None = nn.AvgPool3d,
    head_pool_kernel_size: Triple = (4, 1, 2),
    head_output_size: Triple = (1, 1, 1),
    head_activation: ModuleFactory | None = None,
    head_output_with_global_average: bool = True,
) -> Net:
    """Builds a ResNet for spectrograms; the arguments are those of `create_resnet`.

    Returns:
        A model from B C T 1 F to B classes.
    """
    return create_resnet(
        input_channel=input_channel,
        model_depth=model_depth,
        model_num_class=model_num_class,
        dropout_rate=dropout_rate,
        norm=norm,
        activation=activation,
        stem_dim_out=stem_dim_out,
        stem_conv_kernel_size=stem_conv_kernel_size,
        stem_conv_stride=stem_conv_stride,
        stem_pool=stem_pool,
        stem_pool_kernel_size=stem_pool_kernel_size,
        stem_pool_stride=stem_pool_stride,
        stem=stem,
        stage1_pool=stage1_pool,
        stage1_pool_kernel_size=stage1_pool_kernel_size,
        stage_conv_a_kernel_size=stage_conv_a_kernel_size,
        stage_conv_b_kernel_size=stage_conv_b_kernel_size,
        stage_conv_b_num_groups=stage_conv_b_num_groups,
        stage_conv_b_dilation=stage_conv_b_dilation,
        stage_spatial_h_stride=stage_spatial_h_stride,
        stage_spatial_w_stride=stage_spatial_w_stride,
        stage_temporal_stride=stage_temporal_stride,
        bottleneck=bottleneck,
        head_pool=head_pool,
        head_pool_kernel_size=head_pool_kernel_size,
        head_output_size=head_output_size,
        head_activation=head_activation,
        head_output_with_global_average=head_output_with_global_average,
    )
