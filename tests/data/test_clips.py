"""Planners: exact, inside, covering; closed forms over generated cases."""

from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitascope.data import clips
from vitascope.data.clips import Clip
from vitascope.errors import ConfigError

seconds = st.fractions(min_value=Fraction(1, 100), max_value=100, max_denominator=1000)
starts = st.fractions(min_value=0, max_value=50, max_denominator=1000)
intervals = st.builds(lambda start, length: Clip(start, start + length), starts, seconds)


def test_a_clip_is_exact_and_never_empty() -> None:
    clip = Clip(Fraction(1, 3), Fraction(4, 3))
    assert clip.length == 1 and clip.middle == Fraction(5, 6)
    assert clip.shifted(Fraction(2, 3)) == Clip(1, 2)
    with pytest.raises(ConfigError, match="empty"):
        Clip(Fraction(1), Fraction(1))


def test_uniform_by_hand() -> None:
    whole = Clip(0, 10)
    assert clips.uniform(whole, 4) == (Clip(0, 4), Clip(4, 8))
    assert clips.uniform(whole, 4, last="keep") == (Clip(0, 4), Clip(4, 8), Clip(8, 12))
    assert clips.uniform(whole, 4, last="shift") == (Clip(0, 4), Clip(4, 8), Clip(6, 10))
    assert clips.uniform(whole, 4, 3) == (Clip(0, 4), Clip(3, 7), Clip(6, 10))
    assert clips.uniform(Clip(2, 3), 4) == (Clip(2, 6),)
    # A gap of 6 s after each clip: the rest of the video lies in a gap, nothing is kept of it.
    assert clips.uniform(Clip(0, 9), 4, 10, last="keep") == (Clip(0, 4),)


@given(intervals, seconds, seconds, st.sampled_from(["drop", "keep", "shift"]))
def test_uniform_covers_without_drift(
    within: Clip, length: Fraction, stride: Fraction, last: clips.Last
) -> None:
    if within.length / stride > 2000:
        return
    found = clips.uniform(within, length, stride, last=last)
    assert all(clip.length == length for clip in found)
    assert found[0].start == within.start
    regular = found[:-1] if last == "shift" else found
    assert all(clip.start == within.start + i * stride for i, clip in enumerate(regular))
    if length <= within.length:
        if last != "keep":
            assert all(clip.end <= within.end for clip in found)
        if last == "drop":
            assert found[-1].start + stride + length > within.end
        elif stride <= length:
            assert found[-1].end >= within.end
    else:
        assert len(found) == 1


@given(intervals, seconds, st.integers(1, 30))
def test_evenly_spaced_reaches_both_ends(within: Clip, length: Fraction, count: int) -> None:
    found = clips.evenly_spaced(within, length, count)
    assert len(found) == count and all(clip.length == length for clip in found)
    if length > within.length:
        assert {clip.start for clip in found} == {within.start}
    elif count == 1:
        assert found[0].middle == within.middle
    else:
        assert found[0].start == within.start and found[-1].end == within.end
        steps = {b.start - a.start for a, b in itertools.pairwise(found)}
        assert len(steps) == 1


@given(intervals, seconds, st.integers(0, 2**32))
def test_random_stays_inside_and_follows_its_key(within: Clip, length: Fraction, key: int) -> None:
    clip = clips.random(within, length, np.random.default_rng((key, 0, 1)))
    assert clip == clips.random(within, length, np.random.default_rng((key, 0, 1)))
    assert clip.length == length and clip.start >= within.start
    assert clip.end <= within.end or clip.start == within.start


def test_random_starts_are_even() -> None:
    rng = np.random.default_rng((0, 0, 0))
    found = [float(clips.random(Clip(1, 11), 2, rng).start) for _ in range(4000)]
    counts, _ = np.histogram(found, bins=8, range=(1, 9))
    assert counts.sum() == 4000
    # 500 in each of 8 bins, standard deviation 21: five of them.
    assert abs(counts - 500).max() < 105


@given(intervals, seconds, starts)
def test_around_moves_only_as_far_as_needed(within: Clip, length: Fraction, time: Fraction) -> None:
    assert clips.around(time, length).middle == time
    clip = clips.around(time, length, within)
    assert clip.length == length
    if length >= within.length:
        assert clip.start == within.start
    else:
        assert within.start <= clip.start and clip.end <= within.end
        free = clips.around(time, length)
        if within.start <= free.start and free.end <= within.end:
            assert clip == free


@given(intervals, st.integers(1, 50))
def test_segments_tile(within: Clip, count: int) -> None:
    found = clips.segments(within, count)
    assert len(found) == count
    assert found[0].start == within.start and found[-1].end == within.end
    assert all(a.end == b.start for a, b in itertools.pairwise(found))
    assert len({clip.length for clip in found}) == 1


@pytest.mark.parametrize(
    "call",
    [
        lambda: clips.uniform(Clip(0, 1), 0),
        lambda: clips.uniform(Clip(0, 1), 1, Fraction(-1)),
        lambda: clips.evenly_spaced(Clip(0, 1), 1, 0),
        lambda: clips.segments(Clip(0, 1), -3),
        lambda: clips.random(Clip(0, 1), -1, np.random.default_rng(0)),
        lambda: clips.around(1, 0),
    ],
)
def test_senseless_arguments_are_refused(call) -> None:
    with pytest.raises(ConfigError, match="must be"):
        call()
