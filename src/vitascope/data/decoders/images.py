"""A folder of numbered images as a video."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
import torch
from av.video.frame import VideoFrame

from vitascope.data.decoder import Frames, Image, Size, check_size
from vitascope.data.decoders.base import Closing, frame_numbers
from vitascope.data.decoders.packets import decode
from vitascope.data.decoders.pixels import Converter
from vitascope.data.decoders.source import Source
from vitascope.data.listing import has_image_suffix
from vitascope.errors import ConfigError, DecodeError

DEFAULT_FPS = Fraction(25)


class ImagesDecoder(Closing):
    """Images in one folder, in the order of the numbers in their names.

    img_9.jpg comes before img_10.jpg. Hidden files and files that are no images are passed
    over; images of another size than the first are scaled to it.

    Args:
        path: the folder.
        size: height and width of frames if not given to `read`; None keeps the size of the first.
        fps: frames a second; images have no times of their own.

    Raises:
        DecodeError: there is no image in the folder.
        ConfigError: a rate that is not above 0.
    """

    def __init__(
        self, path: str | Path, *, size: Size | None = None, fps: Fraction | int | None = None
    ) -> None:
        self.path, self.size = str(path), size
        self._fps = DEFAULT_FPS if fps is None else Fraction(fps)
        if self._fps <= 0:
            raise ConfigError(f"fps = {fps} for {path}; it must be above 0")
        self.files = picture_files(Path(path))
        if not self.files:
            raise DecodeError(self.path, "no image in this folder")

    @classmethod
    def of_files(cls, files: Sequence[Path], fps: Fraction | int | None = None) -> Self:
        """Images in the order given, from any folders.

        Raises:
            DecodeError: there is none.
        """
        if not files:
            raise DecodeError("<pictures>", "the list of images is empty")
        made = cls.__new__(cls)
        made.path, made.size = str(files[0].parent), None
        made._fps, made.files = DEFAULT_FPS if fps is None else Fraction(fps), list(files)
        return made

    @property
    def start(self) -> Fraction:
        """Always 0: images have no times of their own."""
        return Fraction(0)

    @cached_property
    def times(self) -> tuple[Fraction, ...]:
        """Number of the image divided by the rate."""
        return tuple(n / self._fps for n in range(len(self.files)))

    @property
    def durations(self) -> tuple[Fraction, ...]:
        """The same for every image."""
        return (1 / self._fps,) * len(self.files)

    @property
    def duration(self) -> Fraction:
        """Number of images divided by the rate."""
        return len(self.files) / self._fps

    @property
    def fps(self) -> Fraction:
        """The rate given."""
        return self._fps

    @cached_property
    def _shape(self) -> Size:
        return Converter(self._picture(0)).size

    @property
    def height(self) -> int:
        """Pixels from top to bottom of the first image."""
        return self._shape[0]

    @property
    def width(self) -> int:
        """Pixels from left to right of the first image."""
        return self._shape[1]

    @property
    def pixel_aspect(self) -> Fraction:
        """Always 1."""
        return Fraction(1)

    def read(self, indices: Sequence[int], size: Size | None = None) -> Frames:
        """Decodes images by number, in the order asked for; see `Decoder.read`."""
        check_size(size)
        wanted = frame_numbers(self.path, indices, len(self.files))
        data = np.empty((len(wanted), *(size or self.size or self._shape), 3), np.uint8)
        done: dict[int, int] = {}
        for place, index in enumerate(wanted):
            if index in done:
                data[place] = data[done[index]]
            else:
                self._convert(index, data[place])
                done[index] = place
        times = (index / self._fps for index in wanted)
        return Frames.of(data, times, [1 / self._fps] * len(wanted))

    def stream(
        self,
        start: Fraction = Fraction(0),
        end: Fraction | None = None,
        size: Size | None = None,
    ) -> Iterator[tuple[Fraction, Image]]:
        """Decodes one image after the other; see `Decoder.stream`."""
        check_size(size)
        for index in range(max(int(start * self._fps), 0), len(self.files)):
            if end is not None and index / self._fps >= end:
                return
            image = np.empty((*(size or self.size or self._shape), 3), np.uint8)
            self._convert(index, image)
            yield index / self._fps, image

    def _convert(self, index: int, out: Image) -> None:
        picture = self._picture(index)
        Converter(picture).convert(picture, out)

    def _picture(self, index: int) -> VideoFrame:
        path = str(self.files[index])
        source = Source(path)
        try:
            frame, whole = next(decode(source, []), (None, False))
        finally:
            source.close()
        if frame is None or not whole:
            raise DecodeError(path, "the image is damaged", time=index / self._fps)
        return frame

    def cut_off(self) -> str | None:
        """None: a folder does not tell how many images it should have."""
        return None

    def close(self) -> None:
        """Nothing is kept open."""


def picture_files(folder: Path) -> list[Path]:
    """The images of a folder in the order of the numbers in their names."""
    with os.scandir(folder) as entries:
        names = [
            entry.name
            for entry in entries
            if has_image_suffix(entry.name) and not entry.name.startswith(".") and entry.is_file()
        ]
    return [folder / name for name in sorted(names, key=_natural)]


def _natural(name: str) -> tuple[list[str | int], str]:
    # The split gives text and number in turn, so only like is compared with like; the name itself
    # decides between 1.png and 01.png.
    parts = re.split(r"([0-9]+)", name)
    return [int(part) if i % 2 else part for i, part in enumerate(parts)], name


def read_pictures(paths: Sequence[str], threads: int = 1) -> torch.Tensor:
    """Images as uint8 T H W C, RGB; those of another size are scaled to the first.

    Raises:
        DecodeError: one is missing or damaged.
    """
    files = [Path(path) for path in paths]
    decoder = ImagesDecoder.of_files(files)
    if threads == 1 or len(files) < 2:
        return decoder.read(range(len(files))).data
    size = decoder.height, decoder.width
    with ThreadPoolExecutor(threads) as pool:
        parts = pool.map(lambda i: decoder.read([i], size).data, range(len(files)))
        return torch.cat(list(parts))
