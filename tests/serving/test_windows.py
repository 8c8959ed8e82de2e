"""Windows of a stream: their places, their frames, and how little is held."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vitascope.data.clips import Clip, uniform
from vitascope.data.decoder import Image
from vitascope.data.frames import select
from vitascope.errors import ConfigError
from vitascope.serving.windows import Ring, plan_windows, windows
from vitascope.spec import ClipSpec

fractions = st.fractions(min_value=Fraction(1, 10), max_value=20, max_denominator=30)


def _film(times: list[Fraction]) -> Iterator[tuple[Fraction, Image]]:
    """Frames that carry their own number."""
    for number, time in enumerate(times):
        yield time, np.full((1, 1, 1), number, np.uint32)


def _numbers(frames: tuple[Image, ...]) -> tuple[int, ...]:
    return tuple(int(frame[0, 0, 0]) for frame in frames)


@pytest.mark.parametrize(
    ("duration", "length", "every", "starts"),
    [
        (10, 2, 1, [0, 1, 2, 3, 4, 5, 6, 7, 8]),
        (3.5, 2, 1, [0, 1, 1.5]),  # the third is moved back
        (3, 2, 1, [0, 1]),
        (1, 2, 1, [0]),  # shorter than a window
        (2, 2, 5, [0]),
        (15, 2, 10, [0, 10]),  # the next would start after the video
        (15, 2, 14, [0, 13]),
        (9, 2, 2, [0, 2, 4, 6, 7]),
    ],
)
def test_places(duration: float, length: float, every: float, starts: list[float]) -> None:
    found = list(plan_windows(Fraction(duration), Fraction(length), Fraction(every)))
    assert [clip.start for clip in found] == starts
    assert all(clip.length == length for clip in found)


@settings(max_examples=60, deadline=None)
@given(fractions, fractions, fractions)
def test_overlapping_windows_are_the_uniform_plan(
    duration: Fraction, length: Fraction, every: Fraction
) -> None:
    every = min(every, length)
    expected = uniform(Clip(Fraction(0), duration), length, every, last="shift")
    assert tuple(plan_windows(duration, length, every)) == expected


@pytest.mark.parametrize(("length", "every"), [(0, 1), (1, 0), (-1, 1)])
def test_illegal_lengths(length: int, every: int) -> None:
    with pytest.raises(ConfigError, match="above 0"):
        list(plan_windows(Fraction(5), Fraction(length), Fraction(every)))


specs = st.builds(
    ClipSpec,
    num_frames=st.integers(1, 6),
    sampling_rate=st.integers(1, 3),
    fps=st.sampled_from([Fraction(5), Fraction(30000, 1001), None]),
    coverage=st.sampled_from(["window", "video"]),
    short=st.sampled_from(["repeat", "loop", "pad"]),
)
gaps = st.lists(
    st.fractions(min_value=Fraction(1, 60), max_value=Fraction(1, 2), max_denominator=240),
    min_size=2,
    max_size=60,
)


@settings(max_examples=60, deadline=None)
@given(gaps, specs, fractions, fractions)
def test_frames_are_those_of_a_video_cut_to_the_window(
    steps: list[Fraction], spec: ClipSpec, length: Fraction, every: Fraction
) -> None:
    # A window holds the beginning of a frame, as every window of a clip's own length does.
    length = max(length, *steps)
    times = [sum(steps[:i], Fraction(0)) for i in range(len(steps))]
    duration = times[-1] + steps[-1]
    given_out = 0

    def counted() -> Iterator[tuple[Fraction, Image]]:
        nonlocal given_out
        for item in _film(times):
            given_out += 1
            yield item

    own = spec.duration(Fraction(12))
    found = list(windows(counted(), duration, spec, clip_length=own, length=length, every=every))
    assert len(found) == len(list(plan_windows(duration, length, every)))
    assert given_out <= len(times)
    for window, clip in zip(found, plan_windows(duration, length, every), strict=True):
        within = Clip(clip.start, min(clip.end, duration))
        room = max(within.length - own, Fraction(0)) / 2
        middle = Clip(within.start + room, within.start + room + own)
        shown = within if spec.coverage == "video" else middle
        expected = select(times, shown, spec, within=within)
        assert _numbers(window.frames) == expected.indices
        assert window.valid == expected.valid
        assert window.clip == within


def test_memory_is_one_window_whatever_the_length() -> None:
    held = []
    for seconds in (20, 200):
        times = [Fraction(i, 25) for i in range(25 * seconds)]
        ring = Ring(_film(times))
        for clip in plan_windows(Fraction(seconds), Fraction(2), Fraction(1)):
            ring.fill(clip)
        held.append(ring.most)
    assert held[0] == held[1] <= 2 * 25 + 2


def test_gaps_between_windows_hold_nothing() -> None:
    times = [Fraction(i, 25) for i in range(25 * 60)]
    ring = Ring(_film(times))
    for clip in plan_windows(Fraction(60), Fraction(1), Fraction(20)):
        ring.fill(clip)
    assert ring.most <= 25 + 2
