"""ResNets over time and space: C2D, I3D, Slow, non-local models, and plain image ResNets.

Papers: arXiv:1512.03385 (ResNet), arXiv:1705.07750 (I3D), arXiv:1711.07971 (C2D, non-local),
arXiv:1812.03982 (Slow).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

from vitascope.layers.batch_norm import ModuleFactory
from vitascope.layers.res_block import (
    BasicBlock,
    BottleneckBlock,
    ResBlock,
    ResStage,
    SeparableBottleneckBlock,
)
from vitascope.models.base import Triple
from vitascope.models.head import create_res_basic_head, create_res_roi_pooling_head
from vitascope.models.net import DetectionBBoxNetwork, Net
from vitascope.models.resnet_blocks import (
    create_basic_block,
    create_bottleneck_block,
    create_res_block,
    create_res_stage,
    multiply,
    same_padding,
)
from vitascope.models.resnet_stages import (
    Kernels,
    StageRows,
    blocks_of_stages,
    per_stage,
    plan_stages,
)
from vitascope.models.stem import create_res_basic_stem

__all__ = [
    "BasicBlock",
    "BottleneckBlock",
    "ResBlock",
    "ResStage",
    "SeparableBottleneckBlock",
    "create_basic_block",
    "create_bottleneck_block",
    "create_res_block",
    "create_res_stage",
    "create_resnet",
    "create_resnet_with_roi_head",
]


def create_resnet(
    *,
    input_channel: int = 3,
    model_depth: int = 50,
    model_num_class: int = 400,
    dropout_rate: float = 0.5,
    norm: ModuleFactory | None = nn.BatchNorm3d,
    activation: ModuleFactory | None = nn.ReLU,
    stem_dim_out: int = 64,
    stem_conv_kernel_size: Triple = (3, 7, 7),
    stem_conv_stride: Triple = (1, 2, 2),
    stem_pool: ModuleFactory | None = nn.MaxPool3d,
    stem_pool_kernel_size: Triple = (1, 3, 3),
    stem_pool_stride: Triple = (1, 2, 2),
    stem: ModuleFactory = create_res_basic_stem,
    stage1_pool: ModuleFactory | None = None,
    stage1_pool_kernel_size: Triple = (2, 1, 1),
    stage_conv_a_kernel_size: Kernels = ((1, 1, 1), (1, 1, 1), (3, 1, 1), (3, 1, 1)),
    stage_conv_b_kernel_size: Kernels = ((1, 3, 3),) * 4,
    stage_conv_b_num_groups: int | Sequence[int] = (1, 1, 1, 1),
    stage_conv_b_dilation: Kernels = ((1, 1, 1),) * 4,
    stage_spatial_h_stride: Sequence[int] = (1, 2, 2, 2),
    stage_spatial_w_stride: Sequence[int] = (1, 2, 2, 2),
    stage_temporal_stride: Sequence[int] = (1, 1, 1, 1),
    bottleneck: ModuleFactory | Sequence[ModuleFactory] = create_bottleneck_block,
    head: ModuleFactory | None = create_res_basic_head,
    head_pool: ModuleFactory | None = nn.AvgPool3d,
    head_pool_kernel_size: Triple = (4, 7, 7),
    head_output_size: Triple = (1, 1, 1),
    head_activation: ModuleFactory | None = None,
    head_output_with_global_average: bool = True,
    head_when: str = "always",
    stage_depths: Sequence[int] | None = None,
    stage_dim_inner: Sequence[int] | None = None,
    stage_stride_at: str = "split",
    nonlocal_locations: Sequence[Sequence[int]] = ((), (), (), ()),
    nonlocal_groups: Sequence[int] = (1, 1, 1, 1),
    nonlocal_pool_sizes: Sequence[Sequence[int] | None] = ((1, 2, 2),) * 4,
    nonlocal_instantiation: str = "softmax",
) -> Net:
    """Builds a ResNet over time and space: stem, stages of residual blocks, head.

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
        stem: builder of the stem.
        stage1_pool: pooling class after the first stage, None for none.
        stage1_pool_kernel_size: its window and step.
        stage_conv_a_kernel_size: size (T, H, W) of the first convolutions: one for all stages,
            one for each, or for a stage a list that its blocks take in turn.
        stage_conv_b_kernel_size: size of the second convolutions.
        stage_conv_b_num_groups: their channel groups.
        stage_conv_b_dilation: distance of their taps.
        stage_spatial_h_stride: step in H of each stage.
        stage_spatial_w_stride: step in W of each stage.
        stage_temporal_stride: step in T of each stage.
        bottleneck: builder of the residual branches, one or one for each stage.
        head: builder of the head, None for a model that ends in features.
        head_pool: pooling class of the head, None for none.
        head_pool_kernel_size: its window (T, H, W).
        head_output_size: result of an adaptive pooling.
        head_activation: activation class of the scores; None leaves logits.
        head_output_with_global_average: average the scores over the positions that are left.
        head_when: "always" or "evaluation", see `ResNetBasicHead`.
        stage_depths: blocks of each stage in place of `model_depth`.
        stage_dim_inner: inner channels of each stage; None takes a quarter of the outer ones.
        stage_stride_at: which convolution takes the steps of a stage: "split" the first in T and
            the second in H and W, "conv_a" the first all, "conv_b" the second all.
        nonlocal_locations: for each stage the blocks that a non-local block follows.
        nonlocal_groups: for each stage the parts in time that non-local blocks treat apart.
        nonlocal_pool_sizes: for each stage the window of their max pooling.
        nonlocal_instantiation: "softmax" or "dot_product".

    Returns:
        A model from B C T H W to B classes.

    Raises:
        ConfigError: an argument whose entries do not match the number of stages.
    """
    depths = blocks_of_stages(model_depth, stage_depths)
    steps = [stage_temporal_stride, stage_spatial_h_stride, stage_spatial_w_stride]
    plans = plan_stages(
        depths,
        first_dim_out=stem_dim_out * 4,
        dim_inner=stage_dim_inner,
        kernel_a=stage_conv_a_kernel_size,
        kernel_b=stage_conv_b_kernel_size,
        groups=stage_conv_b_num_groups,
        dilation=stage_conv_b_dilation,
        strides=list(zip(*(per_stage("stride", s, len(depths)) for s in steps), strict=True)),
        bottleneck=bottleneck,
        stride_at=stage_stride_at,
    )
    first = stem(
        in_channels=input_channel,
        out_channels=stem_dim_out,
        conv_kernel_size=stem_conv_kernel_size,
        conv_stride=stem_conv_stride,
        conv_padding=same_padding(stem_conv_kernel_size),
        pool=stem_pool,
        pool_kernel_size=stem_pool_kernel_size,
        pool_stride=stem_pool_stride,
        pool_padding=same_padding(stem_pool_kernel_size),
        norm=norm,
        activation=activation,
    )
    total = multiply(stem_conv_stride, stem_pool_stride if stem_pool else (1, 1, 1))
    rows = StageRows(first, stem_dim_out, total)
    for i, plan in enumerate(plans):
        stage = plan.build(
            rows.dim,
            norm=norm,
            activation=activation,
            nonlocal_locations=nonlocal_locations[i],
            nonlocal_group=nonlocal_groups[i],
            nonlocal_pool_size=nonlocal_pool_sizes[i],
            nonlocal_instantiation=nonlocal_instantiation,
        )
        rows.add(stage, plan.dim_out, multiply(plan.stride_a, plan.stride_b))
        if i == 0 and stage1_pool is not None:
            window = stage1_pool_kernel_size
            pool = stage1_pool(kernel_size=window, stride=window, padding=(0, 0, 0))
            rows.add(pool, plan.dim_out, window)
    window = head_pool_kernel_size if head is not None and _windowed(head_pool) else (1, 1, 1)
    if head is not None:
        rows.blocks.append(
            head(
                in_features=rows.dim,
                out_features=model_num_class,
                pool=head_pool,
                output_size=head_output_size,
                pool_kernel_size=head_pool_kernel_size,
                dropout_rate=dropout_rate,
                activation=head_activation,
                output_with_global_average=head_output_with_global_average,
                **({} if head_when == "always" else {"when": head_when}),
            )
        )
    return rows.net(input_channel, window)


def _windowed(pool: ModuleFactory | None) -> bool:
    """Whether a head's pooling needs a map of a certain size."""
    return pool in (nn.AvgPool3d, nn.MaxPool3d)


