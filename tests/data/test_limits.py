"""Limits of the system: noticed within seconds, named with the setting that helps, never a hang."""

from __future__ import annotations

import errno
import gc
import multiprocessing.queues
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import get_worker_info

from support.nodes import own_device
from support.videos import films
from vitascope.data import watch
from vitascope.data.cache.frames import FrameCache
from vitascope.data.dataset import ClipDataset
from vitascope.data.limits import check_jobs, process_limit, system_limit, too_many_files
from vitascope.data.loader import make_loader
from vitascope.data.records import VideoRecord
from vitascope.errors import ConfigError, DecodeError, VitascopeError, WeightsError
from vitascope.files import fetch
from vitascope.spec import ClipSpec

CLIP = ClipSpec(num_frames=4)
SOON = 30  # seconds in which a fault is to be noticed


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> list[VideoRecord]:
    return films(tmp_path_factory.mktemp("films"), 6, frames=8)


def passed(records: list[VideoRecord], workers: int = 2, **options: Any) -> int:
    loader = make_loader(ClipDataset(records, CLIP, train=False, **options), 1, workers=workers)
    return sum(1 for _ in loader)


def refused(records: list[VideoRecord], message: str, **options: Any) -> None:
    begin = time.monotonic()
    with pytest.raises(VitascopeError, match=message) as info:
        passed(records, **options)
    assert "\n" not in str(info.value) and time.monotonic() - begin < SOON


def in_worker(action: Callable[..., Any], otherwise: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *a, **k: (otherwise if get_worker_info() is None else action)(*a, **k)


# --- a batch does not arrive --------------------------------------------------------------------


def test_a_lost_batch(records: list[VideoRecord], monkeypatch: pytest.MonkeyPatch) -> None:
    put = multiprocessing.queues.Queue.put
    monkeypatch.setattr(watch, "POLL", 1)
    monkeypatch.setattr("vitascope.data.loader.POLL", 1)
    monkeypatch.setattr(
        multiprocessing.queues.Queue, "put",
        lambda self, obj, *a, **k: None if get_worker_info() is not None and obj[0] == 3
        else put(self, obj, *a, **k),
    )  # fmt: skip
    refused(records, r"a batch was lost between processes: sent 1 s ago .*data.workers=0")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(errno.EMFILE, "Too many open files"), r"too many open files.*ulimit -n"),
        (OSError(errno.ENOSPC, "No space left on device: '/dev/shm/x'"), "/dev/shm is full"),
        (RuntimeError("unable to allocate shared memory(shm)"), "/dev/shm is full"),
        (ValueError("cannot be pickled"), r"a batch was lost .*data.workers=0"),
    ],
)
def test_a_batch_that_cannot_be_sent(
    records: list[VideoRecord], error: Exception, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Unsendable:
        def __reduce__(self) -> Any:
            raise error

    monkeypatch.setattr("vitascope.data.loader.collate", lambda samples: {"x": Unsendable()})
    refused(records, message)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (RuntimeError("unable to allocate shared memory(shm) for file </torch_1>"), "/dev/shm is"),
        (OSError(errno.EMFILE, "Too many open files"), "too many open files"),
        (MemoryError(), "out of memory.*data.workers"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: 99 bytes"), "out of memory"),
    ],
)
def test_a_batch_that_cannot_be_shared(
    records: list[VideoRecord], error: Exception, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(batch: Any) -> None:
        raise error

    monkeypatch.setattr("vitascope.data.loader.share", fail)
    refused(records, message)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV, signal.SIGBUS])
def test_a_killed_worker(
    records: list[VideoRecord], number: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ClipDataset, "__getitem__", lambda self, item: os.kill(os.getpid(), number))
    refused(records, r"a process that decodes videos died .*(data.workers|shm-size)")


def test_a_worker_killed_during_a_step(records: list[VideoRecord]) -> None:
    """The training is not waiting for a batch: PyTorch raises wherever it is."""
    batches = iter(make_loader(ClipDataset(records, CLIP, train=False), 1, workers=2))
    next(batches)
    workers = multiprocessing.active_children()
    assert len(workers) == 2
    begin = time.monotonic()
    with pytest.raises(VitascopeError, match=r"a process that decodes videos died .*data.workers"):
        os.kill(workers[0].pid or 0, signal.SIGKILL)
        while time.monotonic() - begin < SOON:
            time.sleep(0.05)
    batches.close()
    gc.collect()
    assert not multiprocessing.active_children() and time.monotonic() - begin < SOON


