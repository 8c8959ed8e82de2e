"""Videos in tar shards (the layout of WebDataset), on a disk or in an object store.

An index says where in which shard each video lies, so a sample is fetched by its range of bytes
and is a record like any other (`remote.Part` names it). Order, split over ranks and workers,
resume and bad files are therefore those of every data set, exactly: a stream of whole shards, as
the package webdataset reads them, has no sample numbers to resume at, and ranks with shards of
unequal size wait for each other. Videos are large enough that a request for each costs little.

Shards of other programs have no index; it is made by walking through their headers.
"""

from __future__ import annotations

import json
import os
import re
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from itertools import groupby
from typing import Any

from vitascope.data.listing import has_video_suffix, is_remote
from vitascope.data.records import Table, VideoRecord
from vitascope.data.shards.remote import Part, file_system, parse_part
from vitascope.errors import DatasetError, DatasetNotFoundError

INDEX = "index.json"
FORMAT = "vitascope shards 1"

_BRACES = re.compile(r"\{(\d+)\.\.(\d+)\}")
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
    """The names that a pattern stands for: `{000..999}` counts with leading zeros."""
    match = _BRACES.search(pattern)
    if match is None:
        return [pattern]
    first, last = match.groups()
    width = len(first)
    return [
        name
        for number in range(int(first), int(last) + 1)
        for name in expand(f"{pattern[: match.start()]}{number:0{width}d}{pattern[match.end() :]}")
    ]


def read_shards(data: str, classes: Sequence[str] | None = None) -> Table:
    """The videos of shards as a table, shard after shard.

    Args:
        data: folder or address that `write_shards` wrote to; or a tar, or a pattern of tars such
            as `s3://bucket/train-{000000..000146}.tar`.
        classes: class names by number; None takes those that the index or the samples give, else
            the numbers. An index has names already, which must be these.

    Raises:
        DatasetNotFoundError: there is no index and no such tar.
        DatasetError: an index of another kind, a broken tar, or a sample without a video.
        MissingExtraError: the storage needs a package that is not installed.
    """
    if data.endswith(".tar"):
        return _from_headers(expand(data), classes)
    data = data.rstrip("/")
    try:
        index = json.loads(_read_text(f"{data}/{INDEX}"))
    except ValueError as error:
        raise DatasetError(
            f"{data}/{INDEX}: is no JSON ({error}). Write the shards again"
        ) from None
    if not isinstance(index, dict) or index.get("format") != FORMAT:
        raise DatasetError(
            f"{data}/{INDEX}: is no index of shards of this version ({FORMAT!r} expected). "
            f"Write the shards again with `vitascope data shard`, or name the .tar files"
        )
    if classes is not None and list(classes) != index["classes"]:
        raise DatasetError(
            f"{data}: its {len(index['classes'])} classes are not the {len(classes)} that are "
            f"given, in this order. Leave the class list out, or write the shards with it"
        )
    names = [f"{data}/{shard['name']}" for shard in index["shards"]]
    splits = [shard["split"] for shard in index["shards"]]
    records = tuple(
        VideoRecord(
            str(Part(names[shard], member, offset, size)), label, splits[shard],
            _time(start), _time(end), where, group,
        )
        for shard, member, offset, size, label, start, end, where, group in index["rows"]
    )  # fmt: skip
    note = f"{len(records)} videos in {len(names)} shards"
    return Table(records, tuple(index["classes"]), data, "tar shards", (note,))


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
    given = {int(label): str(name) for _, label, name in samples if label is not None and name}
    numbers = [-1 if label is None else int(label) for _, label, _ in samples]
    count = max(numbers) + 1
    names = tuple(classes or (given.get(n, str(n)) for n in range(count)))
    if len(names) < count:
        raise DatasetError(f"{shards[0]}: label {count - 1}, and only {len(names)} class names")
    records = tuple(
        VideoRecord(str(part), label, where=f"{part.shard}, {part.member}")
        for part, label, _ in samples
    )
    root = shards[0].rpartition("/")[0]
    return Table(records, names, root, "tar shards", (f"no index: {len(shards)} tars were read",))


def _walk(shard: str) -> list[tuple[Part, int | None, str | None]]:
    """The video, label and class name of each sample of a tar."""
    try:
        storage, path = file_system(shard)
        with (
            storage.open(path, "rb", block_size=_HEADERS) as file,
            tarfile.open(fileobj=file, mode="r:") as tar,
        ):
            return [sample for sample in _samples(shard, tar)]
    except FileNotFoundError:
        raise DatasetNotFoundError(f"{shard}: no such shard. Check the address") from None
    except (tarfile.TarError, EOFError) as error:
        raise DatasetError(
            f"{shard}: is no whole uncompressed tar ({error}). Write or fetch it again"
        ) from error


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
                    raise DatasetError(f"{shard}: sample {key!r} has two videos")
                part = Part(shard, member.name, member.offset_data, member.size)
            elif suffix in ("cls", "json"):
                label, name = _label(shard, member.name, suffix, tar, member, label, name)
        if part is not None:
            yield part, label, name


def _key(name: str) -> str:
    """What the files of one sample share: the path up to the first dot of the file name."""
    folder, slash, file = name.rpartition("/")
    return f"{folder}{slash}{file.partition('.')[0]}"


def _label(
    shard: str, where: str, suffix: str, tar: tarfile.TarFile, member: tarfile.TarInfo,
    label: int | None, name: str | None,
) -> tuple[int | None, str | None]:  # fmt: skip
    file = tar.extractfile(member)
    content = b"" if file is None else file.read()
    try:
        if suffix == "cls":
            return int(content), name
        facts: Any = json.loads(content)
        if not isinstance(facts, dict):
            return label, name
        number = facts.get("label", label)
        return (None if number is None else int(number)), facts.get("class", name)
    except ValueError as error:
        raise DatasetError(f"{shard}: {where} is no label ({error})") from error


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


def _time(text: str | None) -> Fraction | None:
    return None if text is None else Fraction(text)
