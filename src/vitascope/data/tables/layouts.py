"""The ways in which people keep videos and labels, each turned into the same plain drafts.

A draft is a video with its label as text. `records` checks drafts and numbers their labels.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

from vitascope.data.listing import (
    has_video_suffix,
    is_hidden,
    is_local_address,
    is_remote,
    list_videos,
    say_suffixes,
    subfolders,
)
from vitascope.data.shards.remote import parse_part
from vitascope.data.tables.classes import CLASS_FILES, ClassList, find_classes
from vitascope.data.tables.rows import LIST_SUFFIXES, Row, Rows, read_rows
from vitascope.errors import DatasetError
from vitascope.text import shown

SPLIT_NAMES = {
    "train": "train", "training": "train",
    "val": "val", "valid": "val", "validate": "val", "validation": "val", "dev": "val",
    "test": "test", "testing": "test",
}  # fmt: skip


@dataclass(slots=True)
class Draft:
    """A video as found, before its label has a number; `shown` is the path for messages."""

    path: str
    shown: str
    label: str | None = None
    split: str | None = None
    start: Fraction | None = None
    end: Fraction | None = None
    group: str | None = None
    where: str = ""


@dataclass
class Found:
    """What one layout gave.

    Attributes:
        layout: the layout's name.
        root: folder that relative paths start from.
        drafts: the videos.
        classes: the class list beside the clips, if there is one.
        notes: what was understood and what was left out, a sentence each.
        closed: every video has to lie below `root`.
        tidied: labels come from a list that a table program may have written.
    """

    layout: str
    root: str
    drafts: list[Draft] = field(default_factory=list)
    classes: ClassList | None = None
    notes: list[str] = field(default_factory=list)
    closed: bool = True
    tidied: bool = False


def is_below(path: str, root: str) -> bool:
    """Whether an absolute path is a folder or something in it, by its name alone."""
    path, root = os.path.normpath(path), os.path.normpath(root)
    return path == root or path.startswith(root.rstrip(os.sep) + os.sep)


def split_name(text: str) -> str:
    """The usual name of a split: "validation" is "val"; other names stay."""
    return SPLIT_NAMES.get(text.strip().lower(), text.strip())


def from_list(
    file: Path,
    root: Path | None,
    ignore_columns: Iterable[str] = (),
    classes: ClassList | None = None,
    remote: bool = False,
) -> Found:
    """One list of videos, given by itself; without `classes` those beside it are read."""
    rows = read_rows(file, ignore_columns)
    base = os.path.abspath(root or rows.root or file.parent)
    found = Found("list", base, classes=classes or find_classes(file.parent))
    found.closed = root is not None
    found.notes.append(f"{rows.name}: {len(rows.rows)} rows, paths from {shown(base)}")
    _add_rows(found, rows, None, remote, file.parent)
    return found


def from_folder(
    folder: Path,
    ignore_columns: Iterable[str] = (),
    classes: ClassList | None = None,
    labeled: bool = True,
    remote: bool = False,
    base: Path | None = None,
) -> Found:
    """A folder: lists, split folders, class folders or one list in it, in this order.

    `base` holds the videos of lists; None is the folder itself.
    """
    classes = classes or find_classes(folder)
    root = os.path.abspath(folder)
    lists = _split_lists(folder)
    if lists:
        found = Found("lists in a folder", os.path.abspath(base or folder), classes=classes)
        return _from_split_lists(found, folder, lists, ignore_columns, remote)
    splits = _split_folders(folder)
    if splits:
        return _from_split_folders(Found("split folders", root, classes=classes), splits, labeled)
    left_out: Counter[str] = Counter()
    videos = list_videos(folder, left_out)
    if not videos:
        raise _no_video(folder, left_out)
    top = [v for v in videos if _is_top(folder, v)]
    single = _single_list(folder)
    if len(top) == len(videos) and single is not None:
        found = from_list(single, base or folder, ignore_columns, classes, remote)
        found.layout = "list in a folder"
        return found
    if len(top) == len(videos) or not labeled:
        if labeled:
            raise _no_class(folder, top)
        found = Found("videos without classes", root, classes=classes)
        found.drafts = [Draft(os.path.abspath(v), _shown(v, folder)) for v in videos]
    else:
        found = Found("class folders", root, classes=classes)
        _add_class_folders(found, folder, None, labeled)
        if top:
            found.notes.append(
                f"left out: {len(top)} videos that lie in no class folder, such as "
                f"{os.path.basename(top[0])}"
            )
        _note_lists(found, folder, ())
    if left_out:
        found.notes.append(f"left out: {say_suffixes(left_out)} (not videos)")
    return found


def _from_split_lists(
    found: Found,
    folder: Path,
    lists: dict[str, Path],
    ignore_columns: Iterable[str],
    remote: bool,
) -> Found:
    for split, file in lists.items():
        rows = read_rows(file, ignore_columns)
        found.notes.append(f"split {split} is {rows.name} ({len(rows.rows)} rows)")
        _add_rows(found, rows, split, remote, folder)
    _note_lists(found, folder, [file.name for file in lists.values()])
    return found


def _from_split_folders(found: Found, splits: dict[str, str], labeled: bool) -> Found:
    folder = Path(found.root)
    for split, name in splits.items():
        _add_class_folders(found, folder / name, split, labeled)
        found.notes.append(f"split {split} is the folder {name}")
    other = [name for name in subfolders(folder) if name not in splits.values()]
    if other:
        found.notes.append(f"left out: folders beside the splits ({', '.join(other[:5])})")
    _note_lists(found, folder, ())
    return found


def _split_lists(folder: Path) -> dict[str, Path]:
    """Files such as train.csv and val.txt, by split."""
    lists: dict[str, Path] = {}
    for name in sorted(os.listdir(folder)):
        stem, suffix = os.path.splitext(name)
        split = SPLIT_NAMES.get(stem.lower())
        if split is None or suffix.lower() not in LIST_SUFFIXES or not (folder / name).is_file():
            continue
        if split in lists:
            raise DatasetError(
                f"{folder}: both {lists[split].name} and {name} list the split {split!r}. Remove "
                f"or rename one of them, or give the list itself"
            )
        lists[split] = folder / name
    order = ("train", "val", "test")
    return {split: lists[split] for split in order if split in lists}


def _split_folders(folder: Path) -> dict[str, str]:
    """Folders such as train/ and val/ that hold class folders, by split.

    A folder named "train" that holds videos itself is a class of that name (of railways, say).
    """
    named: dict[str, str] = {}
    for name in subfolders(folder):
        split = SPLIT_NAMES.get(name.lower())
        if split is None or not any(list_videos(folder / name / sub) for sub in
                                    subfolders(folder / name)):  # fmt: skip
            continue
        if any(has_video_suffix(e.name) for e in os.scandir(folder / name) if e.is_file()):
            continue
        if split in named:
            raise DatasetError(
                f"{folder}: both {named[split]}/ and {name}/ are the split {split!r}; rename one"
            )
        named[split] = name
    return {split: named[split] for split in ("train", "val", "test") if split in named}


def _add_class_folders(found: Found, folder: Path, split: str | None, labeled: bool) -> None:
    known = None if found.classes is None else set(found.classes.names)
    empty, strangers = [], []
    for name in subfolders(folder):
        videos = list_videos(folder / name)
        if videos == [os.path.join(folder, name)]:
            raise DatasetError(
                f"{folder / name}: images lie directly in the class folder. A video is a file or a "
                f"folder of frames, so put each video's frames into their own folder: "
                f"{name}/VIDEO/frame.jpg"
            )
        if not videos and known is not None and name not in known:
            strangers.append(name)
        elif not videos:
            empty.append(name)
        for path in videos:
            found.drafts.append(
                Draft(os.path.abspath(path), _shown(path, found.root), name, split,
                      where=f"class folder {_shown(folder / name, found.root)}")
            )  # fmt: skip
    if strangers:
        found.notes.append(f"left out: folders that are no class ({', '.join(strangers[:5])})")
    if empty and labeled:
        more = f" and {len(empty) - 1} more" if len(empty) > 1 else ""
        raise DatasetError(
            f"{folder / empty[0]}{more}: class folder without a video. Put videos into it, remove "
            f"it, or, if it is no class, begin its name with '.'"
        )


def _add_rows(found: Found, rows: Rows, split: str | None, remote: bool, folder: Path) -> None:
    found.tidied = found.tidied or not rows.escaped
    for row in rows.rows:
        where = f"{rows.name}, row {row.line}"
        own = None if row.split is None else split_name(row.split)
        if split is not None and own not in (None, split):
            raise DatasetError(f"{where}: the split is {own!r} in the list of the split {split!r}")
        path = _resolve(row, where, found, remote, folder)
        found.drafts.append(
            Draft(path, shown(row.path), row.label, split or own, row.start, row.end, row.group,
                  where)
        )  # fmt: skip
    if rows.ignored:
        found.notes.append(f"{rows.name}: left out the columns {', '.join(rows.ignored)}")


def _resolve(row: Row, where: str, found: Found, remote: bool, folder: Path) -> str:
    """The absolute path of a row.

    A path starts from the root and may not leave it; "../x" starts from the folder of the list
    where it would leave the root otherwise. Absolute paths elsewhere are allowed only in a list
    that the user gave by itself, without a root: there the list is the user's own choice of files.
    An address makes this machine ask another one, so a list may name one only where the user says
    so.
    """
    if is_remote(row.path):
        chained = row.path.count("::") > (parse_part(row.path) is not None)
        if remote and not chained and not is_local_address(row.path):
            return row.path
        remedy = "Write the path itself" if is_local_address(row.path) else (
            "Fetch the videos, or allow addresses in lists (data.remote=true)"
        )  # fmt: skip
        raise DatasetError(f"{where}: {shown(row.path)} is an address and not a path. {remedy}")
    path = os.path.normpath(os.path.join(found.root, row.path))
    if is_below(path, found.root) or (
        os.path.isabs(row.path) and not found.closed and ".." not in Path(row.path).parts
    ):
        return path
    climbed = os.path.normpath(os.path.join(os.path.abspath(folder), row.path))
    if not os.path.isabs(row.path) and is_below(climbed, found.root):
        return climbed
    kind = "an absolute path outside" if os.path.isabs(row.path) else "a path that leaves"
    raise DatasetError(
        f"{where}: {shown(row.path)} is {kind} the folder {shown(found.root)}. "
        f"Put the list into the folder that holds all the videos, or give that folder as root "
        f"(data.root=FOLDER in train, else --root FOLDER)"
    )


def _single_list(folder: Path) -> Path | None:
    names = _lists(folder)
    return folder / names[0] if len(names) == 1 else None


def _lists(folder: Path) -> list[str]:
    return sorted(
        name
        for name in os.listdir(folder)
        if os.path.splitext(name)[1].lower() in LIST_SUFFIXES - {".txt", ".json"}
        and not is_hidden(name)
        and name not in CLASS_FILES
    )


def _note_lists(found: Found, folder: Path, used: Sequence[str]) -> None:
    other = [name for name in _lists(folder) if name not in used]
    if other:
        found.notes.append(f"not read: {', '.join(other[:5])}")


def _shown(path: str | Path, root: str | Path) -> str:
    return shown(os.path.relpath(path, root))


def _is_top(folder: Path, video: str) -> bool:
    return os.path.dirname(video) == os.fspath(folder)


def _no_video(folder: Path, left_out: Counter[str]) -> DatasetError:
    remedy = "Expected one folder a class with videos in it, or lists such as train.csv"
    if not any(not is_hidden(name) for name in os.listdir(folder)):
        return DatasetError(f"{folder}: the folder is empty. {remedy}")
    packed = {".zip", ".tar", ".gz", ".tgz", ".rar", ".7z"} & set(left_out)
    if packed:
        remedy = f"Unpack the archives first ({', '.join(sorted(packed))})"
    names = subfolders(folder)
    held = f"; {names[0]}/ and the other folders hold no video" if names else ""
    return DatasetError(f"{folder}: no video found ({say_suffixes(left_out)}{held}). {remedy}")


def _no_class(folder: Path, top: list[str]) -> DatasetError:
    return DatasetError(
        f"{folder}: {len(top)} videos and no class folder, so there is no label. Expected "
        f"{folder.name}/CLASS/{os.path.basename(top[0])}, or a list with rows path,label"
    )
