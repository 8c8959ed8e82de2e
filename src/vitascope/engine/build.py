"""From a recipe to live objects: the only place that reads recipes for others.

Models, layers and data take plain arguments; what a recipe means for them is written here.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from vitascope.data.cache.frames import SHARE, FrameCache
from vitascope.data.dataset import ClipDataset
from vitascope.data.decoder import BACKENDS, DecoderType
from vitascope.data.records import Table
from vitascope.data.scale import Scale
from vitascope.data.tables.read import read_table
from vitascope.data.tables.split import split_table
from vitascope.engine.checkpoint import Checkpoint, load_weights
from vitascope.engine.config import DataConfig, Recipe
from vitascope.engine.folder import fingerprint
from vitascope.engine.sizes import require_arguments, size_args
from vitascope.errors import ConfigError, DatasetError, WeightsError
from vitascope.files import cache_folder
from vitascope.models.base import VideoModel
from vitascope.models.bounded import build_described
from vitascope.models.registry import create_model, get_card
from vitascope.models.weights import load_into, load_own
from vitascope.models.weights.read import is_foreign_checkpoint
from vitascope.spec import PixelSpec
from vitascope.transforms.preprocess import evaluation_transform
from vitascope.transforms.train import TrainTransform


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
    data = recipe.data
    table = read_table(data.path, labels=data.labels, root=data.root, remote=data.remote)
    return with_splits(recipe, table)


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

    Training frames are decoded at `data.scale` times the size of the evaluation, with or without
    cache, so that results do not depend on the cache. Validation frames are decoded whole and
    scaled by the evaluation's transform, as `evaluate` does, so that both give the same figures;
    the cache holds them scaled.
    """
    config, pixels = recipe.data, recipe.pixels
    _ = BACKENDS[config.decoder]  # an unknown name is refused here, not in the first batch
    if config.decoder == DecoderType.IMAGES:
        film = next((r.path for r in table.records if not os.path.isdir(r.path)), None)
        if film is not None:
            raise ConfigError(
                f"data.decoder = images reads folders of frames, and {film} is none. Leave the "
                f"decoder out: it reads videos, and folders of frames too"
            )
    scale = _training_scale(pixels, config.scale)
    shared: dict[str, Any] = {
        "on_bad": config.on_bad,
        "budget": config.bad_budget,
        "decoder": config.decoder,
    }
    val = None
    if "val" in table.splits:
        val = ClipDataset(
            table.of("val"),
            recipe.clip,
            transform=evaluation_transform(pixels, recipe.run.views.crops),
            train=False,
            views=recipe.run.views,
            store=_validation_store(recipe),
            **shared,
        )
    train = ClipDataset(
        table.of("train"),
        recipe.clip,
        transform=TrainTransform(pixels=pixels, **recipe.augment.single_clip),
        train=True,
        seed=recipe.run.seed,
        span=recipe.augment.span,
        store=_store(config, short_side=scale.short_side, size=scale.size),
        scale=scale,
        **shared,
    )
    return Data(table=table, train=train, val=val)


def _store(config: DataConfig, **size: Any) -> FrameCache | None:
    if not config.cache:
        return None
    folder = config.cache_dir or cache_folder("frames")
    share = config.cache_gb is None
    return FrameCache(
        folder,
        budget=None if share else int((config.cache_gb or 0) * 1e9),
        share=SHARE if share else None,
        decoder=config.decoder,
        **size,
    )


def _validation_store(recipe: Recipe) -> FrameCache | None:
    """A cache of scaled frames; none where crops are cut from whole frames and scaled then."""
    if recipe.pixels.fit == "squash" and recipe.run.views.crops > 1:
        return None
    return _store(recipe.data, pixels=recipe.pixels)


def _training_scale(pixels: PixelSpec, factor: float) -> Scale:
    if pixels.fit == "squash":
        height, width = (math.ceil(side * factor) for side in pixels.crop)
        return Scale(size=(height, width))
    return Scale(short_side=math.ceil(pixels.short_side * factor))


def model_args(recipe: Recipe) -> dict[str, Any]:
    """Arguments of the builder: the recipe's, and the size of the clip where it is not the card's.

    Raises:
        UnknownNameError: no such model, or no such argument of its builder.
    """
    card = get_card(recipe.model.name, recipe.model.args)
    require_arguments(card, recipe.model.args)
    args: dict[str, Any] = {name: card.args[name] for name in card.kept}
    given = {**args, **recipe.model.args}
    return args | size_args(card, recipe.clip, recipe.pixels, given) | dict(recipe.model.args)


def model_of_recipe(
    recipe: Recipe,
    num_classes: int,
    on_note: Callable[[str], None] = lambda text: None,
    *,
    start: bool = True,
) -> VideoModel:
    """The recipe's model, started from `run.seed` or from `model.init`.

    Args:
        recipe: the recipe.
        num_classes: outputs of the model.
        on_note: told when the classifying layer of `model.init` was replaced.
        start: False leaves `model.init` out, for a model that gets other weights anyway.

    Raises:
        UnknownNameError: no such model or argument.
        WeightsError: the weights of `model.init` do not fit.
    """
    torch.manual_seed(recipe.run.seed)
    init = recipe.model.init if start else None
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
    if init not in (None, "pretrained") and is_foreign_checkpoint(str(init)):
        report = load_into(model, str(init), new_head=True)
        on_note(f"{init}: {report.dialect}, {len(report.renamed)} entries renamed")
        for what in sorted({*report.changed.values()}):
            on_note(f"{list(report.changed.values()).count(what)} entries of {init} {what}")
        if report.new_head:
            on_note(f"a new classifying layer for {num_classes} classes: that of {init} is another")
    elif init not in (None, "pretrained"):
        checkpoint = load_weights(str(init))
        if start_from(model, checkpoint):
            on_note(
                f"a new classifying layer for {num_classes} classes: {checkpoint.path} was "
                f"trained on {len(checkpoint.contract.labels.names)} others"
            )
    return model


def start_from(model: VideoModel, checkpoint: Checkpoint) -> list[str]:
    """Copies weights into a model; a classifying layer for other classes stays at random.

    Returns:
        Names of the tensors that were left at random.

    Raises:
        WeightsError: a tensor is missing, too many, or of another shape for another reason.
    """
    what = f"{checkpoint.path} ({checkpoint.contract.model})"
    return list(load_own(model, checkpoint.weights(), new_head=True, what=what).new_head)


def load_model(path: str | Path) -> tuple[VideoModel, Checkpoint]:
    """The model of a run, checkpoint or card with its weights, ready to predict.

    It has an output for each class that the contract names. Where the contract names none, the
    stored classifying layer says how many there are.

    Raises:
        WeightsError: no sound checkpoint there, or its weights do not fit its model.
    """
    checkpoint = load_weights(path)
    contract = checkpoint.contract
    names = contract.labels.names
    model = build_described(
        contract.model, contract.args, len(names), checkpoint.weights(), str(checkpoint.path)
    )
    if start_from(model, checkpoint):
        raise WeightsError(
            f"{checkpoint.path}: its classifying layer is not one for the {len(names)} classes "
            f"that it names"
        )
    return model.eval(), checkpoint
