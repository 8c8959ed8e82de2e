"""Frames that are in memory already as a video."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction

import numpy as np

from vitascope.data.decoder import Frames, Image, Size, check_size
from vitascope.data.decoders.base import AtOneRate, frame_numbers, given_rate
from vitascope.data.decoders.pixels import scale_image
from vitascope.errors import InputError


class ArrayDecoder(AtOneRate):
    """An array of frames, read as if it were a folder of these images.

    Args:
        frames: uint8 T H W C, RGB.
        size: height and width of frames if not given to `read`; None keeps theirs.
        fps: frames a second; None is 25.
        name: what to call them in messages.

    Raises:
        InputError: another type or shape; the message says which one it is.
        ConfigError: a rate that is not above 0.
    """

    def __init__(
        self,
        frames: Image,
        *,
        size: Size | None = None,
        fps: Fraction | int | None = None,
        name: str = "",
    ) -> None:
        check_size(size)
        fault = ""
        if frames.dtype != np.uint8:
            fault = f"type {frames.dtype}"
        elif frames.ndim != 4 or frames.shape[3] != 3 or not frames.size:
            fault = f"shape {tuple(frames.shape)}"
        if fault:
            raise InputError(f"frames of {fault}; expected uint8 in the order T H W C with C = 3")
        self.path = name or f"<{len(frames)} frames of {frames.shape[1]} x {frames.shape[2]}>"
        self.size, self._frames = size, frames
        self.rate = given_rate(fps)

    def __len__(self) -> int:
        """The number of frames."""
        return len(self._frames)

    @property
    def height(self) -> int:
        """Pixels from top to bottom."""
        return int(self._frames.shape[1])

    @property
    def width(self) -> int:
        """Pixels from left to right."""
        return int(self._frames.shape[2])

    def read(self, indices: Sequence[int], size: Size | None = None) -> Frames:
        """Copies frames by number, in the order asked for; see `Decoder.read`."""
        check_size(size)
        wanted = frame_numbers(self.path, indices, len(self))
        height, width = size or self.size or (self.height, self.width)
        data = np.empty((len(wanted), height, width, 3), np.uint8)
        for place, index in enumerate(wanted):
            data[place] = scale_image(self._frames[index], (height, width))
        return self.frames(data, wanted)

    def stream(
        self,
        start: Fraction = Fraction(0),
        end: Fraction | None = None,
        size: Size | None = None,
    ) -> Iterator[tuple[Fraction, Image]]:
        """Gives one frame after the other; see `Decoder.stream`."""
        check_size(size)
        for index, time in self.between(start, end):
            frame = self._frames[index]
            yield time, scale_image(frame, size or self.size or frame.shape[:2])
