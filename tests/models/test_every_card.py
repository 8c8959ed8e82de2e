"""What every card promises: it builds, runs, exports, compiles, resets, explains itself."""

from __future__ import annotations

import copy
import math
import sys
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from support.small_models import small
from vitascope.engine.optim import parameter_groups
from vitascope.errors import InputError, UnknownNameError
from vitascope.models.card import ModelCard
from vitascope.models.measure.meta import meta_model
from vitascope.models.mvit.reversible import ReversibleBlock
from vitascope.models.registry import get_card, list_cards, list_models
from vitascope.models.resnet import create_resnet

# Without the nets that other tests register (their tag is "test").
CARDS = [pytest.param(card, id=card.full_name) for card in list_cards(lambda c: c.tag != "test")]
# One card of each architecture: for what does not depend on the weights that a card names.
DISTINCT = [
    pytest.param(get_card(name), id=name) for name in list_models(lambda c: c.tag != "test")
]


def _first(nest: object) -> Tensor:
    while isinstance(nest, list | tuple):
        nest = nest[0]
    assert isinstance(nest, Tensor)
    return nest


def _parts(nest: object) -> list[Tensor]:
    return list(nest) if isinstance(nest, list | tuple) else [nest]  # type: ignore[list-item]


@pytest.mark.parametrize("card", CARDS)
def test_builds_runs_and_resets(card: ModelCard) -> None:
    model, inputs = small(card)
    rows = len(inputs[1]) if card.task == "detection" else len(_first(inputs[0]))
    model.eval()
    with torch.no_grad():
        scores = model(*inputs)
        halves = model.forward_head(model.forward_features(inputs[0]), *inputs[1:])
    assert scores.shape == (rows, 11) and bool(torch.isfinite(scores).all())
    torch.testing.assert_close(halves, scores, rtol=0, atol=0)
    assert model.num_classes == 11
    model.reset_head(5)
    assert model.num_classes == 5
    with torch.no_grad():
        assert model(*inputs).shape == (rows, 5)
    with pytest.raises(InputError, match="at least 1"):
        model.reset_head(0)


@pytest.mark.parametrize("card", DISTINCT)
def test_depths_and_groups_cover_every_parameter_once(card: ModelCard) -> None:
    model, _ = small(card)
    depths = [model.param_depth(name) for name, _ in model.named_parameters()]
    assert set(depths) == set(range(model.num_depths))
    assert depths == sorted(depths), "parameters are named from the input to the head"
    groups = parameter_groups(model, 0.1, weight_decay=0.05, layer_decay=0.5)
    names = [name for group in groups for name in group["names"]]
    assert sorted(names) == sorted(name for name, _ in model.named_parameters())
    free = set(getattr(model, "no_weight_decay", ()))
    for group in groups:
        for name, parameter in zip(group["names"], group["params"], strict=True):
            above = model.num_depths - 1 - model.param_depth(name)
            assert math.isclose(group["lr"], 0.1 * 0.5**above)
            decays = parameter.dim() > 1 and name not in free
            assert group["weight_decay"] == (0.05 if decays else 0.0)
    torch.optim.SGD(groups, lr=0.1)
    with pytest.raises(InputError, match="no parameter"):
        model.param_depth("nothing.weight")


