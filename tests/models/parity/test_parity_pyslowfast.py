"""Every recorded network of PySlowFast, native or by PyTorchVideo's builders, from its keys."""

from __future__ import annotations

import pytest

from support.pyslowfast_cases import check_native, check_native_step, ids


@pytest.mark.parametrize("name", ids())
def test_case(name: str) -> None:
    """State dict, parameters, outputs, logits and multiply-adds are the recorded ones."""
    check_native(name)


@pytest.mark.parametrize("name", ids(backward=True))
def test_training_step(name: str) -> None:
    """Loss, gradients and running statistics of a float64 step are the recorded ones."""
    check_native_step(name)
