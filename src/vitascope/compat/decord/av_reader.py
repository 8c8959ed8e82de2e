"""Frames of a video with the sound that belongs to each of them."""

from __future__ import annotations

import math
import os
from fractions import Fraction
from typing import Any

from vitascope.compat.decord.audio_reader import read_sound, sound_parts
from vitascope.compat.decord.bridge import bridge_out
from vitascope.compat.decord.ndarray import CPU, DECORDContext, NDArray
from vitascope.compat.decord.video_reader import Uri, VideoReader, whole_numbers


class AVReader:
    """Reads frames with their sound: the samples from the time of a frame to that of the next.

    Sound and frames count from the first frame, so that the parts of neighboring frames touch.

    Args:
        uri: see `VideoReader`.
        ctx: `cpu(0)`.
        sample_rate: samples a second; below 1 keeps that of the file.
        mono: the mean of the channels as one.
        width: see `VideoReader`.
        height: see `VideoReader`.
        num_threads: see `VideoReader`.
        fault_tol: see `VideoReader`.

    Raises:
        DECORDError: there is no video, or it has no sound.
    """

    def __init__(
        self,
        uri: Uri,
        ctx: DECORDContext = CPU,
        sample_rate: int = -1,
        mono: bool = True,
        width: int = -1,
        height: int = -1,
        num_threads: int = 0,
        fault_tol: float = -1,
    ) -> None:
        content = uri if isinstance(uri, str | os.PathLike | bytes) else uri.read()
        self._frames = VideoReader(content, ctx, width, height, num_threads, fault_tol)
        origin = self._frames._open.start
        self._samples, self._rate, self._start = read_sound(content, sample_rate, mono, origin)

    def __len__(self) -> int:
        return len(self._frames)

    def __getitem__(self, idx: int | slice) -> tuple[Any, Any]:
        """Samples C S and a frame H W C; for a slice what `get_batch` gives.

        Raises:
            IndexError: a number outside the video.
            DECORDError: a damaged frame.
        """
        if isinstance(idx, slice):
            return self.get_batch(range(*idx.indices(len(self))))
        places = whole_numbers(idx, len(self))
        return self._sound(places)[0], self._frames[places[0]]

    def get_batch(self, indices: Any) -> tuple[list[Any], Any]:
        """A list of samples C S, one entry a frame, and the frames N H W C.

        Raises:
            IndexError: a number outside the video.
            DECORDError: a damaged frame.
        """
        places = whole_numbers(indices, len(self))
        return self._sound(places), self._frames.get_batch(places)

    def _sound(self, places: list[int]) -> list[Any]:
        first = round(self._start * self._rate)
        times, durations = self._frames._times, self._frames._open.durations

        def sample(time: Fraction) -> int:
            return math.ceil(time * self._rate) - first

        bounds = [(sample(times[i]), sample(times[i] + durations[i])) for i in places]
        return [bridge_out(NDArray(part)) for part in sound_parts(self._samples, bounds)]
