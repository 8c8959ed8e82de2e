"""Start values: the recorded constants, and the spread of the random ones."""

from __future__ import annotations

import gzip
import json

import pytest
import torch
from torch import nn

from support.model_reference import FOLDER, old_names
from vitascope.errors import ConfigError
from vitascope.models.registry import create_model
from vitascope.models.resnet import create_resnet
from vitascope.models.weight_init import init_net_weights

MODELS = ["slow_r50()", "slowfast_r50()", "x3d_xs()", "csn_r101()", "r2plus1d_r50()"]


@pytest.mark.parametrize(
    "expr", [pytest.param(m, marks=[] if m == "x3d_xs()" else pytest.mark.slow) for m in MODELS]
)
def test_start_values_are_distributed_as_recorded(expr: str) -> None:
    if not FOLDER.is_dir():
        pytest.skip("reference data not present")
    with gzip.open(FOLDER / "init.json.gz") as file:
        record = next(row for row in json.load(file) if row["model"] == expr)
    torch.manual_seed(0)
    entries = eval(expr, dict(old_names())).state_dict()
    assert [row[0] for row in record["entries"]] == list(entries)
    for name, shape, kind, *numbers in record["entries"]:
        value = entries[name].double()
        assert list(value.shape) == shape
        if kind == "const":
            assert bool((value == numbers[0]).all()), name
            continue
        mean, std, count = numbers[0], numbers[1], value.numel()
        assert abs(float(value.std()) - std) < 8 * std / (2 * count) ** 0.5 + 1e-9, name
        assert abs(float(value.mean()) - mean) < 8 * std / count**0.5, name


def test_a_fresh_residual_block_hands_its_input_through() -> None:
    model = create_resnet(stem_dim_out=8, stage_depths=(2, 1, 1, 1)).eval()
    block = model.blocks[1].res_blocks[1]
    x = torch.rand(1, 32, 2, 4, 4)
    torch.testing.assert_close(block(x), x)
    init_net_weights(model, zero_final_norm=False)
    assert not torch.allclose(block(x), x)
    assert bool((block.branch2.norm_c.weight == 1).all())


def test_the_head_for_boxes_starts_like_every_head() -> None:
    with torch.device("cpu"):
        model = create_model("slow_r50_detection", stem_dim_out=8, stage_depths=(1, 1, 1, 1))
    assert bool((model.detection_head.proj.bias == 0).all())
    assert abs(float(model.detection_head.proj.weight.detach().std()) - 0.01) < 0.002


def test_a_new_head() -> None:
    model = create_model("x3d_xs", width_factor=1.0, depth_factor=1.0)
    old = model.blocks[-1].proj
    model.reset_head(7, std=0.02)
    new = model.blocks[-1].proj
    assert new is not old and new.weight.shape == (7, 2048) and bool((new.bias == 0).all())
    assert abs(float(new.weight.detach().std()) - 0.02) < 0.002


def test_styles() -> None:
    net = nn.Sequential(nn.Linear(50, 50), nn.LayerNorm(50))
    init_net_weights(net, style="vit")
    assert (
        float(net[0].weight.detach().abs().max()) <= 2.0
        and abs(float(net[0].weight.detach().std()) - 0.02) < 0.002
    )
    assert bool((net[0].bias == 0).all()) and bool((net[1].weight == 1).all())
    init_net_weights(net, init_std=0.5)
    assert abs(float(net[0].weight.detach().std()) - 0.5) < 0.05
    with pytest.raises(ConfigError, match="legal values: resnet, vit"):
        init_net_weights(net, style="caffe")
