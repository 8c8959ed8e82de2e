"""Tar shards: the same clips as from files, ranges only, every sample once, restarts, servers."""

from __future__ import annotations

import contextlib
import gc
import json
import os
import signal
import socket
import subprocess
import sys
import tarfile
import time
from collections import Counter
from fractions import Fraction
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from support.videos import Noise, film, numbers
from vitascope.data.cache.frames import FrameCache
from vitascope.data.dataset import ClipDataset
from vitascope.data.decoder import open_video
from vitascope.data.loader import make_loader, steps_per_epoch
from vitascope.data.records import Table, VideoRecord
from vitascope.data.sampler import by_shard
from vitascope.data.scale import Scale
from vitascope.data.shards.read import expand, is_shards, read_shards, shard_sizes
from vitascope.data.shards.remote import Part, parse_part, read_range
from vitascope.data.shards.write import write_shards
from vitascope.data.tables.read import read_table
from vitascope.errors import ConfigError, DatasetError, DatasetNotFoundError, DecodeError
from vitascope.spec import ClipSpec

SPEC = ClipSpec(num_frames=2, sampling_rate=2, fps=12)
COUNT = 11


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Table:
    folder = tmp_path_factory.mktemp("films")
    records = [
        VideoRecord(str(film(folder / f"v {v}.mp4", 8 + v % 3, first=100 * v)), v % 2,
                    "val" if v > 7 else "train", where=f"list.csv, row {v}", group=f"g{v // 2}")
        for v in range(COUNT)
    ]  # fmt: skip
    records[2] = VideoRecord(records[2].path, 0, "train", Fraction(1, 6), Fraction(1, 2), "x", "g1")
    return Table(tuple(records), ("left", "right"), str(folder))


