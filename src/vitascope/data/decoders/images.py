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
from vitascope.data.decoders.base import AtOneRate, frame_numbers, given_rate
from vitascope.data.decoders.packets import decode
from vitascope.data.decoders.pixels import Converter
from vitascope.data.decoders.source import Source
from vitascope.data.listing import has_image_suffix
from vitascope.errors import DecodeError


class ImagesDecoder(AtOneRate):
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
        self.rate = given_rate(fps, self.path)
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
        made.rate, made.files = given_rate(fps, made.path), list(files)
        return made

    def __len__(self) -> int:
        """The number of images."""
        return len(self.files)

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
        return self.frames(data, wanted)

    def stream(
        self,
        start: Fraction = Fraction(0),
        end: Fraction | None = None,
        size: Size | None = None,
    ) -> Iterator[tuple[Fraction, Image]]:
        """Decodes one image after the other; see `Decoder.stream`."""
        check_size(size)
        for index, time in self.between(start, end):
            image = np.empty((*(size or self.size or self._shape), 3), np.uint8)
            self._convert(index, image)
            yield time, image

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
            raise DecodeError(path, "the image is damaged", time=index / self.rate)
        return frame


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
