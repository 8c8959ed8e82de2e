"""`vitascope recipes`: every setting of a training, what it means, and its value."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vitascope.cli.options import JsonFile
from vitascope.cli.output import Output
from vitascope.errors import ConfigError

if TYPE_CHECKING:
    from vitascope.engine.config import Field, Recipe

Source = Annotated[
    str | None,
    typer.Argument(metavar="[RUN]", help="Run folder or JSON file. Default: the defaults."),
]


def show_recipe(source: Source = None, json_file: JsonFile = None) -> None:
    """Shows every setting of a training: path, value, meaning.

    Without RUN the values are the defaults; `vitascope train` replaces many of them by what fits
    the data and the machine, and prints them.

    Examples:
      vitascope recipes show
      vitascope recipes show run
      vitascope train clips/ --recipe run optim.lr=0.001
    """
    with Output("recipes show", json_file) as out:
        recipe = _default() if source is None else find_recipe(source)
        out.data["recipe"] = recipe.to_json()
        out.data["fields"] = [
            {"path": f.path, "type": f.type, "value": _spell(f.value), "help": f.help}
            for f in recipe.fields()
        ]
        for part, fields in groupby(recipe.fields(), lambda field: field.path.partition(".")[0]):
            _print_part(out, part, list(fields))


def _print_part(out: Output, part: str, fields: Sequence[Field]) -> None:
    out.heading(part)
    out.table(
        ("setting", "value", "meaning"),
        [(f.path, _spell(f.value), _one_line(f.help)) for f in fields],
    )


def _one_line(text: str) -> str:
    return " ".join(text.split()).rstrip(".")


def _spell(value: Any) -> str:
    """A value as it is typed behind the equals sign."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple | list):
        return ",".join(map(_spell, value)) or "()"
    return str(dict(value)) if isinstance(value, dict) else str(value)


def _default() -> Recipe:
    from vitascope.engine.config import ModelConfig, Recipe
    from vitascope.models.registry import get_card
    from vitascope.recipes.folder import DEFAULT_MODEL

    card = get_card(DEFAULT_MODEL)
    return Recipe(model=ModelConfig(name=DEFAULT_MODEL), clip=card.clip, pixels=card.pixels)


def find_recipe(source: str) -> Recipe:
    """The recipe of a run folder, of its run.json, or of a JSON file with a recipe alone.

    Raises:
        ConfigError: there is no such file, or it holds no recipe.
        RunError: a folder that is no run.
    """
    from vitascope.engine.config import Recipe
    from vitascope.engine.folder import read_run

    path = Path(source)
    if path.is_dir():
        return Recipe.from_json(read_run(path)["recipe"])
    if not path.is_file():
        raise ConfigError(f"{source}: no such run or recipe. Give a run folder or a JSON file")
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ConfigError(f"{source} is no JSON: {error}") from error
    if not isinstance(data, dict):
        raise ConfigError(f"{source} holds no recipe, but a {type(data).__name__}")
    return Recipe.from_json(data.get("recipe", data))
