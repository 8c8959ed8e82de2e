"""`check_files`: decodes every file of a data set once, lists faults, and keeps times for later."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vitascope.data.check.examine import FileReport
from vitascope.data.limits import check_jobs
from vitascope.data.listing import is_hidden, is_remote
from vitascope.data.tables.read import read_table
from vitascope.distributed import cores
from vitascope.errors import DatasetError, DatasetNotFoundError
from vitascope.files import cache_folder

Progress = Callable[[int, int, FileReport], None]

# Sound beside clips is no fault of a data set, but in a bare folder of media it is worth a row.
_SOUND = frozenset(".aac .aif .aiff .flac .m4a .mka .mp2 .mp3 .oga .ogg .opus .wav .wma".split())
_START = 120.0  # seconds in which a process must be ready
_GRACE = 15.0  # seconds beyond the time limit in which a worker can give up by itself


@dataclass(frozen=True)
class CheckReport:
    """Result of `check_files`.

    Attributes:
        files: one report a video, in the order of the data set.
        warnings: what looks wrong with lists and labels.
        index: folder of the index; None if none was written.
    """

    files: tuple[FileReport, ...]
    warnings: tuple[str, ...] = ()
    index: str | None = None

    @property
    def faults(self) -> tuple[FileReport, ...]:
        """The files with an error."""
        return tuple(report for report in self.files if report.error is not None)


def check_files(
    *data: str | Path,
    jobs: int | None = None,
    progress: Progress | None = None,
    time_limit: float = 60.0,
    index: bool = True,
    folder: str | Path | None = None,
    root: str | Path | None = None,
) -> CheckReport:
    """Decodes every video once and says what is wrong with it.

    Each file is decoded in a process of its own kind, so that a file that crashes or hangs a
    decoder is a row of the report and nothing more.

    Args:
        data: data sets (folder or list) and single videos.
        jobs: processes; None takes all cores.
        progress: called after each file with files done, files in all, and its report.
        time_limit: seconds without a new frame after which a file is given up.
        index: whether to keep times and key frames of each file for `open_video`.
        folder: where to keep them; None is the cache of the user.
        root: folder that holds the videos of lists; None is the folder of each list.

    Raises:
        DatasetNotFoundError: something that does not exist.
        DatasetError: a data set without videos, or a list with bad rows.
        ConfigError: less than one job.
    """
    check_jobs(jobs)
    paths, warnings = _videos(data, root)
    where = str(folder or cache_folder("index")) if index else None
    crew = _Crew(paths, time_limit, where, progress)
    return CheckReport(crew.run(min(jobs or cores(), len(paths))), warnings, where)


def _videos(
    data: Iterable[str | Path], root: str | Path | None
) -> tuple[list[str], tuple[str, ...]]:
    paths: dict[str, None] = {}
    warnings: list[str] = []
    for item in data:
        if Path(item).is_file() and not _is_list(Path(item)):
            paths[str(item)] = None
            continue
        table = read_table(item, root=root, labeled=False)
        paths.update((record.path, None) for record in table.records)
        warnings += table.warnings
        if all(record.label is None for record in table.records) and Path(item).is_dir():
            paths.update((path, None) for path in _sound_files(str(item)))
    remote = [path for path in paths if is_remote(path)]
    if remote:
        raise DatasetError(
            f"{len(remote)} videos are addresses ({remote[0]}, ...); check reads local files only"
        )
    if not paths:
        raise DatasetNotFoundError("there is nothing to check; name a data set or a video")
    return sorted(paths) if len(paths) > 1 else list(paths), tuple(warnings)


def _is_list(path: Path) -> bool:
    return path.suffix.lower() in (".csv", ".tsv", ".json", ".jsonl", ".txt", ".list")


def _sound_files(folder: str) -> list[str]:
    found = []
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not is_hidden(name)]
        found += [
            os.path.join(os.path.abspath(parent), name)
            for name in names
            if os.path.splitext(name)[1].lower() in _SOUND and not is_hidden(name)
        ]
    return found


class _Crew:
    """Worker processes and the threads that feed them."""

    def __init__(
        self, paths: list[str], time_limit: float, index: str | None, progress: Progress | None
    ) -> None:
        self._paths, self._time_limit, self._index = paths, time_limit, index
        self._progress = progress
        self._done: queue.Queue[tuple[int, FileReport] | BaseException] = queue.Queue()
        self._running: set[subprocess.Popen[str]] = set()
        self._waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._stop = threading.Event()

    def run(self, workers: int) -> tuple[FileReport, ...]:
        """Examines all files; the order of the result is that of the paths."""
        for number in range(len(self._paths)):
            self._waiting.put(number)
        threads = [threading.Thread(target=self._serve, daemon=True) for _ in range(workers)]
        reports: dict[int, FileReport] = {}
        try:
            for thread in threads:
                thread.start()
            while len(reports) < len(self._paths):
                done = self._done.get()
                if isinstance(done, BaseException):
                    raise done
                reports[done[0]] = done[1]
                if self._progress is not None:
                    self._progress(len(reports), len(self._paths), done[1])
        finally:
            self._stop.set()
            for worker in list(self._running):
                worker.kill()
            for thread in threads:
                thread.join()
        return tuple(reports[number] for number in range(len(self._paths)))

    def _serve(self) -> None:
        worker: subprocess.Popen[str] | None = None
        try:
            while not self._stop.is_set():
                try:
                    number = self._waiting.get_nowait()
                except queue.Empty:
                    return
                if worker is None or worker.poll() is not None:
                    self._end(worker)
                    worker = self._begin()
                self._done.put((number, self._examine(worker, self._paths[number])))
        except BaseException as error:
            self._done.put(error)  # raised by `run`, in the caller's thread
        finally:
            self._end(worker)

    def _begin(self) -> subprocess.Popen[str]:
        worker = _start()
        self._running.add(worker)
        if not _answer(worker, _START):
            raise RuntimeError(f"a checking process did not start: {worker.args!r}")
        return worker

    def _end(self, worker: subprocess.Popen[str] | None) -> None:
        if worker is None:
            return
        worker.kill()
        for pipe in (worker.stdin, worker.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except BrokenPipeError:  # a request that a dead process never took
                    pass
        worker.wait()
        self._running.discard(worker)

    def _examine(self, worker: subprocess.Popen[str], path: str) -> FileReport:
        assert worker.stdin is not None
        request = {"path": path, "time_limit": self._time_limit, "index": self._index}
        limit = self._time_limit + _GRACE
        begun = time.monotonic()
        try:
            worker.stdin.write(json.dumps(request) + "\n")
            worker.stdin.flush()
        except BrokenPipeError:
            pass  # it died after its last answer; the next line is the end
        while answer := _answer(worker, limit):
            begun = time.monotonic()
            if "report" in answer:
                return FileReport(**answer["report"])
        code = worker.wait()
        if time.monotonic() - begun >= limit:
            return FileReport(path=path, error=f"the decoder hung; given up after {limit:g} s")
        return FileReport(path=path, error=f"the decoder crashed (exit status {code})")


def _answer(worker: subprocess.Popen[str], limit: float) -> dict[str, Any]:
    """The next answer; empty if the process ended, or had to be ended after `limit` seconds."""
    assert worker.stdout is not None
    timer = threading.Timer(limit, worker.kill)
    timer.start()
    try:
        line = worker.stdout.readline()
    finally:
        timer.cancel()
    found: dict[str, Any] = json.loads(line) if line.endswith("\n") else {}
    return found


def _start() -> subprocess.Popen[str]:
    # Not multiprocessing: that would run the user's main module again, or fork a process that
    # has threads. The root of this package comes last on the path, where it can hide nothing.
    root = str(Path(__file__).resolve().parents[2])
    code = (
        f"import sys; sys.path.append({root!r}); from vitascope.data.check.worker import serve; "
        "serve(sys.stdin, sys.stdout)"
    )
    return subprocess.Popen(
        [sys.executable, "-P", "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        encoding="utf-8",
    )
