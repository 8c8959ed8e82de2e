"""Options that several commands share, spelt and explained in one place."""

from __future__ import annotations

from typing import Annotated

import typer

JsonFile = Annotated[
    str | None,
    typer.Option(
        "--json",
        metavar="FILE",
        help="Also write everything as JSON into FILE (- is standard output).",
    ),
]

Root = Annotated[
    str | None,
    typer.Option(
        "--root",
        metavar="FOLDER",
        help="Folder that holds the videos of a list. Default: the folder of the list.",
    ),
]

Trust = Annotated[
    bool,
    typer.Option(
        "--trust",
        help="Open an exported model even where it could run code of its maker.",
    ),
]
