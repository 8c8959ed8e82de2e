"""Clips of other sizes than the published ones: windows that fit, and refusals that help."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
import torch
import toy

from vitascope.engine.build import model_args, model_of_recipe
from vitascope.engine.config import ModelConfig, Recipe
from vitascope.engine.sizes import multiply_adds, require_size, size_args
from vitascope.engine.train import fit
from vitascope.errors import ConfigError
from vitascope.models.registry import create_model, get_card, list_cards
from vitascope.spec import PixelSpec
from vitascope.transforms.pathways import pack_pathways

POOLED = ("c2d_r50", "i3d_r50", "slow_r50", "slowfast_r50.k400_8x8", "csn_r101", "r2plus1d_r50")


def sized(card, frames, side):
    return (
        replace(card.clip, num_frames=frames),
        replace(card.pixels, crop=(side, side), short_side=side),
    )


@pytest.mark.parametrize("name", POOLED)
@pytest.mark.parametrize(
    ("frames", "side"), [(8, 32), (8, 64), pytest.param(16, 112, marks=pytest.mark.slow)]
)
def test_resnets_take_small_clips(name: str, frames: int, side: int) -> None:
    card = get_card(name)
    clip, pixels = sized(card, frames, side)
    require_size(name, clip, pixels)
    recipe = Recipe(model=ModelConfig(name=name), clip=clip, pixels=pixels)
    with torch.device("meta"):
        model = create_model(name, num_classes=5, **model_args(recipe)).eval()
        batch = pack_pathways(torch.empty(2, 3, frames, side, side), clip.pathways)
        assert model(batch).shape == (2, 5)


def test_a_fitted_window_averages_all_features() -> None:
    """On a clip that fills the published window once, a fitted net gives the same scores."""
    card = get_card("slow_r50")
    clip, pixels = sized(card, 8, 64)
    args = {"stage_depths": (1, 1, 1, 1)}
    small = Recipe(model=ModelConfig(name="slow_r50", args=args), clip=clip, pixels=pixels)
    net = model_of_recipe(small, 4).eval()
    video = torch.randn(2, 3, 8, 64, 64)
    with torch.no_grad():
        features = net.forward_features(video)
        owner, name = net.head_linear()
        naive = getattr(owner, name)(features.mean((2, 3, 4)))
        torch.testing.assert_close(net(video), naive, rtol=1e-4, atol=1e-5)


def test_sizes_that_fit_change_nothing() -> None:
    for card in list_cards(lambda c: c.task == "classification" and not c.clip.pathways):
        clip, pixels = card.clip, card.pixels
        assert not size_args(card, clip, pixels, {}), card.full_name
    card = get_card("slow_r50")
    assert not size_args(card, *sized(card, 8, 288), {})
    assert not size_args(card, *sized(card, 8, 64), {"head_pool_kernel_size": (8, 2, 2)})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "frames", "side"),
    [
        ("x3d_s", 8, 16),
        ("mvit_base_16x4", 7, 50),
        ("slowfast_r50.k400_8x8", 7, 64),
        ("maskfeat_vit_b", 8, 64),
        ("i3d_nln_r50", 8, 16),
    ],
)
def test_a_refusal_names_sizes_that_work(name: str, frames: int, side: int) -> None:
    card = get_card(name)
    clip, pixels = sized(card, frames, side)
    with pytest.raises(ConfigError) as refused:
        require_size(name, clip, pixels)
    said = str(refused.value).rpartition("It takes ")[2]
    named = [tuple(map(int, m)) for m in re.findall(r"(\d+) frames? of (\d+)x\2", said)]
    assert len(named) >= 2
    for frames, side in named:
        require_size(name, *sized(card, frames, side))


def test_a_size_is_refused_before_the_folder_is_made(films, tmp_path) -> None:
    recipe = toy.toy_recipe(
        films,
        model=ModelConfig(name="x3d_xs"),
        pixels=PixelSpec(short_side=16, crop=(16, 16)),
    )
    with pytest.raises(ConfigError, match="32x32"):
        fit(recipe, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_multiply_adds_are_those_of_the_clip() -> None:
    """A convolutional model on half the side costs about a quarter."""
    card = get_card("slow_r50")
    full = multiply_adds("slow_r50", *sized(card, 8, 256))
    assert full is not None
    assert full / 1e9 == pytest.approx(54.52, rel=0.01)  # as published
    half = multiply_adds("slow_r50", *sized(card, 8, 128))
    assert half is not None and half * 4 == pytest.approx(full, rel=0.01)
