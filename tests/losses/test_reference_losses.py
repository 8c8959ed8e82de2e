"""Every recorded case of the losses: value and gradient."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from support.reference import Reference, array
from vitascope.errors import ConfigError, InputError, UnknownNameError
from vitascope.losses import SoftTargetCrossEntropyLoss, get_loss
from vitascope.losses.contrastive import contrastive_loss, nt_xent, similarity_loss
from vitascope.losses.squared_error import MultipleMSELoss


def target_of(case: dict) -> torch.Tensor:
    if "target_value" in case:
        return torch.tensor(case["target_value"])
    target = array(case["target"])
    if case.get("target_is") == "softmax":
        return target.softmax(1)
    if case.get("target_is", "").endswith("row 0 set to 0"):
        target[0] = 0
    return target


def compute(name: str, case: dict) -> tuple[torch.Tensor, torch.Tensor]:
    """The loss, and the tensor whose gradient was recorded."""
    args = case["args"]
    if "x1" in case:
        first, second = (F.normalize(array(case[k]), dim=1) for k in ("x1", "x2"))
        first.requires_grad_()
        function = nt_xent if name == "NtxentLoss" else similarity_loss
        return function(first, second, args["temperature"]), first
    x = array(case["input"])
    x = (x.sigmoid() if case.get("input_is") == "sigmoid" else x).requires_grad_()
    if name == "ContrastiveLoss":
        return contrastive_loss(x / args["temperature"]), x
    if name == "SoftTargetCrossEntropyLoss":
        return SoftTargetCrossEntropyLoss(**args)(x, target_of(case)), x
    if name == "SoftTargetCrossEntropy":
        return get_loss("soft_cross_entropy", args.get("reduction", "mean"))(x, target_of(case)), x
    inputs = (x,) if name == "contrastive_loss" else (x, target_of(case))
    return get_loss(name, args["reduction"])(*inputs), x


def multi_mse(case: dict) -> None:
    x, target = array(case["input"]), array(case["target"]).softmax(1)
    total, parts = MultipleMSELoss()([x, x], [(target, 1.0), (2 * target, 0.5)])
    assert float(total) == pytest.approx(case["value"], abs=1e-6)
    assert [float(p) for p in parts] == pytest.approx(case["parts"], abs=1e-6)


def test_every_case(shared, capsys):
    reference = Reference(shared, "losses")
    seen: Counter[str] = Counter()
    for case in reference.cases:
        name = case["fn"].rsplit(".", 1)[1]
        seen[name] += 1
        if name == "multi_mse":
            multi_mse(case)
            continue
        loss, x = compute(name, case)
        assert list(loss.shape) in (case["shape"], [6, 5]), name
        expected = np.array(case["value"]).reshape(loss.shape)
        np.testing.assert_allclose(loss.detach(), expected, rtol=1e-6, atol=1e-6, err_msg=name)
        loss.sum().backward()
        gradient = reference.output(case["out_grad"])
        np.testing.assert_allclose(x.grad, gradient, rtol=1e-5, atol=1e-6, err_msg=name)
    with capsys.disabled():
        print(f"\nlosses: {sum(seen.values())} cases of {len(seen)} losses")
    assert sum(seen.values()) == len(reference.cases) == 37


def test_names_and_bad_input():
    with pytest.raises(UnknownNameError, match="bce_logit"):
        get_loss("bce_logits")
    for name in ("cross_entropy", "multi_mse"):
        with pytest.raises(ConfigError, match="mean"):
            get_loss(name, "median")
    with pytest.raises(InputError, match="shape"):
        get_loss("mse")(torch.zeros(3, 2), torch.zeros(3, 1))
    with pytest.raises(InputError, match="0 or 1"):
        get_loss("bce_logit")(torch.zeros(3, 2), torch.zeros(3))
    with pytest.raises(InputError, match="1 predictions for 0"):
        MultipleMSELoss()([torch.zeros(2)], [])


@pytest.mark.parametrize("name", ["bce", "bce_logit"])
def test_a_batch_without_boxes_costs_nothing(name):
    x = torch.zeros(0, 80, requires_grad=True)
    loss = get_loss(name)(x, torch.zeros(0, 80))
    loss.backward()
    assert loss == 0 and x.grad.shape == (0, 80)
