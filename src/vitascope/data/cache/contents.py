"""What the frame cache holds, how large it may grow, and how it is emptied.

Only files that the cache wrote are counted or removed: they have its names and its mark at their
end. Links are never followed.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from vitascope.data.cache.frames import default_budget, free_bytes
from vitascope.data.cache.video import MARK, read_known
from vitascope.errors import RunError
from vitascope.files import locked, remove_unfinished

_FOLDER, _FILE = re.compile(r"[0-9a-f]{2}"), re.compile(r"[0-9a-f]{40}\.npy")
_SPLITS = frozenset({"train", "training", "val", "valid", "validation", "test", "testing"})


@dataclass(frozen=True, kw_only=True)
class CacheContents:
    """What a frame cache holds.

    Attributes:
        folder: where it lies.
        entries: videos, or parts of videos, at one size each.
        used: bytes on disk.
        limit: most bytes that a training without a limit of its own would use.
        free: free bytes of the disk.
        data: (folder of the videos, entries, bytes), the most bytes first.
    """

    folder: str
    entries: int
    used: int
    limit: int
    free: int
    data: tuple[tuple[str, int, int], ...]


@dataclass(frozen=True)
class _Entry:
    folder: Path
    name: str
    size: int
    home: str


def cache_contents(folder: str | Path) -> CacheContents:
    """Looks at a frame cache; one that is not there holds nothing.

    Raises:
        RunError: the folder cannot be read.
    """
    entries = list(_entries(Path(folder)))
    counts: Counter[str] = Counter(entry.home for entry in entries)
    sizes: Counter[str] = Counter()
    for entry in entries:
        sizes[entry.home] += entry.size
    used = sum(entry.size for entry in entries)
    return CacheContents(
        folder=os.fspath(folder),
        entries=len(entries),
        used=used,
        limit=default_budget(Path(folder), used),
        free=free_bytes(Path(folder)),
        data=tuple((home, counts[home], size) for home, size in sizes.most_common()),
    )


def empty_cache(folder: str | Path) -> tuple[int, int]:
    """Removes the entries of a frame cache; a training that uses it decodes again.

    Returns:
        (entries, bytes) that were removed.

    Raises:
        RunError: an entry cannot be removed.
    """
    place, removed, freed = Path(folder), 0, 0
    for entry in _entries(place):
        with _OpenFolder(entry.folder) as handle:
            try:
                # By the open folder: what stands at its path may be a link by now.
                os.unlink(entry.name, dir_fd=handle)
            except FileNotFoundError:
                continue  # another process was faster
            except OSError as error:
                raise _failed(entry.folder / entry.name, error) from None
        removed, freed = removed + 1, freed + entry.size
    for below in _folders(place):
        with suppress(OSError):  # of another user, or not empty
            remove_unfinished(below, older=3600.0)
            os.rmdir(below)
    _count_anew(place / ".used")
    return removed, freed


def _count_anew(ledger: Path) -> None:
    """Makes the next cache in the folder count what is there."""
    if ledger.is_symlink() or not ledger.is_file():
        return
    with suppress(OSError), locked(ledger), open(ledger, "r+b") as file:
        file.truncate(0)


def _folders(place: Path) -> Iterator[Path]:
    try:
        with os.scandir(place) as found:
            entries = sorted(found, key=lambda entry: entry.name)
    except FileNotFoundError:
        return
    except OSError as error:
        raise _failed(place, error) from None
    for entry in entries:
        if _FOLDER.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False):
            yield place / entry.name


def _entries(place: Path) -> Iterator[_Entry]:
    for folder in _folders(place):
        with _OpenFolder(folder) as handle:
            for name in sorted(os.listdir(handle)):
                if not _FILE.fullmatch(name) or name[:2] != folder.name:
                    continue
                with suppress(FileNotFoundError):  # removed meanwhile
                    found = _entry(folder, name, handle)
                    if found is not None:
                        yield found


def _entry(folder: Path, name: str, handle: int) -> _Entry | None:
    """A file of the cache; None for anything else under such a name."""
    try:
        file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=handle)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):  # a link, or a socket
            return None
        if error.errno == errno.ENOENT:
            raise
        raise _failed(folder / name, error) from None
    try:
        state = os.fstat(file)
        if not stat.S_ISREG(state.st_mode):
            return None
        if not os.pread(file, len(MARK), max(0, state.st_size - len(MARK))).startswith(MARK[:-2]):
            return None
        known = read_known(file)
    except OSError as error:
        raise _failed(folder / name, error) from None
    finally:
        os.close(file)
    # What an older version wrote is never read again, and can only be removed.
    home = "an older version" if known is None else _home(str(known["path"]))
    return _Entry(folder, name, state.st_size, home)


def _home(path: str) -> str:
    """The data set of a video: above the folder of its class and the one of its split."""
    home = os.path.dirname(os.path.dirname(path))
    return os.path.dirname(home) if os.path.basename(home).lower() in _SPLITS else home


class _OpenFolder:
    """An open folder that is no link."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __enter__(self) -> int:
        try:
            self.handle = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except OSError as error:
            raise _failed(self.folder, error) from None
        return self.handle

    def __exit__(self, *error: object) -> None:
        os.close(self.handle)


def _failed(path: Path, error: OSError) -> RunError:
    return RunError(f"{path}: {error.strerror}")
