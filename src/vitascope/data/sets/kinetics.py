"""Kinetics-400, 600 and 700: lists `label,youtube_id,time_start,time_end,split`."""

from __future__ import annotations

import os
from pathlib import Path

from vitascope.data.listing import list_videos
from vitascope.data.records import Table
from vitascope.data.sets.card import CLASS_LIST, UNCHECKED, DatasetCard
from vitascope.data.sets.locate import Places
from vitascope.data.tables.classes import read_classes
from vitascope.data.tables.columns import read_columns, text, whole
from vitascope.data.tables.layouts import Draft, Found, split_name
from vitascope.data.tables.read import Files, table_from
from vitascope.errors import DatasetError, DatasetNotFoundError


def read_kinetics(
    *lists: str | Path,
    root: str | Path,
    labels: str | Path | None = None,
    files: Files = "skip",
) -> Table:
    """Kinetics from the lists of its authors.

    Videos are found by name at any depth below the root, `ID_000010_000020.mp4` (start and end in
    six digits) or `ID.mp4`, with any suffix of a video. Those that are no longer to be had are
    left out and counted, because nobody has all of them.

    Args:
        lists: one or more lists (train, validate, test).
        root: folder of the videos.
        labels: class list; None sorts the names, which is the usual order.
        files: what to do about missing videos; see `tables.read.table_from`.

    Raises:
        DatasetError: a row that does not fit, or not one video of the lists below the root.
    """
    if not os.path.isdir(root):
        raise DatasetNotFoundError(f"{root}: no such folder")
    found = Found("Kinetics", os.path.abspath(root))
    found.classes = None if labels is None else read_classes(labels)
    at = {os.path.splitext(os.path.basename(path))[0]: path for path in list_videos(found.root)}
    hits = 0
    for path in lists:
        for line, row in read_columns(path, {
            "youtube_id": text, "time_start": _seconds, "time_end": _seconds, "split": text
        }, optional={"label": text}):  # fmt: skip
            stem = f"{row['youtube_id']}_{row['time_start']:06d}_{row['time_end']:06d}"
            file = at.get(stem) or at.get(row["youtube_id"])
            hits += file is not None
            found.drafts.append(
                Draft(file or os.path.join(found.root, f"{stem}.mp4"), f"{stem}.mp4",
                      row.get("label"), _split(row["split"]), group=row["youtube_id"],
                      where=f"{Path(path).name}, row {line}")
            )  # fmt: skip
    if not found.drafts:
        names = ", ".join(Path(path).name for path in lists)
        raise DatasetError(f"{names}: the list has no row. Fetch or copy it again")
    if not hits:
        first = found.drafts[0].shown
        raise DatasetError(
            f"{root}: not one of the {len(found.drafts)} listed videos is there ({first}, ...). "
            f"Give the folder that holds the videos"
        )
    return table_from(found, files=files)


def _split(name: str) -> str:
    return "val" if name == "validate" else split_name(name)


def _seconds(value: str) -> int:
    return whole(value.removesuffix(".0"))


def find_kinetics(places: Places) -> Table:
    """Kinetics from the lists below a folder."""
    found = places.by_split(
        train="train.csv", val=("validate.csv", "val.csv", "validation.csv"), test="test.csv"
    )
    return read_kinetics(*found.values(), root=places.root, files="trust")


def _card(
    classes: int, paper: str, train: int, val: int, test: int, source: str = UNCHECKED
) -> DatasetCard:
    return DatasetCard(
        name=f"kinetics{classes}",
        title=f"Kinetics-{classes}",
        task="classification",
        num_classes=classes,
        splits={"train": train, "val": val, "test": test},
        sources={"classes": CLASS_LIST, "train": source, "val": source, "test": source},
        annotations="train.csv, validate.csv, test.csv: label,youtube_id,time_start,time_end,split",
        files="ID_000010_000020.mp4 at any depth",
        reader="kinetics:read_kinetics",
        find="kinetics:find_kinetics",
        paper=paper,
        homepage="https://github.com/cvdfoundation/kinetics-dataset",
        terms="annotations CC BY 4.0; videos belong to their uploaders",
    )


KINETICS400 = _card(
    400, "arXiv:1705.06950", 246245, 20000, 40000,
    "306,245 in all, 50 of each class in val and 100 in test: quoted from arXiv:1705.06950",
)  # fmt: skip
KINETICS600 = _card(600, "arXiv:1808.01340", 392622, 30000, 60000)
KINETICS700 = _card(700, "arXiv:1907.06987", 545317, 35000, 70000)
