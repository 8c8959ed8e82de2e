"""Where transforms take their random numbers from.

Every random transform accepts `rng`: a `numpy.random.Generator` made from the key of a sample, or
any object with the methods of `Draws`. Without it the numbers come from torch's global generator,
as in PyTorchVideo, so that `torch.manual_seed` gives the results of the same program there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch


class Draws(Protocol):
    """A source of single random numbers."""

    def uniform(self, low: float = 0.0, high: float = 1.0) -> float:
        """A number from `low` to below `high`."""
        ...

    def integer(self, low: int, high: int) -> int:
        """A whole number from `low` to `high` - 1."""
        ...

    def normal(self, mean: float, std: float) -> float:
        """A number with the normal distribution."""
        ...

    def choice(self, weights: Sequence[float], count: int, replacement: bool) -> list[int]:
        """`count` positions of `weights`, each drawn with a probability in proportion to it."""
        ...

    def beta(self, a: float, b: float) -> float:
        """A number from 0 to 1 with the beta distribution."""
        ...

    def dirichlet(self, alphas: Sequence[float]) -> list[float]:
        """Positive numbers with the sum 1, one for each of `alphas`."""
        ...


class NumpyDraws:
    """Draws from a numpy generator: the way of all data pipelines here."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng

    def uniform(self, low: float = 0.0, high: float = 1.0) -> float:
        """See `Draws`."""
        return low + (high - low) * float(self.rng.random())

    def integer(self, low: int, high: int) -> int:
        """See `Draws`."""
        return int(self.rng.integers(low, high))

    def normal(self, mean: float, std: float) -> float:
        """See `Draws`."""
        return float(self.rng.normal(mean, std))

    def choice(self, weights: Sequence[float], count: int, replacement: bool) -> list[int]:
        """See `Draws`."""
        p = np.asarray(weights, dtype=np.float64)
        return [int(i) for i in self.rng.choice(len(p), count, replace=replacement, p=p / p.sum())]

    def beta(self, a: float, b: float) -> float:
        """See `Draws`."""
        return float(self.rng.beta(a, b))

    def dirichlet(self, alphas: Sequence[float]) -> list[float]:
        """See `Draws`."""
        return [float(v) for v in self.rng.dirichlet(np.asarray(alphas, dtype=np.float64))]


class TorchDraws:
    """Draws from torch's global generator, one call for each number as PyTorchVideo makes them."""

    def uniform(self, low: float = 0.0, high: float = 1.0) -> float:
        """See `Draws`."""
        return low + (high - low) * float(torch.rand(1).item())

    def integer(self, low: int, high: int) -> int:
        """See `Draws`."""
        return int(torch.randint(low, high, (1,)).item())

    def normal(self, mean: float, std: float) -> float:
        """See `Draws`."""
        return float(torch.normal(mean, std, size=(1,)).item())

    def choice(self, weights: Sequence[float], count: int, replacement: bool) -> list[int]:
        """See `Draws`."""
        p = torch.tensor(list(weights), dtype=torch.float32)
        return [int(i) for i in torch.multinomial(p, count, replacement=replacement)]

    def beta(self, a: float, b: float) -> float:
        """See `Draws`."""
        return float(torch.distributions.Beta(a, b).sample())

    def dirichlet(self, alphas: Sequence[float]) -> list[float]:
        """See `Draws`."""
        concentration = torch.tensor(list(alphas), dtype=torch.float32)
        sample = torch.distributions.Dirichlet(concentration).sample()
        return [float(v) for v in sample]


def as_draws(rng: np.random.Generator | Draws | None) -> Draws:
    """The draws of `rng`; of torch's global generator when it is None."""
    if rng is None:
        return TorchDraws()
    return NumpyDraws(rng) if isinstance(rng, np.random.Generator) else rng


RandomSource = np.random.Generator | Draws | None
"""What random transforms take as `rng`."""


def permutation(draws: Draws, count: int) -> list[int]:
    """The numbers from 0 to `count` - 1 in random order."""
    return draws.choice([1.0] * count, count, replacement=False)
