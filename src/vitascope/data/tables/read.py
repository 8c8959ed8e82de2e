"""A data set read from folders or lists."""

from __future__ import annotations

import difflib
import os
import stat
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from vitascope.data.listing import has_image_suffix, has_video_suffix, is_remote
from vitascope.data.records import Table, VideoRecord
from vitascope.data.sets.published import published, resembling
from vitascope.data.tables import classes as class_lists
from vitascope.data.tables.classes import ClassList
from vitascope.data.tables.layouts import Draft, Found, from_folder, from_list, is_below
from vitascope.errors import DatasetError, DatasetNotFoundError
from vitascope.text import shown

Files = Literal["require", "skip", "trust"]


def read_table(
    data: str | Path,
    *,
    labels: str | Path | Sequence[str] | None = None,
    root: str | Path | None = None,
    labeled: bool = True,
    ignore_columns: Iterable[str] = (),
    remote: bool = False,
) -> Table:
    """Finds the videos, labels and splits of a data set.

    Understood are, in this order: the published list of a data set (`sets.published`), or a
    folder with such lists; a list (`path,label[,split][,start,end]`; CSV, TSV, JSON,
    JSON lines, or lines `path label`); a folder with lists named train, val and test; a folder
    with folders train, val and test of class folders; a folder of class folders; a folder with
    videos and one list. A video is a file or a folder of frames.

    The class order is that of `labels`, else of `labels.txt` beside the clips, else sorted.
    Labels in a list may be names, or indices into the class list where there is one.

    Paths of a list start from its folder (or `root`) and may not leave it; only a list that is
    given by itself, without `root`, may name absolute paths elsewhere. With `root`, a path such
    as "../videos/a.mp4" may start from the folder of the list, as long as it ends below `root`.

    Args:
        data: folder or list; with `labeled=False` also a single video.
        labels: class names in order, or a file of them; labels outside are refused.
        root: folder that holds the videos of a list; None is the list's own folder.
        labeled: False accepts videos without labels and a single class.
        ignore_columns: columns of lists to leave out although their name is unknown.
        remote: the rows of a list on this machine may name addresses (`https://...`).

    Raises:
        DatasetNotFoundError: `data` does not exist.
        DatasetError: nothing usable in it, or rows that do not fit; every message names file,
            row and remedy, and counts all rows with the same fault.
        MissingExtraError: the storage of an address needs a package that is not installed.
    """
    path = Path(data)
    classes = None if labels is None else class_lists.read_classes(labels)
    from vitascope.data.shards import read as shards

    if shards.is_shards(os.fspath(data)):
        names = None if classes is None else classes.names
        return shards.read_shards(os.fspath(data), names, labeled=labeled)
    if not _exists(path):
        raise _not_found(path)
    if root is not None and not _is_folder(root):
        raise DatasetNotFoundError(f"root {shown(str(root))}: no such folder. Correct the path")
    table = published(path, root, classes, labeled=labeled)
    if table is None:
        try:
            found = _found(path, root, classes, labeled, ignore_columns, remote)
            listed = found.layout.startswith("list")
            table = table_from(found, files="require" if listed else "trust", labeled=labeled)
        except DatasetError as error:
            hint = resembling(path)
            if hint is None:
                raise
            raise type(error)(f"{str(error).rstrip('. ')}. {hint}") from error
    if labeled and all(record.label is None for record in table.records):
        raise DatasetError(
            f"{shown(str(data))}: no video has a label, as in lists of test sets; labels are "
            f"needed here"
        )
    if labeled and labels is None and len({r.label for r in table.records}) < 2:
        only = table.classes[table.records[0].label or 0]
        raise DatasetError(
            f"{shown(str(data))}: only one class ({only!r}); a classifier needs at least two"
        )
    return table


def _found(
    path: Path,
    root: str | Path | None,
    classes: ClassList | None,
    labeled: bool,
    ignore_columns: Iterable[str],
    remote: bool,
) -> Found:
    """What a folder, a list, or a single video holds."""
    base = None if root is None else Path(root)
    if path.is_dir():
        return from_folder(path, ignore_columns, classes, labeled, remote, base)
    if not labeled and has_video_suffix(path.name):
        found = Found("one video", os.path.abspath(path.parent), classes=classes)
        found.drafts = [Draft(os.path.abspath(path), shown(path.name))]
        return found
    return from_list(path, base, ignore_columns, classes, remote)


