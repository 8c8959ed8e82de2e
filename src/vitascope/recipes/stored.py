"""Recipes that were written down: by a run, or by hand."""

from __future__ import annotations

import json
from pathlib import Path

from vitascope.engine.config import Recipe
from vitascope.engine.folder import read_run
from vitascope.errors import ConfigError


def load_recipe(source: str | Path) -> Recipe:
    """The recipe of a run folder, of its run.json, or of a JSON file with a recipe alone.

    Raises:
        ConfigError: there is no such file, or it holds no recipe.
        RunError: a folder that is no run.
    """
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
