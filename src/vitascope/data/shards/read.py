"""Videos in tar shards (the layout of WebDataset), on a disk or in an object store.

An index says where in which shard each video lies, so a sample is fetched by its range of bytes
and is a record like any other (`remote.Part` names it). Order, split over ranks and workers,
resume and bad files are therefore those of every data set, exactly: a stream of whole shards, as
the package webdataset reads them, has no sample numbers to resume at, and ranks with shards of
unequal size wait for each other. Videos are large enough that a request for each costs little.

Shards of other programs have no index; it is made by walking through their headers.
"""

from __future__ import annotations

import math
import os
import re
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from typing import Any

from vitascope.data.listing import has_video_suffix, is_remote
from vitascope.data.records import Table, VideoRecord
from vitascope.data.shards.remote import Part, file_system, parse_part
from vitascope.data.tables.classes import MOST_CLASSES, ClassList, explain_label
from vitascope.data.tables.rows import parse_seconds
from vitascope.errors import DatasetError, DatasetNotFoundError, VitascopeError
from vitascope.text import decode_json, shown

INDEX = "index.json"
FORMAT = "vitascope shards 1"
MOST_SHARDS = 100_000
"""Tars that one pattern may name."""

_BRACES = re.compile(r"\{(\d{1,18})\.\.(\d{1,18})\}", re.ASCII)
_NAME = re.compile(r"[^/\\:\x00]+\.tar")  # of a shard: a file beside the index and nothing else
_LABEL_BYTES = 2**20  # a member that says what a sample is; videos lie in others
_HEADERS = 2**16  # bytes asked for at once while walking through the headers of a remote shard


def is_shards(data: str) -> bool:
    """Whether a path or address means shards: a `.tar`, or a place that has their index."""
    if data.endswith(".tar") or is_remote(data):
        return True
    try:
        with open(os.path.join(data, INDEX), "rb") as file:
            return FORMAT.split()[0].encode() in file.read(64)
    except OSError:
        return False


def expand(pattern: str) -> list[str]:
    """The names that a pattern stands for: `{000..999}` counts with leading zeros.

    Raises:
        DatasetError: none, or more than `MOST_SHARDS`.
    """
    ranges = [(int(a), int(b)) for a, b in _BRACES.findall(pattern)]
    count = math.prod(max(last - first + 1, 0) for first, last in ranges)
    if not 0 < count <= MOST_SHARDS:
        raise DatasetError(
            f"{shown(pattern[:200])}: stands for {count} shards; 1 to {MOST_SHARDS} are possible"
        )
    return _expand(pattern)


def _expand(pattern: str) -> list[str]:
    match = _BRACES.search(pattern)
    if match is None:
        return [pattern]
    first, last = match.groups()
    width = len(first)
    before, after = pattern[: match.start()], pattern[match.end() :]
    rests = _expand(after)
    return [
        f"{before}{number:0{width}d}{rest}"
        for number in range(int(first), int(last) + 1)
        for rest in rests
    ]


def read_shards(data: str, classes: Sequence[str] | None = None, *, labeled: bool = True) -> Table:
    """The videos of shards as a table, shard after shard.

    Args:
        data: folder or address that `write_shards` wrote to; or a tar, or a pattern of tars such
            as `s3://bucket/train-{000000..000146}.tar`.
        classes: class names by number; None takes those that the index or the samples give, else
            the numbers. An index has names already, which must be these.
        labeled: whether every video needs a label.

    Raises:
        DatasetNotFoundError: there is no index and no such tar.
        DatasetError: an index of another kind or with rows that do not fit, a broken tar, no
            video, or videos without a label.
        MissingExtraError: the storage needs a package that is not installed.
    """
    if data.endswith(".tar"):
        table = _from_headers(expand(data), classes)
    else:
        table = _from_index(data.rstrip("/") or "/", classes)
    bare = [record for record in table.records if record.label is None]
    if bare and (labeled or len(bare) < len(table)):
        raise DatasetError(
            f"{shown(bare[0].path)}: no label; {len(bare)} of {len(table)} videos affected. Write "
            f"a .cls or a .json with a label beside each video"
        )
    return table


