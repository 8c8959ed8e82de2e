"""Which frames make a clip: constant and variable rates, trimmed and short videos."""

from __future__ import annotations

from fractions import Fraction
from itertools import accumulate, pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitascope.data.clips import Clip
from vitascope.data.frames import at, inside, select
from vitascope.errors import DatasetError
from vitascope.spec import ClipSpec


def constant(frames: int, fps: Fraction | int) -> tuple[Fraction, ...]:
    return tuple(n / Fraction(fps) for n in range(frames))


gaps = st.lists(st.fractions(Fraction(1, 240), 2, max_denominator=1000), min_size=1, max_size=60)
variable = gaps.map(lambda g: tuple(accumulate(g, initial=Fraction(0))))


@given(st.integers(1, 240), st.integers(0, 200), st.integers(1, 5))
def test_one_second_holds_as_many_frames_as_the_rate(fps: int, first: int, length: int) -> None:
    times = constant(fps * 5 + first + 10, fps)
    clip = Clip(times[first], times[first] + length)
    assert list(inside(times, clip)) == list(range(first, first + fps * length))


@given(variable, st.fractions(-1, 50, max_denominator=997))
def test_at_is_the_frame_on_the_screen(times: tuple[Fraction, ...], instant: Fraction) -> None:
    naive = [i for i, t in enumerate(times) if t <= instant]
    assert at(times, [instant]) == (naive[-1] if naive else 0,)


@given(variable, st.integers(1, 20), st.data())
def test_clips_that_touch_share_no_frame(times, count, data) -> None:
    edges = sorted({data.draw(st.sampled_from(times)) for _ in range(count)})
    pieces = [inside(times, Clip(a, b)) for a, b in pairwise(edges)]
    joined = [i for piece in pieces for i in piece]
    assert joined == list(range(times.index(edges[0]), times.index(edges[-1])))


@pytest.mark.parametrize("fps", [25, 30, Fraction(30000, 1001), Fraction(179, 6)])
def test_sampling_at_the_files_own_rate_takes_every_nth_frame(fps) -> None:
    times = constant(100, fps)
    whole = Clip(0, 100 / Fraction(fps))
    spec = ClipSpec(num_frames=8, sampling_rate=3, fps=fps)
    clip = Clip(times[10], times[10] + spec.duration())
    # Each sample stands for three frames and shows the middle one.
    assert select(times, clip, spec, within=whole).indices == tuple(range(11, 35, 3))
    single = ClipSpec(num_frames=8, fps=fps)
    clip = Clip(times[10], times[10] + single.duration())
    assert select(times, clip, single, within=whole).indices == tuple(range(10, 18))
    own = ClipSpec(num_frames=8, sampling_rate=3)
    assert select(times, clip, own, within=whole).indices == tuple(range(10, 34, 3))


def test_times_rounded_to_milliseconds_lose_no_frame() -> None:
    fps = Fraction(30000, 1001)
    times = tuple(Fraction(round(1000 * n / fps), 1000) for n in range(300))
    spec = ClipSpec(num_frames=120, fps=fps)
    found = select(times, Clip(0, spec.duration()), spec, within=Clip(0, times[-1]))
    assert found.indices == tuple(range(120))


def test_another_rate_samples_time_not_frames() -> None:
    # 1 s at 30 frames a second, then 1 s at 10: equal steps of time on both.
    times = (*constant(30, 30), *(1 + Fraction(n, 10) for n in range(10)))
    spec = ClipSpec(num_frames=20, fps=10)
    found = select(times, Clip(0, 2), spec, within=Clip(0, 2)).indices
    assert found == (*range(1, 30, 3), *range(30, 40))


def test_short_clip_rules_for_windows() -> None:
    times, within = constant(10, 10), Clip(0, 1)
    clip = Clip(Fraction(6, 10), Fraction(16, 10))

    def run(short: str, fps: int | None = 10):
        spec = ClipSpec(num_frames=10, fps=fps, short=short)  # type: ignore[arg-type]
        return select(times, clip, spec, within=within)

    for fps in (10, None):
        assert run("repeat", fps).indices == (6, 7, 8, 9, 9, 9, 9, 9, 9, 9)
        assert run("repeat", fps).valid == (True,) * 10
        assert run("loop", fps).indices == (6, 7, 8, 9, 0, 1, 2, 3, 4, 5)
        assert run("loop", fps).valid == (True,) * 10
        assert run("pad", fps).indices == (6, 7, 8, 9, 9, 9, 9, 9, 9, 9)
        assert run("pad", fps).valid == (True,) * 4 + (False,) * 6
        with pytest.raises(DatasetError, match=r"clip\.short=repeat"):
            run("error", fps)


