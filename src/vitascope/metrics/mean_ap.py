"""Average precision of labels of which a sample may have several (Charades, AVA, AudioSet)."""

from __future__ import annotations

import torch
from torch import Tensor

from vitascope.errors import InputError


def average_precision(scores: Tensor, targets: Tensor) -> Tensor:
    """Average precision of each class: the sum over thresholds of precision times recall step.

    Samples of equal score pass one threshold together, so their order does not matter.

    Args:
        scores: N K, higher is more certain.
        targets: N K, 0 or 1.

    Returns:
        float64 K; nan for a class without a positive sample.

    Raises:
        InputError: shapes that differ, targets that are not 0 or 1, or a score that is nan.
    """
    if scores.shape != targets.shape or scores.ndim != 2:
        raise InputError(
            f"expected scores and targets N K, got shapes {tuple(scores.shape)} and "
            f"{tuple(targets.shape)}"
        )
    if scores.isnan().any() or not ((targets == 0) | (targets == 1)).all():
        raise InputError("average precision needs targets of 0 and 1 and scores without nan")
    count, classes = scores.shape
    if not count:
        return torch.full((classes,), torch.nan, dtype=torch.float64)
    ordered, order = scores.cpu().t().sort(dim=1, descending=True)
    hits = targets.cpu().t().double().gather(1, order)
    positives = hits.sum(1)
    true = hits.cumsum(1)
    precision = true / torch.arange(1, count + 1, dtype=torch.float64)
    # Recall only steps at the last sample of each threshold.
    last = torch.ones_like(ordered, dtype=torch.bool)
    last[:, :-1] = ordered[:, :-1] != ordered[:, 1:]
    reached = torch.where(last, true, 0).cummax(1).values
    step = torch.diff(reached, dim=1, prepend=torch.zeros(classes, 1, dtype=torch.float64))
    return (precision * step).sum(1) / torch.where(positives > 0, positives, torch.nan)


def mean_average_precision(scores: Tensor, targets: Tensor) -> float:
    """Mean of `average_precision` over the classes with a positive sample; nan without any."""
    return float(average_precision(scores, targets).nanmean())
