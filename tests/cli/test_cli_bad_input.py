"""Bad input: one message that names place and remedy, status 2, nothing half-written."""

from __future__ import annotations

import errno
import json
import shutil
import sys
from importlib import metadata

import pytest

from support.command_line import TINY, cli, refused
from vitascope.data.render import render_numbered


@pytest.fixture
def clips(films, tmp_path):
    """Class folders `a` and `b` with four videos each."""
    for name, source in (("a", "move_left"), ("b", "grow")):
        shutil.copytree(films / "train" / source, tmp_path / "clips" / name)
    return tmp_path / "clips"


@pytest.fixture
def refuse(tmp_path):
    """Trains on data that must be refused; returns the message."""

    def train(data, *words):
        message = refused("train", data, "--out", tmp_path / "out", *TINY, *words)
        assert not (tmp_path / "out").exists(), "something was written"
        return message

    return train


def test_missing_folder(refuse, clips):
    message = refuse(clips.parent / "clipz")
    assert "clipz: no such file or folder" in message and f"Did you mean {clips}" in message


def test_empty_folder(refuse, tmp_path):
    (tmp_path / "empty").mkdir()
    assert "the folder is empty. Expected one folder a class" in refuse(tmp_path / "empty")


def test_one_class(refuse, clips):
    shutil.rmtree(clips / "b")
    assert "only one class ('a'); a classifier needs at least two" in refuse(clips)


def test_class_folder_without_video(refuse, clips):
    (clips / "c").mkdir()
    assert f"{clips / 'c'}: class folder without a video. Put videos into it" in refuse(clips)


def rows(clips, *more):
    found = [f"{p.relative_to(clips.parent)},{p.parent.name}" for p in sorted(clips.glob("*/*"))]
    return "\n".join(["path,label", *found, *more]) + "\n"


def test_missing_files_of_a_list_are_all_counted(refuse, clips):
    file = clips.parent / "l.csv"
    file.write_text(rows(clips, "gone/x.mp4,a", "gone/y.mp4,b"))
    message = refuse(file)
    assert "gone/x.mp4 (row 10 of l.csv): no such file; 2 of 10 rows affected" in message
    assert "gone/y.mp4 (row 11" in message


def test_unknown_column(refuse, clips):
    file = clips.parent / "l.csv"
    file.write_text(rows(clips).replace("path,label\n", "path,label,color\n", 1))
    assert "l.csv, row 1: unknown column 'color'. Known: path, label" in refuse(file)


def test_label_outside_the_class_list(refuse, clips):
    names, file = clips.parent / "names.txt", clips.parent / "l.csv"
    names.write_text("a\nb\n")
    file.write_text(rows(clips).replace(",b\n", ",c\n", 1))
    message = refuse(file, f"data.labels={names}")
    assert "(l.csv, row 6): label 'c' is not in the class list names.txt (a, b)" in message


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("empty.mp4", "the file has no content (0 bytes)"),
        ("truncated_no_moov.mp4", "cut before its index"),
        ("truncated_faststart.mp4", "its table leads to byte 27322, it ends at byte 16393"),
        ("audio_only.mp4", "no video stream in the file, only audio"),
    ],
)
def test_files_that_cannot_be_read(refuse, clips, shared, name, reason):
    shutil.copy(shared / "data" / "codecs" / name, clips / "b" / name)
    message = refuse(clips)
    assert name in message and reason in message and "1 of 9 files cannot be read" in message
    assert "data.on_bad=skip" in message


def test_video_shorter_than_the_clip(refuse, clips):
    render_numbered(clips / "a" / "long.mp4", 40, size=(32, 40), fps=16)
    message = refuse(clips, "clip.num_frames=16", "clip.coverage=window", "clip.short=error")
    assert "8 of 9 videos are shorter than a clip of 16 frames" in message
    assert "clip.short=repeat" in message


def test_unknown_names(refuse, clips):
    assert "unknown model 'x3d_z'. Did you mean" in refuse(clips, "--model", "x3d_z")
    assert "unknown setting 'optim.lrr'. Did you mean 'optim.lr'" in refuse(clips, "optim.lrr=1")
    assert "optim.lr = 'much': expected number" in refuse(clips, "optim.lr=much")
    assert "expected path=value" in refuse(clips, "optim.lr")


