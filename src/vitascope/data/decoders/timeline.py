"""When each frame of a file is shown and where decoding may begin.

A timeline is learnt by reading the packets of a file without decoding them, which is cheap and
exact for nearly all files; where packets carry no times, or do not map one to one to frames, it
comes from decoding once. `data.timeline_store` keeps it on disk.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Literal, overload

import numpy as np
import numpy.typing as npt

Ticks = npt.NDArray[np.int64]
How = Literal["packets", "decoded", "counted"]


class Times(Sequence[Fraction]):
    """Exact seconds, kept as ticks: a fraction is made when it is asked for.

    A video of five minutes has thousands of times, and a clip needs a handful of them. Equal to
    any sequence of the same numbers.

    Args:
        ticks: whole numbers.
        base: seconds a tick.
    """

    __slots__ = ("_base", "_ticks")

    def __init__(self, ticks: Ticks, base: Fraction) -> None:
        self._ticks, self._base = ticks, base

    def __len__(self) -> int:
        return len(self._ticks)

    @overload
    def __getitem__(self, index: int) -> Fraction: ...

    @overload
    def __getitem__(self, index: slice) -> Times: ...

    def __getitem__(self, index: int | slice) -> Fraction | Times:
        if isinstance(index, slice):
            return Times(self._ticks[index], self._base)
        return int(self._ticks[index]) * self._base

    def __iter__(self) -> Iterator[Fraction]:
        base = self._base
        return (tick * base for tick in self._ticks.tolist())

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Times) and other._base == self._base:
            return np.array_equal(self._ticks, other._ticks)
        if not isinstance(other, Sequence) or isinstance(other, str | bytes):
            return NotImplemented
        return len(self) == len(other) and all(a == b for a, b in zip(self, other, strict=True))

    def __hash__(self) -> int:
        return hash(tuple(self))

    def __repr__(self) -> str:
        return f"Times({list(map(str, self[:4]))}{' and more' if len(self) > 4 else ''})"


@dataclass(frozen=True, eq=False, kw_only=True)
class Timeline:
    """Times of the frames of one video stream, in ticks of its time base.

    Attributes:
        time_base: seconds a tick.
        pts: time of each frame as stored in the file, ascending.
        last: length of the last frame in ticks; all others last until the next one.
        key_pts: times of the key frames at which decoding may begin, ascending.
        key_dts: what to seek for to arrive at each of them or before.
        how: "packets" read from the container, "decoded" seen while decoding, or "counted": the
            file has no times, frames are told apart by counting from the start and no seek is
            possible.
        faults: frames that are known not to come out whole, as (first, number after the last);
            known after `check` only.
        size: height and width of the upright image; None if no frame was decoded yet.
    """

    time_base: Fraction
    pts: Ticks
    last: int
    key_pts: Ticks
    key_dts: Ticks
    how: How
    faults: tuple[tuple[int, int], ...] = ()
    size: tuple[int, int] | None = None

    def __len__(self) -> int:
        return len(self.pts)

    @property
    def start(self) -> Fraction:
        """Time of the first frame in the file, in seconds."""
        return int(self.pts[0]) * self.time_base

    @property
    def duration(self) -> Fraction:
        """Seconds from the first frame to the end of the last."""
        return (int(self.pts[-1] - self.pts[0]) + self.last) * self.time_base

    @cached_property
    def times(self) -> Times:
        """Seconds from the first frame, one entry a frame."""
        return Times(self.pts - self.pts[0], self.time_base)

    @cached_property
    def durations(self) -> Times:
        """Seconds that each frame is shown."""
        return Times(np.append(np.diff(self.pts), np.int64(self.last)), self.time_base)

    def time(self, index: int) -> Fraction:
        """Time of one frame in seconds from the first."""
        return (int(self.pts[index]) - int(self.pts[0])) * self.time_base

    def index_at(self, time: Fraction) -> int:
        """Number of the frame on the screen at `time`; the first one for times before it."""
        tick = int(self.pts[0]) + int(time // self.time_base)
        return max(int(np.searchsorted(self.pts, tick, side="right")) - 1, 0)

    def is_faulty(self, index: int) -> bool:
        """Whether `check` found that frame `index` does not come out whole."""
        return any(first <= index < stop for first, stop in self.faults)

    def key(self, number: int) -> tuple[int, int]:
        """Time of a key frame on the screen and in the order of decoding, in ticks."""
        return int(self.key_pts[number]), int(self.key_dts[number])

    def key_before(self, index: int) -> int:
        """Number of the last key frame from which frame `index` can be decoded; -1 if none."""
        return int(np.searchsorted(self.key_pts, self.pts[index], side="right")) - 1
