"""What is left of a run, from the steps and evaluations that it has done."""

from __future__ import annotations

import time
from collections.abc import Callable

STEPS, SECONDS = 3, 10.0
"""Least of both before anything is said: the first steps are slower than the rest."""
CHANGED = 0.25
"""By which share an estimate must be wrong to be said again."""


class Forecast:
    """Tells how long a run will go on, once early and once more where that was wrong.

    Args:
        steps: updates of the whole run.
        step: updates done before.
        evaluations: how many evaluations are left after a number of updates.
        clock: seconds, for tests.
    """

    def __init__(
        self,
        steps: int,
        step: int,
        evaluations: Callable[[int], int],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._steps, self._evaluations, self._clock = steps, evaluations, clock
        self._first, self._begin = step + 1, clock()
        self._evaluation = 0.0
        self._end: float | None = None  # when the run was said to end
        self._final = False

    def stepped(self, step: int) -> float | None:
        """Takes in that an update is done; seconds left where that is worth telling."""
        now = self._clock()
        if step <= self._first:
            self._begin = now
            return None
        spent = now - self._begin
        if self._end is not None or step - self._first < STEPS or spent < SECONDS:
            return None
        return self._tell(step, now)

    def evaluated(self, step: int, seconds: float) -> float | None:
        """Takes in an evaluation of so many seconds; seconds left where that is worth telling."""
        self._begin += seconds  # a step is timed without it
        known, self._evaluation = self._evaluation, seconds
        now = self._clock()
        if known or self._final or step <= self._first:
            return None
        self._final = True
        before = self._end
        left = self._tell(step, now)
        if before is None or abs(left - (before - now)) > CHANGED * (before - now):
            return left
        return None

    def _tell(self, step: int, now: float) -> float:
        each = (now - self._begin) / (step - self._first)
        left = each * (self._steps - step) + self._evaluation * self._evaluations(step)
        self._end = now + left
        return left
