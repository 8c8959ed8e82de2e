"""Every number of a recipe has a range; what lies outside is refused at once, with the range."""

from __future__ import annotations

import dataclasses
import time
from fractions import Fraction
from typing import Any, get_args

import pytest

from vitascope.engine.config import (
    AugmentConfig,
    DataConfig,
    ModelConfig,
    OptimConfig,
    Recipe,
    RunConfig,
)
from vitascope.engine.overrides import apply_overrides
from vitascope.engine.typed import hints
from vitascope.errors import ConfigError, VitascopeError
from vitascope.spec import ClipSpec, PixelSpec, ViewProtocol

RECIPE = Recipe(
    model=ModelConfig(name="x3d_xs"),
    clip=ClipSpec(num_frames=4),
    pixels=PixelSpec(short_side=32, crop=(32, 32)),
)


def holds_numbers(hint: Any) -> bool:
    return hint in (int, float, Fraction) or any(map(holds_numbers, get_args(hint)))


@pytest.mark.parametrize("cls", [DataConfig, AugmentConfig, OptimConfig, RunConfig])
def test_every_number_has_a_range(cls: Any) -> None:
    numbers = {name for name, hint in hints(cls).items() if holds_numbers(hint)}
    assert numbers == set(cls.RANGES)
    assert {f.name for f in dataclasses.fields(cls)} >= set(cls.RANGES)


@pytest.mark.parametrize(
    "text",
    [
        "run.threads=1000000", "run.seed=9223372036854775808", "run.seed=-1", "clip.pathways=0",
        "clip.pathways=-4,1", "clip.pathways=8,1", "run.views=²x1", "run.views=99999999x1",
        "clip.seconds=1e99999999", "clip.fps=0", "clip.fps=1e-40", "clip.fps=1/0", "clip.fps=nan",
        "clip.num_frames=1000000000", "pixels.crop=99999999", "pixels.short_side=999999999",
        "data.workers=100000", "data.scale=1e300", "data.cache_gb=inf", "optim.epochs=10000000000",
        "optim.batch_size=99999999999", "optim.lr=1e300", "optim.lr=nan", "run.devices=99999",
        "run.log_every=1e99", "pixels.mean=1e300", "pixels.std=0", "optim.clip_grad=1e300",
    ],
)  # fmt: skip
def test_absurd_settings_are_refused_at_once(text: str) -> None:
    begin = time.monotonic()
    with pytest.raises(VitascopeError) as info:
        apply_overrides(RECIPE, [text])
    assert time.monotonic() - begin < 1 and len(str(info.value)) < 300


@pytest.mark.parametrize("text", ["²x1", "1x²", "0x1", "1x2", "10001x1", "x", "1x1x1", "9" * 5000])
def test_absurd_views(text: str) -> None:
    with pytest.raises(ConfigError):
        ViewProtocol.parse(text)


def test_the_ends_of_ranges_are_legal() -> None:
    for text in (
        "run.seed=9223372036854775807",
        "run.threads=1024",
        "data.workers=512",
        "run.ema=0",
        "clip.pathways=4,1",
        "clip.fps=30000/1001",
        "run.views=10000x5",
    ):
        apply_overrides(RECIPE, [text])
