"""Scores of a model on a set of videos: views averaged, nothing left out unseen."""

from __future__ import annotations

import contextlib
import csv
import io
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from vitascope.data.dataset import ClipDataset
from vitascope.data.loader import make_loader
from vitascope.engine.checkpoint import writing
from vitascope.engine.device import network_input
from vitascope.errors import DatasetError, WeightsError
from vitascope.files import write_atomically
from vitascope.metrics import accuracy as metrics

Progress = Callable[[int, int], None]
_SHUFFLE = 0x5AFF1E  # first word of the key that permutes frames


@dataclass(frozen=True, kw_only=True)
class EvalResult:
    """Scores of a model on labeled videos.

    Attributes:
        classes: class names in the order of the scores.
        videos: path of each video that was scored.
        labels: its class number, int64 N.
        scores: its probabilities averaged over the views, float32 N x classes.
        n_expected: videos that should have been scored.
        views: views of each video, "clips x crops".
        split: the split of the data; empty for all of it.
        shuffled: the frames of each clip were shuffled (a control: what is left needs no motion).
        faults: videos that could not be read: path and reason.
        seconds: time it took.
    """

    classes: tuple[str, ...]
    videos: tuple[str, ...]
    labels: Tensor
    scores: Tensor
    n_expected: int
    views: str = "1x1"
    split: str = ""
    shuffled: bool = False
    faults: tuple[tuple[str, str], ...] = ()
    seconds: float = 0.0

    def __repr__(self) -> str:
        split = f"{self.split}, " if self.split else ""
        return (
            f"EvalResult({split}top1={self.top1:.4f}, {self.n_evaluated} of {self.n_expected} "
            f"videos, {len(self.classes)} classes, {self.views} views)"
        )

    @property
    def n_evaluated(self) -> int:
        """Videos that were scored."""
        return len(self.videos)

    @cached_property
    def top1(self) -> float:
        """Share of videos whose best class is right."""
        return metrics.accuracy(self.scores, self.labels, 1)

    @cached_property
    def top5(self) -> float:
        """Share of videos whose class is among the best five; 1 with five classes or fewer."""
        return metrics.accuracy(self.scores, self.labels, 5)

    @property
    def score(self) -> float:
        """The number by which checkpoints are compared."""
        return self.top1

    @cached_property
    def mean_class_accuracy(self) -> float:
        """Mean over the classes of the share that is right."""
        return metrics.mean_class_accuracy(self.scores, self.labels)

    @cached_property
    def predictions(self) -> Tensor:
        """Best class of each video, int64 N."""
        return metrics.predicted(self.scores)

    @cached_property
    def confusion(self) -> Tensor:
        """Videos of each true class (row) that were given each class (column)."""
        return metrics.confusion_matrix(self.labels, self.predictions, len(self.classes))

    @cached_property
    def per_class(self) -> Tensor:
        """Precision, recall and F1 of each class, float64 classes x 3; nan where none exists."""
        return metrics.precision_recall_f1(self.confusion)

    @cached_property
    def interval(self) -> tuple[float, float]:
        """Range that holds the true top-1 accuracy with a probability of 95 %."""
        correct = int((self.predictions == self.labels).sum())
        return metrics.wilson_interval(correct, self.n_evaluated)

    @cached_property
    def majority(self) -> tuple[str, float]:
        """The most frequent class of these videos, and the top-1 of always saying it."""
        counts = torch.bincount(self.labels, minlength=len(self.classes))
        most = int(counts.argmax())
        return self.classes[most], float(counts[most]) / max(1, self.n_evaluated)

    @cached_property
    def loss(self) -> float:
        """Mean negative logarithm of the probability of the true class."""
        return float(F.nll_loss(self.scores.clamp_min(1e-12).log(), self.labels))

    def summary(self) -> dict[str, Any]:
        """The figures without lists, for the log."""
        return {
            "top1": self.top1,
            "top5": self.top5,
            "mean_class_accuracy": self.mean_class_accuracy,
            "loss": self.loss,
            "n_evaluated": self.n_evaluated,
            "n_expected": self.n_expected,
        }

    def to_json(self) -> dict[str, Any]:
        """All figures as plain JSON values; scores of single videos are in the CSV."""
        return self.summary() | {
            "interval": list(self.interval),
            "majority": {"label": self.majority[0], "top1": self.majority[1]},
            "views": self.views,
            "split": self.split,
            "shuffled": self.shuffled,
            "classes": list(self.classes),
            "confusion": self.confusion.tolist(),
            "per_class": self._per_class(),
            "faults": [{"path": path, "error": reason} for path, reason in self.faults],
            "seconds": self.seconds,
        }

    def _per_class(self) -> list[dict[str, Any]]:
        """Figures of each class; None where nothing was given the class or it has no video."""
        rows = zip(
            self.classes, self.per_class.tolist(), self.confusion.sum(1).tolist(), strict=True
        )
        return [
            {"label": name, "videos": count}
            | {
                kind: value if math.isfinite(value) else None
                for kind, value in zip(("precision", "recall", "f1"), values, strict=True)
            }
            for name, values, count in rows
        ]

    def write_csv(self, path: str | Path) -> None:
        """Writes a row for each video: path, label, prediction, right or not, all scores.

        Raises:
            RunError: the file cannot be written.
        """
        text = io.StringIO()
        rows = csv.writer(text, lineterminator="\n")
        rows.writerow(["path", "label", "predicted", "correct", *self.classes])
        for video, label, best, scores in zip(
            self.videos, self.labels.tolist(), self.predictions.tolist(), self.scores.tolist(),
            strict=True,
        ):  # fmt: skip
            shown = [f"{score:.6f}" for score in scores]
            rows.writerow(
                [video, self.classes[label], self.classes[best], int(best == label), *shown]
            )
        with writing(Path(path)):
            # Names that are no UTF-8 are shown, because readers of CSV stop at them.
            write_atomically(path, [text.getvalue().encode("utf-8", "backslashreplace")])


