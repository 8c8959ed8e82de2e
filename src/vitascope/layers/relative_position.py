"""Relative positions of attention, one table for each axis (arXiv:2112.01526)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True, kw_only=True)
class RelativePositions:
    """Which axes of an attention have a table of relative positions.

    Attributes:
        spatial: rows and columns.
        temporal: frames.
        zero_init: tables start at 0 instead of at random.
    """

    spatial: bool = False
    temporal: bool = False
    zero_init: bool = False


def resize_table(table: Tensor, length: int) -> Tensor:
    """Interpolates a table D x width linearly to `length` x width."""
    if table.shape[0] == length:
        return table
    return F.interpolate(table.t()[None], size=length, mode="linear")[0].t()


def relative_table(table: Tensor, queries: int, keys: int) -> Tensor:
    """Entry of a table for each query and key of one axis.

    Positions on the coarser side count in steps of the finer one.

    Args:
        table: D x width, of any length D; it is interpolated to the length that is needed.
        queries: query positions along the axis.
        keys: key positions along the axis.

    Returns:
        queries x keys x width.
    """
    rows = resize_table(table, 2 * max(queries, keys) - 1)
    step_q, step_k = max(keys / queries, 1.0), max(queries / keys, 1.0)
    q = torch.arange(queries, device=table.device) * step_q
    k = torch.arange(keys, device=table.device) * step_k
    distance = q[:, None] - k[None, :] + (keys - 1) * step_k
    return rows[distance.long()]


def _grid(x: Tensor, shape: list[int]) -> Tensor:
    """B heads N D to B heads T H W D."""
    return x.reshape(x.shape[0], x.shape[1], shape[0], shape[1], shape[2], x.shape[3])


def spatial_bias(
    q: Tensor, q_shape: list[int], k_shape: list[int], rows: Tensor, columns: Tensor
) -> Tensor:
    """What relative rows and columns add to the logits of attention.

    Args:
        q: queries without class token, unscaled: B heads N D.
        q_shape: (T, H, W) of the queries.
        k_shape: (T, H, W) of the keys.
        rows: table of rows.
        columns: table of columns.

    Returns:
        B heads Tq Hq Wq 1 Hk Wk.
    """
    grid = _grid(q, q_shape)
    by_row = torch.einsum(
        "bnthwc,hkc->bnthwk", grid, relative_table(rows, q_shape[1], k_shape[1]).to(q.dtype)
    )
    by_column = torch.einsum(
        "bnthwc,wkc->bnthwk", grid, relative_table(columns, q_shape[2], k_shape[2]).to(q.dtype)
    )
    return by_row[:, :, :, :, :, None, :, None] + by_column[:, :, :, :, :, None, None, :]


def temporal_bias(q: Tensor, q_shape: list[int], k_shape: list[int], frames: Tensor) -> Tensor:
    """What relative frames add to the logits: B heads Tq Hq Wq Tk 1 1; arguments as above."""
    by_frame = torch.einsum(
        "bnthwc,tkc->bnthwk",
        _grid(q, q_shape),
        relative_table(frames, q_shape[0], k_shape[0]).to(q.dtype),
    )
    return by_frame[:, :, :, :, :, :, None, None]
