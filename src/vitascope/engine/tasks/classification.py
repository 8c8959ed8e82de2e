"""One label a clip: cross-entropy, soft where clips are mixed, scored by accuracy."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vitascope.engine.build import Data
from vitascope.engine.config import AugmentConfig, Recipe
from vitascope.engine.device import network_input
from vitascope.engine.scoring import EvalResult
from vitascope.engine.tasks import validation
from vitascope.transforms.mix import RandomMix

if TYPE_CHECKING:
    from lightning_fabric import Fabric


def build_classification(recipe: Recipe, data: Data, fabric: Fabric) -> Classification:
    """Classification as a recipe asks for it."""
    return Classification(
        mixing=_mixing(recipe.augment, len(data.table.classes)),
        smoothing=recipe.augment.label_smoothing,
        pathways=recipe.clip.pathways,
        weights=_class_weights(data) if recipe.data.balance == "weighted" else None,
        score=validation(recipe, data, fabric),
    )


def _class_weights(data: Data) -> Tensor:
    """Weights by which all classes count the same, and a training video 1 on average."""
    labels = [r.label for r in data.train.records if r.label is not None]
    counts = torch.bincount(torch.tensor(labels), minlength=len(data.table.classes))
    there = int((counts > 0).sum())
    return len(labels) / (there * counts.clamp_min(1).float())


def _mixing(augment: AugmentConfig, num_classes: int) -> Mixing:
    return Mixing(
        num_classes=num_classes,
        mixup=augment.mixup,
        cutmix=augment.cutmix,
        prob=augment.mix_prob,
        smoothing=augment.label_smoothing,
    )


class Classification:
    """Training for classification.

    Args:
        mixing: how the clips of a batch are mixed.
        smoothing: share of each label that is spread evenly over all classes.
        pathways: stride in time of each pathway of the model; empty for one pathway.
        weights: weight of each class in the loss; None weighs all the same.
        score: evaluates a model on the validation videos; None when there are none.
    """

    def __init__(
        self,
        *,
        mixing: Mixing,
        smoothing: float = 0.0,
        pathways: Sequence[int] = (),
        weights: Tensor | None = None,
        score: Callable[[nn.Module], EvalResult] | None = None,
    ) -> None:
        self.mixing, self.smoothing = mixing, smoothing
        self.pathways, self.weights, self.score = pathways, weights, score

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
        if self.weights is None:
            return F.cross_entropy(logits, target, label_smoothing=smoothing)
        # Torch's own weights are divided by their sum in the batch, which undoes them in a batch of
        # one class, and weighs smoothed labels by the classes that they are not.
        losses = F.cross_entropy(logits, target, label_smoothing=smoothing, reduction="none")
        weights = self.weights.to(logits.device)
        return (losses * (weights[target] if target.ndim == 1 else target @ weights)).mean()

    def evaluate(self, model: nn.Module) -> EvalResult | None:
        """Scores a model on the validation videos."""
        return None if self.score is None else self.score(model)


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
