"""Models that follow another one slowly."""

from __future__ import annotations

import copy
import math

import torch
from torch import nn


def follower(network: nn.Module) -> nn.Module:
    """A copy of a model that no optimizer trains."""
    copied = copy.deepcopy(network)
    for parameter in copied.parameters():
        parameter.requires_grad_(False)
    return copied


@torch.no_grad()
def follow(slow: nn.Module, fast: nn.Module, momentum: float) -> None:
    """Moves the parameters of `slow` towards those of `fast`: momentum * slow + the rest * fast."""
    for mine, other in zip(slow.parameters(), fast.parameters(), strict=True):
        mine.mul_(momentum).add_(other, alpha=1.0 - momentum)


def momentum_schedule(start: float, progress: float) -> float:
    """Momentum that rises from `start` to 1 as half a cosine.

    Args:
        start: momentum at the beginning.
        progress: share of the training that is over, 0 to 1.
    """
    return 1.0 - (1.0 - start) * (math.cos(math.pi * progress) + 1.0) / 2.0
