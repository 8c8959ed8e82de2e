"""UCF101: lists `CLASS/v_CLASS_g01_c01.avi [number]` of three folds."""

from __future__ import annotations

import os
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


def read_ucf101(
    lists: str | Path, root: str | Path, fold: int = 1, *, files: Files = "require"
) -> Table:
    """UCF101 with the splits train and test of one fold.

    The class is the folder in the path; `classInd.txt` gives the order of the classes.

    Args:
        lists: folder with `classInd.txt`, `trainlist01.txt` and `testlist01.txt`, ...
        root: folder of the class folders.
        fold: 1 to 3.
        files: what to do about missing videos; see `tables.read.table_from`.

    Raises:
        DatasetNotFoundError: a list is not there.
        DatasetError: a row that does not fit, or missing videos.
    """
    folder = Path(lists)
    found = Found("UCF101", os.path.abspath(root), classes=_classes(folder / "classInd.txt"))
    for split in ("train", "test"):
        name = f"{split}list{fold:02d}.txt"
        for row, line in enumerate(read_text(existing(folder / name)).split("\n"), 1):
            if not line.strip():
                continue
            path = line.split()[0]
            label, slash, file = path.partition("/")
            if not slash or not file:
                raise DatasetError(f"{name}, row {row}: {line.strip()!r}; expected CLASS/FILE")
            found.drafts.append(
                Draft(os.path.join(found.root, path), path, label, split,
                      group=os.path.splitext(file)[0].rpartition("_c")[0],
                      where=f"{name}, row {row}")
            )  # fmt: skip
    return table_from(found, files=files)


def _classes(path: Path) -> ClassList:
    names: dict[int, str] = {}
    for row, line in enumerate(read_text(existing(path)).split("\n"), 1):
        parts = line.split()
        if not parts:
            continue
        if len(parts) != 2 or not parts[0].isdigit():
            raise DatasetError(f"{path.name}, row {row}: {line.strip()!r}; expected NUMBER NAME")
        names[int(parts[0])] = parts[1]
    if sorted(names) != list(range(1, len(names) + 1)):
        raise DatasetError(f"{path.name}: class numbers are not 1 to {len(names)}")
    return ClassList(tuple(names[i] for i in sorted(names)), path.name)


def find_ucf101(places: Places) -> Table:
    """UCF101 from the lists below a folder."""
    lists = places.need("classInd.txt").parent
    return read_ucf101(lists, places.folder("UCF-101", "UCF101"), files="trust")


UCF101 = DatasetCard(
    name="ucf101",
    title="UCF101",
    task="classification",
    num_classes=101,
    splits={"train": 9537, "test": 3783},
    sources={
        "classes": CLASS_LIST,
        "train": UNCHECKED,
        "test": "github.com/kenshohara/3D-ResNets-PyTorch, issue 271",
    },
    annotations="classInd.txt, trainlist01.txt, testlist01.txt (fold 1 of 3; counts are of fold 1)",
    files="CLASS/v_CLASS_g01_c01.avi",
    reader="ucf101:read_ucf101",
    find="ucf101:find_ucf101",
    paper="arXiv:1212.0402",
    homepage="https://www.crcv.ucf.edu/data/UCF101.php",
    terms="for research",
)
