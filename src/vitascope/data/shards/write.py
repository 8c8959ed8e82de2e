"""Writing a data set as tar shards (the layout of WebDataset), with an index.

A sample is `NUMBER.SUFFIX` (the video as it is), `NUMBER.cls` (its class) and `NUMBER.json` (label,
class name, labeled part, source). Where everything will lie is computed before anything is
written, so a shard that is already there can be told from one that has to be written again.
"""

from __future__ import annotations

import hashlib
import json
import os
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vitascope.data.limits import check_jobs
from vitascope.data.listing import is_remote
from vitascope.data.records import Table, VideoRecord
from vitascope.data.sampler import order
from vitascope.data.shards.read import FORMAT, INDEX
from vitascope.data.shards.remote import file_system, parse_part
from vitascope.errors import ConfigError, DatasetError, RunError
from vitascope.files import write_atomically

_BLOCK = 512  # bytes; headers and contents of a tar fill whole blocks
_RECORD = 20 * _BLOCK  # and a tar fills whole records
_CHUNK = 2**20
_SHARED = 48  # bytes that number and suffix may take of the 100 of a plain tar


@dataclass(frozen=True, kw_only=True)
class ShardReport:
    """What was written.

    Attributes:
        shards: number of shards.
        written: those that were written now; the others were there already.
        samples: number of videos.
        bytes: bytes of all shards.
        splits: split -> number of shards ("all" without splits).
    """

    shards: int
    written: int
    samples: int
    bytes: int
    splits: dict[str, int]


@dataclass(frozen=True)
class _Member:
    name: str
    content: bytes | str  # bytes, or the path of a file
    size: int


