"""Recorded PySlowFast models: keys, names of entries, and the comparison.

Names are translated by rules of this file, written down apart from the library's own tables.
"""

from __future__ import annotations

import json
import re
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

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
from vitascope.compat.pyslowfast import build_model
from vitascope.layers.res_block import ResStage
from vitascope.models.measure.flops import FlopCounter
from vitascope.models.net import MultiPathWayWithFuse, Net
from vitascope.models.stem import ResNetBasicStem

# our names -> PySlowFast's, applied in turn; the block's number is replaced before
CONVOLUTIONAL = (
    (r"\.res_blocks\.(\d+)\.", r"_res\1."),
    (r"\.nonlocal_blocks\.(\d+)\.norm\.", r"_nonlocal\1.bn."),
    (r"\.nonlocal_blocks\.(\d+)\.", r"_nonlocal\1."),
    (r"branch1_conv\.", "branch1."),
    (r"branch1_norm\.", "branch1_bn."),
    (r"branch2\.conv_([abc])\.", r"branch2.\1."),
    (r"branch2\.norm_b\.0\.", "branch2.b_bn."),
    (r"branch2\.norm_b\.1\.block\.0\.", "branch2.se.fc1."),
    (r"branch2\.norm_b\.1\.block\.2\.", "branch2.se.fc2."),
    (r"branch2\.norm_([abc])\.", r"branch2.\1_bn."),
    (r"stem\.conv\.conv_t\.", "stem.conv_xy."),
    (r"stem\.conv\.conv_xy\.", "stem.conv."),
    (r"stem\.norm\.", "stem.bn."),
    (r"_fuse\.conv_fast_to_slow\.", "_fuse.conv_f2s."),
    (r"_fuse\.norm\.", "_fuse.bn."),
    (r"head\.proj\.", "head.projection."),
    (r"head\.pool\.pre_conv\.", "head.conv_5."),
    (r"head\.pool\.pre_norm\.", "head.conv_5_bn."),
    (r"head\.pool\.post_conv\.", "head.lin_5."),
    (r"head\.pool\.post_norm\.", "head.lin_5_bn."),
)
TRANSFORMERS = (
    (r"^patch_embed\.patch_model\.", "patch_embed.proj."),
    (r"^cls_positional_encoding\.", ""),
    (r"^decoder_positions\.pos_embed$", "decoder_pos_embed"),
    (r"^decoder_positions\.", "dec_"),
    (r"^norm_embed\.", "norm."),
    (r"^head\.proj\.", "head.projection."),
    (r"\._attention_pool_([qkv])\.(pool|norm)\.", r".\2_\1."),
)

# Less than a second each.
FAST = {
    "cfg_ImageNet_RES_R50", "cfg_ImageNet_REV_VIT_S", "cfg_Kinetics_X3D_XS",
    "cfg_Kinetics_SLOWFAST_8x8_R50_train64", "cfg_Kinetics_pytorchvideo_X3D_XS",
}  # fmt: skip


def _rewrite(name: str, rules: tuple[tuple[str, str], ...]) -> str:
    for pattern, replacement in rules:
        name = re.sub(pattern, replacement, name)
    return name


def _blocks(net: Net) -> dict[str, str]:
    """Names of the parts of the blocks: ours -> s1, s2, ... and head."""
    found, stage = {}, 1
    for index, block in enumerate(net.blocks):
        kind: nn.Module = block
        if isinstance(block, MultiPathWayWithFuse):
            kind = block.multipathway_blocks[0]
        stage += isinstance(kind, ResStage)
        if isinstance(block, MultiPathWayWithFuse):
            end = "_stem" if isinstance(kind, ResNetBasicStem) else ""
            for pathway in range(2):
                ours = f"blocks.{index}.multipathway_blocks.{pathway}."
                found[ours] = f"s{stage}.pathway{pathway}{end}."
            found[f"blocks.{index}.multipathway_fusion."] = f"s{stage}_fuse."
        elif isinstance(block, ResStage):
            found[f"blocks.{index}."] = f"s{stage}.pathway0."
        elif isinstance(block, ResNetBasicStem):
            found[f"blocks.{index}."] = "s1.pathway0_stem."
        else:
            found[f"blocks.{index}."] = "head."
    return found


def native_names(model: nn.Module) -> dict[str, str]:
    """Our name of every entry -> PySlowFast's."""
    names: dict[str, str] = {}
    nets = {name: part for name, part in model.named_modules() if isinstance(part, Net)}
    for name in model.state_dict():
        new = _rewrite(name, TRANSFORMERS) if not nets else name
        for outer, net in nets.items():
            prefix = f"{outer}." if outer else ""
            if not name.startswith(f"{prefix}blocks."):
                continue
            rest = name.removeprefix(prefix)
            part = max((p for p in _blocks(net) if rest.startswith(p)), key=len)
            new = _rewrite(_blocks(net)[part] + rest.removeprefix(part), CONVOLUTIONAL)
            # A detecting model holds its features in `model`, PySlowFast's does not.
            new = prefix.removeprefix("model.") + new
        if name.startswith("detection_head."):
            new = name.replace("detection_head.proj.", "head.projection.")
        names[name] = new
    return names


def wrapped_names(model: nn.Module) -> dict[str, str]:
    """Our name of every entry -> that of the model inside PySlowFast's PTV classes."""
    prefix = "" if hasattr(model, "detection_head") else "model."
    return {name: prefix + name for name in model.state_dict()}


