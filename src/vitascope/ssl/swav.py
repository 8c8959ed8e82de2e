"""Swapped assignments between views (arXiv:2006.09882)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vitascope.losses.contrastive import sinkhorn, swav_loss
from vitascope.ssl.contrastive import Clip, Contrast, ContrastiveModel


class SwAV(ContrastiveModel):
    """Views predict to which prototypes another view was assigned.

    Args:
        backbone: see `ContrastiveModel`.
        dim: width of the projections.
        length: clips of the data set; 0 keeps no features.
        temperature: divides similarities with the prototypes.
        num_prototypes: number of prototypes.
        epsilon: divides similarities before the assignment; small makes it hard.
        iterations: scalings of `sinkhorn`.
        queue_len: projections of earlier clips that take part in the assignment; 0 for none.
    """

    def __init__(
        self,
        backbone: nn.Module,
        *,
        dim: int = 128,
        length: int = 0,
        temperature: float = 0.1,
        num_prototypes: int = 1000,
        epsilon: float = 0.05,
        iterations: int = 3,
        queue_len: int = 0,
    ) -> None:
        super().__init__(backbone, dim, length, temperature)
        self.swav_prototypes = nn.Linear(dim, num_prototypes, bias=False)
        self.epsilon = epsilon
        self.iterations = iterations
        self.use_queue = False
        self.queue_swav: Tensor | None
        self.register_buffer("queue_swav", torch.zeros(2, queue_len, dim) if queue_len else None)

    def assign(self, clip: Clip) -> tuple[Tensor, Tensor]:
        """Projections B D of a clip, of length 1, and their similarities with the prototypes."""
        features = self.project(clip)
        return features, self.swav_prototypes(features)

    run_swav_orig_encoder_q = assign  # PySlowFast's name

    @torch.no_grad()
    def scale_prototypes(self) -> None:
        """Gives every prototype length 1."""
        weight = self.swav_prototypes.weight
        weight.copy_(F.normalize(weight, dim=1))

    def compare(self, views: Sequence[Clip], index: Tensor | None) -> tuple[Contrast, Tensor]:
        """Cross entropy of assignments; the first two views are assigned, all predict.

        The queue, if there is one, takes part once `use_queue` is set and it is full.
        """
        self.scale_prototypes()
        found = [self.assign(view) for view in views]
        codes = [self._code(i, *found[i]) for i in range(2)]
        loss = swav_loss([scores for _, scores in found], codes, self.temperature)
        return Contrast(loss), found[0][0]

    @torch.no_grad()
    def _code(self, view: int, features: Tensor, scores: Tensor) -> Tensor:
        count = len(scores)
        if self.queue_swav is not None and self.use_queue:
            queue = self.queue_swav[view]
            if bool(queue[-1].any()):
                scores = torch.cat([self.swav_prototypes(queue), scores])
            self.queue_swav[view] = torch.cat([features, queue])[: len(queue)]
        return sinkhorn(torch.exp(scores / self.epsilon), self.iterations)[-count:]
