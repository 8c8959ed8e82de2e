"""A cache of decoded frames on disk: each video is decoded once, later reads copy a few frames.

Frames in the cache are those that the decoder gives at this size, so results do not depend on
what the cache holds. Each frame has a checksum, and the file of a video is known again by more than
its size and time (see `unchanged`); what is at an address is taken to stay as it is. A full disk, a
folder that cannot be written to, or a used-up budget make reading slower and nothing else.
"""

from __future__ import annotations

import bisect
import errno
import hashlib
import json
import logging
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import torch
from torch.utils.data import get_worker_info

from vitascope.data.cache.video import MARK, TIME_LIMIT, encode, open_stored
from vitascope.data.decoder import Decoder, Size, open_video
from vitascope.data.frames import at
from vitascope.data.scale import Scale
from vitascope.data.shards.remote import parse_part
from vitascope.errors import ConfigError, DecodeError
from vitascope.files import locked, remove_unfinished, write_atomically
from vitascope.spec import PixelSpec
from vitascope.transforms.preprocess import scaled_size

_LOG = logging.getLogger(__name__)
SHARE = 0.1
"""Part of the free disk that a cache takes where no limit is given."""

_STALE = 3600.0  # seconds after which a half-written file belongs to nobody any more
_DIGITS = 20
_WORKERS = 256  # rows for counting; a worker beyond shares one


@dataclass(frozen=True, kw_only=True)
class StoreReport:
    """What a store did since it was made, in all its processes.

    Attributes:
        hits: videos opened from the cache.
        written: videos decoded and kept.
        decoded: videos decoded and not kept (no budget, too long, damaged, or no disk space).
        used: bytes on disk.
        problem: why nothing more is kept; empty if all is well.
    """

    hits: int
    written: int
    decoded: int
    used: int
    problem: str


