"""Where modules and names of old packages are now: one question for the finder's tables.

Old paths are written in full ("pytorchvideo.models.byol", "decord.bridge"), new ones too.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import pkgutil
import warnings
from types import ModuleType
from typing import NamedTuple

from vitascope.compat import decord as decord_interface
from vitascope.compat import pytorchvideo as finder

PACKAGES = (finder.OLD, "decord")


class Place(NamedTuple):
    """A name and the module that has it."""

    module: str
    name: str


@functools.cache
def module_homes(path: str) -> tuple[str, ...] | None:
    """Modules that have the names of an old module now.

    Args:
        path: an old module.

    Returns:
        None if there was no such module; nothing if it only held other modules.
    """
    package, _, below = path.partition(".")
    if package == "decord":
        there = decord_interface.PLACES.get(below)
        home = f"{decord_interface.__name__}.{there}".rstrip(".")
        return None if there is None else (home,)
    if package != finder.OLD:
        return None
    if not below:
        return ()
    if below in finder.MODULES:
        homes = finder.MODULES[below]
        return tuple(f"{finder.NEW}.{home}" for home in homes)
    kept = finder.kept_home(below) if _served(path) else None
    if kept is not None:
        return (kept,)
    return () if any(row.startswith(f"{below}.") for row in finder.MODULES) else None


@functools.cache
def find(module: str, name: str) -> Place | None:
    """Where a name of an old module is now.

    Args:
        module: the old module.
        name: the name there, not that of a module in it.
    """
    homes = module_homes(module)
    if homes is None:
        return None
    package, _, below = module.partition(".")
    rows = {} if package == "decord" else finder.homes(below)
    if below in finder.MODULES and package == finder.OLD:
        return _row(rows, name)
    for home in homes:
        loaded = importlib.import_module(home)
        if _has(loaded, name):
            return Place(home, name)
        moved = _row(rows, name)
        if moved is not None:
            return moved
        # A module that gives its names only when they are asked for.
        if hasattr(loaded, name) and not isinstance(getattr(loaded, name), ModuleType):
            return Place(home, name)
    return _row(rows, name)


def names_of(module: str) -> list[str]:
    """Names that `from module import *` gives of an old module."""
    package, _, below = module.partition(".")
    found = dict(finder.homes(below)) if package == finder.OLD else {}
    if below not in finder.MODULES or package != finder.OLD:
        for home in module_homes(module) or ():
            found.update(dict.fromkeys(star(home), ""))
    return sorted(name for name in found if find(module, name) is not None)


def old_modules() -> list[str]:
    """Every module of PyTorchVideo that is served, in order."""
    found = {finder.OLD}
    for row in finder.MODULES:
        parts = row.split(".")
        found.update(".".join((finder.OLD, *parts[: n + 1])) for n in range(len(parts)))
    for package in ("layers", "losses", "models", "transforms", *finder.PREFIXES):
        old = f"{finder.OLD}.{package}"
        home = importlib.import_module(finder.kept_home(package) or finder.NEW)
        found.add(old)
        for module in pkgutil.walk_packages(home.__path__, f"{home.__name__}."):
            found.add(old + module.name.removeprefix(home.__name__))
    return sorted(path for path in found if module_homes(path) is not None)


def _served(path: str) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            return importlib.util.find_spec(path) is not None
        except ModuleNotFoundError:
            return False


def star(module: str) -> list[str]:
    """Names that `from module import *` gives of a module of this package."""
    loaded = importlib.import_module(module)
    public = [name for name in vars(loaded) if not name.startswith("_")]
    return list(getattr(loaded, "__all__", public))


def _has(module: ModuleType, name: str) -> bool:
    return name in vars(module) and not isinstance(vars(module)[name], ModuleType)


def _row(rows: dict[str, str], name: str) -> Place | None:
    if name not in rows:
        return None
    home, _, there = rows[name].partition(":")
    return Place(f"{finder.NEW}.{home}", there)
