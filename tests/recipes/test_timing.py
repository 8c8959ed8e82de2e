"""The time that is said before a training, with a clock that the test turns."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from vitascope.data.render import render_motion_dataset
from vitascope.engine.overrides import apply_overrides
from vitascope.recipes import folder, timing
from vitascope.recipes.folder import Plan, plan_training, train
from vitascope.recipes.timing import Timing, Work, estimate, measure_step, total, work_of

GIVEN = ("optim.epochs=50", "optim.batch_size=4", "data.workers=0", "run.threads=1")


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    counts = {"train": 5, "val": 2, "test": 3}
    return render_motion_dataset(
        tmp_path_factory.mktemp("films"), ("move_left", "move_right"), counts, frames=8,
        size=(32, 32), fps=8,
    )  # fmt: skip


@pytest.fixture(scope="module")
def plan(films: Path) -> Plan:
    return plan_training(films, init="none", overrides=GIVEN)


@pytest.fixture
def two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "cores", lambda: 2)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


def naive(work: Work, batch: int, step: float, first: float, again: float, cache: bool) -> float:
    """Goes through the training clip by clip."""
    seconds, seen = 0.0, set()

    def load(clip: tuple[str, int]) -> float:
        known = cache and clip in seen
        seen.add(clip)
        return (again if known else first) / 2  # two cores

    per_epoch = work.evaluations // work.epochs
    for _ in range(work.epochs):
        for n in range(work.train):
            seconds += load(("train", n)) + step / batch
        for _ in range(per_epoch):
            seconds += sum(load(("val", n)) + step / batch / 3 for n in range(work.val))
    return seconds + sum(load(("test", n)) + step / batch / 3 for n in range(work.test))


@pytest.mark.parametrize("cache", [True, False])
def test_the_total_is_that_of_every_clip(plan: Plan, two_cores: None, cache: bool) -> None:
    work = work_of(plan.recipe, plan.table)
    assert work == Work(train=8, val=4, test=6, epochs=50, steps=100, evaluations=50)
    recipe = replace(plan.recipe, data=replace(plan.recipe.data, cache=cache))
    given = dict(step=3.0, first=0.5, again=0.125)
    expected = naive(work, 4, **given, cache=cache)
    assert total(recipe, work, **given, gpu=False) == pytest.approx(expected)


def test_a_gpu_works_while_others_load(plan: Plan) -> None:
    work = work_of(plan.recipe, plan.table)
    recipe = replace(plan.recipe, data=replace(plan.recipe.data, workers=4, cache=False))
    computing = 1.0 * 100 + (4 * 50 + 6) / 4 / 3
    assert total(recipe, work, 1.0, 0.0, 0.0, True) == pytest.approx(computing)
    loading = (8 * 50 + 4 * 50 + 6) * 10.0 / 4
    assert total(recipe, work, 1.0, 10.0, 0.0, True) == pytest.approx(loading)


def measured(plan: Plan, monkeypatch: pytest.MonkeyPatch, step: float, *given: str) -> Timing:
    monkeypatch.setattr(timing, "measure_step", lambda *args: step)
    monkeypatch.setattr(timing, "measure_loading", lambda *args: (0.0, 0.0))
    monkeypatch.setattr(timing, "TRIVIAL", 0.0)
    found = estimate(apply_overrides(plan.recipe, given), plan.table)
    assert found is not None
    return found


def test_the_time_follows_from_what_was_given(
    plan: Plan, two_cores: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = measured(plan, monkeypatch, 6.0)
    views = 6.0 / 4 / 3  # a forward pass
    assert base.seconds == pytest.approx(6.0 * 100 + views * (4 * 50 + 6))
    longer = measured(plan, monkeypatch, 6.0, "optim.epochs=500")
    assert longer.steps == 10 * base.steps
    assert longer.seconds == pytest.approx(6.0 * 1000 + views * (4 * 500 + 6))
    rarer = measured(plan, monkeypatch, 6.0, "run.eval_every=50")
    assert rarer.seconds == pytest.approx(6.0 * 100 + views * (4 * 2 + 6))
    assert base.after(75).seconds == pytest.approx(base.seconds / 4)


def test_a_plan_of_11000_seconds_is_not_called_22_minutes(
    films: Path, two_cores: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What was chosen is planned for 22 minutes; what is given in its place takes its own time."""
    from vitascope.cli.output import Output
    from vitascope.cli.shown import show_plan

    monkeypatch.setattr(timing, "measure_step", lambda *args: 11_000 / 100)
    monkeypatch.setattr(timing, "measure_loading", lambda *args: (0.0, 0.0))
    given = (*GIVEN, "run.eval_every=100", "pixels.crop=224")
    planned = plan_training(films, init="none", overrides=given, timed=True)
    assert planned.timing is not None and planned.timing.steps == 100
    assert planned.timing.seconds == pytest.approx(11_000, rel=0.05)
    screen = Output("train")
    with screen.console.capture() as shown:
        show_plan(screen, planned, given)
    said = " ".join(shown.get().split())
    assert "Time: about 3.1 hours (100 updates of 110 s each, as measured here just now" in said
    assert "22 minutes" not in said
    assert "pixels.crop=112" in said  # how to be done sooner


@pytest.mark.parametrize(("cost", "passes"), [(0.5, 5), (5.0, 2)])
def test_a_step_is_the_median_of_some_and_a_slow_one_is_scaled_up(
    cost: float, passes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`cost` seconds a clip, plus a first pass over the batch that is slower."""
    now, seen = 0.0, []

    def step(clips: int) -> None:
        nonlocal now
        now += cost * clips + (7.0 if clips == 4 and 4 not in seen else 0.0)
        seen.append(clips)

    monkeypatch.setattr(timing, "time", SimpleNamespace(perf_counter=lambda: now))
    assert timing._timed(step, 4) == pytest.approx(4 * cost)
    assert len(seen) <= passes + 1


def test_measuring_leaves_no_trace(plan: Plan) -> None:
    """Random numbers and threads are afterwards what they were, so the run is the same."""
    state, threads = torch.random.get_rng_state(), torch.get_num_threads()
    recipe = apply_overrides(plan.recipe, ["clip.num_frames=4", "pixels.crop=32"])
    assert measure_step(recipe, 2, torch.device("cpu")) > 0
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.get_num_threads() == threads


def test_short_trainings_are_not_measured(
    plan: Plan, two_cores: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(timing, "measure_step")
    small = ["clip.num_frames=4", "pixels.crop=32", "optim.epochs=1"]
    found = estimate(apply_overrides(plan.recipe, small), plan.table)
    assert found == Timing(seconds=timing.TRIVIAL, steps=2)


def test_many_videos_are_no_short_training_however_small_the_model(
    plan: Plan, two_cores: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timing, "measure_step", lambda *args: 0.001)
    monkeypatch.setattr(timing, "measure_loading", lambda *args: (1.0, 0.0))
    small = ["clip.num_frames=4", "pixels.crop=32", "optim.epochs=1"]
    many = replace(plan.table, records=plan.table.records * 100)
    found = estimate(apply_overrides(plan.recipe, small), many)
    assert found is not None and found.step == 0.001
    assert found.seconds == pytest.approx((1000 + 400 + 600) / 2, rel=0.01)


def test_nothing_is_measured_where_nobody_asks(
    films: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(folder, "estimate")
    small = ("clip.num_frames=4", "pixels.crop=32", "optim.epochs=1", "optim.batch_size=4",
             "data.workers=0", "data.cache=false")  # fmt: skip
    assert train(films, out=tmp_path / "run", init="none", overrides=small).plan.timing is None
