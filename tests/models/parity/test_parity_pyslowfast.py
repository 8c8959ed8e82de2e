"""Every recorded model of PySlowFast, native or by PyTorchVideo's builders, from its keys."""

from __future__ import annotations

import sys
from collections import Counter

import pytest

from models.parity import test_parity_convolutional, test_parity_transformers
from support.model_reference import FOLDER, cases
from support.pyslowfast_cases import check_native, check_native_step, ids


@pytest.mark.parametrize("name", ids())
def test_case(name: str) -> None:
    """State dict, parameters, outputs, logits and multiply-adds are the recorded ones."""
    check_native(name)


@pytest.mark.parametrize("name", ids(backward=True))
def test_training_step(name: str) -> None:
    """Loss, gradients and running statistics of a float64 step are the recorded ones."""
    check_native_step(name)


def _name(value: object) -> str:
    return str(getattr(value, "values", [value])[0])


def test_every_recorded_case_is_walked(capsys: pytest.CaptureFixture[str]) -> None:
    """By one of the three files, each with all that it records."""
    if not FOLDER.is_dir():
        pytest.skip(f"reference data not present: {FOLDER}")
    walked = [
        *map(_name, test_parity_convolutional._ids()),
        *test_parity_transformers.SMALL,
        *test_parity_transformers.LARGE,
        *map(_name, ids()),
    ]
    assert set(walked) == set(cases())
    dialects = Counter(case["dialect"] for case in cases().values())
    steps = {name for name, case in cases().items() if "backward" in case}
    with capsys.disabled():
        sys.stdout.write(f"\nrecorded cases walked: {len(cases())} {dict(dialects)}\n")
        sys.stdout.write(f"with gradients: {len(steps)}\n")
    assert (
        set(test_parity_convolutional.STEPS)
        | {
            *(i for i in test_parity_transformers.SMALL if i in steps),
            *map(_name, ids(backward=True)),
        }
        == steps
    )
