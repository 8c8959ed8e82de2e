"""Rules by which settings follow from data and machine."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vitascope.data.render import render_motion_dataset
from vitascope.errors import UnknownNameError
from vitascope.models.registry import get_card
from vitascope.recipes import fit_to_data
from vitascope.recipes.fit_to_data import (
    FEW,
    MANY,
    MOST_FEW,
    WINDOW,
    Facts,
    effort_for,
    fit_recipe,
    mean_side,
    training_cost,
)
from vitascope.recipes.folder import plan_training

FACTS = Facts(
    videos=800,
    classes=10,
    seconds=Fraction(5, 2),
    fps=Fraction(15),
    short_side=128,
    cores=2,
)


def _minutes(recipe, facts, model="x3d_s"):
    cost = training_cost(get_card(model), recipe.clip.num_frames, recipe.pixels.crop[0])
    clips = recipe.optim.epochs * facts.videos
    return clips * cost / (fit_to_data.CORE_SPEED * facts.cores) / 60


def test_a_training_takes_about_the_planned_time():
    recipe = fit_recipe(FACTS).recipe
    assert 0.8 * MANY.minutes <= _minutes(recipe, FACTS) <= MANY.minutes
    assert recipe.optim.epochs >= fit_to_data.WANTED_EPOCHS


@settings(max_examples=40, deadline=None)
@given(videos=st.integers(2, 50_000), cores=st.integers(1, 64), side=st.integers(48, 1080))
def test_every_choice_is_legal_and_within_its_limits(videos, cores, side):
    facts = replace(FACTS, videos=videos, cores=cores, short_side=side)
    recipe = fit_recipe(facts).recipe
    effort = effort_for(facts, get_card("x3d_s"))
    low, high = effort.epochs
    assert low <= recipe.optim.epochs <= high
    assert recipe.optim.batch_size <= videos
    assert recipe.pixels.crop[0] <= max(64, side)
    if recipe.optim.epochs > low:
        assert _minutes(recipe, facts) <= effort.minutes * 1.001


def test_more_cores_buy_a_larger_picture_never_a_smaller_one():
    sizes = []
    for cores in (1, 2, 4, 8, 16, 32):
        recipe = fit_recipe(replace(FACTS, cores=cores)).recipe
        sizes.append(recipe.clip.num_frames * recipe.pixels.crop[0] ** 2)
    assert sizes == sorted(sizes) and sizes[0] < sizes[-1]


@pytest.mark.parametrize("model", ["x3d_s", "slow_r50", "slowfast_r50.k400_8x8", "mvit_base_16x4"])
@pytest.mark.parametrize("gpus", [0, 1])
def test_few_videos_show_only_what_moves(model: str, gpus: int) -> None:
    few = replace(FACTS, videos=MOST_FEW, gpus=gpus)
    choice = fit_recipe(few, model)
    pixels, card = choice.recipe.pixels, get_card(model)
    assert pixels.background == "remove"
    assert pixels.std == tuple(s / 2 for s in card.pixels.std)
    assert any("500 videos are too few" in reason for reason in choice.reasons)
    assert choice.recipe.optim.batch_size >= FEW.batch
    more = fit_recipe(replace(few, videos=MOST_FEW + 1), model)
    assert more.recipe.pixels.background == "keep" and more.recipe.pixels.std == card.pixels.std
    assert not any("too few" in reason for reason in more.reasons)
    trained = fit_recipe(few, model, init="run")  # weights that know images with a background
    assert trained.recipe.pixels.background == "keep"
    assert "depth_factor" not in trained.recipe.model.args


def test_no_mirror_images_where_a_class_names_a_direction():
    choice = fit_recipe(replace(FACTS, directional=("turn left",)))
    assert choice.recipe.augment.hflip == 0
    assert any("turn left" in reason for reason in choice.reasons)
    assert fit_recipe(FACTS).recipe.augment.hflip > 0


def test_short_videos_are_seen_whole_and_long_ones_in_windows():
    assert fit_recipe(FACTS).recipe.clip.coverage == "video"
    long = fit_recipe(replace(FACTS, seconds=Fraction(60))).recipe.clip
    card = get_card("x3d_s").clip
    assert long.coverage == "window"
    # the window is as long as the published one, to a third, whatever the number of frames
    published = card.num_frames * card.sampling_rate / card.fps
    assert abs(long.duration() - published) < published / 3


def test_the_same_facts_give_the_same_recipe():
    assert fit_recipe(FACTS) == fit_recipe(FACTS)


def test_a_gpu_trains_at_the_published_size():
    recipe = fit_recipe(replace(FACTS, gpus=1)).recipe
    card = get_card("x3d_s")
    assert recipe.clip.num_frames == card.clip.num_frames
    assert recipe.pixels == card.pixels
    assert recipe.run.precision == "bf16"


def test_unknown_model():
    with pytest.raises(UnknownNameError, match="x3d_s"):
        fit_recipe(FACTS, "x3d_sx")


def test_warm_up_and_rate_follow_epochs_and_batch_given_by_the_user():
    short = fit_recipe(FACTS, epochs=1, batch=4).recipe
    assert short.optim.epochs == 1 and short.optim.batch_size == 4
    assert short.optim.warmup < 0.5
    assert short.optim.lr == pytest.approx(
        fit_recipe(FACTS, batch=16).recipe.optim.lr / 2, rel=1e-2
    )


@pytest.mark.parametrize("areas", [(0.65, 1.0), (0.08, 1.0), (0.5, 0.5)])
def test_evaluation_shows_things_at_the_size_of_training(areas) -> None:
    drawn = np.sqrt(np.random.default_rng(0).uniform(*areas, 200_000)).mean()
    assert mean_side(areas) == pytest.approx(drawn, abs=1e-3)
    pixels = fit_recipe(FACTS, "x3d_s").recipe.pixels
    assert abs(pixels.short_side - pixels.crop[0] / mean_side(WINDOW)) <= 1
    assert pixels.short_side % 2 == 0


@pytest.mark.parametrize(("most", "fewest"), [(30, 10), (29, 10), (10, 10), (7, 1), (5, 0)])
def test_classes_of_unequal_size_are_named_and_weighted(most, fewest):
    facts = replace(FACTS, largest=("walk", most), smallest=("fall", fewest))
    choice = fit_recipe(facts)
    named = [r for r in choice.reasons if "walk" in r and "fall" in r]
    assert (choice.recipe.data.balance == "weighted") == bool(named) == (most >= 3 * fewest)


def test_the_facts_tell_the_largest_and_the_smallest_class(tmp_path):
    for name, count in (("grow", 7), ("shrink", 2)):
        render_motion_dataset(tmp_path, [name], {"train": count, "val": 1}, frames=8, size=(32, 32))
    plan = plan_training(tmp_path, init="none")
    assert plan.recipe.data.balance == "weighted"
    assert any("grow has 7 training videos and shrink 2" in r for r in plan.reasons)
    assert any("top-1 of 2 videos is uncertain" in r for r in plan.reasons)


def test_a_plan_says_what_was_given_in_place_of_what_was_chosen(tmp_path):
    render_motion_dataset(tmp_path, ["grow", "shrink"], {"train": 2}, frames=8, size=(32, 32))
    chosen = plan_training(tmp_path, init="none")
    changed = plan_training(
        tmp_path, init="none", overrides=["clip.num_frames=4", "optim.epochs=2"]
    )
    assert changed.recipe.clip.num_frames == 4 != chosen.recipe.clip.num_frames
    assert changed.reasons[-1].endswith("clip.num_frames=4 optim.epochs=2")
    assert not any("as given" in reason for reason in chosen.reasons)
