"""How long a training will take, from a step that was measured and the data that it goes over."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vitascope.data.dataset import ClipDataset
from vitascope.data.records import Table
from vitascope.distributed import cores
from vitascope.engine.build import Data, build_data, model_of_recipe
from vitascope.engine.config import Recipe
from vitascope.engine.device import channels_last, network_input
from vitascope.engine.optim import create_optimizer
from vitascope.engine.sizes import multiply_adds
from vitascope.errors import VitascopeError

LIMIT = 4.0
"""Seconds for the steps that are measured, and half as many for the clips that are loaded."""
TRIVIAL = 60.0
"""Seconds below which nothing is measured: the measurement would take its share of them."""
# By which that is judged: multiply-adds a second far below what the slowest machine does, and
# seconds to decode and load a clip far above what usual videos take.
_CORE, _GPU = 5e9, 2e12
_DECODE, _LOAD = 0.25, 0.02
_CLIPS = 4


@dataclass(frozen=True, kw_only=True)
class Timing:
    """How long a training is expected to take.

    Attributes:
        seconds: the whole training, with loading, evaluation and test.
        steps: updates in it.
        step: seconds of an update; None where the training is too short to be measured, and
            `seconds` is then an upper bound.
    """

    seconds: float
    steps: int
    step: float | None = None

    def after(self, step: int) -> Timing:
        """What is left after some updates."""
        left = max(self.steps - step, 0)
        return replace(self, seconds=self.seconds * left / max(self.steps, 1), steps=left)


@dataclass(frozen=True, kw_only=True)
class Work:
    """What a training has to do.

    Attributes:
        train: training clips of an epoch.
        val: validation views of an evaluation.
        test: test videos at the end.
        epochs: passes over the training clips.
        steps: updates in all.
        evaluations: evaluations in all.
    """

    train: int
    val: int
    test: int
    epochs: int
    steps: int
    evaluations: int


def work_of(recipe: Recipe, table: Table) -> Work:
    """What a training by a recipe on a table with splits has to do."""
    train, batch = len(table.of("train")), recipe.optim.batch_size
    views = recipe.run.views.clips * recipe.run.views.crops
    steps = train // batch * recipe.optim.epochs
    every = recipe.run.eval_every
    return Work(
        train=train // batch * batch,
        val=len(table.of("val")) * views if "val" in table.splits else 0,
        test=len(table.of("test")) if "test" in table.splits else 0,
        epochs=recipe.optim.epochs,
        steps=steps,
        evaluations=recipe.optim.epochs if every is None else -(-steps // every),
    )


def estimate(recipe: Recipe, table: Table) -> Timing | None:
    """How long a training will take on this machine.

    Where it is long enough, some steps of the real model on clips of the real size and some
    clips of the data are timed, for about six seconds. The first steps of the training then say it
    more exactly (the event "estimate").

    Args:
        recipe: all settings.
        table: the videos, each in a split.

    Returns:
        The time; None where the model takes more than clips, or there is not one batch.

    Raises:
        VitascopeError: the model cannot be built, or not for this size of clips.
    """
    work = work_of(recipe, table)
    adds = multiply_adds(recipe.model.name, recipe.clip, recipe.pixels, recipe.model.args)
    if adds is None or not work.steps:
        return None
    gpu = recipe.run.accelerator in ("auto", "cuda") and torch.cuda.is_available()
    passes = 3 * work.train * work.epochs + work.val * work.evaluations + work.test
    most = adds * passes / (_GPU if gpu else _CORE * cores())
    if most + _loading(recipe, work, _DECODE, _LOAD) < TRIVIAL:
        return Timing(seconds=TRIVIAL, steps=work.steps)
    step = measure_step(recipe, len(table.classes), torch.device("cuda" if gpu else "cpu"))
    first, again = measure_loading(recipe, table)
    return Timing(seconds=total(recipe, work, step, first, again, gpu), steps=work.steps, step=step)


def total(recipe: Recipe, work: Work, step: float, first: float, again: float, gpu: bool) -> float:
    """Seconds of a training.

    Args:
        recipe: its settings.
        work: what it has to do.
        step: seconds of an update.
        first: seconds in one process to load a clip that is not in the cache.
        again: seconds to load it from there.
        gpu: the model runs beside the loading processes, and not on the same cores.
    """
    view = step / recipe.optim.batch_size / 3  # a forward pass, of three
    loading = _loading(recipe, work, first, again)
    computing = step * work.steps + view * (work.val * work.evaluations + work.test)
    if gpu:
        return max(computing, loading / max(recipe.data.workers, 1))
    return computing + loading / cores()


def _loading(recipe: Recipe, work: Work, first: float, again: float) -> float:
    """Seconds of one process for all clips: each is decoded once where it is kept in the cache."""
    again = again if recipe.data.cache else first
    passes = ((work.train, work.epochs), (work.val, work.evaluations), (work.test, 1))
    return sum(clips * (first + again * (times - 1)) for clips, times in passes if times)


def measure_step(recipe: Recipe, classes: int, device: torch.device) -> float:
    """Seconds of an update of the real model on clips without content, within about `LIMIT`.

    A model too slow for that is timed on one clip, and an update taken to need as many times as
    long as it has clips.

    Args:
        recipe: model, clip, batch and optimizer.
        classes: outputs of the model.
        device: where to run it.
    """
    plain = replace(recipe, model=replace(recipe.model, init=None))
    held = torch.get_num_threads()
    on_gpu = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(on_gpu):
        try:
            if recipe.run.threads:
                torch.set_num_threads(recipe.run.threads)
            model = channels_last(model_of_recipe(plain, classes)).to(device).train()
            return _timed(_Step(model, recipe, device), _own_batch(recipe))
        finally:
            torch.set_num_threads(held)


def _own_batch(recipe: Recipe) -> int:
    """Clips that this process has of an update."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    return max(1, recipe.optim.batch_size // max(world, recipe.run.devices, 1))