def _from_index(data: str, classes: Sequence[str] | None) -> Table:
    file = f"{data}/{INDEX}"
    try:
        index = decode_json(_read_text(file))
    except ValueError as error:
        raise DatasetError(f"{file}: is no JSON ({error}). Write the shards again") from None
    if not isinstance(index, dict) or index.get("format") != FORMAT:
        raise DatasetError(
            f"{file}: is no index of shards of this version ({FORMAT!r} expected). "
            f"Write the shards again with `vitascope data shard`, or name the .tar files"
        )
    names = _index_classes(file, index)
    if classes is not None and list(classes) != list(names):
        raise DatasetError(
            f"{data}: its {len(names)} classes are not the {len(classes)} that are "
            f"given, in this order. Leave the class list out, or write the shards with it"
        )
    shards = _index_shards(file, index)
    rows = index.get("rows")
    if not isinstance(rows, list) or not rows:
        raise DatasetError(f"{file}: has no rows. Write the shards again")
    records = []
    for number, row in enumerate(rows, 1):
        try:
            records.append(_index_row(row, data, shards, len(names)))
        except (ValueError, TypeError) as error:
            raise DatasetError(f"{file}, row {number}: {error}. Write the shards again") from None
    note = f"{len(records)} videos in {len(shards)} shards"
    return Table(tuple(records), names, data, "tar shards", (note,))


def _index_classes(file: str, index: dict[str, Any]) -> tuple[str, ...]:
    names = index.get("classes")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise DatasetError(f"{file}: its classes are no list of names. Write the shards again")
    if len(set(names)) < len(names) or len(names) > MOST_CLASSES:
        raise DatasetError(f"{file}: names a class twice, or more than {MOST_CLASSES} classes")
    return tuple(names)


def _index_shards(file: str, index: dict[str, Any]) -> list[tuple[str, str | None]]:
    """Name and split of each shard; a shard lies beside the index, wherever that is."""
    shards = index.get("shards")
    found = []
    for number, shard in enumerate(shards if isinstance(shards, list) else [], 1):
        name, split = (
            shard.get(key) if isinstance(shard, dict) else 0 for key in ("name", "split")
        )
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            said = shown(str(name)[:200])
            raise DatasetError(f"{file}, shard {number}: {said!r} is no name of a tar beside it")
        if not isinstance(split, str | None):
            raise DatasetError(f"{file}, shard {number}: its split is no text")
        found.append((name, split))
    if not found:
        raise DatasetError(f"{file}: names no shard. Write the shards again")
    return found


def _index_row(
    row: Any, data: str, shards: Sequence[tuple[str, str | None]], classes: int
) -> VideoRecord:
    """A row as a record.

    Raises:
        ValueError: it does not fit; the message says what.
    """
    if not isinstance(row, list) or len(row) != 9:
        raise ValueError("expected a list of 9 values")
    shard, member, offset, size, label, start, end, where, group = row
    for name, value, most in (
        ("shard", shard, len(shards) - 1),
        ("offset", offset, 2**62),
        ("size", size, 2**40),
        *([] if label is None else [("label", label, classes - 1)]),
    ):
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
            raise ValueError(f"{name} = {shown(str(value)[:40])}; a whole number from 0 to {most}")
    for name, value in (("member", member), ("where", where)):
        if not isinstance(value, str):
            raise ValueError(f"its {name} is no text")
    if not isinstance(group, str | None) or not all(
        isinstance(t, str | None) for t in (start, end)
    ):
        raise ValueError("its times or its group are no text")
    begin, stop = (None if t is None else parse_seconds(t) for t in (start, end))
    if stop is not None and stop <= (begin or 0):
        raise ValueError(f"the part ends at {stop} s and starts at {begin or 0} s")
    name, split = shards[shard]
    return VideoRecord(
        str(Part(f"{data}/{name}", member, offset, size)), label, split, begin, stop, where, group
    )


def shard_sizes(records: Iterable[VideoRecord]) -> list[int]:
    """Number of records of each shard, in their order; for `sampler.by_shard`.

    Raises:
        DatasetError: a record that does not lie in a shard.
    """

    def shard_of(record: VideoRecord) -> str:
        part = parse_part(record.path)
        if part is None:
            raise DatasetError(f"{record.path}: does not lie in a shard")
        return part.shard

    return [len(list(members)) for _, members in groupby(records, key=shard_of)]


def _from_headers(shards: list[str], classes: Sequence[str] | None) -> Table:
    with ThreadPoolExecutor(8) as pool:
        samples = [sample for found in pool.map(_walk, shards) for sample in found]
    if not samples:
        raise DatasetError(f"{shards[0]}: holds no video, nor do the other {len(shards) - 1} tars")
    names = tuple(classes or _names(samples))
    for part, label, _ in samples:
        if label is not None and label >= len(names):
            raise DatasetError(
                f"{part.shard}, {shown(part.member)}: "
                f"{explain_label(str(label), ClassList(names, 'that is given'))}"
            )
    records = tuple(
        VideoRecord(str(part), label, where=f"{part.shard}, {shown(part.member)}")
        for part, label, _ in samples
    )
    root = shards[0].rpartition("/")[0]
    return Table(records, names, root, "tar shards", (f"no index: {len(shards)} tars were read",))


