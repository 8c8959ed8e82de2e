"""Settings of a training from scratch, chosen from the data and the machine.

Everything follows by stated rules from a few facts, so the same data on a machine with as many
cores gives the same recipe, and a run can be resumed by the same command.
"""

from __future__ import annotations

import inspect
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import torch

from vitascope.data.check.describe import Summary, counted
from vitascope.data.records import Table
from vitascope.distributed import cores
from vitascope.engine.config import (
    AugmentConfig,
    DataConfig,
    ModelConfig,
    OptimConfig,
    Recipe,
    RunConfig,
)
from vitascope.engine.sizes import WINDOW_ARGS
from vitascope.models.card import ModelCard
from vitascope.models.registry import get_card
from vitascope.spec import Background, ClipSpec, PixelSpec

# Multiply-adds a second of training (three times those of a forward pass) that one core does on
# X3D at the sizes below, loader included; measured on two cores with AVX-512.
CORE_SPEED = 11e9
# Least and greatest area of a training window, as a share of the largest one.
WINDOW = (0.65, 1.0)
# Passes over the data: a larger size is taken while this many remain.
WANTED_EPOCHS = 30
# Where a typical video is no longer than this, videos are taken as trimmed to their action and seen
# as a whole.
TRIMMED_SECONDS = 10
# From this ratio of the largest class to the smallest on, each class weighs the same in the loss.
# Below it, always naming the larger of two classes is right for less than three videos in four, and
# nothing of the accuracy over all videos is given away for it.
UNBALANCED = 3.0


@dataclass(frozen=True, kw_only=True)
class Effort:
    """What follows from the number of training videos.

    Attributes:
        minutes: planned for a training on the CPU. A busy or slower machine takes longer.
        sizes: frames and crop from cheap to dear. A small image with many passes beats a large one
            with few.
        epochs: least and most passes over the data.
        batch: least clips of an update.
        args: arguments for builders that know them.
        background: see `PixelSpec`.
    """

    minutes: float
    sizes: Sequence[tuple[int, int]]
    epochs: tuple[int, int]
    batch: int
    args: Mapping[str, object]
    background: Background


MANY = Effort(
    minutes=22.0,
    sizes=((8, 64), (12, 64), (16, 64), (16, 80), (16, 96), (16, 112), (16, 128), (16, 160)),
    epochs=(8, 100),
    batch=4,
    args={"dropout_rate": 0.5},
    background="keep",
)
# A model does not find out by itself, from so few videos, what to ignore: it is shown what moves
# only, small and often. Chosen on isolated signs of persons who are not trained on: with 50 and 150
# training videos 40 and 47 % are right, with the background 13 % (of 50), and of a ridge regression
# on the same motion 21 and 36 %.
FEW = Effort(
    minutes=8.0,
    sizes=((8, 64), (12, 64)),
    epochs=(8, 150),
    batch=8,
    args={"dropout_rate": 0.5, "depth_factor": 1.0},
    background="remove",
)
MOST_FEW = 500