def test_output_folder_in_use(trained, tmp_path):
    words = ("train", trained.films, "--out", trained.folder, *TINY, "optim.lr=0.5")
    before = {p.name: p.read_bytes() for p in trained.folder.iterdir()}
    assert "holds another run. Different: optim.lr = 0.5" in refused(*words)
    assert "holds another run" in refused(*words, "--resume")
    assert {p.name: p.read_bytes() for p in trained.folder.iterdir()} == before
    (tmp_path / "notes.txt").write_text("mine")
    message = refused("train", trained.films, "--out", tmp_path, *TINY)
    assert "is not empty and holds no run" in message
    assert [p.name for p in tmp_path.iterdir()] == ["notes.txt"]


def test_checkpoint_cut_in_half(trained, tmp_path):
    run = shutil.copytree(trained.folder, tmp_path / "run")
    (weights,) = run.glob("best-*.safetensors")
    data = weights.read_bytes()
    weights.write_bytes(data[: len(data) // 2])
    video = next(trained.films.glob("test/*/*.mp4"))
    cut = f"{weights} is cut: {len(data) // 2} bytes of {len(data)}"
    for words in (["predict", run, video], ["eval", run], ["export", run, "--to", "onnx"]):
        assert cut in refused(*words)
    record = run / "best.json"
    weights.write_bytes(data)
    record.write_text(record.read_text()[:200])
    message = refused("eval", run)
    assert f"{record} is no readable JSON" in message and "not a readable checkpoint" in message


def test_export_without_its_extra(trained, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    message = refused("export", trained.folder, "--to", "onnx", "--out", tmp_path)
    assert f'Run: pip install "vitascope[onnx]" "torch=={metadata.version("torch")}"' in message
    message = refused("quickstart", "--out", tmp_path / "q")
    assert f'Run: pip install "vitascope[onnx]" "torch=={metadata.version("torch")}"' in message
    assert not list(tmp_path.iterdir())
    assert "Did you mean 'onnx'" in refused("export", trained.folder, "--to", "onx")


def test_full_disk_during_a_checkpoint(clips, tmp_path, monkeypatch):
    """The second save of the run fails; the first one still loads."""
    from vitascope.engine import checkpoint

    written = []

    def save(tensors, path, metadata):
        written.append(path)
        if len(written) > 2:  # last and best of the first epoch went well
            raise OSError(errno.ENOSPC, "No space left on device")
        return checkpoint_save(tensors, path, metadata=metadata)

    checkpoint_save = checkpoint.save_file
    monkeypatch.setattr(checkpoint, "save_file", save)
    out = tmp_path / "out"
    words = ("train", clips, "--out", out, *TINY, "optim.epochs=2", "data.fractions=0.5,0.25,0.25")
    message = refused(*words)
    assert "the disk is full" in message and "is intact" in message and "--resume" in message
    state = json.loads((out / "last.json").read_text())["state"]
    assert 0 < state["step"] < state["steps"]
    monkeypatch.undo()
    assert cli("predict", out, next(clips.glob("a/*.mp4"))).code == 0
    assert cli(*words, "--resume").code == 0


def test_quickstart_leaves_other_folders_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    assert "is not of an earlier quickstart" in refused("quickstart", "--out", tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]


def test_predict_and_eval_arguments(trained, tmp_path):
    run, video = trained.folder, next(trained.films.glob("test/*/*.mp4"))
    assert "no such file or folder" in refused("predict", run, tmp_path / "x.mp4")
    assert "no videos in this folder" in refused("predict", run, tmp_path)
    assert "no such run folder" in refused("predict", tmp_path / "run", video)
    assert "every = 0" in refused("predict", run, video, "--every", "0")
    assert "expected CLIPSxCROPS" in refused("predict", run, video, "--views", "ten")
    assert "--views does not go with --every" in refused(
        "predict", run, video, "--views", "2x1", "--every", "1s"
    )
    assert "unknown split 'tset'. Did you mean 'test'" in refused("eval", run, "--split", "tset")
    assert "legal values: error, skip" in refused("eval", run, "--on-bad", "skp")
    assert "no such run or recipe" in refused("train", trained.films, "--recipe", tmp_path / "r")
