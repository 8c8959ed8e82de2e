"""Accuracy of one label per sample: top-k, mean over classes, confusion matrix, its uncertainty."""

from __future__ import annotations

import math
from statistics import NormalDist

import torch
from torch import Tensor

from vitascope.errors import ConfigError, InputError


def _check(scores: Tensor, labels: Tensor) -> None:
    if scores.ndim != 2 or labels.shape != scores.shape[:1]:
        raise InputError(
            f"expected scores N K and labels N, got shapes {tuple(scores.shape)} and "
            f"{tuple(labels.shape)}"
        )
    if labels.numel() and not 0 <= int(labels.min()) <= int(labels.max()) < scores.shape[1]:
        raise InputError(
            f"labels from {int(labels.min())} to {int(labels.max())} for scores of "
            f"{scores.shape[1]} classes"
        )


def label_ranks(scores: Tensor, labels: Tensor) -> Tensor:
    """How many classes come before the true one.

    A class of equal score comes before when its number is smaller, so that equal scores for all
    classes are no perfect prediction. A row with a nan has the last rank.

    Args:
        scores: N K, higher is better; logits or probabilities.
        labels: true classes N.

    Returns:
        Ranks N as int64, 0 is the best.

    Raises:
        InputError: shapes that do not fit, or a label that is no class.
    """
    _check(scores, labels)
    own = scores.gather(1, labels[:, None].long())
    before = torch.arange(scores.shape[1], device=scores.device) < labels[:, None]
    ranks = ((scores > own) | ((scores == own) & before)).sum(1)
    return torch.where(scores.isnan().any(1), scores.shape[1], ranks)


def topk_correct(scores: Tensor, labels: Tensor, k: int = 1) -> Tensor:
    """Which samples have their true class among the best k.

    Args:
        scores: N K, higher is better.
        labels: true classes N.
        k: above the number of classes, every sample without a nan is correct.

    Returns:
        bool N. Ties are decided as in `label_ranks`.
    """
    if k < 1:
        raise ConfigError(f"top-k needs k of at least 1, got {k}")
    ranks = label_ranks(scores, labels)
    return ranks < min(k, scores.shape[1])


def predicted(scores: Tensor) -> Tensor:
    """The best class of each row of N K, the first of equal ones; -1 where a score is nan."""
    best = scores.nan_to_num(nan=-math.inf).argmax(1)
    # argmax promises no order among equal scores.
    equal = scores == scores.gather(1, best[:, None])
    classes = torch.arange(scores.shape[1], device=scores.device)
    first = torch.where(equal, classes, scores.shape[1]).amin(1)
    return torch.where(scores.isnan().any(1), -1, first)


def accuracy(scores: Tensor, labels: Tensor, k: int = 1) -> float:
    """Share of samples with their true class among the best k, from 0 to 1; nan without samples."""
    correct = topk_correct(scores, labels, k)
    return float(correct.sum()) / len(correct) if len(correct) else math.nan


def confusion_matrix(labels: Tensor, predictions: Tensor, num_classes: int) -> Tensor:
    """Counts of each true class (rows) predicted as each class (columns): K K as int64.

    Predictions below 0 (`predicted` of a nan) are in no column.

    Raises:
        InputError: a label or prediction that is no class.
    """
    for name, values in (("label", labels), ("prediction", predictions)):
        if values.numel() and int(values.max()) >= num_classes:
            raise InputError(f"{name} {int(values.max())} for {num_classes} classes")
    if labels.shape != predictions.shape or (labels.numel() and int(labels.min()) < 0):
        raise InputError("one prediction and one label of at least 0 is needed for each sample")
    kept = predictions >= 0
    cells = labels[kept].long() * num_classes + predictions[kept].long()
    return torch.bincount(cells, minlength=num_classes**2).view(num_classes, num_classes)


def per_class_accuracy(scores: Tensor, labels: Tensor) -> Tensor:
    """Top-1 accuracy of the samples of each class: float64 K, nan for a class without samples."""
    correct = topk_correct(scores, labels)
    classes = scores.shape[1]
    counts = torch.bincount(labels.long(), minlength=classes).double()
    hits = torch.bincount(labels.long()[correct], minlength=classes).double()
    return hits / counts


def mean_class_accuracy(scores: Tensor, labels: Tensor) -> float:
    """Mean of the classes' top-1 accuracies, from 0 to 1; classes without samples are left out."""
    return float(per_class_accuracy(scores, labels).nanmean())


def precision_recall_f1(confusion: Tensor) -> Tensor:
    """Precision, recall and F1 of each class, from counts of true (rows) and predicted classes.

    Precision is the right share of what was given the class, recall the right share of the samples
    of the class, and F1 their harmonic mean, 2 TP / (2 TP + FP + FN).

    Args:
        confusion: counts K K, as `confusion_matrix` gives them.

    Returns:
        float64 K 3, from 0 to 1; nan where nothing was given the class (precision), where it has
        no sample (recall), or both (F1).

    Raises:
        InputError: no square of counts.
    """
    if confusion.ndim != 2 or confusion.shape[0] != confusion.shape[1]:
        raise InputError(f"expected a confusion matrix K K, got shape {tuple(confusion.shape)}")
    right, counts = confusion.diagonal().double(), confusion.double()
    given, present = counts.sum(0), counts.sum(1)
    return torch.stack([right / given, right / present, 2 * right / (given + present)], 1)


def wilson_interval(correct: int, total: int, confidence: float = 0.95) -> tuple[float, float]:
    """Range in which the true accuracy lies (Wilson score interval).

    Args:
        correct: samples that were right.
        total: samples.
        confidence: probability that such ranges hold the true value.

    Returns:
        Lower and upper end from 0 to 1; (0, 1) without samples.

    Raises:
        ConfigError: counts that do not fit, or a confidence that is not between 0 and 1.
    """
    if not 0 <= correct <= total or not 0 < confidence < 1:
        raise ConfigError(f"{correct} correct of {total} at confidence {confidence}")
    if total == 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    share = correct / total
    middle = share + z * z / (2 * total)
    spread = z * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    scale = 1 + z * z / total
    # Rounding must not leave the range at 0 and at all correct.
    lower = 0.0 if correct == 0 else (middle - spread) / scale
    upper = 1.0 if correct == total else (middle + spread) / scale
    return lower, upper
