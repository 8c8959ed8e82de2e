from __future__ import annotations

import itertools
import json
import math
from pathlib import Path

import pytest

from vitascope.engine.config import OptimConfig
from vitascope.engine.schedule import learning_rate


def _optim(solver: dict) -> OptimConfig:
    """The recipe's spelling of a PySlowFast SOLVER section."""
    base = solver["BASE_LR"]
    steps = solver.get("STEPS") or [0]
    return OptimConfig(
        lr=base,
        schedule="cosine" if solver["LR_POLICY"] == "cosine" else "steps",
        epochs=solver["MAX_EPOCH"],
        warmup=solver["WARMUP_EPOCHS"],
        warmup_start=solver["WARMUP_START_LR"] / base,
        end=solver["COSINE_END_LR"] / base,
        after_warmup=solver["COSINE_AFTER_WARMUP"],
        steps=tuple(steps),
        rates=tuple(solver.get("LRS") or [1])[: max(len(steps), 1)],
    )


def test_rates_of_pyslowfast(shared: Path) -> None:
    cases = json.loads((shared / "reference/misc/lr_schedules.json").read_text())["cases"]
    assert len(cases) == 9
    for case in cases:
        optim = _optim(case["solver"])
        for epoch, expected in zip(case["epoch"], case["lr"], strict=True):
            found = learning_rate(optim, epoch)
            assert math.isclose(found, expected, rel_tol=1e-12, abs_tol=1e-12), (
                case["config"],
                epoch,
            )


@pytest.mark.parametrize("schedule", ["cosine", "one_cycle", "constant"])
@pytest.mark.parametrize("warmup", [0.0, 2.0, 10.0])
def test_rate_meets_its_ends(schedule: str, warmup: float) -> None:
    optim = OptimConfig(
        schedule=schedule, lr=0.5, epochs=10, warmup=warmup, warmup_start=0.1, end=0.01
    )
    if warmup:
        assert learning_rate(optim, 0) == pytest.approx(0.05)
    if warmup < 10:
        assert learning_rate(optim, warmup) == pytest.approx(0.5)
        assert learning_rate(optim, 10) == pytest.approx(0.5 if schedule == "constant" else 0.005)
    values = [learning_rate(optim, e / 7) for e in range(71)]
    top = values.index(max(values))
    assert all(a <= b + 1e-15 for a, b in itertools.pairwise(values[: top + 1]))
    assert all(a >= b - 1e-15 for a, b in itertools.pairwise(values[top:]))


def test_one_cycle_against_torch() -> None:
    """torch.optim's OneCycleLR, stepped through a run of 40 updates in 4 epochs."""
    import torch

    parameter = torch.nn.Parameter(torch.zeros(1))
    sgd = torch.optim.SGD([parameter], lr=1.0)
    reference = torch.optim.lr_scheduler.OneCycleLR(
        sgd, max_lr=2.0, total_steps=41, pct_start=0.275, div_factor=25,
        final_div_factor=4, cycle_momentum=False,
    )  # fmt: skip
    # torch puts the peak at step pct_start * total_steps - 1 and the lowest rate at the last.
    optim = OptimConfig(
        schedule="one_cycle", lr=2.0, epochs=4, warmup=1.0, warmup_start=1 / 25, end=0.01
    )
    peak = 0.275 * 41 - 1
    for step in range(40):
        expected = reference.get_last_lr()[0]
        if step <= peak:
            position = step / peak
        else:
            position = 1 + 3 * (step - peak) / (40 - peak)
        assert learning_rate(optim, position) == pytest.approx(expected, rel=1e-9)
        sgd.step()
        reference.step()


def test_a_rate_of_zero_is_allowed() -> None:
    assert learning_rate(OptimConfig(lr=0, end=0.1, warmup=1), 5) == 0
