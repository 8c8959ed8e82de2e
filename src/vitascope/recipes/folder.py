"""From a folder of clips to a trained and tested model: the main job as plain functions."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from vitascope.data.check.describe import Summary, read_headers, require_readable, summarize
from vitascope.data.records import Table
from vitascope.data.tables.read import read_table
from vitascope.distributed import is_chief
from vitascope.engine.build import with_splits
from vitascope.engine.config import ModelConfig, Recipe
from vitascope.engine.evaluate import evaluate as evaluate
from vitascope.engine.folder import holds_run, read_run
from vitascope.engine.folder import progress as run_progress
from vitascope.engine.log import Listener, ignore
from vitascope.engine.overrides import apply_overrides
from vitascope.engine.scoring import EvalResult, Progress
from vitascope.engine.selection import choosing
from vitascope.engine.sizes import require_size
from vitascope.engine.tasks import TASKS
from vitascope.engine.train import TrainResult, fit
from vitascope.errors import DatasetError, RunError
from vitascope.models.registry import get_card
from vitascope.recipes.fine_tuning import fine_tune_recipe
from vitascope.recipes.fit_to_data import Choice, Facts, facts_of, fit_recipe
from vitascope.recipes.start import AUTO, NONE, PRETRAINED, Start, find_start
from vitascope.recipes.timing import Timing, estimate

DEFAULT_MODEL = "x3d_s"
_ALL_FOR_TRAINING = (
    "no training video is set apart for validation, because the data has a test split "
    "(data.val_share=0.1 sets some apart)"
)


@dataclass(frozen=True)
class Plan:
    """What a training would do, before it does anything.

    Attributes:
        table: the videos, each in a split.
        summary: what the data is.
        recipe: all settings.
        reasons: why they were chosen, a sentence each, and last what was given in their place;
            empty where a stored recipe is used.
        notes: what was wanted and cannot be had, a sentence each.
        timing: how long it will take; None where that was not asked for or cannot be told.
    """

    table: Table
    summary: Summary
    recipe: Recipe
    reasons: tuple[str, ...]
    notes: tuple[str, ...] = ()
    timing: Timing | None = None

    def __repr__(self) -> str:
        return f"Plan({self.recipe.model.name}, {self.recipe.optim.epochs} epochs, {self.table})"


@dataclass(frozen=True)
class Trained:
    """A training and its test.

    Attributes:
        plan: what was done.
        result: how the training ended.
        test: scores on the test split; None without one, if the training was interrupted, and in
            all processes but the first.
    """

    plan: Plan
    result: TrainResult
    test: EvalResult | None

    def __repr__(self) -> str:
        return f"Trained({self.result.run!r}, {self.plan.recipe.model.name}, test={self.test})"


def plan_training(
    data: str | Path,
    model: str | None = None,
    *,
    out: str | Path | None = None,
    recipe: Recipe | None = None,
    init: str | None = AUTO,
    overrides: Sequence[str] = (),
    resume: bool = False,
    force: bool = False,
    progress: Progress | None = None,
    timed: bool = False,
) -> Plan:
    """Reads a data set and chooses all settings; nothing is written but fetched weights.

    Args:
        data: folder or list of videos.
        model: card name of the model; None is that of `recipe` or of the checkpoint `init`, else
            X3D-S.
        out: folder of the run; with `resume`, the recipe of the run in it is taken.
        recipe: settings to use instead of chosen ones.
        init: "auto" takes the published weights of the model where they can be had, and says so
            where they cannot; of a recipe it takes what is there. "pretrained" insists on them,
            "none" or None starts from random weights; else a run, a checkpoint or the name of a
            card to start from.
        overrides: `path=value` settings, such as "optim.lr=0.01"; they come last.
        resume: go on with the run in `out`.
        force: the run in `out` is to be replaced, so what it decided does not count.
        progress: called with (files looked at, files in all).
        timed: measure for some seconds how long it will take.

    Raises:
        VitascopeError: bad data, or an unknown model or setting.
    """
    base = (_stored(out) if resume else None) or recipe
    if base is None:
        # The settings of the data decide how it is read, so they are needed before the others.
        early = ("data", "model", "task")
        named = [text for text in overrides if _path(text).partition(".")[0] in early]
        reading = apply_overrides(_unfitted(model or DEFAULT_MODEL), named)
    else:
        reading = apply_overrides(_adapted(base, model, init), overrides)
    TASKS[reading.task]  # refused before anything is read or fetched
    if out is not None:
        holds_run(Path(out))
    table = read_table(
        data, labels=reading.data.labels, root=reading.data.root, remote=reading.data.remote
    )
    reasons: tuple[str, ...] = ()
    if base is None and _judged_by_test(table, overrides):
        reading = replace(reading, data=replace(reading.data, val_share=0.0))
        reasons = (_ALL_FOR_TRAINING,)
    table = with_splits(reading, table)
    headers = read_headers(table, progress=progress)
    start: Start | None = None
    if base is None:
        facts = facts_of(table, summarize(table, headers))
        refused = reading.data.on_bad == "error" and headers.unreadable
        if refused and init == AUTO:  # nothing is fetched for a training that cannot begin
            init = NONE
        start = _start(reading, model, init, overrides, None if force else out)
        choice = _choice(facts, start, _given(reading, overrides), overrides)
        data_config = replace(choice.recipe.data, val_share=reading.data.val_share)
        left = [text for text in overrides if _path(text) not in ("model.init", "model.name")]
        reading = apply_overrides(replace(choice.recipe, data=data_config), left)
        reasons = choice.reasons + reasons + _judging(table, reading)
        if overrides:
            reasons += (f"in place of what was chosen, as given: {' '.join(overrides)}",)
    summary = summarize(table, headers, reading.clip if reading.clip.coverage == "window" else None)
    # Absolute, because a run is read from other working directories than it was made in.
    place = os.path.abspath(data) if os.path.exists(data) else str(data)
    root = reading.data.root and os.path.abspath(reading.data.root)
    chosen = replace(reading, data=replace(reading.data, path=place, root=root))
    notes = (start.note,) if start is not None and start.note else ()
    plan = Plan(table, summary, chosen, reasons, notes)
    return _timed(plan, out if resume else None) if timed else plan


def _timed(plan: Plan, resumed: str | Path | None) -> Plan:
    """The plan with its time; what cannot be trained is refused before anything is measured."""
    recipe = plan.recipe
    require_usable(plan)
    require_size(recipe.model.name, recipe.clip, recipe.pixels, recipe.model.args)
    timing = estimate(recipe, plan.table)
    if timing is not None and resumed is not None:
        timing = timing.after(run_progress(Path(resumed))[0])
    return replace(plan, timing=timing)


def _path(assignment: str) -> str:
    """The path of a `path=value`."""
    return assignment.partition("=")[0].strip()


def _start(
    reading: Recipe,
    model: str | None,
    init: str | None,
    overrides: Sequence[str],
    out: str | Path | None,
) -> Start:
    """Where the weights come from; a run that was begun in `out` has decided it."""
    paths = {_path(text) for text in overrides}
    if "model.init" in paths:
        init = reading.model.init
    config = reading.model
    name = config.name if model is not None or "model.name" in paths else None
    decided: str | None = AUTO
    if init == AUTO and out is not None and (Path(out) / "run.json").is_file():
        held = Recipe.from_json(read_run(Path(out))["recipe"]).model
        if held.name == (name or DEFAULT_MODEL) and held.init in (None, PRETRAINED):
            decided = held.init
    return find_start(name, init, default=DEFAULT_MODEL, args=config.args, decided=decided)


def _choice(facts: Facts, start: Start, given: dict[str, int], overrides: Sequence[str]) -> Choice:
    sized = any(_path(text) in ("clip.num_frames", "pixels.crop") for text in overrides)
    epochs, batch = given.get("epochs"), given.get("batch")
    if start.kind != "random":
        return fine_tune_recipe(facts, start, epochs=epochs, batch=batch, sized=sized)
    return fit_recipe(facts, start.model, epochs=epochs, batch=batch, sized=sized)


def _judging(table: Table, recipe: Recipe) -> tuple[str, ...]:
    """How the step is chosen whose weights are kept, as a sentence."""
    videos = len(table.of("val")) if "val" in table.splits else 0
    if not videos:
        return ()
    return (choosing(recipe.run, videos),)


def require_usable(plan: Plan) -> None:
    """Refuses data that the settings call an error, before anything is begun.

    Raises:
        DatasetError: files cannot be read, or are shorter than a clip.
    """
    if plan.recipe.data.on_bad == "error":
        require_readable(plan.summary)
    short, clip = plan.summary.shorter_than_clip, plan.recipe.clip
    if short and clip.short == "error":
        raise DatasetError(
            f"{plan.summary.root}: {short} of {plan.summary.videos} videos are shorter than a clip "
            f"of {clip.num_frames} frames. Take fewer frames (clip.num_frames), or another rule "
            "for them (clip.short=repeat)"
        )


def _stored(out: str | Path | None) -> Recipe | None:
    if out is None:
        raise RunError("resume needs the folder of the run (--out RUN)")
    path = Path(out)
    return Recipe.from_json(read_run(path)["recipe"]) if (path / "run.json").is_file() else None


def _unfitted(model: str) -> Recipe:
    """The card's own clip and pixels with default settings, to be fitted to data."""
    card = get_card(model)
    return Recipe(model=ModelConfig(name=model), clip=card.clip, pixels=card.pixels)


