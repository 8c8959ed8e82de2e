"""Moments in Time: 3 s clips, lists `class/file.mp4,class,agree,disagree` without a header."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping
from pathlib import Path

from vitascope.data.records import Table
from vitascope.data.sets.card import CLASS_LIST, UNCHECKED, DatasetCard
from vitascope.data.sets.locate import Places
from vitascope.data.tables.classes import ClassList
from vitascope.data.tables.columns import existing
from vitascope.data.tables.layouts import Draft, Found
from vitascope.data.tables.read import Files, table_from
from vitascope.data.tables.rows import read_text
from vitascope.errors import DatasetError


def read_moments_in_time(
    lists: Mapping[str, str | Path],
    root: Mapping[str, str | Path],
    categories: str | Path,
    *,
    files: Files = "require",
) -> Table:
    """Moments in Time as a table.

    Args:
        lists: split -> list (`trainingSet.csv`, `validationSet.csv`).
        root: split -> folder of its class folders (`training`, `validation`).
        categories: lines `name,number` (`moments_categories.txt`).
        files: what to do about missing videos; see `tables.read.table_from`.

    Raises:
        DatasetError: a row that does not fit, an unknown class, or missing videos.
    """
    base = os.path.commonpath([os.path.abspath(folder) for folder in root.values()])
    found = Found("Moments in Time", base, classes=_classes(Path(categories)))
    for split, path in lists.items():
        name = Path(path).name
        for row, fields in enumerate(csv.reader(read_text(existing(path)).split("\n")), 1):
            if not fields:
                continue
            if len(fields) < 2 or not fields[0] or not fields[1]:
                raise DatasetError(f"{name}, row {row}: expected CLASS/FILE,CLASS,...")
            file = os.path.join(os.path.abspath(root[split]), fields[0])
            found.drafts.append(
                Draft(file, fields[0], fields[1], split, where=f"{name}, row {row}")
            )
    return table_from(found, files=files)


def _classes(path: Path) -> ClassList:
    names: dict[int, str] = {}
    for row, line in enumerate(read_text(existing(path)).split("\n"), 1):
        name, comma, number = line.strip().rpartition(",")
        if not line.strip():
            continue
        if not comma or not number.isdigit():
            raise DatasetError(f"{path.name}, row {row}: {line.strip()!r}; expected NAME,NUMBER")
        names[int(number)] = name
    if sorted(names) != list(range(len(names))):
        raise DatasetError(f"{path.name}: class numbers are not 0 to {len(names) - 1}")
    return ClassList(tuple(names[i] for i in sorted(names)), path.name)


def find_moments_in_time(places: Places) -> Table:
    """Moments in Time from the lists below a folder."""
    found = places.by_split(train="trainingSet.csv", val="validationSet.csv")
    roots = {"train": places.root / "training", "val": places.root / "validation"}
    categories = places.need("moments_categories.txt")
    return read_moments_in_time(
        found, {split: roots[split] for split in found}, categories, files="trust"
    )


MOMENTS_IN_TIME = DatasetCard(
    name="moments_in_time",
    title="Moments in Time",
    task="classification",
    num_classes=339,
    splits={"train": 802264, "val": 33900, "test": 67800},
    sources={"classes": CLASS_LIST, "train": UNCHECKED, "val": UNCHECKED, "test": UNCHECKED},
    annotations="trainingSet.csv, validationSet.csv, moments_categories.txt",
    files="training/CLASS/FILE.mp4",
    reader="moments_in_time:read_moments_in_time",
    find="moments_in_time:find_moments_in_time",
    paper="arXiv:1801.03150",
    homepage="http://moments.csail.mit.edu",
    terms="for research, on request",
)
