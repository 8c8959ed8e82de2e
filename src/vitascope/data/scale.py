"""The size to which frames are brought while they are decoded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from vitascope.data.decoder import Size, check_size
from vitascope.errors import ConfigError
from vitascope.spec import PixelSpec
from vitascope.transforms.spatial import short_side_size


@dataclass(frozen=True, kw_only=True)
class Scale:
    """How large frames leave the decoder.

    Attributes:
        short_side: pixels of the short side, the ratio is kept; or
        size: height and width, the ratio is lost. With neither, frames stay as stored.
    """

    short_side: int | None = None
    size: Size | None = None

    def __post_init__(self) -> None:
        check_size(self.size)
        if self.short_side is not None and self.size is not None:
            raise ConfigError("a scale has a short side or a size, not both")
        if self.short_side is not None and self.short_side < 1:
            raise ConfigError(f"short_side = {self.short_side}; it must be at least 1 pixel")

    def of(self, height: int, width: int) -> Size:
        """Height and width of a frame that is stored with these."""
        if self.short_side is not None:
            return short_side_size(height, width, self.short_side, "nearest")
        return self.size or (height, width)

    @classmethod
    def from_pixels(cls, pixels: PixelSpec) -> Self:
        """The size that a model's evaluation begins with."""
        if pixels.fit == "squash":
            return cls(size=pixels.crop)
        return cls(short_side=pixels.short_side)
