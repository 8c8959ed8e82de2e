"""The loss of masked prediction against the recorded one."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from vitascope.errors import InputError
from vitascope.losses.masked import masked_loss


def test_recorded(shared: Path) -> None:
    folder = shared / "reference" / "misc"
    cases = json.loads((folder / "losses.json").read_text())["cases"]
    case = next(c for c in cases if c.get("fn") == "slowfast.models.losses.multi_mse")
    x, y = (
        torch.from_numpy(
            np.random.RandomState(rule["seed"]).randn(*rule["shape"]).astype(np.float32)
        )
        for rule in (case["input"], case["target"])
    )
    target = y.softmax(dim=-1)
    parts = [float(masked_loss([x], [t])) for t in (target, 2 * target)]
    np.testing.assert_allclose(parts, case["parts"], rtol=1e-6)
    both = masked_loss([x, x], [target, (2 * target, 0.5)])
    assert float(both) == pytest.approx(case["value"], rel=1e-6)


def test_one_target_for_each_prediction() -> None:
    with pytest.raises(InputError, match="1 predictions and 0 targets"):
        masked_loss([torch.zeros(1, 1)], [])
