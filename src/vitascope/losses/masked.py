"""Losses of networks that predict what they do not see."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from vitascope.errors import InputError


def masked_loss(
    predictions: Sequence[Tensor], targets: Sequence[Tensor | tuple[Tensor, float]]
) -> Tensor:
    """Weighted sum of mean squared errors.

    Args:
        predictions: rows for each hidden token, one tensor for each depth.
        targets: what they should be; as a pair, with the weight of the depth (else 1).

    Raises:
        InputError: different numbers of predictions and targets.
    """
    if len(predictions) != len(targets) or not predictions:
        raise InputError(f"got {len(predictions)} predictions and {len(targets)} targets")
    pairs = [target if isinstance(target, tuple) else (target, 1.0) for target in targets]
    terms = [
        weight * F.mse_loss(prediction, target)
        for prediction, (target, weight) in zip(predictions, pairs, strict=True)
    ]
    return torch.stack(terms).sum()
