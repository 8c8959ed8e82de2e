"""Limits of the operating system, told apart from faults of files and of this package.

Too many open files, a small /dev/shm or a full disk hit whatever is done next. Each is named with
the setting that helps, and is never counted as an unreadable video.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator

from vitascope.errors import ConfigError, VitascopeError

MOST_PROCESSES = 1024
"""Processes or threads above this number are taken for a mistake."""

_FILES = (errno.EMFILE, errno.ENFILE)
_FULL = (errno.ENOSPC, errno.EDQUOT)
_FORKS = (errno.EAGAIN, errno.ENOMEM)


def full_disk(error: OSError) -> bool:
    """Whether there is no room to write, or writing is forbidden; trying another file is no use."""
    refused = errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.ENOTDIR, errno.EFBIG
    return error.errno in (*_FULL, *refused)


def too_many_files(error: BaseException) -> str | None:
    """What an error says if the process may open no further file; None for others."""
    if not any(
        getattr(one, "errno", None) in _FILES or "Too many open files" in _text(one)
        for one in _chain(error)
    ):
        return None
    return (
        "too many open files. Raise the limit (ulimit -n 4096), or use fewer processes "
        "(data.workers, --jobs)"
    )


def system_limit(error: BaseException) -> str | None:
    """What a limit of the system that an error comes from is, and what helps; None for others."""
    if (said := too_many_files(error)) is not None:
        return said
    for one in _chain(error):
        text = _text(one)
        if "shared memory" in text or (getattr(one, "errno", 0) in _FULL and "/dev/shm" in text):
            return shared_memory()
        if isinstance(one, MemoryError) or "can't allocate memory" in text:
            return (
                "out of memory. Use fewer processes (data.workers, --jobs) or smaller batches "
                "(optim.batch_size)"
            )
    return None


def process_limit(error: OSError) -> str | None:
    """The same for an error while processes are started, which need /dev/shm for their locks."""
    if error.errno in _FULL:
        return shared_memory()
    if error.errno in _FORKS:
        return "no further process can be started. Use fewer (data.workers, --jobs)"
    return system_limit(error)


def shared_memory() -> str:
    """What a full or small /dev/shm is answered with."""
    try:
        state = os.statvfs("/dev/shm")
        size = f" ({state.f_bavail * state.f_frsize / 1e6:.0f} MB are free)"
    except OSError:
        size = ""
    return (
        f"/dev/shm is full or too small{size}. Make it larger (docker run --shm-size=2g), or "
        "decode in the training process (data.workers=0)"
    )


def raise_limit(error: BaseException) -> None:
    """Raises a limit of the system as such; returns where it is none.

    Raises:
        VitascopeError: it is one.
    """
    said = system_limit(error)
    if said is not None:
        raise VitascopeError(said) from error


def check_jobs(jobs: int | None, name: str = "jobs") -> None:
    """Refuses a number of processes that cannot be meant.

    Raises:
        ConfigError: below 1 or above `MOST_PROCESSES`.
    """
    if jobs is not None and not 1 <= jobs <= MOST_PROCESSES:
        raise ConfigError(f"{name} = {jobs}; from 1 to {MOST_PROCESSES}")


def _text(error: BaseException) -> str:
    # The message of a DecodeError holds a path, which may be called anything.
    return str(getattr(error, "reason", error))


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__
