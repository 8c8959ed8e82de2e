"""What `check` learnt of each file, kept on disk, so that no file is read twice for its times.

One small file a video in the user's cache folder ($VITASCOPE_CACHE, else the system's usual
place), found by the video's absolute path and valid as long as the video is the same: its size, its
time of change, and what `unchanged` tells. A checksum ends the file; one that does not fit is none.
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

from vitascope.data.decoders.timeline import Timeline
from vitascope.data.unchanged import content, state
from vitascope.files import cache_folder, write_atomically

_FORMAT = 2
_SUM = hashlib.sha256().digest_size


def entry(path: str | Path, folder: str | Path | None = None) -> Path:
    """The file that holds the timeline of a video, whether it exists or not."""
    name = hashlib.sha256(os.fsencode(os.path.abspath(path))).hexdigest()[:32]
    return Path(folder or cache_folder("index")) / name[:2] / f"{name[2:]}.npz"


def store(path: str | Path, timeline: Timeline, folder: str | Path | None = None) -> bool:
    """Keeps the timeline of a video; False where the cache cannot be written."""
    facts = os.stat(path)
    name = os.path.abspath(path)
    about = {
        "format": _FORMAT,
        "path": name,
        "bytes": facts.st_size,
        "changed": facts.st_mtime_ns,
        "state": state(name),
        "content": content(name),
        "time_base": str(timeline.time_base),
        "last": timeline.last,
        "how": timeline.how,
        "faults": timeline.faults,
        "size": timeline.size,
    }
    return _write(entry(path, folder), about, timeline)


def _write(target: Path, about: dict[str, object], timeline: Timeline) -> bool:
    buffer = io.BytesIO()
    np.savez(
        buffer,
        about=np.frombuffer(json.dumps(about).encode(), np.uint8),
        pts=timeline.pts,
        key_pts=timeline.key_pts,
        key_dts=timeline.key_dts,
    )
    held = buffer.getvalue()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(target, [held, hashlib.sha256(held).digest()])
    except OSError:
        return False
    return True


def lookup(path: str | Path, folder: str | Path | None = None) -> Timeline | None:
    """The timeline of a video; None if it is not known or the file has changed since."""
    name, target = os.path.abspath(path), entry(path, folder)
    try:
        facts = os.stat(path)
        whole = target.read_bytes()
        held = whole[:-_SUM]
        if hashlib.sha256(held).digest() != whole[-_SUM:]:
            return None
        with np.load(io.BytesIO(held), allow_pickle=False) as arrays:
            about = json.loads(arrays["about"].tobytes())
            expected = (_FORMAT, facts.st_size, facts.st_mtime_ns, name)
            if tuple(about[k] for k in ("format", "bytes", "changed", "path")) != expected:
                return None
            timeline = Timeline(
                time_base=Fraction(about["time_base"]),
                pts=arrays["pts"],
                last=about["last"],
                key_pts=arrays["key_pts"],
                key_dts=arrays["key_dts"],
                how=about["how"],
                faults=tuple((first, stop) for first, stop in about["faults"]),
                size=None if about["size"] is None else (about["size"][0], about["size"][1]),
            )
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile):
        return None  # absent, of another version, or damaged: the file itself is read instead
    now = state(name)
    if now != about["state"]:
        if content(name) != about["content"]:
            return None
        _write(target, about | {"state": now}, timeline)  # so that it is compared only once
    return timeline
