"""What people print in a session is a line or two, however large the thing is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from vitascope.accelerator.artifact import Artifact
from vitascope.data.check.describe import Headers, summarize
from vitascope.data.records import Table, VideoRecord
from vitascope.data.sets import DATASETS
from vitascope.data.sets.card import DatasetCard, get_dataset
from vitascope.engine.config import ModelConfig, Recipe
from vitascope.engine.scoring import EvalResult
from vitascope.engine.state import TrainResult
from vitascope.models.registry import get_card, list_cards
from vitascope.recipes.folder import Plan, Trained
from vitascope.serving.loading import ModelSource
from vitascope.serving.predictor import Predictor
from vitascope.spec import ClipSpec, Contract, LabelSpec, PixelSpec

CLASSES = tuple(f"a class with a long name, number {i}" for i in range(700))
RECORDS = tuple(VideoRecord(f"/data/{i}.mp4", i % 700, "train", where="l") for i in range(3000))
CONTRACT = Contract(
    model="x3d_s",
    args={},
    labels=LabelSpec(names=CLASSES),
    clip=ClipSpec(num_frames=13),
    pixels=PixelSpec(short_side=182, crop=(182, 182)),
)


def large() -> dict[str, tuple[Any, str]]:
    """Each thing, and what its text has to say."""
    table = Table(RECORDS, CLASSES, "/data", "list")
    summary = summarize(replace(table, records=table.records[:3]), Headers({}, (), 0))
    model = get_card("x3d_s").build(model_num_class=700)
    source = ModelSource(Path("best.json"), "checkpoint", CONTRACT, model, model)
    test = EvalResult(
        classes=CLASSES,
        videos=tuple(r.path for r in RECORDS),
        labels=torch.arange(3000) % 700,
        scores=torch.eye(700)[torch.arange(3000) % 700],
        n_expected=3001,
        split="test",
    )
    settings = Recipe(model=ModelConfig(name="x3d_s"), clip=CONTRACT.clip, pixels=CONTRACT.pixels)
    plan = Plan(table, summary, settings, ())
    ended = TrainResult(
        run="run", best_top1=0.5, best_step=1, step=1, steps=1, seconds=1.0, interrupted=False
    )
    return {
        "table": (table, "3000 videos, 700 classes, train 3000, list"),
        "summary": (summary, "3 videos, 700 classes"),
        "labels": (CONTRACT.labels, "700 names: a class with"),
        "contract": (CONTRACT, "model='x3d_s'"),
        "artifact": (Artifact(Path("m.onnx"), "onnx", CONTRACT, model), "onnx"),
        "source": (source, "'best.json', checkpoint, 'x3d_s'"),
        "predictor": (Predictor(source), "x3d_s, checkpoint, 700 classes"),
        "scores": (test, "test, top1=1.0000, 3000 of 3001 videos, 700 classes"),
        "plan": (plan, "30 epochs"),
        "trained": (Trained(plan, ended, test), "top1=1.0000"),
    }


@pytest.fixture(scope="module")
def things() -> dict[str, tuple[Any, str]]:
    return large()


@pytest.mark.parametrize(
    "name",
    "table summary labels contract artifact source predictor scores plan trained".split(),
)
def test_large_things_print_short(things, name) -> None:
    thing, said = things[name]
    text = repr(thing)
    assert said in text
    assert len(text) < 900 and text.count("\n") < 4


def test_every_card_prints_as_a_line() -> None:
    cards: list[Any] = [*list_cards(), *(get_dataset(name) for name in DATASETS)]
    assert len(cards) > 50
    for card in cards:
        text = repr(card)
        name = card.name if isinstance(card, DatasetCard) else card.full_name
        assert f"{name!r}" in text and "\n" not in text and len(text) < 250, text
    assert "13 frames of 182 x 182, labels='kinetics400', top1 73.33 on" in repr(get_card("x3d_s"))
