"""Train, evaluate, predict, export, check on a small data set through the command line."""

from __future__ import annotations

import csv
import json
import shlex
import signal
import sys
from pathlib import Path

import pytest

from support.command_line import TINY, cli, refused
from vitascope.serving.predictor import load


def read(path):
    return json.loads(path.read_text())


# --- train ---------------------------------------------------------------------------------------


def test_train_tells_what_it_understood_chose_and_reached(trained):
    out = trained.done.out
    order = ["Data", "train: 8 videos, 4 a class", "Settings", "optim.lr", "Training", "val loss"]
    order += ["Scores on test", "report.html", "Next", "vitascope predict"]
    places = [out.index(text) for text in order]
    assert places == sorted(places)
    assert "so clips are not mirrored" in out


def test_train_writes_the_run_and_the_stable_keys(trained):
    run, found = trained.folder, trained.json
    assert found["run"] == str(run) and found["seconds"] > 0
    assert found["best_top1"] in (0, 0.25, 0.5, 0.75, 1)
    assert found["recipe"]["pixels"]["crop"] == [32, 32]
    for name in ("best.json", "last.json", "split.csv", "curves.html", "report.html", "scores.csv"):
        assert (run / name).stat().st_size > 0, name
    page = (run / "report.html").read_text()
    assert "data:image/jpeg;base64," in page and "http" not in page.replace("http-equiv", "")


def advised(trained):
    return [
        line.strip().split("   ")[0]
        for line in trained.done.out.splitlines()
        if line.startswith("vitascope ")
    ]


def test_the_advised_commands_work(trained):
    video = trained.films / "test" / "grow" / "grow_0000.mp4"
    lines = advised(trained)
    assert [line.split()[1] for line in lines] == ["predict", "eval", "export"]
    for line in lines[:2]:  # the fixture `exported` carries out the third
        words = shlex.split(line.replace("VIDEO", str(video)).replace("10x3", "2x1"))
        assert cli(*words[1:]).code == 0, line


def test_the_same_command_again_is_refused_and_resume_finds_it_finished(trained):
    again = ("train", trained.films, "--out", trained.folder, *TINY)
    assert "holds this run already, finished" in refused(*again)
    before = (trained.folder / "last.json").read_bytes()
    done = cli(*again, "--resume")
    assert done.code == 0
    assert json.loads(before)["state"] == read(trained.folder / "last.json")["state"]


def test_an_interrupted_training_says_how_to_go_on_and_does(films, tmp_path, monkeypatch):
    """The advised command goes on; it must not carry the --force of the first one along."""
    from vitascope.cli import training

    def stop_after_two(self, event, values):
        if event.step == 2:
            signal.raise_signal(signal.SIGINT)

    words = ["train", films, "--out", tmp_path / "run", *TINY, "optim.epochs=3", "--force"]
    words = [str(word) for word in words]
    monkeypatch.setattr(sys, "argv", ["vitascope", *words])
    with monkeypatch.context() as patch:
        patch.setattr(training.TrainingDisplay, "_on_step", stop_after_two)
        done = cli(*words, "--json", tmp_path / "t.json")
    assert done.code == 130 and "Stopped at step 2 of 6; everything is saved" in done.out
    assert read(tmp_path / "t.json")["interrupted"]
    (line,) = (text for text in done.out.splitlines() if text.endswith("--resume"))
    assert "--force" not in line
    done = cli(*shlex.split(line)[1:])
    assert done.code == 0 and "Going on at step 2 of 6" in done.out
    assert "give one" in refused(*words, "--resume")


def test_a_recipe_of_a_run_is_taken_over(trained, tmp_path):
    done = cli("recipes", "show", trained.folder, "--json", tmp_path / "recipe.json")
    assert done.code == 0 and "pixels.crop" in done.out
    assert read(tmp_path / "recipe.json")["recipe"] == trained.json["recipe"]
    done = cli(
        "train", trained.films, "--recipe", trained.folder, "--out", tmp_path / "run",
        "--init", trained.folder, "optim.lr=0.0001", "--json", tmp_path / "t.json",
    )  # fmt: skip
    assert done.code == 0
    recipe = read(tmp_path / "t.json")["recipe"]
    assert recipe["optim"]["lr"] == 0.0001 and recipe["model"]["init"] == str(trained.folder)
    assert recipe["pixels"] == trained.json["recipe"]["pixels"]


