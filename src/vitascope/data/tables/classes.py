"""Classes of a data set: their order, and what a label in a list means."""

from __future__ import annotations

import difflib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vitascope.errors import DatasetError, DatasetNotFoundError

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
    text = file.read_text(encoding="utf-8-sig")
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
    """The class order without a class list: whole numbers by value, else text by code point."""
    distinct = set(labels)
    if all(_is_number(label) for label in distinct):
        return tuple(sorted(distinct, key=lambda label: (int(label), label)))
    return tuple(sorted(distinct))


def number_labels(labels: Sequence[str], classes: ClassList) -> list[int | None]:
    """The index of each label; None for one that is not in the list.

    Labels are names. Where no label is a name and all are whole numbers, they are indices
    from 0.
    """
    index = {name: i for i, name in enumerate(classes.names)}
    found = [index.get(label) for label in labels]
    if all(i is None for i in found) and all(_is_number(label) for label in labels):
        found = [int(label) if int(label) < len(classes.names) else None for label in labels]
    return found


def explain_label(label: str, classes: ClassList) -> str:
    """Why a label was refused: the list's name, its size, and the nearest name in it."""
    if _is_number(label):
        return (
            f"label {label} is not in the class list {classes.source}, which has "
            f"{len(classes.names)} classes (0 to {len(classes.names) - 1})"
        )
    near = difflib.get_close_matches(label, classes.names, n=1, cutoff=0.6)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    shown = ", ".join(classes.names[:12]) + (", ..." if len(classes.names) > 12 else "")
    return f"label {label!r} is not in the class list {classes.source} ({shown}).{hint}"


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _from_json(file: Path, text: str) -> list[str]:
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        raise DatasetError(f"{file}, row {error.lineno}: this is not JSON ({error.msg})") from None
    if isinstance(data, list):
        return [str(name) for name in data]
    if isinstance(data, dict) and data:
        keys, values = [str(k) for k in data], [str(v) for v in data.values()]
        for names, numbers in ((keys, values), (values, keys)):
            if all(map(_is_number, numbers)):
                by_index = dict(zip(map(int, numbers), names, strict=True))
                if sorted(by_index) == list(range(len(numbers))):
                    return [by_index[i] for i in range(len(numbers))]
    raise DatasetError(
        f"{file}: expected a list of class names, or an object of names and indices 0 to n - 1"
    )


def _checked(names: tuple[str, ...], where: str) -> tuple[str, ...]:
    if not names:
        raise DatasetError(f"{where}: no class name. Write one name a line")
    if len(set(names)) != len(names):
        twice = next(name for i, name in enumerate(names) if name in names[:i])
        raise DatasetError(f"{where}: class {twice!r} stands in the list twice")
    return names
