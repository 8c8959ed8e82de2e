"""Pixels from decord, at the frame numbers and times of this package."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from vitascope.data.decoder import Image, Size
from vitascope.data.decoders.timed import TimedDecoder, learn
from vitascope.data.decoders.timeline import Timeline
from vitascope.errors import DecodeError
from vitascope.optional import require


def open_decord(
    path: str | Path,
    *,
    size: Size | None = None,
    threads: int = 1,
    time_limit: float | None = None,
    timeline: Timeline | None = None,
) -> TimedDecoder:
    """Opens a video file with decord, a library without maintainer that is kept for comparison.

    Rotation is not applied by decord, so a turned video is refused. `time_limit` is not enforced.

    Raises:
        DecodeError: no video, or one whose frames decord numbers otherwise.
        MissingExtraError: decord is not installed.
    """
    decord = require("decord", extra="decord")
    timeline, _, aspect = learn(str(path), timeline, "decord")
    pixels = _Decord(decord, str(path), threads, timeline)
    return TimedDecoder(str(path), timeline, pixels, size=size, pixel_aspect=aspect)


class _Decord:
    def __init__(self, decord: Any, path: str, threads: int, timeline: Timeline) -> None:
        self._path, self._timeline = path, timeline
        self._error: type[Exception] = decord.DECORDError
        try:
            self._reader: Any = decord.VideoReader(os.path.abspath(path), num_threads=threads)
            count = len(self._reader)
            first = self._reader[0].asnumpy()
        except (self._error, RuntimeError, IndexError) as error:
            raise self._refuse(str(error).strip().splitlines()[0][:200]) from error
        if count != len(timeline):
            raise self._refuse(f"decord finds {count} frames where there are {len(timeline)}")
        self.size: Size = (int(first.shape[0]), int(first.shape[1]))
        known = timeline.size
        if known is not None and known != self.size:
            raise self._refuse("decord does not turn the image upright")

    def _refuse(self, text: str) -> DecodeError:
        return DecodeError(self._path, text, remedy="Use the decoder pyav.")

    def frames(self, indices: Sequence[int]) -> Iterator[Image]:
        for index in indices:
            try:
                image: Image = self._reader[index].asnumpy()
                begin = float(self._reader.get_frame_timestamp(index)[0])
            except (self._error, RuntimeError, IndexError) as error:
                raise DecodeError(
                    self._path,
                    f"frame {index} is damaged or missing ({type(error).__name__})",
                    time=self._timeline.time(index),
                ) from error
            expected = float(self._timeline.time(index))
            start = float(self._timeline.start)
            if min(abs(begin - expected), abs(begin - expected - start)) > 2e-3:
                raise self._refuse(
                    f"decord gives the time {begin:.3f} s to frame {index} of {expected:.3f} s"
                )
            yield image

    def close(self) -> None:
        self._reader = None
