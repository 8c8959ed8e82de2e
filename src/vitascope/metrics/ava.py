"""Frame mean average precision of action detection, as AVA defines it (arXiv:1705.08421).

A detection is right if its box overlaps a box of its class in the same frame by at least half
(intersection over union) and no detection of higher score took that box before. Lists are read by
`data.sets.ava`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from vitascope.errors import InputError

Frame = tuple[str, int]
"""A key frame: name of the video, second."""


@dataclass(frozen=True)
class ActionBoxes:
    """Boxes with actions, ground truth or detections; row i of all belongs together.

    Attributes:
        frames: key frame of each box.
        boxes: N 4 as x1 y1 x2 y2, as a share of the frame's sides.
        labels: class of each box, N.
        scores: certainty of each detection, N; None for ground truth.
    """

    frames: tuple[Frame, ...]
    boxes: np.ndarray
    labels: np.ndarray
    scores: np.ndarray | None = None

    def __post_init__(self) -> None:
        count = len(self.frames)
        scores = self.scores
        if self.boxes.shape != (count, 4) or self.labels.shape != (count,):
            raise InputError(
                f"{count} frames, boxes of shape {self.boxes.shape}, labels of shape "
                f"{self.labels.shape}; expected N 4 and N"
            )
        if scores is not None and (scores.shape != (count,) or np.isnan(scores).any()):
            raise InputError(f"{count} boxes need as many scores without nan")


@dataclass(frozen=True)
class FrameAP:
    """Result of `frame_average_precision`.

    Attributes:
        mean: mean over the classes with ground truth, from 0 to 1; nan without any.
        classes: average precision by class name; nan for a class without ground truth.
    """

    mean: float
    classes: Mapping[str, float]


def box_iou(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Intersection over union of boxes N 4 and M 4 as x1 y1 x2 y2: N M."""
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    common = np.prod(np.clip(high - low, 0, None), axis=2)
    areas = [np.prod(b[:, 2:] - b[:, :2], axis=1) for b in (first, second)]
    union = areas[0][:, None] + areas[1][None] - common
    shares: np.ndarray = np.divide(common, union, out=np.zeros_like(common), where=union > 0)
    return shares


def _right(truth: np.ndarray, found: np.ndarray, scores: np.ndarray, in_order: bool) -> np.ndarray:
    """Which detections of one class in one frame are right."""
    right = np.zeros(len(found), dtype=bool)
    if not len(truth):
        return right
    overlap = box_iou(found, truth)
    taken = np.zeros(len(truth), dtype=bool)
    order = np.arange(len(found)) if in_order else np.argsort(-scores, kind="stable")
    for i in order:
        best = int(overlap[i].argmax())
        if overlap[i, best] >= 0.5 and not taken[best]:
            taken[best] = right[i] = True
    return right


def area_under_envelope(right: np.ndarray, scores: np.ndarray, positives: int) -> float:
    """Average precision over all points of the precision envelope; nan without positives.

    Args:
        right: which detections are right.
        scores: of the detections.
        positives: boxes of ground truth.
    """
    if not positives:
        return float("nan")
    order = np.argsort(scores, kind="stable")[::-1]
    true = np.cumsum(right[order])
    precision = true / np.arange(1, len(order) + 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    recall = np.concatenate([[0.0], true / positives])
    return float((np.diff(recall) * envelope).sum())


def frame_average_precision(
    truth: ActionBoxes,
    detections: ActionBoxes,
    classes: Mapping[int, str],
    excluded: frozenset[Frame] = frozenset(),
    *,
    only_truth_frames: bool = False,
    legacy_order: bool = False,
) -> FrameAP:
    """Average precision of each class over key frames, and the mean.

    Boxes of frames without detections count as missed, detections of frames without ground truth
    as wrong.

    Args:
        truth: ground truth.
        detections: with scores.
        classes: names of the classes that count; boxes of others are ignored.
        excluded: key frames that do not count.
        only_truth_frames: ignore detections of frames without any ground truth; for evaluation
            on a part of the key frames.
        legacy_order: within a frame, let detections take boxes in the order given, as PySlowFast
            does, not by falling score.

    Raises:
        InputError: detections without scores.
    """
    if detections.scores is None:
        raise InputError("detections need scores")
    scored = set(truth.frames) if only_truth_frames else None
    true_rows = _group(truth, classes, excluded, None)
    found_rows = _group(detections, classes, excluded, scored)
    results: dict[str, float] = {}
    for label, name in classes.items():
        true, found = true_rows[label], found_rows[label]
        right: list[np.ndarray] = []
        scores: list[np.ndarray] = []
        for frame, rows in found.items():
            scores.append(detections.scores[rows])
            boxes = truth.boxes[true[frame]] if frame in true else np.empty((0, 4))
            right.append(_right(boxes, detections.boxes[rows], scores[-1], legacy_order))
        results[name] = area_under_envelope(
            np.concatenate([np.empty(0, dtype=bool), *right]),
            np.concatenate([np.empty(0), *scores]),
            sum(len(rows) for rows in true.values()),
        )
    values = [v for v in results.values() if v == v]
    return FrameAP(float(np.mean(values)) if values else float("nan"), results)


def _group(
    boxes: ActionBoxes,
    classes: Mapping[int, str],
    excluded: frozenset[Frame],
    only: set[Frame] | None,
) -> dict[int, dict[Frame, list[int]]]:
    """Rows by class and frame."""
    rows: dict[int, dict[Frame, list[int]]] = {label: defaultdict(list) for label in classes}
    for row, (frame, label) in enumerate(zip(boxes.frames, boxes.labels.tolist(), strict=True)):
        if label in classes and frame not in excluded and (only is None or frame in only):
            rows[label][frame].append(row)
    return rows
