"""Files broken at random: never a crash, a hang, a leak, or an error of another kind."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.broken import GROUPS, SEEDS, mutate
from vitascope.data.check.check import check_files
from vitascope.data.decoder import open_video
from vitascope.data.render import render_numbered
from vitascope.errors import DecodeError


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("seeds")
    return {
        name: render_numbered(folder / name, 16, **{"size": (40, 64)} | settings).read_bytes()
        for name, settings in SEEDS.items()
    }


def broken(seeds: dict[str, bytes], count: int, seed: int) -> Iterator[tuple[str, bytes]]:
    rng = random.Random(seed)
    names = sorted(seeds)
    for number in range(count):
        name = names[number % len(names)]
        yield name, mutate(rng, seeds[name], seeds[rng.choice(names)])


def write(folder: Path, files: Iterator[tuple[str, bytes]]) -> list[Path]:
    folder.mkdir()
    paths = []
    for number, (name, content) in enumerate(files):
        path = folder / f"{number:05d}_{name}"
        path.write_bytes(content)
        paths.append(path)
    return paths


def judge(folder: Path, paths: list[Path]) -> Counter[str]:
    """`check` runs each file in processes that may die; no row may say that one did."""
    report = check_files(*paths, jobs=2, time_limit=20, folder=folder / "index")
    assert len(report.files) == len(paths)
    bad = [row for row in report.files if "crashed" in str(row.error) or "hung" in str(row.error)]
    assert bad == []
    for row in report.files:
        assert row.frames > 0 or row.error
    return Counter(
        "whole" if r.error is None else "part" if r.frames else "none" for r in report.files
    )


def test_some_broken_files(seeds: dict[str, bytes], tmp_path: Path) -> None:
    found = judge(tmp_path, write(tmp_path / "files", broken(seeds, 80, 1)))
    assert sum(found.values()) == 80 and found["none"] and found["part"] + found["whole"]


def test_reading_broken_files_gives_frames_or_one_kind_of_error(seeds, tmp_path: Path) -> None:
    for path in write(tmp_path / "files", broken(seeds, 40, 2)):
        try:
            with open_video(path, time_limit=20) as video:
                for index in (len(video.times) - 1, 0, len(video.times) // 2):
                    found = video.read([index])
                    assert found.data.shape == (1, video.height, video.width, 3)
        except DecodeError as error:
            assert error.path == str(path) and error.reason


@pytest.mark.slow
def test_a_thousand_broken_files(seeds: dict[str, bytes], tmp_path: Path) -> None:
    print(judge(tmp_path, write(tmp_path / "files", broken(seeds, 1000, 3))))


READ = """
import json, sys
from collections import Counter
import psutil
from vitascope.data.decoder import open_video
from vitascope.errors import DecodeError

paths = sys.stdin.read().splitlines()
found, seen = Counter(), []
for turn in range(2):
    for path in paths:
        try:
            with open_video(path, time_limit=20) as video:
                last = len(video.times) - 1
                for index in (last, 0, last // 2):
                    data = video.read([index]).data
                    assert data.shape == (1, video.height, video.width, 3)
                found["read"] += 1
        except DecodeError as error:
            assert error.path == path and error.reason
            found["refused"] += 1
    seen.append(psutil.Process().memory_info().rss)
print(json.dumps([found, seen]))
"""


@pytest.mark.slow
def test_reading_a_thousand_broken_files(seeds: dict[str, bytes], tmp_path: Path) -> None:
    pytest.importorskip("psutil")
    paths = write(tmp_path / "files", broken(seeds, 1000, 5))
    done = subprocess.run(
        [sys.executable, "-c", READ],
        input="\n".join(map(str, paths)),
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found, (once, twice) = json.loads(done.stdout)
    print(f"1,000 broken files, read twice: {found}, {once >> 20} MB, then {twice >> 20} MB")
    assert sum(found.values()) == 2000 and found["read"] and found["refused"]
    assert twice - once < 24 * 2**20


@pytest.mark.slow
def test_every_place_to_cut_a_small_file(tmp_path: Path) -> None:
    path = render_numbered(tmp_path / "a.mp4", 2, size=(16, 32), options=GROUPS)
    content = path.read_bytes()
    cuts = ((path.name, content[:length]) for length in range(len(content)))
    print(judge(tmp_path, write(tmp_path / "files", cuts)))


@pytest.mark.slow
def test_broken_files_leak_nothing(seeds: dict[str, bytes], tmp_path: Path) -> None:
    psutil = pytest.importorskip("psutil")
    paths = write(tmp_path / "files", broken(seeds, 48, 4))

    def once() -> None:
        for path in paths:
            try:
                with open_video(path, time_limit=20) as video:
                    video.read([0, len(video.times) - 1])
            except DecodeError:
                pass

    process = psutil.Process(os.getpid())
    for _ in range(3):
        once()
    before, files = process.memory_info().rss, process.num_fds()
    for _ in range(15):
        once()
    assert process.num_fds() <= files
    assert process.memory_info().rss - before < 24 * 2**20
