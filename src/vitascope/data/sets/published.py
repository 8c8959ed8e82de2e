"""The lists that the authors of public data sets publish, known by their columns.

Given as DATA, such a list is read by the reader of its data set; videos are looked for where the
authors' archives put them.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from vitascope.data.records import Table, VideoRecord
from vitascope.data.sets.card import get_dataset
from vitascope.data.tables.classes import ClassList, explain_label
from vitascope.errors import DatasetError, DatasetNotFoundError

_HEAD = 2**16  # bytes of a list that tell what it is
_SPLITS = (("val", ("val",)), ("test", ("test",)), ("train", ("train",)))
_CLIP = re.compile(r"[^/\s]+/v_[^/\s]+_g\d+_c\d+\.avi( \d+)?")
_FOLD = re.compile(r"(?:train|test)list(\d+)\.txt|.+_test_split(\d+)\.txt")
# Folders that hold lists only: the videos then lie beside them.
_LISTS = re.compile(r"annot|list|label|split|meta", re.IGNORECASE)


@dataclass(frozen=True)
class _Kind:
    """A data set whose lists can be told from others.

    Attributes:
        name: of its card.
        suffix: of its lists.
        known: whether lines (the first of a file) are such a list.
        read: from lists by split, the folder of the lists, that of the videos, and whether labels
            are needed, to a table.
        folders: names of the folders of videos in the authors' archives.
    """

    name: str
    suffix: str
    known: Callable[[Path, Sequence[str]], bool]
    read: Callable[[Mapping[str, Path], Path, Path, bool], Table]
    folders: tuple[str, ...] = ()


def published(
    path: Path, root: str | Path | None, classes: ClassList | None, *, labeled: bool = True
) -> Table | None:
    """The table of a published list, or of a folder that holds such lists; None for anything else.

    Args:
        path: a list, or a folder with lists in it.
        root: folder of the videos; None looks for them beside the list.
        classes: the order of the classes; None takes that of the data set.
        labeled: whether every video needs a label.

    Raises:
        DatasetNotFoundError: a file that belongs to the list is not beside it.
        DatasetError: rows that do not fit, missing videos, or several labels a video where one is
            needed.
    """
    lists: dict[str, Path] = {}
    kind = None
    for file in _files(path):
        found = _kind_of(file)
        if found is None or (kind is not None and found is not kind):
            continue
        kind = found
        lists.setdefault(_split_of(file), file)
    if kind is None:
        return None
    first = next(iter(lists.values()))
    home = Path(root) if root is not None else _home(first, kind)
    table = kind.read(lists, first.parent, home, labeled)
    names = ", ".join(file.name for file in lists.values())
    card = get_dataset(kind.name)
    note = f"{names}: the list of {card.title}, videos in {table.root}"
    return _renumbered(replace(table, notes=(note, *table.notes)), classes)


def resembling(path: Path) -> str | None:
    """What to try with a list or folder that cannot be read and looks like one of a data set.

    Args:
        path: a list in a form that is not that of the authors, or a folder with their lists in a
            folder below.
    """
    if path.is_dir():
        with os.scandir(path) as entries:
            folders = sorted(e.name for e in entries if e.is_dir() and _LISTS.search(e.name))
        for name in folders:
            kinds = filter(None, map(_kind_of, _files(path / name)))
            if kind := next(kinds, None):
                title = get_dataset(kind.name).title
                return f"The lists of {title} are in {name}: give that folder"
        return None
    words = frozenset(re.findall("[a-z_]+", _head(path).replace("\0", "").lower()))
    for name, pattern, known, beside in _TRACES:
        named = bool(pattern) and re.search(pattern, path.name, re.IGNORECASE) is not None
        if named or any(set(w) <= words for w in known) or (path.parent / beside).is_file():
            return (
                f"It looks like a list of {get_dataset(name).title}, in another form than that of "
                f"its authors, which `vitascope data info {name}` names"
            )
    return None


def _head(file: Path) -> str:
    try:
        with open(file, "rb") as stream:
            return stream.read(_HEAD).decode("utf-8-sig", "replace")
    except OSError:
        return ""  # whoever reads it will say why it cannot be


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    if not path.is_dir():
        return []
    suffixes = {kind.suffix for kind in _KINDS}
    with os.scandir(path) as entries:
        names = sorted(e.name for e in entries if e.is_file() and not e.name.startswith("."))
    return [path / name for name in names if os.path.splitext(name)[1].lower() in suffixes]


def _kind_of(file: Path) -> _Kind | None:
    kinds = [kind for kind in _KINDS if file.suffix.lower() == kind.suffix]
    if not kinds:
        return None
    text = _head(file)
    lines = [line.strip() for line in text.split("\n")[:200]]
    lines = [line for line in (lines[:-1] if len(text) >= _HEAD else lines) if line]
    return next((kind for kind in kinds if lines and kind.known(file, lines)), None)


def _split_of(file: Path) -> str:
    name = file.stem.lower()
    return next((split for split, words in _SPLITS if any(w in name for w in words)), "train")


def _home(file: Path, kind: _Kind) -> Path:
    """Where the videos lie: a folder of the archives' name, else the folder of the list."""
    above = file.parent.absolute().parent
    places = [file.parent, above] if _LISTS.search(file.parent.name) else [file.parent]
    for place in places:
        for name in kind.folders:
            if (place / name).is_dir():
                return place / name
    return places[-1]


