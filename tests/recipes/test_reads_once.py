"""A training reads its lists once and looks at each file once before it begins."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from vitascope.data.check import describe
from vitascope.data.render import render_motion_dataset
from vitascope.data.tables import read, rows
from vitascope.engine.build import build_data, read_data
from vitascope.engine.config import Recipe
from vitascope.engine.evaluate import evaluate
from vitascope.engine.folder import read_run
from vitascope.errors import DatasetError
from vitascope.recipes.folder import Trained, train
from vitascope.spec import ClipSpec

SMALL = ("clip.num_frames=4", "clip.coverage=window", "clip.sampling_rate=1", "clip.fps=8",
         "pixels.short_side=32", "pixels.crop=32,32", "optim.epochs=1", "optim.batch_size=4",
         "data.workers=0", "data.cache=false", "run.threads=1")  # fmt: skip


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    counts = {"train": 4, "val": 2, "test": 2}
    return render_motion_dataset(
        tmp_path_factory.mktemp("films"), ("move_left", "move_right"), counts, frames=8,
        size=(32, 32), fps=8,
    )  # fmt: skip


def listed(films: Path, place: Path) -> Path:
    lines = ["path,label,split"]
    for file in sorted(films.rglob("*.mp4")):
        split, label = file.parts[-3:-1]
        lines.append(f"{file},{label},{split}")
    place.write_text("\n".join(lines) + "\n")
    return place


@pytest.mark.parametrize("kind", ["folder", "list"])
def test_a_training_reads_its_data_once(
    films: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    data = films if kind == "folder" else listed(films, tmp_path / "all.csv")
    calls: Counter[str] = Counter()

    def count(module: object, name: str, key: str) -> None:
        real = getattr(module, name)

        def counted(*args: object, **kwargs: object) -> object:
            calls[key] += 1
            return real(*args, **kwargs)

        monkeypatch.setattr(module, name, counted)

    count(read, "table_from", "tables")
    count(rows, "read_text", "lists")
    count(describe, "probe", "probes")
    monkeypatch.chdir(tmp_path)
    run = tmp_path / "run"
    done = train(os.path.relpath(data), out=run, overrides=SMALL)
    assert calls["tables"] == 1
    assert calls["lists"] == (kind == "list")
    assert calls["probes"] == len(done.plan.table) == len(list(films.rglob("*.mp4")))
    same_as_read_again(done, run)


def same_as_read_again(done: Trained, run: Path) -> None:
    """What the training worked with is what its stored recipe reads."""
    recipe = Recipe.from_json(read_run(run)["recipe"])
    again = read_data(recipe)
    assert again.records == done.plan.table.records and again.classes == done.plan.table.classes
    held = read_run(run)["data"]
    assert held["fingerprint"] == build_data(recipe, again).fingerprint()
    assert held["root"] == again.root
    assert done.test is not None
    scores = evaluate(run, split="test")
    assert scores.videos == done.test.videos
    torch.testing.assert_close(scores.scores, done.test.scores, rtol=0, atol=0)


def test_a_table_of_other_classes_is_refused(films: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    done = train(films, out=run, overrides=SMALL)
    renamed = replace(done.plan.table, classes=("a", "b"))
    with pytest.raises(DatasetError, match="classes are not those"):
        evaluate(run, renamed)


def test_headers_read_once_serve_every_clip(films: Path) -> None:
    table = read.read_table(films)
    seen = []
    headers = describe.read_headers(table, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(i + 1, len(table)) for i in range(len(table))]
    for clip, shorter in (
        (None, 0),
        (ClipSpec(num_frames=8, fps=8), 0),
        (ClipSpec(num_frames=9, fps=8), 16),
    ):
        found = describe.summarize(table, headers, clip)
        assert found.shorter_than_clip == shorter and found.videos == found.headers == len(table)
