"""What a row of a long list costs: one question to the system and a few hundred bytes."""

from __future__ import annotations

import os
import tracemalloc
from pathlib import Path

import pytest

from vitascope.data.tables import read, rows

ROWS = 20_000
FORMS = {
    "split.csv": "path,label,split\n" + "{path},class {label},{split}\n",
    "times.csv": "path,label,start,end\n" + "{path},class {label},{start}.5,{end}.5\n",
    "blanks.txt": "{path} {label}\n",
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("large")
    paths = [f"class_{i % 40:02}/video_{i // 40:05}.mp4" for i in range(ROWS)]
    for label in range(40):
        (folder / f"class_{label:02}").mkdir()
    for path in paths:
        os.close(os.open(folder / path, os.O_CREAT))
    for name, form in FORMS.items():
        head, _, line = form.rstrip("\n").rpartition("\n")
        body = "".join(
            line.format(path=p, label=i % 40, split=("train", "val")[i % 5 == 0],
                        start=i % 300, end=i % 300 + 10) + "\n"
            for i, p in enumerate(paths)
        )  # fmt: skip
        (folder / name).write_text(head + "\n" * bool(head) + body)
    return folder


@pytest.mark.parametrize(
    "name", [n if n == "times.csv" else pytest.param(n, marks=pytest.mark.slow) for n in FORMS]
)
def test_memory_of_a_row(place, name) -> None:
    read.read_table(place / name)  # what it imports, and times it has seen
    tracemalloc.start()
    try:
        table = read.read_table(place / name)
        kept, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(table) == ROWS
    # 200,000 rows have 200 MB, so a row has 1,000 bytes at the most that is held at one time.
    assert peak / ROWS < 800 and kept / ROWS < 450, (peak / ROWS, kept / ROWS)


def test_one_question_to_the_system_a_row(place, monkeypatch) -> None:
    asked = {"stat": 0, "path": 0}
    stat, new = os.stat, Path.__new__

    def counted_stat(*args, **kwargs):
        asked["stat"] += 1
        return stat(*args, **kwargs)

    def counted_path(cls, *args, **kwargs):
        asked["path"] += 1
        return new(cls, *args, **kwargs)

    monkeypatch.setattr(os, "stat", counted_stat)
    monkeypatch.setattr(Path, "__new__", counted_path)
    read.read_table(place / "split.csv")
    assert ROWS <= asked["stat"] < ROWS + 50 and asked["path"] < 50


def test_a_time_is_read_once(place) -> None:
    rows.parse_seconds.cache_clear()
    read.read_table(place / "times.csv")
    seen = rows.parse_seconds.cache_info()
    assert seen.misses == 310 and seen.hits == 2 * ROWS - 310


def test_videos_named_again_are_found_among_many(tmp_path) -> None:
    names = [f"{i}.mp4" for i in range(30)]
    for name in names:
        (tmp_path / name).touch()
    listed = [f"{name},{'ab'[i % 2]},train,0,4" for i, name in enumerate(names)]
    listed += ["3.mp4,b,train,0,4", "7.mp4,b,train,4,8", "9.mp4,b,val,4,8"]
    (tmp_path / "all.csv").write_text("path,label,split,start,end\n" + "\n".join(listed))
    warnings = read.read_table(tmp_path / "all.csv").warnings
    assert any(f"1 videos stand in the lists more than once, such as {tmp_path}/3.mp4" in w
               for w in warnings)  # fmt: skip
    assert any(f"1 files are in more than one split, such as {tmp_path}/9.mp4 (train, val)" in w
               for w in warnings)  # fmt: skip
