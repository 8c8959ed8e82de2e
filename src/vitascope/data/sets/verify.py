"""Which files of a published list are there, missing or unreadable."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from vitascope.data.check.describe import Header, probe
from vitascope.data.records import Table, VideoRecord
from vitascope.distributed import cores
from vitascope.spec import to_json


@dataclass(frozen=True, kw_only=True)
class Absent:
    """A listed video that cannot be had: row of the list, path, and why."""

    where: str
    path: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class VerifyReport:
    """A data set held against its list.

    Attributes:
        listed: videos in the list.
        present: those that are there with a readable header.
        missing: those that are not there.
        unreadable: those whose header cannot be read.
        by_split: split -> (present, listed); the split is "all" without a split.
    """

    listed: int
    present: int
    missing: tuple[Absent, ...]
    unreadable: tuple[Absent, ...]
    by_split: dict[str, tuple[int, int]]

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        data: dict[str, Any] = to_json(self)
        return data


def verify_files(
    table: Table,
    *,
    jobs: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> VerifyReport:
    """Looks at every listed file and reads its header.

    Args:
        table: a published list, read with `files="trust"`.
        jobs: threads; None is two a core.
        progress: called with files done and files in all.
    """
    missing: list[Absent] = []
    unreadable: list[Absent] = []
    counts: dict[str, list[int]] = {split or "all": [0, 0] for split in table.splits or (None,)}
    with ThreadPoolExecutor(jobs or 2 * cores()) as pool:
        found = pool.map(_look, table.records)
        for number, (record, reason) in enumerate(zip(table.records, found, strict=True)):
            tally = counts[record.split or "all"]
            tally[1] += 1
            if reason is None:
                tally[0] += 1
            else:
                absent = Absent(where=record.where, path=record.path, reason=reason)
                (missing if reason == _NOT_THERE else unreadable).append(absent)
            if progress is not None:
                progress(number + 1, len(table))
    return VerifyReport(
        listed=len(table),
        present=sum(present for present, _ in counts.values()),
        missing=tuple(missing),
        unreadable=tuple(unreadable),
        by_split={split: (present, listed) for split, (present, listed) in counts.items()},
    )


_NOT_THERE = "no such file"


def _look(record: VideoRecord) -> str | None:
    if not os.path.exists(record.path):
        return _NOT_THERE
    found = probe(record)
    return None if isinstance(found, Header) else found
