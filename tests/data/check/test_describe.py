"""The summary of a data set: right figures from headers, and names that forbid a mirror."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from support.videos import film
from vitascope.data.check.describe import Summary, read_headers, require_readable, summarize
from vitascope.data.check.direction import direction_classes
from vitascope.data.records import Table
from vitascope.data.tables.read import read_table
from vitascope.errors import DatasetError
from vitascope.spec import ClipSpec


def describe(table: Table, clip: ClipSpec | None = None, **options: Any) -> Summary:
    return summarize(table, read_headers(table, **options), clip)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    film(root / "train/wave left/1.mp4", 24, 12)
    film(root / "train/wave left/2.mp4", 12, 12, (48, 64))
    film(root / "train/wave right/3.mp4", 30, 10)
    film(root / "val/wave left/4.mp4", 36, 12)
    (root / "val/wave right").mkdir()
    (root / "val/wave right/5.mp4").write_bytes(b"")
    (root / "val/wave right/6.mp4").write_text("no video")
    return root


def test_figures(folder: Path) -> None:
    steps: list[tuple[int, int]] = []
    clip = ClipSpec(num_frames=8, sampling_rate=2, fps=12)
    found = describe(
        read_table(folder), clip, jobs=2, progress=lambda done, of: steps.append((done, of))
    )
    assert found.videos == found.headers == 6 and found.layout == "split folders"
    assert found.counts == {
        "train": {"wave left": 2, "wave right": 1}, "val": {"wave left": 1, "wave right": 2}
    }  # fmt: skip
    assert found.seconds == pytest.approx((1.0, 2.5, 3.0))
    assert found.total_hours is None  # two files have no length
    assert found.fps == ((12.0, 3), (10.0, 1))
    assert Counter(dict(((w, h), n) for w, h, n in found.sizes)) == {(128, 80): 3, (64, 48): 1}
    assert found.codecs == (("h264", 4),)
    assert [(Path(u.path).name, u.reason[:16]) for u in found.unreadable] == [
        ("5.mp4", "the file has no "), ("6.mp4", "not a video file")
    ]  # fmt: skip
    assert found.shorter_than_clip == 1 and found.short_rule == "the last frame is repeated"
    assert found.direction_classes == ("wave left", "wave right")
    assert steps == [(i + 1, 6) for i in range(6)]
    assert json.loads(json.dumps(found.to_json()))["unreadable"][0]["reason"]


def test_text(folder: Path) -> None:
    text = "\n".join(describe(read_table(folder), ClipSpec(num_frames=16, fps=12)).lines())
    for part in (
        "6 videos, 2 classes (split folders)",
        "train: 3 videos (wave left 2, wave right 1)",
        "length of the videos: 1 to 3 s, half of them up to 2.5 s",
        "12 fps (3), 10 fps (1); 128x80 (3), 64x48 (1); h264",
        "1 is shorter than a clip: the last frame is repeated",
        "2 cannot be read:",
        "names tell left from right (wave left, wave right), so clips are not mirrored",
    ):
        assert part in text, text


def test_unreadable_files_stop_the_work_before_it_begins(folder: Path) -> None:
    table = read_table(folder)
    with pytest.raises(DatasetError) as info:
        require_readable(describe(table))
    assert str(info.value).startswith(
        f"{folder}/val/wave right/5.mp4 (class folder val/wave right): the file has no content "
        f"(0 bytes); 2 of 6 files cannot be read. Also {folder}/val/wave right/6.mp4."
    )
    assert "data.on_bad=skip" in str(info.value)
    good = replace(table, records=tuple(r for r in table.records if r.split == "train"))
    require_readable(describe(good))
    assert describe(good).total_hours == pytest.approx((2 + 1 + 3) / 3600)


def test_labeled_parts_and_selections(folder: Path) -> None:
    table = read_table(folder)
    whole = [r for r in table.records if r.split == "train"]
    parts = (
        replace(whole[0], end=Fraction(1, 2)),
        replace(whole[0], start=Fraction(3, 2)),
        replace(whole[2], start=Fraction(1), end=Fraction(2)),
    )
    found = describe(replace(table, records=parts), ClipSpec(num_frames=12, coverage="video"))
    assert found.seconds == pytest.approx((0.5, 0.5, 1.0)) and found.headers == 2
    assert found.shorter_than_clip == 3
    few = describe(table, most=2)
    assert few.headers == 2 and few.videos == 6
    assert any("(from the headers of 2 files)" in line for line in few.lines())


def test_folders_of_frames(tmp_path: Path) -> None:
    import av
    import numpy as np

    for name in ("a/1", "b/2"):
        (tmp_path / name).mkdir(parents=True)
        for i in range(3):
            picture = av.VideoFrame.from_ndarray(np.zeros((24, 32, 3), np.uint8), format="rgb24")
            picture.save(str(tmp_path / name / f"{i}.png"))
    found = describe(read_table(tmp_path))
    assert found.codecs == (("images", 2),) and found.sizes == ((32, 24, 2),)
    assert found.seconds is None and found.fps == () and not found.unreadable


@pytest.mark.parametrize(
    ("classes", "found"),
    [
        (["Swiping Left", "drink"], ["Swiping Left"]),
        (["swipe_right_2", "TurnLeft", "hook-LEFT", "swipeleft"], 4),
        (["turning hand counter-clockwise", "rotate CW"], 2),
        (["to_the_leftward", "right-handed serve"], 2),
        (["nach links", "nach rechts", "tourner à gauche", "girar a la derecha", "vänster"], 5),
        (["повернуть налево", "向左", "오른쪽", "انعطف يمين", "左に曲がる", "skręć w lewo"], 6),
        (["turn_l", "turn_r", "walk"], ["turn_l", "turn_r"]),
        (["turn_l", "walk_r"], []),
        (["bright light", "cleft", "leftovers", "upright", "copyright", "write", "fight"], []),
        (["up", "down", "grow", "shrink", "rotate", "yes", "no"], []),
        ([], []),
    ],
)
def test_direction_words(classes: list[str], found: list[str] | int) -> None:
    want = classes if isinstance(found, int) else found
    assert list(direction_classes(classes)) == want


def test_direction_words_in_public_class_lists(shared: Path) -> None:
    hits = {
        file.stem: direction_classes(file.read_text().splitlines())
        for file in (shared / "data" / "labels").glob("*.txt")
    }
    assert {name: len(found) for name, found in hits.items() if found} == {"jester": 6, "ssv2": 7}


def test_real_data(shared: Path) -> None:
    found = describe(read_table(shared / "data" / "actions"))
    assert found.headers == 1200 and not found.unreadable
    assert found.fps == ((15.0, 1200),) and found.sizes == ((228, 128, 1200),)
    assert found.seconds == pytest.approx((25 / 15, 2.6, 75 / 15), abs=0.05)
    assert found.direction_classes == () and found.shorter_than_clip == 0


@pytest.mark.parametrize(
    ("lengths", "text"),
    [
        ((2.0, 2.0, 2.0), "length of the videos: 2 s"),
        ((2.0, 2.0001, 2.0004), "length of the videos: 2 s"),
        ((1.0, 2.0, 3.0), "length of the videos: 1 to 3 s, half of them up to 2 s"),
    ],
)
def test_a_range_of_one_is_no_range(lengths, text: str, folder: Path) -> None:
    summary = describe(read_table(folder))
    assert f"  {text}" in replace(summary, seconds=lengths).lines()


def test_one_is_singular(folder: Path) -> None:
    summary = describe(read_table(folder))
    one = replace(
        summary, videos=1, classes=("a",), counts={"train": {"a": 1}}, shorter_than_clip=1
    )
    lines = one.lines()
    assert ": 1 video, 1 class (" in lines[0] and lines[1] == "  train: 1 video, 1 a class"
    assert any(line.startswith("  1 is shorter than a clip") for line in lines)
    assert ": 6 videos, 2 classes (" in summary.lines()[0]
