"""From a recipe to live objects: the only place that reads recipes for others.

Models, layers and data take plain arguments; what a recipe means for them is written here.
"""

from __future__ import annotations

import inspect
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from vitascope.data.dataset import ClipDataset
from vitascope.data.decoder import BACKENDS
from vitascope.data.loader import make_loader, steps_per_epoch
from vitascope.data.records import Table, read_table
from vitascope.data.sampler import order
from vitascope.data.scale import Scale
from vitascope.data.split import split_table, write_split
from vitascope.data.store import FrameStore
from vitascope.engine.checkpoint import Checkpoint, load_weights, writing
from vitascope.engine.config import AugmentConfig, Recipe
from vitascope.engine.device import channels_last, launch
from vitascope.engine.ema import MovingAverage
from vitascope.engine.folder import fingerprint, open_folder
from vitascope.engine.mixing import Mixing
from vitascope.engine.optim import create_optimizer
from vitascope.engine.scoring import Scoring, score_videos
from vitascope.engine.tasks import Task
from vitascope.engine.tasks.classification import Classification
from vitascope.errors import ConfigError, DatasetError, UnknownNameError, WeightsError
from vitascope.models.base import VideoModel
from vitascope.models.registry import create_model, get_card
from vitascope.spec import Contract, LabelSpec, PixelSpec, ViewProtocol
from vitascope.transforms.preprocess import evaluation_transform


@dataclass(frozen=True, kw_only=True)
class Data:
    """The videos of a run.

    Attributes:
        table: all of them, each in a split.
        train: clips drawn at random.
        val: validation views; None when no video is set apart.
    """

    table: Table
    train: ClipDataset
    val: ClipDataset | None

    def fingerprint(self) -> str:
        """Changes with the videos, their labels and their splits, not with the folder's place."""
        rows = [
            (os.path.relpath(r.path, self.table.root), r.start, r.end, r.label, r.split)
            for r in self.table.records
        ]
        return fingerprint([self.table.classes, *sorted(rows, key=str)])


def read_data(recipe: Recipe) -> Table:
    """Reads the recipe's data set and sees to it that it has training and validation videos.

    Without splits a seeded one is made by `data.fractions`; with a training split alone, or
    without validation, `data.val_share` of the training videos is set apart.

    Raises:
        DatasetError: bad data; the message names file, row and remedy.
    """
    if not recipe.data.path:
        raise ConfigError("data.path is empty; give the folder or list of videos")
    return with_splits(recipe, read_table(recipe.data.path, labels=recipe.data.labels))


def with_splits(recipe: Recipe, table: Table) -> Table:
    """Completes the splits of a table; see `read_data`."""
    data = recipe.data
    if not table.splits:
        shares = dict(zip(("train", "val", "test"), data.fractions, strict=True))
        return split_table(table, data.split_seed, {n: s for n, s in shares.items() if s > 0})
    if "train" not in table.splits:
        raise DatasetError(
            f"{table.root}: no split 'train' among {', '.join(table.splits)}. Rename the split to "
            "train on, or remove the splits and let one be made"
        )
    if "val" in table.splits or data.val_share == 0:
        return table
    shares = {"train": 1 - data.val_share, "val": data.val_share}
    return split_table(table, data.split_seed, shares, of="train")


def build_data(recipe: Recipe, table: Table) -> Data:
    """Datasets of the training and validation videos of a table with splits.

    Frames are decoded at `data.scale` times the size of the evaluation, with or without cache,
    so that results do not depend on the cache.
    """
    config, pixels = recipe.data, recipe.pixels
    _ = BACKENDS[config.decoder]  # an unknown name is refused here, not in the first batch
    scale = _training_scale(pixels, config.scale)
    store = None
    if config.cache:
        store = FrameStore(
            config.cache_dir or _cache_folder(),
            scale.short_side,
            size=scale.size,
            budget=int(config.cache_gb * 1e9),
            decoder=config.decoder,
        )
    shared: dict[str, Any] = {
        "on_bad": config.on_bad,
        "decoder": config.decoder,
        "store": store,
        "scale": scale,
    }
    val = None
    if "val" in table.splits:
        val = ClipDataset(
            table.of("val"),
            recipe.clip,
            transform=evaluation_transform(pixels, recipe.run.views.crops),
            train=False,
            views=recipe.run.views,
            **shared,
        )
    train = ClipDataset(
        table.of("train"),
        recipe.clip,
        transform=recipe.augment.transform(pixels),
        train=True,
        seed=recipe.run.seed,
        **shared,
    )
    return Data(table=table, train=train, val=val)


