"""Running values of a training loop: over a window, and over an epoch weighted by batch size."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from statistics import median

from vitascope.errors import ConfigError


class ScalarMeter:
    """The last values of a number, and the mean of all.

    Args:
        window: how many of the last values count in `median` and `average`.
    """

    def __init__(self, window: int) -> None:
        if window < 1:
            raise ConfigError(f"window = {window}; it must be at least 1")
        self.values: deque[float] = deque(maxlen=window)
        self.total, self.count = 0.0, 0

    def add(self, value: float) -> None:
        """Adds one value."""
        self.values.append(value)
        self.total += value
        self.count += 1

    @property
    def median(self) -> float:
        """Median of the window (of two middle values, their mean); nan before the first value."""
        return float(median(self.values)) if self.values else math.nan

    @property
    def average(self) -> float:
        """Mean of the window; nan before the first value."""
        return sum(self.values) / len(self.values) if self.values else math.nan

    @property
    def overall(self) -> float:
        """Mean of all values; nan before the first value."""
        return self.total / self.count if self.count else math.nan


class EpochMeter:
    """Means over the samples of an epoch: a short last batch weighs less than a full one.

    Args:
        window: how many batches count in `recent`.
    """

    def __init__(self, window: int = 10) -> None:
        self._window = window
        self._totals: dict[str, float] = {}
        self._meters: dict[str, ScalarMeter] = {}
        self.samples = 0

    def add(self, values: Mapping[str, float], samples: int) -> None:
        """Adds the means of one batch.

        Args:
            values: the same names in each batch.
            samples: size of the batch.
        """
        if samples < 1 or (self._totals and set(values) != set(self._totals)):
            raise ConfigError(
                f"batch of {samples} samples with {sorted(values)}; expected at least one sample "
                f"and {sorted(self._totals) or 'any names'}"
            )
        for name, value in values.items():
            self._totals[name] = self._totals.get(name, 0.0) + value * samples
            self._meters.setdefault(name, ScalarMeter(self._window)).add(value)
        self.samples += samples

    def recent(self) -> dict[str, float]:
        """Median of the last batches."""
        return {name: meter.median for name, meter in self._meters.items()}

    def result(self) -> dict[str, float]:
        """Mean over all samples so far."""
        return {name: total / self.samples for name, total in self._totals.items()}
