"""Every recorded case of the convolutional families, built through the old names."""

from __future__ import annotations

import pytest

from support.model_reference import cases, check_backward, check_case

# Compared by the tests of the transformers and of self-supervision.
_ELSEWHERE = (
    "mvit",
    "layer_positional",
    "layer_st_cls",
    "layer_multiscale",
    "layer_vit_mlp",
    "wrap_simclr",
    "wrap_byol",
    "wrap_memory_bank",
)
# Seconds each, for the size of the model or of the float64 step.
_SLOW = {"fac_csn_50", "fac_resnet_default", "fac_slowfast_small", "fac_resnet_roi"}


def _ids() -> list[object]:
    names = [
        name
        for name, case in cases().items()
        if case["dialect"] == "ptv" and not any(part in name for part in _ELSEWHERE)
    ]
    return [
        pytest.param(
            name, marks=[pytest.mark.slow] if name.startswith("hub_") or name in _SLOW else []
        )
        for name in names or ["reference not present"]
    ]


@pytest.mark.parametrize("name", _ids())
def test_case(name: str) -> None:
    """State dict, parameters, outputs, logits and multiply-adds are the recorded ones."""
    check_case(name)


# Records with gradients.
STEPS = (
    "fac_x3d_tiny", "fac_r2plus1d_small", "fac_resnet_default", "fac_slowfast_small", "fac_csn_50",
)  # fmt: skip


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.slow] if n in _SLOW else []) for n in STEPS]
)
def test_training_step(name: str) -> None:
    """Loss, gradients and running statistics of a float64 step are the recorded ones."""
    check_backward(name)
