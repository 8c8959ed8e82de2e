"""Classes of a data set: their order, and what a label in a list means."""

from __future__ import annotations

import difflib
import json
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vitascope.errors import DatasetError, DatasetNotFoundError
from vitascope.text import decode_json, exact, is_count, shown

MOST_CLASSES = 100_000
"""Numbers of classes above this are taken for a mistake: each class is an output of the model."""

# Among numbers these words are gaps and no classes.
_GAPS = frozenset({"", "-", "na", "n/a", "#n/a", "nil", "none", "null"})
# Of these no person would call a class so ("none" and the country NA are classes).
_DOUBTFUL = frozenset({"n/a", "#n/a", "nil", "null"})
# A whole number as text, also as programs write it that know decimals only: "3.0".
_WHOLE = re.compile(r"([+-]?\d{1,18})(\.0*)?", re.ASCII)
# "1.000000000000000000e+00", as numerical programs write tables.
_POWER = re.compile(r"[+-]?\d+(\.\d*)?e[+-]?0?\d", re.ASCII | re.IGNORECASE)

CLASS_FILES = ("labels.txt", "classes.txt", "labels.json", "classes.json")


@dataclass(frozen=True)
class ClassList:
    """Class names in the order of a model's outputs.

    Attributes:
        names: the names by index.
        source: where they come from, for messages: "labels.txt".
    """

    names: tuple[str, ...]
    source: str


def read_classes(labels: str | Path | Sequence[str]) -> ClassList:
    """Class names from a file or a sequence.

    A text file has one name a line, the line number from 0 is the index. A JSON file has a list
    of names, or an object name -> index, or an object index -> name.

    Raises:
        DatasetNotFoundError: the file does not exist.
        DatasetError: no name, a name twice, or indices with gaps.
    """
    if not isinstance(labels, str | Path):
        return ClassList(_checked(tuple(labels), "labels"), "labels")
    file = Path(labels)
    if not file.is_file():
        raise DatasetNotFoundError(f"{file}: no such file of class names")
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise DatasetError(f"{file}: the text is not UTF-8. Save the list in UTF-8") from None
    if file.suffix.lower() == ".json":
        names = _from_json(file, text)
    else:
        names = [line.strip() for line in text.split("\n") if line.strip()]
    return ClassList(_checked(tuple(names), str(file)), file.name)


def find_classes(folder: str | Path) -> ClassList | None:
    """The class list beside the clips (`labels.txt`, ...), or None."""
    for name in CLASS_FILES:
        if (Path(folder) / name).is_file():
            return read_classes(Path(folder) / name)
    return None


def natural_order(labels: Sequence[str]) -> tuple[str, ...]:
    """The class order without a class list: numbers by value, else text by code point."""
    distinct = set(labels)
    if all(map(_is_number, distinct)):
        return tuple(sorted(distinct, key=lambda label: (exact(label), label)))
    return tuple(sorted(distinct))


def tidy(labels: Sequence[str | None], classes: ClassList | None) -> list[str | None]:
    """Labels of a list without what table programs make of them.

    Where all labels are numbers, "3.0", "+3" and "3.00e+00" are 3, because one empty cell in a
    column is enough for such programs to write all of them with decimals, and words such as "null"
    are missing labels. Names of `classes` stay as they are.
    """
    known = set(classes.names) if classes else set()
    given = {label for label in labels if label is not None}
    free = [label for label in given - known if label.strip().lower() not in _GAPS]
    if not free or not all(map(_is_number, free)):
        return list(labels)
    to: dict[str | None, str | None] = {label: label for label in (*given, None)}
    for label in given - known:
        whole = _WHOLE.fullmatch(label)
        if label.strip().lower() in _GAPS:
            to[label] = None
        elif whole:
            # "01" stays: numbers with leading zeros are names.
            digits = whole[1].removeprefix("+")
            to[label] = "0" if digits == "-0" else digits
        elif _POWER.fullmatch(label) and exact(label).denominator == 1:
            to[label] = str(exact(label))
    return [to[label] for label in labels]


def doubtful(names: Sequence[str]) -> list[str]:
    """Names that programs write for a missing label."""
    return [name for name in names if name.strip().lower() in _DOUBTFUL]


def near_equal(names: Sequence[str]) -> list[tuple[str, ...]]:
    """Names that differ only in case, blanks, hyphens, underscores or the form of their letters."""
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(_key(name), []).append(name)
    return [tuple(group) for group in groups.values() if len(group) > 1]


def _key(name: str) -> str:
    if _is_number(name):
        return str(exact(name))
    plain = unicodedata.normalize("NFKC", name).casefold()
    return re.sub(r"[\s_-]+", "", plain) or plain


def number_labels(labels: Sequence[str], classes: ClassList) -> list[int | None]:
    """The index of each label; None for one that is not in the list.

    Labels are names. Where no label is a name and all are whole numbers, they are indices
    from 0.
    """
    index = {name: i for i, name in enumerate(classes.names)}
    found = [index.get(label) for label in labels]
    if all(i is None for i in found) and all(map(is_count, labels)):
        found = [int(label) if int(label) < len(classes.names) else None for label in labels]
    return found


def explain_label(label: str, classes: ClassList) -> str:
    """Why a label was refused: the list's name, its size, and the nearest name in it."""
    if is_count(label):
        return (
            f"label {label} is not in the class list {classes.source}, which has "
            f"{len(classes.names)} classes (0 to {len(classes.names) - 1})"
        )
    near = difflib.get_close_matches(label, classes.names, n=1, cutoff=0.6)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    shown = ", ".join(classes.names[:12]) + (", ..." if len(classes.names) > 12 else "")
    return f"label {label!r} is not in the class list {classes.source} ({shown}).{hint}"


def _is_number(text: str) -> bool:
    try:
        exact(text)
    except ValueError:
        return False
    return True


def _from_json(file: Path, text: str) -> list[str]:
    try:
        data = decode_json(text)
    except ValueError as error:
        row = f", row {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        raise DatasetError(f"{file}{row}: this is not JSON ({error})") from None
    if isinstance(data, list):
        odd = next((n for n in data if not isinstance(n, str | int) or isinstance(n, bool)), None)
        if odd is not None or None in data:
            raise DatasetError(f"{file}: {str(odd)[:60]!r} in the list is no class name")
        return [str(name) for name in data]
    if isinstance(data, dict) and data:
        keys, values = [str(k) for k in data], [str(v) for v in data.values()]
        for names, numbers in ((keys, values), (values, keys)):
            if all(map(is_count, numbers)):
                by_index = dict(zip(map(int, numbers), names, strict=True))
                if sorted(by_index) == list(range(len(numbers))):
                    return [by_index[i] for i in range(len(numbers))]
    raise DatasetError(
        f"{file}: expected a list of class names, or an object of names and indices 0 to n - 1"
    )


def _checked(names: tuple[str, ...], where: str) -> tuple[str, ...]:
    if not names:
        raise DatasetError(f"{where}: no class name. Write one name a line")
    if len(names) > MOST_CLASSES:
        raise DatasetError(f"{where}: {len(names)} classes; at most {MOST_CLASSES} are possible")
    if len(set(names)) != len(names):
        twice = next(name for i, name in enumerate(names) if name in names[:i])
        raise DatasetError(f"{where}: class {shown(twice)!r} stands in the list twice")
    return names
