"""Losses of detectors and taggers: every class of a box or clip is a question of its own.

A batch without any box has the loss 0, with a gradient of zeros.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from vitascope.errors import InputError
from vitascope.losses.soft_target_cross_entropy import reduce


def _check(input: Tensor, target: Tensor) -> None:
    if input.shape != target.shape:
        raise InputError(
            f"scores of shape {tuple(input.shape)} for targets of shape {tuple(target.shape)}; "
            "each class needs a 0 or 1"
        )


def binary_cross_entropy(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """Binary cross entropy of probabilities (after a sigmoid), for models that end in one.

    Args:
        input: probabilities N K.
        target: 0, 1 or between, N K.
        reduction: "mean", "sum" or "none".
    """
    _check(input, target)
    # Half precision cannot hold the probabilities next to 1.
    with torch.autocast(input.device.type, enabled=False):
        loss = F.binary_cross_entropy(input.float(), target.float(), reduction="none")
    return reduce(loss, reduction)


def binary_cross_entropy_with_logits(
    input: Tensor, target: Tensor, reduction: str = "mean"
) -> Tensor:
    """Binary cross entropy of logits.

    Args:
        input: logits N K.
        target: 0, 1 or between, N K.
        reduction: "mean", "sum" or "none".
    """
    _check(input, target)
    loss = F.binary_cross_entropy_with_logits(input, target.to(input.dtype), reduction="none")
    return reduce(loss, reduction)
