"""Where the clips of a video lie: pure planners on exact times.

A planner maps an interval of a video and a clip length to clips; nothing here opens a file.
Times are exact Fractions of a second from the first frame, intervals are half-open: a clip of
1 s at 25 frames a second holds 25 frames, never 26. A clip may end after its video does; what is
shown then is the business of `ClipSpec.short`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Literal

import numpy as np

from vitascope.errors import ConfigError

Time = Fraction | int
Seconds = Fraction | float | int
Last = Literal["drop", "keep", "shift"]

_FINEST = 10**6  # parts of a second


@dataclass(frozen=True, order=True)
class Clip:
    """An interval [start, end) of a video in seconds from its first frame."""

    start: Fraction
    end: Fraction

    def __post_init__(self) -> None:
        object.__setattr__(self, "start", Fraction(self.start))
        object.__setattr__(self, "end", Fraction(self.end))
        if self.end <= self.start:
            raise ConfigError(
                f"a clip from {float(self.start):g} s to {float(self.end):g} s is empty; "
                "its end must come after its start"
            )

    @property
    def length(self) -> Fraction:
        """Seconds from start to end."""
        return self.end - self.start

    @property
    def middle(self) -> Fraction:
        """The time halfway between start and end."""
        return (self.start + self.end) / 2

    def shifted(self, seconds: Time) -> Clip:
        """The same clip, later by `seconds`."""
        return Clip(self.start + seconds, self.end + seconds)


def uniform(
    within: Clip, length: Time, stride: Time | None = None, *, last: Last = "drop"
) -> tuple[Clip, ...]:
    """Clips one after the other from the start of `within`.

    Args:
        within: interval of the video to cover.
        length: seconds of each clip.
        stride: seconds from the start of one clip to the start of the next; None means `length`
            (no gap, no overlap); smaller values overlap.
        last: what to do with a rest at the end that is shorter than a clip: "drop" it, "keep" a
            clip that runs beyond the end, or "shift" a clip back so that it ends with `within`.

    Returns:
        At least one clip: an interval shorter than `length` gives the one clip at its start.
    """
    length, step = _length(length), _length(length if stride is None else stride)
    room = within.length - length
    if room <= 0:
        return (_at(within.start, length),)
    count = room // step + 1
    clips = [_at(within.start + i * step, length) for i in range(count)]
    covered = clips[-1].end
    if covered < within.end and last != "drop":
        start = within.end - length if last == "shift" else clips[-1].start + step
        # With gaps between the clips, the rest may lie in a gap: then there is nothing to keep.
        if start < within.end:
            clips.append(_at(start, length))
    return tuple(clips)


def evenly_spaced(within: Clip, length: Time, count: int) -> tuple[Clip, ...]:
    """`count` clips, the first at the start of `within`, the last at its end.

    One clip lies in the middle. Clips overlap when `count` of them do not fit; in an interval
    shorter than a clip all of them start where it starts.
    """
    length, count = _length(length), _count(count)
    room = max(within.length - length, Fraction(0))
    if count == 1:
        return (_at(within.start + room / 2, length),)
    return tuple(_at(within.start + room * i / (count - 1), length) for i in range(count))


def random(within: Clip, length: Time, rng: np.random.Generator) -> Clip:
    """A clip whose start is drawn evenly from all that fit; at the start if none does."""
    length = _length(length)
    room = max(within.length - length, Fraction(0))
    # A whole number of 2**-32 parts: exact on every machine, and both ends can be reached.
    part = Fraction(int(rng.integers(0, 2**32, endpoint=True)), 2**32)
    return _at(within.start + room * part, length)


def around(time: Time, length: Time, within: Clip | None = None) -> Clip:
    """The clip with `time` in its middle, moved as little as needed to lie inside `within`.

    Without `within` the clip may begin before the first frame, whose time is 0.
    """
    length = _length(length)
    start = time - length / 2
    if within is not None:
        start = max(min(start, within.end - length), within.start)
    return _at(start, length)


def segments(within: Clip, count: int) -> tuple[Clip, ...]:
    """`within` cut into `count` equal parts that touch and leave nothing out."""
    count = _count(count)
    edges = [within.start + within.length * i / count for i in range(count + 1)]
    return tuple(Clip(a, b) for a, b in pairwise(edges))


def _at(start: Fraction, length: Fraction) -> Clip:
    return Clip(start, start + length)


def _length(seconds: Time) -> Fraction:
    if seconds <= 0:
        raise ConfigError(f"clip length or stride = {float(seconds):g} s; it must be above 0")
    return Fraction(seconds)


def _count(count: int) -> int:
    if count < 1:
        raise ConfigError(f"number of clips = {count}; it must be at least 1")
    return count


def exact_seconds(value: Seconds) -> Fraction:
    """A time as the fraction that was meant: 0.1 is 1/10, and not the double next to it.

    Without this the frame at 1/10 s would begin before the "end" 0.1 and be a frame too many.

    Args:
        value: seconds; a millionth of a second is the finest difference that counts.

    Raises:
        ConfigError: not a finite number.
    """
    if isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(f"a time of {value} s; give a finite number of seconds")
    found = Fraction(value)
    return found if found.denominator <= _FINEST else found.limit_denominator(_FINEST)


def exact_interval(start: Seconds, end: Seconds, duration: Fraction) -> tuple[Fraction, Fraction]:
    """[start, end) cut to the video; empty (end <= start) where nothing of it lies inside.

    An `end` of infinity is the end of the video.
    """
    last = duration if end == math.inf else min(exact_seconds(end), duration)
    return max(exact_seconds(start), Fraction(0)), last