def test_a_worker_that_leaves(records: list[VideoRecord], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vitascope.data.loader.POLL", 1)
    monkeypatch.setattr(ClipDataset, "__getitem__", lambda self, item: os._exit(0))
    refused(records, r"a process that decodes videos died")


def test_a_stuck_worker(records: list[VideoRecord], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vitascope.data.loader.POLL", 1)
    monkeypatch.setattr(watch, "STUCK", 1.5)
    monkeypatch.setattr(ClipDataset, "__getitem__", lambda self, item: time.sleep(3600))
    begin = time.monotonic()
    refused(records, r"done nothing for 1.5 s.*data.decoder", workers=8)
    gc.collect()
    assert not multiprocessing.active_children()
    assert time.monotonic() - begin < SOON, "stuck processes were waited for one by one"


@pytest.mark.slow
def test_slow_videos_are_waited_for(
    records: list[VideoRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vitascope.data.loader.POLL", 1)
    whole = ClipDataset.__getitem__

    def slow(self: ClipDataset, item: Any) -> Any:
        time.sleep(2.5 if get_worker_info().id == 0 else 0)
        return whole(self, item)

    monkeypatch.setattr(ClipDataset, "__getitem__", slow)
    assert passed(records) == len(records)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_nothing_is_said_where_nothing_is_wrong(records: list[VideoRecord], method: str) -> None:
    loader = make_loader(ClipDataset(records, CLIP, train=False), 2, workers=2)
    loader.start_method = method
    batches = list(loader)
    plain = list(make_loader(ClipDataset(records, CLIP, train=False), 2))
    assert all(torch.equal(a["video"], b["video"]) for a, b in zip(batches, plain, strict=True))


# --- limits are not faults of videos ------------------------------------------------------------


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("policy", ["skip", "substitute-black", "error"])
def test_too_many_files_is_no_unreadable_video(
    records: list[VideoRecord], policy: str, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: Any, **options: Any) -> Any:
        raise DecodeError("a.mp4", "cannot be opened") from OSError(errno.EMFILE, "Too many")

    monkeypatch.setattr("vitascope.data.dataset.open_video", full)
    refused(records, "too many open files", on_bad=policy, workers=workers)


def test_what_is_a_limit() -> None:
    assert too_many_files(OSError(errno.ENFILE, "x"))
    assert system_limit(MemoryError()) and not too_many_files(MemoryError())
    assert not system_limit(DecodeError("shared memory/Too many open files.mp4", "no video"))
    assert not system_limit(ValueError("x")) and not system_limit(OSError(errno.ENOENT, "x"))
    assert "/dev/shm" in str(process_limit(OSError(errno.ENOSPC, "x")))
    assert "--jobs" in str(process_limit(OSError(errno.EAGAIN, "x")))
    for jobs in (0, -1, 1025, 10**6):
        with pytest.raises(ConfigError):
            check_jobs(jobs)
    check_jobs(None)
    check_jobs(1024)


@pytest.mark.parametrize(
    "place", ["file/cache", "node/x", "node", "file", "dangling/x", "dangling", "loop/x", "long"]
)
def test_a_cache_that_cannot_be_made(
    records: list[VideoRecord], tmp_path: Path, place: str
) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "dangling").symlink_to(tmp_path / "gone" / "folder")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    place = "n" * 300 if place == "long" else place
    if place.startswith("node"):
        own_device(tmp_path / "node")
    store = FrameCache(tmp_path / place, short_side=32)
    dataset = ClipDataset(records, CLIP, train=False, store=store)
    plain = ClipDataset(records, CLIP, train=False, scale=store.scale)
    assert all(torch.equal(dataset[i]["video"], plain[i]["video"]) for i in range(len(records)))
    report = store.report()
    assert report.decoded == len(records) and report.written == 0
    assert re.search(
        "No such file|Not a directory|File exists|Too many levels|name too long", report.problem
    )


MOUNTED = """
import sys
from vitascope.data.cache.frames import FrameCache
store = FrameCache(sys.argv[2], 32, budget=1 << 40)
with store.open(sys.argv[1]) as video:
    print(video.read([5], size=(32, 51)).data.shape)
print(store.report().problem)
"""


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("unshare") is None or os.geteuid() != 0, reason="needs root")
@pytest.mark.parametrize(
    ("options", "message"),
    [("ro", "Read-only file system"), ("size=8k", "No space left"), ("nr_inodes=2", "No space")],
)
def test_a_cache_on_a_disk_that_takes_nothing(
    records: list[VideoRecord], tmp_path: Path, options: str, message: str
) -> None:
    (tmp_path / "disk").mkdir()
    mount = f'mount -t tmpfs -o {options} tmpfs "{tmp_path}/disk" || exit 77; exec "$@"'
    done = subprocess.run(
        ["unshare", "-m", "bash", "-c", mount, "-", sys.executable, "-c", MOUNTED,
         records[0].path, str(tmp_path / "disk" / "cache")],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    if done.returncode == 77:
        pytest.skip("cannot mount here")
    assert done.returncode == 0, done.stderr
    assert "torch.Size([1, 32, 51, 3])" in done.stdout and message in done.stdout


@pytest.mark.parametrize("name", ["n" * 300, "file/x", "loop/x"])
def test_weights_that_cannot_be_kept_are_one_kind_of_error(tmp_path: Path, name: str) -> None:
    """A training that only hoped for them goes on without."""
    (tmp_path / "file").write_text("x")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(WeightsError, match="cannot be written"):
        fetch("http://127.0.0.1:9/a/b.pth", folder=tmp_path / name, answer_within=1)


def test_weights_in_a_folder_of_another_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> bool:  # as the system does; root may look everywhere
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "is_file", refuse)
    with pytest.raises(WeightsError, match=r"cannot be written \(Permission denied\)"):
        fetch("http://127.0.0.1:9/a/b.pth", folder=tmp_path, answer_within=1)


# --- whole trainings under limits ---------------------------------------------------------------

SMALL = """--model x3d_xs optim.epochs=1 optim.batch_size=2 clip.num_frames=4 pixels.short_side=64
pixels.crop=64,64 data.fractions=0.5,0.25,0.25""".split()


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    for name in ("a", "b"):
        (root / name).mkdir()
        films(root / name, 4, frames=8)
    return root


def training(
    clips: Path, out: Path, *words: str, before: tuple[str, ...] = (), files: int = 0
) -> tuple[int, str, float]:
    env = {**os.environ, "VITASCOPE_CACHE": str(out / "cache"), "OMP_NUM_THREADS": "1"}
    begin = time.monotonic()
    done = subprocess.run(
        [*before, sys.executable, "-m", "vitascope", "train", clips, "--out", out / "run", *SMALL,
         *words],
        capture_output=True, text=True, env=env, timeout=200, check=False,
        preexec_fn=(lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (files, files)))
        if files else None,
    )  # fmt: skip
    return done.returncode, done.stderr, time.monotonic() - begin


@pytest.mark.slow
@pytest.mark.parametrize("files", [24, 32, 48, 64])
def test_trainings_with_few_open_files(clips: Path, tmp_path: Path, files: int) -> None:
    code, said, _ = training(clips, tmp_path, "data.workers=6", files=files)
    assert code in (0, 2), said
    if code:
        assert said.count("\n") == 1 and re.search(r"ulimit|data\.workers", said), said


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("unshare") is None or os.geteuid() != 0, reason="needs root")
@pytest.mark.parametrize(("size", "fill"), [("1m", 0), ("64k", 0), ("1m", 1020), ("4k", 4)])
def test_trainings_with_a_small_or_full_dev_shm(
    clips: Path, tmp_path: Path, size: str, fill: int
) -> None:
    mount = textwrap.dedent(f"""\
        mount -t tmpfs -o size={size} tmpfs /dev/shm || exit 77
        head -c {fill}k /dev/zero > /dev/shm/full; exec "$@"
    """)
    code, said, _ = training(
        clips, tmp_path, "data.workers=2", "pixels.short_side=160", "pixels.crop=160,160",
        before=("unshare", "-m", "bash", "-c", mount, "-"),
    )  # fmt: skip
    if code == 77:
        pytest.skip("cannot mount here")
    assert code in (0, 2), said
    if code:
        assert said.count("\n") == 1 and "/dev/shm" in said and "data.workers=0" in said, said


@pytest.mark.slow
def test_a_training_without_a_cache_says_so(clips: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    done = subprocess.run(
        [sys.executable, "-m", "vitascope", "train", clips, "--out", tmp_path / "run", *SMALL],
        capture_output=True, text=True, timeout=200, check=False,
        env={**os.environ, "VITASCOPE_CACHE": str(tmp_path / "file" / "cache")},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("no frame is kept on disk") == 1
    assert "data.cache_dir" in done.stdout and "data.cache=false" in done.stdout
