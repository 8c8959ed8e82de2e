"""A public data set as data: what it holds, where it comes from, and how it is read."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from vitascope.data.sets import DATASETS
from vitascope.errors import DatasetError

Task = Literal["classification", "multi-label", "detection", "segments"]
# Sources of figures. Tests count the lists of class names.
CLASS_LIST = "counted in the published list of class names"
UNCHECKED = "as publications cite it; not checked against the lists"


@dataclass(frozen=True, kw_only=True)
class DatasetCard:
    """Facts of a public data set.

    Attributes:
        name: short name.
        title: the name that its authors use.
        task: one label a clip; several labels; boxes with labels; labeled parts of long videos.
        num_classes: number of classes; for verbs and nouns of both, "97 verbs, 300 nouns".
        splits: clips (or labeled parts) of each split as published; empty where the authors
            give none.
        sources: for "classes" and for each split, where its figure was seen. Copies of a data set
            that are to be had today may hold fewer clips.
        annotations: the files that hold the labels.
        files: how videos are expected to be named below their folder.
        reader: function that reads it, as "module:function" below `vitascope.data.sets`.
        find: function from `locate.Places` to the Table of all videos that its lists name, written
            in the same way; `locate.official_files` calls it.
        paper: where it was published.
        homepage: where it is to be had.
        terms: conditions of use in a few words; the authors' text decides.
    """

    name: str
    title: str
    task: Task
    num_classes: int | str
    splits: Mapping[str, int]
    sources: Mapping[str, str]
    annotations: str
    files: str
    reader: str
    paper: str
    homepage: str
    terms: str
    find: str = ""

    def __post_init__(self) -> None:
        assert set(self.sources) == {"classes", *self.splits}, f"{self.name}: a source each"

    def __repr__(self) -> str:
        counts = "".join(f", {split} {count}" for split, count in self.splits.items())
        return f"DatasetCard({self.name!r}, {self.task}, {self.num_classes} classes{counts})"

    def read(self, *args: Any, **kwargs: Any) -> Any:
        """Calls the reader, whose arguments and result are its own.

        Raises:
            DatasetError: the card names a reader that is not there; or what the reader raises.
        """
        return self.function("reader")(*args, **kwargs)

    def function(self, part: Literal["reader", "find"]) -> Callable[..., Any]:
        """The function that the card names.

        Raises:
            DatasetError: the card names none, or one that is not there.
        """
        home: str = getattr(self, part)
        if not home:
            raise DatasetError(
                f"data set {self.name!r}: its card names no {part}. Add "
                f'{part}="MODULE:FUNCTION" to the card, and the function to that file of data/sets'
            )
        found: Callable[..., Any] = _named(home, f"data set {self.name!r}: its card says {part}")
        return found


def get_dataset(name: str) -> DatasetCard:
    """The card of a public data set.

    Raises:
        UnknownNameError: there is none of this name.
        DatasetError: the table leads to a card that is not there.
    """
    row = f"data set {name!r}: the table in data/sets/__init__.py says {name!r}"
    card: DatasetCard = _named(DATASETS[name], row)
    return card


def _named(home: str, said: str) -> Any:
    """What "module:attribute" below `vitascope.data.sets` leads to; `said` is who says so."""
    module, _, attribute = home.partition(":")
    path = f"vitascope.data.sets.{module}"
    try:
        return getattr(importlib.import_module(path), attribute)
    except ModuleNotFoundError as error:
        if error.name != path:
            raise
        missing = f"there is no file data/sets/{module}.py"
    except AttributeError:
        missing = f"data/sets/{module}.py has no {attribute or 'name behind a colon'}"
    raise DatasetError(f"{said} = {home!r}, but {missing}")
