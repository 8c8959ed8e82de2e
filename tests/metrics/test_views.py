from __future__ import annotations

import pytest
import torch

from vitascope.errors import ConfigError, InputError
from vitascope.metrics.views import ViewScores, combine_views


def make(ensemble: str, order: list[int]) -> ViewScores:
    scores = torch.randn(12, 5, generator=torch.Generator().manual_seed(1))
    collected = ViewScores(4, 5, 3, ensemble)
    index = torch.tensor(order)
    collected.add(scores[index], index // 3, index % 3)
    return collected


@pytest.mark.parametrize("ensemble", ["mean", "sum", "max"])
def test_complete_views_are_combined_in_any_order(ensemble):
    scores = torch.randn(12, 5, generator=torch.Generator().manual_seed(1)).view(4, 3, 5)
    expected = {"mean": scores.mean(1), "sum": scores.sum(1), "max": scores.amax(1)}[ensemble]
    forward = make(ensemble, list(range(12))).result()
    backward = make(ensemble, list(range(12))[::-1]).result()
    assert torch.allclose(forward.scores, expected, atol=1e-6)
    assert torch.equal(forward.scores, backward.scores)
    assert torch.allclose(combine_views(scores, ensemble), expected)
    assert forward.n_evaluated == forward.n_expected == 4 and not forward.incomplete


@pytest.mark.parametrize("ensemble", ["mean", "sum", "max"])
def test_a_view_counts_once(ensemble):
    once = make(ensemble, list(range(12))).result()
    again = make(ensemble, [*range(12), 0, 0, 5, 11]).result()
    assert torch.equal(once.scores, again.scores) and torch.equal(once.views, again.views)


def test_missing_views_are_counted_and_never_become_a_prediction():
    result = make("mean", [0, 1, 2, 3, 9, 10, 11]).result()
    assert result.views.tolist() == [3, 1, 0, 3]
    assert result.incomplete == [1, 2] and result.evaluated.tolist() == [True, True, False, True]
    assert (result.n_evaluated, result.n_expected) == (3, 4)
    assert result.scores[2].isnan().all() and not result.scores[[0, 1, 3]].isnan().any()
    all_scores = torch.randn(12, 5, generator=torch.Generator().manual_seed(1))
    assert torch.allclose(result.scores[1], all_scores[3])


def test_max_of_negative_scores():
    collected = ViewScores(1, 2, 2, "max")
    logits = torch.tensor([[-5.0, -2.0], [-3.0, -4.0]])
    collected.add(logits, torch.tensor([0, 0]), torch.tensor([0, 1]))
    assert collected.result().scores.tolist() == [[-3.0, -2.0]]


def test_bad_views_are_refused():
    collected = ViewScores(2, 3, 2)
    row = torch.zeros(1, 3)
    with pytest.raises(InputError, match="which ones"):
        collected.add(row, torch.tensor([0]))
    with pytest.raises(InputError, match="view 2 of video 0"):
        collected.add(row, torch.tensor([0]), torch.tensor([2]))
    with pytest.raises(InputError, match="video 5"):
        collected.add(row, torch.tensor([5]), torch.tensor([0]))
    with pytest.raises(InputError, match="expected B 3"):
        collected.add(torch.zeros(1, 4), torch.tensor([0]), torch.tensor([0]))
    with pytest.raises(ConfigError, match="mean, sum, max"):
        ViewScores(2, 3, 2, "median")
    assert collected.result().n_evaluated == 0
