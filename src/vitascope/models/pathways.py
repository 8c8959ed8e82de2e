"""Stems, stages and fusions of models with several pathways (SlowFast and its relatives)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from vitascope.errors import ConfigError
from vitascope.layers.batch_norm import ModuleFactory
from vitascope.models.base import FeatureInfo, InputSpec, Triple, smallest_input
from vitascope.models.head import make_head_pool
from vitascope.models.net import MultiPathWayWithFuse
from vitascope.models.resnet_blocks import multiply, same_padding
from vitascope.models.resnet_stages import StagePlan, plan_stages

FusionBuilder = Callable[[int, int], nn.Module]


@dataclass(frozen=True, kw_only=True)
class Pathway:
    """The plan of one pathway; fields as the arguments of `create_slowfast`, one entry of each."""

    name: str
    input_channels: int
    stem_function: ModuleFactory
    stem_dim_out: int
    stem_conv_kernel_size: Triple
    stem_conv_stride: Triple
    stem_pool: ModuleFactory | None
    stem_pool_kernel_size: Triple
    stem_pool_stride: Triple
    stage_conv_a_kernel_size: Any
    stage_conv_b_kernel_size: Any
    stage_conv_b_num_groups: Any
    stage_conv_b_dilation: Any
    stage_spatial_stride: Sequence[int | tuple[int, int]]
    stage_temporal_stride: Sequence[int]
    bottleneck: Any
    head_pool_kernel_size: Triple
    stage_dim_inner: Sequence[int] | None = None
    stage1_pool: ModuleFactory | None = None
    stage1_pool_kernel_size: Triple = (2, 1, 1)
    stage_stride_at: str = "split"
    nonlocal_locations: Sequence[Sequence[int]] = ((), (), (), ())
    nonlocal_groups: Sequence[int] = (1, 1, 1, 1)
    nonlocal_pool_sizes: Sequence[Sequence[int] | None] = field(default=((1, 2, 2),) * 4)
    nonlocal_instantiation: str = "softmax"

    def stages(self, depths: Sequence[int]) -> list[StagePlan]:
        """Lays out the stages."""
        steps = zip(self.stage_temporal_stride, self.stage_spatial_stride, strict=True)
        strides = [(t, s, s) if isinstance(s, int) else (t, s[0], s[1]) for t, s in steps]
        return plan_stages(
            depths,
            first_dim_out=self.stem_dim_out * 4,
            dim_inner=self.stage_dim_inner,
            kernel_a=self.stage_conv_a_kernel_size,
            kernel_b=self.stage_conv_b_kernel_size,
            groups=self.stage_conv_b_num_groups,
            dilation=self.stage_conv_b_dilation,
            strides=strides,
            bottleneck=self.bottleneck,
            stride_at=self.stage_stride_at,
        )

    def stem(self, norm: ModuleFactory | None, activation: ModuleFactory | None) -> nn.Module:
        """Builds the stem."""
        return self.stem_function(
            in_channels=self.input_channels,
            out_channels=self.stem_dim_out,
            conv_kernel_size=self.stem_conv_kernel_size,
            conv_stride=self.stem_conv_stride,
            conv_padding=same_padding(self.stem_conv_kernel_size),
            pool=self.stem_pool,
            pool_kernel_size=self.stem_pool_kernel_size,
            pool_stride=self.stem_pool_stride,
            pool_padding=same_padding(self.stem_pool_kernel_size),
            norm=norm,
            activation=activation,
        )


def list_pathways(count: int, lists: Mapping[str, Sequence[Any]], **same: Any) -> list[Pathway]:
    """Takes lists with an entry for each pathway apart.

    Args:
        count: number of pathways.
        lists: argument of the builder -> one entry for each pathway; a field of `Pathway` is the
            argument's name, in the singular.
        same: fields that all pathways share.

    Raises:
        ConfigError: a list of another length.
    """
    names = [_NAMES[i] if i < len(_NAMES) else f"pathway {i}" for i in range(count)]
    for argument, values in lists.items():
        if len(values) != len(names):
            raise ConfigError(
                f"{argument} has {len(values)} entries for {len(names)} pathways "
                f"({', '.join(names)})"
            )
    fields = {_FIELDS.get(argument, argument): values for argument, values in lists.items()}
    return [
        Pathway(name=name, **{key: values[i] for key, values in fields.items()}, **same)
        for i, name in enumerate(names)
    ]


_NAMES = ("slow", "fast", "audio")
_FIELDS = {
    "stem_dim_outs": "stem_dim_out",
    "stem_conv_kernel_sizes": "stem_conv_kernel_size",
    "stem_conv_strides": "stem_conv_stride",
    "stem_pool_kernel_sizes": "stem_pool_kernel_size",
    "stem_pool_strides": "stem_pool_stride",
    "stage_conv_a_kernel_sizes": "stage_conv_a_kernel_size",
    "stage_conv_b_kernel_sizes": "stage_conv_b_kernel_size",
    "stage_conv_b_dilations": "stage_conv_b_dilation",
    "stage_spatial_strides": "stage_spatial_stride",
    "stage_temporal_strides": "stage_temporal_stride",
    "head_pool_kernel_sizes": "head_pool_kernel_size",
    "stage1_pool_kernel_sizes": "stage1_pool_kernel_size",
}


class PathwayBlocks:
    """Blocks of several pathways, put one after the other.

    Args:
        pathways: the plans.
        depths: blocks of each stage.
        fusion: builder of the fusion after the stem (stage 0) and each stage, called with the
            channels of the first pathway and the index of the stage.
        fused: channels that a fusion adds to the first pathway, given the first pathway's.
        norm: norm class, None for none.
        activation: activation class, None for none.
        drop: see `MultiPathWayWithFuse`; the pathways that it drops may be None from the start.

    Attributes:
        blocks: the blocks.
        features: widths and strides of each.
        dims: channels of each pathway at the end.
    """

    def __init__(
        self,
        pathways: Sequence[Pathway],
        depths: Sequence[int],
        fusion: FusionBuilder,
        fused: Callable[[int], int],
        norm: ModuleFactory | None,
        activation: ModuleFactory | None,
        drop: nn.Module | None = None,
    ) -> None:
        self.pathways = pathways
        self.blocks: list[nn.Module] = []
        self.features: list[FeatureInfo] = []
        self.dims = [p.stem_dim_out for p in pathways]
        self._totals: list[Triple] = [(1, 1, 1)] * len(pathways)
        self._fused = fused
        self._drop = drop
        stems = [p.stem(norm, activation) for p in pathways]
        steps = [
            multiply(p.stem_conv_stride, p.stem_pool_stride if p.stem_pool else (1, 1, 1))
            for p in pathways
        ]
        self._add(stems, fusion(self.dims[0], 0), steps)
        plans = [p.stages(depths) for p in pathways]
        for i in range(len(depths)):
            rows = [plan[i] for plan in plans]
            stages = [
                row.build(
                    dim,
                    norm=norm,
                    activation=activation,
                    nonlocal_locations=p.nonlocal_locations[i],
                    nonlocal_group=p.nonlocal_groups[i],
                    nonlocal_pool_size=p.nonlocal_pool_sizes[i],
                    nonlocal_instantiation=p.nonlocal_instantiation,
                )
                for p, row, dim in zip(pathways, rows, self.dims, strict=True)
            ]
            self.dims = [row.dim_out for row in rows]
            steps = [multiply(row.stride_a, row.stride_b) for row in rows]
            self._add(stages, fusion(self.dims[0], i + 1), steps)
            if i == 0 and any(p.stage1_pool is not None for p in pathways):
                self._add_pools()

    def _add_pools(self) -> None:
        pools, steps = [], []
        for p in self.pathways:
            window = p.stage1_pool_kernel_size
            pools.append(make_head_pool(p.stage1_pool, window, window, (0, 0, 0), None))
            steps.append(window if p.stage1_pool is not None else (1, 1, 1))
        self._add(pools, None, steps)

    def _add(
        self,
        parts: Sequence[nn.Module | None],
        fusion: nn.Module | None,
        steps: Sequence[Sequence[int]],
    ) -> None:
        modules = nn.ModuleList(nn.Identity() if part is None else part for part in parts)
        block = MultiPathWayWithFuse(
            multipathway_blocks=modules,
            multipathway_fusion=fusion,
            drop=None if self.blocks else self._drop,
        )
        self._totals = [multiply(t, s) for t, s in zip(self._totals, steps, strict=True)]
        # An identity is what a fusion builder returns where nothing is fused.
        if fusion is not None and not isinstance(fusion, nn.Identity):
            self.dims[0] += self._fused(self.dims[0])
        name = f"blocks.{len(self.blocks)}"
        self.features.append(
            FeatureInfo(name=name, channels=tuple(self.dims), stride=tuple(self._totals))
        )
        self.blocks.append(block)

    def inputs(self, windowed: bool) -> InputSpec:
        """What the model accepts; `windowed` if the head pools over windows."""
        minimum = tuple(
            smallest_input(total, p.head_pool_kernel_size if windowed else (1, 1, 1))
            for p, total in zip(self.pathways, self._totals, strict=True)
        )
        return InputSpec(
            channels=tuple(p.input_channels for p in self.pathways),
            minimum=minimum,
            names=tuple(p.name for p in self.pathways),
            optional=tuple(getattr(self._drop, "pathways", ())),
        )
