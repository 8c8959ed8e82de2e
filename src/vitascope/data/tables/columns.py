"""Strict reading of published annotation files: tables with a header, and JSON documents."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

from vitascope.data.tables.rows import parse_seconds, read_text
from vitascope.errors import DatasetError, DatasetNotFoundError

Parser = Callable[[str], Any]


def read_columns(
    path: str | Path,
    columns: Mapping[str, Parser],
    *,
    aliases: Mapping[str, str] | None = None,
    optional: Mapping[str, Parser] | None = None,
) -> list[tuple[int, dict[str, Any]]]:
    """The rows of a table with a header, each as (line, {column: value}).

    The separator is a comma, a tab or a blank, whichever the header has; columns may come in any
    order, others than those asked for are passed over. Blank lines are skipped.

    Args:
        path: the file.
        columns: parser of each column that must be there; a ValueError of it names the row.
        aliases: other names of columns -> the name in `columns`.
        optional: parser of columns that may be absent.

    Raises:
        DatasetNotFoundError: there is no such file.
        DatasetError: no header, a missing column, a row cut short, or a value that does not parse.
    """
    file = existing(path)
    lines = [(n, s) for n, s in enumerate(read_text(file).split("\n"), 1) if s.strip()]
    if not lines:
        raise DatasetError(f"{file}: the file is empty; expected a header with {_say(columns)}")
    head = lines[0][1]
    mark = next((m for m in ",\t" if m in head), " ")
    rows = csv.reader((f"{text}\n" for _, text in lines), delimiter=mark, strict=True)
    names: list[str] = []
    found: list[tuple[int, dict[str, Any]]] = []
    begin = 0
    while begin < len(lines):
        line = lines[begin][0]
        try:
            fields = [field.strip() for field in next(rows)]
        except (csv.Error, StopIteration) as error:
            raise DatasetError(f"{file.name}, row {line}: {error}") from None
        begin = rows.line_num
        if not names:
            names = [(aliases or {}).get(name, name) for name in fields]
            absent = [name for name in columns if name not in names]
            if absent:
                raise DatasetError(
                    f"{file.name}, row {line}: no column {absent[0]!r} in the header "
                    f"({', '.join(fields)}). Expected: {_say(columns)}"
                )
            continue
        if len(fields) != len(names):
            raise DatasetError(
                f"{file.name}, row {line}: {len(fields)} fields, and the header has {len(names)} "
                f"({', '.join(names)})"
            )
        values = dict(zip(names, fields, strict=True))
        parsers = {**columns, **{k: p for k, p in (optional or {}).items() if k in values}}
        found.append((line, {k: _parse(file, line, k, values[k], p) for k, p in parsers.items()}))
    return found


def read_json_list(path: str | Path, kind: type) -> Any:
    """A JSON document whose outermost value is of `kind` (dict or list).

    Raises:
        DatasetNotFoundError: there is no such file.
        DatasetError: it is no JSON, or of another kind.
    """
    file = existing(path)
    try:
        data = json.loads(read_text(file))
    except json.JSONDecodeError as error:
        raise DatasetError(
            f"{file}, row {error.lineno}: this is not JSON ({error.msg} at column {error.colno})"
        ) from None
    if not isinstance(data, kind):
        want = "an object" if kind is dict else "a list"
        raise DatasetError(f"{file}: expected {want}, got {type(data).__name__}")
    return data


def existing(path: str | Path) -> Path:
    """The path, if there is a file.

    Raises:
        DatasetNotFoundError: there is none.
    """
    file = Path(path)
    if not file.is_file():
        raise DatasetNotFoundError(f"{file}: no such file")
    return file


def whole(text: str) -> int:
    """A whole number, 0 or more."""
    if not (text.isascii() and text.isdigit()):
        raise ValueError("a whole number")
    return int(text)


def text(value: str) -> str:
    """A text that is not empty."""
    if not value:
        raise ValueError("a text that is not empty")
    return value


def seconds(value: str) -> Fraction:
    """A time in seconds, or hours:minutes:seconds."""
    try:
        return parse_seconds(value)
    except (ValueError, ZeroDivisionError):
        raise ValueError("a time such as 12.5 or 00:00:12.50") from None


def _parse(file: Path, line: int, name: str, value: str, parser: Parser) -> Any:
    try:
        return parser(value)
    except ValueError as error:
        raise DatasetError(
            f"{file.name}, row {line}: {name} = {value!r}; expected {error}"
        ) from None


def _say(columns: Mapping[str, Parser]) -> str:
    return ", ".join(columns)
