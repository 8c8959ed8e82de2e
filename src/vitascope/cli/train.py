"""`vitascope train`: a folder of clips becomes a trained and tested model."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vitascope.cli.options import JsonFile
from vitascope.cli.output import INTERRUPTED, Output, length
from vitascope.engine.charts import percent
from vitascope.errors import ConfigError

if TYPE_CHECKING:
    from vitascope.engine.config import Recipe
    from vitascope.recipes.folder import Plan, Trained

Data = Annotated[
    str,
    typer.Argument(metavar="DATA", help="Folder of clips, or a CSV, TSV or JSONL list of them."),
]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[PATH=VALUE]...",
        help="Settings to change, such as optim.epochs=20; `vitascope recipes show` lists them.",
    ),
]
Model = Annotated[
    str | None,
    typer.Option(
        "--model", "-m", metavar="NAME", help="Model; `vitascope models` lists them. x3d_s."
    ),
]
RunFolder = Annotated[
    str, typer.Option("--out", "-o", metavar="RUN", help="Folder for everything that is written.")
]
Resume = Annotated[
    bool, typer.Option("--resume", help="Go on with the run in RUN, or begin it if there is none.")
]
Force = Annotated[bool, typer.Option("--force", help="Replace the run that RUN holds.")]
Init = Annotated[
    str,
    typer.Option(
        "--init",
        metavar="WEIGHTS",
        help="Start weights: auto (the published ones of the model where they can be had), "
        "pretrained (those or an error), none (random), a run, a checkpoint of any library, or a "
        "model's name.",
    ),
]
RecipeOption = Annotated[
    str | None,
    typer.Option(
        "--recipe",
        metavar="RECIPE",
        help="Take the settings of a run, of a JSON file, or of a recipe (FILE.FUNCTION of "
        "vitascope, or your own PACKAGE.MODULE:FUNCTION).",
    ),
]


def train(
    data: Data,
    overrides: Overrides = None,
    model: Model = None,
    out: RunFolder = "run",
    resume: Resume = False,
    force: Force = False,
    init: Init = "auto",
    recipe: RecipeOption = None,
    json_file: JsonFile = None,
) -> None:
    """Trains a model on a folder of clips and tests it.

    DATA is DATA/<class>/*.mp4, or has train/, val/ and test/ folders of such, or is a list with
    the columns path,label and, if you like, split,start,end. Folders of frames count as videos.
    What was understood and every setting that was chosen is printed before anything starts.
    Ctrl-C finishes the step and saves; the same command with --resume goes on.

    Examples:
      vitascope train clips/
      vitascope train clips/ --init none
      vitascope train clips/ --model x3d_m --out run2 optim.epochs=50 augment.hflip=0
      vitascope train train.csv --out run --resume
    """
    with Output("train", json_file) as screen:
        from vitascope.cli.training import TrainingDisplay
        from vitascope.recipes.folder import train as run_training
        from vitascope.recipes.stored import load_recipe

        if resume and force:
            raise ConfigError("--resume goes on with a run and --force replaces it; give one")
        screen.data.update(run=out, best_top1=None, seconds=None)
        with TrainingDisplay(screen) as display:
            trained = run_training(
                data,
                model,
                out=out,
                recipe=None if recipe is None else load_recipe(recipe),
                init=init,
                overrides=overrides or (),
                resume=resume,
                force=force,
                on_plan=lambda plan: show_plan(screen, plan, overrides or ()),
                on_event=display,
            )
        finish(screen, trained, command_line())


def show_plan(out: Output, plan: Plan, overrides: Sequence[str] = ()) -> None:
    """Prints what was understood and what was chosen; refuses data that cannot be used so.

    Raises:
        DatasetError: files cannot be read or are too short, and the settings call that an error.
    """
    from vitascope.recipes.folder import require_usable

    out.heading("Data")
    for line in plan.summary.lines():
        out.say(line)
    out.data.update(data=plan.summary.to_json(), recipe=plan.recipe.to_json())
    require_usable(plan)
    out.heading("Settings")
    out.facts(settings(plan.recipe))
    if plan.reasons:
        out.say("Chosen from the data and the machine:")
    for reason in plan.reasons:
        out.say(f"  {reason}")
    if overrides:
        out.say("Changed by you:")
        out.say(f"  {' '.join(overrides)}")
    for note in plan.notes:
        out.note(note)
    out.data["reasons"] = plan.reasons
    out.say("All settings: vitascope recipes show. Change one with PATH=VALUE.", style="dim")
    out.heading("Training")


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
        out.say(f"  {command} --resume", whole=True)
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


def command_line() -> str:
    """The command as it was typed, without --resume, and without --force, which would undo it."""
    words = [word for word in sys.argv[1:] if word not in ("--resume", "--force")]
    return shlex.join(["vitascope", *words])
