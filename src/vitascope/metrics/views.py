"""From the scores of views (clips x crops) to one score for each video, with an honest count."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from vitascope.errors import ConfigError, InputError

Ensemble = Literal["mean", "sum", "max"]
_ENSEMBLES = ("mean", "sum", "max")


@dataclass(frozen=True)
class VideoScores:
    """What a set of videos scored.

    Attributes:
        scores: float32 N K; nan for a video without any view.
        views: how many views each video had, int64 N.
        expected: how many views each should have had.
    """

    scores: Tensor
    views: Tensor
    expected: int

    @property
    def n_expected(self) -> int:
        """How many videos there are."""
        return len(self.views)

    @property
    def n_evaluated(self) -> int:
        """How many videos have at least one view."""
        return int((self.views > 0).sum())

    @property
    def evaluated(self) -> Tensor:
        """Which videos have at least one view: bool N."""
        return self.views > 0

    @property
    def incomplete(self) -> list[int]:
        """Videos with fewer views than expected, those without any included."""
        return [int(i) for i in torch.nonzero(self.views < self.expected)[:, 0]]


class ViewScores:
    """Collects scores of views in any order; each view counts once however often it comes.

    A distributed sampler that pads its last batch, or a view that is evaluated again after a
    restart, therefore changes nothing. Sums are kept in float64.

    Args:
        num_videos: N.
        num_classes: K.
        views: views of each video.
        ensemble: "mean" or "sum" of the views that came, or the greatest score ("max").
        start: score before the first view. None is 0, for "max" below any score; 0 with "max" is
            what PySlowFast does, which is wrong for logits.
    """

    def __init__(
        self,
        num_videos: int,
        num_classes: int,
        views: int = 1,
        ensemble: Ensemble = "mean",
        *,
        start: float | None = None,
    ) -> None:
        if ensemble not in _ENSEMBLES:
            raise ConfigError(f"ensemble = {ensemble!r}; legal values: {', '.join(_ENSEMBLES)}")
        if num_videos < 0 or num_classes < 1 or views < 1:
            raise ConfigError(f"{num_videos} videos, {num_classes} classes, {views} views")
        self.ensemble = ensemble
        self.seen = torch.zeros(num_videos, views, dtype=torch.bool)
        if start is None:
            start = -torch.inf if ensemble == "max" else 0.0
        self.total = torch.full((num_videos, num_classes), start, dtype=torch.float64)

    def add(self, scores: Tensor, video: Tensor, view: Tensor | None = None) -> None:
        """Adds the scores of some views.

        Args:
            scores: B K; probabilities for "mean" and "sum" unless logits are meant.
            video: number of the video of each row, B.
            view: number of the view of each row within its video, B; None where videos have one.

        Raises:
            InputError: shapes that do not fit, or a video or view that does not exist.
        """
        videos, views = self.seen.shape
        if view is None:
            if views != 1:
                raise InputError(f"each video has {views} views; say which ones these are")
            view = torch.zeros_like(video)
        if scores.ndim != 2 or scores.shape[1] != self.total.shape[1]:
            raise InputError(
                f"scores of shape {tuple(scores.shape)}; expected B {self.total.shape[1]}"
            )
        if video.shape != scores.shape[:1] or view.shape != scores.shape[:1]:
            raise InputError("one video number and one view number is needed for each row")
        rows = scores.detach().double().cpu()
        for row, i, j in zip(rows, video.tolist(), view.tolist(), strict=True):
            if not (0 <= i < videos and 0 <= j < views):
                raise InputError(f"view {j} of video {i}; there are {videos} videos x {views}")
            if self.seen[i, j]:
                continue
            self.seen[i, j] = True
            if self.ensemble == "max":
                torch.maximum(self.total[i], row, out=self.total[i])
            else:
                self.total[i] += row

    def result(self) -> VideoScores:
        """The scores of all videos so far."""
        views = self.seen.sum(1)
        total = self.total
        if self.ensemble == "mean":
            total = total / views.clamp(min=1)[:, None]
        total = torch.where(views[:, None] > 0, total, torch.nan)
        return VideoScores(total.float(), views, self.seen.shape[1])


def combine_views(scores: Tensor, ensemble: Ensemble = "mean") -> Tensor:
    """Combines complete views: B V K to B K; see `ViewScores` for the rest."""
    if ensemble not in _ENSEMBLES:
        raise ConfigError(f"ensemble = {ensemble!r}; legal values: {', '.join(_ENSEMBLES)}")
    if scores.ndim != 3 or not scores.shape[1]:
        raise InputError(f"expected scores B V K with views, got shape {tuple(scores.shape)}")
    if ensemble == "max":
        return scores.amax(1)
    return scores.mean(1) if ensemble == "mean" else scores.sum(1)
