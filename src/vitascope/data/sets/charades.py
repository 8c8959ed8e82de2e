"""Charades: several labels a video, as lists of frames or as parts of whole videos."""

from __future__ import annotations

import os
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from vitascope.data.clips import Clip
from vitascope.data.records import Table
from vitascope.data.sets.card import CLASS_LIST, DatasetCard
from vitascope.data.sets.locate import Places
from vitascope.data.tables.columns import read_columns, seconds, text
from vitascope.errors import DatasetError

NUM_CLASSES = 157


@dataclass(frozen=True)
class CharadesVideo:
    """A video with its labeled parts.

    Attributes:
        name: the video's id.
        path: its file.
        length: seconds.
        actions: (class, part of the video); several may run at once.
        where: list and row, for messages.
    """

    name: str
    path: str
    length: Fraction
    actions: tuple[tuple[int, Clip], ...]
    where: str

    @property
    def labels(self) -> tuple[int, ...]:
        """The classes of the whole video, ascending, each once."""
        return tuple(sorted({label for label, _ in self.actions}))


def read_charades_videos(
    path: str | Path, root: str | Path, suffix: str = ".mp4"
) -> tuple[CharadesVideo, ...]:
    """Charades from the lists of its authors, with columns `id`, `length` and `actions`.

    Args:
        path: `Charades_v1_train.csv` or `Charades_v1_test.csv`.
        root: folder of the videos.
        suffix: end of their names.

    Raises:
        DatasetError: a missing column, or an action that is not `c092 11.90 21.20`; with row.
    """
    rows = read_columns(path, {"id": text, "length": seconds, "actions": _actions})
    if not rows:
        raise DatasetError(f"{path}: the list has a header and no row")
    return tuple(
        CharadesVideo(
            row["id"], os.path.join(root, row["id"] + suffix), row["length"], row["actions"],
            f"{Path(path).name}, row {line}",
        )
        for line, row in rows
    )  # fmt: skip


def _actions(value: str) -> tuple[tuple[int, Clip], ...]:
    found = []
    for entry in filter(None, value.split(";")):
        parts = entry.split()
        if len(parts) != 3 or not (parts[0][:1] == "c" and parts[0][1:].isdigit()):
            raise ValueError("actions such as c092 11.90 21.20;c147 0.00 12.60")
        label, start, end = int(parts[0][1:]), seconds(parts[1]), seconds(parts[2])
        if label >= NUM_CLASSES:
            raise ValueError(f"classes from c000 to c{NUM_CLASSES - 1}")
        if start < end:  # a few of the published parts have no length
            found.append((label, Clip(start, end)))
    return tuple(found)


def find_charades(places: Places) -> Table:
    """The videos of Charades from the lists below a folder."""
    found = places.by_split(train="Charades_v1_train.csv", test="Charades_v1_test.csv")
    videos = places.folder("Charades_v1", "Charades_v1_480", "videos")
    return places.table(
        (video.path, split, video.where)
        for split, path in found.items()
        for video in read_charades_videos(path, videos)
    )


CHARADES = DatasetCard(
    name="charades",
    title="Charades",
    task="multi-label",
    num_classes=NUM_CLASSES,
    splits={"train": 7985, "test": 1863},
    sources={
        "classes": CLASS_LIST,
        **dict.fromkeys(
            ("train", "test"),
            "as public code quotes it; together the 9,848 videos of arXiv:1604.01753",
        ),
    },
    annotations="Charades_v1_train.csv, Charades_v1_test.csv; or lists of frames",
    files="ID.mp4, or ID/ID-000001.jpg",
    reader="charades:read_charades_videos",
    find="charades:find_charades",
    paper="arXiv:1604.01753",
    homepage="https://prior.allenai.org/projects/charades",
    terms="non-commercial",
)
