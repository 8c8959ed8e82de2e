"""The file of one cached video: a plain .npy array of frames, and behind it what was known.

Behind the array stand JSON, the state of the video's file in 16 bytes, a checksum of the JSON in 4,
its length in 8, and a mark. numpy ignores all of them, so the file opens with
`numpy.load(file, mmap_mode="r")` as well. The JSON has a checksum for each frame, and one for the
video's file. What does not fit its checksum is removed, and the frames come from the video itself.
"""

from __future__ import annotations

import io
import json
import math
import os
import threading
import zlib
from collections.abc import Iterator, Sequence
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from numpy.lib import format as npy

from vitascope.data.decoder import Decoder, Frames, Image, Size, open_video
from vitascope.data.decoders.base import Closing, frame_numbers
from vitascope.data.unchanged import content, state
from vitascope.errors import DecodeError
from vitascope.transforms.preprocess import resize

MARK = b"VSCOPE02"
_PAGE = 4096
_STATE, _TAIL = 16, 16 + 4 + 8 + len(b"VSCOPE02")
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
    before = state(video.path)
    sums: list[int] = []
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
        images = frames.contiguous().numpy()
        sums += [_sum(image) for image in images]
        yield images.tobytes()
    sum_of_file = content(video.path)
    if state(video.path) != before:
        raise DecodeError(video.path, "the file was written to while it was read")
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
        "sums": sums,
        "content": sum_of_file,
    }).encode()  # fmt: skip
    check, length = zlib.crc32(known).to_bytes(4, "little"), len(known).to_bytes(8, "little")
    yield known + _packed(before) + check + length + MARK


def _packed(state: str) -> bytes:
    return bytes.fromhex(state).ljust(_STATE, b"\0")


