"""Losses that compare features of several views of the same clips."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn import functional as F

from vitascope.distributed import get_world_size
from vitascope.errors import InputError


def contrastive_loss(logits: Tensor, reduction: str = "mean") -> Tensor:
    """Cross entropy of rows whose first column is the positive.

    Args:
        logits: B x (1 + negatives).
        reduction: "mean", "sum" or "none".
    """
    target = torch.zeros(len(logits), dtype=torch.long, device=logits.device)
    return F.cross_entropy(logits, target, reduction=reduction)


def contrast_logits(query: Tensor, key: Tensor, negatives: Tensor, temperature: float) -> Tensor:
    """Similarities of queries with their key and with negatives (arXiv:1911.05722).

    Args:
        query: B x D, of length 1.
        key: B x D, of length 1.
        negatives: K x D; no gradient passes to them.
        temperature: divides the similarities.

    Returns:
        B x (1 + K), the key first.
    """
    positive = (query * key).sum(dim=1, keepdim=True)
    return torch.cat([positive, query @ negatives.detach().t()], dim=1) / temperature


def nt_xent(first: Tensor, second: Tensor, temperature: float = 0.1) -> Tensor:
    """Normalized temperature-scaled cross entropy (arXiv:2002.05709).

    Each of the 2B rows has its other view as positive and all other rows as negatives.

    Args:
        first: features B x D of one view, of length 1.
        second: features B x D of the other view.
        temperature: divides the similarities.
    """
    rows = torch.cat([first, second])
    similarity = rows @ rows.t() / temperature
    itself = torch.eye(len(rows), dtype=torch.bool, device=rows.device)
    similarity = similarity.masked_fill(itself, float("-inf"))
    partner = torch.arange(len(rows), device=rows.device).roll(len(first))
    return F.cross_entropy(similarity, partner)


def similarity_loss(query: Tensor, key: Tensor, temperature: float = 1.0) -> Tensor:
    """Negative mean similarity of rows (arXiv:2006.07733).

    Args:
        query: B x D, of length 1.
        key: B x D, of length 1.
        temperature: divides the similarities.
    """
    return -(query * key).sum(dim=1).mean() / temperature


def _sum(x: Tensor) -> Tensor:
    if get_world_size() > 1:
        dist.all_reduce(x)
    return x


@torch.no_grad()
def sinkhorn(weights: Tensor, iterations: int = 3) -> Tensor:
    """Shares samples out evenly over prototypes (arXiv:2006.09882).

    Rows and columns are scaled in turn until every prototype gets the same share and every sample
    gives away one. With several processes the shares are those of all samples together.

    Args:
        weights: positive weights B x K of the samples of this process and the prototypes.
        iterations: how often both are scaled.

    Returns:
        B x K, float32; each row sums to 1.
    """
    share = weights.t().clone()
    share /= _sum(share.sum())
    prototypes, samples = share.shape[0], share.shape[1] * get_world_size()
    for _ in range(iterations):
        share /= _sum(share.sum(dim=1)).unsqueeze(1) * prototypes
        share /= share.sum(dim=0, keepdim=True) * samples
    return (share / share.sum(dim=0, keepdim=True)).t().float()


def swav_loss(
    scores: Sequence[Tensor],
    codes: Sequence[Tensor],
    temperature: float = 0.1,
) -> Tensor:
    """Predicts the prototypes of one view from each other view (arXiv:2006.09882).

    Args:
        scores: similarities B x K with the prototypes, one tensor for each view.
        codes: shares B x K of the first views, from `sinkhorn`.
        temperature: divides the similarities.

    Raises:
        InputError: fewer than two views, or more codes than views.
    """
    if len(scores) < 2 or len(codes) > len(scores):
        raise InputError(
            f"got {len(scores)} views and {len(codes)} codes; expected 2 or more views"
        )
    logs = [F.log_softmax(score / temperature, dim=1) for score in scores]
    terms = [
        -(code * log).sum(dim=1).mean()
        for i, code in enumerate(codes)
        for j, log in enumerate(logs)
        if i != j
    ]
    return torch.stack(terms).mean()
