"""One label a clip: cross-entropy, soft where clips are mixed, scored by accuracy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch.nn.functional as F
from torch import Tensor, nn

from vitascope.engine.mixing import Mixing
from vitascope.engine.scoring import EvalResult


class Classification:
    """Training for classification.

    Args:
        mixing: how the clips of a batch are mixed.
        smoothing: share of each label that is spread evenly over all classes.
        score: evaluates a network on the validation videos; None when there are none.
    """

    def __init__(
        self,
        *,
        mixing: Mixing,
        smoothing: float = 0.0,
        score: Callable[[nn.Module], EvalResult] | None = None,
    ) -> None:
        self.mixing, self.smoothing, self.score = mixing, smoothing, score

    def loss(self, model: nn.Module, batch: Mapping[str, Any], rng: np.random.Generator) -> Tensor:
        """Mean loss of a batch.

        Args:
            model: maps "video", B C T H W, to logits.
            batch: "video" and "label" (B class numbers).
            rng: draws the mixing.
        """
        mixed = self.mixing(batch["video"], batch["label"], rng)
        if mixed is not None:
            video, soft = mixed
            return F.cross_entropy(model(video).float(), soft)
        logits = model(batch["video"]).float()
        return F.cross_entropy(logits, batch["label"], label_smoothing=self.smoothing)

    def evaluate(self, model: nn.Module) -> EvalResult | None:
        """Scores a network on the validation videos."""
        return None if self.score is None else self.score(model)
