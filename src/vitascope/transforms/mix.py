"""MixUp, CutMix and MixVideo: batches whose samples are blends of two, with soft labels.

Sample i is blended with sample B - 1 - i of the same batch. Inputs are never changed in place.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from torch import Tensor, nn

from vitascope.errors import ConfigError, InputError
from vitascope.transforms.draws import Draws, as_draws
from vitascope.transforms.functional import convert_to_one_hot

Mixed = tuple[Tensor, Tensor] | tuple[Tensor, Tensor, Tensor]
Random = np.random.Generator | Draws | None


def mix_labels(
    labels: Tensor,
    share: float,
    num_classes: int,
    label_smoothing: float = 0.0,
    one_hot: bool = False,
) -> Tensor:
    """Soft labels of a batch that is blended with itself in reverse order.

    Args:
        labels: class numbers B, or one-hot labels B K with `one_hot`.
        share: weight of each sample's own label, from 0 to 1.
        num_classes: K.
        label_smoothing: share spread evenly over all classes; 0 with `one_hot`, where the labels
            are taken as they are.
        one_hot: labels are B K already.

    Returns:
        B K, each row with the sum of its inputs' rows (1 for class numbers).

    Raises:
        InputError: labels that do not fit `one_hot` and `num_classes`.
    """
    soft = labels if one_hot else convert_to_one_hot(labels, num_classes, label_smoothing)
    if soft.ndim != 2 or soft.shape[1] != num_classes:
        raise InputError(
            f"labels of shape {tuple(labels.shape)} for num_classes = {num_classes}: class "
            "numbers need shape B, one-hot labels shape B num_classes and one_hot=True"
        )
    soft = soft.float()
    return soft * share + soft.flip(0) * (1 - share)


def _check(alpha: float, label_smoothing: float) -> None:
    if not alpha > 0 or not 0 <= label_smoothing < 1:
        raise ConfigError(
            f"alpha = {alpha} must be above 0, label_smoothing = {label_smoothing} "
            "from 0 to below 1"
        )


def _check_batch(x: Tensor, labels: Tensor) -> None:
    if x.ndim < 3 or x.shape[0] != labels.shape[0] or not x.is_floating_point():
        raise InputError(
            f"expected float clips B C T H W with a label each, got {x.dtype} of shape "
            f"{tuple(x.shape)} and labels of shape {tuple(labels.shape)}"
        )


class MixUp(nn.Module):
    """Adds two samples in a random proportion (arXiv:1710.09412).

    Args:
        alpha: both parameters of the beta distribution of the proportion; small values leave
            most samples nearly alone.
        label_smoothing: see `mix_labels`.
        num_classes: length of a label row.
        one_hot: labels are rows already.
    """

    def __init__(
        self,
        alpha: float = 1.0,
        label_smoothing: float = 0.0,
        num_classes: int = 400,
        one_hot: bool = False,
    ) -> None:
        super().__init__()
        _check(alpha, label_smoothing)
        self.alpha, self.label_smoothing = alpha, label_smoothing
        self.num_classes, self.one_hot = num_classes, one_hot

    def forward(
        self,
        x_video: Tensor,
        labels: Tensor,
        x_audio: Tensor | None = None,
        *,
        rng: Random = None,
    ) -> Mixed:
        """Blends a batch.

        Args:
            x_video: clips B C T H W.
            labels: B, or B K with one_hot.
            x_audio: sound of the same samples, first dimension B.
            rng: source of the proportion; None is torch's global generator.

        Returns:
            Clips and labels B K; between them the sound, where it is given.
        """
        _check_batch(x_video, labels)
        share = as_draws(rng).beta(self.alpha, self.alpha)
        soft = mix_labels(labels, share, self.num_classes, self.label_smoothing, self.one_hot)
        video = _blend(x_video, share)
        if x_audio is None:
            return video, soft
        return video, _blend(x_audio, share), soft


def _blend(x: Tensor, share: float) -> Tensor:
    # Product and sum apart, so that results do not depend on how threads share the batch.
    return (x * share).add_(x.flip(0).mul_(1 - share))


class CutMix(nn.Module):
    """Puts a box of one sample into the other, in all frames (arXiv:1905.04899).

    Labels are weighted by the area that remains after the box is cut off at the border.

    Args:
        alpha: both parameters of the beta distribution of the remaining share.
        label_smoothing: see `mix_labels`.
        num_classes: length of a label row.
        one_hot: labels are rows already.
    """

    def __init__(
        self,
        alpha: float = 1.0,
        label_smoothing: float = 0.0,
        num_classes: int = 400,
        one_hot: bool = False,
    ) -> None:
        super().__init__()
        _check(alpha, label_smoothing)
        self.alpha, self.label_smoothing = alpha, label_smoothing
        self.num_classes, self.one_hot = num_classes, one_hot

    def forward(
        self,
        x_video: Tensor,
        labels: Tensor,
        x_audio: Tensor | None = None,
        *,
        rng: Random = None,
    ) -> Mixed:
        """Cuts and pastes within a batch.

        Args:
            x_video: clips B C T H W.
            labels: B, or B K with one_hot.
            x_audio: sound of the same samples; it comes back as it is, because sound has no box.
            rng: source of the box; None is torch's global generator.

        Returns:
            Clips and labels B K; between them the sound, where it is given.
        """
        _check_batch(x_video, labels)
        draws = as_draws(rng)
        height, width = x_video.shape[-2:]
        y1, y2, x1, x2 = cut_box(height, width, draws.beta(self.alpha, self.alpha), draws)
        share = 1 - (y2 - y1) * (x2 - x1) / (height * width)
        video = x_video.clone()
        video[..., y1:y2, x1:x2] = x_video.flip(0)[..., y1:y2, x1:x2]
        soft = mix_labels(labels, share, self.num_classes, self.label_smoothing, self.one_hot)
        return (video, soft) if x_audio is None else (video, x_audio, soft)


def cut_box(height: int, width: int, share: float, draws: Draws) -> tuple[int, int, int, int]:
    """A box around a random pixel that leaves about `share` of a picture: y1, y2, x1, x2.

    Args:
        height: of the picture in pixels.
        width: of the picture.
        share: part of the area outside of the box, before the box is cut off at the border.
        draws: gives the middle of the box.
    """
    side = math.sqrt(1 - share)
    half_y, half_x = int(height * side) // 2, int(width * side) // 2
    y, x = draws.integer(0, height), draws.integer(0, width)
    return (
        max(y - half_y, 0),
        min(y + half_y, height),
        max(x - half_x, 0),
        min(x + half_x, width),
    )


class MixVideo(nn.Module):
    """Either CutMix or MixUp for each batch.

    Args:
        cutmix_prob: probability of CutMix.
        mixup_alpha: see `MixUp`.
        cutmix_alpha: see `CutMix`.
        label_smoothing: see `mix_labels`.
        num_classes: length of a label row.
        one_hot: labels are rows already.
    """

    def __init__(
        self,
        cutmix_prob: float = 0.5,
        mixup_alpha: float = 1.0,
        cutmix_alpha: float = 1.0,
        label_smoothing: float = 0.0,
        num_classes: int = 400,
        one_hot: bool = False,
    ) -> None:
        super().__init__()
        if not 0 <= cutmix_prob <= 1:
            raise ConfigError(f"cutmix_prob = {cutmix_prob}; it must be from 0 to 1")
        self.cutmix_prob = cutmix_prob
        labels: dict[str, Any] = {
            "label_smoothing": label_smoothing,
            "num_classes": num_classes,
            "one_hot": one_hot,
        }
        self.mixup = MixUp(mixup_alpha, **labels)
        self.cutmix = CutMix(cutmix_alpha, **labels)

    def forward(
        self,
        x_video: Tensor,
        labels: Tensor,
        x_audio: Tensor | None = None,
        *,
        rng: Random = None,
    ) -> Mixed:
        """Changes a batch with one of the two, see there."""
        draws = as_draws(rng)
        chosen = self.cutmix if draws.uniform() < self.cutmix_prob else self.mixup
        mixed: Mixed = chosen(x_video, labels, x_audio, rng=draws)
        return mixed
