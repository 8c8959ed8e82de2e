"""`vitascope data`, `conformance` and `bench data`, as they are typed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from support.command_line import TINY, cli, refused
from support.fake_datasets import make
from support.videos import film, numbers
from vitascope.data.decoder import open_video
from vitascope.data.sets import DATASETS
from vitascope.data.tables.read import read_table


def test_list_and_info(tmp_path: Path) -> None:
    done = cli("data", "list", "--json", tmp_path / "a.json")
    assert done.code == 0 and "kinetics400" in done.out and "246,245" in done.out
    listed = json.loads((tmp_path / "a.json").read_text())["datasets"]
    assert [card["name"] for card in listed] == list(DATASETS)
    assert cli("data").out == done.out
    done = cli("data", "info", "ssv2")
    assert done.code == 0 and "arXiv:1706.04261" in done.out and "168,913" in done.out
    assert "Did you mean 'kinetics400'" in refused("data", "info", "kinetics40")


def test_verify(tmp_path: Path) -> None:
    root = make("kinetics400", tmp_path / "k400")
    assert cli("data", "verify", "kinetics400", root).code == 0
    (root / "val" / "c_000000_000010.mp4").unlink()
    (root / "train" / "run" / "a_000000_000010.mp4").write_bytes(b"x" * 100)
    done = cli("data", "verify", "kinetics400", root, "--json", tmp_path / "v.json")
    assert done.code == 1
    assert "1 of 3 videos are there; 1 are missing, 1 unreadable" in done.err
    found = json.loads((tmp_path / "v.json").read_text())
    assert found["by_split"] == {"train": [1, 2], "val": [0, 1]}
    assert [Path(row["path"]).name for row in found["missing"]] == ["c_000000_000010.mp4"]
    assert "validate.csv, row 2" in done.out and "not a video" in done.out
    assert "holds no classInd.txt" in refused("data", "verify", "ucf101", root)


@pytest.fixture
def listed(tmp_path: Path) -> Path:
    """Two videos in a list: a variable rate with a late start, and a size that needs scaling."""
    folder = tmp_path / "source"
    film(folder / "a b.mp4", 9, 30, size=(96, 128), pts=[5, 6, 8, 11, 12, 20, 21, 22, 30])
    film(folder / "sub" / "b.avi.mp4", 24, 12, size=(160, 120), first=100)
    (folder / "train.csv").write_text("path,label,start,end\na b.mp4,x,0,0.5\nsub/b.avi.mp4,y,,\n")
    return folder


def test_prepare(listed: Path, tmp_path: Path) -> None:
    out, file = tmp_path / "small", tmp_path / "p.json"
    words = ("data", "prepare", listed / "train.csv", out, "--short-side", 64, "--jobs", 1)
    done = cli(*words, "--json", file)
    assert done.code == 0, done
    assert "2 of 2 videos written" in done.out
    before, after = read_table(listed / "train.csv"), read_table(out / "videos.csv")
    assert json.loads(file.read_text())["data"] == str(out / "videos.csv")
    assert after.classes == before.classes
    assert [(r.label, r.start, r.end) for r in after.records] == [
        (r.label, r.start, r.end) for r in before.records
    ]
    for old, new in zip(before.records, after.records, strict=True):
        with open_video(old.path) as source, open_video(new.path) as film_:
            assert film_.times == source.times  # exact, also at a variable rate
            assert min(film_.width, film_.height) == 64
            assert abs(film_.width / film_.height - source.width / source.height) < 0.02
            every = range(len(source.times))
            assert numbers(film_.read(every).data) == numbers(source.read(every).data)
    changed = out / "sub" / "b.avi.mp4"
    stamp = changed.stat().st_mtime_ns
    (out / "a b.mp4").write_bytes(b"cut")
    assert "1 of 2 videos written" in cli(*words).out  # what was cut is written again
    assert changed.stat().st_mtime_ns == stamp
    (listed / "a b.mp4").write_bytes(b"broken")
    done = cli(*words)
    assert done.code == 1 and "1 of 2 videos could not be prepared" in done.err
    assert "is the data set itself" in refused("data", "prepare", listed, listed)


def test_shards(films: Path, tmp_path: Path) -> None:
    out, file = tmp_path / "shards", tmp_path / "s.json"
    done = cli("data", "shard", films, out, "--samples", 3, "--json", file)
    assert done.code == 0, done
    assert json.loads(file.read_text())["report"]["splits"] == {"train": 3, "val": 2, "test": 2}
    assert "0 were written now" in cli("data", "shard", films, out, "--samples", 3).out
    read, clips = read_table(out), read_table(films)
    assert read.classes == clips.classes
    assert {s: len(read.of(s)) for s in read.splits} == {s: len(clips.of(s)) for s in clips.splits}
    assert "is no index of shards" in refused("data", "prepare", _other(tmp_path), tmp_path / "r")


@pytest.mark.slow
def test_several_processes_prepare_the_same(films: Path, tmp_path: Path) -> None:
    for jobs in (1, 2):
        done = cli("data", "prepare", films, tmp_path / str(jobs), "--short-side", 24, "-j", jobs)
        assert done.code == 0 and "16 of 16 videos written" in done.out
    one, two = (sorted((tmp_path / str(jobs)).rglob("*.mp4")) for jobs in (1, 2))
    assert [p.read_bytes() for p in one] == [p.read_bytes() for p in two]


@pytest.mark.slow
def test_shards_train_like_clips(films: Path, tmp_path: Path) -> None:
    out, file = tmp_path / "shards", tmp_path / "s.json"
    assert cli("data", "shard", films, out).code == 0
    done = cli("train", out, "--out", tmp_path / "run", *TINY)
    assert done.code == 0, done
    done = cli("eval", tmp_path / "run", "--data", out, "--json", file)
    assert done.code == 0, done
    found = json.loads(file.read_text())
    assert (found["n_evaluated"], found["n_expected"]) == (4, 4)


def _other(tmp_path: Path) -> Path:
    folder = tmp_path / "old"
    folder.mkdir()
    (folder / "index.json").write_text('{"format": "vitascope shards 0"}')
    return folder


def test_conformance(tmp_path: Path) -> None:
    file = tmp_path / "c.json"
    words = ("conformance", "--decoder", "pyav", "--only", "mjpeg", "--json", file)
    done = cli(*words)
    assert done.code == 0, done
    found = json.loads(file.read_text())
    assert found["passed"] == {"pyav": True} and found["counts"]["pyav"]["fail"] == 0
    assert len(found["verdicts"]) == found["counts"]["pyav"]["pass"] > 0
    assert f"pyav: {len(found['verdicts'])} pass" in done.out
    assert "unknown decoder" in refused("conformance", "--decoder", "pyaw")
    assert "unknown video" in refused("conformance", "--only", "nothing")


def test_conformance_fails_on_a_wrong_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    from vitascope.data.check import conformance

    real = conformance.read_number
    monkeypatch.setattr(conformance, "read_number", lambda image: (real(image) or 0) // 2)
    done = cli("conformance", "--decoder", "pyav", "--only", "mjpeg")
    assert done.code == 1 and "videos failed" in done.err and "came instead of" in done.out


def test_bench_data(films: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from vitascope.engine import bench

    # A small model: how fast X3D trains is not what is tested.
    monkeypatch.setattr(bench, "measure_model", lambda model: (50.0, "cpu"))
    file = tmp_path / "b.json"
    done = cli("bench", "data", films, "--model", "x3d_xs", "--clips", 10, "--json", file)
    assert done.code == 0, done
    [row] = json.loads(file.read_text())["decoders"]
    total = sum(row["seconds"].values())
    assert row["clips"] == 10 and row["failed"] == 0 and min(row["seconds"].values()) > 0
    assert row["clips_per_second"] == pytest.approx(1 / total)
    assert row["workers"] - 1 < 50 * total <= row["workers"]
    assert "50.0 clips/s on cpu" in done.out
    assert "unknown model" in refused("bench", "data", films, "--model", "x3d_xx")
    assert "clips = 0" in refused("bench", "data", films, "--clips", 0)
    assert "Usage: vitascope bench" in cli("bench").out


def lists_beside(films, tmp_path):
    """Lists of a data set in a folder beside it; both lie below `tmp_path`."""
    lists = tmp_path / "lists"
    lists.mkdir()
    (tmp_path / "videos").symlink_to(films)
    for split in ("train", "val", "test"):
        rows = [f"../videos/{v.relative_to(films)},{v.parent.name}" for v in
                sorted((films / split).rglob("*.mp4"))]  # fmt: skip
        (lists / f"{split}.csv").write_text("\n".join(["path,label", *rows]) + "\n")
    return lists


def test_a_list_whose_videos_lie_elsewhere(films, tmp_path) -> None:
    lists = lists_beside(films, tmp_path)
    assert "data.root=FOLDER in train, else --root FOLDER" in refused("check", lists)
    assert cli("check", lists, "--root", tmp_path).code == 0
    assert "no such folder" in refused("check", lists, "--root", tmp_path / "no")


@pytest.mark.slow
def test_a_run_remembers_where_the_videos_of_its_list_lie(films, tmp_path) -> None:
    lists = lists_beside(films, tmp_path)
    run, root = tmp_path / "run", ("--root", tmp_path)
    words = ("train", lists, "--out", run, "--init", "none", *TINY)
    assert "data.root=FOLDER in train, else --root FOLDER" in refused(*words)
    assert cli(*words, f"data.root={tmp_path}").code == 0
    assert cli("eval", run).code == 0
    assert cli("eval", run, "--data", lists, *root).code == 0
    assert "--root FOLDER" in refused("eval", run, "--data", lists)
    assert "no such folder" in refused("check", lists, "--root", tmp_path / "no")
    assert cli("data", "prepare", lists, tmp_path / "small", *root).code == 0
    assert cli("data", "shard", lists, tmp_path / "shards", *root).code == 0
