"""The files that the published list of a data set names, found by the names its authors use.

Each reader wants the lists of its authors one by one. The finder of a data set, beside its reader,
looks for them below a folder, so that the data set can be verified by name and place alone. What
finders have in common is here.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from vitascope.data.listing import list_videos
from vitascope.data.records import Table, VideoRecord
from vitascope.data.sets.card import DatasetCard, get_dataset
from vitascope.errors import DatasetNotFoundError

_DEPTH = 3  # folders below the given ones in which lists are looked for


def official_files(name: str, root: str | Path, lists: str | Path | None = None) -> Table:
    """Every video that the published lists name, once in each split, whether it is there or not.

    Args:
        name: name of a card; see `sets.DATASETS`.
        root: folder of the videos.
        lists: folder of the lists; None looks for them below `root`.

    Raises:
        UnknownNameError: no data set has this name.
        DatasetNotFoundError: the folder, or a list, is not there; the message names the files
            that are looked for.
        DatasetError: a list with rows that do not fit, or a card without a finder.
    """
    card = get_dataset(name)
    for folder in (root, lists or root):
        if not os.path.isdir(folder):
            raise DatasetNotFoundError(f"{folder}: no such folder")
    places = Places(card, Path(root), Path(lists or root))
    table: Table = card.function("find")(places)
    seen: dict[tuple[str, str | None], VideoRecord] = {}
    for record in table.records:
        seen.setdefault((record.path, record.split), record)
    whole = tuple(replace(record, start=None, end=None) for record in seen.values())
    return replace(table, records=whole)


@dataclass(frozen=True)
class Places:
    """Where the videos and the lists of a data set lie.

    Attributes:
        card: the data set.
        root: folder of the videos.
        lists: folder of the lists, which may lie a few folders below it.
    """

    card: DatasetCard
    root: Path
    lists: Path

    def find(self, *names: str) -> Path | None:
        """The first file of one of these names, the nearest to the top."""
        for pattern in ("*/" * depth for depth in range(_DEPTH + 1)):
            for name in names:
                found = sorted(self.lists.glob(pattern + name))
                if found:
                    return found[0]
        return None

    def need(self, *names: str) -> Path:
        """The first file of one of these names.

        Raises:
            DatasetNotFoundError: there is none.
        """
        found = self.find(*names)
        if found is None:
            raise DatasetNotFoundError(
                f"{self.lists}: holds no {' or '.join(names)}. {self.card.title} is read from "
                f"{self.card.annotations}. Fetch the lists from {self.card.homepage}, and give "
                f"their folder with --lists"
            )
        return found

    def by_split(self, **names: str | tuple[str, ...]) -> dict[str, Path]:
        """Lists by split; at least the first one must be there."""
        wanted = {s: (n,) if isinstance(n, str) else n for s, n in names.items()}
        found = {s: path for s, n in wanted.items() if (path := self.find(*n)) is not None}
        return found or {"": self.need(*next(iter(wanted.values())))}

    def folder(self, *names: str) -> Path:
        """The first folder of one of these names below the root; else the root itself."""
        return next((self.root / n for n in names if (self.root / n).is_dir()), self.root)

    def by_stem(self) -> dict[str, str]:
        """File name without suffix -> path, at any depth."""
        return {os.path.splitext(os.path.basename(p))[0]: p for p in list_videos(self.root)}

    def table(self, rows: Iterable[tuple[str, str, str]]) -> Table:
        """The videos of rows (path, split or "", where in the lists)."""
        records = tuple(
            VideoRecord(path, None, split or None, where=where) for path, split, where in rows
        )
        return Table(records, (), str(self.root), self.card.title)

    def named(self, rows: Iterable[tuple[str, str, str]], suffix: str) -> Table:
        """The videos of rows (file name without suffix, split or "", where in the lists).

        A video may lie anywhere below the root, with any suffix; one that is nowhere is expected
        in the root with the suffix that is given.
        """
        at = self.by_stem()
        return self.table(
            (at.get(video) or str(self.root / (video + suffix)), split, where)
            for video, split, where in rows
        )
