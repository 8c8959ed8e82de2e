"""Models of Transformers and timm: the originals' numbers under our verbs."""

from __future__ import annotations

import copy
import json
import math
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from vitascope.engine.optim import parameter_groups
from vitascope.errors import ConfigError, InputError, UnknownNameError, WeightsError
from vitascope.models.foreign.base import ForeignModel
from vitascope.models.registry import create_model, get_card
from vitascope.spec import to_json

transformers = pytest.importorskip("transformers")

_WIDTH = {"hidden_size": 24, "num_hidden_layers": 3, "num_attention_heads": 2}
SMALL: dict[str, dict[str, Any]] = {
    "videomae": {
        **_WIDTH, "image_size": 32, "num_frames": 4, "patch_size": 8, "intermediate_size": 48,
    },
    "timesformer": {
        **_WIDTH, "image_size": 32, "num_frames": 4, "patch_size": 8, "intermediate_size": 48,
    },
    "vivit": {
        **_WIDTH, "image_size": 32, "num_frames": 4, "tubelet_size": [2, 8, 8],
        "intermediate_size": 48,
    },
    "vjepa2": {
        **_WIDTH, "crop_size": 32, "frames_per_clip": 4, "patch_size": 8, "num_pooler_layers": 2,
        "pred_hidden_size": 24, "pred_num_attention_heads": 2, "pred_num_hidden_layers": 1,
    },
}  # fmt: skip
NAMES = list(SMALL)
CLASSES = 5


def _config(family: str, **changes: Any) -> dict[str, Any]:
    return {"model_type": family, **SMALL[family], **changes}


def _original(family: str, **changes: Any) -> Any:
    """The model as Transformers builds it, with large random values in every tensor."""
    config = transformers.AutoConfig.for_model(
        **_config(family, **changes), num_labels=CLASSES, attn_implementation="eager"
    )
    network = transformers.AutoModelForVideoClassification.from_config(config).eval()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.1)
    return network


def _pair(family: str, **changes: Any) -> tuple[ForeignModel, Any]:
    """Our model and the original with the same weights."""
    original = _original(family, **changes)
    model = create_model(f"hf:{family}", config=_config(family, **changes), model_num_class=CLASSES)
    assert isinstance(model, ForeignModel)
    state = original.state_dict()
    model.network.load_state_dict({n: state[n] for n in model.network.state_dict()})
    return model.eval(), original


