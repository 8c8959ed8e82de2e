"""Mixing the clips of a batch: MixUp, CutMix or either, for a share of the batches."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from vitascope.transforms.mix import RandomMix


class Mixing:
    """Blends each clip of a batch with another one, or leaves the batch alone.

    Args:
        num_classes: length of a row of soft labels.
        mixup: alpha of MixUp (arXiv:1710.09412); 0 never uses it.
        cutmix: alpha of CutMix (arXiv:1905.04899); 0 never uses it. With both, each batch draws
            one of the two.
        prob: probability that a batch is mixed.
        smoothing: share of each label that is spread evenly over all classes.
    """

    def __init__(
        self,
        *,
        num_classes: int,
        mixup: float = 0.0,
        cutmix: float = 0.0,
        prob: float = 1.0,
        smoothing: float = 0.0,
    ) -> None:
        self.mix: RandomMix | None = None
        if mixup or cutmix:
            self.mix = RandomMix(
                mixup, cutmix, prob, label_smoothing=smoothing, num_classes=num_classes
            )

    def __call__(
        self, video: Tensor, label: Tensor, rng: np.random.Generator
    ) -> tuple[Tensor, Tensor] | None:
        """Mixes a batch.

        Args:
            video: B C T H W; not changed.
            label: B class numbers.
            rng: draws whether, how and how much.

        Returns:
            The clips and soft labels B x classes (smoothed); None where nothing is to be mixed.
        """
        if self.mix is None or len(video) < 2:
            return None
        return self.mix.mixed(video, label, rng=rng)
