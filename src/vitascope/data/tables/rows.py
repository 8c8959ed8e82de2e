"""Lists of videos: CSV, TSV, JSON, JSON lines, and the `path label` lines of older libraries.

This file turns text into rows and knows nothing of folders, classes or splits; `records` gives
the rows their meaning. A row number is the line in the file as an editor shows it.
"""

from __future__ import annotations

import csv
import difflib
import json
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any

from vitascope.data.listing import PATH_THEN_REST, has_video_suffix
from vitascope.errors import DatasetError
from vitascope.text import decode_json, exact, shown, unescape

LONGEST = 10**9
"""Seconds (thirty years) above which a time is taken for a mistake."""

ESCAPED = "# names: escaped"
"""The line that says that `text.unescape` gives the names of a list back."""

# What programs write where a table has a gap; these are never names.
_GAPS = frozenset({"nan", "-nan", "<na>", "nat"})

LIST_SUFFIXES = frozenset({".csv", ".tsv", ".txt", ".list", ".lst", ".jsonl", ".ndjson", ".json"})

COLUMNS = {
    "path": "path file filename file_name filepath file_path video video_path clip clip_path",
    "label": "label class class_name classname category target action label_name",
    "split": "split set subset partition",
    "start": "start start_s start_sec start_time time_start t_start begin",
    "end": "end end_s end_sec end_time time_end t_end stop",
    "group": "group source subject person signer actor speaker",
}
_FIELD = {name: field for field, names in COLUMNS.items() for name in names.split()}
# Facts that other tools write beside the path; they say nothing that a list needs to say.
_FACTS = frozenset(
    "index id fps frames num_frames n_frames width height duration length bytes codec".split()
)
_NO_HEADER = {
    1: ("path",),
    2: ("path", "label"),
    3: ("path", "label", "split"),
    4: ("path", "label", "start", "end"),
    5: ("path", "label", "split", "start", "end"),
}


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a list, as text; times are exact seconds."""

    line: int
    path: str
    label: str | None = None
    split: str | None = None
    start: Fraction | None = None
    end: Fraction | None = None
    group: str | None = None


@dataclass(frozen=True)
class Rows:
    """The rows of one file.

    Attributes:
        name: name of the file without its folder, for messages.
        rows: the rows in their order.
        root: folder named by a first line `# root: FOLDER`, which `write_split` writes. A second
            line `# names: escaped` says that names are escaped, the root among them.
        ignored: columns that were left out, in their order.
        escaped: the file says so; its cells are then exactly what they are, "nan" is a name.
    """

    name: str
    rows: tuple[Row, ...]
    root: str | None = None
    ignored: tuple[str, ...] = ()
    escaped: bool = False


def read_rows(path: str | Path, ignore_columns: Iterable[str] = ()) -> Rows:
    """Reads a list of videos.

    The columns are those of a header, whose names may be any of `COLUMNS`; without a header they
    are `path,label[,split][,start,end]`. The separator is found from the content: comma, tab,
    semicolon, or blanks, where the label is what follows the path (paths may hold blanks). Blank
    lines and lines that begin with "# " are skipped. Columns whose name begins with "_" or is
    empty, plain facts such as `fps` and `width`, and `ignore_columns` are left out.

    Raises:
        DatasetError: no text, no row, an unknown or doubled column, a row that does not fit;
            with file and row.
    """
    file = Path(path)
    text = read_text(file)
    ignored = frozenset(ignore_columns)
    if file.suffix.lower() in (".jsonl", ".ndjson"):
        return _from_objects(file.name, _json_lines(file.name, text), ignored)
    if file.suffix.lower() == ".json":
        return _from_objects(file.name, _json_list(file.name, text), ignored)
    lines = [line.rstrip("\r") for line in text.split("\n")]
    root = next(
        (line[7:].strip() for line in lines[:1] if line.lower().startswith("# root:")), None
    )
    escaped = root is not None and lines[1:2] == [ESCAPED]
    if root is not None and escaped:
        root = unescape(root)
    kept = [(n, s) for n, s in enumerate(lines, 1) if s.strip() and not _is_comment(s)]
    if not kept:
        raise DatasetError(f"{file}: the list has no row. Write one video a line: path,label")
    del lines, text  # a list may have a million rows
    comma = "\t" if file.suffix.lower() == ".tsv" else _separator([s for _, s in kept[:100]])
    table = (
        _split_blanks(file.name, kept) if comma == " " else _split_fields(file.name, kept, comma)
    )
    if escaped:
        table = ((number, [unescape(field) for field in fields]) for number, fields in table)
    return _from_table(shown(file.name), table, ignored, root, escaped)


@lru_cache(maxsize=2**16)  # lists repeat their times, and a fraction is slow to read
def parse_seconds(text: str) -> Fraction:
    """Reads "12.5", "1:02.5", "0:01:02.5" or "1001/30" as exact seconds.

    Raises:
        ValueError: anything else, a time below 0, or one of more than thirty years.
    """
    parts = text.strip().split(":")
    if len(parts) > 3 or ("/" in text and len(parts) > 1):
        raise ValueError(text)
    total = Fraction(0)
    for part in parts:
        total = total * 60 + exact(part)
    if not 0 <= total <= LONGEST:
        raise ValueError(text)
    return total


def _is_comment(line: str) -> bool:
    return line == "#" or line.startswith("# ")


def read_text(file: Path) -> str:
    """The text of a list in UTF-8, or in UTF-16 with its mark; a mark is left out.

    Raises:
        DatasetError: it is a video, or no text.
    """
    if has_video_suffix(file.name):
        raise DatasetError(
            f"{file}: this is a video, not a list or a folder of videos. Give the folder that "
            f"holds one folder a class, or a list with rows path,label"
        )
    kind = file.stat().st_mode
    if not (stat.S_ISREG(kind) or stat.S_ISFIFO(kind)):  # a device may never end
        raise DatasetError(f"{file}: this is not a file of text")
    raw = file.read_bytes()
    try:
        if raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
            return raw.decode("utf-16")
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        row = raw[: error.start].count(b"\n") + 1
        raise DatasetError(
            f"{file}, row {row}: the text is not UTF-8. Save the list in UTF-8"
        ) from None
    if "\0" in text:
        raise DatasetError(f"{file}: this is not a text file (it holds zero bytes)")
    return text


def _separator(lines: Sequence[str]) -> str:
    """The separator under which the lines look most like a list of paths."""
    constant = []
    for mark in (",", "\t", ";"):
        try:
            rows = list(csv.reader(lines, delimiter=mark, skipinitialspace=True, strict=True))
        except csv.Error:
            continue
        if len({len(row) for row in rows}) != 1 or len(rows[0]) < 2:
            continue
        if _is_header(rows[0]):
            return mark
        if any(has_video_suffix(field) for field in rows[-1]):
            return mark
        constant.append(mark)
    blanks = [PATH_THEN_REST.match(line.strip()) for line in lines]
    if blanks[-1] is not None:  # "my, dir/v 1.mp4 0": the comma belongs to the path
        # ... unless single rows of a list with commas are malformed, which is told by row later.
        most = sum(any(has_video_suffix(f) for f in line.split(",")[:-1]) for line in lines)
        return "," if most * 2 > len(lines) else " "
    if constant:
        return constant[0]
    with_comma = sum("," in line for line in lines)
    return "," if with_comma * 2 > len(lines) else " "


def _is_header(fields: Sequence[str]) -> bool:
    names = [field.strip().lower() for field in fields]
    return any(_FIELD.get(name) == "path" for name in names) and not any(
        has_video_suffix(name) for name in names
    )


def _split_blanks(name: str, lines: Sequence[tuple[int, str]]) -> Iterator[tuple[int, list[str]]]:
    for number, line in lines:
        text = line.strip()
        match = PATH_THEN_REST.match(text)
        if number == lines[0][0] and _is_header(text.split()):
            yield number, text.split()
            continue
        if match is None:  # a folder of frames: the label is the last word
            yield number, text.rsplit(maxsplit=1)
            continue
        path, rest = match.groups()
        words = (rest or "").split()
        if len(words) > 1 and all(word.lstrip("-").isdigit() for word in words):
            raise DatasetError(
                f"{name}, row {number}: {len(words)} numbers after the path ({rest}); one label a "
                f"video is expected"
            )
        yield number, [path, rest] if words else [path]


def _split_fields(
    name: str, lines: Sequence[tuple[int, str]], comma: str
) -> Iterator[tuple[int, list[str]]]:
    # Lines were numbered before blank ones left; a quoted field may run over several of them.
    reader = csv.reader((f"{s}\n" for _, s in lines), delimiter=comma, strict=True,
                        skipinitialspace=True)  # fmt: skip
    first = 0
    while True:
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise DatasetError(
                f"{name}, row {lines[min(first, len(lines) - 1)][0]}: {error}. "
                f"Look for a quotation mark that is not closed"
            ) from None
        raw = "\n".join(text for _, text in lines[first : reader.line_num])
        yield lines[first][0], [_field(field, raw) for field in fields]
        first = reader.line_num


def _field(field: str, raw: str) -> str:
    """A field without the blanks around it, unless they stand in quotation marks."""
    plain = field.strip()
    if plain == field or '"{}"'.format(field.replace('"', '""')) in raw:
        return field
    return plain


def _json_lines(name: str, text: str) -> Iterator[tuple[int, Any]]:
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            yield number, _json(name, line, number)


def _json_list(name: str, text: str) -> Iterator[tuple[int, Any]]:
    data = _json(name, text, None)
    if not isinstance(data, list):
        raise DatasetError(
            f"{name}: expected a JSON list of objects with the keys path and label, got "
            f"{'an object' if isinstance(data, dict) else type(data).__name__}"
        )
    yield from enumerate(data, 1)


def _json(name: str, text: str, row: int | None) -> Any:
    try:
        # Decimals stay as they are written: exact times, and labels such as 3.0.
        return decode_json(text, parse_float=str)
    except json.JSONDecodeError as error:
        line = row if row is not None else error.lineno
        raise DatasetError(
            f"{name}, row {line}: this is not JSON ({error.msg} at column {error.colno})"
        ) from None
    except ValueError as error:
        where = name if row is None else f"{name}, row {row}"
        raise DatasetError(f"{where}: this is not JSON ({error})") from None


def _from_objects(name: str, objects: Iterator[tuple[int, Any]], ignored: frozenset[str]) -> Rows:
    rows, left_out = [], {}
    for number, item in objects:
        if not isinstance(item, dict):
            raise DatasetError(f"{name}, row {number}: expected an object, such as "
                               f'{{"path": "a/1.mp4", "label": "a"}}')  # fmt: skip
        fields = _columns(name, number, list(item), ignored)
        left_out.update(dict.fromkeys(k for k, f in zip(item, fields, strict=True) if f is None))
        values = {}
        for field, (key, value) in zip(fields, item.items(), strict=True):
            if field is None or value is None:
                continue
            if isinstance(value, bool | list | dict):
                said = repr(value) if isinstance(value, bool) else f"a {type(value).__name__}"
                raise DatasetError(f"{name}, row {number}: {shown(key)[:60]} = {said}; expected "
                                   f"one text or number")  # fmt: skip
            values[field] = str(value)
        rows.append(_row(name, number, values))
    if not rows:
        raise DatasetError(f"{name}: the list has no row")
    return Rows(name, tuple(rows), ignored=tuple(left_out))


def _from_table(
    name: str, table: Iterable[tuple[int, list[str]]], ignored: frozenset[str], root: str | None,
    escaped: bool,
) -> Rows:  # fmt: skip
    rows: list[Row] = []
    columns: tuple[str | None, ...] | None = None
    header: list[str] = []
    for number, fields in table:
        if columns is None and _is_header(fields):
            columns, header = _columns(name, number, fields, ignored), fields
            continue
        if columns is None:
            columns = _guessed(name, number, fields)
        if len(fields) != len(columns):
            raise _wrong_count(name, number, fields, columns)
        pairs = zip(columns, fields, strict=True)
        values = {f: v for f, v in pairs if f is not None and v != ""}
        rows.append(_row(name, number, values, gaps=not escaped))
    if not rows:
        raise DatasetError(f"{name}: the list has a header and no row")
    left_out = [h for h, c in zip(header, columns or (), strict=False) if c is None and h]
    return Rows(name, tuple(rows), root, tuple(left_out), escaped)


def _guessed(name: str, number: int, fields: list[str]) -> tuple[str | None, ...]:
    if len(fields) not in _NO_HEADER:
        raise DatasetError(
            f"{name}, row {number}: {len(fields)} fields and no header. Without a header the "
            f"columns are path,label[,split][,start,end]; for others begin with a header"
        )
    if len(fields) > 1 and has_video_suffix(fields[1]) and not has_video_suffix(fields[0]):
        raise DatasetError(
            f"{name}, row {number}: the path stands in column 2. Without a header the columns are "
            f"path,label; for another order begin with a header such as label,path"
        )
    if len(fields) == 4 and not _is_time(fields[2]):
        raise DatasetError(
            f"{name}, row {number}: 4 fields and no header are path,label,start,end, but "
            f"{fields[2]!r} is no time in seconds. Begin the list with a header"
        )
    return _NO_HEADER[len(fields)]


def _is_time(text: str) -> bool:
    try:
        parse_seconds(text)
    except (ValueError, ZeroDivisionError):
        return False
    return True


def _wrong_count(
    name: str, number: int, fields: list[str], columns: Sequence[str | None]
) -> DatasetError:
    want = ",".join(column or "(ignored)" for column in columns)
    hint = "quote fields that hold the separator" if len(fields) > len(columns) else (
        "the row is cut short, or another separator is used here"
    )  # fmt: skip
    return DatasetError(
        f"{name}, row {number}: {len(fields)} field{'s' * (len(fields) != 1)} where the list has "
        f"{len(columns)} ({want}); {hint}"
    )


def _columns(
    name: str, number: int, header: Sequence[str], ignored: frozenset[str]
) -> tuple[str | None, ...]:
    columns: list[str | None] = []
    for title in header:
        key = title.strip().lower()
        field = _FIELD.get(key)
        left_out = title in ignored or key in _FACTS or key[:1] in ("", "_") or "unnamed:" in key
        if left_out:
            field = None
        elif field is None:
            near = difflib.get_close_matches(key, _FIELD, n=1, cutoff=0.75)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise DatasetError(
                f"{name}, row {number}: unknown column {title!r}.{hint} Known: {', '.join(COLUMNS)}"
                f" (and other names for them). To keep a column that is of no use here, begin its "
                f"name with '_'"
            )
        elif field in columns:
            raise DatasetError(f"{name}, row {number}: two columns give the {field}")
        columns.append(field)
    if "path" not in columns:
        raise DatasetError(f"{name}, row {number}: no column 'path'")
    return tuple(columns)


def is_gap(text: str) -> bool:
    """Whether a cell is what programs write for one that is empty, such as "nan"."""
    return text.strip().lower() in _GAPS


def _row(name: str, number: int, values: dict[str, str], gaps: bool = True) -> Row:
    where = f"{name}, row {number}"
    path = values.pop("path", "")
    if not path:
        raise DatasetError(f"{where}: the path is empty")
    values = {f: text for f, text in values.items() if not (gaps and is_gap(text))}
    for field, text in {"path": path, **values}.items():
        _check_name(where, field, text)
    times: dict[str, Fraction | None] = {"start": None, "end": None}
    for key in times:
        if key in values:
            try:
                times[key] = parse_seconds(values[key])
            except (ValueError, ZeroDivisionError):
                raise DatasetError(
                    f"{where}: {key} = {shown(values[key][:60])!r} is no time; write seconds such "
                    f"as 12.5"
                ) from None
    start, end = times["start"], times["end"]
    if end is not None and end <= (start or 0):
        raise DatasetError(f"{where}: the clip ends at {end} s and starts at {start or 0} s")
    return Row(
        number, path, values.get("label"), values.get("split"), start, end, values.get("group")
    )


def _check_name(where: str, field: str, text: str) -> None:
    """Refuses what no file and no folder can be called."""
    try:
        usable = len(text.encode("utf-8", "surrogateescape")) <= 4096 and "\0" not in text
    except UnicodeEncodeError:  # half of a character, as JSON can write it
        usable = False
    if not usable:
        raise DatasetError(
            f"{where}: the {field} {shown(text[:60])!r} cannot be a name (a zero byte, half a "
            f"character, or {len(text)} letters)"
        )