# --- eval ----------------------------------------------------------------------------------------


def test_eval_agrees_with_its_own_table_of_scores(trained, tmp_path):
    done = cli(
        "eval", trained.folder, "--data", trained.films, "--split", "test",
        "--csv", tmp_path / "s.csv", "--json", tmp_path / "e.json",
    )  # fmt: skip
    assert done.code == 0
    found = read(tmp_path / "e.json")
    with open(tmp_path / "s.csv") as file:
        rows = list(csv.DictReader(file))
    correct = [row["label"] == max(found["classes"], key=lambda c: float(row[c])) for row in rows]
    assert found["top1"] == pytest.approx(sum(correct) / len(correct))
    assert found["n_evaluated"] == found["n_expected"] == len(rows) == 4
    assert 0 <= found["mean_class_accuracy"] <= 1 and found["top5"] == 1
    assert found["interval"][0] <= found["top1"] <= found["interval"][1]
    assert sum(map(sum, found["confusion"])) == 4
    assert "evaluated             4 of 4 videos" in done.out
    assert found["top1"] == trained.json["test"]["top1"]


def test_eval_counts_what_it_leaves_out(trained, tmp_path):
    films = tmp_path / "films"
    for name in ("move_left", "grow"):
        (films / name).mkdir(parents=True)
        source = trained.films / "test" / name / f"{name}_0000.mp4"
        (films / name / "a.mp4").write_bytes(source.read_bytes())
    (films / "grow" / "b.mp4").write_bytes(b"")
    words = ("eval", trained.folder, "--data", films, "--split", "all", "--csv", tmp_path / "s.csv")
    assert "b.mp4" in refused(*words)
    done = cli(*words, "--on-bad", "skip", "--json", tmp_path / "e.json")
    assert done.code == 0 and "evaluated             2 of 3 videos" in done.out
    found = read(tmp_path / "e.json")
    assert (found["n_evaluated"], found["n_expected"]) == (2, 3)
    assert "b.mp4" in found["faults"][0]["path"]


# --- predict and export --------------------------------------------------------------------------


@pytest.fixture(scope="session")
def exported(trained):
    """What the advised export command wrote, and its JSON."""
    pytest.importorskip("onnxruntime")
    file = trained.folder.parent / "export.json"
    (line,) = (text for text in advised(trained) if " export " in text)
    done = cli(*shlex.split(line)[1:], "--json", file)
    assert done.code == 0, done
    return read(file)


@pytest.mark.export
def test_a_run_and_its_export_say_the_same(trained, exported, tmp_path):
    report = (trained.folder / "report.html").read_text()
    assert "Exported models" in report and Path(exported["path"]).name in report
    assert exported["max_abs_diff"] <= 1e-4 and exported["top1_agreement"] == 1
    assert exported["latency_ms"] > 0 and exported["latency_ms_before"] > 0
    video = trained.films / "test" / "grow" / "grow_0001.mp4"
    answers = []
    for model in (trained.folder, exported["path"]):
        assert cli("predict", model, video, "--json", tmp_path / "p.json").code == 0
        (row,) = read(tmp_path / "p.json")["files"]
        assert row["path"] == str(video)
        answers.append({t["label"]: t["score"] for t in row["top"]})
    assert answers[0] == pytest.approx(answers[1], abs=1e-4)


@pytest.mark.export
def test_an_export_that_differs_is_a_failed_check_and_leaves_nothing(
    trained, tmp_path, monkeypatch
):
    import vitascope.accelerator.export as module

    def verify(original, converted, *more, **settings):
        return measure(original, lambda x: converted(x) + 0.5, *more, **settings)

    measure = module.verify_export
    monkeypatch.setattr(module, "verify_export", verify)
    done = cli(
        "export", trained.folder, "--to", "torch.export", "--out", tmp_path / "m.pt2",
        "--json", tmp_path / "e.json",
    )  # fmt: skip
    assert done.code == 1 and "nothing was written" in done.err
    assert not (tmp_path / "m.pt2").exists()
    found = read(tmp_path / "e.json")
    assert found["path"] is None and found["max_abs_diff"] == pytest.approx(0.5, abs=1e-3)


