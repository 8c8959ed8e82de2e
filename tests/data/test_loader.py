"""Loading: the same batches for any workers, ranks and restarts; errors as themselves."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from support.videos import Noise, films
from vitascope.data.cache.frames import FrameCache
from vitascope.data.dataset import ClipDataset
from vitascope.data.loader import ClipLoader, make_loader, steps_per_epoch
from vitascope.data.records import VideoRecord
from vitascope.data.sampler import order
from vitascope.data.scale import Scale
from vitascope.errors import ConfigError, DecodeError, VitascopeError
from vitascope.spec import ClipSpec

SPEC = ClipSpec(num_frames=4, sampling_rate=2, fps=12)
COUNT = 11


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> list[VideoRecord]:
    return films(tmp_path_factory.mktemp("films"), COUNT, frames=16)


def dataset(records: list[VideoRecord], **options: object) -> ClipDataset:
    options.setdefault("scale", Scale(short_side=40))
    return ClipDataset(records, SPEC, train=True, transform=Noise(), **options)


def hashes(loader: ClipLoader) -> list[tuple[list[int], str]]:
    return [
        (batch["index"].tolist(), hashlib.sha256(batch["video"].numpy().tobytes()).hexdigest())
        for batch in loader
    ]


def test_workers_and_restarts_change_nothing(records: list[VideoRecord]) -> None:
    data, options = dataset(records), {"seed": 4, "epoch": 2, "shuffle": True}
    want = hashes(make_loader(data, 3, **options))
    assert sorted(i for index, _ in want for i in index) == list(range(COUNT))
    assert [len(index) for index, _ in want] == [3, 3, 3, 2]
    for workers in (1, 2):
        assert hashes(make_loader(data, 3, workers=workers, **options)) == want
    for start in (1, 3, 4):
        loader = make_loader(data, 3, workers=start % 3, start_step=start, **options)
        assert len(loader) == 4 - start
        assert hashes(loader) == want[start:]
    assert hashes(make_loader(data, 3, seed=4, epoch=3, shuffle=True)) != want


def test_ranks_share_the_steps(records: list[VideoRecord]) -> None:
    data, options = dataset(records), {"seed": 1, "epoch": 0, "shuffle": True, "drop_last": True}
    alone = list(make_loader(data, 4, **options))
    pair = [list(make_loader(data, 2, rank=r, world=2, **options)) for r in range(2)]
    assert len(alone) == len(pair[0]) == len(pair[1]) == steps_per_epoch(COUNT, 2, 2) == 2
    for whole, first, second in zip(alone, *pair, strict=True):
        together = torch.stack([first["video"], second["video"]], 1).flatten(0, 1)
        assert torch.equal(whole["video"], together)


@pytest.mark.slow
def test_spawned_workers_give_the_same(records: list[VideoRecord], tmp_path: Path) -> None:
    store = FrameCache(tmp_path, 40)
    data = dataset(records, store=store)
    want = hashes(make_loader(dataset(records), 3, seed=4, shuffle=True))
    samples = order(4, 0, COUNT)
    assert hashes(ClipLoader(data, samples, 3, workers=2, start_method="spawn")) == want
    assert store.report().written == COUNT  # counted in shared memory
    assert hashes(ClipLoader(data, samples, 3, workers=2, start_method="spawn")) == want
    assert store.report().hits == COUNT


def test_the_global_generator_is_left_alone(records: list[VideoRecord]) -> None:
    state = torch.get_rng_state()
    list(make_loader(dataset(records[:2]), 2))
    assert torch.equal(torch.get_rng_state(), state)


def test_lengths() -> None:
    for count in (0, 1, 7, 8, 9, 64):
        for batch in (1, 3, 8):
            for world in (1, 2, 3):
                kept = [steps_per_epoch(count, batch, world) for _ in range(world)]
                assert kept[0] * batch * world <= count < (kept[0] + 1) * batch * world
                first = len(order(0, 0, count, 0, world))
                assert steps_per_epoch(count, batch, world, False) == -(-first // batch)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_decode_error_arrives_as_itself(
    records: list[VideoRecord], tmp_path: Path, workers: int
) -> None:
    (tmp_path / "bad.mp4").write_bytes(b"")
    broken = [*records[:5], VideoRecord(str(tmp_path / "bad.mp4"), 0)]
    loader = make_loader(dataset(broken), 2, workers=workers)
    seen = []
    began = time.monotonic()
    with pytest.raises(DecodeError, match="no content") as info:
        for batch in loader:
            seen.append(batch["index"].tolist())
    assert seen == [[0, 1], [2, 3]]
    assert info.value.path == str(tmp_path / "bad.mp4")
    assert "Traceback" not in str(info.value)
    assert time.monotonic() - began < 4  # workers that are told to end do not wait for a timeout
    assert not multiprocessing.active_children()


@pytest.mark.parametrize("workers", [0, 2])
def test_skipped_videos_are_counted(
    records: list[VideoRecord], tmp_path: Path, workers: int
) -> None:
    bad = []
    for name in ("x.mp4", "y.mp4", "z.mp4"):
        (tmp_path / name).write_bytes(b"")
        bad.append(VideoRecord(str(tmp_path / name), 0))
    mixed = [records[0], bad[0], bad[1], bad[2], records[1]]
    data = dataset(mixed, on_bad="skip")
    for epoch in (1, 2):
        batches = list(make_loader(data, 2, workers=workers))
        assert [b["index"].tolist() for b in batches] == [[0], [], [4]]  # every step has a batch
        assert "faults" not in batches[0]
        report = data.fault_report()
        assert report.clips == 3 * epoch
        assert [video for video, _ in report.videos] == [1, 2, 3]
        text = str(report)
        assert text.startswith(f"{3 * epoch} clips of 3 videos were left out: ")
        assert "x.mp4: the file has no content" in text
    assert str(dataset(records).fault_report()) == "no video was left out"


class Killer:
    """A transform that ends its process, as a lack of memory would."""

    def __call__(self, data: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
        os.kill(os.getpid(), signal.SIGKILL)
        return data


def test_a_killed_worker_is_explained(records: list[VideoRecord]) -> None:
    data = ClipDataset(records[:2], SPEC, train=True, transform=Killer())
    with pytest.raises(VitascopeError, match=r"a process that decodes videos died.*data.workers"):
        list(make_loader(data, 1, workers=1))


INTERRUPTED = """
import os, signal, sys
import torch
from test_loader import dataset
from vitascope.data.loader import make_loader
from vitascope.data.records import VideoRecord
records = [VideoRecord(p, 0) for p in sys.argv[1:]] * 20
hits = []
signal.signal(signal.SIGINT, lambda *_: hits.append(1))
done = 0
for batch in make_loader(dataset(records), 2, workers=2):
    done += 1
    if done in (3, 5):
        os.killpg(0, signal.SIGINT)  # what Ctrl-C sends to every process of a terminal
print(done, len(hits))
"""


def test_ctrl_c_leaves_the_workers_at_work(records: list[VideoRecord]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, *(r.path for r in records[:2])],
        capture_output=True, text=True, check=True, start_new_session=True, timeout=60,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])},
    )  # fmt: skip
    assert done.stdout.split() == ["20", "2"]
    assert "Traceback" not in done.stderr


def test_bad_numbers(records: list[VideoRecord]) -> None:
    data = dataset(records)
    for options in ({"batch_size": 0}, {"workers": -1}, {"start_step": -1}, {"rank": 1}):
        with pytest.raises(ConfigError):
            make_loader(data, **{"batch_size": 2, **options})
