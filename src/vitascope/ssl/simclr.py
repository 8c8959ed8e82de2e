"""SimCLR (arXiv:2002.05709)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vitascope.distributed import gather_with_gradient, get_rank


class SimCLR(nn.Module):
    """Features of one view pick those of the other view of the same clip among a batch.

    With several processes the batch is that of all of them. The loss is PyTorchVideo's: the first
    view against the second, with no negatives within a view; `losses.contrastive.nt_xent` is the
    publication's.

    Args:
        mlp: projects the features of the backbone.
        backbone: model without classifying head; None where features come in.
        temperature: divides the similarities.
    """

    def __init__(
        self, mlp: nn.Module, backbone: nn.Module | None = None, temperature: float = 0.07
    ) -> None:
        super().__init__()
        self.mlp = mlp
        self.backbone = backbone
        self.temperature = temperature

    def project(self, x: Tensor) -> Tensor:
        """Features of length 1: B x D."""
        if self.backbone is not None:
            x = self.backbone(x)
        return F.normalize(self.mlp(x), dim=1)

    def forward(self, x1: Tensor, x2: Tensor) -> Tensor:
        """Loss of two views of the same clips.

        Args:
            x1: one view, as the backbone takes it.
            x2: the other view.
        """
        first = self.project(x1)
        second = gather_with_gradient(self.project(x2))
        logits = first @ second.t() / self.temperature
        target = torch.arange(len(first), device=first.device) + get_rank() * len(first)
        return F.cross_entropy(logits, target)
