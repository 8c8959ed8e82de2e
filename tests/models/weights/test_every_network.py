"""The entries of every recorded model of PySlowFast find their place in ours."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import pytest
import torch

from support.model_reference import FOLDER, case, cases, states
from vitascope.compat.pyslowfast import build_model
from vitascope.models.weights import convert_state_dict

KINDS = {
    name: record
    for name, record in cases().items()
    if record["dialect"] in ("native", "ptv_wrapped") and "config" in record
}
FAST = (
    "cfg_Kinetics_SLOWFAST_8x8_R50_stepwise_multigrid_subbn",
    "cfg_Kinetics_MVITv2_S_16x4",
    "cfg_ImageNet_REV_VIT_S",
    "cfg_contrastive_ssl_SwAV_Slow_R50_8x8_backbone",
    "cfg_masked_ssl_k400_VIT_B_16x4_MAE_PT",
)


@cache
def configurations() -> Any:
    return json.loads((FOLDER.parent / "api" / "pyslowfast_config.json").read_text())


def keys_of(record: Any) -> dict[str, Any]:
    keys = dict(configurations()["yamls"][f"configs/{record['config']}.yaml"])
    changes = record.get("overrides") or []
    return {**keys, **dict(zip(changes[::2], changes[1::2], strict=True))}


@pytest.mark.parametrize(
    "name",
    [n if n in FAST else pytest.param(n, marks=pytest.mark.slow) for n in KINDS] or ["absent"],
)
def test_every_entry_has_its_place(name: str) -> None:
    record = case(name)
    entries = states()[record["state"]]["entries"]
    with torch.device("meta"):
        model = build_model(keys_of(record))
    state = {
        entry: torch.tensor(float(index)).expand(shape)
        for index, (entry, shape, _) in enumerate(entries)
    }
    mine, report = convert_state_dict({"model_state": state}, model)
    assert report.fits and not report.ignored and not report.changed and not report.kept, report
    assert set(mine) == set(model.state_dict())
    reached = {float(value.flatten()[0]) for value in mine.values() if value.numel()}
    aliases = record.get("aliases", 0)
    assert len(reached) >= len(entries) - aliases
    print(f"{name}: {len(entries)} entries")