@pytest.fixture(scope="module")
def shards(table: Table, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("shards")
    report = write_shards(table, out, shard_samples=3)
    assert (report.shards, report.written, report.samples) == (4, 4, COUNT)
    assert report.splits == {"train": 3, "val": 1}
    assert report.bytes == sum(path.stat().st_size for path in out.glob("*.tar"))
    return out


def dataset(table: Table, split: str | None = "train", **options: object) -> ClipDataset:
    options.setdefault("scale", Scale(short_side=40))
    return ClipDataset(table.of(split), SPEC, train=True, transform=Noise(), **options)


def test_a_table_survives(table: Table, shards: Path) -> None:
    read = read_table(shards)
    assert read.classes == table.classes and read.splits == table.splits
    for split in table.splits:
        want = {r.where: (r.label, r.start, r.end, r.group) for r in table.of(split)}
        assert {r.where: (r.label, r.start, r.end, r.group) for r in read.of(split)} == want
    assert shard_sizes(read.of("train")) == [3, 3, 2]
    assert [r.where for r in read.of("train")] != [r.where for r in table.of("train")]  # mixed
    by_where = {r.where: r.path for r in table.records}
    for record in read.records:
        part = parse_part(record.path)
        assert part is not None and str(part) == record.path
        assert part.read() == Path(by_where[record.where]).read_bytes()
    with pytest.raises(DatasetError, match="its 2 classes are not the 2 that are given"):
        read_table(shards, labels=["right", "left"])


def test_the_same_frames_as_from_files(table: Table, shards: Path, tmp_path: Path) -> None:
    read = read_table(shards)
    files = {r.where: r for r in table.records}
    store = FrameCache(tmp_path, 40)
    plain, cached = dataset(read), dataset(read, store=store, scale=None)
    for index, record in enumerate(read.of("train")):
        file = ClipDataset([files[record.where]], SPEC, train=True, transform=Noise(),
                           scale=Scale(short_side=40))  # fmt: skip
        for key in ((0, 0, 1), (7, 2, 3)):
            want = file[0, key]["video"].numpy()
            for data in (plain, cached, cached):
                assert np.array_equal(data[index, key]["video"].numpy(), want)
    assert store.report().written == 8
    with open_video(read.records[0].path) as video:
        first = numbers(video.read(range(4)).data)
    number = int(Path(files[read.records[0].where].path).stem.split()[1])
    assert first == [100 * number + i for i in range(4)]


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # webdataset leaves files open
def test_tar_programs_and_other_readers_understand_the_shards(table: Table, shards: Path) -> None:
    for path in sorted(shards.glob("*.tar")):
        with tarfile.open(path) as tar:
            names = tar.getnames()
            assert len({n.partition(".")[0] for n in names}) == len(names) // 3
            for name in names:
                member = tar.extractfile(name)
                assert member is not None
                if name.endswith(".json"):
                    facts = json.load(member)
                    label = tar.extractfile(name.replace(".json", ".cls"))
                    assert label is not None and int(label.read()) == facts["label"]
                    assert facts["class"] == table.classes[facts["label"]]
    wds = pytest.importorskip("webdataset")
    found = wds.WebDataset([str(p) for p in sorted(shards.glob("*.tar"))], shardshuffle=False)
    samples = list(found.decode())
    gc.collect()
    assert len(samples) == COUNT
    assert Counter(s["cls"] for s in samples) == Counter(r.label for r in table.records)


def test_shards_of_others_are_read_by_their_headers(table: Table, shards: Path) -> None:
    want = read_table(shards)
    read = read_table(str(shards / "train-{000000..000002}.tar"))
    assert [r.path for r in read.records] == [r.path for r in want.of("train")]
    assert [r.label for r in read.records] == [r.label for r in want.of("train")]
    assert read.classes == table.classes
    assert read_table(str(shards / "val-000000.tar"), labels=["a", "b"]).classes == ("a", "b")
    assert expand("a{08..11}-{0..1}") == [f"a{i:02d}-{j}" for i in range(8, 12) for j in (0, 1)]


def test_writing_resumes(table: Table, tmp_path: Path) -> None:
    first = write_shards(table, tmp_path / "a", shard_samples=4)
    whole = {p.name: p.read_bytes() for p in (tmp_path / "a").iterdir()}
    assert first.written == first.shards == 3
    assert write_shards(table, tmp_path / "a", shard_samples=4).written == 0
    (tmp_path / "a" / "train-000001.tar").write_bytes(b"cut")
    (tmp_path / "a" / "val-000000.tar.json").unlink()
    seen: list[tuple[int, int]] = []
    again = write_shards(table, tmp_path / "a", shard_samples=4, progress=lambda *x: seen.append(x))
    assert again.written == 2 and seen == [(1, 3), (2, 3), (3, 3)]
    assert {p.name: p.read_bytes() for p in (tmp_path / "a").iterdir()} == whole
    changed = Table(
        (VideoRecord(table.records[0].path, 1, "train"), *table.records[1:]), table.classes, ""
    )
    assert write_shards(changed, tmp_path / "a", shard_samples=4).written == 1


@pytest.mark.parametrize("sizes", [[5], [1, 9, 0, 4], [40, 3, 17, 1, 29], []])
@pytest.mark.parametrize("buffer", [1, 4, 1000])
def test_by_shard(sizes: list[int], buffer: int) -> None:
    count = sum(sizes)
    for epoch in range(4):
        whole = by_shard(3, epoch, sizes, buffer)
        assert sorted(v for v, _ in whole) == list(range(count))
        assert whole == by_shard(3, epoch, sizes, buffer)
        for world in (2, 3):
            ranks = [by_shard(3, epoch, sizes, buffer, r, world) for r in range(world)]
            assert [list(whole)[r::world] for r in range(world)] == ranks
            assert max(map(len, ranks)) - min(map(len, ranks)) <= 1
        shard_of = np.repeat(np.arange(len(sizes)), sizes)
        changes = np.flatnonzero(np.diff(shard_of[whole.videos])) if count else []
        if buffer == 1:  # whole shards, each in its order
            assert len(changes) == max(sum(size > 0 for size in sizes) - 1, 0)
            for shard in range(len(sizes)):
                assert (np.diff(whole.videos[shard_of[whole.videos] == shard]) == 1).all()
    orders = {tuple(by_shard(3, epoch, [40, 3, 17], 4).videos) for epoch in range(4)}
    assert len(orders) == 4


def test_a_sample_moves_less_than_the_buffer() -> None:
    sizes, buffer = [300, 7, 120, 250], 50
    streamed = by_shard(1, 2, sizes, 1).videos  # the same shards in the same order, not mixed
    place = {video: i for i, video in enumerate(streamed.tolist())}
    moved = [i - place[v] for i, v in enumerate(by_shard(1, 2, sizes, buffer).videos.tolist())]
    assert max(map(abs, moved)) < buffer
    assert np.std(moved) > buffer / 8  # and they do move
    with pytest.raises(ConfigError, match="buffer = 0"):
        by_shard(0, 0, [1], 0)


def test_order_is_that_of_any_data_set(shards: Path) -> None:
    """Workers, ranks and restarts change nothing, with shards of unequal size."""
    read = read_table(shards)
    data, plan = dataset(read), partial(by_shard, sizes=shard_sizes(read.of("train")), buffer=3)

    def batches(**options: int) -> list[tuple[list[int], bytes]]:
        loader = make_loader(data, 2, seed=9, epoch=1, shuffle=plan, **options)
        return [(b["index"].tolist(), b["video"].numpy().tobytes()) for b in loader]

    want = batches()
    assert sorted(i for index, _ in want for i in index) == list(range(8))
    assert batches(workers=2) == want
    assert batches(start_step=2) == want[2:]
    pair = [batches(rank=r, world=2, workers=r) for r in range(2)]
    assert [len(p) for p in pair] == [2, 2] == [steps_per_epoch(8, 2, 2)] * 2
    together = [i for one, two in zip(*pair, strict=True) for i in (*one[0], *two[0])]
    assert sorted(together) == list(range(8))


def test_bad_shards(table: Table, shards: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetNotFoundError, match="no such shard"):
        read_shards(str(tmp_path / "a.tar"))
    (tmp_path / "b.tar").write_bytes(b"\x1f\x8b" + bytes(600))
    with pytest.raises(DatasetError, match="no whole uncompressed tar"):
        read_shards(str(tmp_path / "b.tar"))
    (tmp_path / "index.json").write_text("{}")
    assert not is_shards(str(tmp_path))  # an index of something else
    (tmp_path / "index.json").write_text('{"format": "vitascope shards 9"}')
    with pytest.raises(DatasetError, match="is no index of shards of this version"):
        read_table(tmp_path)
    with pytest.raises(DatasetNotFoundError, match=r"index\.json: no such file"):
        read_table("memory://nothing/here")
    frames = tmp_path / "frames"
    frames.mkdir()
    for path, reason in ((frames, "a folder of frames"), (tmp_path / "x.mp4", "No such file")):
        broken = Table((VideoRecord(str(path), 0),), ("a",), "")
        with pytest.raises(DatasetError, match=reason):
            write_shards(broken, tmp_path / "out")
    with pytest.raises(ConfigError, match="at least 1"):
        write_shards(table, tmp_path / "out", shard_samples=0)


def test_parts_that_are_cut_off(shards: Path, tmp_path: Path) -> None:
    path = sorted(shards.glob("*.tar"))[0]
    (tmp_path / "cut.tar").write_bytes(path.read_bytes()[:700])
    part = Part(str(tmp_path / "cut.tar"), "1.mp4", 512, 1000)
    with pytest.raises(DecodeError, match=r"cut.tar::1.mp4@512\+1000: 188 bytes came instead of"):
        part.read()
    with pytest.raises(DecodeError, match="No such file"):
        read_range(str(tmp_path / "gone.tar"), 0, 1)
    with pytest.raises(DecodeError, match=r"gone.tar::1.mp4@0\+1: cannot be read"):
        open_video(str(Part(str(tmp_path / "gone.tar"), "1.mp4", 0, 1)))
    assert parse_part("a::b") is None and parse_part("/a/b.mp4") is None


class Flaky:
    """A storage that fails a few times, then answers."""

    def __init__(self, fails: int, error: Exception | None = None) -> None:
        self.fails, self.error, self.calls = fails, error or OSError("slow down"), 0

    def cat_file(self, path: str, start: int, end: int) -> bytes:
        self.calls += 1
        if self.calls <= self.fails:
            raise self.error
        return bytes(range(start, end))


def test_storage_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    from vitascope.data.shards import remote

    monkeypatch.setattr(remote, "FIRST_WAIT", 0.001)
    for fails, error, calls in ((0, None, 1), (3, None, 4), (3, RuntimeError("http"), 4)):
        storage = Flaky(fails, error)
        monkeypatch.setattr(remote, "file_system", lambda _, s=storage: (s, "x"))
        assert read_range("s3://a/b", 3, 4) == bytes((3, 4, 5, 6)) and storage.calls == calls
    for storage, reason, calls in (
        (Flaky(9), "tried 4 times .OSError: slow down", 4),
        (Flaky(9, FileNotFoundError("b")), "cannot be read .FileNotFoundError", 1),
        (Flaky(9, PermissionError("b")), "cannot be read .PermissionError", 1),
    ):
        monkeypatch.setattr(remote, "file_system", lambda _, s=storage: (s, "x"))
        with pytest.raises(DecodeError, match=reason):
            read_range("s3://a/b", 3, 4)
        assert storage.calls == calls


RANK = """
import os, sys, time
from functools import partial
from test_shards import dataset
from vitascope.data.loader import make_loader
from vitascope.data.records import read_table
from vitascope.data.sampler import by_shard
from vitascope.data.shards.read import shard_sizes

place, log, rank, world, pause = sys.argv[1], sys.argv[2], *map(int, sys.argv[3:5]), sys.argv[5]
table = read_table(place)
plan = partial(by_shard, sizes=shard_sizes(table.of("train")), buffer=4)
data = dataset(table)
done = len(open(log).readlines()) if os.path.exists(log) else 0
with open(log, "a") as file:
    for batch in make_loader(data, 1, seed=2, epoch=3, start_step=done, rank=rank, world=world,
                             workers=1, shuffle=plan):
        [where] = [data.records[i].where for i in batch["index"].tolist()]
        file.write(f"{where} {batch['video'].double().sum().item():.3f}\\n")
        file.flush()
        os.fsync(file.fileno())
        time.sleep(float(pause))
"""


@contextlib.contextmanager
def s3_server(monkeypatch: pytest.MonkeyPatch):
    """An S3 server on this machine; yields its address."""
    pytest.importorskip("moto", reason="moto[server] is not installed")
    pytest.importorskip("s3fs", reason="s3fs is not installed")
    with contextlib.closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}"
    for name, value in (
        ("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test"),
        ("AWS_DEFAULT_REGION", "us-east-1"), ("AWS_ENDPOINT_URL", address),
        ("FSSPEC_S3_ENDPOINT_URL", address),
    ):  # fmt: skip
        monkeypatch.setenv(name, value)
    try:
        for _ in range(300):
            with contextlib.closing(socket.socket()) as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert server.poll() is None, "the server did not start"
            time.sleep(0.1)
        yield address
    finally:
        server.terminate()
        server.wait(20)


