"""Device nodes of a test's own: a fault must not cost the machine its devices."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

MINORS = {"null": 3, "zero": 5, "full": 7}


def make_device(path: Path, kind: str = "null") -> Path:
    """A node like /dev/null, /dev/zero or /dev/full.

    Raises:
        OSError: this user or this container may not make one, or not open it.
    """
    os.mknod(path, 0o666 | stat.S_IFCHR, os.makedev(1, MINORS[kind]))
    path.open("rb").close()
    return path


def own_device(path: Path, kind: str = "null") -> Path:
    """The same; skips the test where there can be none."""
    try:
        return make_device(path, kind)
    except OSError as error:
        pytest.skip(f"device nodes cannot be made here ({error.strerror})")