def open_stored(file: Path) -> CachedVideo | None:
    """Opens a cached video; None if there is none.

    One that is damaged, or of a video whose file is another by now, is removed and is none.
    """
    try:
        handle = os.open(file, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    except OSError:
        return None
    known = None
    try:
        known = read_known(handle)
        if known is not None and _is_current(file, handle, known):
            return CachedVideo(file, handle, known)
    except OSError:
        pass  # a disk that fails: as if it were not there
    os.close(handle)
    _remove(file)
    return None


def _remove(file: Path) -> None:
    try:
        file.unlink(missing_ok=True)
    except OSError:  # a cache that may only be read; what is in it is not used
        return


def read_known(handle: int) -> dict[str, Any] | None:
    """What the file of a cached video says of it; None if it is damaged or something else."""
    total = os.fstat(handle).st_size
    tail = _at(handle, max(total - _TAIL, 0), _TAIL)
    if len(tail) < _TAIL or not tail.endswith(MARK):
        # Renamed into place before its content reached the disk, and then the power went.
        return None
    check, length = (
        tail[_STATE : _STATE + 4],
        int.from_bytes(tail[_STATE + 4 : _STATE + 12], "little"),
    )
    if length > total - _TAIL:
        return None
    text = _at(handle, total - _TAIL - length, length)
    if zlib.crc32(text).to_bytes(4, "little") != check:
        return None
    known: dict[str, Any] = json.loads(text)
    whole = known["offset"] + math.prod(known["shape"]) + length + _TAIL == total
    return known | {"state": tail[:_STATE], "end": total} if whole else None


def _is_current(file: Path, handle: int, known: dict[str, Any]) -> bool:
    """Whether the video's file is the one that was decoded."""
    now = _packed(state(known["path"]))
    if now == known["state"]:
        return True
    if content(known["path"]) != known["content"]:
        return False
    try:
        with open(file, "r+b") as writing:  # so that it is compared only once
            writing.seek(known["end"] - _TAIL)
            writing.write(now)
    except OSError:
        return True
    return True


def _at(handle: int, place: int, count: int) -> bytes:
    """Bytes from a place, fewer at the end of the file."""
    found = bytearray(count)
    return bytes(found[: _fill(handle, place, memoryview(found))])


def _fill(handle: int, place: int, out: memoryview) -> int:
    """Reads from a place, without moving it for others; the number of bytes that were there."""
    done = 0
    while done < len(out):
        got = os.preadv(handle, [out[done:]], place + done)
        if not got:
            break
        done += got
    return done


def _sum(image: Image) -> int:
    """A checksum of a frame: one over the sums of its pages, which is as fast as copying it."""
    flat = image.reshape(-1)
    whole = len(flat) // _PAGE * _PAGE
    pages = flat[:whole].view("<u8").reshape(-1, _PAGE // 8).sum(axis=1, dtype=np.uint64)
    return zlib.crc32(flat[whole:].tobytes(), zlib.crc32(pages.tobytes()))


class CachedVideo(Closing):
    """A cached video; frames that are not in the cache come from the file itself.

    Those are decoded at the size of the cache, or as large as they are where the cached ones were
    scaled afterwards: whoever reads them then scales both.
    """

    def __init__(self, file: Path, handle: int, known: dict[str, Any]) -> None:
        self.path: str = known["path"]
        self._known, self._cache, self._handle = known, file, handle
        self._shape: tuple[int, ...] = tuple(known["shape"])
        self._original: Decoder | None = None
        self._alone = threading.RLock()

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
        """Pixels from left to right of the upright image in the file."""
        return int(self._known["width"])

    @property
    def height(self) -> int:
        """Pixels from top to bottom of the upright image in the file."""
        return int(self._known["height"])

    @property
    def pixel_aspect(self) -> Fraction:
        """Width of a stored pixel divided by its height."""
        return Fraction(self._known["pixel_aspect"])

    def read(self, indices: Sequence[int], size: Size | None = None) -> Frames:
        """Copies frames out of the cache; see `Decoder.read`."""
        wanted = np.asarray(frame_numbers(self.path, indices, len(self.times)), dtype=np.int64)
        places = wanted - self._known["first"]
        cached = len(wanted) == 0 or 0 <= places.min() <= places.max() < self._shape[0]
        if size is not None and tuple(size) != self._shape[1:3]:
            cached = False
        data = self._copy(places) if cached else None
        if data is None:
            return self._file().read(indices, size=size or self._decoded)
        return Frames(
            torch.from_numpy(data),
            tuple(self.times[i] for i in wanted),
            tuple(self.durations[i] for i in wanted),
        )

    def _copy(self, places: npt.NDArray[np.int64]) -> Image | None:
        """Frames of the cache; None, and no cache any more, if one of them is damaged."""
        with self._alone:
            if self._handle < 0:
                return None
            data = np.empty((len(places), *self._shape[1:]), np.uint8)
            count, sums = math.prod(self._shape[1:]), self._known["sums"]
            for number, place in enumerate(places.tolist()):
                out = memoryview(data[number].reshape(-1))
                try:
                    got = _fill(self._handle, self._known["offset"] + place * count, out)
                except OSError:
                    got = 0
                if got != count or _sum(data[number]) != sums[place]:
                    self._let_go()
                    _remove(self._cache)
                    return None
            return data

    def _let_go(self) -> None:
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1

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
        return (self._shape[1], self._shape[2])

    def _file(self) -> Decoder:
        with self._alone:
            if self._original is None:
                decoder = self._known["decoder"]
                self._original = open_video(self.path, decoder, time_limit=TIME_LIMIT)
            return self._original

    def cut_off(self) -> str | None:
        """None: it was whole when it was stored, and is known again only while unchanged."""
        return None

    def close(self) -> None:
        """Frees the file. Frames that were read stay valid: they are copies."""
        if self._original is not None:
            self._original.close()
        with self._alone:
            self._let_go()


def _over_one(times: Sequence[Fraction]) -> list[int]:
    """Fractions as whole numbers: the common denominator, then the numerators over it."""
    whole = math.lcm(*(t.denominator for t in times))
    return [whole, *(t.numerator * (whole // t.denominator) for t in times)]


def _fractions(numbers: Sequence[int]) -> tuple[Fraction, ...]:
    whole, *rest = numbers
    return tuple(Fraction(n, whole) for n in rest)
