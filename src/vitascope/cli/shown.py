"""A training with everything that people see of it: plan, progress, scores, report, what next."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vitascope.cli.output import INTERRUPTED, Output, length
from vitascope.cli.training import TrainingDisplay
from vitascope.engine.charts import duration, percent
from vitascope.engine.log import Event, Listener, ignore
from vitascope.text import shown

if TYPE_CHECKING:
    from vitascope.engine.config import Recipe
    from vitascope.recipes.folder import Plan, Trained

LONG = 2 * 3600
"""Seconds of a plan from which on it is said how to make it shorter."""


def train(
    data: str | Path,
    model: str | None = None,
    *,
    out: str | Path = "run",
    recipe: Recipe | None = None,
    init: str | None = "auto",
    overrides: Sequence[str] = (),
    resume: bool = False,
    force: bool = False,
    on_event: Listener = ignore,
    show: bool = True,
) -> Trained:
    """Trains a model on a folder or list of videos and tests it, as `vitascope train` does.

    It shows what the command shows, and writes the same folder with its report. Settings are
    chosen from the data and the machine; see `Trained.plan.reasons`.

        trained = vitascope.train("clips/", out="run", overrides=["optim.epochs=20"])
        print(trained.test.top1)

    Args:
        data: `DATA/<class>/*`, `DATA/{train,val,test}/<class>/*`, or a list of videos.
        model: card name of the model; None is that of `recipe` or `init`, or X3D-S.
        out: folder of the run.
        recipe: settings to use instead of chosen ones.
        init: start weights as for `--init`: "auto" takes the published ones where they can be had,
            "pretrained" insists on them, "none" or None takes random ones; else a run, a
            checkpoint or a card's name.
        overrides: `path=value` settings, such as "optim.epochs=20".
        resume: go on with the run in `out`.
        force: replace the run in `out`.
        on_event: called with what happens (`engine.log.Event`).
        show: print plan, progress and scores; False is silent.

    Returns:
        Plan, outcome and test scores.

    Raises:
        VitascopeError: bad data, an unknown name or setting, or an output folder in use.
    """
    screen = Output("train", silent=not show)
    again = f"vitascope.train({str(data)!r}, out={str(out)!r})"
    return shown_training(
        screen, again, data, model, out=out, recipe=recipe, init=init, overrides=overrides,
        resume=resume, force=force, on_event=on_event,
    )  # fmt: skip


def shown_training(
    screen: Output,
    command: str,
    data: str | Path,
    model: str | None,
    *,
    out: str | Path,
    overrides: Sequence[str] = (),
    on_event: Listener = ignore,
    **settings: Any,
) -> Trained:
    """Trains as `recipes.folder.train` does and prints what happens.

    Args:
        screen: where to print.
        command: how the training was begun, for the report and for going on.
        data: the data set.
        model: card name of the model, or None.
        out: folder of the run.
        overrides: `path=value` settings.
        on_event: told what happens, too.
        settings: other arguments of `recipes.folder.train`.
    """
    from vitascope.recipes.folder import train as run_training

    screen.data.update(run=str(out), best_top1=None, seconds=None)
    with TrainingDisplay(screen) as display:

        def both(event: Event) -> None:
            display(event)
            on_event(event)

        trained = run_training(
            data,
            model,
            out=out,
            overrides=overrides,
            on_plan=lambda plan: show_plan(screen, plan, overrides),
            on_event=both,
            **settings,
        )
    if screen.chief:
        finish(screen, trained, command)
    return trained


def show_plan(out: Output, plan: Plan, overrides: Sequence[str] = ()) -> None:
    """Prints what was understood and what was chosen; refuses data that cannot be used so.

    Raises:
        DatasetError: files cannot be read or are too short, and the settings call that an error.
    """
    from vitascope.recipes.folder import require_usable

    out.heading("Data")
    for line in plan.summary.lines():
        out.say(shown(line))
    out.data.update(data=plan.summary.to_json(), recipe=plan.recipe.to_json())
    require_usable(plan)
    out.heading("Settings")
    out.facts(settings(plan.recipe))
    if plan.reasons:
        out.say("Chosen from the data and the machine:")
    for reason in plan.reasons:
        out.say(f"  {reason}")
    if overrides and not plan.reasons:  # else the last reason tells them
        out.say("Changed by you:")
        out.say(f"  {' '.join(overrides)}")
    for note in plan.notes:
        out.note(note)
    out.data["reasons"] = plan.reasons
    out.say("All settings: vitascope recipes show. Change one with PATH=VALUE.", style="dim")
    _say_time(out, plan)
    out.heading("Training")


def _say_time(out: Output, plan: Plan) -> None:
    """How long it will take, and what to do about it where that is long."""
    timing = plan.timing
    if timing is None:
        return
    out.data["planned_seconds"] = timing.seconds
    updates = f"{timing.steps} update{'s' * (timing.steps != 1)}"
    if timing.step is None:
        out.say(f"Time: under {timing.seconds / 60:g} minute, too short to be measured ({updates})")
        return
    out.data["measured_step_seconds"] = timing.step
    each = f"{timing.step:.2g} s" if timing.step < 10 else f"{timing.step:.0f} s"
    out.say(
        f"Time: {duration(timing.seconds)} ({updates} of {each} each, as measured here just now; "
        "with loading and evaluation)"
    )
    if timing.seconds > LONG:
        pixels, clip = plan.recipe.pixels, plan.recipe.clip
        out.say(
            f"Shorter: fewer optim.epochs, smaller clips (pixels.crop={pixels.crop[0] // 2}, "
            f"clip.num_frames={max(clip.num_frames // 2, 1)}), or a smaller model (--model x3d_xs)",
            style="yellow",
        )


def settings(recipe: Recipe) -> list[tuple[str, str]]:
    """The settings that a person wants to see, in words, with the paths that change them."""
    clip, pixels, optim, run = recipe.clip, recipe.pixels, recipe.optim, recipe.run
    seen = "the whole video" if clip.coverage == "video" else f"every {clip.sampling_rate}th frame"
    start = recipe.model.init or "random weights"
    start = "published weights" if start == "pretrained" else start
    return [
        ("model.name", f"{recipe.model.name}, from {start}"),
        ("clip.num_frames", f"{clip.num_frames} of {seen}"),
        ("pixels.crop", f"{pixels.crop[0]}x{pixels.crop[1]}, short side {pixels.short_side}"),
        ("optim.batch_size", str(optim.batch_size)),
        ("optim.epochs", str(optim.epochs)),
        ("optim.lr", f"{optim.lr:g} ({optim.name}, {optim.schedule})"),
        ("augment.hflip", f"{recipe.augment.hflip:g} of the clips are mirrored"),
        ("run.precision", f"{run.precision} in training, {run.eval_precision} in evaluation"),
        ("run.seed", str(run.seed)),
    ]


def finish(out: Output, trained: Trained, command: str) -> None:
    """Prints test result, report and next commands, or how to go on."""
    from vitascope.cli.evaluate import show_result
    from vitascope.cli.report import write_run_report
    from vitascope.engine.selection import by_loss

    result, run = trained.result, Path(trained.result.run)
    out.data.update(result.to_json())
    if result.interrupted:
        out.say(f"Stopped at step {result.step} of {result.steps}; everything is saved. Go on with")
        out.say(f"  {resuming(command)}", whole=True)
        out.code = INTERRUPTED
        return
    if result.best_top1 is not None:
        out.heading("Trained")
        videos = len(trained.plan.table.of("val"))
        figure = "lowest validation loss" if by_loss(trained.plan.recipe.run, videos) else "best"
        out.say(
            f"kept: step {result.best_step} of {result.steps} ({figure}), with validation top-1 "
            f"{percent(result.best_top1)}, after {length(result.seconds)}"
        )
    if trained.test is not None:
        if result.best_top1 is None:  # nothing was set apart to choose by: the one score there is
            out.data["best_top1"] = trained.test.top1
        show_result(out, trained.test)
        trained.test.write_csv(run / "scores.csv")
        out.data["test"] = trained.test.to_json()
    report = write_run_report(trained, command)
    out.data["report"] = report
    name = shlex.quote(str(run))
    out.facts([("report", report), ("checkpoints", f"{run}/best.json (best), {run}/last.json")])
    out.heading("Next")
    out.facts(
        [
            (f"vitascope predict {name} VIDEO", "name what a video shows"),
            (f"vitascope eval {name} --views 10x3", "score it on more views"),
            (f"vitascope export {name} --to onnx", "run it elsewhere"),
        ]
    )


def resuming(command: str) -> str:
    """How to go on with what a command, or a call in Python, began."""
    if command.endswith(")"):
        return f"{command[:-1]}, resume=True)"
    return f"{command} --resume"
