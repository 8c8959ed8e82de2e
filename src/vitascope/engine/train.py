"""The training loop: the same for every model, data set and kind of task."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vitascope.data.records import Table
from vitascope.engine.config import Recipe
from vitascope.engine.device import StopOnSignal, seed_step
from vitascope.engine.forecast import Forecast
from vitascope.engine.log import Listener, Meter, Reporter, ignore
from vitascope.engine.optim import set_rate
from vitascope.engine.schedule import learning_rate
from vitascope.engine.selection import consider
from vitascope.engine.setup import Setup, build
from vitascope.engine.state import (
    EXPLODED,
    State,
    TrainResult,
    close,
    report_epoch,
    restore,
    save_best,
    save_last,
)
from vitascope.errors import RunError

__all__ = ["TrainResult", "fit"]


def fit(
    recipe: Recipe,
    out: str | Path,
    *,
    table: Table | None = None,
    resume: bool = False,
    force: bool = False,
    on_event: Listener = ignore,
) -> TrainResult:
    """Trains what the recipe says and writes everything into the folder `out`.

    Killed at any moment and called again with `resume`, it ends with the same weights, bit for
    bit, as a run that was never stopped. SIGINT (Ctrl-C) and SIGTERM end it after the current
    step with a checkpoint; the second SIGINT raises KeyboardInterrupt at once.

    Args:
        recipe: the recipe; `data.path` says where the videos are.
        out: folder of the run.
        table: the videos of `data.path`, where they were read before; each in a split.
        resume: go on with the same run in `out`, or begin it where there is none.
        force: replace the run that `out` holds.
        on_event: called in the first process with what happens.

    Raises:
        VitascopeError: bad input, a folder in use, a full disk. Nothing is written before all
            input is checked.
    """
    begin = time.monotonic()
    setup = build(recipe, out, table, resume=resume, force=force)
    with setup.held():
        return _train(setup, begin, on_event)


def _train(setup: Setup, begin: float, on_event: Listener) -> TrainResult:
    recipe, state = setup.recipe, restore(setup)
    report, meter = Reporter(setup, state, on_event), Meter(setup.fabric)
    report("resume" if state.step else "start", **setup.facts())
    for note in setup.notes:
        report("note", text=note)
    forecast = Forecast(state.steps, state.step, setup.evaluations_after)
    with StopOnSignal(setup.fabric, lambda text: report("note", text=text)) as stop:
        report_epoch(setup, state, report)  # a kill may have come before or during the last
        _evaluate_if_due(setup, state, report)
        stopped = False
        while state.step < state.steps and not stopped:
            epoch, done = divmod(state.step, setup.steps_per_epoch)
            for batch in meter.timed(setup.train_batches(epoch, done, state.faults)):
                rate = learning_rate(recipe.optim, state.step / setup.steps_per_epoch)
                loss = _update(setup, batch, state.step, rate)
                state.step += 1
                meter.add(loss, len(batch["label"]))
                report("step")
                report.estimate(forecast.stepped(state.step))
                stopped = stop.requested() and state.step < state.steps
                leaving = stopped or state.step == state.steps
                if leaving or setup.due(recipe.run.log_every, state.step):
                    report("log", lr=rate, **_finite(meter.read(), rate))
                if leaving or setup.due(recipe.run.save_every, state.step):
                    _finite({"loss": float(loss)}, rate)
                    report("save", path=str(save_last(setup, state)))
                if stopped:
                    break
                with meter.paused():
                    report_epoch(setup, state, report)
                    begun = time.monotonic()
                    if _evaluate_if_due(setup, state, report):
                        seconds = time.monotonic() - begun
                        report.estimate(forecast.evaluated(state.step, seconds))
    if stopped:
        report("interrupt", text=f"saved step {state.step} of {state.steps}; go on with --resume")
    else:
        close(setup, state)
        report("done", best_score=state.best_score, best_step=state.best_step)
    report.curves()
    return TrainResult(
        run=str(setup.folder),
        best_top1=state.best_score,
        best_step=state.best_step,
        step=state.step,
        steps=state.steps,
        seconds=round(time.monotonic() - begin, 3),
        interrupted=stopped,
    )


def _update(setup: Setup, batch: dict[str, Any], step: int, rate: float) -> Tensor:
    """One update of the weights; returns its loss, still on the device."""
    rng = seed_step(setup.recipe.run.seed, step, setup.fabric.global_rank)
    set_rate(setup.optimizer, rate)
    total = torch.zeros((), device=setup.fabric.device)
    pieces = setup.pieces(batch)
    if not pieces:
        return total
    for number, (piece, share) in enumerate(pieces, start=1):
        waiting = number < len(pieces) and setup.fabric.world_size > 1
        with setup.fabric.no_backward_sync(setup.model, enabled=waiting):
            loss = setup.task.loss(setup.model, piece, rng) * share
            setup.fabric.backward(loss)
        total += loss.detach()
    if setup.recipe.optim.clip_grad is not None:
        setup.fabric.clip_gradients(
            setup.model,
            setup.stepper,
            max_norm=setup.recipe.optim.clip_grad,
            error_if_nonfinite=False,  # 16-bit training skips such steps; others end at the log
        )
    setup.stepper.step()
    setup.stepper.zero_grad(set_to_none=True)
    if setup.average is not None:
        setup.average.update(setup.module, step + 1)
    return total


def _evaluate_if_due(setup: Setup, state: State, report: Reporter) -> bool:
    due = setup.due(setup.recipe.run.eval_every, state.step) or state.step == state.steps
    if not due or state.evaluated >= state.step:
        return False
    result = setup.task.evaluate(setup.evaluated_module)
    state.evaluated = state.step
    if result is None:  # nothing to choose by: the latest weights are the best
        state.best_step = state.step
        best = True
    else:
        data, run = setup.data.val, setup.recipe.run
        best = consider(state, result, run, 0 if data is None else data.num_videos)
        report("eval", best=best, **result.summary())
    if best:
        save_best(setup, state)
    return True


def _finite(values: dict[str, float], rate: float) -> dict[str, float]:
    if not math.isfinite(values["loss"]):
        raise RunError(f"the loss is {values['loss']} at a learning rate of {rate:.3g}. {EXPLODED}")
    return values
