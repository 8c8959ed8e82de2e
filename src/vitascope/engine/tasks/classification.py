"""One label a clip: cross-entropy, soft where clips are mixed, scored by accuracy."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch.nn.functional as F
from torch import Tensor, nn

from vitascope.engine.device import network_input
from vitascope.engine.mixing import Mixing
from vitascope.engine.scoring import EvalResult


class Classification:
    """Training for classification.

    Args:
        mixing: how the clips of a batch are mixed.
        smoothing: share of each label that is spread evenly over all classes.
        pathways: stride in time of each pathway of the network; empty for one pathway.
        score: evaluates a network on the validation videos; None when there are none.
    """

    def __init__(
        self,
        *,
        mixing: Mixing,
        smoothing: float = 0.0,
        pathways: Sequence[int] = (),
        score: Callable[[nn.Module], EvalResult] | None = None,
    ) -> None:
        self.mixing, self.smoothing = mixing, smoothing
        self.pathways, self.score = pathways, score

    def loss(self, model: nn.Module, batch: Mapping[str, Any], rng: np.random.Generator) -> Tensor:
        """Mean loss of a batch.

        Args:
            model: maps "video", B C T H W, to logits.
            batch: "video" and "label" (B class numbers).
            rng: draws the mixing.
        """
        video, target, smoothing = batch["video"], batch["label"], self.smoothing
        mixed = self.mixing(video, target, rng)
        if mixed is not None:  # soft labels, smoothed already
            (video, target), smoothing = mixed, 0.0
        logits = model(network_input(video, self.pathways)).float()
        return F.cross_entropy(logits, target, label_smoothing=smoothing)

    def evaluate(self, model: nn.Module) -> EvalResult | None:
        """Scores a network on the validation videos."""
        return None if self.score is None else self.score(model)
