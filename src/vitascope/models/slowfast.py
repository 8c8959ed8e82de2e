"""SlowFast (arXiv:1812.03982): a slow pathway for what is there, a fast one for how it moves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

from vitascope.errors import ConfigError
from vitascope.layers.batch_norm import ModuleFactory
from vitascope.models.base import Triple
from vitascope.models.head import (
    create_res_basic_head,
    create_res_roi_pooling_head,
    make_head_pool,
)
from vitascope.models.net import DetectionBBoxNetwork, Net
from vitascope.models.pathways import FusionBuilder, PathwayBlocks, list_pathways
from vitascope.models.resnet_blocks import create_bottleneck_block
from vitascope.models.resnet_stages import STAGE_DEPTHS, Kernels, blocks_of_stages
from vitascope.models.slowfast_fusion import (
    FastToSlowFusionBuilder,
    FuseFastToSlow,
    PoolConcatPathway,
)
from vitascope.models.stem import create_res_basic_stem

__all__ = [
    "FastToSlowFusionBuilder",
    "FuseFastToSlow",
    "PoolConcatPathway",
    "create_slowfast",
    "create_slowfast_with_roi_head",
]

# 18 has one block a stage here, as in PyTorchVideo; PySlowFast's has two (give stage_depths).
SLOWFAST_DEPTHS = {18: (1, 1, 1, 1), **STAGE_DEPTHS}
_BOTTLENECKS = ((create_bottleneck_block,) * 4,) * 2
_KERNELS_A = (
    ((1, 1, 1), (1, 1, 1), (3, 1, 1), (3, 1, 1)),
    ((3, 1, 1), (3, 1, 1), (3, 1, 1), (3, 1, 1)),
)
_KERNELS_B = (((1, 3, 3),) * 4,) * 2
_WINDOWS = (nn.AvgPool3d, nn.MaxPool3d)


def create_slowfast(
    *,
    slowfast_channel_reduction_ratio: int | Sequence[int] = (8,),
    slowfast_conv_channel_fusion_ratio: float = 2,
    slowfast_fusion_conv_kernel_size: Triple = (7, 1, 1),
    slowfast_fusion_conv_stride: Triple = (4, 1, 1),
    fusion_builder: FusionBuilder | None = None,
    input_channels: Sequence[int] = (3, 3),
    model_depth: int = 50,
    model_num_class: int = 400,
    dropout_rate: float = 0.5,
    norm: ModuleFactory | None = nn.BatchNorm3d,
    activation: ModuleFactory | None = nn.ReLU,
    stem_function: ModuleFactory | Sequence[ModuleFactory] = (create_res_basic_stem,) * 2,
    stem_dim_outs: Sequence[int] = (64, 8),
    stem_conv_kernel_sizes: Sequence[Triple] = ((1, 7, 7), (5, 7, 7)),
    stem_conv_strides: Sequence[Triple] = ((1, 2, 2), (1, 2, 2)),
    stem_pool: ModuleFactory | Sequence[ModuleFactory | None] | None = (nn.MaxPool3d,) * 2,
    stem_pool_kernel_sizes: Sequence[Triple] = ((1, 3, 3), (1, 3, 3)),
    stem_pool_strides: Sequence[Triple] = ((1, 2, 2), (1, 2, 2)),
    stage_conv_a_kernel_sizes: Sequence[Kernels] = _KERNELS_A,
    stage_conv_b_kernel_sizes: Sequence[Kernels] = _KERNELS_B,
    stage_conv_b_num_groups: Sequence[int | Sequence[int]] = ((1, 1, 1, 1), (1, 1, 1, 1)),
    stage_conv_b_dilations: Sequence[Kernels] = (((1, 1, 1),) * 4,) * 2,
    stage_spatial_strides: Sequence[Sequence[int]] = ((1, 2, 2, 2), (1, 2, 2, 2)),
    stage_temporal_strides: Sequence[Sequence[int]] = ((1, 1, 1, 1), (1, 1, 1, 1)),
    bottleneck: ModuleFactory | Sequence[ModuleFactory | Sequence[ModuleFactory]] = _BOTTLENECKS,
    head: ModuleFactory | None = create_res_basic_head,
    head_pool: ModuleFactory | None = nn.AvgPool3d,
    head_pool_kernel_sizes: Sequence[Triple] = ((8, 7, 7), (32, 7, 7)),
    head_output_size: Triple | Sequence[Triple] = (1, 1, 1),
    head_activation: ModuleFactory | None = None,
    head_output_with_global_average: bool = True,
    head_when: str = "always",
    stage_depths: Sequence[int] | None = None,
    drop: nn.Module | None = None,
    **pathway_lists: Sequence[Any],
) -> Net:
    """Builds a SlowFast model; lists have one entry for each pathway, slow first.

    Args:
        slowfast_channel_reduction_ratio: slow channels for one fast channel (1 / beta).
        slowfast_conv_channel_fusion_ratio: channels joined to the slow pathway for each fast one.
        slowfast_fusion_conv_kernel_size: size (T, H, W) of the fusion's convolution.
        slowfast_fusion_conv_stride: its step, (alpha, 1, 1).
        fusion_builder: called with the slow channels and the stage's index (0 is the stem);
            returns a module from list to list, `nn.Identity` for no fusion. A fusion has to add
            `channels // reduction * fusion ratio` channels to the slow pathway.
        input_channels: channels of the clips.
        model_depth: 18, 50, 101 or 152 layers.
        model_num_class: number of classes.
        dropout_rate: dropout in the head.
        norm: norm class, None for none.
        activation: activation class, None for none.
        stem_function: builders of the stems, or one for all.
        stem_dim_outs: channels of the stems.
        stem_conv_kernel_sizes: sizes (T, H, W) of their convolutions.
        stem_conv_strides: their steps.
        stem_pool: pooling classes of the stems, None for none.
        stem_pool_kernel_sizes: their windows.
        stem_pool_strides: their steps.
        stage_conv_a_kernel_sizes: see `create_resnet`, for each pathway.
        stage_conv_b_kernel_sizes: likewise.
        stage_conv_b_num_groups: likewise.
        stage_conv_b_dilations: likewise.
        stage_spatial_strides: step in H and W of each stage.
        stage_temporal_strides: step in T of each stage.
        bottleneck: builders of the residual branches: one for all, one for each pathway, or
            one for each stage of each pathway.
        head: builder of the head, None for a model that ends in joined features.
        head_pool: pooling class of each pathway before they are joined, None for none.
        head_pool_kernel_sizes: its windows (T, H, W).
        head_output_size: result of an adaptive pooling, one for all pathways or one for each.
        head_activation: activation class of the scores; None leaves logits.
        head_output_with_global_average: average the scores over the positions that are left.
        head_when: "always" or "evaluation", see `ResNetBasicHead`.
        stage_depths: blocks of each stage in place of `model_depth`.
        drop: a module that leaves out pathways, see `MultiPathWayWithFuse`.
        pathway_lists: further fields of `Pathway`, one entry for each pathway: `stage_dim_inner`,
            `stage_stride_at`, `stage1_pool`, `stage1_pool_kernel_sizes`, `nonlocal_locations`,
            `nonlocal_groups`, `nonlocal_pool_sizes`, `nonlocal_instantiation`.

    Returns:
        A model from [slow, fast], each B C T H W, to B classes.

    Raises:
        ConfigError: lists of another length than the pathways, or widths that do not match.
    """
    lists: dict[str, Sequence[Any]] = {
        "input_channels": input_channels,
        "stem_function": _each(stem_function, len(input_channels)),
        "stem_dim_outs": stem_dim_outs,
        "stem_conv_kernel_sizes": stem_conv_kernel_sizes,
        "stem_conv_strides": stem_conv_strides,
        "stem_pool": _each(stem_pool, len(input_channels)),
        "stem_pool_kernel_sizes": stem_pool_kernel_sizes,
        "stem_pool_strides": stem_pool_strides,
        "stage_conv_a_kernel_sizes": stage_conv_a_kernel_sizes,
        "stage_conv_b_kernel_sizes": stage_conv_b_kernel_sizes,
        "stage_conv_b_num_groups": stage_conv_b_num_groups,
        "stage_conv_b_dilations": stage_conv_b_dilations,
        "stage_spatial_strides": stage_spatial_strides,
        "stage_temporal_strides": stage_temporal_strides,
        "bottleneck": _each(bottleneck, len(input_channels)),
        "head_pool_kernel_sizes": head_pool_kernel_sizes,
        **pathway_lists,
    }
    depths = blocks_of_stages(model_depth, stage_depths, SLOWFAST_DEPTHS)
    reduction = _reduction(slowfast_channel_reduction_ratio)
    if fusion_builder is None:
        _check_widths(stem_dim_outs, reduction)
        fusion_builder = FastToSlowFusionBuilder(
            slowfast_channel_reduction_ratio=reduction,
            conv_fusion_channel_ratio=slowfast_conv_channel_fusion_ratio,
            conv_kernel_size=slowfast_fusion_conv_kernel_size,
            conv_stride=slowfast_fusion_conv_stride,
            norm=norm,
            activation=activation,
            max_stage_idx=len(depths) - 1,
        ).create_module
    rows = PathwayBlocks(
        list_pathways(len(input_channels), lists),
        depths,
        fusion_builder,
        lambda dim: int(dim // reduction * slowfast_conv_channel_fusion_ratio),
        norm,
        activation,
        drop,
    )
    blocks = [*rows.blocks, join_pathways(rows, head_pool, head_output_size)]
    if head is not None:
        blocks.append(
            head(
                in_features=sum(rows.dims),
                out_features=model_num_class,
                pool=None,
                dropout_rate=dropout_rate,
                activation=head_activation,
                output_with_global_average=head_output_with_global_average,
                **({} if head_when == "always" else {"when": head_when}),
            )
        )
    return Net(
        blocks=nn.ModuleList(blocks),
        head_start=len(rows.blocks),
        inputs=rows.inputs(windowed=head_pool in _WINDOWS),
        features=rows.features,
    )


def _reduction(ratio: int | Sequence[int]) -> int:
    return ratio if isinstance(ratio, int) else ratio[0]


def _each(given: Any, count: int) -> Sequence[Any]:
    return given if isinstance(given, Sequence) else [given] * count


def _check_widths(stem_dim_outs: Sequence[int], reduction: int) -> None:
    slow, fast = stem_dim_outs[:2]
    if slow // reduction != fast:
        raise ConfigError(
            f"stem_dim_outs = {tuple(stem_dim_outs)} with slowfast_channel_reduction_ratio = "
            f"{reduction}: the fusion expects {slow // reduction} channels in the fast pathway"
        )


def join_pathways(
    rows: PathwayBlocks,
    pool: ModuleFactory | None,
    output_size: Triple | Sequence[Triple],
) -> PoolConcatPathway:
    """Builds the pooling of each pathway and their junction, the first block of the head."""
    pathways = rows.pathways
    sizes = [output_size] * len(pathways) if isinstance(output_size[0], int) else list(output_size)
    if len(sizes) != len(pathways):
        raise ConfigError(f"head_output_size has {len(sizes)} entries for {len(pathways)} pathways")
    if pool is None:
        return PoolConcatPathway(retain_list=False, pool=None, channels=rows.dims)
    pools = [
        make_head_pool(pool, path.head_pool_kernel_size, (1, 1, 1), (0, 0, 0), size)
        for path, size in zip(pathways, sizes, strict=True)
    ]
    return PoolConcatPathway(
        retain_list=False, pool=nn.ModuleList(p for p in pools if p), channels=rows.dims
    )


def create_slowfast_with_roi_head(
    *,
    slowfast_channel_reduction_ratio: int | Sequence[int] = (8,),
    slowfast_conv_channel_fusion_ratio: float = 2,
    slowfast_fusion_conv_kernel_size: Triple = (7, 1, 1),
    slowfast_fusion_conv_stride: Triple = (4, 1, 1),
    fusion_builder: FusionBuilder | None = None,
    input_channels: Sequence[int] = (3, 3),
    model_depth: int = 50,
    model_num_class: int = 80,
    dropout_rate: float = 0.5,
    norm: ModuleFactory | None = nn.BatchNorm3d,
    activation: ModuleFactory | None = nn.ReLU,
    stem_function: ModuleFactory | Sequence[ModuleFactory] = (create_res_basic_stem,) * 2,
    stem_dim_outs: Sequence[int] = (64, 8),
    stem_conv_kernel_sizes: Sequence[Triple] = ((1, 7, 7), (5, 7, 7)),
    stem_conv_strides: Sequence[Triple] = ((1, 2, 2), (1, 2, 2)),
    stem_pool: ModuleFactory | Sequence[ModuleFactory | None] | None = (nn.MaxPool3d,) * 2,
    stem_pool_kernel_sizes: Sequence[Triple] = ((1, 3, 3), (1, 3, 3)),
    stem_pool_strides: Sequence[Triple] = ((1, 2, 2), (1, 2, 2)),
    stage_conv_a_kernel_sizes: Sequence[Kernels] = _KERNELS_A,
    stage_conv_b_kernel_sizes: Sequence[Kernels] = _KERNELS_B,
    stage_conv_b_num_groups: Sequence[int | Sequence[int]] = ((1, 1, 1, 1), (1, 1, 1, 1)),
    stage_conv_b_dilations: Sequence[Kernels] = (((1, 1, 1),) * 3 + ((1, 2, 2),),) * 2,
    stage_spatial_strides: Sequence[Sequence[int]] = ((1, 2, 2, 1), (1, 2, 2, 1)),
    stage_temporal_strides: Sequence[Sequence[int]] = ((1, 1, 1, 1), (1, 1, 1, 1)),
    bottleneck: ModuleFactory | Sequence[ModuleFactory | Sequence[ModuleFactory]] = _BOTTLENECKS,
    head: ModuleFactory = create_res_roi_pooling_head,
    head_pool: ModuleFactory | None = nn.AvgPool3d,
    head_pool_kernel_sizes: Sequence[Triple] = ((8, 1, 1), (32, 1, 1)),
    head_output_size: Triple | Sequence[Triple] = (1, 1, 1),
    head_activation: ModuleFactory | None = nn.Sigmoid,
    head_output_with_global_average: bool = False,
    head_spatial_resolution: tuple[int, int] = (7, 7),
    head_spatial_scale: float = 1.0 / 16.0,
    head_sampling_ratio: int = 0,
    head_when: str = "always",
    head_aligned: bool = False,
    **kwargs: Any,
) -> DetectionBBoxNetwork:
    """Builds a SlowFast model that scores boxes.

    Args:
        slowfast_channel_reduction_ratio: as for `create_slowfast`, and so are the others down to
            `bottleneck`.
        slowfast_conv_channel_fusion_ratio: see there.
        slowfast_fusion_conv_kernel_size: see there.
        slowfast_fusion_conv_stride: see there.
        fusion_builder: see there.
        input_channels: see there.
        model_depth: see there.
        model_num_class: see there.
        dropout_rate: see there.
        norm: see there.
        activation: see there.
        stem_function: see there.
        stem_dim_outs: see there.
        stem_conv_kernel_sizes: see there.
        stem_conv_strides: see there.
        stem_pool: see there.
        stem_pool_kernel_sizes: see there.
        stem_pool_strides: see there.
        stage_conv_a_kernel_sizes: see there.
        stage_conv_b_kernel_sizes: see there.
        stage_conv_b_num_groups: see there.
        stage_conv_b_dilations: see there.
        stage_spatial_strides: see there.
        stage_temporal_strides: see there.
        bottleneck: see there.
        head: builder of the head.
        head_pool: pooling class over time of each pathway.
        head_pool_kernel_sizes: its windows (T, H, W).
        head_output_size: result of an adaptive pooling.
        head_activation: activation class of the scores; None leaves logits.
        head_output_with_global_average: average the scores over the positions that are left.
        head_spatial_resolution: size (h, w) to which a box is sampled.
        head_spatial_scale: size of the features over size of the clip.
        head_sampling_ratio: samples along each side of a cell; 0 adapts to the box.
        head_when: "always" or "evaluation", see `ResNetRoIHead`.
        head_aligned: shift the boxes by half a pixel (PySlowFast's weights).
        kwargs: further arguments of `create_slowfast`.

    Returns:
        A model from [slow, fast] and boxes R x 5 to R classes.
    """
    model = create_slowfast(
        slowfast_channel_reduction_ratio=slowfast_channel_reduction_ratio,
        slowfast_conv_channel_fusion_ratio=slowfast_conv_channel_fusion_ratio,
        slowfast_fusion_conv_kernel_size=slowfast_fusion_conv_kernel_size,
        slowfast_fusion_conv_stride=slowfast_fusion_conv_stride,
        fusion_builder=fusion_builder,
        input_channels=input_channels,
        model_depth=model_depth,
        norm=norm,
        activation=activation,
        stem_function=stem_function,
        stem_dim_outs=stem_dim_outs,
        stem_conv_kernel_sizes=stem_conv_kernel_sizes,
        stem_conv_strides=stem_conv_strides,
        stem_pool=stem_pool,
        stem_pool_kernel_sizes=stem_pool_kernel_sizes,
        stem_pool_strides=stem_pool_strides,
        stage_conv_a_kernel_sizes=stage_conv_a_kernel_sizes,
        stage_conv_b_kernel_sizes=stage_conv_b_kernel_sizes,
        stage_conv_b_num_groups=stage_conv_b_num_groups,
        stage_conv_b_dilations=stage_conv_b_dilations,
        stage_spatial_strides=stage_spatial_strides,
        stage_temporal_strides=stage_temporal_strides,
        bottleneck=bottleneck,
        head=None,
        head_pool=head_pool,
        head_pool_kernel_sizes=head_pool_kernel_sizes,
        head_output_size=head_output_size,
        **kwargs,
    )
    detection_head = head(
        in_features=sum(model.feature_info[-1].channels),
        out_features=model_num_class,
        pool=None,
        output_size=head_output_size,
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