def _clip(batch: int = 2, frames: int = 4, side: int = 32) -> Tensor:
    return torch.randn(batch, 3, frames, side, side, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize(
    ("family", "changes"),
    [
        *((name, {}) for name in NAMES),
        ("videomae", {"use_mean_pooling": False}),
        ("timesformer", {"attention_type": "joint_space_time"}),
        ("timesformer", {"attention_type": "space_only"}),
    ],
)
def test_scores_and_gradients_are_the_originals(family: str, changes: dict[str, Any]) -> None:
    model, original = _pair(family, **changes)
    clip = _clip()
    scores = model(clip.contiguous(memory_format=torch.channels_last_3d))
    expected = original(clip.transpose(1, 2)).logits
    torch.testing.assert_close(scores, expected, rtol=1e-4, atol=1e-5)
    assert float(expected.detach().std(0).max()) > 1e-3, "scores that do not depend on the clip"
    scores.square().sum().backward()
    expected.square().sum().backward()
    theirs = dict(original.named_parameters())
    for name, parameter in model.network.named_parameters():
        if theirs[name].grad is None:
            assert parameter.grad is None, name
            continue
        torch.testing.assert_close(parameter.grad, theirs[name].grad, rtol=1e-3, atol=1e-4)
    left = set(theirs) - {name for name, _ in model.network.named_parameters()}
    assert all(theirs[name].grad is None for name in left), "a part was taken off that is used"


@pytest.mark.parametrize("family", NAMES)
def test_halves_head_and_features(family: str) -> None:
    model, _ = _pair(family)
    clip = _clip()
    seen: dict[str, Tensor] = {}
    for info in model.feature_info:
        model.get_submodule(info.name).register_forward_hook(
            lambda _, args, out, name=info.name: seen.__setitem__(
                name, out if isinstance(out, Tensor) else out[0]
            )
        )
    with torch.no_grad():
        scores = model(clip)
        halves = model.forward_head(model.forward_features(clip))
    assert torch.equal(scores, halves)
    assert len(seen) == 3
    for info in model.feature_info:
        tokens = math.prod(n // s for n, s in zip((4, 32, 32), info.stride[0], strict=True))
        assert seen[info.name].shape[2] == info.channels[0] == 24
        assert seen[info.name].shape[1] - tokens in (0, 1)
    assert model.num_classes == CLASSES
    model.reset_head(7)
    assert model.num_classes == 7 and model(clip).shape == (2, 7)
    with pytest.raises(InputError, match="no head for boxes"):
        model.forward_head(model.forward_features(clip), torch.zeros(1, 5))


@torch.no_grad()
@pytest.mark.parametrize(
    ("family", "changes"),
    [*((name, {}) for name in NAMES), ("timesformer", {"attention_type": "space_only"})],
)
def test_features_lie_where_the_clip_has_them(family: str, changes: dict[str, Any]) -> None:
    """One patch is changed; the token that changes most is the one in its place."""
    model, _ = _pair(family, **changes)
    for info in model.feature_info:  # attention and perceptrons, which mix places, made small
        for parameter in model.get_submodule(info.name).parameters():
            if parameter.dim() > 1:
                parameter.mul_(0.01)
    stages = model.feature_info
    step_t, step_h, step_w = stages[0].stride[0]
    clip = _clip()
    before = model.stage_features(clip)
    assert list(before) == [info.name for info in stages]
    grid = (4 // step_t, 32 // step_h, 32 // step_w)
    for place in ((0, 0, 1), (grid[0] - 1, 2, 0), (grid[0] - 1, 1, 3)):
        t, h, w = (at * step for at, step in zip(place, stages[0].stride[0], strict=True))
        other = clip.clone()
        other[1, :, t : t + step_t, h : h + step_h, w : w + step_w] += 3.0
        after = model.stage_features([other])
        for info in stages:
            (first,), (second,) = before[info.name], after[info.name]
            assert first.shape == (2, 24, *grid)
            change = (second - first).abs().amax(1)
            assert float(change[0].max()) < 1e-6, "another clip of the batch"
            found = [int(i) for i in torch.unravel_index(change[1].argmax(), grid)]
            assert found == list(place), info


@pytest.mark.parametrize("family", NAMES)
def test_depths_cover_every_parameter_once(family: str) -> None:
    model, _ = _pair(family)
    names = [name for name, _ in model.named_parameters()]
    depths = [model.param_depth(name) for name in names]
    assert set(depths) == set(range(5)) and model.num_depths == 5
    assert depths == sorted(depths), "parameters are named from the input to the head"
    groups = parameter_groups(model, 0.1, layer_decay=0.5)
    assert sorted(n for g in groups for n in g["names"]) == sorted(names)
    for group in groups:
        assert {model.param_depth(n) for n in group["names"]} == {4 + math.log2(group["share"])}
        assert math.isclose(group["lr"], 0.1 * group["share"])
    assert model.no_weight_decay <= set(names)
    learned = {"videomae": 0, "timesformer": 3, "vivit": 2, "vjepa2": 0}  # positions and tokens
    assert len(model.no_weight_decay) == learned[family]


@pytest.mark.parametrize("family", NAMES)
def test_gradient_checkpointing_changes_nothing(family: str) -> None:
    model, _ = _pair(family)
    other = copy.deepcopy(model)
    other.set_gradient_checkpointing()
    other = copy.deepcopy(other)  # as a moving average copies it
    runs = 0

    def count(*_: Any) -> None:
        nonlocal runs
        runs += 1

    last = model.feature_info[-1].name
    inner = next(m for m in other.get_submodule(last).modules() if isinstance(m, nn.Linear))
    inner.register_forward_hook(count)
    for net in (model, other):
        net.train()
        net(_clip()).square().sum().backward()
    assert runs == 2, "the layer was not run again in the backward pass"
    for (name, a), b in zip(model.named_parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, msg=name)
    other.set_gradient_checkpointing(False)
    other(_clip()).sum().backward()
    assert runs == 3


@pytest.mark.parametrize("family", NAMES)
def test_wrong_clips(family: str) -> None:
    model, _ = _pair(family)
    for clip, message in (
        (_clip(frames=2), "2x32x32 is too short"),
        (_clip(frames=8), "8x32x32, but .* made for 4x32x32.*num_frames="),
        (_clip(side=48), "4x48x48, but .* made for 4x32x32"),
        (_clip()[0], "needs a batch dimension"),
        (_clip()[:, :1], "expected 3 channels .* got 1 "),
        ([_clip(), _clip()], r"takes one tensor B C T H W, got \["),
    ):
        with pytest.raises(InputError, match=message):
            model(clip)
    model.check = True
    with pytest.raises(InputError, match="24576 of 24576 values are NaN"):
        model(_clip() * torch.nan)
    model([_clip()])


def test_other_sizes_are_built() -> None:
    for family in NAMES:
        config = _config(family)
        model = create_model(f"hf:{family}", config=config, num_frames=6, image_size=16)
        assert model(_clip(frames=6, side=16)).shape == (2, 2)
    with pytest.raises(ConfigError, match="cut into patches of 2x8x8"):
        create_model("hf:vivit", config=_config("vivit"), num_frames=5)


def test_a_family_alone_is_its_default_configuration() -> None:
    card = get_card("hf:vjepa2")
    assert card.full_name == "hf:vjepa2"
    assert (card.clip.num_frames, card.clip.fps) == (64, Fraction(4))
    assert card.pixels.crop == (256, 256) and card.pixels.short_side == 292
    card = get_card("hf:timesformer")
    assert (card.clip.num_frames, card.clip.sampling_rate) == (8, 32)
    assert card.pixels.mean == (0.45,) * 3
    with pytest.raises(WeightsError, match="family without weights"):
        create_model("hf:videomae", config=_config("videomae"), pretrained=True)


def _save(folder: Path, family: str, processor: dict[str, Any] | None = None) -> Any:
    original = _original(family)
    original.config.id2label = {i: f"action {i}" for i in range(CLASSES)}
    original.config.label2id = {f"action {i}": i for i in range(CLASSES)}
    original.save_pretrained(folder)
    if processor is not None:
        (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    return original


@pytest.mark.parametrize("family", NAMES)
def test_a_folder_with_weights(family: str, tmp_path: Path) -> None:
    original = _save(tmp_path, family)
    name = f"hf:{tmp_path}"
    card = get_card(name)
    assert card.labels.names == tuple(f"action {i}" for i in range(CLASSES))
    assert card.clip.num_frames == 4 and card.pixels.crop == (32, 32)
    json.dumps(to_json(card.args))
    model = create_model(name, pretrained=True).eval()
    expected = original(_clip().transpose(1, 2)).logits
    torch.testing.assert_close(model(_clip()), expected, rtol=1e-4, atol=1e-5)
    fine = create_model(name, pretrained=True, num_classes=9)
    assert fine.num_classes == 9
    features = [net.eval().forward_features(_clip()) for net in (model, fine)]
    assert torch.equal(*features), "the rest of the weights is kept"


def test_weights_for_another_clip_are_refused(tmp_path: Path) -> None:
    _save(tmp_path, "vivit")
    with pytest.raises(WeightsError, match=r"position_embeddings.*another clip size"):
        create_model(f"hf:{tmp_path}", pretrained=True, num_frames=8)


def test_pixels_come_from_the_processor(tmp_path: Path) -> None:
    """Of ViViT's form, which shifts the scaled values and then normalizes them."""
    from vitascope.transforms.preprocess import evaluation_transform

    stored = {
        "do_resize": True, "size": {"shortest_edge": 40}, "do_center_crop": True,
        "crop_size": {"height": 32, "width": 32}, "do_rescale": True, "offset": True,
        "rescale_factor": 1 / 127.5, "do_normalize": True, "image_mean": [0.5, 0.4, 0.3],
        "image_std": [0.5, 0.25, 0.2],
    }  # fmt: skip
    _save(tmp_path, "vivit", stored)
    pixels = get_card(f"hf:{tmp_path}").pixels
    assert (pixels.short_side, pixels.crop, pixels.fit) == (40, (32, 32), "crop")
    frames = torch.randint(0, 256, (4, 40, 40, 3), dtype=torch.uint8)
    (found,) = evaluation_transform(pixels)(frames)
    inside = frames[:, 4:36, 4:36].double()  # no scaling is needed at this size
    scaled = inside / 127.5 - 1
    wanted = (scaled - torch.tensor([0.5, 0.4, 0.3])) / torch.tensor([0.5, 0.25, 0.2])
    torch.testing.assert_close(found.double(), wanted.permute(3, 0, 1, 2), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        ({"size": {"height": 32, "width": 32}, "do_center_crop": False}, (32, "squash")),
        ({"size": {"shortest_edge": 32}}, (32, "crop")),
        ({"size": 48}, (48, "crop")),
    ],
)
def test_sizes_of_processors(
    stored: dict[str, Any], expected: tuple[int, str], tmp_path: Path
) -> None:
    _save(tmp_path, "videomae", stored)
    pixels = get_card(f"hf:{tmp_path}").pixels
    assert (pixels.short_side, pixels.fit) == expected
    assert pixels.mean == (0.485, 0.456, 0.406), "ImageNet's, as the family was published"


def test_unknown_names(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'videomae'"):
        get_card("hf:videomea")
    with pytest.raises(WeightsError, match="no configuration"):
        get_card(f"hf:{tmp_path}")
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(UnknownNameError, match=r"'bert'.*Known: timesformer, videomae"):
        get_card(f"hf:{tmp_path}")
    with pytest.raises(UnknownNameError, match="Known: timesformer"):
        create_model("hf:x", config={"model_type": "vit"})
    with pytest.raises(ConfigError, match="needs its model_type"):
        create_model("hf:x", config={"hidden_size": 3})
    with pytest.raises(ConfigError, match="cannot be built"):
        create_model("hf:videomae", config=_config("videomae", hidden_size=25))
    with pytest.raises(UnknownNameError, match="unknown model 'hg:videomae'"):
        get_card("hg:videomae")


def test_code_beside_a_configuration_is_not_run(tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    (tmp_path / "own.py").write_text(f"open({str(marker)!r}, 'w').close()\nclass Own: pass\n")
    for kind in ("own", "videomae"):
        entries = {"model_type": kind, "auto_map": {"AutoConfig": "own.Own"}}
        (tmp_path / "config.json").write_text(json.dumps(entries))
        if kind == "own":
            with pytest.raises(WeightsError, match="no configuration"):
                get_card(f"hf:{tmp_path}")
        else:
            assert get_card(f"hf:{tmp_path}").clip.num_frames == 16
    assert not marker.exists()


@pytest.mark.slow
@pytest.mark.parametrize("family", NAMES)
def test_export_compile_and_bf16(family: str) -> None:
    model, _ = _pair(family)
    clip = _clip()
    with torch.no_grad():
        expected = model(clip)
        program = torch.export.export(model, (clip,))
        torch.testing.assert_close(program.module()(clip), expected)
        torch._dynamo.reset()
        compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
        torch.testing.assert_close(compiled(clip), expected, rtol=1e-4, atol=1e-5)
        with torch.autocast("cpu", torch.bfloat16):
            rough = model(clip)
    assert float((rough.float() - expected).norm() / expected.norm()) < 0.1
