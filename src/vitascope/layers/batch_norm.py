"""Norms and activations as arguments of builders, and the norms that torch has not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from vitascope.layers.sync_batch_norm import (
    NaiveSyncBatchNorm1d,
    NaiveSyncBatchNorm2d,
    NaiveSyncBatchNorm3d,
    SubBatchNorm3d,
)

__all__ = [
    "ModuleFactory",
    "NaiveSyncBatchNorm1d",
    "NaiveSyncBatchNorm2d",
    "NaiveSyncBatchNorm3d",
    "SubBatchNorm3d",
    "fix_norm",
    "make_activation",
    "make_norm",
    "mark_final_norm",
]

ModuleFactory = Callable[..., nn.Module]


def make_norm(
    norm: ModuleFactory | None, channels: int, eps: float = 1e-5, momentum: float = 0.1
) -> nn.Module | None:
    """Builds `norm(num_features=channels, eps=eps, momentum=momentum)`; None stays None."""
    return None if norm is None else norm(num_features=channels, eps=eps, momentum=momentum)


def fix_norm(norm: ModuleFactory | None, eps: float, momentum: float) -> ModuleFactory | None:
    """A norm class with its epsilon and momentum settled, whatever it is called with later."""
    if norm is None:
        return None

    def build(num_features: int, **_: Any) -> nn.Module:
        return norm(num_features=num_features, eps=eps, momentum=momentum)

    return build


def make_activation(activation: ModuleFactory | None) -> nn.Module | None:
    """Builds `activation()`; None stays None. A softmax is taken over the channels (dim 1)."""
    if activation is None:
        return None
    kwargs: dict[str, Any] = {"dim": 1} if activation is nn.Softmax else {}
    return activation(**kwargs)


def mark_final_norm(norm: nn.Module | None) -> nn.Module | None:
    """Marks the last norm of a residual branch, which starts at 0 (arXiv:1706.02677)."""
    if norm is not None:
        norm.block_final_bn = True  # type: ignore[assignment]
    return norm
