"""Writes docs/migrate/pytorchvideo-table.md: `python docs/generate_migrate.py`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from vitascope.compat.places import find, module_homes, names_of, old_modules

HERE = Path(__file__).resolve().parent
PAGE = HERE / "migrate" / "pytorchvideo-table.md"
_HEAD = """# Old paths of PyTorchVideo and where they are now

Generated from the table of `vitascope.compat.pytorchvideo` by `docs/generate_migrate.py`; do not
edit. `vitascope migrate FILE_OR_DIR` changes a program by the same table; with
`import vitascope.compat.pytorchvideo` before it a program runs as it is.

## Modules

Every public name of a module is in the module beside it, unless it is in the table of names below.
Modules that only hold others, and those that were not moved at all (`pytorchvideo.X` is
`vitascope.X`), have no row.
"""
_NAMES = """## Names

What went elsewhere, or has another name now.
"""


def rows_of_modules(modules: Iterable[str]) -> list[list[str]]:
    """Old module and new ones, where the path is another one."""
    rows = []
    for module in modules:
        homes = module_homes(module) or ()
        if homes and homes != (module.replace("pytorchvideo", "vitascope", 1),):
            rows.append([f"`{module}`", ", ".join(f"`{home}`" for home in homes)])
    return rows


def rows_of_names(modules: Iterable[str]) -> list[list[str]]:
    """Old and new path of each name that is not in a module of the row of its module."""
    rows = []
    for module in modules:
        homes = module_homes(module) or ()
        for name in names_of(module):
            place = find(module, name)
            assert place is not None
            if place.module not in homes or place.name != name:
                rows.append([f"`{module}.{name}`", f"`{place.module}.{place.name}`"])
    return rows


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def page() -> str:
    """The whole page."""
    modules = old_modules()
    header = ("PyTorchVideo", "vitascope")
    parts = [
        _HEAD, table(header, rows_of_modules(modules)), "", _NAMES,
        table(header, rows_of_names(modules)),
    ]  # fmt: skip
    return "\n".join(parts) + "\n"


if __name__ == "__main__":
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page(), encoding="utf-8")
