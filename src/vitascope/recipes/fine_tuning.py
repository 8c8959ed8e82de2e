"""Settings of a training that starts from trained weights.

Trained weights know their frames and their pixels, so the clip stays what they were trained on, and
the crop as near to it as the time allows. They need fewer passes and smaller steps, and the
lower a layer, the less it has to change (arXiv:1801.06146).
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from dataclasses import replace

from vitascope.data.check.describe import counted
from vitascope.engine.config import ModelConfig, Recipe
from vitascope.engine.sizes import CROP_ARGS
from vitascope.models.card import ModelCard
from vitascope.models.foreign.cards import is_foreign
from vitascope.models.measure.meta import meta_model
from vitascope.models.registry import get_card
from vitascope.recipes.fit_to_data import (
    CORE_SPEED,
    MANY,
    WINDOW,
    Choice,
    Facts,
    balance_reasons,
    decoded_scale,
    fit_recipe,
    mean_side,
    training_cost,
)
from vitascope.recipes.start import Start
from vitascope.spec import ClipSpec, PixelSpec

# Crops as shares of that of the weights; below a half, things are too small for them.
SHARES = (1.0, 0.85, 0.7, 0.6, 0.5)
# Passes over the data: a larger crop is taken while this many remain; fewer or more never.
WANTED_EPOCHS = 10
EPOCHS = (4, 30)
# Clips that a GPU shows in all: a third of a training from scratch.
GPU_CLIPS = 20_000
# Rate of the layer next to the input, as a share of that of the head.
LOWEST = 0.1
# The same from layer to layer for models that are not built to be counted (arXiv:2106.08254).
FOREIGN_DECAY = 0.75


def fine_tune_recipe(
    facts: Facts,
    start: Start,
    *,
    epochs: int | None = None,
    batch: int | None = None,
    sized: bool = False,
) -> Choice:
    """The settings of a training from the trained weights of `start`.

    What does not depend on the weights (batch, augmentation, averaging, loader) is as `fit_recipe`
    chooses it.

    Args:
        facts: the data and the machine.
        start: the weights.
        epochs: passes over the data; None chooses them.
        batch: clips of an update; None chooses.
        sized: frames or crop are given, so nothing is said of how they were chosen.

    Raises:
        UnknownNameError: no such model.
    """
    card = get_card(start.model, start.args)
    crop, affordable = _size(facts, card, start)
    scratch = fit_recipe(facts, start.model).recipe.optim.epochs
    fewer = min(affordable, max(EPOCHS[0], scratch // 2))
    base = fit_recipe(
        facts, start.model, init=start.init, epochs=epochs or fewer, batch=batch
    ).recipe
    clip, pixels = _clip(start.clip, base), _pixels(start.pixels, crop)
    decay = _layer_decay(card, start.model)
    recipe = replace(
        base,
        model=ModelConfig(
            name=start.model,
            init=start.init,
            args={**_dropout(card), **start.args},
            zero_residual=False,
        ),
        clip=clip,
        pixels=pixels,
        data=replace(base.data, scale=decoded_scale(pixels)),
        optim=replace(base.optim, layer_decay=decay),
    )
    return Choice(recipe, tuple(_reasons(facts, start, recipe, scratch, sized)))


def _reasons(facts: Facts, start: Start, recipe: Recipe, scratch: int, sized: bool) -> list[str]:
    clip, crop, optim = recipe.clip, recipe.pixels.crop[0], recipe.optim
    first = [start.reason] if start.reason else []
    size = f"{clip.num_frames} frames of {crop}x{crop}, as published for the weights"
    if crop < _side(start):
        size = (
            f"{clip.num_frames} frames, as published for the weights, of {crop}x{crop} in place of "
            f"{_side(start)}x{_side(start)}, to be done sooner on "
            f"{counted(facts.cores, 'CPU core')}"
        )
    seen = (
        "frames spread over the whole video, because the videos are short"
        if clip.coverage == "video"
        else f"clips of {float(clip.duration(facts.fps)):.1f} s out of longer videos"
    )
    mirror = []
    if facts.directional:
        named = ", ".join(facts.directional[:4])
        mirror = [f"no mirror images, because classes name a direction ({named})"]
    updates = max(1, facts.videos // optim.batch_size)
    rate = (
        f"{counted(optim.epochs, 'epoch')} of {counted(updates, 'update')} with "
        f"{counted(optim.batch_size, 'clip')} each (from scratch it would be {scratch}), and a "
        f"third of the learning rate from scratch, {optim.lr:g} in the head and from each layer "
        f"to the one below {optim.layer_decay:g} of it, because the weights are trained"
    )
    return [*first, *([] if sized else [size]), seen, *mirror, *balance_reasons(facts), rate]


def _side(start: Start) -> int:
    """Side of the crop that the weights were trained on; a card's pixels are those of its test."""
    if start.kind == "checkpoint":
        return min(start.pixels.crop)
    card = get_card(start.model, start.args)
    given = [card.args[name] for name in CROP_ARGS if isinstance(card.args.get(name), int)]
    return given[0] if given else min(start.pixels.crop)


def _size(facts: Facts, card: ModelCard, start: Start) -> tuple[int, int]:
    """The largest crop at which enough passes fit into the time, and the passes that do."""
    full = _side(start)
    if facts.gpus:
        return full, min(max(round(GPU_CLIPS / max(1, facts.videos)), 10), EPOCHS[1])
    known = inspect.signature(card.builder).parameters
    shares = SHARES if any(name in known for name in CROP_ARGS) else SHARES[:1]
    crops = sorted({_multiple(share * full) if share < 1 else full for share in shares})
    budget = MANY.minutes * 60 * CORE_SPEED * facts.cores
    best = (crops[0], 0)
    for crop in crops:
        cost = training_cost(card, start.clip.num_frames, crop)
        epochs = int(budget / cost / max(1, facts.videos))
        fits = epochs >= WANTED_EPOCHS and crop <= max(crops[0], facts.short_side)
        if crop == crops[0] or fits:
            best = (crop, epochs)
    return best[0], min(max(best[1], EPOCHS[0]), EPOCHS[1])


def _multiple(side: float) -> int:
    """A side that strides of 32 divide, so that transformers and pooling windows fit it."""
    return max(32, 32 * round(side / 32))


def _clip(trained: ClipSpec, base: Recipe) -> ClipSpec:
    """The frames of the weights, spread over the video where it is short."""
    if base.clip.coverage == "video":
        return replace(base.clip, num_frames=trained.num_frames)
    if trained.coverage == "window":
        return trained
    rate = round(base.clip.sampling_rate * base.clip.num_frames / trained.num_frames)
    return replace(base.clip, num_frames=trained.num_frames, sampling_rate=max(1, rate))


def _pixels(trained: PixelSpec, crop: int) -> PixelSpec:
    side = 2 * round(crop / mean_side(WINDOW) / 2)
    return replace(trained, short_side=side, crop=(crop, crop))


def _layer_decay(card: ModelCard, name: str) -> float:
    """So much from layer to layer that the lowest learns at `LOWEST` of the rate of the head."""
    if is_foreign(name):
        return FOREIGN_DECAY
    steps = max(1, meta_model(card).num_depths - 1)
    return round(math.exp(math.log(LOWEST) / steps), 3)


def _dropout(card: ModelCard) -> Mapping[str, object]:
    known = inspect.signature(card.builder).parameters
    return {"dropout_rate": 0.5} if "dropout_rate" in known else {}