class _Step:
    """One update on clips without content."""

    def __init__(self, model: nn.Module, recipe: Recipe, device: torch.device) -> None:
        self.model, self.recipe, self.device = model, recipe, device
        self.optimizer = create_optimizer(model, recipe.optim)

    def __call__(self, clips: int) -> None:
        clip, pixels = self.recipe.clip, self.recipe.pixels
        video = torch.randn(clips, len(pixels.mean), clip.num_frames, *pixels.crop)
        half = self.recipe.run.precision != "32"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=half):
            scores: Tensor = self.model(network_input(video.to(self.device), clip.pathways))
            labels = torch.zeros(len(scores), dtype=torch.long, device=self.device)
            loss = F.cross_entropy(scores.float(), labels)
        torch.autograd.backward(loss)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        if self.device.type == "cuda":
            torch.cuda.synchronize()


def _timed(step: Callable[[int], None], batch: int) -> float:
    begin = time.perf_counter()
    small = min(2, batch)  # one clip alone is no batch to norms on the smallest features
    one = min(_seconds(step, small) for _ in range(2)) / small
    if one * batch > LIMIT:
        return one * batch
    step(batch)  # the first one reserves memory
    times = [_seconds(step, batch)]
    while time.perf_counter() - begin + times[-1] < LIMIT and len(times) < 5:
        times.append(_seconds(step, batch))
    return median(times)


def _seconds(step: Callable[[int], None], clips: int) -> float:
    begin = time.perf_counter()
    step(clips)
    return time.perf_counter() - begin


def measure_loading(recipe: Recipe, table: Table) -> tuple[float, float]:
    """Seconds to load a training clip in one process, decoded and from the frame cache.

    What the cache saves is taken to be all but the transform. Videos that cannot be read are left
    out: the training says what is wrong with them.
    """
    bare = replace(recipe, data=replace(recipe.data, cache=False))
    data: Data = build_data(bare, table)
    train: ClipDataset = data.train
    begin, spent = time.perf_counter(), []
    for number in np.linspace(0, train.num_videos - 1, _CLIPS).astype(int).tolist():
        start = time.perf_counter()
        try:
            sample = train[number]
        except VitascopeError:
            continue
        if sample["valid"]:
            spent.append(time.perf_counter() - start)
        if time.perf_counter() - begin > LIMIT / 2:
            break
    if not spent:
        return 0.0, 0.0
    changing = _transform_seconds(train, recipe)
    return max(median(spent), changing), changing


def _transform_seconds(train: ClipDataset, recipe: Recipe) -> float:
    transform: Any = train.transform
    size = train.scale.size or (train.scale.short_side or recipe.pixels.short_side,) * 2
    frames = torch.zeros(recipe.clip.num_frames, *size, 3, dtype=torch.uint8)
    begin = time.perf_counter()
    for seed in range(2):
        transform(frames, np.random.default_rng(seed))
    return (time.perf_counter() - begin) / 2
