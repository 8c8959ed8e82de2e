"""Something-Something v2: JSON annotations beside videos `ID.webm`, or lists of frames."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vitascope.data.records import Table
from vitascope.data.sets.card import CLASS_LIST, DatasetCard
from vitascope.data.sets.locate import Places
from vitascope.data.tables.classes import ClassList, read_classes
from vitascope.data.tables.columns import read_json_list
from vitascope.data.tables.layouts import Draft, Found
from vitascope.data.tables.read import Files, table_from
from vitascope.errors import DatasetError


def read_ssv2(
    annotations: Mapping[str, str | Path],
    labels: str | Path,
    root: str | Path,
    *,
    suffix: str = ".webm",
    files: Files = "require",
) -> Table:
    """SSv2 as a table.

    Args:
        annotations: split -> JSON list of objects with `id` and, except for a test set,
            `template`.
        labels: JSON object of template -> number.
        root: folder of the videos.
        suffix: end of their names.
        files: what to do about missing videos; see `tables.read.table_from`.

    Raises:
        DatasetError: a template that is not in the label file, or missing videos.
    """
    classes = read_classes(labels)
    found = Found("Something-Something v2", os.path.abspath(root), classes=classes)
    labeled = True
    for split, path in annotations.items():
        for video, label, where in read_ssv2_entries(path, classes):
            labeled &= label is not None
            name = None if label is None else classes.names[label]
            file = os.path.join(found.root, video + suffix)
            found.drafts.append(Draft(file, video + suffix, name, split, where=where))
    return table_from(found, files=files, labeled=labeled)


def read_ssv2_entries(path: str | Path, classes: ClassList) -> list[tuple[str, int | None, str]]:
    """(id, label or None in a test set, row for messages) of each entry, in its order.

    Raises:
        DatasetError: an entry without an id, or a template that is no class.
    """
    index = {name: i for i, name in enumerate(classes.names)}
    name, found = Path(path).name, []
    for number, entry in enumerate(read_json_list(path, list), 1):
        where = f"{name}, entry {number}"
        if not isinstance(entry, dict) or "id" not in entry:
            raise DatasetError(f"{where}: expected an object with the keys id and template")
        found.append((str(entry["id"]), _label(entry, index, classes, where), where))
    return found


def _label(
    entry: dict[str, Any], index: dict[str, int], classes: ClassList, where: str
) -> int | None:
    if "template" not in entry:  # the test set
        return None
    label = str(entry["template"]).replace("[", "").replace("]", "")
    if label not in index:
        raise DatasetError(f"{where}: template {label!r} is not in {classes.source}")
    return index[label]


def find_ssv2(places: Places) -> Table:
    """SSv2 from the lists below a folder."""
    name = "something-something-v2-"
    found = places.by_split(
        train=(f"{name}train.json", "train.json"),
        val=(f"{name}validation.json", "validation.json"),
        test=(f"{name}test.json", "test.json"),
    )
    labels = places.need(f"{name}labels.json", "labels.json")
    videos = places.folder("20bn-something-something-v2", "videos")
    return read_ssv2(found, labels, videos, files="trust")


SSV2 = DatasetCard(
    name="ssv2",
    title="Something-Something v2",
    task="classification",
    num_classes=174,
    splits={"train": 168913, "val": 24777, "test": 27157},
    sources={
        "classes": CLASS_LIST,
        "train": "github.com/OpenGVLab/VideoMAEv2, docs/DATASET.md",
        "val": "github.com/OpenGVLab/VideoMAEv2, docs/DATASET.md",
        "test": "its download page, as public repositories quote it",
    },
    annotations="something-something-v2-train.json, -validation.json, -test.json, -labels.json",
    files="ID.webm, or lists of frames",
    reader="ssv2:read_ssv2",
    find="ssv2:find_ssv2",
    paper="arXiv:1706.04261",
    homepage="https://www.qualcomm.com/developer/software/something-something-v-2-dataset",
    terms="for research, on request",
)