class FrameCache:
    """Opens videos through the cache. Safe with any number of processes on one folder.

    Args:
        folder: where the cache lies; made when missing. Where that is not possible nothing is
            kept, and `report` says why.
        short_side: short side of the frames in pixels, or
        size: their height and width, or
        pixels: the size that an evaluation with these scales whole frames to, by its own scaling:
            its transform gives the same pixels for a frame of the cache and for the whole one.
        budget: most bytes on disk; beyond it videos are decoded each time. None is no limit.
        share: the budget as a share of the disk that is free without the cache.
        max_frames: longer videos are decoded each time, because a clip needs few of their frames.
        decoder: backend that decodes.

    Raises:
        ConfigError: two sizes are given.
    """

    def __init__(
        self,
        folder: str | Path,
        short_side: int | None = None,
        *,
        size: Size | None = None,
        pixels: PixelSpec | None = None,
        budget: int | None = None,
        share: float | None = None,
        max_frames: int = 1200,
        decoder: str = "pyav",
    ) -> None:
        self.folder, self.scale = Path(folder), Scale(short_side=short_side, size=size)
        if pixels is not None and self.scale != Scale():
            raise ConfigError("a frame cache is scaled by pixels, or has a short side or a size")
        self.pixels = pixels
        self.budget, self.max_frames, self.decoder = budget, max_frames, decoder
        # One row a worker, so that no two processes write to the same number.
        self._counts = _shared(torch.zeros(_WORKERS, 3, dtype=torch.int64))
        self._stopped = _shared(torch.zeros(1, dtype=torch.int64))
        self._unfit: set[str] = set()
        self._usable = True
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:  # nobody asked for this very folder: go on without
            self._usable = False
            self._stopped[0] = error.errno or errno.EIO
            return
        with self._ledger() as ledger:
            ledger.used = self._measure()
            if share is not None:
                self.budget = default_budget(self.folder, ledger.used, share)

    def open(
        self, path: str, start: Fraction | None = None, end: Fraction | None = None
    ) -> Decoder:
        """Opens a video, or the part [start, end) of it in seconds, from the cache if it is there.

        The first time, the part is decoded and written. Times and frame numbers are those of the
        whole video in any case. Frames are to be read at the size that `scale` gives.

        Raises:
            DecodeError: the file cannot be opened, or is cut off and its end belongs to the part.
        """
        key = self._key(path, start, end)
        file = self.folder / key[:2] / f"{key}.npy"
        stored = open_stored(file) if self._usable else None
        if stored is not None:
            self._count(0)
            return stored
        video = open_video(path, self.decoder, time_limit=TIME_LIMIT, whole=end is None)
        try:
            if key not in self._unfit and self._keep(video, file, start, end):
                stored = open_stored(file)
        except BaseException:
            video.close()
            raise
        if stored is not None:
            video.close()
            self._count(1)
            return stored
        self._unfit.add(key)
        self._count(2)
        return video

    def report(self) -> StoreReport:
        """What was read, written and decoded so far."""
        hits, written, decoded = self._counts.sum(0).tolist()
        with self._ledger() as ledger:
            used = ledger.used
        code = int(self._stopped)
        problem = f"{self.folder}: {os.strerror(code)}" if code else ""
        return StoreReport(hits=hits, written=written, decoded=decoded, used=used, problem=problem)

    def _keep(
        self, video: Decoder, file: Path, start: Fraction | None, end: Fraction | None
    ) -> bool:
        """Writes the frames of a part; False if they are not to be kept or cannot be."""
        wanted = visible(video.times, start, end)
        if self.pixels is None:
            size = self.scale.of(video.height, video.width)
        else:
            size = scaled_size(video.height, video.width, self.pixels)
        need = len(wanted) * size[0] * size[1] * 3
        if int(self._stopped) or len(wanted) > self.max_frames:
            return False
        with self._ledger() as ledger:
            if self.budget is not None and ledger.used + need > self.budget:
                return False
            ledger.used += need
        written = 0
        try:
            file.parent.mkdir(exist_ok=True)
            content = encode(video, wanted, size, self.decoder, resized=self.pixels is not None)
            written = write_atomically(file, content)
        except DecodeError:
            return False  # the frames that a clip needs may be whole: its own read will tell
        except OSError as error:
            self._stop(error)
            return False
        finally:
            with self._ledger() as ledger:
                ledger.used += written - need
        return True

    def _stop(self, error: OSError) -> None:
        """Gives up writing for good and says so once, in whichever process it happens."""
        if int(self._stopped):
            return
        self._stopped[0] = error.errno or errno.EIO
        _LOG.warning(
            "%s: %s. No further frames are kept there; videos are decoded each time instead.",
            self.folder,
            error.strerror,
        )

    def _key(self, path: str, start: Fraction | None, end: Fraction | None) -> str:
        """A name that changes with everything that the frames depend on."""
        facts = [MARK.decode(), os.path.abspath(path), *_fingerprint(path), self.scale.short_side,
                 self.scale.size, self.decoder, av.__version__, str(start), str(end)]  # fmt: skip
        if self.pixels is not None:
            facts += ["resized", self.pixels.short_side, *self.pixels.crop, self.pixels.fit]
        text = json.dumps(facts)  # escapes whatever is not ASCII
        return hashlib.sha256(text.encode()).hexdigest()[:40]

    def _count(self, column: int) -> None:
        worker = get_worker_info()
        row = 0 if worker is None else 1 + worker.id % (_WORKERS - 1)
        self._counts.numpy()[row, column] += 1

    def _measure(self) -> int:
        """Bytes on disk; removes what killed processes left half-written."""
        used = 0
        for folder in self.folder.iterdir():
            if not folder.is_dir():
                continue
            with suppress(OSError):  # a folder that may only be read
                remove_unfinished(folder, older=_STALE)
            for entry in os.scandir(folder):
                try:
                    used += entry.stat().st_size
                except FileNotFoundError:
                    continue  # renamed or removed by another process meanwhile
        return used

    @contextmanager
    def _ledger(self) -> Iterator[_Ledger]:
        """The bytes in use, under a lock that all processes on the folder share."""
        file = self.folder / ".used"
        try:
            file.touch()
        except OSError:  # a folder that may only be read: nothing will be written either
            yield _Ledger(0)
            return
        with locked(file):
            text = file.read_bytes()[: _DIGITS + 1]
            known = len(text) == _DIGITS and text.isdigit()
            ledger = _Ledger(int(text) if known else self._measure())  # damaged: counted anew
            before = ledger.used if known else -1
            yield ledger
            if ledger.used != before:
                self._write_ledger(ledger.used)

    def _write_ledger(self, used: int) -> None:
        try:
            # Always as many digits, so that a full disk cannot refuse a longer number.
            with open(self.folder / ".used", "r+b") as file:
                file.truncate(_DIGITS)
                file.write(b"%0*d" % (_DIGITS, max(used, 0)))
        except OSError as error:
            self._stop(error)


def default_budget(folder: Path, used: int, share: float = SHARE) -> int:
    """Bytes that a cache may take: a share of what is free without the `used` bytes of its own."""
    return int(share * (free_bytes(folder) + used))


def free_bytes(folder: Path) -> int:
    """Free bytes of the disk on which a folder lies or will lie; 0 where nobody can tell."""
    for place in (folder.absolute(), *folder.absolute().parents):
        with suppress(OSError):
            return shutil.disk_usage(place).free
    return 0


@dataclass
class _Ledger:
    used: int


def _shared(counts: torch.Tensor) -> torch.Tensor:
    """Numbers that all processes see; with no room for that each process has its own."""
    try:
        return counts.share_memory_()  # type: ignore[no-untyped-call,no-any-return]
    except RuntimeError:  # /dev/shm is full: that matters to workers, who will say so
        return counts


def visible(times: Sequence[Fraction], start: Fraction | None, end: Fraction | None) -> range:
    """Numbers of the frames on the screen at any time in [start, end) seconds, at least one."""
    first = 0 if start is None else at(times, [start])[0]
    stop = len(times) if end is None else bisect.bisect_left(times, end)
    return range(first, max(stop, first + 1))


def _fingerprint(path: str) -> list[object]:
    """Size and time of change of a file (for a part of a shard: the shard), or of every frame."""
    part = parse_part(path)
    path = path if part is None else part.shard
    try:
        state = os.stat(path)
        if not os.path.isdir(path):
            return [state.st_size, state.st_mtime_ns]
        with os.scandir(path) as entries:
            found = [(e.name, e.stat().st_size, e.stat().st_mtime_ns) for e in entries]
    except OSError:
        return []  # opening it will say what is wrong
    return [sorted(found)]
