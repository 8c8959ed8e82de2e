"""Every recorded case of metrics and of the AVA evaluation."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
import torch

from support.reference import Reference, array
from vitascope.data.sets.ava import read_boxes, read_exclusions, read_label_map
from vitascope.metrics.accuracy import accuracy, topk_correct
from vitascope.metrics.ava import (
    ActionBoxes,
    frame_average_precision,
)
from vitascope.metrics.mean_ap import average_precision, mean_average_precision
from vitascope.metrics.meters import EpochMeter, ScalarMeter
from vitascope.metrics.views import VideoScores, ViewScores


def topk(case: dict) -> None:
    preds, labels = array(case["preds"]), torch.tensor(case["labels"])
    for k, correct, percent, error in zip(
        case["ks"], case["correct"], case["accuracy_percent"], case["error_percent"], strict=True
    ):
        assert topk_correct(preds, labels, k).sum() == correct
        assert 100 * accuracy(preds, labels, k) == pytest.approx(percent)
        assert 100 * (1 - accuracy(preds, labels, k)) == pytest.approx(error)


def collect(case: dict, **options: float) -> VideoScores:
    preds = array(case["preds"])
    if case.get("preds_are", "x") != "x":
        preds = torch.softmax(2 * preds, -1)
    per_video = case["clips_per_video"]
    collected = ViewScores(case["videos"], case["classes"], per_video, case["method"], **options)
    clips = torch.tensor(case.get("clip_ids", list(range(len(preds)))))
    for part in clips.split(7):
        collected.add(preds[part], part // per_video, part % per_video)
    return collected.result()


def views(case: dict) -> None:
    options = {"start": 0.0} if case["note"] else {}
    result = collect(case, **options)
    assert result.views.tolist() == case["clip_count"]
    np.testing.assert_allclose(result.scores, case["video_scores"], atol=1e-5)
    labels = torch.tensor(case["video_labels"])
    assert f"{100 * accuracy(result.scores, labels):.2f}" == case["top1_text"]
    assert f"{100 * accuracy(result.scores, labels, 5):.2f}" == case["top5_text"]
    missing = case["missing_clips"]
    assert len(result.incomplete) == sum(n < case["clips_per_video"] for n in case["clip_count"])
    assert bool(result.incomplete) == bool(missing)
    if case["note"]:  # the right result differs: a greatest score below 0 stays below 0
        assert (collect(case).scores < 0).any() and not (result.scores < 0).any()


def multi_label_views(case: dict) -> None:
    result = collect(case)
    targets = torch.tensor(case["labels"])
    if case["note"] is None:
        np.testing.assert_allclose(result.scores, case["video_scores"], atol=1e-5)
        assert mean_average_precision(result.scores, targets) == pytest.approx(
            case["mean_ap"], abs=1e-5
        )
        return
    # The recorded sums were lost next to -1e10. Equal scores for all give the recorded mAP ...
    lost = torch.tensor(case["video_scores"])
    assert len(lost.unique()) == 1
    assert mean_average_precision(lost, targets) == pytest.approx(case["mean_ap"], abs=1e-5)
    # ... and what was meant is the sum over the views.
    sums = array(case["preds"]).view(case["videos"], -1, case["classes"]).sum(1)
    assert torch.allclose(result.scores, sums, atol=1e-6)
    assert mean_average_precision(result.scores, targets) > case["mean_ap"] + 0.05


def multi_label_map(case: dict) -> None:
    preds = torch.tensor(case["preds_value"]) if "preds_value" in case else array(case["preds"])
    targets = torch.tensor(case["labels"])
    assert mean_average_precision(preds, targets) == pytest.approx(case["mean_ap"], abs=1e-5)
    if "classes_used" in case:
        used = torch.nonzero(~average_precision(preds, targets).isnan())[:, 0]
        assert used.tolist() == case["classes_used"]


def scalar_meter(case: dict) -> None:
    meter = ScalarMeter(case["window"])
    for value, expected in zip(case["values"], case["rows_median_mean_global"], strict=True):
        meter.add(value)
        assert [meter.median, meter.average, meter.overall] == pytest.approx(expected)


def epoch_meter(case: dict) -> None:
    meter = EpochMeter(case["log_period"])
    for top1, top5, loss, size in case["batches"]:
        meter.add({"top1": top1, "top5": top5, "loss": loss}, size)
    result = meter.result()
    assert result["top1"] == pytest.approx(case["train_top1"])
    assert result["top1"] == pytest.approx(case["val_top1"])
    assert result["top5"] == pytest.approx(case["train_top5"])
    assert result["loss"] == pytest.approx(case["train_loss"])
    assert meter.recent()["top1"] == pytest.approx(case["window_top1_median"])


WALKS = {
    "topk": topk,
    "views": views,
    "multi_label_views": multi_label_views,
    "multi_label_map": multi_label_map,
    "scalar_meter": scalar_meter,
    "epoch_meter": epoch_meter,
}


def test_every_case_of_the_metrics(shared, capsys):
    reference = Reference(shared, "metrics")
    seen: Counter[str] = Counter()
    for case in reference.cases:
        WALKS[case["kind"]](case)
        seen[case["kind"]] += 1
    with capsys.disabled():
        print(f"\nmetrics: {sum(seen.values())} cases of {len(seen)} kinds")
    assert sum(seen.values()) == len(reference.cases) == 24


def part(boxes: ActionBoxes, keep: np.ndarray) -> ActionBoxes:
    frames = tuple(f for f, k in zip(boxes.frames, keep, strict=True) if k)
    scores = None if boxes.scores is None else boxes.scores[keep]
    return ActionBoxes(frames, boxes.boxes[keep], boxes.labels[keep], scores)


def test_every_case_of_ava(shared, capsys):
    folder = shared / "reference/misc/ava_eval"
    classes = read_label_map(folder / "labelmap.pbtxt")
    excluded = read_exclusions(folder / "excluded.csv")
    truth, found = read_boxes(folder / "groundtruth.csv"), read_boxes(folder / "detections.csv")
    reference = Reference(shared, "ava_map")
    for case in reference.cases:
        if case["kind"] == "label_map":
            assert sorted(classes) == case["ids"]
            assert excluded == {(v, int(s)) for v, s in (e.split(",") for e in case["excluded"])}
            assert len(truth.frames) == case["n_groundtruth_rows"]
            assert len(found.frames) == case["n_detection_rows"]
            continue
        fourth = [np.array([s % 4 == 0 for _, s in b.frames]) for b in (truth, found)]
        subset = "truth_only" in case or "both" in case
        truths = part(truth, fourth[0]) if subset else truth
        founds = part(found, fourth[1]) if "both" in case else found
        for legacy, suffix in ((True, ""), (False, "_sorted_by_score")):
            result = frame_average_precision(
                truths,
                founds,
                classes,
                excluded if case["exclusions"] else frozenset(),
                legacy_order=legacy,
            )
            assert result.mean == pytest.approx(case[f"mAP{suffix}"], abs=1e-9), case["kind"]
            for name, value in case[f"AP{suffix}"].items():
                assert result.classes[name] == pytest.approx(float(value), abs=1e-9, nan_ok=True)
    with capsys.disabled():
        print(f"\nava_map: {len(reference.cases)} cases")
    assert len(reference.cases) == 5
    # A part of the key frames is scored as if only its detections had been made.
    restricted = frame_average_precision(
        part(truth, fourth[0]), found, classes, excluded, only_truth_frames=True
    )
    assert math.isfinite(restricted.mean) and restricted.mean > 0.5
