from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from vitascope.engine.config import OptimConfig
from vitascope.engine.ema import MovingAverage
from vitascope.engine.optim import (
    create_optimizer,
    flatten_state,
    parameter_groups,
    restore_state,
    set_rate,
)
from vitascope.errors import ConfigError, WeightsError
from vitascope.models.base import VideoModel


class Net(VideoModel):
    no_weight_decay = ("token",)

    def __init__(self) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.ones(1, 1, 3))
        self.conv = nn.Conv3d(3, 8, 3)
        self.norm = nn.BatchNorm3d(8)
        self.head = nn.Linear(8, 2)

    def depth_prefixes(self):
        return (("token", "conv"), ("norm",), ("nothing",), ("head",))

    def forward_features(self, x):
        return self.norm(self.conv(x))

    def forward_head(self, features, bboxes=None):
        return self.head(features.mean((2, 3, 4)))

    def head_linear(self):
        return self, "head"

    feature_info = ()


def _by_name(groups):
    return {n: g for g in groups for n in g["names"]}


def test_norms_biases_and_named_parameters_do_not_decay() -> None:
    groups = _by_name(parameter_groups(Net(), 0.1, weight_decay=0.1))
    decays = {name: group["weight_decay"] for name, group in groups.items()}
    assert decays == {
        "token": 0.0,
        "conv.weight": 0.1,
        "conv.bias": 0.0,
        "norm.weight": 0.0,
        "norm.bias": 0.0,
        "head.weight": 0.1,
        "head.bias": 0.0,
    }
    assert {group["share"] for group in groups.values()} == {1.0}


def test_layer_decay_shrinks_the_rate_with_depth() -> None:
    net = Net()
    optimizer = create_optimizer(net, OptimConfig(layer_decay=0.5))
    set_rate(optimizer, 0.8)
    rates = {n: g["lr"] for n, g in _by_name(optimizer.param_groups).items()}
    assert rates["head.weight"] == rates["head.bias"] == pytest.approx(0.8)
    assert rates["norm.weight"] == pytest.approx(0.2)
    assert rates["conv.weight"] == rates["token"] == pytest.approx(0.1)
    with pytest.raises(ConfigError, match="layer_decay"):
        create_optimizer(nn.Linear(2, 2), OptimConfig(layer_decay=0.5))


def test_frozen_parameters_are_left_out() -> None:
    net = Net()
    net.conv.requires_grad_(False)
    assert "conv.weight" not in _by_name(parameter_groups(net, 0.1))
    with pytest.raises(ConfigError, match="no trainable"):
        create_optimizer(net.requires_grad_(False), OptimConfig())


def _train(net, optimizer, steps) -> None:
    for step in steps:
        torch.manual_seed(step)
        set_rate(optimizer, 0.01 * (step + 1))
        optimizer.zero_grad(set_to_none=True)
        x = torch.randn(2, 3, 4, 6, 6).contiguous(memory_format=torch.channels_last_3d)
        net(x).square().sum().backward()
        optimizer.step()


@pytest.mark.parametrize("name", ["adamw", "adam", "sgd"])
def test_state_through_tensors_goes_on_to_the_same_bits(name: str) -> None:
    net = Net()
    net.conv.weight.data = net.conv.weight.data.contiguous(memory_format=torch.channels_last_3d)
    optimizer = create_optimizer(net, OptimConfig(name=name))
    _train(net, optimizer, range(3))
    flat = {n: t.contiguous().clone() for n, t in flatten_state(optimizer).items()}
    assert flat and all(n.startswith("optim.") for n in flat)
    twin = copy.deepcopy(net)
    fresh = create_optimizer(twin, OptimConfig(name=name))
    restore_state(fresh, {n.removeprefix("optim."): t for n, t in flat.items()})
    _train(net, optimizer, range(3, 6))
    _train(twin, fresh, range(3, 6))
    for (n, a), b in zip(net.named_parameters(), twin.parameters(), strict=True):
        assert torch.equal(a, b), n
    with pytest.raises(WeightsError, match=r"'body\.weight'"):
        restore_state(fresh, {"body.weight.exp_avg": torch.zeros(1)})


def test_adamw_against_the_formula() -> None:
    """One parameter, three updates by hand (arXiv:1711.05101)."""
    optim = OptimConfig(lr=0.1, weight_decay=0.2, momentum=0.8, beta2=0.95)
    layer = nn.Linear(1, 1, bias=False).double()
    layer.weight.data.fill_(2.0)
    optimizer = create_optimizer(layer, optim)
    w, m, v = 2.0, 0.0, 0.0
    for step in range(1, 4):
        set_rate(optimizer, 0.1 / step)
        layer.weight.grad = torch.full((1, 1), float(step), dtype=torch.float64)
        optimizer.step()
        m, v = 0.8 * m + 0.2 * step, 0.95 * v + 0.05 * step**2
        lr = 0.1 / step
        w -= lr * 0.2 * w
        w -= lr * (m / (1 - 0.8**step)) / ((v / (1 - 0.95**step)) ** 0.5 + 1e-8)
        assert layer.weight.item() == pytest.approx(w, rel=1e-12)


def test_moving_average_by_hand() -> None:
    net = nn.Sequential(nn.Linear(1, 1, bias=False), nn.BatchNorm1d(1))
    net[0].weight.data.fill_(0.0)
    average = MovingAverage(net, 0.4)
    expected = 0.0
    for step, value in enumerate([1.0, 2.0, -3.0], start=1):
        net[0].weight.data.fill_(value)
        net[1].num_batches_tracked += 1
        net[1].running_mean.fill_(value)
        average.update(net, step)
        decay = min(0.4, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * value
        assert average.model[0].weight.item() == pytest.approx(expected, rel=1e-6)
        assert average.model[1].running_mean.item() == pytest.approx(expected, rel=1e-6)
        assert average.model[1].num_batches_tracked == step
    assert not average.model.training
    assert not average.model[0].weight.requires_grad
