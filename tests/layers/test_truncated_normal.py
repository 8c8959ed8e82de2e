"""Start values: those of torch, without one in sixteen million that is a hundred times too far."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from vitascope.layers.truncated_normal import FARTHEST, truncated_normal_


def test_values_are_those_of_torch() -> None:
    torch.manual_seed(1)
    expected = nn.init.trunc_normal_(torch.empty(300, 400), std=0.02)
    torch.manual_seed(1)
    found = truncated_normal_(torch.empty(300, 400), 0.02)
    assert torch.equal(found, expected) and abs(float(found.std()) - 0.02) < 2e-4


def test_a_draw_at_the_end_of_the_distribution(monkeypatch: pytest.MonkeyPatch) -> None:
    def at_the_bound(tensor: Tensor, std: float) -> Tensor:
        return tensor.copy_(torch.tensor([2.0, -2.0, std]))

    monkeypatch.setattr(nn.init, "trunc_normal_", at_the_bound)
    weight = nn.Parameter(torch.zeros(3))
    assert truncated_normal_(weight, 0.02) is weight and weight.requires_grad
    torch.testing.assert_close(weight.detach(), torch.tensor([FARTHEST, -FARTHEST, 1]) * 0.02)
