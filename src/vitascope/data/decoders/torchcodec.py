"""Pixels from TorchCodec, at the frame numbers and times of this package."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vitascope.data.decoder import Image, Size
from vitascope.data.decoders.timed import TimedDecoder, learn
from vitascope.data.decoders.timeline import Timeline
from vitascope.errors import DecodeError
from vitascope.optional import require

_ERRORS = (RuntimeError, ValueError, LookupError)
_AT_ONCE = 8  # frames decoded in one call, so that memory does not grow with the request


def open_torchcodec(
    path: str | Path,
    *,
    size: Size | None = None,
    threads: int = 1,
    time_limit: float | None = None,
    timeline: Timeline | None = None,
) -> TimedDecoder:
    """Opens a video file with TorchCodec.

    TorchCodec is given the frame times that this package found, so it does not scan the file
    itself and means the same frame by the same number. `time_limit` is not enforced.

    Raises:
        DecodeError: no video, or one that TorchCodec cannot read by number.
        MissingExtraError: TorchCodec is not installed, or finds no FFmpeg that it can load.
    """
    decoders = require("torchcodec.decoders", extra="torchcodec")
    timeline, stream, aspect = learn(str(path), timeline, "TorchCodec")
    pixels = _TorchCodec(decoders, str(path), stream, threads, timeline)
    turned = pixels.size != pixels.stored and pixels.size == pixels.stored[::-1]
    return TimedDecoder(
        str(path), timeline, pixels, size=size, pixel_aspect=1 / aspect if turned else aspect
    )


class _TorchCodec:
    """TorchCodec with our frame times, or, where those do not do, with its own scan."""

    def __init__(
        self, decoders: Any, path: str, stream: int, threads: int, timeline: Timeline
    ) -> None:
        self._decoders, self._path, self._timeline = decoders, path, timeline
        self._settings = {
            "stream_index": stream,
            "dimension_order": "NHWC",
            "num_ffmpeg_threads": threads,
        }
        self._decoder: Any = None
        self._scanned = False
        try:
            first = self._first(_mapping(timeline))
        except _ERRORS:
            # A seek by our key frames misses in some formats (MPEG-TS, edit lists).
            first = self._by_its_own_scan()
        metadata = self._open.metadata
        self.stored: Size = (int(metadata.height), int(metadata.width))
        self.size: Size = (int(first.shape[0]), int(first.shape[1]))

    @property
    def _open(self) -> Any:
        return self._decoder

    def _first(self, mapping: str | None) -> Image:
        settings = self._settings | ({} if mapping is None else {"custom_frame_mappings": mapping})
        self._decoder = self._decoders.VideoDecoder(os.path.abspath(self._path), **settings)
        first: Image = self._read([0])[0]
        return first

    def _by_its_own_scan(self) -> Image:
        self._scanned = True
        try:
            first = self._first(None)
            count = len(self._decoder)
        except _ERRORS as error:
            raise self._refuse(_reason(error)) from error
        if count != len(self._timeline):
            raise self._refuse(
                f"TorchCodec finds {count} frames where there are {len(self._timeline)}"
            )
        return first

    def _read(self, indices: list[int]) -> Image:
        """Frames of these numbers, with their times compared.

        Raises:
            LookupError: the frame of another time came.
        """
        batch = self._decoder.get_frames_at(indices)
        base = self._timeline.time_base
        for index, seconds in zip(indices, batch.pts_seconds.tolist(), strict=True):
            expected = int(self._timeline.pts[index]) * base
            if abs(seconds - expected) * 2 > base:
                raise LookupError(
                    f"TorchCodec gave the frame of {seconds:.6f} s for frame {index} "
                    f"of {float(expected):.6f} s"
                )
        images: Image = batch.data.numpy()
        return images

    def frames(self, indices: Sequence[int]) -> Iterator[Image]:
        for begin in range(0, len(indices), _AT_ONCE):
            part = list(indices[begin : begin + _AT_ONCE])
            try:
                images = self._read(part)
            except _ERRORS as error:
                images = self._again(part, error)
            yield from images

    def _again(self, indices: list[int], error: Exception) -> Image:
        if not self._scanned:
            self._by_its_own_scan()
            try:
                return self._read(indices)
            except _ERRORS as second:
                error = second
        raise DecodeError(
            self._path,
            f"one of the frames {indices[0]} to {indices[-1]} is damaged or missing "
            f"({_reason(error)})",
            time=self._timeline.time(indices[0]),
        ) from error

    def _refuse(self, text: str) -> DecodeError:
        return DecodeError(self._path, text, remedy="Use the decoder pyav.")

    def close(self) -> None:
        self._decoder = None


def _mapping(timeline: Timeline) -> str:
    """The frames as TorchCodec wants to be told of them."""
    keys = set(timeline.key_pts.tolist())
    lengths = [*np.diff(timeline.pts).tolist(), timeline.last]
    frames = [
        {"pts": pts, "duration": length, "key_frame": int(pts in keys)}
        for pts, length in zip(timeline.pts.tolist(), lengths, strict=True)
    ]
    return json.dumps({"frames": frames})


def _reason(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0][:200] if lines else type(error).__name__