def _training_scale(pixels: PixelSpec, factor: float) -> Scale:
    if pixels.fit == "squash":
        height, width = (math.ceil(side * factor) for side in pixels.crop)
        return Scale(size=(height, width))
    return Scale(short_side=math.ceil(pixels.short_side * factor))


def _cache_folder() -> Path:
    base = os.environ.get("VITASCOPE_CACHE") or os.environ.get("XDG_CACHE_HOME")
    root = Path(base) if base else Path.home() / ".cache"
    return root / "vitascope" / "frames"


def model_args(recipe: Recipe) -> dict[str, Any]:
    """Arguments of the builder: the recipe's, and the size of the clip where it is not the card's.

    Raises:
        UnknownNameError: no such model, or no such argument of its builder.
    """
    card = get_card(recipe.model.name)
    known = inspect.signature(card.builder).parameters
    for name in recipe.model.args:
        if name not in known:
            raise UnknownNameError(f"argument of {card.name}", name, known)
    args: dict[str, Any] = {}
    if recipe.clip.num_frames != card.clip.num_frames and "input_clip_length" in known:
        args["input_clip_length"] = recipe.clip.num_frames
    if recipe.pixels.crop != card.pixels.crop and "input_crop_size" in known:
        args["input_crop_size"] = min(recipe.pixels.crop)
    return args | dict(recipe.model.args)


def build_model(recipe: Recipe, num_classes: int) -> VideoModel:
    """The recipe's network, started from `run.seed` or from `model.init`.

    Raises:
        UnknownNameError: no such model or argument.
        WeightsError: the weights of `model.init` do not fit.
    """
    torch.manual_seed(recipe.run.seed)
    init = recipe.model.init
    model = create_model(
        recipe.model.name,
        num_classes=num_classes,
        pretrained=init == "pretrained",
        progress=False,
        **model_args(recipe),
    )
    if init is None and not recipe.model.zero_residual:
        for module in model.modules():
            if getattr(module, "block_final_bn", False):
                nn.init.ones_(module.weight)  # type: ignore[arg-type]
    if init not in (None, "pretrained"):
        start_from(model, load_weights(str(init)))
    return model


def start_from(model: VideoModel, checkpoint: Checkpoint) -> list[str]:
    """Copies weights into a model; a classifying layer for other classes stays at random.

    Returns:
        Names of the tensors that were left at random.

    Raises:
        WeightsError: a tensor is missing, too many, or of another shape for another reason.
    """
    own, given = model.state_dict(), checkpoint.weights()
    owner, attribute = model.head_linear()
    last = getattr(owner, attribute)
    head = {n for n, m in model.named_modules() if m is last}
    wrong = [n for n in own if n not in given or own[n].shape != given[n].shape]
    left = [n for n in wrong if n in given and n.rpartition(".")[0] in head]
    other = [n for n in wrong if n not in left] + [n for n in given if n not in own]
    if other:
        raise WeightsError(
            f"{checkpoint.path} ({checkpoint.contract.model}) does not fit this network: "
            f"{len(other)} tensors are missing, unknown or of another shape, the first "
            f"{other[0]}"
        )
    model.load_state_dict({n: own[n] if n in left else t for n, t in given.items()})
    return left


def load_model(path: str | Path) -> tuple[VideoModel, Checkpoint]:
    """The network of a run or checkpoint with its weights, ready to predict.

    Raises:
        WeightsError: no sound checkpoint there, or its weights do not fit its network.
    """
    checkpoint = load_weights(path)
    contract = checkpoint.contract
    model = create_model(contract.model, num_classes=len(contract.labels.names), **contract.args)
    if start_from(model, checkpoint):
        raise WeightsError(f"{checkpoint.path}: the classifying layer has another size")
    return model.eval(), checkpoint


def build_task(recipe: Recipe, data: Data, fabric: Fabric) -> Task:
    """What is learnt, and how it is scored."""
    if recipe.task not in ("classification",):
        raise UnknownNameError("task", recipe.task, ("classification",))
    val, augment = data.val, recipe.augment
    how = Scoring(
        batch_views=recipe.optim.batch_size,
        workers=recipe.data.workers,
        precision=recipe.run.eval_precision,
        rank=fabric.global_rank,
        world=fabric.world_size,
    )
    return Classification(
        mixing=_mixing(augment, len(data.table.classes)),
        smoothing=augment.label_smoothing,
        pathways=recipe.clip.pathways,
        score=None if val is None else lambda m: score_videos(m, val, data.table.classes, how),
    )


