"""HMDB51: one list a class and fold, lines `FILE 0|1|2` (unused, train, test)."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from vitascope.data.records import Table
from vitascope.data.sets.card import CLASS_LIST, DatasetCard
from vitascope.data.sets.locate import Places
from vitascope.data.tables.layouts import Draft, Found
from vitascope.data.tables.read import Files, table_from
from vitascope.data.tables.rows import read_text
from vitascope.errors import ConfigError, DatasetError, DatasetNotFoundError

_SPLITS = {"0": "unused", "1": "train", "2": "test"}
_NAME = re.compile(r"(.+)_test_split(\d+)\.txt")


@dataclass(frozen=True)
class HmdbClip:
    """One clip of the lists.

    Attributes:
        path: class folder and file name.
        label: name of the class.
        split: "train", "test" or "unused".
        tags: visible body part, camera motion, people, camera position, quality, from the name.
        where: list and row.
    """

    path: str
    label: str
    split: str
    tags: tuple[str, ...]
    where: str


def read_hmdb51_lists(folder: str | Path, split_id: int = 1) -> tuple[HmdbClip, ...]:
    """The clips of one fold, class by class.

    Raises:
        DatasetNotFoundError: there is no such folder.
        ConfigError: a fold that the folder has no lists of.
        DatasetError: a row that is no file name and number.
    """
    if not os.path.isdir(folder):
        raise DatasetNotFoundError(f"{folder}: no such folder of lists")
    named = [(m, name) for name in sorted(os.listdir(folder)) if (m := _NAME.fullmatch(name))]
    folds = sorted({int(m.group(2)) for m, _ in named})
    if split_id not in folds:
        raise ConfigError(
            f"split_id = {split_id}; lists in {folder}: {', '.join(map(str, folds)) or 'none'}"
        )
    clips: list[HmdbClip] = []
    for match, name in named:
        if int(match.group(2)) != split_id:
            continue
        clips += _read_list(Path(folder) / name, match.group(1))
    return tuple(clips)


def _read_list(path: Path, label: str) -> list[HmdbClip]:
    clips = []
    for row, line in enumerate(read_text(path).split("\n"), 1):
        parts = line.split()
        if not parts:
            continue
        if len(parts) != 2 or parts[1] not in _SPLITS:
            raise DatasetError(
                f"{path.name}, row {row}: {line.strip()!r}; expected a file name and 0, 1 or 2"
            )
        tags = tuple(os.path.splitext(parts[0])[0].split("_")[-6:-1])
        where = f"{path.name}, row {row}"
        clips.append(HmdbClip(f"{label}/{parts[0]}", label, _SPLITS[parts[1]], tags, where))
    return clips


def read_hmdb51(
    lists: str | Path, root: str | Path, split_id: int = 1, *, files: Files = "require"
) -> Table:
    """HMDB51 as a table with the splits train and test; unused clips are left out.

    Args:
        lists: folder of the lists (`brush_hair_test_split1.txt`, ...).
        root: folder of the class folders.
        split_id: fold, 1 to 3.
        files: what to do about missing videos; see `tables.read.table_from`.

    Raises:
        DatasetError: see `read_hmdb51_lists` and `tables.read.table_from`.
    """
    found = Found("HMDB51", os.path.abspath(root))
    found.drafts = [
        Draft(os.path.join(found.root, c.path), c.path, c.label, c.split, where=c.where)
        for c in read_hmdb51_lists(lists, split_id)
        if c.split != "unused"
    ]
    return table_from(found, files=files)


def find_hmdb51(places: Places) -> Table:
    """HMDB51 from the lists below a folder."""
    lists = places.need("*_test_split1.txt").parent
    return read_hmdb51(lists, places.root, files="trust")


HMDB51 = DatasetCard(
    name="hmdb51",
    title="HMDB51",
    task="classification",
    num_classes=51,
    splits={"train": 3570, "test": 1530},
    sources={
        "classes": CLASS_LIST,
        "train": "70 of each class, paperswithcode.com/dataset/hmdb51",
        "test": "30 of each class, paperswithcode.com/dataset/hmdb51",
    },
    annotations="CLASS_test_split1.txt: FILE 0|1|2 (fold 1 of 3; counts are of fold 1)",
    files="CLASS/FILE.avi",
    reader="hmdb51:read_hmdb51",
    find="hmdb51:find_hmdb51",
    paper="HMDB: A Large Video Database for Human Motion Recognition (ICCV 2011)",
    homepage="https://serre-lab.clps.brown.edu/resource/hmdb-a-large-human-motion-database/",
    terms="CC BY 4.0",
)