def _names(samples: Sequence[tuple[Part, int | None, str | None]]) -> list[str]:
    """Class names by number: those that the samples give, else the numbers."""
    given: dict[int, str] = {}
    for part, label, name in samples:
        if label is not None and name and given.setdefault(label, name) != name:
            raise DatasetError(
                f"{part.shard}, {shown(part.member)}: label {label} is {shown(name)!r} here and "
                f"{shown(given[label])!r} elsewhere"
            )
    count = max((label for _, label, _ in samples if label is not None), default=-1) + 1
    names = [given.get(n, str(n)) for n in range(count)]
    if len(set(names)) < len(names):
        twice = next(name for i, name in enumerate(names) if name in names[:i])
        raise DatasetError(f"{samples[0][0].shard}: two labels are called {shown(twice)!r}")
    return names


def _walk(shard: str) -> list[tuple[Part, int | None, str | None]]:
    """The video, label and class name of each sample of a tar."""
    try:
        storage, path = file_system(shard)
        with (
            storage.open(path, "rb", block_size=_HEADERS) as file,
            tarfile.open(fileobj=file, mode="r:") as tar,
        ):
            return [sample for sample in _samples(shard, tar)]
    except VitascopeError:
        raise
    except FileNotFoundError:
        raise DatasetNotFoundError(f"{shown(shard)}: no such shard. Check the address") from None
    except (tarfile.TarError, EOFError, ValueError, OverflowError, KeyError) as error:
        raise DatasetError(
            f"{shown(shard)}: is no whole uncompressed tar ({error}). Write or fetch it again"
        ) from error
    except OSError as error:
        reason = error.strerror or error
        raise DatasetNotFoundError(f"{shown(shard)}: cannot be read ({reason})") from error


def _samples(shard: str, tar: tarfile.TarFile) -> Iterator[tuple[Part, int | None, str | None]]:
    members = (member for member in tar if member.isfile())
    for key, group in groupby(members, key=lambda member: _key(member.name)):
        part: Part | None = None
        label: int | None = None
        name: str | None = None
        for member in group:
            suffix = member.name[len(key) + 1 :].lower()
            if has_video_suffix(member.name):
                if part is not None:
                    raise DatasetError(f"{shard}: sample {shown(key)!r} has two videos")
                if member.issparse():
                    raise DatasetError(
                        f"{shard}: {shown(member.name)} is stored with holes (a sparse member), so "
                        f"it has no range of bytes. Write the tar again without --sparse"
                    )
                part = Part(shard, member.name, member.offset_data, member.size)
            elif suffix in ("cls", "json"):
                label, name = _label(shard, suffix, tar, member, label, name)
        if part is not None:
            yield part, label, name


def _key(name: str) -> str:
    """What the files of one sample share: the path up to the first dot of the file name."""
    folder, slash, file = name.rpartition("/")
    return f"{folder}{slash}{file.partition('.')[0]}"


def _label(
    shard: str, suffix: str, tar: tarfile.TarFile, member: tarfile.TarInfo,
    label: int | None, name: str | None,
) -> tuple[int | None, str | None]:  # fmt: skip
    try:
        if member.size > _LABEL_BYTES or member.issparse():
            raise ValueError(f"{member.size} bytes")
        file = tar.extractfile(member)
        content = b"" if file is None else file.read()
        if suffix == "cls":
            return _class_number(content.decode().strip()), name
        facts = decode_json(content)
        if not isinstance(facts, dict):
            return label, name
        number, said = facts.get("label"), facts.get("class")
        if not isinstance(said, str | None):
            raise ValueError(f"its class is a {type(said).__name__}")
        return (label if number is None else _class_number(number)), said or name
    except ValueError as error:
        raise DatasetError(
            f"{shard}: {shown(member.name)} is no label ({shown(str(error))})"
        ) from error


def _class_number(value: Any) -> int | None:
    """A label from a sample; -1 and nothing at all are none.

    Raises:
        ValueError: no whole number, or one that no model has an output for.
    """
    text = "" if isinstance(value, bool) else str(value)[:40].strip()
    if text in ("", "-1") and not isinstance(value, bool):
        return None
    whole = re.fullmatch(r"(\d{1,18})(\.0*)?", text, re.ASCII)
    if whole is None or int(whole[1]) >= MOST_CLASSES:
        raise ValueError(f"{str(value)[:40]!r}; a whole number from 0 to {MOST_CLASSES - 1}")
    return int(whole[1])


def _read_text(address: str) -> str:
    storage, path = file_system(address)
    try:
        return bytes(storage.cat_file(path)).decode()
    except FileNotFoundError:
        raise DatasetNotFoundError(
            f"{address}: no such file. Shards need their index; give the folder that "
            f"`vitascope data shard` wrote, or name the .tar files"
        ) from None
    except Exception as error:  # each kind of storage has errors of its own
        raise DatasetNotFoundError(f"{address}: cannot be read ({error})") from error
