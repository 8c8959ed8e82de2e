"""Image encoders of timm on clips: the mean over the frames of what timm says about each."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor

from vitascope.errors import InputError, UnknownNameError
from vitascope.models.foreign.base import ForeignModel
from vitascope.models.registry import create_model, get_card

timm = pytest.importorskip("timm", exc_type=ImportError)  # timm itself needs torchvision

CLASSES = 5
# name -> side of the frames; the second is built for one size
ENCODERS = {"resnet10t": 32, "vit_tiny_patch16_224": 224, "convnext_atto": 32}
NAMES = list(ENCODERS)
# Keeps the channels last.
SWIN = pytest.param("swin_tiny_patch4_window7_224", marks=pytest.mark.slow)


def _pair(name: str) -> tuple[ForeignModel, Any]:
    """Our model and timm's with the same weights, of a useful size."""
    torch.manual_seed(1)
    original = timm.create_model(name, num_classes=CLASSES).eval()
    with torch.no_grad():
        for key, value in original.state_dict().items():
            if value.is_floating_point():
                value.add_(torch.rand_like(value) * (0.5 if key.endswith("var") else 0.05))
    model = create_model(f"timm:{name}", model_num_class=CLASSES)
    assert isinstance(model, ForeignModel)
    state = original.state_dict()
    encoder = model.get_submodule("encoder")
    encoder.load_state_dict({n: state[n] for n in encoder.state_dict()})
    model.get_submodule("head").load_state_dict(original.get_classifier().state_dict())
    return model.eval(), original


def _clip(name: str, frames: int = 3) -> Tensor:
    return torch.randn(2, 3, frames, ENCODERS[name], ENCODERS[name])


@pytest.mark.parametrize("name", NAMES)
def test_scores_are_the_mean_over_the_frames(name: str) -> None:
    model, original = _pair(name)
    for frames in (1, 3):
        clip = _clip(name, frames)
        with torch.no_grad():
            scores = model(clip.contiguous(memory_format=torch.channels_last_3d))
            expected = torch.stack([original(clip[:, :, t]) for t in range(frames)]).mean(0)
            halves = model.forward_head(model.forward_features(clip))
        torch.testing.assert_close(scores, expected, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(halves, scores, rtol=1e-4, atol=1e-4)
        assert float(expected.std(0).max()) > 1e-3, "scores that do not depend on the clip"


@pytest.mark.parametrize("name", NAMES)
def test_verbs(name: str) -> None:
    model, _ = _pair(name)
    names = [n for n, _ in model.named_parameters()]
    depths = [model.param_depth(n) for n in names]
    assert set(depths) == set(range(model.num_depths)) and model.num_depths > 4
    assert depths[0] == 0 and depths[-1] == model.num_depths - 1
    seen: dict[str, Tensor] = {}
    for info in model.feature_info:
        model.get_submodule(info.name).register_forward_hook(
            lambda _, args, out, at=info.name: seen.__setitem__(at, out)
        )
    clip = _clip(name)
    model.reset_head(7)
    assert model(clip).shape == (2, 7) and model.num_classes == 7
    assert len(model.feature_info) > 3
    for info in model.feature_info:
        shape, side = seen[info.name].shape, ENCODERS[name] // info.stride[0][1]
        assert shape[0] == 6  # clips x frames
        assert info.channels[0] == shape[1 if len(shape) == 4 else 2]
        assert (shape[2:] == (side, side)) if len(shape) == 4 else (shape[1] == side**2 + 1)


@torch.no_grad()
@pytest.mark.parametrize(
    "name", [*NAMES, pytest.param("swin_tiny_patch4_window7_224", marks=pytest.mark.slow)]
)
def test_features_lie_where_the_clip_has_them(name: str) -> None:
    model = create_model(f"timm:{name}", model_num_class=CLASSES)
    model.eval()
    clip = torch.zeros(2, 3, 3, ENCODERS.get(name, 224), ENCODERS.get(name, 224))
    other = clip.clone()
    other[1, :, 2, 16:32, -16:] = 5.0
    before, after = model.stage_features(clip), model.stage_features(other)
    assert list(before) == [info.name for info in model.feature_info]
    for info in model.feature_info:
        (first,), (second,) = before[info.name], after[info.name]
        sides = [n // s for n, s in zip(clip.shape[2:], info.stride[0], strict=True)]
        assert list(first.shape) == [2, info.channels[0], *sides]
        change = (second - first).abs().amax(1)
        assert float(change[0].max()) == 0 == float(change[1, :2].max()), "another frame"
        assert float(change[1, 2].max()) > 0
    if name.startswith("vit"):
        (first,), (second,) = before["encoder.blocks.0"], after["encoder.blocks.0"]
        assert torch.unravel_index((second - first)[1, :, 2].abs().amax(0).argmax(), (14, 14)) == (
            1, 13,
        )  # fmt: skip


@pytest.mark.parametrize("name", ["resnet10t", "convnext_atto"])
def test_gradient_checkpointing_changes_nothing(name: str) -> None:
    model, _ = _pair(name)
    other = copy.deepcopy(model)
    other.set_gradient_checkpointing()
    clip = _clip(name)
    for net in (model, other):
        net.train()
        net(clip).square().sum().backward()
    for (key, a), b in zip(model.named_parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, msg=key)
    for (key, a), b in zip(model.named_buffers(), other.buffers(), strict=True):
        torch.testing.assert_close(a, b, msg=key)


def test_cards_and_sizes() -> None:
    card = get_card("timm:vit_tiny_patch16_224")
    assert card.pixels.mean == (0.5,) * 3 and card.pixels.crop == (224, 224)
    assert card.clip.coverage == "video"
    model = create_model("timm:vit_tiny_patch16_224", image_size=32, num_classes=3)
    assert model(torch.randn(1, 3, 2, 32, 32)).shape == (1, 3)
    with pytest.raises(InputError, match=r"2x64x64, but .* made for anyx32x32.*image_size="):
        model(torch.randn(1, 3, 2, 64, 64))
    with pytest.raises(UnknownNameError, match="Did you mean 'resnet18'"):
        get_card("timm:resnet_18")
