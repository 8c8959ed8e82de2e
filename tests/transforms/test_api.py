"""Names and parameters of pytorchvideo.transforms and .losses, and how transforms are called."""

from __future__ import annotations

import importlib
import inspect
import json
import random

import numpy as np
import pytest
import torch

from vitascope.compat.pyslowfast.transforms.erasing import RandomErasing
from vitascope.compat.pyslowfast.transforms.image_augment import rand_augment_transform
from vitascope.errors import ConfigError, InputError
from vitascope.spec import ClipSpec
from vitascope.transforms import Compose, RandAugment, RandomCrop, RandomShortSideScale
from vitascope.transforms.apply import apply_transform
from vitascope.transforms.functional import uniform_temporal_subsample
from vitascope.transforms.pathways import PackPathway, pack_pathways
from vitascope.transforms.spatial import short_side_scale, uniform_crop

# Their parameters there are only *args, **kwargs of the base class.
FREE = {"Div255"}


def parameters(function: object) -> list[tuple[str, str]]:
    return [
        (name, "" if p.default is p.empty else repr(p.default))
        for name, p in inspect.signature(function).parameters.items()
        if p.kind in (p.POSITIONAL_OR_KEYWORD, p.POSITIONAL_ONLY) and name != "self"
    ]


def test_every_name_with_its_parameters(shared, capsys):
    api = json.loads((shared / "reference/api/pytorchvideo_api.json").read_text())["modules"]
    count = 0
    for module, entry in api.items():
        if not module.startswith(("pytorchvideo.transforms", "pytorchvideo.losses")):
            continue
        here = importlib.import_module(module.replace("pytorchvideo", "vitascope", 1))
        for name in entry.get("re_exports", {}):
            assert hasattr(here, name), f"{module}.{name}"
        for name, old in entry["names"].items():
            assert hasattr(here, name), f"{module}.{name}"
            count += 1
            if old["kind"] == "value" or name in FREE:
                continue
            new = parameters(getattr(here, name))
            wanted = [(p[0], p[2] if len(p) > 2 else "") for p in old["parameters"]]
            # New parameters may follow the old ones.
            assert new[: len(wanted)] == wanted, f"{module}.{name}: {new}, before: {wanted}"
    with capsys.disabled():
        print(f"\npytorchvideo names in transforms and losses: {count}")
    assert count == 43


def test_one_key_decides_a_whole_pipeline():
    pipeline = Compose([RandomShortSideScale(14, 20), RandomCrop(12)])
    x = torch.rand(3, 4, 20, 26)
    first = pipeline(x, rng=np.random.default_rng((1, 2, 3)))
    torch.manual_seed(99)
    assert torch.equal(first, pipeline(x, rng=np.random.default_rng((1, 2, 3))))
    others = [pipeline(x, rng=np.random.default_rng((1, 2, k))) for k in range(4, 12)]
    assert any(not torch.equal(first, other) for other in others)


def foreign(x: float) -> tuple[float, float, float, float]:
    return x, float(torch.rand(1)), float(np.random.rand()), random.random()


def test_foreign_transforms_are_seeded_and_leave_no_trace():
    states = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()
    first = apply_transform(foreign, 1.0, np.random.default_rng(5))
    assert first == apply_transform(foreign, 1.0, np.random.default_rng(5))
    assert first != apply_transform(foreign, 1.0, np.random.default_rng(6))
    assert torch.equal(states[0], torch.get_rng_state())
    assert np.array_equal(states[1], np.random.get_state()[1]) and states[2] == random.getstate()


def test_pathways_are_packed_slow_first():
    clip = torch.arange(32.0).view(1, 32, 1, 1).expand(3, -1, 2, 2)
    slow, fast = PackPathway((4, 1))(clip)
    assert slow[0, :, 0, 0].tolist() == [0, 4, 8, 13, 17, 22, 26, 31]
    assert torch.equal(fast, clip) and pack_pathways(clip, ()) is clip
    packed = PackPathway(ClipSpec(num_frames=32, pathways=(8, 1)))(clip)
    assert [p.shape[1] for p in packed] == [4, 32]
    with pytest.raises(ConfigError, match="stride 3"):
        PackPathway(ClipSpec(num_frames=32, pathways=(3, 1)))


def test_scaling_takes_whole_numbers_and_all_interpolations():
    x = torch.randint(0, 256, (3, 2, 12, 16), dtype=torch.uint8)
    for interpolation in ("nearest", "bilinear", "bicubic", "area"):
        got = short_side_scale(x, 6, interpolation)
        exact = short_side_scale(x.float(), 6, interpolation).clamp(0, 255)
        assert got.dtype == torch.uint8 and got.shape == (3, 2, 6, 8)
        assert (got.float() - exact).abs().max() <= 0.5001
    with pytest.raises(ConfigError, match="nearest"):
        short_side_scale(x, 6, "cubic")


def test_bad_input_is_refused():
    x = torch.rand(3, 4, 8, 10)
    with pytest.raises(InputError, match="does not fit"):
        uniform_crop(x, 9, 1)
    with pytest.raises(ConfigError, match="num_samples"):
        uniform_temporal_subsample(x, 0)
    with pytest.raises(ConfigError, match="magnitude"):
        RandAugment(magnitude=11)
    for recipe in ("rand-m9-q2", "augmix-m3", "rand-mx", "rand-w7"):
        with pytest.raises(ConfigError):
            rand_augment_transform(recipe)
    with pytest.raises(InputError, match="float"):
        RandomErasing()(torch.zeros(4, 3, 8, 8, dtype=torch.uint8))


def test_erased_noise_does_not_flicker_and_all_frames_are_reached():
    x = torch.zeros(6, 3, 20, 20)
    got = RandomErasing(1.0, mode="pixel")(x, rng=np.random.default_rng(2))
    assert (got != 0).flatten(1).any(1).all()
    assert torch.equal(got, got[:1].expand_as(got))
    again = RandomErasing(1.0, mode="pixel")(x, rng=np.random.default_rng(2))
    assert torch.equal(got, again)
