"""Frames that are in memory already as a video."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from functools import cached_property

import numpy as np

from vitascope.data.decoder import Frames, Image, Size, check_size
from vitascope.data.decoders.base import Closing
from vitascope.data.decoders.pixels import scale_image
from vitascope.errors import ConfigError, InputError

DEFAULT_FPS = Fraction(25)  # that of a folder of frames, which has no times of its own either


class ArrayDecoder(Closing):
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
        self._fps = DEFAULT_FPS if fps is None else Fraction(fps)
        if self._fps <= 0:
            raise ConfigError(f"fps = {fps}; it must be above 0")

    @property
    def start(self) -> Fraction:
        """Always 0: arrays have no times of their own."""
        return Fraction(0)

    @cached_property
    def times(self) -> tuple[Fraction, ...]:
        """Number of the frame divided by the rate."""
        return tuple(n / self._fps for n in range(len(self._frames)))

    @property
    def durations(self) -> tuple[Fraction, ...]:
        """The same for every frame."""
        return (1 / self._fps,) * len(self._frames)

    @property
    def duration(self) -> Fraction:
        """Number of frames divided by the rate."""
        return len(self._frames) / self._fps

    @property
    def fps(self) -> Fraction:
        """The rate given."""
        return self._fps

    @property
    def height(self) -> int:
        """Pixels from top to bottom."""
        return int(self._frames.shape[1])

    @property
    def width(self) -> int:
        """Pixels from left to right."""
        return int(self._frames.shape[2])

    @property
    def pixel_aspect(self) -> Fraction:
        """Always 1."""
        return Fraction(1)

    def read(self, indices: Sequence[int], size: Size | None = None) -> Frames:
        """Copies frames by number, in the order asked for; see `Decoder.read`."""
        check_size(size)
        wanted = [int(i) for i in indices]
        for index in wanted:
            if not 0 <= index < len(self._frames):
                raise IndexError(f"{self.path}: frame {index} of {len(self._frames)}")
        height, width = size or self.size or (self.height, self.width)
        data = np.empty((len(wanted), height, width, 3), np.uint8)
        for place, index in enumerate(wanted):
            data[place] = scale_image(self._frames[index], (height, width))
        times = (index / self._fps for index in wanted)
        return Frames.of(data, times, [1 / self._fps] * len(wanted))

    def stream(
        self,
        start: Fraction = Fraction(0),
        end: Fraction | None = None,
        size: Size | None = None,
    ) -> Iterator[tuple[Fraction, Image]]:
        """Gives one frame after the other; see `Decoder.stream`."""
        check_size(size)
        for index in range(max(int(start * self._fps), 0), len(self._frames)):
            if end is not None and index / self._fps >= end:
                return
            frame = self._frames[index]
            yield index / self._fps, scale_image(frame, size or self.size or frame.shape[:2])

    def cut_off(self) -> str | None:
        """None: nothing tells how many frames there should be."""
        return None

    def close(self) -> None:
        """Nothing is kept open."""