@dataclass(frozen=True)
class _Shard:
    name: str
    split: str | None
    members: tuple[_Member, ...]
    rows: tuple[tuple[Any, ...], ...]  # member, offset, size, label, start, end, where, group

    @property
    def bytes(self) -> int:
        blocks = sum(1 + -(-member.size // _BLOCK) for member in self.members) + 2
        return -(-blocks * _BLOCK // _RECORD) * _RECORD


def write_shards(
    table: Table,
    out: str | Path,
    *,
    shard_bytes: int = 500_000_000,
    shard_samples: int = 10_000,
    shuffle: bool = True,
    jobs: int = 4,
    progress: Callable[[int, int], None] | None = None,
) -> ShardReport:
    """Writes the videos of a table into shards, split by split, and the index of all.

    Called again after an interruption it writes only the shards that are missing or whose videos
    have changed since.

    Args:
        table: the data set; local video files.
        out: folder, or address that fsspec can write to.
        shard_bytes: a shard is closed when it has reached this size.
        shard_samples: or this number of videos.
        shuffle: mix the videos of a split before they are dealt out, always in the same way, so
            that a shard holds all classes.
        jobs: shards that are written at once.
        progress: called with shards done and shards in all.

    Raises:
        ConfigError: sizes below 1.
        DatasetError: a video that is missing, a folder of frames, or changes while it is read.
        RunError: the place cannot be written to.
    """
    if min(shard_bytes, shard_samples, jobs) < 1:
        raise ConfigError("shard_bytes, shard_samples and jobs must be at least 1")
    check_jobs(jobs)
    plan = [
        shard
        for split in table.splits or (None,)
        for shard in _plan(table, split, shard_bytes, shard_samples, shuffle)
    ]
    place = os.fspath(out).rstrip("/")
    if not is_remote(place):
        place = os.path.abspath(place)
        os.makedirs(place, exist_ok=True)
    written = 0
    with ThreadPoolExecutor(jobs) as pool:
        for done, new in enumerate(pool.map(lambda shard: _write(shard, place), plan), 1):
            written += new
            if progress is not None:
                progress(done, len(plan))
    index = {
        "format": FORMAT,
        "classes": table.classes,
        "shards": [
            {"name": s.name, "split": s.split, "samples": len(s.rows), "bytes": s.bytes}
            for s in plan
        ],
        "rows": [(number, *row) for number, shard in enumerate(plan) for row in shard.rows],
    }
    _put(f"{place}/{INDEX}", json.dumps(index).encode())
    splits = [s.split or "all" for s in plan]
    return ShardReport(
        shards=len(plan),
        written=written,
        samples=sum(len(s.rows) for s in plan),
        bytes=sum(s.bytes for s in plan),
        splits={split: splits.count(split) for split in dict.fromkeys(splits)},
    )


def _plan(
    table: Table, split: str | None, most_bytes: int, most_samples: int, shuffle: bool
) -> Iterator[_Shard]:
    records = table.of(split)
    members: list[_Member] = []
    rows: list[tuple[Any, ...]] = []
    offset = number = 0

    def shard() -> _Shard:
        return _Shard(f"{split or 'all'}-{number:06d}.tar", split, tuple(members), tuple(rows))

    for place, (index, _) in enumerate(order(0, 0, len(records), shuffle=shuffle)):
        record = records[index]
        video, *facts = _members(record, f"{place:09d}", table.classes)
        rows.append((
            video.name, offset + _BLOCK, video.size, record.label,
            *(None if t is None else str(t) for t in (record.start, record.end)),
            record.where, record.group,
        ))  # fmt: skip
        for member in (video, *facts):
            members.append(member)
            offset += _BLOCK * (1 + -(-member.size // _BLOCK))
        if offset >= most_bytes or len(rows) >= most_samples:
            yield shard()
            members, rows, offset, number = [], [], 0, number + 1
    if rows:
        yield shard()


def _members(record: VideoRecord, key: str, classes: Sequence[str]) -> list[_Member]:
    if os.path.isdir(record.path):
        raise DatasetError(
            f"{record.path}: a folder of frames cannot go into a shard. Make a video of it with "
            f"`vitascope data prepare`"
        )
    if is_remote(record.path) or parse_part(record.path) is not None:
        raise DatasetError(f"{record.path}: only local files can be written into shards")
    try:
        size = os.path.getsize(record.path)
    except OSError as error:
        raise DatasetError(f"{record.path} ({record.where}): {error.strerror}") from error
    suffix = os.path.splitext(record.path)[1].lower() or ".mp4"
    facts = {
        "label": record.label,
        "class": None if record.label is None else classes[record.label],
        "start": None if record.start is None else str(record.start),
        "end": None if record.end is None else str(record.end),
        "source": os.path.basename(record.path).encode(errors="replace").decode(),
    }
    found = [_Member(key + suffix[:_SHARED], record.path, size)]
    if record.label is not None:
        found.append(_member(f"{key}.cls", str(record.label)))
    return [*found, _member(f"{key}.json", json.dumps(facts))]


def _member(name: str, text: str) -> _Member:
    return _Member(name, text.encode(), len(text.encode()))


def _write(shard: _Shard, place: str) -> bool:
    """Writes a shard and, when it is complete, its list; False if both are there already."""
    target, about = f"{place}/{shard.name}", f"{place}/{shard.name}.json"
    mark = json.dumps({"made_of": _fingerprint(shard), "bytes": shard.bytes}).encode()
    storage, path = file_system(target)
    known = storage.exists(path) and storage.exists(file_system(about)[1])
    if (
        known
        and storage.size(path) == shard.bytes
        and storage.cat_file(file_system(about)[1]) == mark
    ):
        return False
    try:
        if is_remote(target):
            # Through a local file: an upload that breaks off must not leave half a shard.
            with tempfile.NamedTemporaryFile(prefix="vitascope-", suffix=".tar") as file:
                for chunk in _content(shard):
                    file.write(chunk)
                file.flush()
                storage.put_file(file.name, path)
        else:
            write_atomically(target, _content(shard))
    except OSError as error:
        raise RunError(f"{target}: cannot be written ({error.strerror or error})") from error
    _put(about, mark)
    return True


def _fingerprint(shard: _Shard) -> str:
    """Changes with the videos of a shard, their order and their labels."""
    digest = hashlib.sha256(json.dumps(shard.rows).encode())
    for member in shard.members:
        if isinstance(member.content, bytes):
            digest.update(member.content)
        else:
            state = os.stat(member.content)
            digest.update(json.dumps([member.content, state.st_size, state.st_mtime_ns]).encode())
    return digest.hexdigest()


def _content(shard: _Shard) -> Iterator[bytes]:
    """The bytes of the tar; the same videos always give the same bytes."""
    total = 0
    for member in shard.members:
        header = tarfile.TarInfo(member.name)
        header.size = member.size
        yield header.tobuf(tarfile.USTAR_FORMAT)
        size = 0
        for chunk in _chunks(member):
            size += len(chunk)
            yield chunk
        if size != member.size:
            raise DatasetError(
                f"{member.content!r} changed from {member.size} to {size} bytes while it was "
                f"read. Run the command again"
            )
        yield bytes(-size % _BLOCK)
        total += _BLOCK + size + -size % _BLOCK
    yield bytes(shard.bytes - total)


def _chunks(member: _Member) -> Iterator[bytes]:
    if isinstance(member.content, bytes):
        yield member.content
        return
    with open(member.content, "rb") as file:
        while chunk := file.read(_CHUNK):
            yield chunk


def _put(address: str, content: bytes) -> None:
    try:
        if is_remote(address):
            storage, path = file_system(address)
            storage.pipe_file(path, content)
        else:
            write_atomically(address, [content])
    except OSError as error:
        raise RunError(f"{address}: cannot be written ({error.strerror or error})") from error
