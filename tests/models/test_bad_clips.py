"""A clip that does not fit, for every model: one message that says what came and what fits."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn

from support.small_models import small
from vitascope.errors import InputError
from vitascope.models.base import InputSpec, VideoModel
from vitascope.models.registry import get_card, list_models

NAMES = list_models(lambda card: card.tag != "test")


def _model(name: str) -> tuple[VideoModel, list[Tensor], tuple[Tensor, ...]]:
    """A small model of a card, the clips of its pathways, and its boxes if it takes any."""
    model, (clips, *rest) = small(get_card(name))
    parts = clips if isinstance(clips, list) else [clips]
    assert model.inputs is not None and len(model.inputs.channels) == len(parts)
    return model.eval(), parts, tuple(rest)


def _refused(model: nn.Module, clips: Sequence[object], rest: Sequence[Tensor]) -> str:
    x = list(clips) if len(clips) > 1 else clips[0]
    with torch.no_grad(), pytest.raises(InputError) as caught:
        model(x, *rest)
    return str(caught.value)


def _shape(clip: Tensor) -> str:
    return "x".join(map(str, clip.shape))


@pytest.mark.parametrize("name", NAMES)
def test_each_pathway_is_looked_at(name: str) -> None:
    model, clips, rest = _model(name)
    spec = model.inputs
    assert isinstance(spec, InputSpec)
    for i, clip in enumerate(clips):
        at, channels = spec.names[i], spec.channels[i]

        def refused(bad: object, i: int = i) -> str:
            return _refused(model, [*clips[:i], bad, *clips[i + 1 :]], rest)

        image = "use_2d_patch" in get_card(name).args  # takes B C H W too
        one = clip[0, :, 0] if image else clip[0]
        said = refused(one)
        assert said.startswith(f"{at}: expected 5 dimensions B C T H W, got {one.dim()} ")
        assert _shape(one) in said and (image or "needs a batch dimension" in said)
        said = refused(clip[:, :1].expand(-1, channels + 1, -1, -1, -1))
        assert said.startswith(f"{at}: expected {channels} channels in dimension 1")
        assert f"got {channels + 1} " in said
        for axis, least in enumerate(spec.minimum[i]):
            if least > 1:
                short = clip.narrow(2 + axis, 0, least - 1)
                said = refused(short)
                assert said.startswith(f"{at}: T x H x W = {_shape(short[0, 0])} is too short")
                assert f"at least {'x'.join(map(str, spec.minimum[i]))}" in said
        said = refused("clip.mp4")
        assert "got " in said and "str" in said and "B C T H W" in said


@pytest.mark.parametrize("name", NAMES)
def test_number_of_pathways(name: str) -> None:
    model, clips, rest = _model(name)
    count = len(clips)
    for wrong in ([*clips, clips[0]], clips[:-1] if count > 2 else [clips[0]] * 3):
        said = _refused(model, wrong, rest)
        want = "one tensor B C T H W" if count == 1 else f"a list of {count} tensors"
        assert want in said and ", ".join(_shape(clip) for clip in wrong) in said
    if count > 1:
        said = _refused(model, clips[:1], rest)
        assert f"a list of {count} tensors" in said and f"got {_shape(clips[0])}" in said


@pytest.mark.parametrize("name", NAMES)
def test_values_are_looked_at_on_request(name: str) -> None:
    model, clips, rest = _model(name)
    model.check = True
    for i, clip in enumerate(clips):
        bad = clip.clone()
        bad[0, 0, 0, 0, 0] = torch.nan
        bad[-1, -1, -1, -1, -1] = torch.inf
        said = _refused(model, [*clips[:i], bad, *clips[i + 1 :]], rest)
        at = re.escape(model.inputs.names[i])  # type: ignore[union-attr]
        assert re.match(rf"{at}: 2 of {clip.numel()} values are NaN or infinite", said)
