"""Files that are there whole or not at all."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable
from pathlib import Path


def write_atomically(path: str | Path, chunks: Iterable[bytes | memoryview]) -> int:
    """Writes a file under a temporary name beside `path` and renames it when it is complete.

    A reader sees the old file or the new one. When writing fails, nothing is left behind.

    Returns:
        Number of bytes written.

    Raises:
        OSError: the folder cannot be written to, or the disk is full.
    """
    path = Path(path)
    # The leading dot keeps a half-written file out of every listing of videos and lists.
    part = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.part")
    size = 0
    try:
        with open(part, "xb") as file:
            for chunk in chunks:
                file.write(chunk)
                size += len(chunk)
        os.replace(part, path)
    except BaseException:  # an interrupt, too, must not leave half a file
        part.unlink(missing_ok=True)
        raise
    return size