def _is_folder(root: str | Path) -> bool:
    try:
        return Path(root).is_dir()
    except (OSError, ValueError):  # a name that is too long, or no name at all
        return False


def table_from(found: Found, *, files: Files = "require", labeled: bool = True) -> Table:
    """Checks drafts, numbers their labels, and makes a table of them.

    Args:
        found: what a layout or a published list gave.
        files: "require" refuses the lot if a file is missing, "skip" leaves missing ones out with
            a warning that counts them, "trust" does not look.
        labeled: whether every video needs a label.

    Raises:
        DatasetError: missing files, missing labels, labels outside the class list, two labels
            for one video, or a split for some videos only.
    """
    _check_places(found)
    warnings = _check_files(found, files) if files != "trust" else []
    names, numbers = _number_labels(found, labeled)
    if len({d.split is None for d in found.drafts}) == 2:
        draft = next(d for d in found.drafts if d.split is None)
        raise DatasetError(f"{draft.where}: no split, while other rows have one")
    records = tuple(
        VideoRecord(d.path, n, d.split, d.start, d.end, d.where, d.group)
        for d, n in zip(found.drafts, numbers, strict=True)
    )
    table = Table(records, names, found.root, found.layout, tuple(found.notes))
    return replace(table, warnings=(*warnings, *_warnings(table, given=found.classes is not None)))


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError) as error:  # a name that is too long, or no name at all
        reason = getattr(error, "strerror", None) or "this cannot be a path"
        raise DatasetNotFoundError(f"{shown(str(path)[:200])}: {reason}") from None


def _check_places(found: Found) -> None:
    """Refuses a published list that names files outside the folder of its videos."""
    if not found.closed:
        return
    for draft in found.drafts:
        if not is_remote(draft.path) and not is_below(draft.path, found.root):
            raise DatasetError(
                f"{draft.where or found.layout}: {shown(draft.shown)} leaves the folder "
                f"{shown(found.root)}"
            )


def _not_found(path: Path) -> DatasetNotFoundError:
    above = path.absolute().parent
    if not above.is_dir():
        while not above.is_dir():
            above = above.parent
        return DatasetNotFoundError(
            f"{path}: no such file or folder. {above} exists; nothing below it by that name does"
        )
    near = difflib.get_close_matches(path.name, os.listdir(above), n=1, cutoff=0.6)
    hint = f" Did you mean {above / near[0]}?" if near else " Check the path"
    return DatasetNotFoundError(f"{path}: no such file or folder.{hint}")


def _check_files(found: Found, files: Files) -> list[str]:
    """Refuses or leaves out drafts whose file does not exist, after counting all of them."""
    faults = [(d, fault) for d in found.drafts if (fault := _fault(d.path)) is not None]
    if not faults:
        return []
    first, fault = faults[0]
    total = len(found.drafts)
    if files == "skip" and len(faults) < total:
        absent = {id(d) for d, _ in faults}
        found.drafts = [d for d in found.drafts if id(d) not in absent]
        return [f"{len(faults)} of {total} listed videos are missing, such as {first.shown}"]
    others = ", ".join(f"{d.shown} ({_row_of(d.where)})" for d, _ in faults[1:4])
    also = f" Also {others}{', ...' if len(faults) > 4 else ''}." if others else ""
    remedy = f" Paths start from {found.root}: correct the list or restore the files"
    for base in (os.getcwd(), os.path.dirname(found.root)):
        if len(faults) == total and os.path.exists(os.path.join(base, first.shown)):
            remedy = (
                f" Paths start from {found.root}, but these exist below {base}: move the list "
                f"there or give that folder as root (data.root={base} in train, else --root {base})"
            )
            break
    raise DatasetError(
        f"{first.shown} ({_row_of(first.where)}): {fault}; {len(faults)} of {total} rows "
        f"affected.{also}{remedy}"
    )


def _row_of(where: str) -> str:
    name, comma, row = where.rpartition(", ")
    return f"{row} of {name}" if comma else where


