"""Caches and indexes changed at random: the right frames, or an error of the library."""

from __future__ import annotations

import io
import random
import sys
import tarfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from support.broken import mutate
from support.videos import film
from vitascope.data.cache.frames import FrameCache
from vitascope.data.cache.timelines import entry, lookup, store
from vitascope.data.check.examine import examine
from vitascope.data.decoder import open_video
from vitascope.data.shards.read import read_shards
from vitascope.data.shards.write import write_shards
from vitascope.data.tables.read import read_table
from vitascope.data.tables.split import read_split, split_table, write_split
from vitascope.errors import VitascopeError

SECONDS, GROWTH = 10, 200 * 2**20


def resident() -> int:
    psutil = pytest.importorskip("psutil")
    return int(psutil.Process().memory_info().rss)


def changed_at_random(
    files: list[Path], count: int, seed: int, use: Callable[[], None]
) -> Counter[str]:
    """Uses what the files, each in turn, became; anything but VitascopeError is raised."""
    contents = [file.read_bytes() for file in files]
    rng, found = random.Random(seed), Counter[str]()
    for number in range(count):
        place = number % len(files)
        files[place].write_bytes(mutate(rng, contents[place], contents[place][::-1]))
        begin = time.monotonic()
        try:
            use()
            found["used"] += 1
        except VitascopeError as error:
            assert len(str(error)) < 5000
            found["refused"] += 1
        assert time.monotonic() - begin < SECONDS, number
        files[place].write_bytes(contents[place])
    return found


def index_of_times(root: Path) -> tuple[list[Path], Callable[[], None]]:
    path = film(root / "a.mp4")
    _, timeline = examine(str(path))
    assert timeline is not None and store(path, timeline)

    def use() -> None:
        lookup(path)
        with open_video(path) as video:
            assert video.times == timeline.times

    return [entry(path)], use


def cache_of_frames(root: Path) -> tuple[list[Path], Callable[[], None]]:
    path = str(film(root / "a.mp4", 12))
    frames = FrameCache(root / "store", 40)
    frames.open(path).close()
    with open_video(path) as video:
        expected = video.read(range(12), size=(40, 64)).data

    def use() -> None:
        for _ in range(2):
            with frames.open(path) as video:
                assert torch.equal(video.read(range(12), size=(40, 64)).data, expected)

    return [file for file in sorted((root / "store").rglob("*")) if file.is_file()], use


def data_set(root: Path) -> Path:
    for name in ("a", "b"):
        for number in range(3):
            film(root / "data" / name / f"{number}.mp4", frames=4, size=(32, 40))
    return root / "data"


def shards(root: Path) -> tuple[list[Path], Callable[[], None]]:
    write_shards(read_table(data_set(root)), root / "shards")

    def use() -> None:
        table = read_shards(str(root / "shards"))
        for record in table.records:
            with open_video(record.path) as video:
                video.read([0])

    return [file for file in sorted((root / "shards").iterdir()) if file.is_file()], use


def bare_shard(root: Path) -> tuple[list[Path], Callable[[], None]]:
    with tarfile.open(root / "a.tar", "w") as tar:
        for number in range(4):
            for suffix, content in (("mp4", b"x" * 700), ("cls", b"%d" % number), ("json", b"{}")):
                info = tarfile.TarInfo(f"{number}.{suffix}")
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))

    def use() -> None:
        read_shards(str(root / "a.tar"))

    return [root / "a.tar"], use


def split_file(root: Path) -> tuple[list[Path], Callable[[], None]]:
    table = read_table(data_set(root))
    made = split_table(table, fractions={"train": 0.5, "val": 0.5})
    write_split(made, root / "split.csv")

    def use() -> None:
        found = read_split(root / "split.csv", table)
        assert {r.path for r in found.records} <= {r.path for r in table.records}

    return [root / "split.csv"], use


KINDS = {
    "index of times": index_of_times,
    "frame cache": cache_of_frames,
    "shards and their index": shards,
    "a shard without index": bare_shard,
    "a split": split_file,
}


def judge(kind: str, root: Path, count: int) -> Counter[str]:
    root.mkdir(exist_ok=True)
    files, use = KINDS[kind](root)
    use()
    before = resident()
    found = changed_at_random(files, count, 17, use)
    grown = resident() - before
    print(f"{count} changed: {kind}: {dict(found)}, {grown / 2**20:.0f} MB more")
    assert sum(found.values()) == count and grown < GROWTH
    use()  # and what is whole again is read as if nothing had been
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="measures memory as Linux counts it")
@pytest.mark.parametrize("kind", KINDS)
def test_some_changed_at_random(kind: str, tmp_path: Path) -> None:
    judge(kind, tmp_path / "x", 25)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="measures memory as Linux counts it")
@pytest.mark.parametrize("kind", KINDS)
def test_500_changed_at_random(kind: str, tmp_path: Path) -> None:
    judge(kind, tmp_path / "x", 500)