def lines(log: Path) -> list[str]:
    return log.read_text().splitlines() if log.exists() else []


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_two_ranks_from_an_object_store_killed_in_mid_epoch(
    table: Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Done when 8: an S3 server, two ranks, killed and restarted: every sample exactly once."""
    many = Table(
        tuple(
            VideoRecord(table.records[i % 8].path, i % 2, "train", where=f"row{i}")
            for i in range(41)
        ),
        table.classes, table.root,
    )  # fmt: skip
    with s3_server(monkeypatch) as address:
        import fsspec

        storage = fsspec.filesystem("s3", endpoint_url=address, skip_instance_cache=True)
        storage.mkdir("films")
        # Unequal shards: 16, 16 and 9 samples.
        report = write_shards(many, "s3://films/data", shard_samples=16)
        assert (report.shards, report.written) == (3, 3)
        assert write_shards(many, "s3://films/data", shard_samples=16).written == 0
        assert [r.where for r in read_table("s3://films/data/train-{000000..000002}.tar").records]

        def start(name: str, rank: int, pause: float) -> subprocess.Popen[bytes]:
            return subprocess.Popen(
                [sys.executable, "-c", RANK, "s3://films/data", str(tmp_path / f"{name}{rank}"),
                 str(rank), "2", str(pause)],
                env={**os.environ,
                     "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])},
                start_new_session=True,
            )  # fmt: skip

        ranks = [start("killed", r, 0.3) for r in range(2)]
        deadline = time.monotonic() + 90
        while min(len(lines(tmp_path / f"killed{r}")) for r in range(2)) < 4:
            assert time.monotonic() < deadline and all(p.poll() is None for p in ranks)
            time.sleep(0.05)
        for process in ranks:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        before = [len(lines(tmp_path / f"killed{r}")) for r in range(2)]
        assert all(4 <= n < 20 for n in before), before
        ranks = [start("killed", r, 0) for r in range(2)]
        assert [p.wait(120) for p in ranks] == [0, 0]
        straight = [start("straight", r, 0) for r in range(2)]
        assert [p.wait(120) for p in straight] == [0, 0]
    seen = [lines(tmp_path / f"killed{r}") for r in range(2)]
    assert [len(s) for s in seen] == [21, 20]
    assert sorted(line.split()[0] for s in seen for line in s) == sorted(
        f"row{i}" for i in range(41)
    )
    # And the same clips, in the same order, as without the kill.
    assert seen == [lines(tmp_path / f"straight{r}") for r in range(2)]


def test_an_address_is_read_by_ranges_only(table: Table) -> None:
    """Through fsspec's store in memory: the shards are never fetched whole."""
    import fsspec

    storage = fsspec.filesystem("memory")
    write_shards(table, "memory://shards/a", shard_samples=3)
    read = read_table("memory://shards/a")
    assert all(r.path.startswith("memory://shards/a/") for r in read.records)
    fetched: list[int] = []

    class Counting:
        def cat_file(self, path: str, start: int, end: int) -> bytes:
            fetched.append(end - start)
            return bytes(storage.cat_file(path, start=start, end=end))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vitascope.data.shards.remote.file_system", lambda a: (Counting(), a[8:]))
        batches = list(make_loader(dataset(read, "val"), 2))
    assert [len(b["label"]) for b in batches] == [2, 1]
    sizes = [os.path.getsize(r.path) for r in table.of("val")]
    assert sorted(fetched) == sorted(sizes)
