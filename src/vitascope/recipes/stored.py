"""Recipes by name: functions of this package or of the user's own, and those that were stored."""

from __future__ import annotations

import difflib
import importlib
import inspect
import pkgutil
import re
from collections.abc import Callable
from pathlib import Path

from vitascope.engine.config import Recipe
from vitascope.engine.folder import read_run
from vitascope.errors import ConfigError, WeightsError
from vitascope.files import read_json

_HERE = "vitascope.recipes"
_NAME = re.compile(r"([^\W\d]\w*)\.([^\W\d]\w*)")
_FUNCTION = re.compile(r"([^\W\d][\w.]*):([^\W\d]\w*)")


def load_recipe(source: str | Path) -> Recipe:
    """The recipe of a run folder, of a file, or of a function.

    Args:
        source: a run folder, its run.json, or a JSON file with a recipe alone; FILE.FUNCTION of
            this package (see `list_recipes`); or PACKAGE.MODULE:FUNCTION of one that Python can
            import. What is there as a file or folder is taken first.

    Raises:
        ConfigError: there is no such file, name or function, or it gives no recipe.
        RunError: a folder that is no run.
    """
    path = Path(source)
    if path.is_dir():
        return Recipe.from_json(read_run(path)["recipe"])
    if path.is_file():
        return _read(path)
    if match := _FUNCTION.fullmatch(str(source)):
        return _call(str(source), *match.groups())
    match = _NAME.fullmatch(str(source))
    if match and match[1] in _files():
        return _call(str(source), f"{_HERE}.{match[1]}", match[2])
    known = list_recipes()
    near = difflib.get_close_matches(str(source), known, n=3)
    hint = f" Did you mean {' or '.join(near)}?" if near else ""
    raise ConfigError(
        f"{source}: no such run or recipe.{hint} Give a run folder, a JSON file, the name of a "
        f"recipe of vitascope ({', '.join(known) or 'FILE.FUNCTION'}), or one of your own as "
        f"PACKAGE.MODULE:FUNCTION"
    )


def list_recipes() -> dict[str, Callable[[], Recipe]]:
    """The recipes of this package, FILE.FUNCTION -> function.

    Every public function that needs no argument and is declared to return a `Recipe` is one.
    """
    found: dict[str, Callable[[], Recipe]] = {}
    for file in _files():
        module = importlib.import_module(f"{_HERE}.{file}")
        for name, value in vars(module).items():
            if name[0] != "_" and _is_recipe(value, module.__name__):
                found[f"{file}.{name}"] = value
    return found


def _files() -> list[str]:
    return [file.name for file in pkgutil.iter_modules(importlib.import_module(_HERE).__path__)]


def _is_recipe(value: object, module: str) -> bool:
    if not inspect.isfunction(value) or value.__module__ != module:
        return False
    signature = inspect.signature(value)
    needed = [p for p in signature.parameters.values() if p.default is p.empty]
    return not needed and signature.return_annotation in (Recipe, "Recipe")


def _call(source: str, module: str, name: str) -> Recipe:
    try:
        function = getattr(importlib.import_module(module), name, None)
    except ImportError as error:
        raise ConfigError(
            f"{source}: Python cannot import {module} ({error}). Install it, or put its folder "
            f"into PYTHONPATH"
        ) from error
    if not callable(function):
        raise ConfigError(f"{source}: the module {module} has no function {name}")
    try:
        inspect.signature(function).bind()
    except TypeError as error:
        raise ConfigError(f"{source}: a recipe is called without arguments; {error}") from error
    recipe = function()
    if not isinstance(recipe, Recipe):
        raise ConfigError(f"{source} returns {type(recipe).__name__}; a recipe returns a Recipe")
    return recipe


def _read(path: Path) -> Recipe:
    try:
        data = read_json(path)
    except WeightsError as error:
        raise ConfigError(f"{path} is no JSON of a recipe: {error}") from error
    if not isinstance(data, dict):
        raise ConfigError(f"{path} holds no recipe, but a {type(data).__name__}")
    return Recipe.from_json(data.get("recipe", data))
