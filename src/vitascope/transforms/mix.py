"""MixUp, CutMix and MixVideo: batches whose samples are blends of two, with soft labels.

Sample i is blended with sample B - 1 - i of the same batch. Inputs are never changed in place.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any

from torch import Tensor, nn

from vitascope.errors import ConfigError, InputError
from vitascope.transforms.functional import convert_to_one_hot
from vitascope.transforms.random_source import Draws, RandomSource, as_draws

Mixed = tuple[Tensor, Tensor] | tuple[Tensor, Tensor, Tensor]


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


class PairMixing(nn.Module, ABC):
    """Mixes every sample of a batch with its counterpart in the batch in reverse order.

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

    @abstractmethod
    def mixed(self, x_video: Tensor, draws: Draws) -> tuple[Tensor, float]:
        """The mixed clips, and the share of each that remains."""

    @abstractmethod
    def heard(self, x_audio: Tensor, share: float) -> Tensor:
        """The sound that goes with the mixed clips."""

    def forward(
        self,
        x_video: Tensor,
        labels: Tensor,
        x_audio: Tensor | None = None,
        *,
        rng: RandomSource = None,
        **args: Any,
    ) -> Mixed:
        """Mixes a batch.

        Args:
            x_video: clips B C T H W.
            labels: B, or B K with one_hot.
            x_audio: sound of the same samples, first dimension B.
            rng: source of the proportion and of the box; None is torch's global generator.
            args: taken and not used, for programs of PyTorchVideo that hand over more.

        Returns:
            Clips and labels B K; between them the sound, where it is given.
        """
        _check_batch(x_video, labels)
        video, share = self.mixed(x_video, as_draws(rng))
        soft = mix_labels(labels, share, self.num_classes, self.label_smoothing, self.one_hot)
        return (video, soft) if x_audio is None else (video, self.heard(x_audio, share), soft)


class MixUp(PairMixing):
    """Adds two samples in a random proportion (arXiv:1710.09412).

    Arguments are those of `PairMixing`.
    """

    def mixed(self, x_video: Tensor, draws: Draws) -> tuple[Tensor, float]:
        """The clips blended with those of the batch in reverse order, and the proportion."""
        share = draws.beta(self.alpha, self.alpha)
        return _blend(x_video, share), share

    def heard(self, x_audio: Tensor, share: float) -> Tensor:
        """Sound blended as the clips are."""
        return _blend(x_audio, share)


def _blend(x: Tensor, share: float) -> Tensor:
    # Product and sum apart, so that results do not depend on how threads share the batch.
    return (x * share).add_(x.flip(0).mul_(1 - share))


class CutMix(PairMixing):
    """Puts a box of one sample into the other, in all frames (arXiv:1905.04899).

    Labels are weighted by the area that remains after the box is cut off at the border.

    Arguments are those of `PairMixing`; `alpha` is about the share that remains.
    """

    def mixed(self, x_video: Tensor, draws: Draws) -> tuple[Tensor, float]:
        """The clips with a box of those in reverse order, and the share that remains."""
        return _paste(x_video, draws.beta(self.alpha, self.alpha), draws)

    def heard(self, x_audio: Tensor, share: float) -> Tensor:
        """Sound as it is, because it has no box."""
        return x_audio


def cut_box(height: int, width: int, share: float, draws: Draws) -> tuple[int, int, int, int]:
    """A box around a random pixel that leaves about `share` of an image: y1, y2, x1, x2.

    Args:
        height: of the image in pixels.
        width: of the image.
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
        rng: RandomSource = None,
        **args: Any,
    ) -> Mixed:
        """Changes a batch with one of the two; arguments as there."""
        draws = as_draws(rng)
        chosen = self.cutmix if draws.uniform() < self.cutmix_prob else self.mixup
        mixed: Mixed = chosen(x_video, labels, x_audio, rng=draws)
        return mixed


class RandomMix(nn.Module):
    """MixUp or CutMix for a random part of the batches, as timm and PySlowFast mix.

    Args:
        mixup_alpha: see `MixUp`; 0 leaves it out.
        cutmix_alpha: see `CutMix`; 0 leaves it out.
        mix_prob: probability that a batch is mixed at all.
        switch_prob: probability of CutMix, where both are in.
        correct_lam: weight labels by the area that remains after the box is cut off at the border.
        label_smoothing: see `mix_labels`; for batches that are not mixed as well.
        num_classes: length of a label row.

    Raises:
        ConfigError: both alphas are 0 and batches are to be mixed, or a value out of range.
    """

    def __init__(
        self,
        mixup_alpha: float = 1.0,
        cutmix_alpha: float = 0.0,
        mix_prob: float = 1.0,
        switch_prob: float = 0.5,
        correct_lam: bool = True,
        label_smoothing: float = 0.1,
        num_classes: int = 1000,
    ) -> None:
        super().__init__()
        if not (0 <= mix_prob <= 1 and 0 <= switch_prob <= 1 and 0 <= label_smoothing < 1):
            raise ConfigError(
                f"mix_prob = {mix_prob}, switch_prob = {switch_prob}, label_smoothing = "
                f"{label_smoothing}; they must be from 0 to 1"
            )
        if min(mixup_alpha, cutmix_alpha) < 0 or (mix_prob and not mixup_alpha + cutmix_alpha):
            raise ConfigError(
                f"mixup_alpha = {mixup_alpha}, cutmix_alpha = {cutmix_alpha}; neither below 0, "
                "one above 0"
            )
        self.mixup_alpha, self.cutmix_alpha = mixup_alpha, cutmix_alpha
        self.mix_prob, self.switch_prob, self.correct_lam = mix_prob, switch_prob, correct_lam
        self.label_smoothing, self.num_classes = label_smoothing, num_classes

    def forward(
        self, x: Tensor, target: Tensor, *, rng: RandomSource = None
    ) -> tuple[Tensor, Tensor]:
        """Changes a batch.

        Args:
            x: clips B C T H W.
            target: class numbers B.
            rng: source of random numbers; None is torch's global generator.

        Returns:
            Clips, and labels B K.
        """
        mixed = self.mixed(x, target, rng=rng)
        if mixed is not None:
            return mixed
        return x, mix_labels(target, 1.0, self.num_classes, self.label_smoothing)

    def mixed(
        self, x: Tensor, target: Tensor, *, rng: RandomSource = None
    ) -> tuple[Tensor, Tensor] | None:
        """The same, and None for a batch that is left alone, so that its labels stay numbers."""
        _check_batch(x, target)
        draws = as_draws(rng)
        if self.mix_prob == 0 or draws.uniform() >= self.mix_prob:
            return None
        cutmix = self.cutmix_alpha > 0
        if cutmix and self.mixup_alpha > 0:
            cutmix = draws.uniform() < self.switch_prob
        alpha = self.cutmix_alpha if cutmix else self.mixup_alpha
        share = draws.beta(alpha, alpha)
        if cutmix:
            x, area = _paste(x, share, draws)
            share = area if self.correct_lam else share
        else:
            x = _blend(x, share)
        return x, mix_labels(target, share, self.num_classes, self.label_smoothing)


def _paste(x: Tensor, share: float, draws: Draws) -> tuple[Tensor, float]:
    """Puts a box of the reversed batch into the batch; the share of the area that remains."""
    height, width = x.shape[-2:]
    y1, y2, x1, x2 = cut_box(height, width, share, draws)
    pasted = x.clone()
    pasted[..., y1:y2, x1:x2] = x.flip(0)[..., y1:y2, x1:x2]
    return pasted, 1 - (y2 - y1) * (x2 - x1) / (height * width)
