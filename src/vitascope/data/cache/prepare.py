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
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path, PurePath
from typing import Any, Literal

import av

from vitascope.data.cache.video import TIME_LIMIT
from vitascope.data.decoder import open_video
from vitascope.data.limits import check_jobs, full_disk, process_limit, raise_limit
from vitascope.data.listing import is_remote
from vitascope.data.records import Table
from vitascope.data.shards.remote import parse_part
from vitascope.data.tables.classes import CLASS_FILES
from vitascope.data.tables.layouts import is_below
from vitascope.data.tables.split import write_split
from vitascope.data.write import H264
from vitascope.distributed import cores
from vitascope.errors import ConfigError, DatasetError, DecodeError, RunError
from vitascope.files import folder_of, replacing
from vitascope.text import shown
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
        for name, value, low, high in (
            ("short_side", self.short_side, 2, 8192),
            ("crf", self.crf, 0, 51),
            ("keyframes", self.keyframes, 1, 10_000),
        ):
            if not low <= value <= high:
                raise ConfigError(f"{name} = {value}; from {low} to {high}")


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
    another one. Where two would get the same path, all but one get a mark of their own path in it.
    A data set of lists gets one list `videos.csv` with the videos that were written.

    Args:
        table: the data set; local files or folders of frames.
        out: where to write.
        settings: size and quality.
        jobs: processes; None is one a core.
        progress: called with videos done and videos in all.

    Raises:
        ConfigError: `out` is the data set itself, or settings out of range.
        DatasetError: videos that are no local files.
        RunError: the disk is full or cannot be written to; what was written before is whole.
    """
    settings = settings or Settings()
    check_jobs(jobs)
    target = os.path.abspath(out)
    paths = sorted({record.path for record in table.records})
    far = next((p for p in paths if is_remote(p) or parse_part(p) is not None), None)
    if far is not None:
        raise DatasetError(f"{shown(far)}: only local files can be prepared")
    tasks = targets(paths, table.root, target)
    _check_place(table, tasks, target)
    done: dict[str, PreparedFile] = {}
    with _folders(tasks.values()):
        for file in _all(settings, tasks, min(jobs or cores(), len(paths))):
            done[file.path] = file
            if progress is not None:
                progress(len(done), len(paths))
        files = tuple(done[path] for path in paths)
        good = {f.path: f.target for f in files if f.outcome != "failed"}
        return PrepareReport(files=files, data=_write_lists(table, target, good))


@contextmanager
def _folders(targets: Iterable[str]) -> Iterator[None]:
    """Makes the folders of files; in the end, those that were made and got none are removed."""
    with ExitStack() as made:
        for folder in sorted({os.path.dirname(target) for target in targets}):
            with suppress(OSError):  # who writes there says what is wrong
                made.enter_context(folder_of(os.path.join(folder, "file")))
        yield


def targets(paths: Sequence[str], root: str, out: str) -> dict[str, str]:
    """Where the video of each video goes: a place of its own, also where case does not count.

    A video `clip.mp4` and the folder `clip` of its frames would both be `clip.mp4`, and so would
    `a.avi` and `a.avi.mp4`.
    """
    plain = {path: _relative(path, root) for path in paths}
    # Videos that keep their name come first, so that they do.
    order = sorted(paths, key=lambda p: (plain[p] != os.path.relpath(p, root), p))
    folders = {
        unicodedata.normalize("NFC", str(above)).casefold()
        for name in plain.values()
        for above in PurePath(name).parents
    }
    taken: set[str] = set()
    found = {}
    for path in order:
        name = plain[path]
        if (key := unicodedata.normalize("NFC", name).casefold()) in taken | folders:
            mark = hashlib.sha256(os.fsencode(os.path.relpath(path, root))).hexdigest()[:12]
            name = f"{name[: -len('.mp4')]}.{mark}.mp4"
            key = unicodedata.normalize("NFC", name).casefold()
        if key in taken | folders:
            raise ConfigError(f"{shown(path)}: another video would go to {shown(name)}, too")
        taken.add(key)
        found[path] = os.path.join(out, name)
    return {path: found[path] for path in paths}


def _relative(path: str, root: str) -> str:
    relative = os.path.relpath(path, root)
    if relative == ".." or relative.startswith(f"..{os.sep}"):  # a list may name videos anywhere
        mark = hashlib.sha256(os.fsencode(os.path.dirname(path))).hexdigest()[:8]
        relative = os.path.join(mark, os.path.basename(path))
    return relative if relative.lower().endswith(".mp4") else f"{relative}.mp4"


def _check_place(table: Table, tasks: Mapping[str, str], out: str) -> None:
    """Refuses to write into the data set, by whatever name it is given."""
    place, root = os.path.realpath(out), os.path.realpath(table.root)
    if place == root or (not _listed(table) and is_below(place, root)):
        what = "the data set itself" if place == root else "inside the data set"
        raise ConfigError(f"{shown(out)}: is {what}. Give another folder")
    sources = {os.path.realpath(path): path for path in tasks}
    for path, target in tasks.items():
        real = os.path.realpath(target)
        hit = sources.get(real) or sources.get(os.path.dirname(real))
        if hit is None and os.path.exists(target):
            hit = path if os.path.samefile(path, target) else None
        if hit is not None:
            raise ConfigError(
                f"{shown(target)}: the video of {shown(path)} would overwrite {shown(hit)}, which "
                f"belongs to the data set. Give another folder"
            )


def _listed(table: Table) -> bool:
    """Whether rows of lists and not folders say what belongs to a data set."""
    return table.layout not in ("class folders", "split folders", "videos without classes")


def _all(settings: Settings, tasks: dict[str, str], jobs: int) -> Iterator[PreparedFile]:
    """Videos in the order in which they are done."""
    if jobs == 1:
        yield from (_one(settings, path, target) for path, target in tasks.items())
        return
    # Spawned, because forked copies of a process with threads may hang.
    context = multiprocessing.get_context("spawn")
    try:
        with ProcessPoolExecutor(jobs, mp_context=context) as pool:
            work = [pool.submit(_one, settings, path, target) for path, target in tasks.items()]
            try:
                for future in as_completed(work):
                    yield future.result()
            except BaseException:
                pool.shutdown(wait=True, cancel_futures=True)
                raise
    except BrokenProcessPool as error:
        raise RunError(
            "a process that prepares videos died. If memory ran out, use fewer (--jobs)"
        ) from error
    except OSError as error:
        raise RunError(process_limit(error) or f"processes cannot be started: {error}") from error


def _write_lists(table: Table, out: str, targets: dict[str, str]) -> str:
    try:
        return _lists(table, out, targets)
    except OSError as error:
        raise RunError(f"cannot write into {shown(out)}: {error.strerror}") from error


def _lists(table: Table, out: str, targets: dict[str, str]) -> str:
    for name in CLASS_FILES:
        if os.path.isfile(os.path.join(table.root, name)):
            shutil.copyfile(os.path.join(table.root, name), os.path.join(out, name))
    if not _listed(table) or table.layout == "one video" or not targets:
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
    try:
        sound = _has_sound(path)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        # A link may lead to the very video that is read.
        with replacing(target, keep_link=False) as draft:
            _encode(settings, path, str(draft), mark)
    except (DecodeError, av.FFmpegError, OSError) as error:
        raise_limit(error)
        if isinstance(error, OSError) and full_disk(error) and not isinstance(error, DecodeError):
            raise RunError(
                f"cannot write {shown(target)}: {error.strerror}. Videos written before are whole; "
                f"make room and run the command again to go on"
            ) from error
        return PreparedFile(path=path, target=target, outcome="failed", error=str(error))
    return PreparedFile(path=path, target=target, outcome="written", sound=sound)


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
        os.path.basename(path),
    ]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def _known(target: str) -> str | None:
    if not os.path.isfile(target):  # a pipe would be waited for
        return None
    # Files are opened here and not by FFmpeg, which takes names in UTF-8 only.
    try:
        with open(target, "rb") as file, av.open(file) as film:
            return film.metadata.get("comment")
    except (av.FFmpegError, OSError, ValueError):
        return None  # absent or broken: written again


def _has_sound(path: str) -> bool:
    if os.path.isdir(path):
        return False
    try:
        with open(path, "rb") as file, av.open(file) as film:
            return bool(film.streams.audio)
    except (av.FFmpegError, OSError, ValueError):
        return False  # decoding it will say what is wrong


def _encode(settings: Settings, path: str, target: str, mark: str) -> None:
    with open_video(path, time_limit=TIME_LIMIT, whole=True) as video:
        ticks = math.lcm(*(time.denominator for time in (*video.times, video.duration)))
        ticks = ticks if ticks <= _FINEST else 90_000
        short = min(settings.short_side, video.height, video.width)
        height, width = (side + side % 2 for side in short_side_size(
            video.height, video.width, short, "nearest"))  # fmt: skip
        with open(target, "xb") as file, av.open(file, "w", format="mp4") as film:
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
