"""Multiply-adds against counts by hand."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from vitascope.models.measure.flops import FlopCounter, count_flops


def test_convolutions_and_linear_layers() -> None:
    net = nn.Sequential(
        nn.Conv3d(3, 8, (1, 3, 3), stride=(1, 2, 2), padding=(0, 1, 1)),
        nn.Conv3d(8, 8, 3, padding=1, groups=8),
        nn.ReLU(),
        nn.AdaptiveAvgPool3d(1),
        nn.Flatten(),
        nn.Linear(8, 5),
    )
    clip = torch.zeros(2, 3, 4, 6, 6)
    places = 2 * 4 * 3 * 3
    want = places * 8 * 3 * 9 + places * 8 * 27 + 2 * 8 * 5
    assert count_flops(net, clip) == want


@pytest.mark.parametrize(("rule", "each"), [("fvcore", 2), ("five", 5), ("none", 0)])
def test_batch_norms_by_rule(rule: str, each: int) -> None:
    clip = torch.zeros(2, 3, 4, 5, 5)
    assert count_flops(nn.BatchNorm3d(3), clip, norms=rule) == each * clip.numel()  # type: ignore[arg-type]
    if rule == "fvcore":
        assert count_flops(nn.BatchNorm3d(3, affine=False), clip) == clip.numel()
        assert count_flops(nn.LayerNorm(5), clip) == 5 * clip.numel()
        assert count_flops(nn.GroupNorm(1, 3), clip) == 5 * clip.numel()


def test_attention_counts_both_products() -> None:
    q = torch.zeros(2, 3, 7, 4)
    k = torch.zeros(2, 3, 9, 4)
    with FlopCounter() as counter:
        torch.softmax(q @ k.transpose(-1, -2), -1) @ k
    plain = counter.total
    with FlopCounter() as counter:
        F.scaled_dot_product_attention(q, k, k)
    assert counter.total == plain == 2 * 3 * 7 * 9 * 4 * 2


def test_the_model_is_left_as_it_was() -> None:
    net = nn.Sequential(nn.Conv3d(3, 4, 1), nn.BatchNorm3d(4)).train()
    before = {k: v.clone() for k, v in net.state_dict().items()}
    count_flops(net, torch.randn(1, 3, 2, 4, 4))
    assert net.training
    for key, value in net.state_dict().items():
        assert torch.equal(value, before[key]) and value.device.type == "cpu"
    assert not any(module._forward_pre_hooks for module in net.modules())
