"""What each block of a multiscale vision transformer is: widths, heads, windows, strides."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from vitascope.errors import ConfigError
from vitascope.layers.utils import round_width

Sizes = tuple[int, ...]  # (T, H, W), or nothing


@dataclass(frozen=True, kw_only=True)
class BlockPlan:
    """One block.

    Attributes:
        dim: width of its input.
        dim_out: width of its output.
        num_heads: heads of its attention.
        kernel_q: window of the pooling of queries; nothing for none.
        kernel_kv: window of the pooling of keys and values.
        stride_q: step of the pooling of queries.
        stride_kv: step of the pooling of keys and values.
        input_size: grid (T, H, W) of its input.
    """

    dim: int
    dim_out: int
    num_heads: int
    kernel_q: Sizes
    kernel_kv: Sizes
    stride_q: Sizes
    stride_kv: Sizes
    input_size: Sizes


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """How widths, heads and grids change from block to block.

    Attributes:
        depth: number of blocks.
        dim: width of the tokens before the first block.
        num_heads: heads of the first block.
        dim_mul: pairs (block, factor) of the width. The width changes at the end of the block
            before, or inside the attention of the block itself with `dim_mul_in_att`.
        head_mul: pairs (block, factor) of the number of heads.
        q_stride: rows (block, T, H, W) of the pooling of queries.
        kv_stride: rows (block, T, H, W) of the pooling of keys and values.
        kv_stride_adaptive: (T, H, W) of the pooling of keys and values in the first block; it falls
            as the queries are pooled. Instead of `kv_stride`.
        kernel: window (T, H, W) of every pooling; None takes 1 more than the stride where that is
            above 1.
        dim_mul_in_att: see `dim_mul`.
    """

    depth: int
    dim: int
    num_heads: int
    dim_mul: Sequence[Sequence[float]] | None = None
    head_mul: Sequence[Sequence[float]] | None = None
    q_stride: Sequence[Sequence[int]] | None = None
    kv_stride: Sequence[Sequence[int]] | None = None
    kv_stride_adaptive: Sequence[int] | None = None
    kernel: Sequence[int] | None = None
    dim_mul_in_att: bool = False


def _factors(pairs: Iterable[Sequence[float]] | None, depth: int, name: str) -> list[float]:
    """A factor for each block, and one for what follows the last."""
    factors = [1.0] * (depth + 1)
    for block, factor in pairs or ():
        if not 0 <= int(block) <= depth:
            raise ConfigError(f"{name} names block {int(block)}, but there are {depth} blocks")
        factors[int(block)] = float(factor)
    return factors


def _strides(rows: Iterable[Sequence[int]] | None, depth: int, name: str) -> list[Sizes]:
    strides: list[Sizes] = [()] * depth
    for block, *stride in rows or ():
        if not 0 <= block < depth or len(stride) != 3:
            raise ConfigError(
                f"{name}: the row {[block, *stride]} is not (block, T, H, W) of one of the {depth} "
                f"blocks"
            )
        strides[block] = tuple(stride)
    return strides


def _adaptive(start: Sequence[int], q_strides: Sequence[Sizes]) -> list[Sizes]:
    strides, now = [], tuple(start)
    for q in q_strides:
        if q:
            now = tuple(max(kv // s, 1) for kv, s in zip(now, q, strict=True))
        strides.append(now)
    return strides


def _kernel(stride: Sizes, kernel: Sequence[int] | None) -> Sizes:
    if not stride:
        return ()
    return tuple(kernel) if kernel is not None else tuple(s + 1 if s > 1 else s for s in stride)


def plan_blocks(schedule: Schedule, grid: Sequence[int], *, exact: bool) -> list[BlockPlan]:
    """Works out all blocks.

    Args:
        schedule: how they change.
        grid: (T, H, W) of the tokens.
        exact: widths are multiples of the heads and nothing else (PySlowFast); without it of at
            least 8 (PyTorchVideo).

    Raises:
        ConfigError: a row or pair of a block that does not exist, or both kinds of strides of keys
            and values.
    """
    depth = schedule.depth
    if schedule.kv_stride_adaptive is not None and schedule.kv_stride is not None:
        raise ConfigError("pool_kv_stride_adaptive takes the place of pool_kv_stride_size")
    dim_mul = _factors(schedule.dim_mul, depth, "embed_dim_mul")
    head_mul = _factors(schedule.head_mul, depth, "atten_head_mul")
    q_strides = _strides(schedule.q_stride, depth, "pool_q_stride_size")
    kv_strides = _strides(schedule.kv_stride, depth, "pool_kv_stride_size")
    if schedule.kv_stride_adaptive is not None:
        kv_strides = _adaptive(schedule.kv_stride_adaptive, q_strides)
    least = 1 if exact else 8
    dim, heads, size = schedule.dim, schedule.num_heads, tuple(grid)
    plans = []
    for i, (q, kv) in enumerate(zip(q_strides, kv_strides, strict=True)):
        heads = round_width(heads, head_mul[i], min_width=1, divisor=1)
        at = i if schedule.dim_mul_in_att else i + 1
        divisor = round_width(heads, head_mul[at], min_width=least, divisor=least)
        dim_out = round_width(dim, dim_mul[at], min_width=least, divisor=divisor)
        plans.append(
            BlockPlan(
                dim=dim,
                dim_out=dim_out,
                num_heads=heads,
                kernel_q=_kernel(q, schedule.kernel),
                kernel_kv=_kernel(kv, schedule.kernel),
                stride_q=q,
                stride_kv=kv,
                input_size=size,
            )
        )
        if q:
            size = tuple(n // s for n, s in zip(size, q, strict=True))
        dim = dim_out
    return plans
