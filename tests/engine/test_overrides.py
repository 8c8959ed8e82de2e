from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitascope.engine import overrides
from vitascope.engine.config import DataConfig, ModelConfig, OptimConfig, Recipe, RunConfig
from vitascope.errors import ConfigError, UnknownNameError
from vitascope.spec import ClipSpec, PixelSpec, ViewProtocol

BASE = Recipe(
    model=ModelConfig(name="toy", args={"width": 4}),
    clip=ClipSpec(num_frames=4, fps=Fraction(25)),
    pixels=PixelSpec(short_side=32, crop=(32, 32)),
    data=DataConfig(labels="names.txt"),
    optim=OptimConfig(clip_grad=2.0),
    run=RunConfig(compile=True, precision="bf16"),
)


@pytest.mark.parametrize(
    ("assignment", "path", "value"),
    [
        ("optim.lr=1e-2", "optim.lr", 0.01),
        ("optim.lr=2", "optim.lr", 2.0),
        ("optim.epochs= 7 ", "optim.epochs", 7),
        ("optim.clip_grad=none", "optim.clip_grad", None),
        ("optim.clip_grad=0.5", "optim.clip_grad", 0.5),
        ("optim.schedule=one_cycle", "optim.schedule", "one_cycle"),
        ("augment.scale=(0.1, 0.5)", "augment.scale", (0.1, 0.5)),
        ("augment.scale=0.1,0.5", "augment.scale", (0.1, 0.5)),
        ("optim.rates=1,0.1,0.01", "optim.rates", (1.0, 0.1, 0.01)),
        ("data.cache=no", "data.cache", False),
        ("run.compile=False", "run.compile", False),
        ("run.precision=32", "run.precision", "32"),
        ("run.views=10x3", "run.views", ViewProtocol(clips=10, crops=3)),
        ("clip.fps=30000/1001", "clip.fps", Fraction(30000, 1001)),
        ("clip.fps=29.97", "clip.fps", Fraction(2997, 100)),
        ("clip.fps=none", "clip.fps", None),
        ("pixels.crop=32,40", "pixels.crop", (32, 40)),
        ("data.path=/a = b/c", "data.path", "/a = b/c"),
        ("data.path='no'", "data.path", "no"),
        ("data.path=none", "data.path", "none"),
        ("data.labels=none", "data.labels", None),
        ("model.args.depth=3", "model.args", {"width": 4, "depth": 3}),
        ("model.args.width=8", "model.args", {"width": 8}),
        ("model.args.norm=batch", "model.args", {"width": 4, "norm": "batch"}),
        ("model.args.k=[1, 2]", "model.args", {"width": 4, "k": [1, 2]}),
        ('model.args={"depth": 2}', "model.args", {"depth": 2}),
    ],
)
def test_assignment_sets_one_typed_value(assignment: str, path: str, value: object) -> None:
    changed = overrides.apply_overrides(BASE, [assignment])
    assert set(BASE.differences(changed)) == {path}
    found = BASE.differences(changed)[path][1]
    assert found == value
    assert type(found) is type(value)


def _except_path(assignment: str, error: type[Exception]) -> str:
    with pytest.raises(error) as caught:
        overrides.apply_overrides(BASE, [assignment])
    return str(caught.value)


@pytest.mark.parametrize(
    ("assignment", "suggestion"),
    [
        ("optim.lrr=1", "'optim.lr'"),
        ("optm.lr=1", "'optim.lr'"),
        ("optim.batchsize=1", "'optim.batch_size'"),
        ("lr=1", "optim.lr"),
        ("data.workres=1", "'data.workers'"),
        ("modle.name=x", "'model.name'"),
        ("optim.lr.x=1", "'optim.lr'"),
    ],
)
def test_unknown_paths_suggest_the_near_one(assignment: str, suggestion: str) -> None:
    text = _except_path(assignment, UnknownNameError)
    assert assignment.split("=")[0] in text
    assert suggestion in text


@pytest.mark.parametrize(
    ("assignment", "words"),
    [
        ("optim.lr", "path=value"),
        ("=3", "path=value"),
        ("optim=3", "optim is a section"),
        ("optim.lr=fast", "optim.lr = 'fast': expected number"),
        ("optim.lr=nan", "optim.lr"),
        ("optim.epochs=1.5", "whole number"),
        ("optim.name=Adam", "adamw | adam | sgd"),
        ("augment.scale=1,2,3", "augment.scale"),
        ("run.compile=maybe", "true | false"),
        ("run.views=10", "CLIPSxCROPS"),
        ("clip.fps=1/0", "clip.fps"),
        ("pixels.short_side=16", "short_side"),
        ("model.args.=3", "model.args"),
        ("model.args.a.b=3", "model.args"),
    ],
)
def test_illegal_values_say_what_is_expected(assignment: str, words: str) -> None:
    assert words in _except_path(assignment, ConfigError)


@pytest.mark.parametrize(
    ("given", "pixels"),
    [
        (["pixels.crop=64"], PixelSpec(short_side=64, crop=(64, 64))),
        (["pixels.crop=24,48"], PixelSpec(short_side=24, crop=(24, 48))),
        (["pixels.crop=24", "pixels.short_side=30"], PixelSpec(short_side=30, crop=(24, 24))),
    ],
)
def test_a_crop_alone_scales_the_short_side_with_it(given, pixels) -> None:
    assert overrides.apply_overrides(BASE, given).pixels == pixels


def test_scaled_pixels_show_the_same_part_of_the_frame() -> None:
    base = replace(BASE, pixels=PixelSpec(short_side=256, crop=(224, 224)))
    scaled = overrides.apply_overrides(base, ["pixels.crop=112"]).pixels
    assert scaled == PixelSpec(short_side=128, crop=(112, 112))


def test_dependent_settings_change_together_and_the_last_wins() -> None:
    changed = overrides.apply_overrides(
        BASE, ["pixels.crop=64", "pixels.short_side=72", "optim.lr=1"]
    )
    assert changed.pixels == PixelSpec(short_side=72, crop=(64, 64))
    twice = overrides.apply_overrides(BASE, ["optim.lr=1", "optim.lr=2"])
    assert twice.optim.lr == 2
    assert overrides.apply_overrides(BASE, []) is BASE


@given(st.sampled_from([f for f in BASE.fields() if f.path != "model.args"]))
def test_every_setting_reads_back_its_own_value(field) -> None:
    value = field.value
    text = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
    assert overrides.apply_overrides(BASE, [f"{field.path}={text}"]) == BASE
