"""Models that learn by comparing views of clips: what PySlowFast's have in common.

A model of this package wraps a backbone whose head projects (`ssl.projection`). In training it
maps views, a list of clips each, to a `Contrast`; in evaluation one clip to its features.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vitascope.distributed import gather_with_gradient
from vitascope.errors import InputError
from vitascope.losses.contrastive import contrastive_loss, nt_xent
from vitascope.ssl.memory_bank import Memory

Clip = Any  # a tensor B C T H W, or a list of them for several pathways


class Contrast(NamedTuple):
    """What a training step gives.

    Attributes:
        loss: a scalar.
        logits: rows whose first column is the positive; None where the loss compares otherwise.
    """

    loss: Tensor
    logits: Tensor | None = None


class ContrastiveModel(nn.Module, ABC):
    """A backbone and the features that it gave to every clip.

    Args:
        backbone: maps a clip to projections B D, or to a list of projections and predictions.
        dim: width of the projections.
        length: clips of the data set, whose features are kept for nearest neighbors; 0 for none.
        temperature: divides similarities.
    """

    def __init__(self, backbone: nn.Module, dim: int, length: int, temperature: float) -> None:
        super().__init__()
        self.backbone = backbone
        self.dim = dim
        self.temperature = temperature
        self.knn_mem = Memory(length, dim, duration=1) if length else None

    def project(self, clip: Clip, network: nn.Module | None = None) -> Tensor:
        """Projections of a clip by the backbone or `network`: B D, of length 1."""
        out = (network or self.backbone)(clip)
        return F.normalize(out[0] if isinstance(out, list) else out, dim=1)

    def predict(self, clip: Clip) -> tuple[Tensor, Tensor]:
        """Projections and first predictions of a clip, of length 1 each.

        Raises:
            InputError: the backbone's head predicts nothing.
        """
        out = self.backbone(clip)
        if not isinstance(out, list) or len(out) < 2:
            raise InputError("this model needs a head with a predictor (predictor_depths=[2])")
        return F.normalize(out[0], dim=1), F.normalize(out[1], dim=1)

    def forward(self, views: Any, index: Tensor | None = None) -> Contrast | Tensor:
        """Compares views in training; gives features B D of one clip in evaluation.

        Args:
            views: in training a list of clips, two or more views of the same videos; in
                evaluation one clip.
            index: positions of the videos in the data set, B; None remembers nothing.

        Raises:
            InputError: fewer than two views in training.
        """
        if not self.training:
            return self.project(views)
        if not isinstance(views, list | tuple) or len(views) < self.views_needed:
            raise InputError(
                f"training compares views: give a list of {self.views_needed} or more clips"
            )
        contrast, features = self.compare(list(views), index)
        if index is not None and self.knn_mem is not None:
            self.knn_mem.update(features.detach(), 1.0, index)
        return contrast

    views_needed = 2

    @abstractmethod
    def compare(self, views: Sequence[Clip], index: Tensor | None) -> tuple[Contrast, Tensor]:
        """Compares views; also gives the features B D of the first."""

    @torch.no_grad()
    def nearest(self, features: Tensor, k: int = 200) -> tuple[Tensor, Tensor]:
        """The clips whose kept features are nearest.

        Args:
            features: B D, of length 1.
            k: how many; at most all.

        Returns:
            Similarities and positions in the data set, B k each, nearest first.

        Raises:
            InputError: no features are kept.
        """
        if self.knn_mem is None:
            raise InputError("this model keeps no features; build it with length > 0")
        similarity = features @ self.knn_mem.memory[:, 0].t()
        best = similarity.topk(min(k, similarity.shape[1]), dim=1)
        return best.values, best.indices


class SimCLRModel(ContrastiveModel):
    """SimCLR as PySlowFast has it: all rows of both views are negatives (arXiv:2002.05709).

    Args:
        backbone: see `ContrastiveModel`.
        dim: width of the projections.
        length: clips of the data set; 0 keeps no features.
        temperature: divides similarities.
    """

    def __init__(
        self, backbone: nn.Module, *, dim: int = 128, length: int = 0, temperature: float = 0.1
    ) -> None:
        super().__init__(backbone, dim, length, temperature)

    def compare(self, views: Sequence[Clip], index: Tensor | None) -> tuple[Contrast, Tensor]:
        """Normalized temperature-scaled cross entropy of the first two views."""
        first, second = self.project(views[0]), self.project(views[1])
        loss = nt_xent(gather_with_gradient(first), gather_with_gradient(second), self.temperature)
        return Contrast(loss), first


class MemoryModel(ContrastiveModel):
    """Features pick the remembered ones of the same clip (arXiv:1805.01978), as in PySlowFast.

    Args:
        backbone: see `ContrastiveModel`.
        dim: width of the projections.
        length: clips of the data set.
        temperature: divides similarities.
        negatives: remembered clips to compare with, drawn with replacement.
        momentum: share of the new feature when it is remembered.
        duration: moments of a clip that are remembered; None for one.
        interpolate: compare with the mean of the moments around a time.
        keep_nearest: keep the features for nearest neighbors too.
    """

    views_needed = 1

    def __init__(
        self,
        backbone: nn.Module,
        *,
        dim: int = 128,
        length: int = 239975,
        temperature: float = 0.07,
        negatives: int = 65536,
        momentum: float = 0.5,
        duration: int | None = None,
        interpolate: bool = False,
        keep_nearest: bool = True,
    ) -> None:
        super().__init__(backbone, dim, length if keep_nearest else 0, temperature)
        self.negatives = negatives
        self.momentum = momentum
        self.interpolate = interpolate
        self.memory = Memory(length, dim, duration)

    def compare(self, views: Sequence[Clip], index: Tensor | None) -> tuple[Contrast, Tensor]:
        """Cross entropy among remembered features; needs `index`."""
        if index is None:
            raise InputError("a memory needs the positions of the videos in the data set (index)")
        features = self.project(views[0])
        rows = torch.randint(self.memory.length, (len(features), self.negatives + 1))
        rows = rows.to(features.device)
        rows[:, 0] = index
        moments = self.memory.duration or 1
        time = torch.rand(rows.shape, device=rows.device) * (moments - 1)
        time = time if self.interpolate else time.round()
        remembered = self.memory.get(rows, time, self.interpolate)
        logits = torch.einsum("bc,bkc->bk", features, remembered) / self.temperature
        now = torch.zeros(len(index), device=index.device)
        self.memory.update(features.detach(), self.momentum, index, now, self.interpolate)
        return Contrast(contrastive_loss(logits), logits), features
