"""The setup of a run: everything that the loop works with, made from a recipe."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from vitascope.data.dataset import ClipDataset
from vitascope.data.loader import make_loader, steps_per_epoch
from vitascope.data.records import Table
from vitascope.data.sampler import Plan, balanced
from vitascope.data.tables.split import write_split
from vitascope.data.unreadable import UnreadableReport
from vitascope.engine.build import Data, build_data, model_args, model_of_recipe, read_data
from vitascope.engine.checkpoint import writing
from vitascope.engine.config import Recipe
from vitascope.engine.device import channels_last, launch
from vitascope.engine.ema import MovingAverage
from vitascope.engine.folder import RunFolder, open_folder, version_note
from vitascope.engine.optim import create_optimizer
from vitascope.engine.sizes import require_size
from vitascope.engine.tasks import build_task
from vitascope.errors import ConfigError, DatasetError
from vitascope.spec import Contract, LabelSpec, ViewProtocol

if TYPE_CHECKING:
    from lightning_fabric import Fabric


def cache_notes(*sets: ClipDataset | None) -> list[str]:
    """Why the frame cache of a run cannot be used, and what helps."""
    stores = [one.store for one in sets if one is not None and one.store is not None]
    problems = dict.fromkeys(store.report().problem for store in stores)
    return [
        f"no frame is kept on disk ({problem}); videos are decoded each time. Give another folder "
        f"(data.cache_dir), or switch the cache off (data.cache=false)"
        for problem in problems
        if problem
    ]


class Setup:
    """Everything that the loop works with.

    Attributes:
        recipe: the recipe.
        folder: the run's folder; `held()` keeps other processes away from it.
        notes: what people should know before the run begins or goes on.
        fabric: devices and processes.
        data: the videos.
        contract: what is needed to use the weights.
        module: the model itself; `model` is the same with the processes and precision around.
        optimizer: updates `module`; `stepper` is the same with the precision around.
        average: moving average of its weights; None without.
        task: loss and score.
        order: how training videos are ordered: shuffled, or a plan that balances the classes.
        steps_per_epoch: updates in an epoch.
        steps: updates in the whole run.
    """

    def __init__(self, recipe: Recipe, folder: RunFolder, fabric: Fabric, data: Data) -> None:
        self.recipe, self.folder, self.fabric, self.data = recipe, folder.path, fabric, data
        self.notes = [note] if (note := version_note(folder.versions)) else []
        self.notes += cache_notes(data.train, data.val)
        self.held = folder.held if fabric.is_global_zero else contextlib.nullcontext
        config, run = recipe.optim, recipe.run
        share = fabric.world_size * config.accumulate
        if config.batch_size % share:
            raise ConfigError(
                f"optim.batch_size = {config.batch_size} cannot be divided by "
                f"{fabric.world_size} devices x optim.accumulate = {config.accumulate}"
            )
        self.rank_batch = config.batch_size // fabric.world_size
        count = data.train.num_videos
        self.steps_per_epoch = steps_per_epoch(count, self.rank_batch, fabric.world_size)
        if not self.steps_per_epoch:
            raise ConfigError(
                f"optim.batch_size = {config.batch_size} is above the {count} training videos. "
                f"Set it to {count} or less, or give more videos"
            )
        self.steps = self.steps_per_epoch * config.epochs
        labels = [record.label or 0 for record in data.train.records]
        sampled = recipe.data.balance == "sampled"
        self.order: bool | Plan = partial(balanced, labels=labels) if sampled else True
        require_size(recipe.model.name, recipe.clip, recipe.pixels, recipe.model.args)
        # Weights of a checkpoint take the place of start weights, which need not be there any more.
        start = not (folder.resumed and (folder.path / "last.json").is_file())
        classes = len(data.table.classes)
        self.module = model_of_recipe(recipe, classes, self.notes.append, start=start)
        channels_last(self.module).to(fabric.device)
        self.average = MovingAverage(self.module, run.ema) if run.ema else None
        compiled: Any = torch.compile(self.module) if run.compile else self.module
        self.optimizer = create_optimizer(self.module, config)
        self.model, self.stepper = fabric.setup(compiled, self.optimizer, move_to_device=False)
        self.task = build_task(recipe, data, fabric)
        self.contract = Contract(
            model=recipe.model.name,
            args=model_args(recipe),
            labels=LabelSpec(names=data.table.classes),
            clip=recipe.clip,
            pixels=recipe.pixels,
            views=ViewProtocol(),
        )

    @property
    def evaluated_module(self) -> nn.Module:
        """The model that is evaluated and shipped."""
        return self.module if self.average is None else self.average.model

    def due(self, every: int | None, step: int) -> bool:
        """Whether something that is done every so many steps (None: after an epoch) comes now."""
        return step > 0 and step % (every or self.steps_per_epoch) == 0

    def evaluations_after(self, step: int) -> int:
        """Evaluations that are left after a number of updates."""
        every = self.recipe.run.eval_every or self.steps_per_epoch
        return 0 if self.data.val is None else -(-self.steps // every) - step // every

    def train_batches(
        self, epoch: int, done: int, faults: UnreadableReport
    ) -> Iterator[dict[str, Any]]:
        """Batches of an epoch after the first `done`: exactly one for each step that is left.

        `faults` is what could not be read of the first ones.

        Where no clip of a batch could be read it is empty, so that steps still count batches.
        """
        run = self.recipe.run
        loader = make_loader(
            self.data.train,
            self.rank_batch,
            seed=run.seed,
            epoch=epoch,
            start_step=done,
            rank=self.fabric.global_rank,
            world=self.fabric.world_size,
            workers=self.recipe.data.workers,
            shuffle=self.order,
            drop_last=True,
        )
        loader.known = faults
        return iter(loader)

    def pieces(self, batch: Mapping[str, Any]) -> list[tuple[dict[str, Tensor], float]]:
        """The parts of a batch that pass through the model in turn, each with its share.

        Raises:
            DatasetError: an empty batch where other processes wait for this one.
        """
        count = len(batch["label"])
        if not count and self.fabric.world_size > 1:
            raise DatasetError(
                "not one clip of a batch could be read. Run `vitascope check` on the data, or "
                "train with a larger batch"
            )
        parts = min(self.recipe.optim.accumulate, count)
        videos = batch["video"].tensor_split(parts) if count else ()
        labels = batch["label"].tensor_split(parts) if count else ()
        device = self.fabric.device
        return [
            ({"video": video.to(device), "label": label.to(device)}, len(label) / count)
            for video, label in zip(videos, labels, strict=True)
        ]

    def facts(self) -> dict[str, Any]:
        """What is worth telling at the start."""
        counts = {s: len(self.data.table.of(s)) for s in self.data.table.splits}
        return {
            "classes": len(self.data.table.classes),
            "videos": counts,
            "parameters": sum(p.numel() for p in self.module.parameters()),
            "steps_per_epoch": self.steps_per_epoch,
            "device": str(self.fabric.device),
            "processes": self.fabric.world_size,
            "threads": torch.get_num_threads(),
        }


def build(
    recipe: Recipe,
    out: str | Path,
    table: Table | None = None,
    *,
    resume: bool = False,
    force: bool = False,
) -> Setup:
    """Checks everything, makes the setup of a run, and only then begins its folder.

    Args:
        recipe: the recipe.
        out: folder of the run.
        table: what `read_data` gives for the recipe, where that was called before.
        resume: go on with the run in `out`.
        force: replace the run in `out`.

    Raises:
        VitascopeError: bad data, an unknown name, a folder that is in use.
    """
    data = build_data(recipe, read_data(recipe) if table is None else table)
    fabric = launch(recipe.run)
    _require_same(fabric, recipe)
    folder = open_folder(out, recipe, data.fingerprint(), resume=resume, force=force)
    threads = folder.threads or recipe.run.threads
    if threads:  # a resumed run adds up its sums in as many parts as before
        torch.set_num_threads(threads)
    setup = Setup(recipe, folder, fabric, data)
    fabric.barrier()  # every process has seen the folder as it was
    if fabric.is_global_zero and not folder.resumed:
        counts = {s: len(data.table.of(s)) for s in data.table.splits}
        facts = {"root": data.table.root, "fingerprint": data.fingerprint(), "videos": counts}
        folder.begin(recipe, data.table.classes, facts, torch.get_num_threads())
        with writing(folder.path / "split.csv"):
            write_split(data.table, folder.path / "split.csv")
    fabric.barrier()
    return setup


def _require_same(fabric: Fabric, recipe: Recipe) -> None:
    """Refuses processes that have different settings, which each chose from its own machine.

    Raises:
        ConfigError: says the first that differs.
    """
    if fabric.world_size == 1:
        return
    found: list[Any] = [None] * fabric.world_size
    dist.all_gather_object(found, recipe.to_json())
    for rank, other in enumerate(found):
        for path, (here, there) in (
            Recipe.from_json(found[0]).differences(Recipe.from_json(other)).items()
        ):
            raise ConfigError(
                f"the processes have different settings: {path} = {here!r} in the first and "
                f"{there!r} in process {rank}. Give it on the command line ({path}=VALUE)"
            )