@dataclass(frozen=True, kw_only=True)
class Scoring:
    """How videos are scored.

    Attributes:
        batch_views: views that pass through the model at once.
        workers: processes that decode.
        precision: "32", or "bf16" for a forward pass in bfloat16.
        shuffle_frames: permute the frames of each clip, the same way every time.
        rank: this process among all.
        world: number of processes; each scores its part, and all get the whole result.
    """

    batch_views: int = 16
    workers: int = 0
    precision: str = "32"
    shuffle_frames: bool = False
    rank: int = 0
    world: int = 1


def score_videos(
    model: nn.Module,
    dataset: ClipDataset,
    classes: tuple[str, ...],
    how: Scoring,
    *,
    split: str = "",
    on_progress: Progress | None = None,
) -> EvalResult:
    """Scores every video of an evaluation set; memory does not grow with the number of views.

    A video that cannot be read is never scored: with the policy "substitute-black" as little as
    with "skip" the result has scores, so `n_evaluated` counts the videos that were seen.

    Args:
        model: maps B C T H W to logits.
        dataset: labeled videos with evaluation views.
        classes: class names in the order of the logits.
        how: batches, precision, processes.
        split: name of the split, for the result.
        on_progress: called with (videos done, videos of this process).

    Raises:
        DatasetError: not one video could be read.
        WeightsError: the scores are no numbers.
        VitascopeError: a video cannot be read and that is an error, or more than the budget of
            the dataset cannot.
    """
    begin = time.monotonic()
    views = dataset.views.clips * dataset.views.crops
    loader = make_loader(
        dataset,
        max(1, how.batch_views // views),
        rank=how.rank,
        world=how.world,
        workers=how.workers,
    )
    own = len(range(how.rank, dataset.num_videos, how.world))
    index: list[int] = []
    label: list[int] = []
    rows: list[Tensor] = []
    with _evaluating(model, how.precision) as device:
        for batch in loader:
            good = batch["valid"]
            if not good.any():  # nothing of it could be read
                continue
            video = batch["video"]
            if not good.all():  # what stands in for a video is not scored
                video = video[good]
                batch = {name: batch[name][good] for name in ("index", "label")}
            if how.shuffle_frames:
                video = _shuffled(video, batch["index"].tolist())
            rows.append(_probabilities(model, video, dataset.clip.pathways, how, device))
            index += batch["index"].tolist()
            label += batch["label"].tolist()
            if on_progress is not None:
                on_progress(len(index), own)
    scores = torch.cat(rows) if rows else torch.empty(0, len(classes))
    faults = dict(loader.faults.videos)
    if how.world > 1:
        index, label, scores, faults = _gathered(index, label, scores, faults)
    if not index:
        raise DatasetError(
            f"not one of {dataset.num_videos} videos could be read, the first: "
            f"{next(iter(faults.values()), 'there is none')}"
        )
    order = sorted(range(len(index)), key=index.__getitem__)
    return EvalResult(
        classes=classes,
        videos=tuple(dataset.records[index[i]].path for i in order),
        labels=torch.tensor(label)[order],
        scores=scores[order],
        n_expected=dataset.num_videos,
        views=str(dataset.views),
        split=split,
        shuffled=how.shuffle_frames,
        faults=tuple((dataset.records[i].path, faults[i]) for i in sorted(faults)),
        seconds=round(time.monotonic() - begin, 3),
    )


@contextlib.contextmanager
def _evaluating(model: nn.Module, precision: str) -> Iterator[torch.device]:
    """Evaluation mode without gradients; afterwards the model is as it was."""
    device = next(model.parameters()).device
    training = model.training
    model.eval()
    half = torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")
    try:
        with torch.inference_mode(), half:
            yield device
    finally:
        model.train(training)


def _probabilities(
    model: nn.Module, video: Tensor, pathways: Sequence[int], how: Scoring, device: torch.device
) -> Tensor:
    """Softmax averaged over views: B V C T H W to B x classes, on the CPU."""
    flat = video.flatten(0, 1)
    parts = []
    for begin in range(0, len(flat), how.batch_views):
        part = flat[begin : begin + how.batch_views].to(device)
        logits = model(network_input(part, pathways))
        parts.append(logits.float().softmax(-1))
    batch, views = video.shape[:2]
    if not all(part.isfinite().all() for part in parts):
        raise WeightsError(
            "the scores of the model are no numbers (NaN), so they say nothing. Its weights are "
            "damaged or have exploded in training; use another checkpoint, or lower optim.lr"
        )
    return torch.cat(parts).view(batch, views, -1).mean(1).cpu()


def _shuffled(video: Tensor, numbers: list[int]) -> Tensor:
    """Permutes the frames of each clip; the order follows from the number of the video."""
    frames = video.shape[3]
    orders = [np.random.default_rng((_SHUFFLE, n)).permutation(frames) for n in numbers]
    return torch.stack([clip[:, :, order] for clip, order in zip(video, orders, strict=True)])


def _gathered(
    index: list[int], label: list[int], scores: Tensor, faults: dict[int, str]
) -> tuple[list[int], list[int], Tensor, dict[int, str]]:
    """The parts of all processes together."""
    parts: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(parts, (index, label, scores, faults))
    return (
        [i for part in parts for i in part[0]],
        [i for part in parts for i in part[1]],
        torch.cat([part[2] for part in parts]),
        {k: v for part in parts for k, v in part[3].items()},
    )
