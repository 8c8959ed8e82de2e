"""Norms and activations as arguments of builders."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

ModuleFactory = Callable[..., nn.Module]


def make_norm(
    norm: ModuleFactory | None, channels: int, eps: float = 1e-5, momentum: float = 0.1
) -> nn.Module | None:
    """Builds `norm(num_features=channels, eps=eps, momentum=momentum)`; None stays None."""
    return None if norm is None else norm(num_features=channels, eps=eps, momentum=momentum)


def make_activation(activation: ModuleFactory | None) -> nn.Module | None:
    """Builds `activation()`; None stays None. A softmax is taken over the channels (dim 1)."""
    if activation is None:
        return None
    kwargs: dict[str, Any] = {"dim": 1} if activation is nn.Softmax else {}
    return activation(**kwargs)
