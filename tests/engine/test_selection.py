"""Which step is kept: by score or by the mean loss of several evaluations, and ties."""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean

import pytest
import torch
import toy
from hypothesis import given
from hypothesis import strategies as st

from vitascope.data.render import render_motion_dataset
from vitascope.engine.config import RunConfig
from vitascope.engine.log import Event, read_log
from vitascope.engine.scoring import EvalResult
from vitascope.engine.selection import FEW, by_loss, choosing, consider
from vitascope.engine.setup import build
from vitascope.engine.state import State
from vitascope.engine.train import fit


@dataclass(frozen=True)
class Scored:
    score: float
    loss: float

    def summary(self) -> dict[str, float]:
        return {}


def chosen(pairs: list[tuple[float, float]], run: RunConfig, videos: int) -> tuple[State, list]:
    state, marks = State(steps=len(pairs), seed=0), []  # an evaluation after each step
    for score, loss in pairs:
        state.step += 1
        marks.append(consider(state, Scored(score, loss), run, videos))
    return state, marks


PAIRS = st.lists(
    st.tuples(st.sampled_from([0.1, 0.5, 0.6]), st.sampled_from([0.5, 1.0, 2.0])), min_size=1
)


@given(pairs=PAIRS)
def test_of_equal_scores_the_lower_loss_and_then_the_later_step(pairs) -> None:
    state, marks = chosen(pairs, RunConfig(select="score"), 22)
    best = max(range(len(pairs)), key=lambda i: (pairs[i][0], -pairs[i][1], i))
    assert state.best_step == best + 1
    assert (state.best_score, state.best_loss) == pairs[best]
    # what is marked last in the table is what the checkpoint holds
    assert max(i for i, mark in enumerate(marks) if mark) == best


@given(pairs=PAIRS, over=st.integers(1, 4))
def test_of_few_videos_the_mean_loss_of_several_evaluations_decides(pairs, over) -> None:
    state, marks = chosen(pairs, RunConfig(select_over=over), FEW - 1)
    losses = [loss for _, loss in pairs]
    means = [mean(losses[max(0, i + 1 - over) : i + 1]) for i in range(len(losses))]
    second = [i for i in range(len(means)) if 2 * (i + 1) >= len(means)]
    best = max(second, key=lambda i: (-means[i], i))
    assert state.best_step == best + 1 and state.best_loss == pytest.approx(means[best])
    assert state.best_score == pairs[best][0]
    assert max(i for i, mark in enumerate(marks) if mark) == best


def test_a_lucky_score_of_few_videos_is_not_taken() -> None:
    pairs = [(0.5, 1.0), (0.86, 1.4), (0.7, 0.7), (0.75, 0.6), (0.75, 0.55)]
    assert chosen(pairs, RunConfig(), 22)[0].best_step == 5
    assert chosen(pairs, RunConfig(), FEW)[0].best_step == 2
    assert chosen(pairs, RunConfig(select="score"), 22)[0].best_step == 2
    assert chosen(pairs, RunConfig(select="loss"), FEW)[0].best_step == 5


def test_a_network_that_becomes_surer_of_its_errors_is_still_trained() -> None:
    pairs = [(0.5, 0.69), (0.55, 0.7), (0.6, 0.8), (0.64, 0.82), (0.64, 0.83), (0.65, 0.84)]
    state, marks = chosen(pairs, RunConfig(select_over=1), 22)
    assert state.best_step == 3 and marks == [True, True, True, False, False, False]


def test_the_rule_is_said() -> None:
    assert "mean over 3 evaluations" in choosing(RunConfig(), 22)
    assert "top-1 of 22 videos is uncertain by about 10 points" in choosing(RunConfig(), 22)
    assert "validation score" in choosing(RunConfig(), 5000)
    assert by_loss(RunConfig(), FEW - 1) and not by_loss(RunConfig(), FEW)


@pytest.mark.parametrize("select", ["score", "loss"])
def test_table_log_and_checkpoint_agree(tmp_path: Path, select: str) -> None:
    films = toy.render(tmp_path / "films", train=4, val=2, test=0)
    seen: list[Event] = []
    run = RunConfig(threads=1, accelerator="cpu", ema=0.5, select=select, eval_every=1)
    result = fit(toy.toy_recipe(films, run=run), tmp_path / "run", on_event=seen.append)
    rows = [row for row in read_log(tmp_path / "run" / "log.jsonl") if row["kind"] == "eval"]
    events = [event for event in seen if event.kind == "eval"]
    assert [row["best"] for row in rows] == [event.values["best"] for event in events]
    last = [row for row in rows if row["best"]][-1]
    held = json.loads((tmp_path / "run" / "best.json").read_text())["state"]
    assert last["step"] == held["step"] == held["best_step"] == result.best_step
    assert last["top1"] == held["best_score"] == result.best_top1
    if select == "loss":
        losses = [row["loss"] for row in rows]
        windows = [mean(losses[max(0, i - 2) : i + 1]) for i in range(len(losses))]
        late = [w for w, row in zip(windows, rows, strict=True) if 2 * row["step"] >= result.steps]
        assert held["best_loss"] == pytest.approx(min(late))
    else:
        assert last["top1"] == max(row["top1"] for row in rows)
    assert all(a["step"] < b["step"] for a, b in itertools.pairwise(rows))


@pytest.mark.parametrize(("balance", "share"), [("none", 0.8), ("sampled", 0.5)])
def test_classes_are_shown_equally_often_where_asked(tmp_path, balance, share) -> None:
    films = tmp_path / "films"
    for name, count in (("grow", 16), ("move_left", 4)):
        counts = {"train": count, "val": 1}
        render_motion_dataset(films, [name], counts, frames=8, size=(32, 32), fps=8)
    recipe = toy.toy_recipe(films)
    data = replace(recipe.data, balance=balance)
    optim = replace(recipe.optim, batch_size=4, accumulate=1)
    setup = build(replace(recipe, data=data, optim=optim), tmp_path / "run")
    labels = [
        batch["label"] for batch in setup.train_batches(0, 0, setup.data.train.fault_report())
    ]
    assert len(labels) == setup.steps_per_epoch == 5
    assert float((torch.cat(labels) == 0).float().mean()) == pytest.approx(share)


def test_the_majority_guess_stands_beside_top1() -> None:
    scores = torch.eye(3)[[0, 1, 1, 2, 2]]
    result = EvalResult(
        classes=("a", "b", "c"),
        videos=tuple("vwxyz"),
        labels=torch.tensor([1, 1, 1, 0, 2]),
        scores=scores,
        n_expected=5,
    )
    assert result.majority == ("b", 0.6) and result.top1 == 0.6
    assert result.to_json()["majority"] == {"label": "b", "top1": 0.6}
