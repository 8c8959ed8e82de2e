"""The file of one cached video: a plain .npy array of frames, and behind it what was known.

Behind the array stand JSON, the length of the JSON in 8 bytes, and a mark. numpy ignores all
three, so the file opens with `numpy.load(file, mmap_mode="r")` as well.
"""

from __future__ import annotations

import io
import json
import math
import mmap
import os
from collections.abc import Iterator, Sequence
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.lib import format as npy

from vitascope.data.decoder import Decoder, Frames, Image, Size, open_video
from vitascope.data.decoders.base import Closing
from vitascope.transforms.preprocess import resize

MARK = b"VSCOPE01"
_CHUNK = 64  # most frames in memory while a video is written
_CHUNK_BYTES = 1 << 28  # and most bytes of them, as large as they are decoded
TIME_LIMIT = 120.0  # seconds for one read, so that a broken file cannot hold up an epoch


def encode(
    video: Decoder, wanted: range, size: Size, decoder: str, *, resized: bool = False
) -> Iterator[bytes]:
    """The content of the file for some frames of a video, piece by piece.

    Args:
        video: the video.
        wanted: numbers of the frames.
        size: height and width to store.
        decoder: name of the backend.
        resized: decode whole frames and scale them as an evaluation does
            (`transforms.preprocess.resize`), and not while they are decoded.

    Raises:
        DecodeError: one of the frames does not come out whole.
    """
    shape = (len(wanted), *size, 3)
    head = io.BytesIO()
    npy.write_array_header_1_0(
        head, {"descr": "|u1", "fortran_order": False, "shape": shape}
    )  # fmt: skip
    yield head.getvalue()
    height, width = (video.height, video.width) if resized else size
    chunk = max(1, min(_CHUNK, _CHUNK_BYTES // (height * width * 3)))
    for begin in range(0, len(wanted), chunk):
        frames = video.read(wanted[begin : begin + chunk], size=None if resized else size).data
        if resized:
            frames = resize(frames, *size)
        yield frames.contiguous().numpy().tobytes()
    known = json.dumps({
        "shape": shape,
        "offset": head.tell(),
        "first": wanted.start,
        "path": video.path,
        "decoder": decoder,
        "resized": resized,
        "start": str(video.start),
        "times": _over_one(video.times),
        "durations": _over_one(video.durations),
        "width": video.width,
        "height": video.height,
        "pixel_aspect": str(video.pixel_aspect),
    }).encode()  # fmt: skip
    yield known + len(known).to_bytes(8, "little") + MARK


def open_stored(file: Path) -> CachedVideo | None:
    """Opens a cached video; None if there is none. A damaged file is removed, and is none."""
    try:
        handle = os.open(file, os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        total = os.fstat(handle).st_size
        mapped = mmap.mmap(handle, 0, access=mmap.ACCESS_READ) if total > 16 else None
    finally:
        os.close(handle)
    known = None if mapped is None else _read_known(mapped, total)
    if mapped is None or known is None:
        # Renamed into place before its content reached the disk, and then the power went.
        file.unlink(missing_ok=True)
        return None
    return CachedVideo(mapped, known)


def _read_known(mapped: mmap.mmap, total: int) -> dict[str, Any] | None:
    length = int.from_bytes(mapped[total - 16 : total - 8], "little")
    if mapped[total - 8 :] != MARK or length > total - 16:
        return None
    known: dict[str, Any] = json.loads(mapped[total - 16 - length : total - 16])
    whole = known["offset"] + math.prod(known["shape"]) + length + 16 == total
    return known if whole else None


class CachedVideo(Closing):
    """A cached video; frames that are not in the cache come from the file itself.

    Those are decoded at the size of the cache, or as large as they are where the cached ones were
    scaled afterwards: whoever reads them then scales both.
    """

    def __init__(self, mapped: mmap.mmap, known: dict[str, Any]) -> None:
        self.path: str = known["path"]
        self._known, self._mapped = known, mapped
        shape: tuple[int, ...] = tuple(known["shape"])
        flat = np.frombuffer(mapped, np.uint8, math.prod(shape), known["offset"])
        self._frames = flat.reshape(shape)
        self._original: Decoder | None = None

    @property
    def start(self) -> Fraction:
        """Seconds in the file at which the first frame is shown."""
        return Fraction(self._known["start"])

    @cached_property
    def times(self) -> tuple[Fraction, ...]:
        """Exact time of every frame in seconds, ascending, the first one 0."""
        return _fractions(self._known["times"])

    @cached_property
    def durations(self) -> tuple[Fraction, ...]:
        """Seconds that each frame is shown."""
        return _fractions(self._known["durations"])

    @property
    def duration(self) -> Fraction:
        """Seconds from the first frame to the end of the last."""
        return self.times[-1] + self.durations[-1]

    @property
    def fps(self) -> Fraction:
        """Frames a second on average."""
        return len(self.times) / self.duration

    @property
    def width(self) -> int:
        """Pixels from left to right of the upright picture in the file."""
        return int(self._known["width"])

    @property
    def height(self) -> int:
        """Pixels from top to bottom of the upright picture in the file."""
        return int(self._known["height"])

    @property
    def pixel_aspect(self) -> Fraction:
        """Width of a stored pixel divided by its height."""
        return Fraction(self._known["pixel_aspect"])

    def read(self, indices: Sequence[int], size: Size | None = None) -> Frames:
        """Copies frames out of the cache; see `Decoder.read`."""
        wanted = np.asarray([int(i) for i in indices], dtype=np.int64)
        places = wanted - self._known["first"]
        if len(wanted) and not 0 <= wanted.min() <= wanted.max() < len(self.times):
            raise IndexError(f"{self.path}: frames {wanted.min()} to {wanted.max()} of "
                             f"{len(self.times)}")  # fmt: skip
        cached = len(wanted) == 0 or 0 <= places.min() <= places.max() < len(self._frames)
        if not cached or (size is not None and tuple(size) != self._frames.shape[1:3]):
            return self._file().read(indices, size=size or self._decoded)
        return Frames(
            torch.from_numpy(self._frames[places]),
            tuple(self.times[i] for i in wanted),
            tuple(self.durations[i] for i in wanted),
        )

    def stream(
        self,
        start: Fraction = Fraction(0),
        end: Fraction | None = None,
        size: Size | None = None,
    ) -> Iterator[tuple[Fraction, Image]]:
        """Decodes the file itself, forward; see `Decoder.stream`."""
        return self._file().stream(start, end, size or self._decoded)

    @property
    def _decoded(self) -> Size | None:
        """The size at which the cached frames left the decoder; None is that of the file."""
        if self._known.get("resized"):
            return None
        return (self._frames.shape[1], self._frames.shape[2])

    def _file(self) -> Decoder:
        if self._original is None:
            self._original = open_video(self.path, self._known["decoder"], time_limit=TIME_LIMIT)
        return self._original

    def cut_off(self) -> str | None:
        """None: it was whole when it was stored, and is known again only while unchanged."""
        return None

    def close(self) -> None:
        """Frees the file. Frames that were read stay valid: they are copies."""
        if self._original is not None:
            self._original.close()
        if not self._mapped.closed:
            del self._frames
            self._mapped.close()


def _over_one(times: Sequence[Fraction]) -> list[int]:
    """Fractions as whole numbers: the common denominator, then the numerators over it."""
    whole = math.lcm(*(t.denominator for t in times))
    return [whole, *(t.numerator * (whole // t.denominator) for t in times)]


def _fractions(numbers: Sequence[int]) -> tuple[Fraction, ...]:
    whole, *rest = numbers
    return tuple(Fraction(n, whole) for n in rest)
