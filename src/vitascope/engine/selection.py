"""Which step of a run is the best: the rule, and its words.

On few videos top-1 is mostly noise: of 22 videos it is uncertain by ten points, and the best of
thirty evaluations is the luckiest. The loss uses every score of every video, and its mean over a
few evaluations in a row does not jump. But it rises where a model becomes surer of its errors,
while it is still right more and more often; so it compares steps of the second half of the run,
each of which is trained well enough, and before that the latest step is kept.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vitascope.engine.config import RunConfig
    from vitascope.engine.state import State
    from vitascope.engine.tasks import Evaluation

FEW = 500
"""Below so many validation videos `run.select=auto` goes by the loss: from there on the standard
error of an accuracy of 70 % is below two points."""


def by_loss(run: RunConfig, videos: int) -> bool:
    """Whether the loss decides, with so many validation videos."""
    return run.select == "loss" or (run.select == "auto" and videos < FEW)


def choosing(run: RunConfig, videos: int) -> str:
    """The rule as a sentence."""
    if not by_loss(run, videos):
        return "the step with the best validation score is kept, of equal ones that with less loss"
    why = ""
    if run.select == "auto":
        points = 100 * math.sqrt(0.7 * 0.3 / videos)
        why = f", because top-1 of {videos} videos is uncertain by about {points:.0f} points"
    return (
        f"of the second half of the run the step with the lowest validation loss is kept, as a "
        f"mean over {run.select_over} evaluations in a row{why}"
    )


def consider(state: State, result: Evaluation, run: RunConfig, videos: int) -> bool:
    """Notes an evaluation, and whether its step is the best so far.

    Of steps that are equal in everything the later one is: it has been trained for longer.

    Args:
        state: changed: the latest losses, and the best step with its score and loss.
        result: the evaluation at `state.step`.
        run: the rule.
        videos: validation videos.
    """
    losses: Sequence[float] = (*state.losses, result.loss)[-run.select_over :]
    state.losses = tuple(losses)
    highest = -math.inf if state.best_score is None else state.best_score
    lowest = math.inf if state.best_loss is None else state.best_loss
    if by_loss(run, videos):
        loss = sum(losses) / len(losses)
        early = 2 * state.step < state.steps
        better = early or loss <= lowest
    else:
        loss, early = result.loss, False
        better = (result.score, -loss) >= (highest, -lowest)
    if better:
        state.best_score, state.best_step = result.score, state.step
        state.best_loss = None if early else loss  # nothing that later steps would have to beat
    return better
