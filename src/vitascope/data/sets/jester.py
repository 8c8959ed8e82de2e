"""Jester: folders of frames by number, lists `id;label`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from vitascope.data.records import Table
from vitascope.data.sets.card import CLASS_LIST, DatasetCard
from vitascope.data.sets.locate import Places
from vitascope.data.tables.classes import read_classes
from vitascope.data.tables.columns import existing
from vitascope.data.tables.layouts import Draft, Found
from vitascope.data.tables.read import Files, table_from
from vitascope.data.tables.rows import read_text
from vitascope.errors import DatasetError


def read_jester(
    lists: Mapping[str, str | Path],
    root: str | Path,
    labels: str | Path,
    *,
    files: Files = "require",
) -> Table:
    """Jester as a table of folders of frames.

    Args:
        lists: split -> list with lines `id;label`.
        root: folder of the numbered folders.
        labels: class list.
        files: what to do about missing videos; see `tables.read.table_from`.

    Raises:
        DatasetError: a row that is no id and label, an unknown label, or missing videos.
    """
    found = Found("Jester", os.path.abspath(root), classes=read_classes(labels))
    for split, path in lists.items():
        name = Path(path).name
        for row, line in enumerate(read_text(existing(path)).split("\n"), 1):
            if not line.strip():
                continue
            video, mark, label = line.strip().partition(";")
            if not mark or not label or not video.isdigit():
                raise DatasetError(f"{name}, row {row}: {line.strip()!r}; expected ID;LABEL")
            found.drafts.append(
                Draft(os.path.join(found.root, video), video, label, split,
                      where=f"{name}, row {row}")
            )  # fmt: skip
    return table_from(found, files=files)


def find_jester(places: Places) -> Table:
    """Jester from the lists below a folder."""
    found = places.by_split(
        train=("jester-v1-train.csv", "train.csv"),
        val=("jester-v1-validation.csv", "validation.csv"),
    )
    labels = places.need("jester-v1-labels.csv", "labels.csv", "labels.txt")
    videos = places.folder("20bn-jester-v1", "videos")
    return read_jester(found, videos, labels, files="trust")


JESTER = DatasetCard(
    name="jester",
    title="20BN-Jester",
    task="classification",
    num_classes=27,
    splits={"train": 118562, "val": 14787, "test": 14743},
    sources={
        "classes": CLASS_LIST,
        **dict.fromkeys(("train", "val", "test"), "its download page, as public code quotes it"),
    },
    annotations="jester-v1-train.csv, jester-v1-validation.csv: ID;LABEL; jester-v1-labels.csv",
    files="ID/00001.jpg (12 frames a second)",
    reader="jester:read_jester",
    find="jester:find_jester",
    paper="The Jester Dataset: A Large-Scale Video Dataset of Human Gestures (ICCVW 2019)",
    homepage="https://www.qualcomm.com/developer/software/jester-dataset",
    terms="for research, on request",
)
