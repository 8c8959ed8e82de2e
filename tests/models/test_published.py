"""Parameters and GFLOPs of every published row, measured beside published."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest
import torch

from support.model_reference import FOLDER, old_names
from support.pyslowfast_cases import keys_of
from vitascope.compat.pyslowfast import build_model
from vitascope.models.base import count_parameters
from vitascope.models.measure.flops import count_by_rule
from vitascope.models.measure.measure import (
    Size,
    agrees,
    counting_rule,
    explain_difference,
    measure,
)
from vitascope.models.registry import get_card, list_cards
from vitascope.spec import Cost


def _rows() -> list[Any]:
    if not FOLDER.is_dir():
        return [pytest.param(None, marks=pytest.mark.skip(reason="reference data not present"))]
    rows = json.loads((FOLDER / "published.json").read_text())["rows"]
    return [pytest.param(row, id=row["row"].replace(" ", "_")) for row in rows]


def _priced() -> list[Any]:
    cards = list_cards(lambda card: bool(card.cost))
    # A quick one of each kind of number: norms at five, norms left out, another crop, boxes.
    quick = {"slow_r50.k400_4x16", "x3d_xs.k400_4x12_pyslowfast", "slow_r50_detection.ava22_4x16"}
    slow = pytest.mark.slow
    return [
        pytest.param(c, id=c.full_name, marks=[] if c.full_name in quick else [slow]) for c in cards
    ]


@pytest.mark.parametrize("card", _priced())
def test_every_card(card: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """A number that is not reproduced says why; one that is says nothing of the kind."""
    for cost in card.cost:
        size = measure(card, cost.crop)
        same, why = explain_difference(size, cost)
        assert same == (not cost.note), f"{card.full_name}: {why}"
        rule = counting_rule(size, cost)
        counted = f"{size.flops[rule] / 1e9:9.3f}" if rule else " " * 9
        line = (
            f"{card.full_name:42} M {cost.parameters or '':>6} {size.parameters / 1e6:9.4f}  "
            f"GFLOPs {cost.gflops or '':>7} {counted}  {why}\n"
        )
        with capsys.disabled():
            sys.stdout.write(line)


@pytest.mark.slow
@pytest.mark.parametrize("row", _rows())
def test_every_recorded_row(row: dict[str, Any]) -> None:
    """Our models have the recorded sizes under every rule, at every recorded input."""
    with torch.device("meta"):
        if "expr" in row:
            model = eval(row["expr"], dict(old_names()))
        else:
            model = build_model(keys_of(row))
    assert abs(count_parameters(model) / 1e6 - row["parameters_m"]) < 1e-4
    if hasattr(model, "detection_head"):
        return  # boxes decide what is computed; the recorded cases compare their counts
    for measured in row["measured"]:
        clips = [torch.empty(shape, device="meta") for shape in measured["shapes"]]
        found = count_by_rule(model, clips if len(clips) > 1 else clips[0])
        assert found["fvcore"] / 1e9 == pytest.approx(measured["gflops"], abs=1e-3)
        if any(isinstance(m, torch.nn.BatchNorm3d) for m in model.modules()):
            five, none = measured["gflops_norms_at_5"], measured["gflops_without_norms"]
            assert found["five"] / 1e9 == pytest.approx(five, abs=1e-3)
            assert found["none"] / 1e9 == pytest.approx(none, abs=1e-3)


def test_measured_shapes_are_those_that_a_clip_takes() -> None:
    card = get_card("x3d_xs")
    size = measure(card, 64 + 96)
    assert size.shapes == ((1, 3, 4, 160, 160),)
    assert size.stages[0] == ("blocks.0", ((1, 24, 4, 80, 80),))
    assert size.stages[-1] == ("blocks.4", ((1, 192, 4, 5, 5),))


def test_agreement_is_as_fine_as_the_published_digits() -> None:
    assert agrees(25.8893, 25.89) and not agrees(25.896, 25.89)
    assert agrees(64.457, 64.0) and not agrees(64.6, 64.0)
    flops = {"fvcore": 25_633_400_000, "five": 25_889_450_000, "none": 25_462_700_000}
    size = Size(parameters=1, flops=flops, shapes=())
    assert counting_rule(size, Cost(gflops=25.89, parameters=None, source="")) == "five"
    assert counting_rule(size, Cost(gflops=26.0, parameters=None, source="")) == "fvcore"
    assert counting_rule(size, Cost(gflops=None, parameters=1.0, source="")) is None
