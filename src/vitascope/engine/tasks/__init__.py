"""One file a kind of learning: its loss, its evaluation, its score."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from torch import Tensor, nn


class Evaluation(Protocol):
    """What an evaluation gives the loop."""

    @property
    def score(self) -> float:
        """The number by which checkpoints are compared; higher is better."""

    def summary(self) -> dict[str, Any]:
        """Figures for the log as JSON values."""


class Task(Protocol):
    """A kind of learning, as the loop sees it."""

    def loss(self, model: nn.Module, batch: Mapping[str, Any], rng: np.random.Generator) -> Tensor:
        """Mean loss of a batch, a scalar; `rng` and torch's seed belong to this step alone."""

    def evaluate(self, model: nn.Module) -> Evaluation | None:
        """Scores a network; None where there is nothing to score it on."""