def _judged_by_test(table: Table, overrides: Sequence[str]) -> bool:
    """Whether the data brings a test split and no validation split, and the user asks for none.

    Few videos are the usual case here, and whole groups of them would have to be set apart. The
    schedule ends by itself and weights are averaged, so there is nothing to be selected on them.
    """
    asked = any(text.partition("=")[0].strip() == "data.val_share" for text in overrides)
    return "test" in table.splits and "val" not in table.splits and not asked


def _given(recipe: Recipe, overrides: Sequence[str]) -> dict[str, int]:
    """Epochs and batch size where the user sets them: other settings follow from these two."""
    names = {"optim.epochs": "epochs", "optim.batch_size": "batch"}
    mine = [text for text in overrides if text.partition("=")[0].strip() in names]
    optim = apply_overrides(recipe, mine).optim
    values = {"optim.epochs": optim.epochs, "optim.batch_size": optim.batch_size}
    return {names[k]: values[k] for k in {text.partition("=")[0].strip() for text in mine}}


def _adapted(base: Recipe, model: str | None, init: str | None) -> Recipe:
    """A given recipe with another model or other start weights."""
    config = base.model
    if model is not None and model != config.name:
        config = replace(config, name=model, args={})
    if init != AUTO:
        config = replace(config, init=None if init == NONE else init)
    return replace(base, model=config)


