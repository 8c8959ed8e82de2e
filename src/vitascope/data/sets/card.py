"""A public data set as data: what it holds, where it comes from, and how it is read."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from vitascope.data.sets import DATASETS

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
        task: one label a clip; several labels; boxes with labels; labelled parts of long videos.
        num_classes: number of classes; for verbs and nouns of both, "97 verbs, 300 nouns".
        splits: clips (or labelled parts) of each split as published; empty where the authors
            give none.
        sources: for "classes" and for each split, where its figure was seen. Copies of a data set
            that are to be had today may hold fewer clips.
        annotations: the files that hold the labels.
        files: how videos are expected to be named below their folder.
        reader: function that reads it, as "module:function" below `vitascope.data.sets`.
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

    def __post_init__(self) -> None:
        assert set(self.sources) == {"classes", *self.splits}, f"{self.name}: a source each"

    def read(self, *args: Any, **kwargs: Any) -> Any:
        """Calls the reader, whose arguments and result are its own."""
        module, _, function = self.reader.partition(":")
        return getattr(importlib.import_module(f"vitascope.data.sets.{module}"), function)(
            *args, **kwargs
        )


def get_dataset(name: str) -> DatasetCard:
    """The card of a public data set.

    Raises:
        UnknownNameError: there is none of this name.
    """
    module, _, attribute = DATASETS[name].partition(":")
    card: DatasetCard = getattr(importlib.import_module(f"vitascope.data.sets.{module}"), attribute)
    return card
