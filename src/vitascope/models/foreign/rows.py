"""What models of other libraries were fed with in their publications.

Configurations of these models say neither how far apart the frames were nor, without the file of
a processor, how pixels were scaled.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

from vitascope.models.hub.rows import clip
from vitascope.spec import ClipSpec, PixelSpec

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True, kw_only=True)
class Published:
    """Clip and pixels of a family.

    Attributes:
        clip: which frames, for the number of frames in a configuration.
        paper: arXiv number.
        mean: mean of each channel on a scale of 0 to 1.
        std: standard deviation of each channel on the same scale.
        short_side: short side of a frame for each pixel of the crop.
    """

    clip: Callable[[int], ClipSpec]
    paper: str
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    short_side: float = 1.0

    def pixels(self, size: tuple[int, int]) -> PixelSpec:
        """The published scale at a crop of `size` (h, w)."""
        short = math.ceil(min(size) * self.short_side)
        return PixelSpec(short_side=short, crop=size, mean=self.mean, std=self.std)


PUBLISHED = {
    "videomae": Published(clip=lambda frames: clip(frames, 4), paper="arXiv:2203.12602"),
    "timesformer": Published(
        # 8x32, 16x16 and 96x4
        clip=lambda frames: clip(frames, 4 if frames > 16 else max(1, 256 // frames)),
        mean=(0.45,) * 3,
        std=(0.225,) * 3,
        paper="arXiv:2102.05095",
    ),
    "vivit": Published(
        clip=lambda frames: clip(frames, 2),
        mean=(0.5,) * 3,
        std=(0.5,) * 3,
        short_side=256 / 224,
        paper="arXiv:2103.15691",
    ),
    "vjepa2": Published(
        # trained at 4 frames a second
        clip=lambda frames: ClipSpec(num_frames=frames, fps=Fraction(4)),
        short_side=292 / 256,
        paper="arXiv:2506.09985",
    ),
}
