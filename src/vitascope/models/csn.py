"""Channel-separated models (arXiv:1904.02811): ResNets with depthwise 3-D convolutions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

from vitascope.errors import ConfigError
from vitascope.layers.batch_norm import ModuleFactory
from vitascope.models.base import Triple
from vitascope.models.net import Net
from vitascope.models.resnet import create_resnet
from vitascope.models.resnet_blocks import create_bottleneck_block
from vitascope.models.resnet_stages import blocks_of_stages


def create_csn(
    *,
    input_channel: int = 3,
    model_depth: int = 50,
    model_num_class: int = 400,
    dropout_rate: float = 0,
    norm: ModuleFactory | None = nn.BatchNorm3d,
    activation: ModuleFactory | None = nn.ReLU,
    stem_dim_out: int = 64,
    stem_conv_kernel_size: Triple = (3, 7, 7),
    stem_conv_stride: Triple = (1, 2, 2),
    stem_pool: ModuleFactory | None = None,
    stem_pool_kernel_size: Triple = (1, 3, 3),
    stem_pool_stride: Triple = (1, 2, 2),
    stage_conv_a_kernel_size: Triple = (1, 1, 1),
    stage_conv_b_kernel_size: Triple = (3, 3, 3),
    stage_conv_b_width_per_group: int = 1,
    stage_spatial_stride: Sequence[int] = (1, 2, 2, 2),
    stage_temporal_stride: Sequence[int] = (1, 2, 2, 2),
    bottleneck: ModuleFactory | Sequence[ModuleFactory] = create_bottleneck_block,
    bottleneck_ratio: int = 4,
    head_pool: ModuleFactory | None = nn.AvgPool3d,
    head_pool_kernel_size: Triple = (1, 7, 7),
    head_output_size: Triple = (1, 1, 1),
    head_activation: ModuleFactory | None = None,
    head_output_with_global_average: bool = True,
    stage_depths: Sequence[int] | None = None,
    **kwargs: Any,
) -> Net:
    """Builds a channel-separated model.

    Args:
        input_channel: channels of the clip.
        model_depth: 50, 101 or 152 layers.
        model_num_class: number of classes.
        dropout_rate: dropout in the head.
        norm: norm class, None for none.
        activation: activation class, None for none.
        stem_dim_out: channels of the stem; the stages have 4, 8, 16, 32 times as many.
        stem_conv_kernel_size: size (T, H, W) of the stem's convolution.
        stem_conv_stride: its step.
        stem_pool: pooling class of the stem, None for none.
        stem_pool_kernel_size: its window.
        stem_pool_stride: its step.
        stage_conv_a_kernel_size: size (T, H, W) of the first convolutions.
        stage_conv_b_kernel_size: size of the second ones.
        stage_conv_b_width_per_group: channels that a second convolution sees together; 1 is
            depthwise.
        stage_spatial_stride: step in H and W of each stage.
        stage_temporal_stride: step in T of each stage.
        bottleneck: builder of the residual branches.
        bottleneck_ratio: channels of a block for each inner channel.
        head_pool: pooling class of the head, None for none.
        head_pool_kernel_size: its window (T, H, W).
        head_output_size: result of an adaptive pooling.
        head_activation: activation class of the scores; None leaves logits.
        head_output_with_global_average: average the scores over the positions that are left.
        stage_depths: blocks of each stage in place of `model_depth`.
        kwargs: further arguments of `create_resnet`.

    Returns:
        A model from B C T H W to B classes.

    Raises:
        ConfigError: inner channels that are no multiple of the width of a group.
    """
    depths = blocks_of_stages(model_depth, stage_depths)
    inner = [stem_dim_out * 4 * 2**i // bottleneck_ratio for i in range(len(depths))]
    width = stage_conv_b_width_per_group
    if any(dim % width for dim in inner):
        raise ConfigError(
            f"stage_conv_b_width_per_group = {width} does not divide the inner channels "
            f"{', '.join(map(str, inner))}"
        )
    return create_resnet(
        input_channel=input_channel,
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
        stage_conv_a_kernel_size=stage_conv_a_kernel_size,
        stage_conv_b_kernel_size=stage_conv_b_kernel_size,
        stage_conv_b_num_groups=[dim // width for dim in inner],
        stage_spatial_h_stride=stage_spatial_stride,
        stage_spatial_w_stride=stage_spatial_stride,
        stage_temporal_stride=stage_temporal_stride,
        bottleneck=bottleneck,
        head_pool=head_pool,
        head_pool_kernel_size=head_pool_kernel_size,
        head_output_size=head_output_size,
        head_activation=head_activation,
        head_output_with_global_average=head_output_with_global_average,
        stage_depths=depths,
        stage_dim_inner=inner,
        stage_stride_at="conv_b",
        **kwargs,
    )
