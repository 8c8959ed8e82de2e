"""What a data set is: its videos, labels and splits."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

from vitascope.errors import UnknownNameError

_ORDER = {"train": 0, "val": 1, "test": 2}


@dataclass(frozen=True, slots=True)
class VideoRecord:
    """One video, or one interval of a video, with its label.

    Attributes:
        path: absolute path of a file or a folder of frames, or an address.
        label: index of the class; None without a label.
        split: "train", "val", "test" or another name; None without a split.
        start: first instant that belongs to the label, in seconds; None is the video's start.
        end: the instant after the last, in seconds; None is the video's end.
        where: where the record comes from, for messages: "train.csv, row 12".
        group: records of one group must not be torn apart by a split; None is unknown.
    """

    path: str
    label: int | None = None
    split: str | None = None
    start: Fraction | None = None
    end: Fraction | None = None
    where: str = ""
    group: str | None = None


@dataclass(frozen=True)
class Table:
    """A data set.

    Attributes:
        records: the videos; those of one split stand in the order of their list, or by path.
        classes: class names by index.
        root: folder that the paths of the lists start from.
        layout: how the data set is kept ("class folders", "lists in a folder", ...).
        notes: what was understood and what was left out, a sentence each.
        warnings: what looks wrong but does not prevent the work.
    """

    records: tuple[VideoRecord, ...]
    classes: tuple[str, ...]
    root: str
    layout: str = ""
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.records)

    def __repr__(self) -> str:
        counts = Counter(r.split for r in self.records)
        splits = "".join(f", {split} {counts[split]}" for split in self.splits[:5])
        more = ", ..." if len(self.splits) > 5 else ""
        return (
            f"Table({len(self)} videos, {len(self.classes)} classes{splits}{more}, "
            f"{self.layout or 'made by hand'}, root={self.root!r})"
        )

    @cached_property
    def splits(self) -> tuple[str, ...]:
        """Names of the splits: train, val, test, then others by name; empty without any."""
        names = {r.split for r in self.records if r.split is not None}
        return tuple(sorted(names, key=lambda name: (_ORDER.get(name, 3), name)))

    def of(self, split: str | None) -> tuple[VideoRecord, ...]:
        """The records of one split; None gives those without a split.

        Raises:
            UnknownNameError: the data set has no such split.
        """
        if split is not None and split not in self.splits:
            raise UnknownNameError("split", split, self.splits, f"Data set: {self.root}")
        return tuple(r for r in self.records if r.split == split)

    def counts(self, split: str | None = None) -> dict[str, int]:
        """Videos of each class, in class order; of one split, or of all (None)."""
        chosen = self.records if split is None else self.of(split)
        by_label = Counter(r.label for r in chosen)
        return {name: by_label[i] for i, name in enumerate(self.classes)}