def test_predict_takes_folders_and_prints_what_python_gives(trained, tmp_path):
    folder = trained.films / "test"
    done = cli("predict", trained.folder, folder, "--top", "1", "--json", tmp_path / "p.json")
    rows = read(tmp_path / "p.json")["files"]
    assert len(rows) == len(done.out.splitlines()) == 4
    model = load(trained.folder)
    for row, line in zip(rows, done.out.splitlines(), strict=True):
        prediction = model.predict(row["path"], top=1)
        assert row["top"] == [{"label": prediction.label, "score": prediction.top[0][1]}]
        assert prediction.label in line and row["path"] in line
        assert f"{100 * prediction.top[0][1]:.1f} %" in line


def test_predict_prints_a_time_line(trained, tmp_path):
    video = trained.films / "test" / "grow" / "grow_0000.mp4"
    done = cli("predict", trained.folder, video, "--every", "0.25s", "--json", tmp_path / "p.json")
    assert done.code == 0
    (row,) = read(tmp_path / "p.json")["files"]
    direct = [r.to_json() for r in load(trained.folder).timeline(video, "0.25s")]
    assert row["timeline"] == direct
    assert done.out.count(" s   ") == len(direct)
    assert sum(t["score"] for t in row["top"]) == pytest.approx(1)


def test_predict_goes_on_after_a_bad_video_and_says_so(trained, tmp_path):
    good = trained.films / "test" / "grow" / "grow_0000.mp4"
    bad = [tmp_path / "a.mp4", tmp_path / "b.mp4"]
    for path in bad:
        path.write_bytes(b"no video")
    done = cli("predict", trained.folder, *bad, good, "--top", "1", "--json", tmp_path / "p.json")
    assert done.code == 2 and str(good) in done.out
    assert "2 of 3 videos cannot be read" in done.err and str(bad[1]) in done.err
    assert [bool(row.get("error")) for row in read(tmp_path / "p.json")["files"]] == [1, 1, 0]


# --- check ---------------------------------------------------------------------------------------


def test_check_counts_frames_and_finds_faults(trained, tmp_path):
    done = cli("check", trained.films, "--jobs", "1", "--json", tmp_path / "c.json")
    assert done.code == 0 and "16 of 16 videos decode without fault: 128 frames" in done.out
    files = read(tmp_path / "c.json")["files"]
    assert {(f["frames"], f["error"]) for f in files} == {(8, None)}
    (tmp_path / "films").mkdir()
    (tmp_path / "films" / "bad.mp4").write_bytes(b"")
    done = cli("check", tmp_path / "films", "--json", tmp_path / "c.json")
    assert done.code == 1 and "bad.mp4" in done.out and "failed: 1 of 1 files" in done.err
    (row,) = read(tmp_path / "c.json")["files"]
    assert row["frames"] == 0 and row["error"]


# --- models and recipes --------------------------------------------------------------------------


def test_recipes_show_lists_every_setting_with_its_meaning(tmp_path):
    done = cli("recipes", "--json", tmp_path / "r.json")
    fields = read(tmp_path / "r.json")["fields"]
    assert done.code == 0 and all(f["help"] for f in fields)
    assert all(f["path"] in done.out for f in fields)
    assert "holds no recipe" in refused("recipes", "show", write(tmp_path / "x.json", "[]"))
    assert "is no JSON" in refused("recipes", "show", write(tmp_path / "y.json", "{"))


def write(path, text):
    path.write_text(text)
    return path


def test_models(tmp_path):
    done = cli("models")
    assert "x3d_s" in done.out and "73.33" in done.out
    done = cli("models", "show", "x3d_s", "--json", tmp_path / "m.json")
    assert read(tmp_path / "m.json")["clip"]["num_frames"] == 13
    assert "Did you mean 'x3d_s'" in refused("models", "show", "x3ds")
