from __future__ import annotations

import math

import pytest
import torch
from torchmetrics.functional.classification import binary_average_precision

from vitascope.errors import ConfigError, InputError
from vitascope.metrics.mean_ap import average_precision, mean_average_precision
from vitascope.metrics.meters import EpochMeter, ScalarMeter


def test_average_precision_agrees_with_torchmetrics_and_with_many_ties():
    generator = torch.Generator().manual_seed(0)
    for digits in (1, 4):
        scores = torch.rand(200, 6, generator=generator, dtype=torch.float64)
        scores = (scores * 10**digits).round() / 10**digits
        targets = (torch.rand(200, 6, generator=generator) < 0.3).long()
        mine = average_precision(scores, targets)
        for k in range(6):
            other = binary_average_precision(scores[:, k], targets[:, k])
            assert float(mine[k]) == pytest.approx(float(other), abs=1e-6)
        assert mean_average_precision(scores, targets) == pytest.approx(float(mine.mean()))


def test_order_of_samples_does_not_matter():
    scores = torch.tensor([[0.9], [0.5], [0.5], [0.5], [0.1]])
    targets = torch.tensor([[1], [0], [1], [0], [1]])
    for seed in range(5):
        order = torch.randperm(5, generator=torch.Generator().manual_seed(seed))
        assert mean_average_precision(scores[order], targets[order]) == pytest.approx(0.7)


def test_classes_without_positives_are_nan():
    result = average_precision(torch.rand(4, 2), torch.tensor([[0, 1]] * 4))
    assert result[0].isnan() and result[1] == 1.0
    assert math.isnan(mean_average_precision(torch.zeros(0, 2), torch.zeros(0, 2)))


def test_bad_input():
    with pytest.raises(InputError, match="shapes"):
        average_precision(torch.rand(4, 2), torch.zeros(4, 3))
    with pytest.raises(InputError, match="nan"):
        average_precision(torch.full((4, 2), math.nan), torch.zeros(4, 2))
    with pytest.raises(InputError, match="0 and 1"):
        average_precision(torch.rand(4, 2), torch.full((4, 2), 0.5))
    with pytest.raises(ConfigError):
        ScalarMeter(0)
    meter = EpochMeter()
    meter.add({"loss": 1.0}, 2)
    with pytest.raises(ConfigError, match="loss"):
        meter.add({"top1": 1.0}, 2)


def test_meters_before_the_first_value():
    meter = ScalarMeter(3)
    assert all(math.isnan(v) for v in (meter.median, meter.average, meter.overall))
    assert EpochMeter().result() == {} and EpochMeter().recent() == {}
