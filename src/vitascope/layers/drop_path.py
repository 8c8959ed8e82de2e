"""Stochastic depth (arXiv:1603.09382): residual branches left out for whole samples."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def drop_path(x: Tensor, drop_prob: float = 0.0, training: bool = False) -> Tensor:
    """Sets samples of a batch to 0 and scales the others up, so that the mean stays.

    Args:
        x: B x ...
        drop_prob: probability that a sample is dropped.
        training: without it x is returned as it is.
    """
    if drop_prob == 0.0 or not training:
        return x
    keep = 1.0 - drop_prob
    mask = torch.rand([x.shape[0]] + [1] * (x.dim() - 1), dtype=x.dtype, device=x.device) < keep
    return x * mask / keep if keep > 0 else x * 0.0


class DropPath(nn.Module):
    """`drop_path` as a module.

    Args:
        drop_prob: probability that a sample is dropped in training.
    """

    def __init__(self, drop_prob: float = 0.0) -> None:
        super().__init__()
        self.drop_prob = drop_prob

    def forward(self, x: Tensor) -> Tensor:
        """Drops samples of B x ... in training."""
        return drop_path(x, self.drop_prob, self.training)
