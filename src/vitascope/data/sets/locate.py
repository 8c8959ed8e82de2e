"""The files that the published list of a data set names, found by the names its authors use.

Each reader wants the lists of its authors one by one; here they are looked for below a folder, so
that a data set can be verified by name and place alone.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vitascope.data.listing import list_videos
from vitascope.data.records import Table, VideoRecord
from vitascope.data.sets.ava import read_ava
from vitascope.data.sets.card import DatasetCard, get_dataset
from vitascope.data.sets.charades import read_charades_videos
from vitascope.data.sets.domsev import read_domsev
from vitascope.data.sets.epic_kitchens import read_epic_actions
from vitascope.data.tables.columns import read_json
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
        DatasetError: a list with rows that do not fit.
    """
    card = get_dataset(name)
    for folder in (root, lists or root):
        if not os.path.isdir(folder):
            raise DatasetNotFoundError(f"{folder}: no such folder")
    places = _Places(card, Path(root), Path(lists or root))
    table = _FINDERS[card.reader](places)
    seen: dict[tuple[str, str | None], VideoRecord] = {}
    for record in table.records:
        seen.setdefault((record.path, record.split), record)
    whole = tuple(replace(record, start=None, end=None) for record in seen.values())
    return replace(table, records=whole)


@dataclass(frozen=True)
class _Places:
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


def _table(places: _Places, rows: Iterable[tuple[str, str, str]]) -> Table:
    """Videos as (path, split, where)."""
    records = tuple(
        VideoRecord(path, None, split or None, where=where) for path, split, where in rows
    )
    return Table(records, (), str(places.root), places.card.title)


def _named(places: _Places, rows: Iterable[tuple[str, str, str]], suffix: str) -> Table:
    """Videos as (id, split, where), wherever a file of that name lies."""
    at = places.by_stem()
    return _table(
        places,
        (
            (at.get(video) or str(places.root / (video + suffix)), split, where)
            for video, split, where in rows
        ),
    )


def _kinetics(places: _Places) -> Table:
    found = places.by_split(
        train="train.csv", val=("validate.csv", "val.csv", "validation.csv"), test="test.csv"
    )
    table: Table = places.card.read(*found.values(), root=places.root, files="trust")
    return table


def _ucf101(places: _Places) -> Table:
    lists = places.need("classInd.txt").parent
    table: Table = places.card.read(lists, places.folder("UCF-101", "UCF101"), files="trust")
    return table


def _hmdb51(places: _Places) -> Table:
    lists = places.need("*_test_split1.txt").parent
    table: Table = places.card.read(lists, places.root, files="trust")
    return table


def _ssv2(places: _Places) -> Table:
    name = "something-something-v2-"
    found = places.by_split(
        train=(f"{name}train.json", "train.json"),
        val=(f"{name}validation.json", "validation.json"),
        test=(f"{name}test.json", "test.json"),
    )
    labels = places.need(f"{name}labels.json", "labels.json")
    videos = places.folder("20bn-something-something-v2", "videos")
    table: Table = places.card.read(found, labels, videos, files="trust")
    return table


def _jester(places: _Places) -> Table:
    found = places.by_split(
        train=("jester-v1-train.csv", "train.csv"),
        val=("jester-v1-validation.csv", "validation.csv"),
    )
    labels = places.need("jester-v1-labels.csv", "labels.csv", "labels.txt")
    videos = places.folder("20bn-jester-v1", "videos")
    table: Table = places.card.read(found, videos, labels, files="trust")
    return table


def _moments_in_time(places: _Places) -> Table:
    found = places.by_split(train="trainingSet.csv", val="validationSet.csv")
    roots = {"train": places.root / "training", "val": places.root / "validation"}
    categories = places.need("moments_categories.txt")
    table: Table = places.card.read(
        found, {split: roots[split] for split in found}, categories, files="trust"
    )
    return table


def _charades(places: _Places) -> Table:
    found = places.by_split(train="Charades_v1_train.csv", test="Charades_v1_test.csv")
    videos = places.folder("Charades_v1", "Charades_v1_480", "videos")
    return _table(
        places,
        (
            (video.path, split, video.where)
            for split, path in found.items()
            for video in read_charades_videos(path, videos)
        ),
    )


def _ava(places: _Places) -> Table:
    version = "v2.1" if places.card.name == "ava21" else "v2.2"
    found = places.by_split(train=f"ava_train_{version}.csv", val=f"ava_val_{version}.csv")
    return _named(
        places,
        (
            (row.video, split, row.where)
            for split, path in found.items()
            for row in {r.video: r for r in reversed(read_ava(path))}.values()
        ),
        ".mp4",
    )


def _epic(places: _Places) -> Table:
    if places.card.name == "epic_kitchens55":
        found = places.by_split(train="EPIC_train_action_labels.csv")
    else:
        found = places.by_split(train="EPIC_100_train.csv", val="EPIC_100_validation.csv")
    return _named(
        places,
        (
            (video, split, actions[0].where)
            for split, path in found.items()
            for video, actions in read_epic_actions(path).items()
        ),
        ".MP4",
    )


def _domsev(places: _Places) -> Table:
    videos = read_domsev(
        *(places.need(f"{name}.csv") for name in ("videos", "frames", "labels")),
    )
    folders = ((os.path.dirname(f[0].path), name) for name, f in videos.items() if f)
    return _table(places, ((str(places.root / folder), "", name) for folder, name in folders))


def _ego4d(places: _Places) -> Table:
    found = places.by_split(train="moments_train.json", val="moments_val.json")
    facts: dict[str, Any] = read_json(places.need("ego4d.json"), dict)
    paths = {video["video_uid"]: video["manifold_path"] for video in facts["videos"]}
    return _table(
        places,
        (
            (
                str(places.root / paths.get(v["video_uid"], v["video_uid"] + ".mp4")),
                split,
                path.name,
            )
            for split, path in found.items()
            for v in read_json(path, dict)["videos"]
        ),
    )


_FINDERS: Mapping[str, Callable[[_Places], Table]] = {
    "kinetics:read_kinetics": _kinetics,
    "ucf101:read_ucf101": _ucf101,
    "hmdb51:read_hmdb51": _hmdb51,
    "ssv2:read_ssv2": _ssv2,
    "jester:read_jester": _jester,
    "moments_in_time:read_moments_in_time": _moments_in_time,
    "charades:read_charades_videos": _charades,
    "ava:read_ava": _ava,
    "epic_kitchens:read_epic_actions": _epic,
    "domsev:read_domsev": _domsev,
    "ego4d_moments:read_moments": _ego4d,
}
