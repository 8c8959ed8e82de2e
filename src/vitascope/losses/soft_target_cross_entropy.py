"""Cross entropy with soft labels: what MixUp, CutMix, smoothing and distillation need."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vitascope.errors import ConfigError, InputError, UnknownChoiceError

Reduction = Literal["mean", "sum", "none"]
# Keeps a row of zeros from dividing by zero: such a sample has no label and a loss of 0.
_EPSILON = torch.finfo(torch.float32).eps


def reduce(loss: Tensor, reduction: str) -> Tensor:
    """The mean (0 of nothing) or sum of a loss, or the loss itself ("none").

    Raises:
        UnknownChoiceError: another word.
    """
    if reduction == "none":
        return loss
    if reduction not in ("mean", "sum"):
        raise UnknownChoiceError(f"reduction = {reduction!r}; legal values: mean, sum, none")
    return loss.mean() if reduction == "mean" and loss.numel() else loss.sum()


def soft_target_cross_entropy(
    input: Tensor,
    target: Tensor,
    ignore_index: int = -100,
    reduction: Reduction = "mean",
    normalize_targets: bool = True,
    label_smoothing: float = 0.0,
) -> Tensor:
    """Cross entropy of logits against class numbers or weights of all classes.

    Args:
        input: logits N K.
        target: class numbers N, or weights N K of at least 0.
        ignore_index: samples of this class number, or with a weight above 0 for this class, have
            a loss of 0 and do not count in the mean.
        reduction: "mean" over the samples that count (0 where none does), "sum", or "none".
        normalize_targets: scale the weights of each sample to the sum 1; a sample without any
            weight has a loss of 0 and counts.
        label_smoothing: share of each sample's weight that is spread evenly over all classes.

    Returns:
        A scalar, or N for "none".

    Raises:
        InputError: shapes that do not fit, or a class number that is neither a class nor
            `ignore_index`.
        ConfigError: another reduction, or a smoothing that is not from 0 to below 1.
    """
    if input.ndim != 2 or target.shape not in (input.shape, input.shape[:1]):
        raise InputError(
            f"expected logits N K with targets N or N K, got shapes {tuple(input.shape)} and "
            f"{tuple(target.shape)}"
        )
    if not 0 <= label_smoothing < 1:
        raise ConfigError(f"label_smoothing = {label_smoothing}; it must be from 0 to below 1")
    classes = input.shape[1]
    if target.ndim == 1:
        valid = target != ignore_index
        # Rows that are ignored get any class; `valid` removes them below.
        numbers = torch.where(valid, target, 0).long()
        if numbers.numel() and not 0 <= int(numbers.min()) <= int(numbers.max()) < classes:
            raise InputError(
                f"class numbers from {int(numbers.min())} to {int(numbers.max())} for "
                f"{classes} classes"
            )
        weights = F.one_hot(numbers, classes).to(input.dtype)
    else:
        weights = target.to(input.dtype)
        valid = torch.ones_like(weights[:, 0], dtype=torch.bool)
        if 0 <= ignore_index < classes:
            valid = weights[:, ignore_index] <= 0
    weights = weights * valid[:, None]
    if normalize_targets:
        weights = weights / (weights.sum(1, keepdim=True) + _EPSILON)
    if label_smoothing:
        spread = weights.sum(1, keepdim=True) / classes
        weights = weights * (1 - label_smoothing) + spread * label_smoothing
    loss = -(weights * F.log_softmax(input, 1)).sum(1)
    if reduction == "mean":
        return loss.sum() / valid.sum().clamp(min=1)
    return reduce(loss, reduction)


class SoftTargetCrossEntropyLoss(nn.Module):
    """Cross entropy with soft labels as a module; see `soft_target_cross_entropy`.

    Args:
        ignore_index: class whose samples do not count.
        reduction: "mean", "sum" or "none".
        normalize_targets: scale the weights of each sample to the sum 1.
        label_smoothing: share of each sample's weight that is spread evenly over all classes.
    """

    def __init__(
        self,
        ignore_index: int = -100,
        reduction: Reduction = "mean",
        normalize_targets: bool = True,
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__()
        if reduction not in ("mean", "sum", "none"):
            raise UnknownChoiceError(f"reduction = {reduction!r}; legal values: mean, sum, none")
        self.ignore_index, self.reduction = ignore_index, reduction
        self.normalize_targets, self.label_smoothing = normalize_targets, label_smoothing

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """The loss of logits N K against class numbers N or weights N K."""
        return soft_target_cross_entropy(
            input,
            target,
            self.ignore_index,
            self.reduction,
            self.normalize_targets,
            self.label_smoothing,
        )
