"""Mean squared errors of one or several targets, by PySlowFast's names `mse` and `multi_mse`."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from vitascope.errors import InputError
from vitascope.losses.soft_target_cross_entropy import reduce


def mean_squared_error(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """Squared differences of tensors of one shape; a shape that would be broadcast is an error.

    Raises:
        InputError: shapes that differ.
        ConfigError: another reduction than mean, sum, none.
    """
    if input.shape != target.shape:
        raise InputError(
            f"prediction of shape {tuple(input.shape)} for a target of shape {tuple(target.shape)}"
        )
    return reduce((input - target).square(), reduction)


class MultipleMSELoss(nn.Module):
    """Weighted sum of mean squared errors, one for each kind of target (arXiv:2112.09133).

    Args:
        reduction: "mean" or "sum" within each part.
    """

    def __init__(self, reduction: str = "mean") -> None:
        super().__init__()
        reduce(torch.zeros(1), reduction)  # refuses an unknown word now, not in the first step
        self.reduction = reduction

    def forward(
        self, input: Sequence[Tensor], target: Sequence[tuple[Tensor, float]]
    ) -> tuple[Tensor, list[Tensor]]:
        """Compares predictions with their targets.

        Args:
            input: one prediction for each part.
            target: target and weight of each part.

        Returns:
            The weighted sum, and the parts without their weights.

        Raises:
            InputError: no part, or another number of targets than predictions.
        """
        if not input or len(input) != len(target):
            raise InputError(f"{len(input)} predictions for {len(target)} targets")
        parts = [
            mean_squared_error(x, y, self.reduction)
            for x, (y, _) in zip(input, target, strict=True)
        ]
        weighted = [p * weight for p, (_, weight) in zip(parts, target, strict=True)]
        return torch.stack(weighted).sum(), parts
