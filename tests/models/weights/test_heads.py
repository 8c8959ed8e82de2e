"""The classifying layer has one rule for its names, and loading has one way round it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from vitascope.errors import WeightsError
from vitascope.models.base import FeatureInfo, VideoModel
from vitascope.models.weights import load_into, load_own


class Shared(VideoModel):
    """A model whose classifying layer has two names, as detectors with an auxiliary head have."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.body = nn.Linear(3, 4)
        self.head = nn.Linear(4, classes)
        self.auxiliary = nn.ModuleDict({"last": self.head})

    def forward_features(self, x: Any) -> Tensor:
        return self.body(x.mean((2, 3, 4)))

    def forward_head(self, features: Any, bboxes: Tensor | None = None) -> Tensor:
        return self.head(features)

    def head_linear(self) -> tuple[nn.Module, str]:
        return self, "head"

    def depth_prefixes(self) -> tuple[tuple[str, ...], ...]:
        return (("body",), ("head", "auxiliary"))

    @property
    def feature_info(self) -> tuple[FeatureInfo, ...]:
        return ()


ENTRIES = ("head.weight", "head.bias", "auxiliary.last.weight", "auxiliary.last.bias")


def test_all_names_of_a_shared_layer_are_the_heads() -> None:
    model = Shared(5)
    assert model.head_names() == ("head", "auxiliary.last")
    assert model.head_entries() == ENTRIES
    model.reset_head(9)
    assert model.head_names() == ("head", "auxiliary.last") and model.num_classes == 9


@pytest.mark.parametrize("load", [load_into, load_own])
def test_a_new_head_keeps_every_name_of_it(load: Any) -> None:
    model, file = Shared(5), Shared(7).state_dict()
    mine = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(WeightsError):
        load(model, file, what="the file")
    assert all(torch.equal(v, mine[n]) for n, v in model.state_dict().items())
    report = load(model, file, new_head=True, what="the file")
    assert report.new_head == ENTRIES and not report.other_shape
    assert all(torch.equal(model.state_dict()[n], mine[n]) for n in ENTRIES)
    assert torch.equal(model.body.weight, file["body.weight"])


def test_own_entries_are_taken_as_they_are() -> None:
    model, other = Shared(5), Shared(5).state_dict()
    own = {name: value.clone() for name, value in model.state_dict().items()}
    for wrong, first in (
        ({**other, "body.weight": torch.zeros(4, 3, 1)}, "body.weight"),
        ({f"module.{name}": value for name, value in other.items()}, "body.weight"),
        ({**other, "tail.weight": torch.zeros(2)}, "tail.weight"),
    ):
        with pytest.raises(WeightsError, match=f"the file does not fit this .*first {first}"):
            load_own(model, wrong, new_head=True, what="the file")
    assert all(torch.equal(v, own[n]) for n, v in model.state_dict().items())
    assert load_own(model, other, what="the file").fits
    assert all(torch.equal(v, other[n]) for n, v in model.state_dict().items())
