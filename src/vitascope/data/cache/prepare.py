"""Videos made smaller for training: one short side, key frames close together, exact times kept.

Images only; sound is not copied. Every video is written by a process of its own and is there
whole or not at all, so an interrupted preparation goes on where it was.
"""

from __future__ import annotations

import hashlib
import json
import math
import multiprocessing
import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import av

from vitascope.data.cache.video import TIME_LIMIT
from vitascope.data.decoder import open_video
from vitascope.data.records import Table
from vitascope.data.tables.classes import CLASS_FILES
from vitascope.data.tables.split import write_split
from vitascope.data.write import H264
from vitascope.distributed import cores
from vitascope.errors import ConfigError, DecodeError
from vitascope.files import replacing
from vitascope.transforms.spatial import short_side_size

Outcome = Literal["written", "there", "failed"]

_FINEST = 2**24  # ticks a second that a container can be asked for


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How videos are written.

    Attributes:
        short_side: pixels of the short side; smaller videos are not enlarged.
        crf: quality of x264, 0 (lossless) to 51.
        keyframes: most frames from one key frame to the next; few make random clips fast.
    """

    short_side: int = 256
    crf: int = 20
    keyframes: int = 16

    def __post_init__(self) -> None:
        if self.short_side < 2 or not 0 <= self.crf <= 51 or self.keyframes < 1:
            raise ConfigError(
                f"short_side = {self.short_side}, crf = {self.crf}, keyframes = "
                f"{self.keyframes}; at least 2, 0 to 51, at least 1"
            )


@dataclass(frozen=True, kw_only=True)
class PreparedFile:
    """One video: source, target, what was done, and the reason if it failed."""

    path: str
    target: str
    outcome: Outcome
    error: str | None = None
    sound: bool = False


@dataclass(frozen=True, kw_only=True)
class PrepareReport:
    """All videos, in the order of their sources, and the data set that they make.

    Attributes:
        files: the videos.
        data: what to train on now: the folder, or the list in it.
    """

    files: tuple[PreparedFile, ...]
    data: str

    def count(self, outcome: Outcome) -> int:
        """Videos with this outcome."""
        return sum(file.outcome == outcome for file in self.files)


def prepare(
    table: Table,
    out: str | Path,
    settings: Settings | None = None,
    *,
    jobs: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> PrepareReport:
    """Writes every video of a data set as a smaller H.264 video, and lists beside them.

    Paths below `out` are those below the root of the data set, with the suffix `.mp4` added to
    another one. A data set of lists gets one list `videos.csv` with the videos that were written.

    Args:
        table: the data set; local files or folders of frames.
        out: where to write.
        settings: size and quality.
        jobs: processes; None is one a core.
        progress: called with videos done and videos in all.

    Raises:
        ConfigError: `out` is the data set itself, or settings out of range.
    """
    settings = settings or Settings()
    target = os.path.abspath(out)
    if target == os.path.abspath(table.root):
        raise ConfigError(f"{out}: is the data set itself. Give another folder")
    paths = sorted({record.path for record in table.records})
    tasks = {path: _target(path, table.root, target) for path in paths}
    done: dict[str, PreparedFile] = {}
    for file in _all(settings, tasks, min(jobs or cores(), len(paths))):
        done[file.path] = file
        if progress is not None:
            progress(len(done), len(paths))
    files = tuple(done[path] for path in paths)
    good = {f.path: f.target for f in files if f.outcome != "failed"}
    return PrepareReport(files=files, data=_write_lists(table, target, good))


def _all(settings: Settings, tasks: dict[str, str], jobs: int) -> Iterator[PreparedFile]:
    """Videos in the order in which they are done."""
    if jobs == 1:
        yield from (_one(settings, path, target) for path, target in tasks.items())
        return
    # Spawned, because forked copies of a process with threads may hang.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context) as pool:
        work = [pool.submit(_one, settings, path, target) for path, target in tasks.items()]
        for future in as_completed(work):
            yield future.result()


def _target(path: str, root: str, out: str) -> str:
    relative = os.path.relpath(path, root)
    if relative.startswith(".."):  # a list may name videos anywhere
        mark = hashlib.sha256(os.fsencode(os.path.dirname(path))).hexdigest()[:8]
        relative = os.path.join(mark, os.path.basename(path))
    return os.path.join(out, relative if relative.lower().endswith(".mp4") else relative + ".mp4")


def _write_lists(table: Table, out: str, targets: dict[str, str]) -> str:
    for name in CLASS_FILES:
        if os.path.isfile(os.path.join(table.root, name)):
            shutil.copyfile(os.path.join(table.root, name), os.path.join(out, name))
    if not table.layout.startswith("list") or not targets:
        return out
    records = tuple(
        replace(record, path=targets[record.path])
        for record in table.records
        if record.path in targets
    )
    made = os.path.join(out, "videos.csv")
    write_split(replace(table, records=records, root=out), made)
    return made


def _one(settings: Settings, path: str, target: str) -> PreparedFile:
    mark = _mark(settings, path)
    if _known(target) == mark:
        return PreparedFile(path=path, target=target, outcome="there")
    Path(target).parent.mkdir(parents=True, exist_ok=True)
    try:
        # A link may lead to the very video that is read.
        with replacing(target, keep_link=False) as draft:
            _encode(settings, path, str(draft), mark)
    except (DecodeError, av.FFmpegError, OSError) as error:
        return PreparedFile(path=path, target=target, outcome="failed", error=str(error))
    return PreparedFile(path=path, target=target, outcome="written", sound=_has_sound(path))


def _mark(settings: Settings, path: str) -> str:
    """Changes with the source and with the settings."""
    try:
        state = os.stat(path)
    except OSError:
        return ""  # opening it will say what is wrong
    facts = [
        settings.short_side,
        settings.crf,
        settings.keyframes,
        state.st_size,
        state.st_mtime_ns,
    ]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def _known(target: str) -> str | None:
    if not os.path.exists(target):
        return None
    try:
        with av.open(target) as film:
            return film.metadata.get("comment")
    except av.FFmpegError:
        return None  # broken: written again


def _has_sound(path: str) -> bool:
    if os.path.isdir(path):
        return False
    with av.open(path) as film:
        return bool(film.streams.audio)


def _encode(settings: Settings, path: str, target: str, mark: str) -> None:
    with open_video(path, time_limit=TIME_LIMIT, whole=True) as video:
        ticks = math.lcm(*(time.denominator for time in (*video.times, video.duration)))
        ticks = ticks if ticks <= _FINEST else 90_000
        short = min(settings.short_side, video.height, video.width)
        height, width = (side + side % 2 for side in short_side_size(
            video.height, video.width, short, "nearest"))  # fmt: skip
        with av.open(target, "w") as film:
            film.metadata["comment"] = mark
            stream: Any = film.add_stream(
                "libx264",
                rate=video.fps.limit_denominator(65_535),
                # Settings under which the same video always gives the same file.
                options={**H264, "crf": str(settings.crf), "g": str(settings.keyframes)},
            )  # fmt: skip
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            stream.codec_context.time_base = Fraction(1, ticks)
            for time, image in video.stream(size=(height, width)):
                picture = av.VideoFrame.from_ndarray(image, format="rgb24")
                picture.pts, picture.time_base = round(time * ticks), Fraction(1, ticks)
                film.mux(stream.encode(picture))
            film.mux(stream.encode(None))
