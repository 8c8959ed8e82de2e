"""Every recorded case of the transformers and of self-supervision, through the old names."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest
import torch
from torch import nn

from support.model_reference import FOLDER, build, case, cases, check_backward, check_case, select

SMALL = select(
    "fac_mvit", "layer_multiscale", "layer_positional", "layer_st_cls", "layer_vit_mlp",
    "layer_head_vit", "wrap_simclr", "wrap_byol", "wrap_memory_bank",
)  # fmt: skip
LARGE = select("hub_mvit")


@pytest.mark.parametrize(
    "name", [*SMALL, *(pytest.param(i, marks=pytest.mark.slow) for i in LARGE)]
)
def test_case(name: str) -> None:
    """State dict, parameters, outputs, logits and multiply-adds are the recorded ones."""
    check_case(name)


@pytest.mark.parametrize("name", [i for i in SMALL if "backward" in cases().get(i, {})] or SMALL)
def test_training_step(name: str) -> None:
    """Loss and gradients of a float64 step are the recorded ones."""
    check_backward(name)


def test_scripted_network_computes_the_recorded_numbers() -> None:
    """`torch.jit.script` of a model built with the old names."""
    record = case("fac_mvit_small")
    check_case("fac_mvit_small", _Scripted(build(record)))


class _Scripted(nn.Module):
    """Runs the script of a model, and has the model's state."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = [network, torch.jit.script(network)]

    def forward(self, x: torch.Tensor) -> Any:
        return self.network[1](x)

    def state_dict(self, *args: Any, **kwargs: Any) -> Any:
        return self.network[0].state_dict(*args, **kwargs)

    def parameters(self, recurse: bool = True) -> Any:
        return self.network[0].parameters(recurse)

    def train(self, mode: bool = True) -> Any:
        for network in self.network:
            network.train(mode)
        return self


def start_values(model: str) -> list[list[Any]]:
    with gzip.open(FOLDER / "init.json.gz") as file:
        return next(row["entries"] for row in json.load(file) if row["model"] == model)


def check_start(module: nn.Module, expected: list[list[Any]], rename: Any = None) -> None:
    """Constants are equal; random values have the recorded spread."""
    mine = {(rename or (lambda n: n))(name): v for name, v in module.state_dict().items()}
    for name, shape, kind, *numbers in expected:
        value = mine[name].double()
        assert list(value.shape) == shape, name
        if kind == "const":
            assert bool((value == float(torch.tensor(numbers[0], dtype=torch.float32))).all()), name
        else:
            mean, std, low, high = numbers
            count = value.numel()
            assert abs(float(value.std()) - std) < std * (6 / count**0.5 + 0.01), name
            assert abs(float(value.mean()) - mean) < std * 8 / count**0.5, name
            spread = max(abs(low), abs(high))
            assert float(value.abs().max()) < 2.5 * spread, name


@pytest.mark.slow
def test_start_values() -> None:
    record = case("hub_mvit_base_16x4")
    check_start(build(record), start_values("mvit_base_16x4()"))