@cache
def configurations() -> dict[str, Any]:
    """PySlowFast's keys and shipped files."""
    path = FOLDER.parent / "api" / "pyslowfast_config.json"
    if not path.is_file():
        pytest.skip(f"reference data not present: {path}")
    return dict(json.loads(path.read_text()))


def keys_of(record: dict[str, Any]) -> dict[str, Any]:
    """What a record's file sets, with the record's changes; no defaults."""
    changes = record.get("overrides") or []
    given = configurations()["yamls"][f"configs/{record['config']}.yaml"]
    return {**given, **dict(zip(changes[::2], changes[1::2], strict=True))}


def ids(*, backward: bool = False) -> list[Any]:
    """Ids of all records built from keys; all but one or two of a family are marked slow."""
    found = [
        name
        for name, record in cases().items()
        if record["dialect"] != "ptv" and (not backward or "backward" in record)
    ]
    fast = {"cfg_Kinetics_X3D_XS_train64"} if backward else FAST
    slow = pytest.mark.slow
    return [pytest.param(name, marks=[] if name in fast else [slow]) for name in found] or [
        "reference not present"
    ]


def _translate(record: dict[str, Any], model: nn.Module) -> dict[str, str]:
    return wrapped_names(model) if record["dialect"] == "ptv_wrapped" else native_names(model)


def check_state(model: nn.Module, record: dict[str, Any]) -> None:
    """Asserts names, shapes and types of all entries, under PySlowFast's names."""
    names, mine = _translate(record, model), {}
    for ours, value in model.state_dict().items():
        row = (list(value.shape), str(value.dtype).removeprefix("torch."))
        # PyTorchVideo's attention has two names for one entry, PySlowFast's one.
        assert mine.setdefault(names[ours], row) == row
    want = {
        name: (list(shape), dtype) for name, shape, dtype in states()[record["state"]]["entries"]
    }
    missing, extra = sorted(want.keys() - mine.keys()), sorted(mine.keys() - want.keys())
    assert not missing and not extra, f"missing {missing[:5]}, extra {extra[:5]}"
    assert mine == want


def _activation(model: nn.Module) -> nn.Module:
    head = getattr(model, "detection_head", None) or getattr(model, "head", None)
    found = (head if head is not None else model.blocks[-1]).activation
    return getattr(found, "activation", found)


def check_native(name: str) -> float:
    """Builds a record from its keys and compares all it holds but gradients.

    Returns:
        The largest difference over all outputs.
    """
    record = case(name)
    model = build_model(keys_of(record)).eval()
    check_state(model, record)
    assert (
        sum({p.data_ptr(): p.numel() for p in model.parameters()}.values()) == record["parameters"]
    )
    names = _translate(record, model)
    fill(model, record["salt"], record["gain"], record.get("buffers_kept", False), names.get)
    before: list[Tensor] = []
    if "pre_activation" in record:
        _activation(model).register_forward_pre_hook(lambda _, args: before.append(args[0].clone()))
    call = getattr(model, record["method"]) if record.get("method") else model
    with torch.no_grad(), FlopCounter() as counter:
        counter.watch(model)
        result = call(*arguments(record))
    got = list(tensors(result))
    assert len(got) == len(record["outputs"])
    pairs = list(zip(got, record["outputs"], strict=True))
    if before:
        want = record["pre_activation"]
        wide = before[0].dim() == 5 and want["shape"][-1] == before[0].shape[1]
        logits = before[0].permute(0, 2, 3, 4, 1) if wide else before[0]
        pairs.append((logits.reshape(want["shape"]), want))
    worst = max(compare(mine, want, name) for mine, want in pairs)
    if "gflops" in record:
        # fvcore reads the cost of an einsum off a printed text of four digits.
        assert counter.total / 1e9 == pytest.approx(record["gflops"], rel=4e-7, abs=5e-5)
    return worst


def check_native_step(name: str) -> None:
    """Compares a float64 training step of a record built from its keys."""
    record = case(name)
    step, want = record["backward"], record["backward"]["float64"]
    model = build_model(keys_of(record)).train()
    names = _translate(record, model)
    fill(model, record["salt"], record["gain"], rename=names.get)
    model.double()
    args = [_double(argument(spec)) for spec in step["args"]]
    out = next(tensors(model(*args)))
    assert list(out.shape) == want["output_shape"]
    weights = np.random.RandomState(step["R_seed"]).randn(*out.shape)
    loss = (out * torch.from_numpy(weights)).sum()
    loss.backward()
    norm = want["output_norm"]
    # The loss is a sum of both signs: its size is that of the outputs.
    assert float(loss.detach()) == pytest.approx(want["loss"], abs=1e-6 * norm)
    assert float(out.detach().norm()) == pytest.approx(norm, rel=1e-6)
    found = {names[n]: p for n, p in model.named_parameters()}
    for entry, value in want["grad_norm"].items():
        assert float(found[entry].grad.norm()) == pytest.approx(value, rel=1e-6), entry
    buffers = {names[n]: b for n, b in model.named_buffers()}
    for entry, value in want.get("running_mean_norm_after", {}).items():
        assert float(buffers[entry].norm()) == pytest.approx(value, rel=1e-6), entry
    unused = {n for n, p in found.items() if p.grad is None}
    assert unused == set(step.get("no_gradient", []))


def _double(nest: Any) -> Any:
    if isinstance(nest, list):
        return [_double(part) for part in nest]
    return nest.double() if isinstance(nest, Tensor) and nest.is_floating_point() else nest
