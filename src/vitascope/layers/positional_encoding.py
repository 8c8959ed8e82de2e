"""Positions of tokens: fixed sines and cosines, and learned tables."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from vitascope.errors import ConfigError, InputError
from vitascope.layers.truncated_normal import truncated_normal_

Triple = tuple[int, int, int]


class PositionalEncoding(nn.Module):
    """Adds sines and cosines of the position (arXiv:1706.03762).

    Channel 2i of position p gets sin(p / 10000^(2i / embed_dim)), channel 2i + 1 the cosine.

    Args:
        embed_dim: width of the tokens.
        seq_len: longest sequence.
    """

    def __init__(self, embed_dim: int, seq_len: int = 1024) -> None:
        super().__init__()
        position = torch.arange(seq_len, dtype=torch.float32)[:, None]
        even = torch.arange(0, embed_dim, 2, dtype=torch.float32)
        angle = position * torch.exp(even * (-math.log(10000.0) / embed_dim))
        table = torch.zeros(seq_len, embed_dim)
        table[:, 0::2] = torch.sin(angle)
        table[:, 1::2] = torch.cos(angle)[:, : embed_dim // 2]
        self.register_buffer("pe", table[None])
        self.pe: Tensor

    def forward(self, x: Tensor) -> Tensor:
        """Adds the encoding to B N C.

        Raises:
            InputError: the sequence is longer than `seq_len`.
        """
        if not torch.jit.is_scripting():  # type: ignore[attr-defined]
            if x.shape[1] > self.pe.shape[1]:
                raise InputError(
                    f"a sequence of {x.shape[1]} tokens is longer than the {self.pe.shape[1]} "
                    f"positions of this encoding; build it with a larger seq_len"
                )
        return x + self.pe[:, : x.shape[1]]


class PatchGrid(tuple[int, ...]):
    """A grid (T, H, W) that may be read or called: PyTorchVideo has it as property and method."""

    def __call__(self) -> Triple:
        """The grid."""
        return self[0], self[1], self[2]


class SpatioTemporalClsPositionalEncoding(nn.Module):
    """Puts a class token in front of the tokens of a clip and adds learned positions.

    Args:
        embed_dim: width of the tokens.
        patch_embed_shape: grid (T, H, W) of the tokens.
        sep_pos_embed: one table for space and one for time, added, instead of one for both.
        has_cls: put a class token in front.
        positions: "learned"; "sincos", a fixed table (needs H = W and `sep_pos_embed` False); or
            "none", where attention knows the positions otherwise.

    Raises:
        ConfigError: a grid of other than three numbers, or an impossible `positions`.
    """

    __constants__: ClassVar[list[str]] = [
        "cls_embed_on", "sep_pos_embed", "absolute", "num_spatial_patch", "num_temporal_patch",
    ]  # fmt: skip
    __jit_unused_properties__: ClassVar[list[str]] = ["patch_embed_shape"]

    def __init__(
        self,
        embed_dim: int,
        patch_embed_shape: Sequence[int],
        sep_pos_embed: bool = False,
        has_cls: bool = True,
        *,
        positions: str = "learned",
    ) -> None:
        super().__init__()
        if len(patch_embed_shape) != 3:
            raise ConfigError(f"patch_embed_shape = {patch_embed_shape}; expected (T, H, W)")
        if positions not in ("learned", "sincos", "none"):
            raise ConfigError(f"positions = {positions!r}; legal values: learned, none, sincos")
        t, h, w = patch_embed_shape
        self.grid: Triple = (int(t), int(h), int(w))
        self.cls_embed_on = has_cls
        self.sep_pos_embed = sep_pos_embed
        self.absolute = positions != "none"
        self.num_spatial_patch, self.num_temporal_patch = h * w, t
        self.cls_token = _zeros(1, embed_dim, has_cls)
        apart, joint = self.absolute and sep_pos_embed, self.absolute and not sep_pos_embed
        self.pos_embed_spatial = _zeros(h * w, embed_dim, apart)
        self.pos_embed_temporal = _zeros(t, embed_dim, apart)
        self.pos_embed_class = _zeros(1, embed_dim, apart and has_cls)
        self.pos_embed = _zeros(t * h * w + has_cls, embed_dim, joint)
        if positions == "sincos":
            self._fix(embed_dim)

    def _fix(self, embed_dim: int) -> None:
        t, h, w = self.grid
        if self.pos_embed is None or h != w:
            raise ConfigError("positions = 'sincos' needs a square grid and sep_pos_embed=False")
        table = get_3d_sincos_pos_embed(embed_dim, h, t, cls_token=self.cls_embed_on)
        self.pos_embed.data.copy_(table[None])
        self.pos_embed.requires_grad_(False)

    @torch.no_grad()
    def reset_parameters(self, std: float = 0.02) -> None:
        """Draws token and tables anew from a truncated normal; a fixed table stays."""
        for parameter in self.parameters():
            if parameter.requires_grad:
                truncated_normal_(parameter, std=std)

    @property
    def patch_embed_shape(self) -> PatchGrid:
        """Grid (T, H, W) of the tokens."""
        return PatchGrid(self.grid)

    def table(self) -> Tensor | None:
        """Positions of all tokens, class token first: 1 N C; None without absolute positions."""
        if self.pos_embed is not None:
            return self.pos_embed
        if self.pos_embed_spatial is None or self.pos_embed_temporal is None:
            return None
        space = self.pos_embed_spatial.repeat(1, self.num_temporal_patch, 1)
        time = self.pos_embed_temporal.repeat_interleave(self.num_spatial_patch, dim=1)
        positions = space + time
        if self.pos_embed_class is not None:
            positions = torch.cat([self.pos_embed_class, positions], dim=1)
        return positions

    def forward(self, x: Tensor) -> Tensor:
        """Maps tokens B N C to B (1 + N) C (B N C without class token)."""
        if self.cls_token is not None:
            x = torch.cat([self.cls_token.expand(x.shape[0], -1, -1), x], dim=1)
        positions = self.table()
        return x if positions is None else x + positions


def _zeros(length: int, width: int, wanted: bool) -> nn.Parameter | None:
    return nn.Parameter(torch.zeros(1, length, width)) if wanted else None


def get_3d_sincos_pos_embed(
    embed_dim: int, grid_size: int, t_size: int, cls_token: bool = False
) -> Tensor:
    """Sines and cosines of frame, row and column.

    Args:
        embed_dim: width, a multiple of 16 (a quarter for time, the rest for rows and columns).
        grid_size: rows, and columns.
        t_size: frames.
        cls_token: put a row of zeros in front.

    Returns:
        (frames * rows * columns) x embed_dim, float64; one more row with `cls_token`.
    """
    if embed_dim % 16:
        raise ConfigError(f"embed_dim = {embed_dim}; it must be a multiple of 16")
    space = get_2d_sincos_pos_embed(embed_dim // 4 * 3, grid_size)
    time = get_1d_sincos_pos_embed_from_grid(embed_dim // 4, np.arange(t_size, dtype=np.float32))
    table = np.concatenate(
        [np.repeat(time, grid_size**2, axis=0), np.tile(space, (t_size, 1))], axis=1
    )
    return torch.from_numpy(_with_cls(table, cls_token))


def get_2d_sincos_pos_embed(embed_dim: int, grid_size: int, cls_token: bool = False) -> Any:
    """Sines and cosines of column and row.

    Args:
        embed_dim: width, a multiple of 4; the first half is of the column.
        grid_size: rows, and columns.
        cls_token: put a row of zeros in front.

    Returns:
        A numpy array (rows * columns) x embed_dim, float64; one more row with `cls_token`.
    """
    side = np.arange(grid_size, dtype=np.float32)
    table = get_2d_sincos_pos_embed_from_grid(embed_dim, np.stack(np.meshgrid(side, side)))
    return _with_cls(table, cls_token)


def _with_cls(table: Any, cls_token: bool) -> Any:
    return np.concatenate([np.zeros((1, table.shape[1])), table]) if cls_token else table


def get_2d_sincos_pos_embed_from_grid(embed_dim: int, grid: Any) -> Any:
    """Sines and cosines of two coordinates, half the channels each.

    Args:
        embed_dim: width, a multiple of 4.
        grid: numpy array 2 x ... of coordinates.

    Returns:
        A numpy array (number of points) x embed_dim, float64.
    """
    _check_even(embed_dim)
    halves = [get_1d_sincos_pos_embed_from_grid(embed_dim // 2, axis) for axis in grid[:2]]
    return np.concatenate(halves, axis=1)


def get_1d_sincos_pos_embed_from_grid(embed_dim: int, pos: Any) -> Any:
    """Sines, then cosines of a coordinate at frequencies from 1 down to 1 / 10000.

    Args:
        embed_dim: width, even.
        pos: numpy array of M coordinates, any shape.

    Returns:
        A numpy array M x embed_dim, float64.
    """
    _check_even(embed_dim)
    half = embed_dim // 2
    frequency = 1.0 / 10000.0 ** (np.arange(half, dtype=np.float64) / (embed_dim / 2.0))
    angle = np.outer(np.asarray(pos).reshape(-1), frequency)
    return np.concatenate([np.sin(angle), np.cos(angle)], axis=1)


def _check_even(embed_dim: int) -> None:
    if embed_dim % 2:
        raise ConfigError(f"embed_dim = {embed_dim}; sines and cosines need an even width")