def _beside(folder: Path, kind: str, *names: str) -> Path:
    for name in names:
        if (folder / name).is_file():
            return folder / name
    card = get_dataset(kind)
    raise DatasetNotFoundError(
        f"{folder}: holds a list of {card.title} and no {' or '.join(names)}, which belongs to it "
        f"({card.annotations}; `vitascope data info {kind}`)"
    )


def _renumbered(table: Table, classes: ClassList | None) -> Table:
    """The same videos with labels that count in another list of classes."""
    if classes is None or classes.names == table.classes:
        return table
    index = {name: i for i, name in enumerate(classes.names)}

    def renumber(record: VideoRecord) -> VideoRecord:
        if record.label is None:
            return record
        name = table.classes[record.label]
        if name not in index:
            raise DatasetError(f"{record.where}: {explain_label(name, classes)}")
        return replace(record, label=index[name])

    return replace(table, records=tuple(map(renumber, table.records)), classes=classes.names)


# --- one pair of functions for each data set -----------------------------------------------------


def _columns(line: str) -> set[str]:
    return {name.strip(' "').lower() for name in line.split(",")}


def _is_kinetics(_: Path, lines: Sequence[str]) -> bool:
    return {"youtube_id", "time_start", "time_end", "split"} <= _columns(lines[0])


def _kinetics(lists: Mapping[str, Path], _: Path, root: Path, labeled: bool) -> Table:
    table: Table = get_dataset("kinetics400").read(*lists.values(), root=root)
    return table


def _is_charades(_: Path, lines: Sequence[str]) -> bool:
    return {"id", "length", "actions"} <= _columns(lines[0])


def _charades(lists: Mapping[str, Path], folder: Path, root: Path, labeled: bool) -> Table:
    card = get_dataset("charades")
    if labeled:
        raise DatasetError(
            f"{folder}: the list of Charades, whose videos have several labels each; a list with "
            f"one label a video is needed here. `vitascope data info charades` names its reader"
        )
    records = [
        VideoRecord(os.path.abspath(video.path), None, split, where=video.where)
        for split, file in lists.items()
        for video in card.read(file, root)
    ]
    return Table(tuple(records), (), os.path.abspath(root), card.title)


def _is_moments(_: Path, lines: Sequence[str]) -> bool:
    fields = [line.split(",") for line in lines[:20]]
    return all(
        len(f) == 4 and f[0].startswith(f"{f[1]}/") and f[2].isdigit() and f[3].isdigit()
        for f in fields
    )


