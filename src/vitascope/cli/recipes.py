"""`vitascope recipes`: every setting of a training, what it means, and its value."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vitascope.cli.options import JsonFile
from vitascope.cli.output import Output

if TYPE_CHECKING:
    from vitascope.engine.config import Field, Recipe

Source = Annotated[
    str | None,
    typer.Argument(
        metavar="[RECIPE]",
        help="Run folder, JSON file, or recipe by name, as `train --recipe` takes it. Default: "
        "the defaults.",
    ),
]


def show_recipe(source: Source = None, json_file: JsonFile = None) -> None:
    """Shows every setting of a training: path, value, meaning.

    Without RECIPE the values are the defaults; `vitascope train` replaces many of them by what fits
    the data and the machine, and prints them.

    Examples:
      vitascope recipes show
      vitascope recipes show run
      vitascope recipes show my_package.recipes:small
      vitascope train clips/ --recipe run optim.lr=0.001
    """
    with Output("recipes show", json_file) as out:
        from vitascope.recipes.stored import load_recipe

        recipe = _default() if source is None else load_recipe(source)
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