def create_resnet_with_roi_head(
    *,
    input_channel: int = 3,
    model_depth: int = 50,
    model_num_class: int = 80,
    dropout_rate: float = 0.5,
    norm: ModuleFactory | None = nn.BatchNorm3d,
    activation: ModuleFactory | None = nn.ReLU,
    stem_dim_out: int = 64,
    stem_conv_kernel_size: Triple = (1, 7, 7),
    stem_conv_stride: Triple = (1, 2, 2),
    stem_pool: ModuleFactory | None = nn.MaxPool3d,
    stem_pool_kernel_size: Triple = (1, 3, 3),
    stem_pool_stride: Triple = (1, 2, 2),
    stem: ModuleFactory = create_res_basic_stem,
    stage1_pool: ModuleFactory | None = None,
    stage1_pool_kernel_size: Triple = (2, 1, 1),
    stage_conv_a_kernel_size: Kernels = ((1, 1, 1), (1, 1, 1), (3, 1, 1), (3, 1, 1)),
    stage_conv_b_kernel_size: Kernels = ((1, 3, 3),) * 4,
    stage_conv_b_num_groups: int | Sequence[int] = (1, 1, 1, 1),
    stage_conv_b_dilation: Kernels = ((1, 1, 1), (1, 1, 1), (1, 1, 1), (1, 2, 2)),
    stage_spatial_h_stride: Sequence[int] = (1, 2, 2, 1),
    stage_spatial_w_stride: Sequence[int] = (1, 2, 2, 1),
    stage_temporal_stride: Sequence[int] = (1, 1, 1, 1),
    bottleneck: ModuleFactory | Sequence[ModuleFactory] = create_bottleneck_block,
    head: ModuleFactory = create_res_roi_pooling_head,
    head_pool: ModuleFactory | None = nn.AvgPool3d,
    head_pool_kernel_size: Triple = (4, 1, 1),
    head_output_size: Triple = (1, 1, 1),
    head_activation: ModuleFactory | None = nn.Sigmoid,
    head_output_with_global_average: bool = False,
    head_spatial_resolution: tuple[int, int] = (7, 7),
    head_spatial_scale: float = 1.0 / 16.0,
    head_sampling_ratio: int = 0,
    head_when: str = "always",
    head_aligned: bool = False,
    **kwargs: Any,
) -> DetectionBBoxNetwork:
    """Builds a ResNet that scores boxes of a clip.

    Args:
        input_channel: as for `create_resnet`, and so are the others down to `bottleneck`.
        model_depth: see there.
        model_num_class: see there.
        dropout_rate: see there.
        norm: see there.
        activation: see there.
        stem_dim_out: see there.
        stem_conv_kernel_size: see there.
        stem_conv_stride: see there.
        stem_pool: see there.
        stem_pool_kernel_size: see there.
        stem_pool_stride: see there.
        stem: see there.
        stage1_pool: see there.
        stage1_pool_kernel_size: see there.
        stage_conv_a_kernel_size: see there.
        stage_conv_b_kernel_size: see there.
        stage_conv_b_num_groups: see there.
        stage_conv_b_dilation: see there.
        stage_spatial_h_stride: see there.
        stage_spatial_w_stride: see there.
        stage_temporal_stride: see there.
        bottleneck: see there.
        head: builder of the head.
        head_pool: pooling class over time.
        head_pool_kernel_size: its window (T, H, W).
        head_output_size: result of an adaptive pooling.
        head_activation: activation class of the scores; None leaves logits.
        head_output_with_global_average: average the scores over the positions that are left.
        head_spatial_resolution: size (h, w) to which a box is sampled.
        head_spatial_scale: size of the features over size of the clip.
        head_sampling_ratio: samples along each side of a cell; 0 adapts to the box.
        head_when: "always" or "evaluation", see `ResNetRoIHead`.
        head_aligned: shift the boxes by half a pixel (PySlowFast's weights).
        kwargs: further arguments of `create_resnet`.

    Returns:
        A model from B C T H W and boxes R x 5 to R classes.
    """
    model = create_resnet(
        input_channel=input_channel,
        model_depth=model_depth,
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
        head=None,
        **kwargs,
    )
    detection_head = head(
        in_features=model.feature_info[-1].channels[0],
        out_features=model_num_class,
        pool=head_pool,
        output_size=head_output_size,
        pool_kernel_size=head_pool_kernel_size,
        dropout_rate=dropout_rate,
        activation=head_activation,
        output_with_global_average=head_output_with_global_average,
        resolution=head_spatial_resolution,
        spatial_scale=head_spatial_scale,
        sampling_ratio=head_sampling_ratio,
        **({} if head_when == "always" else {"when": head_when}),
        **({"aligned": True} if head_aligned else {}),
    )
    return DetectionBBoxNetwork(model, detection_head)
