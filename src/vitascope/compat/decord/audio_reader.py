"""The sound of a file by the number of its samples."""

from __future__ import annotations

import os
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from vitascope.compat.decord.base import DecordArgumentError, DECORDError, as_decord
from vitascope.compat.decord.bridge import bridge_out
from vitascope.compat.decord.ndarray import CPU, DECORDContext, NDArray
from vitascope.compat.decord.video_reader import Uri, check_context, whole_numbers
from vitascope.data.modalities.audio import SoundReader


def read_sound(
    content: Any, sample_rate: int, mono: bool, origin: Fraction = Fraction(0)
) -> tuple[npt.NDArray[np.float32], int, Fraction]:
    """All the sound of a file.

    Args:
        content: a path, an address or bytes.
        sample_rate: samples a second; below 1 keeps that of the file.
        mono: the mean of the channels.
        origin: seconds in the file that count as 0.

    Returns:
        Samples C S from -1 to 1, samples a second, and the time of the first sample.

    Raises:
        DECORDError: there is no sound, or it is damaged.
    """
    with as_decord():
        reader = SoundReader(content, origin)
        span = reader.span()
        if span is None:
            name = content if isinstance(content, str | os.PathLike) else f"{len(content)} bytes"
            raise DECORDError(str(name), "has no sound")
        sound = reader.read(span, sample_rate if sample_rate > 0 else None, mono=mono)
        return sound.samples.numpy(), sound.rate, span.start


class AudioReader:
    """Reads the sound of a file, float32 C S from -1 to 1; all of it is in memory.

    Args:
        uri: a file, an address, bytes, or a file opened in binary mode, which is read to its end.
        ctx: `cpu(0)`.
        sample_rate: samples a second; below 1 keeps that of the file.
        mono: the mean of the channels as one.

    Attributes:
        sample_rate: samples a second that are given, never -1.

    Raises:
        DECORDError: the file cannot be opened or has no sound, or `ctx` is a GPU.
        DecordArgumentError: `ctx` is no device.
    """

    def __init__(
        self, uri: Uri, ctx: DECORDContext = CPU, sample_rate: int = -1, mono: bool = True
    ) -> None:
        content = uri if isinstance(uri, str | os.PathLike | bytes) else uri.read()
        check_context(ctx, "sound")
        self._samples, self.sample_rate, self._start = read_sound(content, sample_rate, mono)

    @property
    def shape(self) -> tuple[int, int]:
        """Channels and samples."""
        return self._samples.shape[0], self._samples.shape[1]

    def __len__(self) -> int:
        return self.shape[0]  # as there

    def duration(self) -> float:
        """Seconds of sound."""
        return self.shape[1] / self.sample_rate

    def __getitem__(self, idx: int | slice) -> Any:
        """Samples C for a number, C S for a slice.

        Raises:
            IndexError: a number outside the sound.
        """
        if isinstance(idx, slice):
            return self.get_batch(range(*idx.indices(self.shape[1])))
        (place,) = whole_numbers(idx, self.shape[1])
        return bridge_out(NDArray(self._samples[:, place].copy()))

    def get_batch(self, indices: Any) -> Any:
        """Samples C S of these numbers.

        Raises:
            IndexError: a number outside the sound.
        """
        return bridge_out(NDArray(self._samples[:, whole_numbers(indices, self.shape[1])]))

    def add_padding(self) -> int:
        """Puts zeros before sound that begins after time 0, and returns how many."""
        count = max(round(self._start * self.sample_rate), 0)
        self._samples = np.pad(self._samples, ((0, 0), (count, 0)))
        self._start -= Fraction(count, self.sample_rate)
        return count

    def get_info(self) -> str:
        """The sound in one line."""
        channels, count = self.shape
        return f"{channels} channels, {count} samples at {self.sample_rate} a second"


def sound_parts(
    samples: npt.NDArray[np.float32], bounds: list[tuple[int, int]]
) -> list[npt.NDArray[np.float32]]:
    """Samples [begin, end) for each pair of bounds, zeros where there are none.

    Raises:
        DecordArgumentError: an interval that ends before it begins.
    """
    found = []
    for begin, end in bounds:
        if end < begin:
            raise DecordArgumentError(f"samples from {begin} to {end}")
        part = np.zeros((samples.shape[0], end - begin), np.float32)
        low, high = max(begin, 0), min(end, samples.shape[1])
        if low < high:
            part[:, low - begin : high - begin] = samples[:, low:high]
        found.append(part)
    return found
