"""Whether a file is still the one that was read.

Size and time of change are not enough: programs that copy, unpack or synchronise files set both.
The system keeps a time of its own, which no program sets, and a number for each file. Where these
are as they were, nothing was written since; where they are not (after a copy to another disk, a
change of rights) the content decides, read once and compared as a whole.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator

from vitascope.data.shards.remote import parse_part

_AT_ONCE = 1 << 20


def state(path: str) -> str:
    """What the system notes of a file, a folder of frames, or the shard of a part.

    Empty for an address: what is stored there is taken to stay as it is.
    """
    part = parse_part(path)
    try:
        if part is None and os.path.isdir(path):
            with os.scandir(path) as entries:
                found = sorted((e.name, _own(e.stat())) for e in entries)
        else:
            found = [("", _own(os.stat(path if part is None else part.shard)))]
    except OSError:
        return ""
    return hashlib.sha256(repr(found).encode()).hexdigest()[:32]


def content(path: str) -> str:
    """A checksum over all bytes of a file, of a part of a shard, or of the files of a folder.

    Empty for an address, and for what cannot be read.
    """
    total = hashlib.blake2b(digest_size=16)
    try:
        for block in _blocks(path):
            total.update(block)
    except OSError:
        return ""
    return total.hexdigest()


def _own(state: os.stat_result) -> tuple[int, int]:
    return state.st_ctime_ns, state.st_ino


def _blocks(path: str) -> Iterator[bytes]:
    part = parse_part(path)
    if part is not None:
        yield part.read()
        return
    names = [path]
    if os.path.isdir(path):
        with os.scandir(path) as entries:
            names = sorted(entry.path for entry in entries if entry.is_file())
    for name in names:
        yield os.fsencode(os.path.basename(name)) + b"\0" if name != path else b""
        with open(name, "rb") as file:
            while block := file.read(_AT_ONCE):
                yield block
