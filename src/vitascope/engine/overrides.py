"""`path=value` on a recipe: type-checked, with suggestions, giving a new recipe."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any, get_origin

from vitascope.engine.config import Recipe
from vitascope.engine.typed import hints, parse
from vitascope.errors import ConfigError, UnknownNameError


class _Below(dict[str, Any]):
    """Changes below a path, told apart from a mapping that replaces another one."""


def apply_overrides(recipe: Recipe, assignments: Iterable[str]) -> Recipe:
    """Returns the recipe with each `path=value` carried out, in order.

    Paths are those that `Recipe.fields` lists (`optim.lr`, `pixels.crop`); below a mapping such
    as `model.args` any name is allowed. All assignments are made before the parts are checked
    again, so two settings that depend on each other can change together. `pixels.crop` alone
    scales `pixels.short_side` with it.

    Raises:
        ConfigError: no "=", a value of the wrong type, or a result that is not legal.
        UnknownNameError: a path that does not exist; the message suggests near ones.
    """
    changes = _Below()
    for assignment in assignments:
        path, equals, text = assignment.partition("=")
        path = path.strip()
        if not equals or not path:
            raise ConfigError(f"{assignment!r}: expected path=value, such as optim.lr=0.01")
        _set(recipe, changes, path, text)
    _scale_along(recipe, changes)
    return _rebuild(recipe, changes) if changes else recipe


def _set(recipe: Recipe, changes: _Below, path: str, text: str) -> None:
    """Records the parsed value in `changes`, a nest of field name -> value or deeper nest."""
    cls: type = type(recipe)
    names = path.split(".")
    level = changes
    for depth, name in enumerate(names):
        known = hints(cls)
        if name not in known:
            raise _unknown(recipe, path)
        hint, last = known[name], depth == len(names) - 1
        origin = get_origin(hint)
        if isinstance(origin, type) and issubclass(origin, Mapping) and not last:
            keys = names[depth + 1 :]
            if len(keys) != 1 or not keys[0]:
                raise ConfigError(f"{path}: one name is expected after {name!r}")
            level.setdefault(name, _Below())[keys[0]] = parse(Any, text, path)
            return
        section = dataclasses.is_dataclass(hint) and not hasattr(hint, "parse")
        if last:
            if section:
                below = ", ".join(f"{path}.{n}" for n in hints(hint))
                raise ConfigError(f"{path} is a section; set one of {below}")
            level[name] = parse(hint, text, path)
            return
        if not section:
            raise _unknown(recipe, path)
        level, cls = level.setdefault(name, _Below()), hint


def _scale_along(recipe: Recipe, changes: _Below) -> None:
    """A new crop without a new short side scales both: the same part of the frame is seen."""
    pixels = changes.get("pixels", {})
    if "crop" in pixels and "short_side" not in pixels:
        crop, old = pixels["crop"], recipe.pixels
        if min(crop) > 0:  # else the parts say what is wrong with it
            scaled = round(old.short_side * min(crop) / min(old.crop))
            pixels["short_side"] = max(scaled, min(crop))


def _unknown(recipe: Recipe, path: str) -> UnknownNameError:
    legal = [f.path for f in recipe.fields()]
    same = [p for p in legal if p.rpartition(".")[2] == path.rpartition(".")[2]]
    hint = f"Settings of that name: {', '.join(same)}." if same else ""
    return UnknownNameError("setting", path, legal, hint or "`vitascope recipes show` lists all.")


def _rebuild(config: Any, changes: Mapping[str, Any]) -> Any:
    new = {}
    for name, value in changes.items():
        old = getattr(config, name)
        if not isinstance(value, _Below):
            new[name] = value
        elif isinstance(old, Mapping):
            new[name] = {**old, **value}
        else:
            new[name] = _rebuild(old, value)
    return dataclasses.replace(config, **new)
