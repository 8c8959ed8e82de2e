"""One file a kind of learning: its loss, its evaluation, its score."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from torch import Tensor, nn

from vitascope.catalog import Catalog
from vitascope.engine.scoring import EvalResult, Scoring, score_videos

if TYPE_CHECKING:
    from lightning_fabric import Fabric

    from vitascope.engine.build import Data
    from vitascope.engine.config import Recipe

# `task` of a recipe -> "module:builder" below vitascope.engine.tasks. A builder takes the recipe,
# the data and the processes, and gives the task.
TASKS: Catalog[str] = Catalog("task")
TASKS.add("classification", "classification:build_classification")


class Evaluation(Protocol):
    """What an evaluation gives the loop."""

    @property
    def score(self) -> float:
        """The number by which checkpoints are compared; higher is better."""

    @property
    def loss(self) -> float:
        """What decides between equal scores, and in place of the scores of few videos."""

    def summary(self) -> dict[str, Any]:
        """Figures for the log as JSON values."""


class Task(Protocol):
    """A kind of learning, as the loop sees it."""

    def loss(self, model: nn.Module, batch: Mapping[str, Any], rng: np.random.Generator) -> Tensor:
        """Mean loss of a batch, a scalar; `rng` and torch's seed belong to this step alone."""

    def evaluate(self, model: nn.Module) -> Evaluation | None:
        """Scores a model; None where there is nothing to score it on."""


def build_task(recipe: Recipe, data: Data, fabric: Fabric) -> Task:
    """What is learnt, and how it is scored.

    Raises:
        UnknownNameError: no task of the recipe's name.
    """
    module, _, name = TASKS[recipe.task].partition(":")
    home = importlib.import_module(f"vitascope.engine.tasks.{module}")
    builder: Callable[[Recipe, Data, Fabric], Task] = getattr(home, name)
    return builder(recipe, data, fabric)


def validation(
    recipe: Recipe, data: Data, fabric: Fabric
) -> Callable[[nn.Module], EvalResult] | None:
    """Scores a model on the validation videos, in all processes; None where there are none."""
    val = data.val
    if val is None:
        return None
    how = Scoring(
        batch_views=recipe.optim.batch_size,
        workers=recipe.data.workers,
        precision=recipe.run.eval_precision,
        rank=fabric.global_rank,
        world=fabric.world_size,
    )
    return lambda model: score_videos(model, val, data.table.classes, how)