def _moments(lists: Mapping[str, Path], folder: Path, root: Path, labeled: bool) -> Table:
    names = {"train": "training", "val": "validation", "test": "testing"}
    roots = {
        split: root / names[split] if (root / names[split]).is_dir() else root for split in lists
    }
    categories = _beside(folder, "moments_in_time", "moments_categories.txt")
    table: Table = get_dataset("moments_in_time").read(lists, roots, categories)
    return table


def _is_jester(_: Path, lines: Sequence[str]) -> bool:
    return all(re.fullmatch(r"\d+;[^;]+", line, re.ASCII) for line in lines[:20])


def _jester(lists: Mapping[str, Path], folder: Path, root: Path, labeled: bool) -> Table:
    labels = _beside(folder, "jester", "jester-v1-labels.csv", "labels.csv", "labels.txt")
    table: Table = get_dataset("jester").read(lists, root, labels)
    return table


def _is_ssv2(_: Path, lines: Sequence[str]) -> bool:
    text = "\n".join(lines)
    match = re.match(r"\[\s*(\{[^{}]*\})", text)
    try:
        first = json.loads(match[1]) if match else None
    except ValueError:
        return False
    return isinstance(first, dict) and "id" in first and not {"path", "file", "video"} & set(first)


def _ssv2(lists: Mapping[str, Path], folder: Path, root: Path, labeled: bool) -> Table:
    labels = _beside(folder, "ssv2", "something-something-v2-labels.json", "labels.json")
    lists = {split: file for split, file in lists.items() if file != labels}
    table: Table = get_dataset("ssv2").read(lists, labels, root)
    return table


def _is_ucf101(file: Path, lines: Sequence[str]) -> bool:
    # Without the list of classes it is a list like any other: a path and a number.
    return all(map(_CLIP.fullmatch, lines)) and (file.parent / "classInd.txt").is_file()


def _ucf101(lists: Mapping[str, Path], folder: Path, root: Path, labeled: bool) -> Table:
    table: Table = get_dataset("ucf101").read(folder, root, _fold(lists.values()))
    return table


def _is_hmdb51(file: Path, lines: Sequence[str]) -> bool:
    return "_test_split" in file.name and all(
        re.fullmatch(r"\S+\.avi +[012]", line, re.IGNORECASE) for line in lines
    )


def _hmdb51(lists: Mapping[str, Path], folder: Path, root: Path, labeled: bool) -> Table:
    table: Table = get_dataset("hmdb51").read(folder, root, _fold(lists.values()))
    return table


def _fold(files: Iterable[Path]) -> int:
    for file in files:
        if match := _FOLD.fullmatch(file.name):
            return int(match[1] or match[2])
    return 1


_KINDS = (
    _Kind("kinetics400", ".csv", _is_kinetics, _kinetics),
    _Kind("charades", ".csv", _is_charades, _charades,
          ("Charades_v1_480", "Charades_v1", "videos")),
    _Kind("moments_in_time", ".csv", _is_moments, _moments),
    _Kind("jester", ".csv", _is_jester, _jester, ("20bn-jester-v1", "videos")),
    _Kind("ssv2", ".json", _is_ssv2, _ssv2, ("20bn-something-something-v2", "videos")),
    _Kind("ucf101", ".txt", _is_ucf101, _ucf101, ("UCF-101", "UCF101", "videos")),
    _Kind("hmdb51", ".txt", _is_hmdb51, _hmdb51, ("hmdb51_org", "hmdb51", "videos")),
)  # fmt: skip

# What is left of a list that was changed: its name, words in it, or a file beside it.
_TRACES: tuple[tuple[str, str, tuple[tuple[str, ...], ...], str], ...] = (
    ("kinetics400", "", (("youtube_id",), ("annotations", "segment", "subset")), "."),
    ("charades", "charades", (("subject", "scene", "actions"),), "."),
    ("jester", "jester", (), "jester-v1-labels.csv"),
    ("moments_in_time", "", (), "moments_categories.txt"),
    ("ssv2", "something-something", (("id", "template"),), "something-something-v2-labels.json"),
    ("ucf101", r"(train|test)list\d\d", (), "classInd.txt"),
    ("hmdb51", r"_test_split\d", (), "."),
)