def effort_for(facts: Facts, card: ModelCard, init: str | None = None) -> Effort:
    """`FEW` for a training from scratch on up to `MOST_FEW` videos, else `MANY`."""
    scratch = init is None and card.task == "classification" and card.clip.num_frames > 1
    return FEW if scratch and facts.videos <= MOST_FEW else MANY


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What the choice depends on.

    Attributes:
        videos: number of training videos.
        classes: number of classes.
        seconds: length of a typical (median) video in seconds.
        fps: frames a second of a typical video.
        short_side: short side of a typical video in pixels.
        directional: classes whose names name a direction, for which no mirror image is made.
        largest: the class with the most training videos, and how many it has.
        smallest: the class with the fewest, and how many it has.
        cores: CPU cores of the machine.
        gpus: GPUs of the machine.
    """

    videos: int
    classes: int
    seconds: Fraction
    fps: Fraction
    short_side: int
    directional: tuple[str, ...] = ()
    largest: tuple[str, int] = ("", 0)
    smallest: tuple[str, int] = ("", 0)
    cores: int = 1
    gpus: int = 0


@dataclass(frozen=True)
class Choice:
    """A recipe, and a sentence for each thing that was chosen.

    Attributes:
        recipe: the settings.
        reasons: what was chosen and why, for people.
    """

    recipe: Recipe
    reasons: tuple[str, ...]


def fit_recipe(
    facts: Facts,
    model: str = "x3d_s",
    *,
    init: str | None = None,
    epochs: int | None = None,
    batch: int | None = None,
    sized: bool = False,
) -> Choice:
    """The settings for data and machine as described by `facts`.

    Args:
        facts: the data and the machine.
        model: card name of the model.
        init: checkpoint to start from; None trains from scratch.
        epochs: passes over the data; None chooses them. Warm-up and averaging follow from them.
        batch: clips of an update; None chooses. The learning rate follows from it.
        sized: frames or crop are given, so nothing is said of how they were chosen.

    Raises:
        UnknownNameError: no such model.
    """
    card = get_card(model)
    effort = effort_for(facts, card, init)
    clip, pixels, affordable, reasons = _size(facts, card, effort)
    reasons = reasons[1:] if sized else reasons
    epochs, batch = epochs or affordable, batch or _batch(facts, effort)
    steps = max(1, facts.videos // batch)
    mirror = not facts.directional
    if not mirror:
        named = ", ".join(facts.directional[:4])
        reasons.append(f"no mirror images, because classes name a direction ({named})")
    recipe = Recipe(
        model=ModelConfig(
            name=model, init=init, args=_model_args(card, effort), zero_residual=False
        ),
        clip=clip,
        pixels=pixels,
        data=DataConfig(
            workers=_workers(facts),
            scale=decoded_scale(pixels),
            balance="weighted" if is_unbalanced(facts) else "none",
        ),
        augment=_augment(mirror),
        optim=OptimConfig(
            name="adamw",
            lr=_rate(batch, init),
            weight_decay=0.05,
            schedule="cosine",
            warmup=round(min(max(0.1 * epochs, 20 / steps), 0.3 * epochs), 3),
            clip_grad=5.0,
            epochs=epochs,
            batch_size=batch,
        ),
        run=RunConfig(
            precision="bf16" if facts.gpus else "32",
            # Averages over about the last tenth of the run.
            ema=round(1 - 1 / max(10.0, 0.1 * steps * epochs), 5),
            log_every=max(1, min(20, steps)),
            threads=None if facts.gpus else facts.cores,
        ),
    )
    reasons += balance_reasons(facts)
    reasons.append(
        f"{counted(epochs, 'epoch')} of {counted(steps, 'update')} with {counted(batch, 'clip')} "
        "each, learning rate "
        f"{recipe.optim.lr:g} (AdamW, warm-up, then a cosine)"
    )
    return Choice(recipe, tuple(reasons))


def is_unbalanced(facts: Facts) -> bool:
    """Whether the largest class has `UNBALANCED` times the training videos of the smallest."""
    return facts.largest[1] >= UNBALANCED * max(1, facts.smallest[1])


def balance_reasons(facts: Facts) -> list[str]:
    """Sentences on classes of very different size; none where they are not."""
    if not is_unbalanced(facts):
        return []
    (large, most), (small, fewest) = facts.largest, facts.smallest
    return [
        f"each class weighs the same in the loss (data.balance), because {large} has {most} "
        f"training videos and {small} {fewest}; this is done from {UNBALANCED:g} to 1 on"
    ]


def _size(
    facts: Facts, card: ModelCard, effort: Effort
) -> tuple[ClipSpec, PixelSpec, int, list[str]]:
    """Clip, pixels and epochs, with their reasons."""
    reasons = []
    if facts.gpus:
        frames, crop, epochs = card.clip.num_frames, card.pixels.crop[0], _gpu_epochs(facts)
        reasons.append(f"{frames} frames of {crop}x{crop} as published for {card.name}")
    else:
        frames, crop, epochs = _affordable(facts, card, effort)
        reasons.append(f"{frames} frames of {crop}x{crop}: {_why(facts, card, effort, epochs)}")
    clip = _clip(facts, card, frames, reasons)
    if facts.gpus:
        side = round(crop * card.pixels.short_side / card.pixels.crop[0])
    else:
        side = 2 * round(crop / mean_side(WINDOW) / 2)
    pixels = replace(card.pixels, short_side=side, crop=(crop, crop))
    if effort.background == "remove":
        reasons.append(
            f"only what moves is shown (pixels.background=remove): {counted(facts.videos, 'video')}"
            " are too few to learn what to ignore"
        )
        # What moves is about half as strong as what is there.
        pixels = replace(pixels, background="remove", std=tuple(s / 2 for s in pixels.std))
    return clip, pixels, epochs, reasons


def _why(facts: Facts, card: ModelCard, effort: Effort, epochs: int) -> str:
    """Why clips have their size on a machine without a GPU."""
    cpu = counted(facts.cores, "CPU core")
    if len(_fitting(facts, card, effort)) == 1:
        return f"the only size that is tried for {card.name}"
    if epochs >= WANTED_EPOCHS:
        return (
            f"the largest at which {cpu} should manage {WANTED_EPOCHS} epochs or more in "
            f"{effort.minutes:g} minutes"
        )
    return f"the smallest that is tried, because the data is much for {cpu}"


def mean_side(areas: tuple[float, float]) -> float:
    """Mean side of a window whose area is drawn evenly between two shares of the largest one.

    A training window is scaled up to the crop, so things look larger by 1 / `mean_side` than in
    the whole frame. An evaluation that shows them at the size they were learnt at is right
    several points more often (arXiv:1906.06423).
    """
    low, high = areas
    return math.sqrt(low) if low == high else (high**1.5 - low**1.5) / (1.5 * (high - low))


def decoded_scale(pixels: PixelSpec) -> float:
    """Size of decoded frames at which the smallest training window has the pixels of the crop."""
    need = min(pixels.crop) / math.sqrt(WINDOW[0])
    return max(1.0, round(need / pixels.short_side, 3))


def _clip(facts: Facts, card: ModelCard, frames: int, reasons: list[str]) -> ClipSpec:
    if facts.seconds <= TRIMMED_SECONDS:
        reasons.append("frames spread over the whole video, because the videos are short")
        return ClipSpec(
            num_frames=frames,
            pathways=card.clip.pathways,
            coverage="video",
            seconds=facts.seconds,
        )
    fps = card.clip.fps or Fraction(30)
    span = Fraction(card.clip.num_frames * card.clip.sampling_rate) / fps
    rate = max(1, round(span * fps / frames))
    reasons.append(f"clips of {float(frames * rate / fps):.1f} s out of longer videos")
    return ClipSpec(num_frames=frames, sampling_rate=rate, fps=fps, pathways=card.clip.pathways)


def training_cost(card: ModelCard, frames: int, crop: int) -> float:
    """Multiply-adds of a training step for one clip, from the card's published count.

    Convolutional cost grows with the number of values; a forward pass and two backward passes.
    """
    known = [c for c in card.cost if c.gflops]
    gflops = known[0].gflops if known and known[0].gflops else 30.0
    side = known[0].crop if known and known[0].crop else card.pixels.crop[0]
    return 3e9 * gflops * (frames / card.clip.num_frames) * (crop / side) ** 2


def _affordable(facts: Facts, card: ModelCard, effort: Effort) -> tuple[int, int, int]:
    """The largest size at which enough passes fit into the time, and the passes that do."""
    budget = effort.minutes * 60 * CORE_SPEED * facts.cores
    best = None
    for frames, crop in _fitting(facts, card, effort):
        epochs = int(budget / training_cost(card, frames, crop) / max(1, facts.videos))
        if best is None or epochs >= WANTED_EPOCHS:
            best = (frames, crop, epochs)
    assert best is not None
    frames, crop, epochs = best
    least, most = effort.epochs
    return frames, crop, min(max(epochs, least), most)


def _fitting(facts: Facts, card: ModelCard, effort: Effort) -> Sequence[tuple[int, int]]:
    """Sizes that the model allows and that the videos fill."""
    known = inspect.signature(card.builder).parameters
    # What has no positions to learn: models of convolutions, whose last window fits any clip.
    flexible = "input_crop_size" in known or any(name in known for name in WINDOW_ARGS)
    if not flexible or card.task != "classification":
        return [(card.clip.num_frames, card.pixels.crop[0])]
    available = math.ceil(facts.seconds * facts.fps)
    sizes = [
        (frames, crop)
        for frames, crop in effort.sizes
        if crop <= max(64, facts.short_side)
        and (frames <= available or frames == effort.sizes[0][0])
        and not any(frames % stride for stride in card.clip.pathways)
    ]
    return sizes or effort.sizes[:1]


def _gpu_epochs(facts: Facts) -> int:
    """About 60,000 clips, as small data sets are fine-tuned in the field."""
    return min(max(round(60_000 / max(1, facts.videos)), 30), MANY.epochs[1])


def _batch(facts: Facts, effort: Effort) -> int:
    """16 clips, or less where that would leave fewer than 20 updates an epoch."""
    batch = 16
    while batch > effort.batch and facts.videos < 20 * batch:
        batch //= 2
    return max(1, min(batch, facts.videos))


def _rate(batch: int, init: str | None) -> float:
    """Square-root scaling from 1e-3 at 16 clips; a third of it from trained weights."""
    return float(f"{1e-3 * math.sqrt(batch / 16) * (1 / 3 if init else 1):.3g}")


def _workers(facts: Facts) -> int:
    """One loader process for every two cores: the cache makes loading cheap."""
    return max(1, min(8, facts.cores // 2))


def _model_args(card: ModelCard, effort: Effort) -> dict[str, object]:
    known = inspect.signature(card.builder).parameters
    return {name: value for name, value in effort.args.items() if name in known}


def _augment(mirror: bool) -> AugmentConfig:
    return AugmentConfig(
        hflip=0.5 if mirror else 0.0,
        scale=WINDOW,
        ratio=(0.8, 1.25),
        crop_jitter=0.5,
        brightness=0.2,
        contrast=0.2,
        saturation=0.2,
        hue=0.03,
        label_smoothing=0.1,
    )


def facts_of(table: Table, summary: Summary) -> Facts:
    """The facts about a data set, on this machine."""
    train = table.of("train") if "train" in table.splits else table.records
    seconds = (
        Fraction(summary.seconds[1]).limit_denominator(1000) if summary.seconds else Fraction(2)
    )
    rates = [rate for rate, _ in summary.fps]
    sides = [min(width, height) for width, height, _ in summary.sizes]
    counts = Counter(table.classes[r.label] for r in train if r.label is not None)
    order = [*counts.most_common(), ("", 0)]
    return Facts(
        videos=len(train),
        classes=len(table.classes),
        seconds=max(seconds, Fraction(1, 10)),
        fps=Fraction(rates[0]).limit_denominator(1001) if rates else Fraction(25),
        short_side=sides[0] if sides else 128,
        directional=summary.direction_classes,
        largest=order[0],
        smallest=order[max(0, len(order) - 2)],
        cores=cores(),
        gpus=torch.cuda.device_count() if torch.cuda.is_available() else 0,
    )
