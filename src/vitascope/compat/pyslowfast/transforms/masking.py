"""Random blocks of patches to hide from a model that learns to restore them (MaskFeat, BEiT)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from vitascope.errors import ConfigError
from vitascope.transforms.random_source import Draws, RandomSource, as_draws

_TRIES_2D, _TRIES_3D = 10, 100


class MaskingGenerator:
    """Masks of rectangles of patches (arXiv:2106.08254).

    Args:
        mask_window_size: height and width in patches.
        num_masking_patches: how many patches are hidden; a few fewer where no further block fits.
        min_num_patches: smallest block.
        max_num_patches: largest block; None is `num_masking_patches`.
        min_aspect: least height by width of a block.
        max_aspect: greatest one; None is 1 / `min_aspect`.

    Raises:
        ConfigError: values out of range.
    """

    _rank = 2

    def __init__(
        self,
        mask_window_size: tuple[int, ...],
        num_masking_patches: int,
        min_num_patches: int = 16,
        max_num_patches: int | None = None,
        min_aspect: float = 0.3,
        max_aspect: float | None = None,
    ) -> None:
        max_aspect = 1 / min_aspect if max_aspect is None else max_aspect
        self.size = tuple(mask_window_size)
        self.wanted = num_masking_patches
        self.smallest = min_num_patches
        self.largest = num_masking_patches if max_num_patches is None else max_num_patches
        self.log_aspect = (math.log(min_aspect), math.log(max_aspect))
        if not 0 <= self.wanted <= math.prod(self.size) or not 0 < self.smallest:
            raise ConfigError(
                f"num_masking_patches = {self.wanted} of {math.prod(self.size)}, "
                f"min_num_patches = {self.smallest}"
            )
        if len(self.size) != self._rank or min(self.size) < 1:
            raise ConfigError(
                f"mask_window_size = {self.size}; expected {self._rank} positive numbers"
            )

    def __call__(self, *, rng: RandomSource = None) -> Tensor:
        """A mask of the shape `mask_window_size`: int64, 1 is hidden."""
        draws = as_draws(rng)
        mask = torch.zeros(self.size, dtype=torch.int64)
        hidden = 0
        while hidden < self.wanted:
            added = self._block(mask, self.wanted - hidden, draws)
            if not added:
                break
            hidden += added
        return mask

    def _block(self, mask: Tensor, left: int, draws: Draws) -> int:
        limit = min(left, self.largest)
        for _ in range(_TRIES_2D):
            h, w = self._sides(limit, draws)
            if h < self.size[0] and w < self.size[1]:
                top = draws.integer(0, self.size[0] - h + 1)
                start = draws.integer(0, self.size[1] - w + 1)
                if added := _hide(mask[top : top + h, start : start + w], limit):
                    return added
        return 0

    def _sides(self, largest: int, draws: Draws) -> tuple[int, int]:
        area = draws.uniform(self.smallest, largest)
        aspect = math.exp(draws.uniform(*self.log_aspect))
        return round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))


def _hide(block: Tensor, limit: int) -> int:
    """Hides a block if that adds from 1 to `limit` patches; the number that it added."""
    added = block.numel() - int(block.sum())
    if not 0 < added <= limit:
        return 0
    block.fill_(1)
    return added


class MaskingGenerator3D(MaskingGenerator):
    """Masks of boxes of patches in time and space (arXiv:2112.09133); see `MaskingGenerator`.

    `mask_window_size` is time, height and width in patches. Blocks have a random length in time.
    """

    _rank = 3

    def _block(self, mask: Tensor, left: int, draws: Draws) -> int:
        limit = min(left, self.largest)
        frames, height, width = self.size
        for _ in range(_TRIES_3D):
            h, w = self._sides(self.largest, draws)
            length = draws.integer(1, frames + 1)
            if h < height and w < width:
                top = draws.integer(0, height - h + 1)
                start = draws.integer(0, width - w + 1)
                front = draws.integer(0, frames - length + 1)
                block = mask[front : front + length, top : top + h, start : start + w]
                if added := _hide(block, limit):
                    return added
        return 0