@pytest.mark.parametrize("card", DISTINCT)
def test_feature_info_is_what_the_stages_give(card: ModelCard) -> None:
    model, inputs = small(card)
    model.eval()
    seen: dict[str, list[Tensor]] = {}
    for info in model.feature_info:
        model.get_submodule(info.name).register_forward_hook(
            lambda _, args, out, name=info.name: seen.__setitem__(
                name, [part.clone() for part in _parts(out) if isinstance(part, Tensor)]
            )
        )
    with torch.no_grad():
        maps = model.stage_features(inputs[0])
    assert list(maps) == list(seen) == [info.name for info in model.feature_info]
    assert len(maps) > 1, f"{card.name}: feature_info lists {len(maps)} stage; two at least"
    for info in model.feature_info:
        for part, raw, channels, stride, clip in zip(
            maps[info.name], seen[info.name], info.channels, info.stride, _parts(inputs[0]),
            strict=False,
        ):  # fmt: skip
            size = tuple(-(-n // s) for n, s in zip(clip.shape[2:], stride, strict=True))
            assert tuple(part.shape) == (len(clip), channels, *size), info
            if raw.dim() == 5:  # unchanged by the stages behind it
                assert torch.equal(part, raw), info
                continue
            if isinstance(model.get_submodule(info.name), ReversibleBlock):
                raw = (raw + seen[info.name][1]) / 2
            tokens = raw[:, raw.shape[1] - math.prod(size) :]
            assert raw.shape[1] - tokens.shape[1] in (0, 1), info
            for place in {0, math.prod(size) // 2, math.prod(size) - 1}:
                t, rest = divmod(place, size[1] * size[2])
                at = part[:, :, t, rest // size[2], rest % size[2]]
                assert torch.equal(at, tokens[:, place]), info
        assert len(maps[info.name]) == len(info.channels)
    one = model.feature_info[-1].name
    with torch.no_grad():
        (alone,) = model.stage_features(inputs[0], one).values()
    assert all(torch.equal(a, b) for a, b in zip(alone, maps[one], strict=True))
    with pytest.raises(UnknownNameError, match="unknown stage 'nothing'"):
        model.stage_features(inputs[0], "nothing")


@pytest.mark.parametrize("card", DISTINCT)
def test_gradient_checkpointing_changes_nothing(card: ModelCard) -> None:
    model, inputs = small(card)
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    other = copy.deepcopy(model)
    other.set_gradient_checkpointing()
    for net in (model, other):
        net.train()
        net(*inputs).square().sum().backward()
    for (name, a), b in zip(model.named_parameters(), other.parameters(), strict=True):
        assert (a.grad is None) == (b.grad is None), name
        if a.grad is not None:
            torch.testing.assert_close(a.grad, b.grad, msg=name)
    for (name, a), b in zip(model.named_buffers(), other.buffers(), strict=True):
        torch.testing.assert_close(a, b, msg=name)


@pytest.mark.parametrize("card", DISTINCT)
def test_bf16_autocast(card: ModelCard) -> None:
    model, inputs = small(card)
    model.eval()
    with torch.no_grad():
        exact = model(*inputs)
        with torch.autocast("cpu", torch.bfloat16):
            rough = model(*inputs)
    assert bool(torch.isfinite(rough).all())
    error = (rough.float() - exact).norm() / exact.norm()
    assert error < 0.1, float(error)


def _slow_but(*names: str) -> list[object]:
    """All architectures, of which only a few are not marked slow."""
    cards = [get_card(name) for name in list_models(lambda c: c.tag != "test")]
    slow = pytest.mark.slow
    return [pytest.param(c, id=c.name, marks=[] if c.name in names else [slow]) for c in cards]


@pytest.mark.parametrize("card", _slow_but("slow_r50", "x3d_s"))
def test_torch_export(card: ModelCard) -> None:
    model, inputs = small(card)
    model.eval()
    program = torch.export.export(model, inputs)
    with torch.no_grad():
        torch.testing.assert_close(program.module()(*inputs), model(*inputs))


@pytest.mark.slow
@pytest.mark.parametrize("card", DISTINCT)
def test_torch_compile(card: ModelCard) -> None:
    model, inputs = small(card)
    model.eval()
    torch._dynamo.reset()
    compiled = torch.compile(model, backend="aot_eager", fullgraph=card.task != "detection")
    with torch.no_grad():
        torch.testing.assert_close(compiled(*inputs), model(*inputs), rtol=1e-4, atol=1e-5)


def test_a_network_without_a_small_size_says_so() -> None:
    def create_other(**args: object) -> nn.Module:
        return create_resnet(**args)

    def create_open(**args: object) -> nn.Module:
        model = create_resnet(**args)
        model.inputs = None
        return model

    card = replace(get_card("slow_r50"), builder=create_other)
    with pytest.raises(pytest.fail.Exception, match=r"3\d\.\d million .*Add a row 'create_other'"):
        small(card)
    card = replace(card, args={**card.args, "stem_dim_out": 4, "stage_depths": (1, 1, 1, 1)})
    model, inputs = small(card)
    assert sum(p.numel() for p in model.parameters()) < 1e6 and model.num_classes == 11
    assert model.inputs is not None and tuple(inputs[0].shape[2:]) == model.inputs.minimum[0]
    with pytest.raises(pytest.fail.Exception, match=r"inputs is None\. Say what clips"):
        small(replace(card, builder=create_open))


def test_count(capsys: pytest.CaptureFixture[str]) -> None:
    """How many cards the tests of this file go through."""
    with capsys.disabled():
        sys.stdout.write(f"\ncards: {len(CARDS)}, architectures: {len(DISTINCT)}\n")
    assert len(CARDS) >= 70 and len(DISTINCT) >= 40


@pytest.mark.slow
@pytest.mark.parametrize("card", CARDS)
def test_full_size_on_meta(card: ModelCard) -> None:
    """The model as published builds; its size is compared in test_published."""
    with torch.device("meta"):
        model = card.build(**card.logit_args)
    assert model.num_classes > 1
    shapes = {name: (value.shape, value.dtype) for name, value in model.state_dict().items()}
    found = meta_model(card)
    assert meta_model(card) is found and all(p.is_meta for p in found.parameters())
    assert shapes == {n: (v.shape, v.dtype) for n, v in found.state_dict().items()}
