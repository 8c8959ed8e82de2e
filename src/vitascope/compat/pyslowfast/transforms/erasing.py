"""Random erasing (arXiv:1708.04896) of clips: boxes are filled with zeros, a color or noise."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from vitascope.errors import ConfigError, InputError
from vitascope.transforms.random_source import Draws, RandomSource, as_draws
from vitascope.transforms.spatial import Box, window_sides

Mode = Literal["const", "rand", "pixel"]


class RandomErasing:
    """Fills random boxes of normalized frames T C H W; the input is not changed.

    Args:
        probability: of erasing a clip (each frame, without `cube`).
        min_area: smallest share of the image that is erased.
        max_area: largest share.
        min_aspect: least height by width of a box.
        max_aspect: greatest one; None is 1 / `min_aspect`.
        mode: "const" fills with 0 (the mean of normalized frames), "rand" with one random color
            for each box, "pixel" with noise; both from the standard normal distribution.
        min_count: fewest boxes; they share the area.
        max_count: most boxes; None is `min_count`.
        num_splits: above 1, the first of so many equal parts of the frames stays as it is (for
            batches of which one part is to be clean). For clips this is nearly never wanted.
        cube: the same boxes in all frames.

    Raises:
        ConfigError: values out of range.
    """

    def __init__(
        self,
        probability: float = 0.5,
        min_area: float = 0.02,
        max_area: float = 1 / 3,
        min_aspect: float = 0.3,
        max_aspect: float | None = None,
        mode: Mode = "const",
        min_count: int = 1,
        max_count: int | None = None,
        num_splits: int = 0,
        cube: bool = True,
    ) -> None:
        max_aspect = 1 / min_aspect if max_aspect is None else max_aspect
        max_count = min_count if max_count is None else max_count
        if mode not in ("const", "rand", "pixel"):
            raise ConfigError(f"mode = {mode!r}; legal values: const, rand, pixel")
        if not (0 <= probability <= 1 and 0 < min_area <= max_area <= 1):
            raise ConfigError(
                f"probability = {probability}, areas {min_area} to {max_area}: shares from 0 to 1"
            )
        if not (0 < min_aspect <= max_aspect and 1 <= min_count <= max_count):
            raise ConfigError(
                f"aspects {min_aspect} to {max_aspect}, counts {min_count} to {max_count}: "
                "above 0, smaller first"
            )
        self.probability, self.area, self.mode = probability, (min_area, max_area), mode
        self.log_aspect = (math.log(min_aspect), math.log(max_aspect))
        self.count = (min_count, max_count)
        self.num_splits, self.cube = num_splits, cube

    def boxes(self, height: int, width: int, draws: Draws) -> list[Box]:
        """Boxes to erase; none with the probability of leaving a clip alone."""
        if draws.uniform() > self.probability:
            return []
        low, high = self.count
        count = low if low == high else draws.integer(low, high + 1)
        found = [self._box(height, width, count, draws) for _ in range(count)]
        return [box for box in found if box is not None]

    def _box(self, height: int, width: int, count: int, draws: Draws) -> Box | None:
        for _ in range(100 if self.cube else 10):
            area = draws.uniform(*self.area) * height * width / count
            aspect = math.exp(draws.uniform(*self.log_aspect))
            w, h = window_sides(area, aspect)  # this aspect is height by width
            if w < width and h < height:
                top = draws.integer(0, height - h + 1)
                return top, draws.integer(0, width - w + 1), h, w
        return None

    def __call__(self, frames: Tensor, *, rng: RandomSource = None) -> Tensor:
        """Erases boxes of float frames T C H W."""
        if frames.ndim != 4 or not frames.is_floating_point():
            raise InputError(
                f"expected float frames T C H W, got {frames.dtype} of shape {tuple(frames.shape)}"
            )
        draws = as_draws(rng)
        count, _, height, width = frames.shape
        first = count // self.num_splits if self.num_splits > 1 else 0
        parts = (
            [slice(first, count)] if self.cube else [slice(t, t + 1) for t in range(first, count)]
        )
        erased = frames.clone()
        for part in parts:
            for top, left, h, w in self.boxes(height, width, draws):
                patch = erased[part, :, top : top + h, left : left + w]
                patch.copy_(self._filling(patch, draws))
        return erased

    def _filling(self, patch: Tensor, draws: Draws) -> Tensor:
        if self.mode == "const":
            return torch.zeros_like(patch)
        generator = torch.Generator().manual_seed(draws.integer(0, 2**31))
        size = (patch.shape[1], 1, 1) if self.mode == "rand" else patch.shape[1:]
        # All frames of a box get the same filling, so that it does not flicker.
        return torch.randn(size, generator=generator).to(patch).expand_as(patch)
