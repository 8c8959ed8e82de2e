"""Bootstrap your own latent (arXiv:2006.07733)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vitascope.layers.sync_batch_norm import NaiveSyncBatchNorm1d
from vitascope.losses.contrastive import similarity_loss
from vitascope.ssl.momentum import follow, follower


class BYOL(nn.Module):
    """A model predicts what a slow copy of it says of another view.

    Args:
        backbone: model without classifying head.
        projector: projects its features; None for none.
        predictor: maps projections to predictions; None for two linear layers with norm and ReLU.
        feature_dim: width of the projections.
        predictor_inner: hidden width of the predictor.
        mmt: momentum of the slow copy.
        norm: norm of the predictor, called with its width. `nn.SyncBatchNorm`, which runs on GPUs
            only, stands for a batch norm over all processes on any device.
    """

    def __init__(
        self,
        backbone: nn.Module,
        projector: nn.Module | None = None,
        predictor: nn.Module | None = None,
        feature_dim: int = 2048,
        predictor_inner: int = 4096,
        mmt: float = 0.99,
        norm: Callable[[int], nn.Module] = nn.SyncBatchNorm,
    ) -> None:
        super().__init__()
        self.mmt = mmt
        self.feature_dim = feature_dim
        self.backbone = backbone if projector is None else nn.Sequential(backbone, projector)
        self.backbone_mmt = follower(self.backbone)
        if predictor is None:
            middle = (
                NaiveSyncBatchNorm1d(num_features=predictor_inner)
                if norm is nn.SyncBatchNorm
                else norm(predictor_inner)
            )
            predictor = nn.Sequential(
                nn.Linear(feature_dim, predictor_inner, bias=False),
                middle,
                nn.ReLU(inplace=True),
                nn.Linear(predictor_inner, feature_dim),
            )
        self.predictor = predictor

    def sim_loss(self, q: Tensor, k: Tensor) -> Tensor:
        """Negative mean similarity of rows of length 1."""
        return similarity_loss(q, k)

    def update_mmt(self, mmt: float) -> None:
        """Sets the momentum of the slow copy; see `ssl.momentum.momentum_schedule`."""
        self.mmt = mmt

    def get_mmt(self) -> float:
        """Momentum of the slow copy."""
        return self.mmt

    @torch.no_grad()
    def forward_backbone_mmt(self, x: Tensor) -> Tensor:
        """What the slow copy says: B x D, of length 1."""
        return F.normalize(self.backbone_mmt(x), dim=1)

    def forward_backbone(self, x: Tensor) -> Tensor:
        """What the model predicts: B x D, of length 1."""
        return F.normalize(self.predictor(self.backbone(x)), dim=1)

    def forward(self, x1: Tensor, x2: Tensor) -> Tensor:
        """Loss of two views of the same clips; the slow copy is moved first, in evaluation too.

        Args:
            x1: one view, as the backbone takes it.
            x2: the other view.
        """
        first, second = self.forward_backbone(x1), self.forward_backbone(x2)
        follow(self.backbone_mmt, self.backbone, self.mmt)
        loss = self.sim_loss(first, self.forward_backbone_mmt(x2))
        return (loss + self.sim_loss(second, self.forward_backbone_mmt(x1))) / 2
