"""What is left of a run, told by a clock that the test turns."""

from __future__ import annotations

import pytest

from vitascope.engine.charts import duration
from vitascope.engine.forecast import CHANGED, SECONDS, STEPS, Forecast


class Clock:
    """Seconds that pass only when the test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def carried_out(
    *,
    steps: int,
    each: float,
    every: int = 10**9,
    evaluation: float = 0.0,
    warm: float = 60.0,
    done: int = 0,
):
    """A run of even steps; what was told, as (step, seconds told, seconds that were left).

    The first step takes `warm` seconds.
    """
    clock = Clock()
    evaluations = steps // every
    forecast = Forecast(steps, done, lambda step: evaluations - step // every, clock)
    told = []
    for step in range(done + 1, steps + 1):
        clock.now += warm if step == done + 1 else each
        said = [forecast.stepped(step)]
        if step % every == 0:
            clock.now += evaluation
            said.append(forecast.evaluated(step, evaluation))
        for seconds in said:
            if seconds is not None:
                left = (steps - step) * each + (evaluations - step // every) * evaluation
                told.append((step, seconds, left))
    return told


@pytest.mark.parametrize("each", [0.5, 4.0, 7.0, 300.0])
def test_even_steps_are_told_exactly_and_once(each: float) -> None:
    """The first step, which is slow for reasons of its own, does not count."""
    told = carried_out(steps=400, each=each)
    assert len(told) == 1
    step, seconds, left = told[0]
    assert seconds == pytest.approx(left)
    assert step - 1 >= STEPS and (step - 1) * each >= SECONDS  # enough was seen ...
    assert step - 2 < STEPS or (step - 2) * each < SECONDS  # ... and no more was waited for


def test_evaluations_that_are_left_count_once_the_first_is_known() -> None:
    (first, early, _), (second, later, left) = carried_out(
        steps=400, each=1.0, every=40, evaluation=60.0
    )
    assert first < 40 and early == pytest.approx(400 - first)
    assert second == 40 and later == left == pytest.approx(360 + 9 * 60)


def test_an_estimate_that_holds_is_not_said_again() -> None:
    share = CHANGED / 2
    assert len(carried_out(steps=400, each=1.0, every=40, evaluation=40 * share)) == 1


def test_a_run_that_goes_on_counts_its_own_steps() -> None:
    told = carried_out(steps=400, each=2.0, done=300)
    assert [seconds for _, seconds, _ in told] == [pytest.approx(left) for *_, left in told]
    assert told[0][0] > 300


def test_a_run_that_is_over_before_anything_is_known_tells_nothing() -> None:
    assert carried_out(steps=STEPS, each=100.0) == []
    assert carried_out(steps=9, each=1.0) == []


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (3, "about 10 seconds"),
        (44, "about 40 seconds"),
        (59, "about 1 minute"),
        (22 * 60, "about 22 minutes"),
        (89 * 60, "about 89 minutes"),
        (11_000, "about 3.1 hours"),
        (2 * 3600, "about 2 hours"),
        (25 * 3600, "about 25 hours"),
        (72 * 3600, "about 3 days"),
        (86400 * 30.4, "about 30 days"),
    ],
)
def test_durations_are_as_exact_as_estimates_are(seconds: float, text: str) -> None:
    assert duration(seconds) == text
