"""`vitascope train`: a folder of clips becomes a trained and tested model."""

from __future__ import annotations

import shlex
import sys
from typing import Annotated

import typer

from vitascope.cli.options import JsonFile
from vitascope.cli.output import Output
from vitascope.errors import ConfigError

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
        "--model",
        "-m",
        metavar="NAME",
        help="Model; `vitascope models` lists them. Default: x3d_s.",
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
        from vitascope.cli.shown import shown_training
        from vitascope.recipes.stored import load_recipe

        if resume and force:
            raise ConfigError("--resume goes on with a run and --force replaces it; give one")
        shown_training(
            screen,
            command_line(),
            data,
            model,
            out=out,
            recipe=None if recipe is None else load_recipe(recipe),
            init=init,
            overrides=overrides or (),
            resume=resume,
            force=force,
        )


def command_line() -> str:
    """The command as it was typed, without --resume, and without --force, which would undo it."""
    words = [word for word in sys.argv[1:] if word not in ("--resume", "--force")]
    return shlex.join(["vitascope", *words])
