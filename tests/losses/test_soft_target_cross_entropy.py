from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from vitascope.errors import ConfigError, InputError
from vitascope.losses.soft_target_cross_entropy import (
    SoftTargetCrossEntropyLoss,
    soft_target_cross_entropy,
)


def logits(n: int = 6, k: int = 5) -> torch.Tensor:
    return torch.randn(n, k, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("ignore_index", [-100, 2])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_class_numbers_agree_with_torch(reduction, ignore_index, smoothing):
    x, y = logits(), torch.tensor([2, 3, 1, 4, 2, 0])
    expected = F.cross_entropy(
        x, y, ignore_index=ignore_index, reduction=reduction, label_smoothing=smoothing
    )
    mine = soft_target_cross_entropy(
        x, y, ignore_index, reduction, label_smoothing=smoothing, normalize_targets=False
    )
    assert torch.allclose(mine, expected, atol=1e-6)
    one_hot = F.one_hot(y, 5)
    loss = SoftTargetCrossEntropyLoss(ignore_index, reduction, label_smoothing=smoothing)
    assert torch.allclose(loss(x, one_hot), expected, atol=1e-5)


def test_a_negative_ignore_index_drops_rows():
    x, y = logits(), torch.tensor([2, -100, 1, -100, 2, 0])
    expected = F.cross_entropy(x, y)
    assert torch.allclose(soft_target_cross_entropy(x, y), expected, atol=1e-6)


def test_soft_labels_agree_with_torch_and_are_scaled_to_one():
    x = logits()
    soft = torch.rand(6, 5, generator=torch.Generator().manual_seed(3))
    share = soft / soft.sum(1, keepdim=True)
    assert torch.allclose(soft_target_cross_entropy(x, soft), F.cross_entropy(x, share), atol=1e-6)
    raw = soft_target_cross_entropy(x, soft, normalize_targets=False)
    assert torch.allclose(raw, F.cross_entropy(x, soft), atol=1e-6)


def test_a_batch_without_a_sample_that_counts_is_zero_and_has_a_gradient():
    x = logits().requires_grad_()
    loss = soft_target_cross_entropy(x, torch.full((6,), -100))
    loss.backward()
    assert loss == 0 and torch.equal(x.grad, torch.zeros_like(x))


def test_bad_input():
    with pytest.raises(InputError, match="class numbers"):
        soft_target_cross_entropy(logits(), torch.tensor([0, 1, 2, 3, 4, 5]))
    with pytest.raises(InputError, match="N K"):
        soft_target_cross_entropy(logits(), torch.zeros(6, 4))
    with pytest.raises(ConfigError, match="mean, sum, none"):
        SoftTargetCrossEntropyLoss(reduction="median")
    with pytest.raises(ConfigError, match="label_smoothing"):
        soft_target_cross_entropy(logits(), torch.zeros(6, 5), label_smoothing=1.0)
