"""How the stages of a ResNet differ from each other, for one pathway."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from torch import nn

from vitascope.errors import ConfigError
from vitascope.layers.batch_norm import ModuleFactory
from vitascope.layers.res_block import ResStage
from vitascope.models.base import FeatureInfo, InputSpec, Triple, smallest_input
from vitascope.models.net import Net
from vitascope.models.resnet_blocks import create_res_stage, multiply, same_padding

Kernels = Triple | Sequence[Triple | Sequence[Triple]]
STAGE_DEPTHS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}


def blocks_of_stages(
    model_depth: int,
    given: Sequence[int] | None,
    known: Mapping[int, tuple[int, ...]] = STAGE_DEPTHS,
) -> tuple[int, ...]:
    """Blocks of each stage: `given`, or those of a published depth.

    Raises:
        ConfigError: a depth that nobody published.
    """
    if given is not None:
        return tuple(given)
    if model_depth not in known:
        raise ConfigError(
            f"model_depth = {model_depth}; legal values: {', '.join(map(str, known))}. Any other "
            f"model: give the blocks of each stage as stage_depths."
        )
    return known[model_depth]


def per_stage(name: str, value: Any, stages: int, *, nested: bool = False) -> list[Any]:
    """One entry for each stage: a single value is repeated.

    Args:
        name: name of the argument in messages.
        value: a single entry, or a sequence with one for each stage.
        stages: number of stages.
        nested: an entry is itself a sequence (of numbers).

    Raises:
        ConfigError: a sequence of another length.
    """
    single = callable(value) or isinstance(value, int)
    if nested and not single:
        single = isinstance(value[0], int)
    rows = [value] * stages if single else list(value)
    if len(rows) != stages:
        raise ConfigError(f"{name} has {len(rows)} entries for {stages} stages")
    return rows


class StagePlan(NamedTuple):
    """What changes from stage to stage of one pathway."""

    depth: int
    dim_inner: int
    dim_out: int
    kernel_a: Any
    kernel_b: Triple
    stride_a: Triple
    stride_b: Triple
    groups: int
    dilation: Triple
    bottleneck: ModuleFactory

    def build(self, dim_in: int, **kwargs: Any) -> ResStage:
        """Builds the stage for `dim_in` channels; `kwargs` as for `create_res_stage`."""
        rows = [self.kernel_a] if isinstance(self.kernel_a[0], int) else list(self.kernel_a)
        return create_res_stage(
            depth=self.depth,
            dim_in=dim_in,
            dim_inner=self.dim_inner,
            dim_out=self.dim_out,
            bottleneck=self.bottleneck,
            conv_a_kernel_size=rows,
            conv_a_stride=self.stride_a,
            conv_a_padding=[same_padding(row) for row in rows],
            conv_b_kernel_size=self.kernel_b,
            conv_b_stride=self.stride_b,
            conv_b_padding=same_padding(self.kernel_b, self.dilation),
            conv_b_num_groups=self.groups,
            conv_b_dilation=self.dilation,
            **kwargs,
        )


def plan_stages(
    depths: Sequence[int],
    *,
    first_dim_out: int,
    dim_inner: Sequence[int] | None,
    kernel_a: Any,
    kernel_b: Any,
    groups: Any,
    dilation: Any,
    strides: Sequence[Triple],
    bottleneck: Any,
    stride_at: str = "split",
) -> list[StagePlan]:
    """Lays out the stages of one pathway; the arguments are those of `create_resnet`."""
    count = len(depths)
    kernels_a = per_stage("stage_conv_a_kernel_size", kernel_a, count, nested=True)
    kernels_b = per_stage("stage_conv_b_kernel_size", kernel_b, count, nested=True)
    dilations = per_stage("stage_conv_b_dilation", dilation, count, nested=True)
    all_groups = per_stage("stage_conv_b_num_groups", groups, count)
    bottlenecks = per_stage("bottleneck", bottleneck, count)
    if dim_inner is not None and len(dim_inner) != count:
        raise ConfigError(f"stage_dim_inner has {len(dim_inner)} entries for {count} stages")
    if stride_at not in ("split", "conv_a", "conv_b"):
        raise ConfigError(f"stage_stride_at = {stride_at!r}; legal values: split, conv_a, conv_b")
    plans = []
    for i, (t, h, w) in enumerate(strides):
        dim_out = first_dim_out * 2**i
        plans.append(
            StagePlan(
                depth=depths[i],
                dim_inner=dim_out // 4 if dim_inner is None else dim_inner[i],
                dim_out=dim_out,
                kernel_a=kernels_a[i],
                kernel_b=tuple(kernels_b[i]),
                stride_a={"split": (t, 1, 1), "conv_a": (t, h, w), "conv_b": (1, 1, 1)}[stride_at],
                stride_b={"split": (1, h, w), "conv_a": (1, 1, 1), "conv_b": (t, h, w)}[stride_at],
                groups=all_groups[i],
                dilation=tuple(dilations[i]),
                bottleneck=bottlenecks[i],
            )
        )
    return plans


class StageRows:
    """Blocks as they are put one after the other, with their widths and strides."""

    def __init__(self, stem: nn.Module, dim: int, stride: Triple) -> None:
        self.blocks: list[nn.Module] = []
        self.features: list[FeatureInfo] = []
        self.total: Triple = (1, 1, 1)
        self.add(stem, dim, stride)

    def add(self, block: nn.Module, dim: int, stride: Sequence[int]) -> None:
        """Appends a block with `dim` channels and a step."""
        self.total = multiply(self.total, stride)
        self.dim = dim
        name = f"blocks.{len(self.blocks)}"
        self.features.append(FeatureInfo(name=name, channels=(dim,), stride=(self.total,)))
        self.blocks.append(block)

    def net(self, channels: int, window: Sequence[int]) -> Net:
        """The model of these blocks and what follows them in `blocks`, its head.

        Args:
            channels: channels of the clip.
            window: features (T, H, W) that the head needs at least.
        """
        minimum = smallest_input(self.total, window)
        return Net(
            blocks=nn.ModuleList(self.blocks),
            head_start=len(self.features),
            inputs=InputSpec(channels=(channels,), minimum=(minimum,)),
            features=self.features,
        )