def train(
    data: str | Path,
    model: str | None = None,
    *,
    out: str | Path = "run",
    recipe: Recipe | None = None,
    init: str | None = AUTO,
    overrides: Sequence[str] = (),
    resume: bool = False,
    force: bool = False,
    on_plan: Callable[[Plan], None] | None = None,
    on_event: Listener = ignore,
) -> Trained:
    """Trains a model on a folder or list of videos, and tests it where there is a test split.

    Model size, batch, learning rate and schedule are chosen from the data and the machine; see
    `Trained.plan.reasons`.

    Args:
        data: `DATA/<class>/*`, `DATA/{train,val,test}/<class>/*`, or a list of videos.
        model: card name of the model; None is that of `recipe` or `init`, else X3D-S.
        out: folder of the run.
        recipe: settings to use instead of chosen ones.
        init: "auto" starts from the published weights where they can be had and says so where they
            cannot; see `plan_training`.
        overrides: `path=value` settings, such as "optim.epochs=20".
        resume: go on with the run in `out`.
        force: replace the run in `out`.
        on_plan: called once with what will be done and how long it will take, before anything is
            written. Without it, no time is spent on measuring.
        on_event: called with what happens.

    Raises:
        VitascopeError: bad data, an unknown name or setting, or an output folder in use.
    """
    planned = plan_training(
        data,
        model,
        out=out,
        recipe=recipe,
        init=init,
        overrides=overrides,
        resume=resume,
        force=force,
        timed=on_plan is not None,
    )
    if on_plan is not None:
        on_plan(planned)
    require_usable(planned)
    result = fit(
        planned.recipe, out, table=planned.table, resume=resume, force=force, on_event=on_event
    )
    test = None
    if not result.interrupted and "test" in planned.table.splits and is_chief():
        test = evaluate(out, planned.table, split="test", on_bad=planned.recipe.data.on_bad)
    return Trained(planned, result, test)
