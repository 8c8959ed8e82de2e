"""What is done with a run later: no evaluation replaces another, and the report shows them all."""

from __future__ import annotations

import csv
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from support.command_line import cli, refused
from vitascope.accelerator.verify import Verification
from vitascope.serving.history import FILE, note_export, read_history
from vitascope.serving.report import LATER, LATER_END


@pytest.fixture
def run(trained, tmp_path) -> Path:
    """A run of its own for each test, without what other tests have evaluated in theirs."""
    made = tmp_path / "run"
    shutil.copytree(trained.folder, made, ignore=shutil.ignore_patterns(FILE, "scores-*.csv"))
    page = (made / "report.html").read_text()
    before, _, rest = page.partition(LATER)
    after = rest.partition(LATER_END)[2]
    (made / "report.html").write_text(f"{before}{LATER}{LATER_END}{after}")
    return made


def scored(*words: object) -> dict:
    """The JSON of an evaluation."""
    done = cli("eval", *words, "--json", "-")
    assert done.code == 0, done
    return json.loads(done.out)


def videos(file: str | Path) -> set[str]:
    with open(file, newline="") as stream:
        return {row["path"] for row in csv.DictReader(stream)}


def listed(films: Path, place: Path, classes: int = 2) -> Path:
    """A list of the test videos without splits."""
    place.parent.mkdir(parents=True, exist_ok=True)
    folders = sorted((films / "test").iterdir())[:classes]
    lines = ["path,label"]
    for folder in folders:
        shutil.copytree(folder, place.parent / folder.name, dirs_exist_ok=True)
        lines += [f"{folder.name}/{file.name},{folder.name}" for file in sorted(folder.iterdir())]
    place.write_text("\n".join(lines) + "\n")
    return place


def shown(run: Path) -> str:
    """What the report shows of it, without tags."""
    page = (run / "report.html").read_text()
    assert page.count(LATER) == page.count(LATER_END) == 1
    later = page.partition(LATER)[2].partition(LATER_END)[0]
    return " ".join(re.sub(r"<[^>]+>", " ", later.replace("<wbr>", "")).split())


def test_each_evaluation_has_a_file_of_its_own(trained, run, tmp_path) -> None:
    held = (run / "scores.csv").read_bytes()
    other = listed(trained.films, tmp_path / "a" / "others.csv")
    same_name = listed(trained.films, tmp_path / "b" / "others.csv")
    found = [
        scored(run, "--split", "val"),
        scored(run, "--split", "all"),
        scored(run, "--views", "2x1"),
        scored(run, "--data", other),
        scored(run, "--data", same_name),
    ]
    files = [Path(f["csv"]).name for f in found]
    assert files == [
        "scores-val.csv", "scores-all.csv", "scores-test-2x1.csv", "scores-others-all.csv",
        "scores-others-all-2.csv",
    ]  # fmt: skip
    assert (run / "scores.csv").read_bytes() == held
    for one in found:
        assert len(videos(one["csv"])) == one["n_evaluated"]
    assert scored(run, "--data", same_name)["csv"] == found[-1]["csv"]  # again is the same place
    assert scored(run, "--data", trained.films)["csv"] == str(run / "scores.csv")  # its own data
    assert {"/val/" in path for path in videos(found[0]["csv"])} == {True}


def test_the_report_shows_what_came_later_the_latest_of_each(trained, run, tmp_path) -> None:
    assert shown(run) == ""
    page = (run / "report.html").read_text()
    rest = page.replace(f"{LATER}{LATER_END}", "")
    other = listed(trained.films, tmp_path / "others.csv")
    for words in (("--split", "val"), ("--data", other), ("--split", "val")):
        assert Path(scored(run, *words)["report"]) == run / "report.html"
    rows = read_history(run).evaluations
    assert [(row.data, row.split) for row in rows] == [(str(other), "all"), ("", "val")]
    text = shown(run)
    for row in rows:
        figures = f"{100 * row.top1:.1f} % ({100 * row.low:.1f} % to {100 * row.high:.1f} %)"
        assert f"{row.data or 'data of the run'}: {row.split} 1x1 {figures}" in text
        assert f"{row.videos} of {row.expected} {row.scores}" in text
    page = (run / "report.html").read_text()
    before, _, after = page.partition(LATER)
    assert before + after.partition(LATER_END)[2] == rest  # nothing else has changed


def test_the_report_shows_exports(run, tmp_path) -> None:
    check = Verification(
        target="onnx", ok=True, n_clips=16, max_abs_diff=7.25e-6, max_abs_diff_probability=1e-6,
        allowed=1.31e-3, tolerance=1e-4, top1_agreement=0.9375, latency_ms=8.12,
        latency_ms_before=21.4, repeats=20, threads=2,
    )  # fmt: skip
    note_export(run, run / "model.onnx", check)
    note_export(run, tmp_path / "other.onnx", check)
    note_export(run / "best.json", run / "model.onnx", replace(check, top1_agreement=1.0))
    held = read_history(run).exports
    assert [file for file, _ in held] == [str(tmp_path / "other.onnx"), "model.onnx"]
    assert held[0][1] == check
    text = shown(run)
    assert text.startswith("Exported models") and text.count("✓ within tolerance") == 2
    assert "93.8 % of 16" in text and "100.0 % of 16" in text


def test_a_list_without_splits_is_scored_whole(trained, run, tmp_path) -> None:
    """Also where only some of the classes occur in it."""
    found = scored(run, "--data", listed(trained.films, tmp_path / "one.csv", classes=1))
    assert found["split"] == "" and found["n_evaluated"] == found["n_expected"] == 2


def test_a_report_of_an_earlier_version_gets_its_sections(run) -> None:
    page = (run / "report.html").read_text().replace(LATER, "").replace(LATER_END, "")
    (run / "report.html").write_text(page)
    scored(run, "--split", "val")
    assert shown(run).startswith("Evaluations")
    assert (run / "report.html").read_text().index(LATER) < page.index("<footer>") + len(LATER)


def test_a_damaged_history_is_said(run) -> None:
    (run / FILE).write_text('{"evaluations": [{"data": 3}], "exports": []}')
    message = refused("eval", run, "--split", "val")
    assert f"{FILE} is damaged" in message and "Remove it" in message


def test_a_run_that_is_replaced_has_no_history(trained, run) -> None:
    from support.command_line import TINY

    scored(run, "--split", "val")
    done = cli("train", trained.films, "--out", run, "--init", "none", "--force", *TINY)
    assert done.code == 0, done
    assert not (run / FILE).exists() and shown(run) == ""


def test_without_a_run_scores_of_other_videos_are_left_alone(trained, tmp_path) -> None:
    alone = tmp_path / "alone"
    alone.mkdir()
    for file in trained.folder.glob("best*"):
        shutil.copy(file, alone)
    model, found = alone / "best.json", []
    for place in ("a", "b", "a"):
        data = tmp_path / place / "val"
        shutil.copytree(trained.films / "test", data, dirs_exist_ok=True)
        found.append(Path(scored(model, "--data", data, "--split", "all")["csv"]))
    assert [file.name for file in found] == [
        "scores-val-all.csv", "scores-val-all-2.csv", "scores-val-all.csv",
    ]  # fmt: skip
    for file, place in zip(found, "aba", strict=True):
        assert len(videos(file)) == 4
        assert all(path.startswith(f"{tmp_path}/{place}/") for path in videos(file))
