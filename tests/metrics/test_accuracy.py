from __future__ import annotations

import math

import pytest
import torch
from torchmetrics.functional.classification import (
    multiclass_accuracy,
    multiclass_confusion_matrix,
)

from vitascope.errors import ConfigError, InputError
from vitascope.metrics.accuracy import (
    accuracy,
    confusion_matrix,
    label_ranks,
    mean_class_accuracy,
    per_class_accuracy,
    precision_recall_f1,
    predicted,
    topk_correct,
    wilson_interval,
)


def sample(n: int = 200, k: int = 7) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(4)
    scores = torch.randn(n, k, generator=generator)
    return scores, torch.randint(0, k - 1, (n,), generator=generator)


@pytest.mark.parametrize("k", [1, 3, 5, 7])
def test_topk_agrees_with_torchmetrics(k):
    scores, labels = sample()
    other = multiclass_accuracy(scores, labels, num_classes=7, average="micro", top_k=k)
    assert accuracy(scores, labels, k) == pytest.approx(float(other))


def test_k_above_the_number_of_classes_is_safe():
    scores, labels = sample(20, 3)
    assert accuracy(scores, labels, 5) == 1.0
    with pytest.raises(ConfigError):
        topk_correct(scores, labels, 0)


def test_ties_go_to_the_smaller_class_number():
    scores = torch.tensor([[0.5, 0.5, 0.1], [0.5, 0.5, 0.1], [0.0, 0.0, 0.0]])
    labels = torch.tensor([0, 1, 2])
    assert label_ranks(scores, labels).tolist() == [0, 1, 2]
    assert predicted(scores).tolist() == [0, 0, 0]
    # A model that gives the same score to all is not right everywhere.
    constant = torch.zeros(9, 3)
    assert accuracy(constant, torch.arange(9) % 3) == pytest.approx(1 / 3)


def test_nan_is_never_correct():
    scores = torch.tensor([[math.nan, 1.0], [math.nan, math.nan], [1.0, math.nan], [0.0, 1.0]])
    labels = torch.tensor([1, 0, 0, 1])
    assert topk_correct(scores, labels, 5).tolist() == [False, False, False, True]
    assert predicted(scores).tolist() == [-1, -1, -1, 1]
    assert confusion_matrix(labels, predicted(scores), 2).tolist() == [[0, 0], [0, 1]]


def test_infinite_scores_have_an_order():
    scores = torch.tensor([[-math.inf, -math.inf], [0.0, math.inf]])
    assert predicted(scores).tolist() == [0, 1]
    assert label_ranks(scores, torch.tensor([0, 0])).tolist() == [0, 1]


def test_confusion_matrix_agrees_with_torchmetrics():
    scores, labels = sample()
    mine = confusion_matrix(labels, predicted(scores), 7)
    assert torch.equal(mine, multiclass_confusion_matrix(scores, labels, num_classes=7))
    assert mine.sum() == 200
    with pytest.raises(InputError):
        confusion_matrix(torch.tensor([7]), torch.tensor([0]), 7)


def test_mean_class_accuracy_leaves_empty_classes_out():
    scores, labels = sample()  # class 6 has no sample
    each = per_class_accuracy(scores, labels)
    assert each[6].isnan() and not each[:6].isnan().any()
    best = scores.argmax(1)
    expected = [float((best[labels == c] == c).float().mean()) for c in range(6)]
    assert mean_class_accuracy(scores, labels) == pytest.approx(sum(expected) / 6)
    lopsided = torch.tensor([[1.0, 0.0]] * 9 + [[1.0, 0.0]])
    truth = torch.tensor([0] * 9 + [1])
    assert accuracy(lopsided, truth) == pytest.approx(0.9)
    assert mean_class_accuracy(lopsided, truth) == pytest.approx(0.5)


def test_no_samples():
    scores, labels = torch.zeros(0, 3), torch.zeros(0, dtype=torch.long)
    assert math.isnan(accuracy(scores, labels)) and math.isnan(mean_class_accuracy(scores, labels))
    assert confusion_matrix(labels, labels, 3).sum() == 0


def test_bad_labels_are_refused():
    scores, labels = sample(5)
    with pytest.raises(InputError, match="classes"):
        accuracy(scores, labels + 7)
    with pytest.raises(InputError, match="shapes"):
        accuracy(scores, labels[:3])


def test_wilson_interval_solves_its_equation():
    # The ends are the accuracies p at which the observed share is z standard errors away.
    z = 1.959963984540054
    for correct, total in ((225, 300), (1, 7), (299, 300), (5, 10)):
        for end in wilson_interval(correct, total):
            assert abs(correct / total - end) == pytest.approx(
                z * math.sqrt(end * (1 - end) / total)
            )
    assert wilson_interval(0, 20)[0] == 0.0 and wilson_interval(20, 20)[1] == 1.0
    assert wilson_interval(0, 0) == (0.0, 1.0)
    narrow, wide = wilson_interval(8, 10, 0.5), wilson_interval(8, 10, 0.99)
    assert wide[0] < narrow[0] < 0.8 < narrow[1] < wide[1]
    with pytest.raises(ConfigError):
        wilson_interval(11, 10)


def test_precision_recall_and_f1_are_those_of_a_count():
    generator = torch.Generator().manual_seed(3)
    labels = torch.randint(0, 6, (400,), generator=generator)
    said = torch.randint(0, 5, (400,), generator=generator)  # class 5 is never said
    labels[labels == 4] = 3  # and class 4 never there
    got = precision_recall_f1(confusion_matrix(labels, said, 7)).tolist()  # class 6 is neither
    pairs = list(zip(labels.tolist(), said.tolist(), strict=True))
    for k, (precision, recall, f1) in enumerate(got):
        true = sum(a == b == k for a, b in pairs)
        false = sum(a != k and b == k for a, b in pairs)
        missed = sum(a == k and b != k for a, b in pairs)
        assert (
            precision == pytest.approx(true / (true + false))
            if true + false
            else math.isnan(precision)
        )
        assert (
            recall == pytest.approx(true / (true + missed)) if true + missed else math.isnan(recall)
        )
        total = 2 * true + false + missed
        assert f1 == pytest.approx(2 * true / total) if total else math.isnan(f1)
    assert math.isnan(got[5][0]) and got[5][2] == 0 and math.isnan(got[4][1])
    with pytest.raises(InputError, match="K K, got shape"):
        precision_recall_f1(torch.zeros(3, 2))
