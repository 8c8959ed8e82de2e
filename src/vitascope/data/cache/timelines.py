"""What `check` learnt of each file, kept on disk, so that no file is read twice for its times.

One small file a video in the user's cache folder ($VITASCOPE_CACHE, else the system's usual
place), found by the video's absolute path and valid as long as its size and the time of its last
change stay the same.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import zipfile
from fractions import Fraction
from pathlib import Path

import numpy as np

from vitascope.data.atomic import write_atomically
from vitascope.data.decoders.timeline import Timeline
from vitascope.files import cache_folder

_FORMAT = 1


def entry(path: str | Path, folder: str | Path | None = None) -> Path:
    """The file that holds the timeline of a video, whether it exists or not."""
    name = hashlib.sha256(os.fsencode(os.path.abspath(path))).hexdigest()[:32]
    return Path(folder or cache_folder("index")) / name[:2] / f"{name[2:]}.npz"


def store(path: str | Path, timeline: Timeline, folder: str | Path | None = None) -> bool:
    """Keeps the timeline of a video; False where the cache cannot be written."""
    state = os.stat(path)
    about = {
        "format": _FORMAT,
        "path": os.path.abspath(path),
        "bytes": state.st_size,
        "changed": state.st_mtime_ns,
        "time_base": str(timeline.time_base),
        "last": timeline.last,
        "how": timeline.how,
        "faults": timeline.faults,
        "size": timeline.size,
    }
    buffer = io.BytesIO()
    np.savez(
        buffer,
        about=np.frombuffer(json.dumps(about).encode(), np.uint8),
        pts=timeline.pts,
        key_pts=timeline.key_pts,
        key_dts=timeline.key_dts,
    )
    target = entry(path, folder)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(target, [buffer.getvalue()])
    except OSError:
        return False
    return True


def lookup(path: str | Path, folder: str | Path | None = None) -> Timeline | None:
    """The timeline of a video; None if it is not known or the file has changed since."""
    try:
        state = os.stat(path)
        with open(entry(path, folder), "rb") as file, np.load(file, allow_pickle=False) as held:
            about = json.loads(held["about"].tobytes())
            expected = (_FORMAT, state.st_size, state.st_mtime_ns, os.path.abspath(path))
            if tuple(about[k] for k in ("format", "bytes", "changed", "path")) != expected:
                return None
            return Timeline(
                time_base=Fraction(about["time_base"]),
                pts=held["pts"],
                last=about["last"],
                key_pts=held["key_pts"],
                key_dts=held["key_dts"],
                how=about["how"],
                faults=tuple((first, stop) for first, stop in about["faults"]),
                size=None if about["size"] is None else (about["size"][0], about["size"][1]),
            )
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None  # absent, of another version, or cut: the file itself is read instead
