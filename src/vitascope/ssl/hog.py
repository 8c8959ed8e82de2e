"""Histograms of oriented gradients, the target of MaskFeat (arXiv:2112.09133)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vitascope.errors import InputError


def gaussian_window(size: int) -> Tensor:
    """A bell of size x size with a deviation of half its side, whose sum is 1."""
    place = torch.arange(size, dtype=torch.float32)
    side = torch.exp(-0.5 * ((place - place.mean()) / (size // 2)) ** 2)
    window = torch.outer(side, side)
    return window / window.sum()


class HOGLayer(nn.Module):
    """Orientation histograms of cells of an image, for each color.

    Args:
        nbins: orientations from 0 to 180 degrees.
        pool: side of a cell in pixels.
        window: side of a bell that weights the pixels, repeated over the image; 0 for none.
    """

    def __init__(self, nbins: int = 9, pool: int = 8, window: int = 0) -> None:
        super().__init__()
        self.nbins = nbins
        self.pool = pool
        self.window = window
        across = torch.tensor([[1.0, 0.0, -1.0], [2.0, 0.0, -2.0], [1.0, 0.0, -1.0]])
        # Two tensors of their own: views of one would be overwritten by each other on loading.
        self.register_buffer("weight_x", across.repeat(3, 1, 1, 1))
        self.register_buffer("weight_y", across.t().contiguous().repeat(3, 1, 1, 1))
        self.weight_x: Tensor
        self.weight_y: Tensor
        if window:
            self.register_buffer("gkern", gaussian_window(window))
            self.gkern: Tensor

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        """Maps images B 3 H W to B 3 nbins H/pool W/pool; each histogram has length 1.

        Raises:
            InputError: with a window, sides that are no multiple of it.
        """
        padded = F.pad(x, (1, 1, 1, 1), mode="reflect")
        across = F.conv2d(padded, self.weight_x.to(x.dtype), groups=3)
        down = F.conv2d(padded, self.weight_y.to(x.dtype), groups=3)
        strength = torch.hypot(across, down)
        if self.window:
            strength = strength * self._bells(x.shape[2], x.shape[3]).to(x.dtype)
        angle = torch.atan2(across, down) / math.pi * self.nbins
        orientation = angle.floor().remainder(self.nbins)
        cells = [F.avg_pool2d(strength * (orientation == k), self.pool) for k in range(self.nbins)]
        return F.normalize(torch.stack(cells, dim=2) * self.pool**2, dim=2)

    def _bells(self, height: int, width: int) -> Tensor:
        if height % self.window or width % self.window:
            raise InputError(
                f"an image of {height}x{width} is no multiple of the window of {self.window}"
            )
        return self.gkern.repeat(height // self.window, width // self.window)
