"""Evaluation of a finished run, or of a checkpoint, on a split of a data set."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from vitascope.data.dataset import ClipDataset, OnBad
from vitascope.data.records import Table, VideoRecord
from vitascope.data.tables.read import read_table
from vitascope.data.tables.split import read_split
from vitascope.engine.allocator import keep_freed_memory
from vitascope.engine.build import load_model
from vitascope.engine.checkpoint import Checkpoint
from vitascope.engine.config import DataConfig, RunConfig
from vitascope.engine.device import channels_last
from vitascope.engine.folder import read_run
from vitascope.engine.scoring import EvalResult, Progress, Scoring, score_videos
from vitascope.engine.typed import hints, to_type
from vitascope.errors import ConfigError, DatasetError, WeightsError
from vitascope.spec import ViewProtocol
from vitascope.transforms.preprocess import evaluation_transform


def evaluate(
    run: str | Path,
    data: str | Path | Table | None = None,
    *,
    split: str | None = "test",
    views: ViewProtocol | str | None = None,
    shuffle_frames: bool = False,
    on_bad: OnBad = "error",
    bad_budget: float | None = None,
    workers: int | None = None,
    precision: str | None = None,
    on_progress: Progress | None = None,
) -> EvalResult:
    """Scores a run on a split of a data set.

    Args:
        run: run folder, checkpoint record, .safetensors file, or the name of a card, for its
            published weights.
        data: folder or list of videos; None takes that of the run. A table is taken as it is: its
            classes must be those of the run, and its splits are not those that the run made.
        split: which part of it; None takes everything. Data without splits is divided as it was
            in training when it is the run's own, and scored whole otherwise.
        views: clips x crops that are averaged; None takes those of the contract.
        shuffle_frames: permute the frames of each clip, as a control: a model that has learnt
            motion falls to chance.
        on_bad: "error" stops at a video that cannot be read, "skip" leaves it out and names it;
            "substitute-black", the policy of some trainings, does the same here, because black
            frames are no video: they are not scored and not counted as evaluated.
        bad_budget: share of the videos that may be unreadable before that is an error after all;
            None takes the recipe's.
        workers: processes that decode; None takes the recipe's.
        precision: "32" or "bf16"; None takes the recipe's.
        on_progress: called with (videos done, videos in all).

    Raises:
        VitascopeError: no sound checkpoint, bad data, no such split.
    """
    model, checkpoint = load_model(run)
    contract = checkpoint.contract
    views = ViewProtocol.parse(views) if isinstance(views, str) else views or contract.views
    recipe = _Stored(checkpoint)
    own = recipe.setting(DataConfig, "data", "path")
    if data is None and not own:
        raise ConfigError(f"{run} does not say on which data it was trained; give the data")
    if isinstance(data, Table):
        table, made = data, None
        if table.classes != contract.labels.names:
            raise DatasetError(f"{table.root}: its classes are not those of {run}")
    else:
        table = read_table(
            data if data is not None else own,
            labels=contract.labels.names,
            root=recipe.setting(DataConfig, "data", "root") if data is None else None,
            remote=recipe.setting(DataConfig, "data", "remote") or False,
        )
        # A card is in no folder: a split.csv that happens to lie here is not of its making.
        made = checkpoint.path.parent / "split.csv" if checkpoint.path.is_file() else None
    records, named = _select(table, made, split)
    dataset = ClipDataset(
        records,
        contract.clip,
        transform=evaluation_transform(contract.pixels, views.crops),
        train=False,
        views=views,
        on_bad=on_bad,
        decoder=recipe.setting(DataConfig, "data", "decoder") or "pyav",
        budget=_or(bad_budget, recipe.setting(DataConfig, "data", "bad_budget"), 1.0),
    )
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device.type == "cpu":
        keep_freed_memory()
    how = Scoring(
        workers=_or(workers, recipe.setting(DataConfig, "data", "workers"), 0),
        precision=precision or recipe.setting(RunConfig, "run", "eval_precision") or "32",
        shuffle_frames=shuffle_frames,
    )
    return score_videos(
        channels_last(model).to(device),
        dataset,
        contract.labels.names,
        how,
        split=named,
        on_progress=on_progress,
    )


def rooted(run: str | Path, data: str | Path, root: str | Path) -> Table:
    """A list whose videos lie in another folder, with the classes of a model.

    Args:
        run: the model.
        data: list, or folder of lists.
        root: folder that holds the videos.

    Raises:
        VitascopeError: no sound checkpoint, or bad data.
    """
    labels = load_model(run)[1].contract.labels.names
    return read_table(data, labels=labels, root=root)


class _Stored:
    """The recipe that a checkpoint holds, of which only what is used is looked at.

    A checkpoint of another version may have other entries, and one that was sent may hold anything.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._checkpoint = checkpoint

    def setting(self, part: type, section: str, name: str) -> Any:
        """A setting in its type; None where the recipe does not have it."""
        values = self._checkpoint.recipe.get(section, {})
        where = f"{self._checkpoint.path}: recipe.{section}"
        if not isinstance(values, Mapping):
            raise WeightsError(f"{where} = {values!r:.100}; expected an object")
        if name not in values:
            return None
        value = to_type(hints(part)[name], values[name], f"{where}.{name}")
        part(**{name: value})  # says what is out of range
        return value


def _or(*values: Any) -> Any:
    """The first that is not None."""
    return next(value for value in values if value is not None)


def _select(
    table: Table, made: Path | None, split: str | None
) -> tuple[tuple[VideoRecord, ...], str]:
    """The records to score and the name of their split, with the split that the run made."""
    if split is None:
        return table.records, ""
    if made is not None and made.is_file():
        try:
            table = read_split(made, table)
        except DatasetError:
            if table.root == read_run(made.parent)["data"]["root"]:
                raise  # the run's own data has changed: its test videos are no longer known
    if not table.splits:
        return table.records, ""
    return table.of(split), split
