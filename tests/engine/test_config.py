from __future__ import annotations

import dataclasses
import json
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitascope.engine.config import (
    AugmentConfig,
    DataConfig,
    ModelConfig,
    OptimConfig,
    Recipe,
    RunConfig,
)
from vitascope.errors import ConfigError, UnknownNameError
from vitascope.spec import ClipSpec, PixelSpec, ViewProtocol


def recipe(**parts: object) -> Recipe:
    values: dict = {
        "model": ModelConfig(name="toy", args={"width": 4, "names": ["a"], "on": True}),
        "clip": ClipSpec(num_frames=4, fps=Fraction(30000, 1001), pathways=(4, 1)),
        "pixels": PixelSpec(short_side=32, crop=(24, 32)),
    }
    return Recipe(**{**values, **parts})


def test_json_round_trip_is_exact() -> None:
    there = recipe(
        data=DataConfig(path="a folder", fractions=(0.5, 0.25, 0.25), on_bad="skip"),
        augment=AugmentConfig(scale=(0.1, 0.9), mixup=0.3),
        optim=OptimConfig(schedule="steps", steps=(0, 3.5), rates=(1, 0.1), clip_grad=1),
        run=RunConfig(views=ViewProtocol(clips=10, crops=3), eval_every=7),
    )
    text = json.dumps(there.to_json(), allow_nan=False)
    back = Recipe.from_json(json.loads(text))
    assert back == there
    assert back.clip.fps == Fraction(30000, 1001)
    assert isinstance(back.optim.clip_grad, float)
    assert json.dumps(back.to_json()) == text


@given(
    lr=st.floats(0, 10),
    epochs=st.integers(1, 10**6),
    scale=st.tuples(st.floats(0.01, 1), st.floats(0.01, 1)).map(lambda t: tuple(sorted(t))),
    seed=st.integers(0, 2**63 - 1),
)
def test_json_round_trip_of_any_numbers(lr, epochs, scale, seed) -> None:
    there = recipe(
        optim=OptimConfig(lr=lr, epochs=epochs),
        augment=AugmentConfig(scale=scale),
        run=RunConfig(seed=seed),
    )
    assert Recipe.from_json(json.loads(json.dumps(there.to_json()))) == there


def test_every_setting_has_a_type_and_one_line() -> None:
    rows = list(recipe().fields())
    paths = [row.path for row in rows]
    assert len(set(paths)) == len(paths)
    assert {"model.name", "clip.num_frames", "pixels.crop", "optim.lr", "run.views"} <= set(paths)
    for row in rows:
        assert row.help, f"{row.path} has no description"
        assert row.type, row.path
        if not row.path.startswith(("clip.", "pixels.")):  # described in spec.py
            assert len(row.help) <= 100, f"{row.path}: more than one line"


def test_parts_are_frozen_and_keyword_only() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        recipe().optim.lr = 3.0
    with pytest.raises(TypeError):
        OptimConfig("sgd")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: OptimConfig(lr="fast"), ["optim.lr", "'fast'", "number"]),
        (lambda: OptimConfig(lr=-1), ["optim.lr = -1"]),
        (lambda: OptimConfig(lr=float("nan")), ["optim.lr"]),
        (lambda: OptimConfig(epochs=0), ["optim.epochs = 0"]),
        (lambda: OptimConfig(epochs=1.5), ["optim.epochs", "whole number"]),
        (lambda: OptimConfig(epochs=True), ["optim.epochs", "whole number"]),
        (lambda: OptimConfig(name="lion"), ["optim.name", "adamw | adam | sgd"]),
        (lambda: OptimConfig(batch_size=6, accumulate=4), ["optim.accumulate = 4", "6"]),
        (lambda: OptimConfig(steps=(1, 2), rates=(1, 1)), ["optim.steps"]),
        (lambda: OptimConfig(steps=(0, 2), rates=(1,)), ["optim.steps", "rate"]),
        (lambda: AugmentConfig(scale=(0.9, 0.1)), ["augment.scale"]),
        (lambda: AugmentConfig(hflip=2), ["augment.hflip = 2"]),
        (lambda: AugmentConfig(mix_prob=2), ["augment.mix_prob = 2"]),
        (lambda: DataConfig(fractions=(0.5, 0.1, 0.1)), ["data.fractions", "add up to 1"]),
        (lambda: DataConfig(on_bad="ignore"), ["data.on_bad", "error | skip"]),
        (lambda: RunConfig(precision="fp8"), ["run.precision", "32 | bf16 | 16"]),
        (lambda: RunConfig(log_every=0), ["run.log_every = 0"]),
        (lambda: ModelConfig(name=""), ["model.name"]),
    ],
)
def test_bad_values_are_refused_by_path(make, words) -> None:
    with pytest.raises(ConfigError) as caught:
        make()
    for word in words:
        assert word in str(caught.value)


def test_reading_refuses_unknown_and_missing_fields() -> None:
    plain = recipe().to_json()
    plain["optim"]["lrr"] = 1
    with pytest.raises(UnknownNameError, match="Did you mean 'lr'"):
        Recipe.from_json(plain)
    plain = recipe().to_json()
    del plain["clip"]["num_frames"]
    with pytest.raises(ConfigError, match="clip lacks num_frames"):
        Recipe.from_json(plain)


def test_settings_of_older_recipes_are_read_by_their_old_names() -> None:
    plain = recipe().to_json()
    plain["augment"] |= {"cover": [0.5, 0.75], "place": 0.25}
    del plain["augment"]["span"], plain["augment"]["crop_jitter"]
    augment = Recipe.from_json(plain).augment
    assert (augment.span, augment.crop_jitter) == ((0.5, 0.75), 0.25)


def test_differences_name_paths_and_both_values() -> None:
    here = recipe()
    there = dataclasses.replace(here, optim=OptimConfig(lr=0.5))
    assert here.differences(there) == {"optim.lr": (1e-3, 0.5)}
    assert here.differences(here) == {}
