"""Where prepared videos go: one place each, never a place of the data set, nothing half-written."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from support.videos import film
from vitascope.data.cache.prepare import Settings, prepare, targets
from vitascope.data.decoder import open_video
from vitascope.data.tables.read import read_table
from vitascope.errors import ConfigError, DatasetError, RunError

SMALL = Settings(short_side=32)


def frames(folder: Path, value: int) -> None:
    folder.mkdir(parents=True)
    for number in range(4):
        Image.fromarray(np.full((40, 48, 3), value, np.uint8)).save(folder / f"{number}.png")


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return film(tmp_path_factory.mktemp("clip") / "c.mp4", frames=6, size=(40, 48))


def data(root: Path, clip: Path, *names: str) -> Path:
    for label in ("up", "down"):
        for name in names:
            place = root / label / name
            if name.endswith("/"):
                frames(place, 200 if label == "up" else 50)
            else:
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(clip, place)
    return root


@pytest.mark.parametrize(
    "names",
    [
        ("clip.mp4", "clip/"),
        ("a.avi", "a.avi.mp4"),
        ("A.mp4", "a.mp4", "a.MP4"),
        ("x.mp4/",),
        ("b/", "b.mp4/c.mp4"),
        ("c", "c.mkv", "c.mkv.mp4", "c.mkv.mp4.mp4")[1:],
        ("e\u0301.mp4", "é.mp4"),
        ("..x.mp4", "x.mp4"),
        ("tab\t.avi", "new\nline.mp4", " blank .mp4"),
        ("n" * 240 + ".mp4",),
        ("日" * 83 + ".mp4", "a.mp4"),
        ("a.webm", "a.mkv", "a.mp4"),
        ("a.mp4/b.mp4", "a.mp4.mp4"),
        ("a/", "a.mp4/", "a.avi"),
        ("ß.mp4", "ss.mp4", "SS.mp4"),
        ("1/2/3/a.mp4", "1/2/3.mp4", "1/2.mp4"),
        ("a .mp4", "a.mp4", "a..mp4"),
    ],
    ids=ascii,
)
def test_as_many_films_as_videos(tmp_path: Path, clip: Path, names: tuple[str, ...]) -> None:
    table = read_table(data(tmp_path / "data", clip, *names))
    report = prepare(table, tmp_path / "out", SMALL, jobs=1)
    assert report.count("written") == len(table) == len({f.target for f in report.files})
    found = read_table(tmp_path / "out")
    assert len(found) == len(table) and found.classes == table.classes
    for file in report.files:
        with open_video(file.path) as source, open_video(file.target) as made:
            assert len(source.times) == len(made.times)
            means = [v.read([0]).data.float().mean() for v in (source, made)]
            assert abs(means[0] - means[1]) < 4  # its own images
    again = prepare(table, tmp_path / "out", SMALL, jobs=1)
    assert again.count("there") == len(table)


@pytest.mark.slow
def test_names_that_are_no_text(tmp_path: Path, clip: Path) -> None:
    root = data(tmp_path / "data", clip, "a.mp4")
    os.rename(os.fsencode(root / "up"), os.fsencode(root) + b"/caf\xe9")
    report = prepare(read_table(root), tmp_path / "out", SMALL, jobs=2)
    assert report.count("written") == 2
    assert read_table(tmp_path / "out").classes == read_table(root).classes


def test_the_same_places_whatever_the_order() -> None:
    paths = ["/d/a/clip", "/d/a/clip.mp4", "/d/a.avi", "/d/a.avi.mp4", "/e/x.mp4", "/f/x.mp4"]
    found = targets(paths, "/d", "/o")
    assert found == targets(paths[::-1], "/d", "/o")
    assert found["/d/a/clip.mp4"] == "/o/a/clip.mp4" and found["/d/a.avi.mp4"] == "/o/a.avi.mp4"
    assert len(set(found.values())) == len(paths)


@pytest.mark.parametrize("place", ["data", "data/small", "data/up", "link", "link/small", "data/."])
def test_never_into_the_data_set(tmp_path: Path, clip: Path, place: str) -> None:
    root = data(tmp_path / "data", clip, "a.mp4")
    (tmp_path / "link").symlink_to(root)
    before = {p: p.read_bytes() for p in root.rglob("*") if p.is_file()}
    with pytest.raises(ConfigError, match=r"(is|inside) the data set"):
        prepare(read_table(root), tmp_path / place, SMALL, jobs=1)
    assert {p: p.read_bytes() for p in root.rglob("*") if p.is_file()} == before


@pytest.mark.parametrize("how", ["linked folder", "hard link", "parent", "list"])
def test_never_over_a_source(tmp_path: Path, clip: Path, how: str) -> None:
    root, out = data(tmp_path / "data", clip, "a.mp4"), tmp_path / "out"
    what: Path = root
    if how == "linked folder":
        out.mkdir()
        (out / "up").symlink_to(root / "up")
    elif how == "hard link":
        (out / "up").mkdir(parents=True)
        os.link(root / "up" / "a.mp4", out / "up" / "a.mp4")
    elif how == "parent":
        shutil.copytree(root / "up", root / "data" / "up")
        what = root / "data" / "l.csv"
        what.write_text(f"path,label\n{root}/up/a.mp4,a\nup/a.mp4,b\n")
        out = root
    else:
        (root / "l.csv").write_text("path,label\nup/a.mp4,up\ndown/a.mp4,down\n")
        what, out = root / "l.csv", root / "."
    before = {p: p.read_bytes() for p in root.rglob("*.mp4")}
    with pytest.raises(ConfigError, match=r"belongs to the data set|is the data set itself"):
        prepare(read_table(what), out, SMALL, jobs=1)
    assert {p: p.read_bytes() for p in root.rglob("*.mp4")} == before


def test_a_list_may_have_its_films_beside_it(tmp_path: Path, clip: Path) -> None:
    root = data(tmp_path / "data", clip, "a.mp4")
    (root / "l.csv").write_text("path,label\nup/a.mp4,up\ndown/a.mp4,down\n")
    report = prepare(read_table(root / "l.csv"), root / "small", SMALL, jobs=1)
    assert report.count("written") == 2
    assert len(read_table(report.data)) == 2


@pytest.mark.parametrize(
    "values", [{"short_side": 1}, {"short_side": 10**9}, {"crf": 52}, {"crf": -1}, {"keyframes": 0},
               {"keyframes": 10**9}]
)  # fmt: skip
def test_absurd_settings(values: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match=f"{next(iter(values))} = "):
        Settings(**values)


@pytest.mark.parametrize("jobs", [0, -1, 10**6])
def test_absurd_jobs(tmp_path: Path, clip: Path, jobs: int) -> None:
    with pytest.raises(ConfigError, match="jobs = "):
        prepare(read_table(data(tmp_path / "d", clip, "a.mp4")), tmp_path / "o", SMALL, jobs=jobs)


def limited(size: int, code: str, *args: object) -> subprocess.CompletedProcess[str]:
    """Runs code in a process whose files cannot grow beyond `size` bytes, as on a full disk."""
    begin = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({size}, {size}))\n"
    return subprocess.run(
        [sys.executable, "-c", begin + code, *map(str, args)],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("jobs", [1, 2])
def test_a_full_disk_is_one_line(tmp_path: Path, clip: Path, jobs: int) -> None:
    root = data(tmp_path / "data", clip, "a.mp4", "b.mp4")
    code = """
import sys
from vitascope.cli.app import run
sys.exit(run(["data", "prepare", sys.argv[1], sys.argv[2], "--jobs", sys.argv[3]]))
"""
    done = limited(1000, code, root, tmp_path / "out", jobs)
    assert done.returncode == 2, done
    assert done.stderr.count("\n") == 1 and "cannot write" in done.stderr
    assert not [p for p in (tmp_path / "out").rglob("*") if p.is_file()]


def test_what_is_not_here_cannot_be_prepared(tmp_path: Path) -> None:
    (tmp_path / "l.csv").write_text("path,label\nhttps://h/a.mp4,a\nhttps://h/b.mp4,b\n")
    with pytest.raises(DatasetError, match="only local files"):
        prepare(read_table(tmp_path / "l.csv", remote=True), tmp_path / "o", SMALL)
    assert not (tmp_path / "o").exists()


def test_a_place_that_cannot_be_written(tmp_path: Path, clip: Path) -> None:
    root = data(tmp_path / "data", clip, "a.mp4")
    (tmp_path / "file").write_text("x")
    with pytest.raises(RunError, match="cannot write"):
        prepare(read_table(root), tmp_path / "file" / "out", SMALL, jobs=1)
