"""X3D through every target: standard operators only, and the scores of the original."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from vitascope.accelerator.export import TARGETS, export_model, open_artifact
from vitascope.models.registry import create_model, get_card
from vitascope.spec import Contract, LabelSpec

pytestmark = pytest.mark.export


def _trained(name: str, classes: int, frames: int, crop: int, **args: object) -> nn.Module:
    """A model after some steps: statistics of real batches, scores of a useful size."""
    torch.manual_seed(1)
    model = create_model(
        name, num_classes=classes, input_clip_length=frames, input_crop_size=crop, **args
    )
    clips = torch.randn(2, 3, frames, crop, crop) * 1.5
    with torch.no_grad():
        for _ in range(2):
            model.train()(clips)
        owner, attribute = model.head_linear()
        getattr(owner, attribute).weight.mul_(10 / model.eval()(clips).abs().max())
    return model.train()


def _contract(name: str, classes: int) -> Contract:
    card = get_card(name)
    labels = LabelSpec(names=tuple(f"class {i}" for i in range(classes)))
    return Contract(model=name, args={}, labels=labels, clip=card.clip, pixels=card.pixels)


def _check(model: nn.Module, name: str, to: str, frames: int, crop: int, path: Path) -> Path:
    clips = [torch.randn(3, frames, crop, crop) * 1.5 for _ in range(3)]
    path, checked = export_model(model, _contract(name, 7), clips, path, to=to, repeats=1)
    assert checked.ok and checked.top1_agreement == 1.0
    assert checked.allowed > 2 * checked.tolerance, "scores too small to show a difference"
    batch = torch.stack(clips)
    expected = model.eval()(batch).detach()
    torch.testing.assert_close(open_artifact(path)(batch), expected, atol=1e-3, rtol=1e-4)
    return path


@pytest.mark.slow
@pytest.mark.parametrize("to", ["torch.export", "openvino"])  # the third is below
def test_shallow_x3d(to: str, tmp_path: Path) -> None:
    model = _trained("x3d_xs", 7, frames=4, crop=48, depth_factor=0.3)
    _check(model, "x3d_xs", to, 4, 48, tmp_path)


def test_graph_has_standard_operators_only(tmp_path: Path) -> None:
    import onnx

    model = _trained("x3d_xs", 7, frames=4, crop=48, depth_factor=0.3)
    path = _check(model, "x3d_xs", "onnx", 4, 48, tmp_path)
    graph = onnx.load(path)
    onnx.checker.check_model(graph, full_check=True)
    assert {node.domain for node in graph.graph.node} == {""}
    assert not graph.functions
    convolutions = sum(isinstance(m, nn.Conv3d) for m in model.modules())
    kinds = [node.op_type for node in graph.graph.node]
    assert kinds.count("Conv") == convolutions
    assert "BatchNormalization" not in kinds, "norms are folded into the convolutions"


@pytest.mark.slow
@pytest.mark.parametrize("to", list(TARGETS))
@pytest.mark.parametrize("name", ["x3d_xs", "x3d_s", "x3d_m"])
def test_published_sizes(name: str, to: str, tmp_path: Path) -> None:
    card = get_card(name)
    frames, crop = card.clip.num_frames, card.pixels.crop[0]
    _check(_trained(name, 7, frames, crop), name, to, frames, crop, tmp_path)
