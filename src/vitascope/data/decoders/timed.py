"""A decoder out of two parts: the exact times of this package, and someone else's pixels."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Protocol

import numpy as np

from vitascope.data.decoder import Frames, Image, Size, check_size
from vitascope.data.decoders.base import OnTimeline, frame_numbers
from vitascope.data.decoders.packets import scan
from vitascope.data.decoders.pixels import scale_image
from vitascope.data.decoders.source import Source
from vitascope.data.decoders.timeline import Timeline
from vitascope.data.decoders.truncation import cut_off
from vitascope.errors import DecodeError


class Pixels(Protocol):
    """What a library has to offer: upright RGB frames by number."""

    @property
    def size(self) -> Size:
        """Height and width of the upright image."""
        ...

    def frames(self, indices: Sequence[int]) -> Iterator[Image]:
        """The frames of these numbers (ascending, each once), uint8 H W C.

        Raises:
            DecodeError: a frame does not come, or comes with another time than it should.
        """
        ...

    def close(self) -> None:
        """Frees the file."""
        ...


class TimedDecoder(OnTimeline):
    """A `Decoder` whose frames come from `pixels` and whose times come from `timeline`.

    Args:
        path: the file as given by the caller.
        timeline: exact times; the numbers given to `pixels` count its frames.
        pixels: source of the images.
        size: height and width of frames if not given to `read`; None keeps the stored size.
        pixel_aspect: width of an upright stored pixel divided by its height.
    """

    def __init__(
        self,
        path: str,
        timeline: Timeline,
        pixels: Pixels,
        *,
        size: Size | None = None,
        pixel_aspect: Fraction = Fraction(1),
    ) -> None:
        self.path, self._timeline, self.size = path, timeline, size
        self._pixels: Pixels | None = pixels
        # Threads may share a decoder: they read one after the other.
        self._alone = threading.RLock()
        self._aspect = pixel_aspect

    @property
    def timeline(self) -> Timeline:
        """Exact times; frame numbers count its entries."""
        return self._timeline

    @property
    def height(self) -> int:
        """Pixels from top to bottom of the upright image."""
        return self._open.size[0]

    @property
    def width(self) -> int:
        """Pixels from left to right of the upright image."""
        return self._open.size[1]

    @property
    def pixel_aspect(self) -> Fraction:
        """Width of an upright stored pixel divided by its height; 1 if the file does not say."""
        return self._aspect

    @property
    def _open(self) -> Pixels:
        if self._pixels is None:
            raise DecodeError(self.path, "the video is closed")
        return self._pixels

    def read(self, indices: Sequence[int], size: Size | None = None) -> Frames:
        """Decodes frames by number, in the order asked for; see `Decoder.read`."""
        check_size(size)
        with self._alone:
            return self._read(indices, size)

    def _read(self, indices: Sequence[int], size: Size | None) -> Frames:
        wanted = frame_numbers(self.path, indices, len(self.timeline))
        height, width = size or self.size or self._open.size
        data = np.empty((len(wanted), height, width, 3), np.uint8)
        order = sorted(set(wanted))
        for index, image in zip(order, self._open.frames(order), strict=True):
            picture = self._scaled(index, image, (height, width))
            for place, other in enumerate(wanted):
                if other == index:
                    data[place] = picture
        times, durations = self.times, self.durations
        return Frames.of(data, (times[i] for i in wanted), (durations[i] for i in wanted))

    def stream(
        self,
        start: Fraction = Fraction(0),
        end: Fraction | None = None,
        size: Size | None = None,
    ) -> Iterator[tuple[Fraction, Image]]:
        """Decodes forward, one frame at a time, in constant memory; see `Decoder.stream`."""
        check_size(size)
        timeline = self.timeline
        first = timeline.index_at(start)
        stop = len(timeline)
        if end is not None:
            stop = min(timeline.index_at(end) + 1, stop)
            if timeline.time(stop - 1) >= end:
                stop -= 1
        height, width = size or self.size or self._open.size
        pictures = self._open.frames(range(first, stop))
        for index in range(first, stop):
            with self._alone:
                picture = self._scaled(index, next(pictures), (height, width))
            yield timeline.time(index), picture

    def _scaled(self, index: int, image: Image, size: Size) -> Image:
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            raise DecodeError(
                self.path,
                f"frame {index} came as {image.dtype} {image.shape} and not as RGB",
                time=self.timeline.time(index),
                remedy="Use the decoder pyav.",
            )
        return scale_image(image, size)

    def cut_off(self) -> str | None:
        """What is missing at the end of the file; see `Decoder.cut_off`."""
        source = Source(self.path)
        try:
            return cut_off(source, self.timeline)
        finally:
            source.close()

    def close(self) -> None:
        """Frees the file."""
        with self._alone:
            if self._pixels is not None:
                self._pixels.close()
                self._pixels = None


def learn(path: str, timeline: Timeline | None, library: str) -> tuple[Timeline, int, Fraction]:
    """Times, number of the video stream, and pixel aspect, for a library that is not PyAV.

    Raises:
        DecodeError: no video, or one without times of its own, in which another library could
            not be told which frame is meant.
    """
    source = Source(path)
    try:
        if timeline is None:
            timeline = scan(source)
        if timeline.how == "counted":
            raise DecodeError(
                path,
                f"the file has no times of its own, which {library} needs",
                remedy="Use the decoder pyav.",
            )
        aspect = source.stream.codec_context.sample_aspect_ratio or Fraction(1)
        return timeline, int(source.stream.index), Fraction(aspect)
    finally:
        source.close()
