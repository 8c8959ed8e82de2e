"""Setup of stored files: a range of bytes of a local file or of an object behind an address.

A video inside a tar shard is named by its place, `SHARD.tar::MEMBER@OFFSET+SIZE`. Such a name
stands wherever the path of a video may stand; only the named bytes are fetched.
"""

from __future__ import annotations

import os
import re
import time
from dataclasses import dataclass
from typing import Any

from vitascope.data.listing import is_remote
from vitascope.errors import DecodeError, MissingExtraError
from vitascope.optional import install_command

TRIES = 4
FIRST_WAIT = 0.2  # seconds before the second try; doubled each time

# Packages that fsspec asks for, and the extra of this package that brings them.
EXTRAS = {"s3": "s3", "s3a": "s3"}

_PART = re.compile(
    r"(?s)(?P<shard>.+)::(?P<member>.+)@(?P<offset>\d{1,19})\+(?P<size>\d{1,15})", re.ASCII
)


@dataclass(frozen=True)
class Part:
    """Bytes `offset` to `offset + size` of a shard: one of its members."""

    shard: str
    member: str
    offset: int
    size: int

    def __str__(self) -> str:
        # A member may be called anything; what stands before the last "::" is taken for the shard.
        member = self.member.replace("::", "__")
        return f"{self.shard}::{member}@{self.offset}+{self.size}"

    def read(self) -> bytes:
        """The content of the member.

        Raises:
            DecodeError: it cannot be had, or the shard ends before it does.
        """
        return read_range(self.shard, self.offset, self.size, name=str(self))


def parse_part(path: str) -> Part | None:
    """The part of a shard that a path names; None for any other path."""
    match = _PART.fullmatch(path) if "::" in path else None
    if match is None:
        return None
    return Part(match["shard"], match["member"], int(match["offset"]), int(match["size"]))


def file_system(address: str) -> tuple[Any, str]:
    """The storage behind an address or local path (of fsspec), and the path there.

    Raises:
        MissingExtraError: the storage needs a package that is not installed.
    """
    import fsspec

    try:
        storage, path = fsspec.core.url_to_fs(address)
    except ImportError as error:
        extra = EXTRAS.get(address.partition(":")[0].lower())
        remedy = f"Run: {install_command(extra)}" if extra else str(error)
        raise MissingExtraError(f"{address} needs a package that is absent. {remedy}") from error
    return storage, str(path)


def read_range(address: str, offset: int, size: int, *, name: str = "") -> bytes:
    """Bytes of a local file or of an object.

    Storage that answers with an error, or with fewer bytes, is asked again up to `TRIES` times
    with growing waits, because object stores refuse single requests under load.

    Args:
        address: local path, or an address that fsspec knows.
        offset: first byte.
        size: number of bytes.
        name: what to call it in messages; empty takes the address.

    Raises:
        DecodeError: it is not there, may not be read, ends too early, or storage did not answer.
        MissingExtraError: the storage needs a package that is not installed.
    """
    name = name or address
    if not is_remote(address):
        try:
            with open(address, "rb") as file:
                _check_end(os.fstat(file.fileno()).st_size, offset, size, name)
                file.seek(offset)
                return _checked(file.read(size), size, name)
        except OSError as error:
            raise DecodeError(name, f"cannot be read ({error.strerror})") from error
    storage, path = file_system(address)
    wait, tries = FIRST_WAIT, 0
    while True:
        tries += 1
        try:
            data = bytes(storage.cat_file(path, start=offset, end=offset + size))
            return _checked(data, size, name)
        except (FileNotFoundError, PermissionError) as error:
            raise DecodeError(name, f"cannot be read ({_said(error)})") from error
        except DecodeError:  # too few bytes: the connection may have broken off
            if tries == TRIES:
                raise
        except Exception as error:  # each kind of storage has errors of its own
            if tries == TRIES:
                reason = f"cannot be read, tried {tries} times ({_said(error)})"
                raise DecodeError(name, reason) from error
        time.sleep(wait)
        wait *= 2


def _check_end(there: int, offset: int, size: int, name: str) -> None:
    """Refuses a range beyond the end before memory is taken for it."""
    if offset + size > there:
        came = max(there - offset, 0)
        reason = f"{came} bytes came instead of {size}: the shard ends before its member"
        raise DecodeError(name, reason)


def _checked(data: bytes, size: int, name: str) -> bytes:
    if len(data) != size:
        short = "the shard ends before its member" if len(data) < size else "no ranges are served"
        raise DecodeError(name, f"{len(data)} bytes came instead of {size}: {short}")
    return data


def _said(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__
