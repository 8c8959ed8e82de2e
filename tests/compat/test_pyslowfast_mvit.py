"""PySlowFast's transformers, built from their keys, against the recorded numbers."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from models.parity.test_parity_transformers import check_start, start_values
from support.model_reference import (
    FOLDER,
    argument,
    arguments,
    case,
    cases,
    compare,
    fill,
    states,
    tensors,
)
from vitascope.compat.pyslowfast_mvit import build_mvit, mvit_arguments
from vitascope.errors import ConfigError
from vitascope.models.flops import FlopCounter

# our names -> PySlowFast's, applied in turn
RULES = (
    (r"^patch_embed\.patch_model\.", "patch_embed.proj."),
    (r"^cls_positional_encoding\.", ""),
    (r"^decoder_positions\.pos_embed$", "decoder_pos_embed"),
    (r"^decoder_positions\.", "dec_"),
    (r"^norm_embed\.", "norm."),
    (r"^head\.proj\.", "head.projection."),
    (r"\._attention_pool_([qkv])\.(pool|norm)\.", r".\2_\1."),
)
FAST = {
    "cfg_ImageNet_REV_VIT_S", "cfg_masked_ssl_k400_VIT_L_16x4_FT_depth3",
}  # fmt: skip


def native(name: str) -> str:
    for pattern, replacement in RULES:
        name = re.sub(pattern, replacement, name)
    return name


@cache
def configurations() -> dict[str, Any]:
    path = FOLDER.parent / "api" / "pyslowfast_config.json"
    return json.loads(path.read_text())


def keys_of(record: dict[str, Any]) -> dict[str, Any]:
    known = configurations()
    keys = {name: key["default"] for name, key in known["keys"].items()}
    keys.update(known["yamls"][f"configs/{record['config']}.yaml"])
    changes = record.get("overrides") or []
    return {**keys, **dict(zip(changes[::2], changes[1::2], strict=True))}


def ids() -> list[Any]:
    names = [
        name
        for name, record in cases().items()
        if record["dialect"] == "native" and re.search("mvit|vit_|_VIT", name, re.IGNORECASE)
    ]
    slow = pytest.mark.slow
    return [n if n in FAST else pytest.param(n, marks=slow) for n in names] or ["not present"]


def check_state(module: nn.Module, key: str) -> None:
    """The same entries under PySlowFast's names; its order is another."""
    record = states()[key]
    entries = record["entries"] if isinstance(record, dict) else record
    mine: dict[str, list[int]] = {}
    for name, value in module.state_dict().items():
        assert mine.setdefault(native(name), list(value.shape)) == list(value.shape)
    assert mine == {name: shape for name, shape, _ in entries}


@pytest.mark.parametrize("name", ids())
def test_case(name: str) -> None:
    record = case(name)
    module = build_mvit(keys_of(record)).eval()
    check_state(module, record["state"])
    assert sum(p.numel() for p in module.parameters()) == record["parameters"]
    fill(module, record["salt"], record["gain"], record.get("buffers_kept", False), native)
    before: list[torch.Tensor] = []
    if "pre_activation" in record:
        activation = module.head.activation.activation
        activation.register_forward_pre_hook(lambda _, args: before.append(args[0].clone()))
    with torch.no_grad(), FlopCounter() as counter:
        result = module(*arguments(record))
    got = list(tensors(result))
    assert len(got) == len(record["outputs"])
    for mine, want in zip(got, record["outputs"], strict=True):
        compare(mine, want, name)
    if before:
        compare(before[0], record["pre_activation"], name)
    if "gflops" in record:
        # fvcore reads the cost of an einsum off a printed text of four digits.
        assert counter.total / 1e9 == pytest.approx(record["gflops"], rel=4e-7, abs=5e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["cfg_Kinetics_MVITv2_S_16x4_train64", "cfg_Kinetics_REV_MVIT_B_16x4_CONV_train64"]
)
@pytest.mark.parametrize("keep_activations", [False, True])
def test_training_step(name: str, keep_activations: bool) -> None:
    """Loss and gradients in float64; reversible blocks with and without computing back."""
    record = case(name)
    module = build_mvit(keys_of(record)).train()
    if module.rev_backbone is not None:
        module.rev_backbone.keep_activations = keep_activations
    elif keep_activations:
        pytest.skip("not reversible")
    fill(module, record["salt"], record["gain"], rename=native)
    step, want = record["backward"], record["backward"]["float64"]
    module.double()
    out = module(*[[clip.double() for clip in argument(spec)] for spec in step["args"]])
    weights = np.random.RandomState(step["R_seed"]).randn(*out.shape)
    loss = (out * torch.from_numpy(weights)).sum()
    loss.backward()
    norm = want["output_norm"]
    assert float(loss.detach()) == pytest.approx(want["loss"], abs=1e-6 * norm)
    assert float(out.detach().norm()) == pytest.approx(norm, rel=1e-6)
    found = {native(n): p for n, p in module.named_parameters()}
    for name_, value in want["grad_norm"].items():
        assert float(found[name_].grad.norm()) == pytest.approx(value, rel=1e-6), name_
    assert all(p.grad is not None for p in found.values())


@pytest.mark.slow
@pytest.mark.parametrize("config", ["Kinetics/MVIT_B_16x4_CONV", "Kinetics/MVITv2_S_16x4"])
def test_start_values(config: str) -> None:
    expected = start_values(f"cfg:{config}")
    check_start(build_mvit(keys_of({"config": config})), expected, native)


def test_start_values_of_a_reversible_network() -> None:
    expected = start_values("cfg:ImageNet/REV_VIT_S")
    check_start(build_mvit(keys_of({"config": "ImageNet/REV_VIT_S"})), expected, native)


def test_every_published_configuration_builds(shared: Path) -> None:
    """On the meta device, where nothing is computed."""
    built = 0
    for path, values in configurations()["yamls"].items():
        if values.get("MODEL.MODEL_NAME") not in ("MViT", "MaskMViT"):
            continue
        keys = keys_of({"config": path.removeprefix("configs/").removesuffix(".yaml")})
        with torch.device("meta"):
            if keys["MVIT.REV.ENABLE"] and keys["MVIT.CLS_EMBED_ON"]:
                with pytest.raises(ConfigError, match="cls_embed_on=False"):
                    build_mvit(keys)
            else:
                build_mvit(keys)
        built += 1
    assert built >= 20


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"DATA.TEST_CROP_SIZE": 256}, "learned for one size"),
        ({"MVIT.NORM": "batchnorm"}, "layernorm only"),
        ({"MODEL.HEAD_ACT": "relu"}, "none, sigmoid, softmax"),
        ({"MVIT.POOL_Q_STRIDE": [[16, 1, 2, 2]]}, "of one of the 16 blocks"),
        ({"MVIT.DIM_MUL": [[17, 2.0]]}, "names block 17, but there are 16"),
    ],
)
def test_wrong_keys(shared: Path, change: dict[str, Any], message: str) -> None:
    keys = {**keys_of({"config": "Kinetics/MVIT_B_16x4_CONV"}), **change}
    with pytest.raises(ConfigError, match=message):
        build_mvit(keys)
    assert mvit_arguments(keys_of({"config": "Kinetics/MVIT_B_16x4_CONV"}))["depth"] == 16