def _mixing(augment: AugmentConfig, num_classes: int) -> Mixing:
    return Mixing(
        num_classes=num_classes,
        mixup=augment.mixup,
        cutmix=augment.cutmix,
        prob=augment.mix_prob,
        smoothing=augment.label_smoothing,
    )


class Parts:
    """Everything that the loop works with.

    Attributes:
        recipe: the recipe.
        folder: the run's folder.
        fabric: devices and processes.
        data: the videos.
        contract: what is needed to use the weights.
        module: the network itself; `model` is the same with the processes and precision around.
        optimizer: updates `module`; `stepper` is the same with the precision around.
        average: moving average of its weights; None without.
        task: loss and score.
        steps_per_epoch: updates in an epoch.
        steps: updates in the whole run.
    """

    def __init__(self, recipe: Recipe, folder: Path, fabric: Fabric, data: Data) -> None:
        self.recipe, self.folder, self.fabric, self.data = recipe, folder, fabric, data
        config, run = recipe.optim, recipe.run
        share = fabric.world_size * config.accumulate
        if config.batch_size % share:
            raise ConfigError(
                f"optim.batch_size = {config.batch_size} cannot be divided by "
                f"{fabric.world_size} devices x {config.accumulate} parts"
            )
        self.rank_batch = config.batch_size // fabric.world_size
        count = data.train.num_videos
        self.steps_per_epoch = steps_per_epoch(count, self.rank_batch, fabric.world_size)
        if not self.steps_per_epoch:
            raise ConfigError(
                f"optim.batch_size = {config.batch_size} is above the {count} training videos"
            )
        self.steps = self.steps_per_epoch * config.epochs
        self.module = build_model(recipe, len(data.table.classes))
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
        """The network that is evaluated and shipped."""
        return self.module if self.average is None else self.average.model

    def due(self, every: int | None, step: int) -> bool:
        """Whether something that is done every so many steps (None: after an epoch) comes now."""
        return step > 0 and step % (every or self.steps_per_epoch) == 0

    def train_batches(self, epoch: int, done: int) -> Iterator[dict[str, Any]]:
        """Batches of an epoch after the first `done`: exactly one for each step that is left.

        Where no clip of a batch could be read it is empty, so that steps still count batches.
        """
        run, size = self.recipe.run, self.rank_batch
        rank, world = self.fabric.global_rank, self.fabric.world_size
        loader = make_loader(
            self.data.train,
            size,
            seed=run.seed,
            epoch=epoch,
            start_step=done,
            rank=rank,
            world=world,
            workers=self.recipe.data.workers,
            shuffle=True,
            drop_last=True,
        )
        samples = order(run.seed, epoch, self.data.train.num_videos, rank, world)
        place = {video: i // size for i, (video, _) in enumerate(samples)}
        step = done
        for batch in loader:
            while step < place[int(batch["index"][0])]:
                step += 1
                yield {"label": torch.empty(0, dtype=torch.int64)}
            step += 1
            yield batch
        for _ in range(step, self.steps_per_epoch):
            yield {"label": torch.empty(0, dtype=torch.int64)}

    def pieces(self, batch: Mapping[str, Any]) -> list[tuple[dict[str, Tensor], float]]:
        """The parts of a batch that pass through the network in turn, each with its share.

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


def build(recipe: Recipe, out: str | Path, *, resume: bool = False, force: bool = False) -> Parts:
    """Checks everything, makes all parts of a run, and only then begins its folder.

    Raises:
        VitascopeError: bad data, an unknown name, a folder that is in use.
    """
    data = build_data(recipe, read_data(recipe))
    fabric = launch(recipe.run)
    folder = open_folder(out, recipe, data.fingerprint(), resume=resume, force=force)
    threads = folder.threads or recipe.run.threads
    if threads:  # a resumed run adds up its sums in as many parts as before
        torch.set_num_threads(threads)
    parts = Parts(recipe, folder.path, fabric, data)
    fabric.barrier()  # every process has seen the folder as it was
    if fabric.is_global_zero and not folder.resumed:
        counts = {s: len(data.table.of(s)) for s in data.table.splits}
        facts = {"root": data.table.root, "fingerprint": data.fingerprint(), "videos": counts}
        folder.begin(recipe, data.table.classes, facts, torch.get_num_threads())
        with writing(folder.path / "split.csv"):
            write_split(data.table, folder.path / "split.csv")
    fabric.barrier()
    return parts