def test_a_clip_before_the_video_is_an_error_under_the_rule_error() -> None:
    times = constant(50, 25)
    spec = ClipSpec(num_frames=8, fps=25, short="error")
    clip = Clip(Fraction(-1, 10), Fraction(-1, 10) + spec.duration())
    with pytest.raises(DatasetError):
        select(times, clip, spec, within=Clip(0, 2))


@given(
    variable,
    st.integers(1, 16),
    st.sampled_from(["repeat", "loop", "pad"]),
    st.sampled_from([None, Fraction(10), Fraction(30000, 1001)]),
    st.fractions(0, 40, max_denominator=100),
    st.data(),
)
def test_trimmed_videos_show_nothing_from_outside(times, frames, short, fps, start, data) -> None:
    a, b = sorted(data.draw(st.lists(st.sampled_from(times), min_size=2, max_size=2)))
    if a == b:
        return
    within = Clip(a, b)
    spec = ClipSpec(num_frames=frames, fps=fps, short=short)
    clip = Clip(a + start, a + start + Fraction(frames, 10))
    found = select(times, clip, spec, within=within)
    assert len(found.indices) == len(found.valid) == frames
    assert all(a <= times[i] < b for i in found.indices)
    assert short == "pad" or all(found.valid)


def test_spread_takes_the_middle_of_equal_parts() -> None:
    times, whole = constant(12, 12), Clip(0, 1)
    spec = ClipSpec(num_frames=4, coverage="video")
    assert select(times, whole, spec, within=whole).indices == (1, 4, 7, 10)
    each = ClipSpec(num_frames=12, coverage="video")
    assert select(times, whole, each, within=whole).indices == tuple(range(12))
    more = ClipSpec(num_frames=24, coverage="video")
    assert select(times, whole, more, within=whole).indices == tuple(i // 2 for i in range(24))


@given(variable, st.integers(1, 32), st.integers(0, 10**6))
def test_jitter_stays_in_its_part_and_follows_its_key(times, frames, key) -> None:
    whole = Clip(0, times[-1] + Fraction(1, 10))
    spec = ClipSpec(num_frames=frames, coverage="video")
    found = select(times, whole, spec, within=whole, rng=np.random.default_rng(key))
    again = select(times, whole, spec, within=whole, rng=np.random.default_rng(key))
    assert found == again
    for k, index in enumerate(found.indices):
        low, high = (whole.length * n / frames for n in (k, k + 1))
        assert at(times, [low])[0] <= index <= at(times, [high])[0]


def test_jitter_reaches_every_frame() -> None:
    times, whole = constant(32, 16), Clip(0, 2)
    spec = ClipSpec(num_frames=8, coverage="video")
    seen = set()
    for key in range(200):
        rng = np.random.default_rng(key)
        seen |= set(select(times, whole, spec, within=whole, rng=rng).indices)
    assert seen == set(range(32))


def test_spread_refuses_too_few_frames_only_under_the_rule_error() -> None:
    times, whole = constant(6, 10), Clip(0, Fraction(6, 10))
    strict = ClipSpec(num_frames=8, coverage="video", short="error")
    with pytest.raises(DatasetError, match="6 frames and the clip needs 8"):
        select(times, whole, strict, within=whole)
    assert select(times[:1], whole, ClipSpec(num_frames=3, coverage="video"), within=whole)


def test_a_clip_that_starts_between_two_frames_begins_with_the_one_on_the_screen() -> None:
    times, whole = constant(10, 10), Clip(0, 1)
    spec = ClipSpec(num_frames=3)
    clip = Clip(Fraction(25, 100), Fraction(55, 100))
    assert select(times, clip, spec, within=whole).indices == (2, 3, 4)


def test_no_frame_at_all() -> None:
    with pytest.raises(DatasetError, match="no frame"):
        select((), Clip(0, 1), ClipSpec(num_frames=1), within=Clip(0, 1))
