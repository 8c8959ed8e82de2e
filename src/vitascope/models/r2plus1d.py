"""R(2+1)D (arXiv:1711.11248): every 3-D convolution as one over time and one over space."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

from vitascope.layers.batch_norm import ModuleFactory, fix_norm
from vitascope.layers.convolutions import create_conv_2plus1d
from vitascope.layers.res_block import BottleneckBlock
from vitascope.models.base import Triple
from vitascope.models.net import Net
from vitascope.models.resnet import create_resnet
from vitascope.models.resnet_blocks import create_bottleneck_block
from vitascope.models.resnet_stages import Kernels


def create_2plus1d_bottleneck_block(
    *,
    dim_in: int,
    dim_inner: int,
    dim_out: int,
    conv_a_kernel_size: Triple = (1, 1, 1),
    conv_a_stride: Triple = (1, 1, 1),
    conv_a_padding: Triple = (0, 0, 0),
    conv_a: ModuleFactory = nn.Conv3d,
    conv_b_kernel_size: Triple = (3, 3, 3),
    conv_b_stride: Triple = (2, 2, 2),
    conv_b_padding: Triple = (1, 1, 1),
    conv_b_num_groups: int = 1,
    conv_b_dilation: Triple = (1, 1, 1),
    conv_b: ModuleFactory = create_conv_2plus1d,
    conv_c: ModuleFactory = nn.Conv3d,
    norm: ModuleFactory | None = nn.BatchNorm3d,
    norm_eps: float = 1e-5,
    norm_momentum: float = 0.1,
    activation: ModuleFactory | None = nn.ReLU,
) -> BottleneckBlock:
    """Builds a bottleneck whose second convolution is factorised.

    A stage of `create_resnet` asks for its convolutions as `nn.Conv3d`, its default; here that
    means the factorised one. The arguments are those of `create_bottleneck_block`.
    """
    return create_bottleneck_block(
        dim_in=dim_in,
        dim_inner=dim_inner,
        dim_out=dim_out,
        conv_a_kernel_size=conv_a_kernel_size,
        conv_a_stride=conv_a_stride,
        conv_a_padding=conv_a_padding,
        conv_a=conv_a,
        conv_b_kernel_size=conv_b_kernel_size,
        conv_b_stride=conv_b_stride,
        conv_b_padding=conv_b_padding,
        conv_b_num_groups=conv_b_num_groups,
        conv_b_dilation=conv_b_dilation,
        conv_b=create_conv_2plus1d if conv_b is nn.Conv3d else conv_b,
        conv_c=conv_c,
        norm=norm,
        norm_eps=norm_eps,
        norm_momentum=norm_momentum,
        activation=activation,
    )


def create_r2plus1d(
    *,
    input_channel: int = 3,
    model_depth: int = 50,
    model_num_class: int = 400,
    dropout_rate: float = 0.0,
    norm: ModuleFactory | None = nn.BatchNorm3d,
    norm_eps: float = 1e-5,
    norm_momentum: float = 0.1,
    activation: ModuleFactory | None = nn.ReLU,
    stem_dim_out: int = 64,
    stem_conv_kernel_size: Triple = (1, 7, 7),
    stem_conv_stride: Triple = (1, 2, 2),
    stage_conv_a_kernel_size: Kernels = ((1, 1, 1),) * 4,
    stage_conv_b_kernel_size: Kernels = ((3, 3, 3),) * 4,
    stage_conv_b_num_groups: int | Sequence[int] = (1, 1, 1, 1),
    stage_conv_b_dilation: Kernels = ((1, 1, 1),) * 4,
    stage_spatial_stride: Sequence[int] = (2, 2, 2, 2),
    stage_temporal_stride: Sequence[int] = (1, 1, 2, 2),
    stage_bottleneck: ModuleFactory | Sequence[ModuleFactory] = (create_2plus1d_bottleneck_block,)
    * 4,
    head_pool: ModuleFactory | None = nn.AvgPool3d,
    head_pool_kernel_size: Triple = (4, 7, 7),
    head_output_size: Triple = (1, 1, 1),
    head_activation: ModuleFactory | None = nn.Softmax,
    head_output_with_global_average: bool = True,
    **kwargs: Any,
) -> Net:
    """Builds an R(2+1)D model.

    Args:
        input_channel: channels of the clip.
        model_depth: 50, 101 or 152 layers.
        model_num_class: number of classes.
        dropout_rate: dropout in the head.
        norm: norm class, None for none.
        norm_eps: its epsilon.
        norm_momentum: its momentum.
        activation: activation class, None for none.
        stem_dim_out: channels of the stem; the stages have 4, 8, 16, 32 times as many.
        stem_conv_kernel_size: size (T, H, W) of the stem's convolution.
        stem_conv_stride: its step.
        stage_conv_a_kernel_size: sizes of the first convolutions.
        stage_conv_b_kernel_size: sizes of the factorised ones, as if they were one.
        stage_conv_b_num_groups: their channel groups.
        stage_conv_b_dilation: distance of their taps.
        stage_spatial_stride: step in H and W of each stage.
        stage_temporal_stride: step in T of each stage.
        stage_bottleneck: builders of the residual branches.
        head_pool: pooling class of the head, None for none.
        head_pool_kernel_size: its window (T, H, W).
        head_output_size: result of an adaptive pooling.
        head_activation: activation class of the scores. The default, a softmax, applies in
            training too: pass None where a loss applies one itself.
        head_output_with_global_average: average the scores over the positions that are left.
        kwargs: further arguments of `create_resnet`.

    Returns:
        A model from B C T H W to B classes.
    """
    return create_resnet(
        input_channel=input_channel,
        model_depth=model_depth,
        model_num_class=model_num_class,
        dropout_rate=dropout_rate,
        norm=fix_norm(norm, norm_eps, norm_momentum),
        activation=activation,
        stem_dim_out=stem_dim_out,
        stem_conv_kernel_size=stem_conv_kernel_size,
        stem_conv_stride=stem_conv_stride,
        stem_pool=None,
        stage_conv_a_kernel_size=stage_conv_a_kernel_size,
        stage_conv_b_kernel_size=stage_conv_b_kernel_size,
        stage_conv_b_num_groups=stage_conv_b_num_groups,
        stage_conv_b_dilation=stage_conv_b_dilation,
        stage_spatial_h_stride=stage_spatial_stride,
        stage_spatial_w_stride=stage_spatial_stride,
        stage_temporal_stride=stage_temporal_stride,
        stage_stride_at="conv_b",
        bottleneck=stage_bottleneck,
        head_pool=head_pool,
        head_pool_kernel_size=head_pool_kernel_size,
        head_output_size=head_output_size,
        head_activation=head_activation,
        head_output_with_global_average=head_output_with_global_average,
        **kwargs,
    )
