"""Limits for code that reads hostile files: seconds, and memory beyond what is used already."""

from __future__ import annotations

import contextlib
import re
import resource
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from vitascope.errors import VitascopeError

SECONDS, MEMORY = 10, 1 << 30

_OUT_OF_MEMORY = re.compile(r"MemoryError|bad_alloc|allocate|out of memory")

needs_limits = pytest.mark.skipif(
    sys.platform != "linux", reason="the memory of a process is limited and read as on Linux"
)


class TooLateError(BaseException):
    """Not an Exception, so that nothing takes it for the fault of a file."""


def _used() -> int:
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmData:")[1].split()[0]) << 10


@contextlib.contextmanager
def limited(seconds: int = SECONDS, memory: int = MEMORY) -> Iterator[None]:
    """Ends its block with an error after some seconds, and refuses more memory in it."""

    def late(*_: object) -> None:
        raise TooLateError(f"took more than {seconds} s")

    before = signal.signal(signal.SIGALRM, late)
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (_used() + memory, hard))
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def sweep(cases: Iterable[tuple[str, Callable[[], object]]], what: str) -> Counter[str]:
    """Runs each case under the limits; anything but a result or an error of the library fails."""
    counts: Counter[str] = Counter()
    slowest, failed = (0.0, ""), []
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for name, case in cases:
        begin = time.perf_counter()
        try:
            with limited():
                case()
            counts["read"] += 1
        except VitascopeError as error:
            counts["refused"] += 1
            text = str(error)
            if "\n" in text or len(text) > 2000 or _OUT_OF_MEMORY.search(text):
                failed.append(f"{name}: {text[:300]!r}")
        except BaseException as error:
            failed.append(f"{name}: {type(error).__name__}: {error!s:.200}")
            if isinstance(error, KeyboardInterrupt):
                raise
        slowest = max(slowest, (time.perf_counter() - begin, name))
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak) / 1024
    total = sum(counts.values()) + len(failed)
    print(
        f"{what}: {total} cases, {dict(counts)}, {len(failed)} failed; "
        f"slowest {slowest[0]:.2f} s ({slowest[1]}); grown by {grown:.0f} MB"
    )
    assert not failed, "\n".join(failed[:20])
    assert grown < 1024
    return counts
