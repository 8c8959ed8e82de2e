from __future__ import annotations

import numpy as np
import pytest

from vitascope.errors import InputError
from vitascope.metrics.ava import (
    ActionBoxes,
    area_under_envelope,
    box_iou,
    frame_average_precision,
)

CLASSES = {1: "walk", 2: "sit"}


def boxes(rows: list[tuple], scored: bool) -> ActionBoxes:
    return ActionBoxes(
        tuple((r[0], r[1]) for r in rows),
        np.array([r[2] for r in rows], dtype=float).reshape(-1, 4),
        np.array([r[3] for r in rows], dtype=np.int64),
        np.array([r[4] for r in rows], dtype=float) if scored else None,
    )


A, B = (0.0, 0.0, 0.4, 0.4), (0.5, 0.5, 1.0, 1.0)
TRUTH = boxes([("v", 900, A, 1), ("v", 900, B, 1), ("v", 901, A, 2)], False)


def test_perfect_detections():
    found = boxes([("v", 900, A, 1, 0.9), ("v", 900, B, 1, 0.8), ("v", 901, A, 2, 0.1)], True)
    result = frame_average_precision(TRUTH, found, CLASSES)
    assert result.mean == 1.0 and result.classes == {"walk": 1.0, "sit": 1.0}


def test_two_detections_of_one_person_count_once_and_the_surer_one_wins():
    near = (0.0, 0.0, 0.4, 0.38)
    found = boxes([("v", 900, near, 1, 0.2), ("v", 900, A, 1, 0.9), ("v", 900, B, 1, 0.5)], True)
    # By score: right, right, wrong.
    assert frame_average_precision(TRUTH, found, CLASSES).classes["walk"] == 1.0
    # In the order given the first takes the box: scores .9 wrong, .5 right, .2 right.
    legacy = frame_average_precision(TRUTH, found, CLASSES, legacy_order=True)
    assert legacy.classes["walk"] == pytest.approx(2 / 3)


def test_frames_and_classes_that_do_not_count():
    found = boxes([("v", 900, A, 1, 0.9), ("v", 950, A, 1, 0.95), ("v", 900, B, 7, 1.0)], True)
    strict = frame_average_precision(TRUTH, found, CLASSES)
    # Precision 1 / 2 at recall 1 / 2; nobody found "sit".
    assert strict.classes == {"walk": pytest.approx(0.25), "sit": 0.0}
    lenient = frame_average_precision(TRUTH, found, CLASSES, only_truth_frames=True)
    assert lenient.classes["walk"] == pytest.approx(0.5)
    excluded = frame_average_precision(TRUTH, found, CLASSES, frozenset({("v", 900)}))
    assert np.isnan(excluded.classes["walk"]) and excluded.mean == 0.0


def test_no_ground_truth_is_nan():
    empty = boxes([], False)
    result = frame_average_precision(empty, boxes([], True), CLASSES)
    assert np.isnan(result.mean)


def test_box_iou():
    first = np.array([[0, 0, 2, 2], [0, 0, 0, 0]], dtype=float)
    second = np.array([[1, 1, 3, 3], [0, 0, 2, 2], [5, 5, 6, 6]], dtype=float)
    np.testing.assert_allclose(box_iou(first, second), [[1 / 7, 1, 0], [0, 0, 0]])


def test_area_under_envelope_by_hand():
    right = np.array([True, False, True, False])
    scores = np.array([0.9, 0.8, 0.7, 0.6])
    # Precisions 1, 1/2, 2/3, 1/2; the envelope raises the second to 2/3.
    assert area_under_envelope(right, scores, 4) == pytest.approx((1 + 2 / 3) / 4)
    assert np.isnan(area_under_envelope(right, scores, 0))


def test_bad_boxes():
    with pytest.raises(InputError, match="scores"):
        frame_average_precision(TRUTH, TRUTH, CLASSES)
    with pytest.raises(InputError, match="N 4"):
        ActionBoxes((("v", 1),), np.zeros((2, 4)), np.zeros(1, dtype=int))