def _fault(path: str) -> str | None:
    if is_remote(path):
        return None
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return "no such file"
    if stat.S_ISDIR(mode):
        with os.scandir(path) as entries:
            if not any(has_image_suffix(e.name) for e in entries):
                return "a folder without frames (images)"
    return None


def _number_labels(found: Found, labeled: bool) -> tuple[tuple[str, ...], list[int | None]]:
    drafts = found.drafts
    if found.tidied:
        for draft, label in zip(drafts, class_lists.tidy([d.label for d in drafts], found.classes),
                                strict=True):  # fmt: skip
            draft.label = label
    bare = [d for d in drafts if d.label is None]
    if bare and (labeled or len(bare) < len(drafts)):
        raise DatasetError(
            f"{bare[0].shown} ({_row_of(bare[0].where)}): no label; {len(bare)} of {len(drafts)} "
            f"rows affected. Rows are path,label"
        )
    texts = [d.label or "" for d in drafts]
    if bare:
        return (found.classes.names if found.classes else ()), [None] * len(drafts)
    given = found.classes is not None
    classes = found.classes or ClassList(class_lists.natural_order(texts), "of the data")
    numbers = class_lists.number_labels(texts, classes)
    wrong = [d for d, n in zip(drafts, numbers, strict=True) if n is None]
    if wrong:
        raise DatasetError(
            f"{wrong[0].shown} ({wrong[0].where}): "
            f"{class_lists.explain_label(wrong[0].label or '', classes)} "
            f"{len(wrong)} of {len(drafts)} videos affected"
        )
    _refuse_contradictions(drafts, numbers, classes)
    order = f"the order of {classes.source}" if given else "sorted by name"
    found.notes.append(f"{len(classes.names)} classes, {order}")
    return classes.names, numbers


def _refuse_contradictions(
    drafts: list[Draft], numbers: list[int | None], classes: ClassList
) -> None:
    seen: dict[object, int] = {}
    for i, draft in enumerate(drafts):
        whole = draft.start is None and draft.end is None
        j = seen.setdefault(draft.path if whole else (draft.path, draft.start, draft.end), i)
        if numbers[i] != numbers[j]:
            one, two = (classes.names[numbers[k] or 0] for k in (j, i))
            raise DatasetError(
                f"{draft.shown} has two labels: {one!r} ({_row_of(drafts[j].where)}) and {two!r} "
                f"({_row_of(draft.where)}). Remove one of the rows"
            )


def _named_again(records: Sequence[VideoRecord]) -> list[VideoRecord]:
    """The records whose path other records have, too; few, so what is kept of each may cost."""
    seen: set[str] = set()
    again: set[str] = set()
    for record in records:
        (again if record.path in seen else seen).add(record.path)
    return [r for r in records if r.path in again]


def _warnings(table: Table, given: bool) -> tuple[str, ...]:
    warnings = []
    for names in [] if given else class_lists.near_equal(table.classes)[:3]:
        listed = " and ".join(repr(shown(name)) for name in names[:4])
        warnings.append(f"classes {listed} differ in their spelling only; are they one class?")
    gaps = [] if given or table.layout != "list" else class_lists.doubtful(table.classes)
    if gaps:
        warnings.append(f"class {gaps[0]!r} may be a missing label; remove the rows without one")
    again = _named_again(table.records)
    keys = Counter((r.path, r.start, r.end) for r in again)
    twice = [key[0] for key, n in keys.items() if n > 1]
    if twice:
        warnings.append(
            f"{len(twice)} videos stand in the lists more than once, such as {shown(twice[0])}"
        )
    homes: dict[str, set[str | None]] = {}
    for record in again:
        homes.setdefault(record.path, set()).add(record.split)
    shared = [path for path, splits in homes.items() if len(splits) > 1]
    if shared:
        warnings.append(
            f"{len(shared)} files are in more than one split, such as {shown(shared[0])} "
            f"({', '.join(sorted(map(str, homes[shared[0]])))}): scores will look too good"
        )
    for split in table.splits or (None,):
        bare = [name for name, n in table.counts(split).items() if n == 0]
        if bare and (split in ("train", None)):
            where = f"split {split}" if split else "data"
            more = f" and {len(bare) - 3} more" if len(bare) > 3 else ""
            listed = shown(", ".join(bare[:3]))
            warnings.append(f"no video of class {listed}{more} in the {where}")
    return tuple(warnings)
