"""Losses, and the names by which PySlowFast's configurations ask for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from vitascope.catalog import Catalog
from vitascope.errors import UnknownChoiceError
from vitascope.losses.ava import binary_cross_entropy, binary_cross_entropy_with_logits
from vitascope.losses.contrastive import contrastive_loss
from vitascope.losses.soft_target_cross_entropy import SoftTargetCrossEntropyLoss

# Not under its own name, which is that of its module: `import ... as` would find the function.
from vitascope.losses.soft_target_cross_entropy import soft_target_cross_entropy as _soft_target
from vitascope.losses.squared_error import MultipleMSELoss, mean_squared_error

__all__ = ["LOSSES", "SoftTargetCrossEntropyLoss", "get_loss"]


class FunctionLoss(nn.Module):
    """A loss function with its reduction as a module."""

    def __init__(self, function: Callable[..., Any], reduction: str) -> None:
        super().__init__()
        if reduction not in ("mean", "sum", "none"):
            raise UnknownChoiceError(f"reduction = {reduction!r}; legal values: mean, sum, none")
        self.function, self.reduction = function, reduction

    def forward(self, *inputs: Any) -> Any:
        """Calls the function."""
        return self.function(*inputs, reduction=self.reduction)


def _of(function: Callable[..., Any]) -> Callable[[str], nn.Module]:
    return lambda reduction: FunctionLoss(function, reduction)


LOSSES: Catalog[Callable[[str], nn.Module]] = Catalog("loss")
LOSSES.add("cross_entropy", _of(_soft_target))
LOSSES.add("soft_cross_entropy", _of(_soft_target))
LOSSES.add("bce", _of(binary_cross_entropy))
LOSSES.add("bce_logit", _of(binary_cross_entropy_with_logits))
LOSSES.add("mse", _of(mean_squared_error))
LOSSES.add("multi_mse", MultipleMSELoss)
LOSSES.add("contrastive_loss", _of(contrastive_loss))


def get_loss(name: str, reduction: str = "mean") -> nn.Module:
    """The loss of a name.

    Args:
        name: cross_entropy and soft_cross_entropy (both take class numbers or soft labels), bce,
            bce_logit, mse, multi_mse or contrastive_loss.
        reduction: "mean", "sum" or "none".

    Raises:
        UnknownNameError: no loss of that name.
        UnknownChoiceError: another reduction.
    """
    return LOSSES[name](reduction)
