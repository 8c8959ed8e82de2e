"""The training loop: the same for every model, data set and kind of task."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vitascope.engine.config import Recipe
from vitascope.engine.device import StopOnSignal, seed_step
from vitascope.engine.log import Listener, Meter, Reporter, ignore
from vitascope.engine.optim import set_rate
from vitascope.engine.parts import Parts, build
from vitascope.engine.schedule import learning_rate
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
        resume: go on with the same run in `out`, or begin it where there is none.
        force: replace the run that `out` holds.
        on_event: called in the first process with what happens.

    Raises:
        VitascopeError: bad input, a folder in use, a full disk. Nothing is written before all
            input is checked.
    """
    begin = time.monotonic()
    parts = build(recipe, out, resume=resume, force=force)
    with parts.held():
        return _train(parts, begin, on_event)


def _train(parts: Parts, begin: float, on_event: Listener) -> TrainResult:
    recipe, state = parts.recipe, restore(parts)
    report, meter = Reporter(parts, state, on_event), Meter(parts.fabric)
    report("resume" if state.step else "start", **parts.facts())
    for note in parts.notes:
        report("note", text=note)
    with StopOnSignal(parts.fabric, lambda text: report("note", text=text)) as stop:
        report_epoch(parts, state, report)  # a kill may have come before or during the last
        _evaluate_if_due(parts, state, report)
        stopped = False
        while state.step < state.steps and not stopped:
            epoch, done = divmod(state.step, parts.steps_per_epoch)
            for batch in meter.timed(parts.train_batches(epoch, done, state.faults)):
                rate = learning_rate(recipe.optim, state.step / parts.steps_per_epoch)
                loss = _update(parts, batch, state.step, rate)
                state.step += 1
                meter.add(loss, len(batch["label"]))
                report("step")
                stopped = stop.requested() and state.step < state.steps
                leaving = stopped or state.step == state.steps
                if leaving or parts.due(recipe.run.log_every, state.step):
                    report("log", lr=rate, **_finite(meter.read(), rate))
                if leaving or parts.due(recipe.run.save_every, state.step):
                    _finite({"loss": float(loss)}, rate)
                    report("save", path=str(save_last(parts, state)))
                if stopped:
                    break
                with meter.paused():
                    report_epoch(parts, state, report)
                    _evaluate_if_due(parts, state, report)
    if stopped:
        report("interrupt", text=f"saved step {state.step} of {state.steps}; go on with --resume")
    else:
        close(parts, state)
        report("done", best_score=state.best_score, best_step=state.best_step)
    report.curves()
    return TrainResult(
        run=str(parts.folder),
        best_top1=state.best_score,
        best_step=state.best_step,
        step=state.step,
        steps=state.steps,
        seconds=round(time.monotonic() - begin, 3),
        interrupted=stopped,
    )


def _update(parts: Parts, batch: dict[str, Any], step: int, rate: float) -> Tensor:
    """One update of the weights; returns its loss, still on the device."""
    rng = seed_step(parts.recipe.run.seed, step, parts.fabric.global_rank)
    set_rate(parts.optimizer, rate)
    total = torch.zeros((), device=parts.fabric.device)
    pieces = parts.pieces(batch)
    if not pieces:
        return total
    for number, (piece, share) in enumerate(pieces, start=1):
        waiting = number < len(pieces) and parts.fabric.world_size > 1
        with parts.fabric.no_backward_sync(parts.model, enabled=waiting):
            loss = parts.task.loss(parts.model, piece, rng) * share
            parts.fabric.backward(loss)
        total += loss.detach()
    if parts.recipe.optim.clip_grad is not None:
        parts.fabric.clip_gradients(
            parts.model,
            parts.stepper,
            max_norm=parts.recipe.optim.clip_grad,
            error_if_nonfinite=False,  # 16-bit training skips such steps; others end at the log
        )
    parts.stepper.step()
    parts.stepper.zero_grad(set_to_none=True)
    if parts.average is not None:
        parts.average.update(parts.module, step + 1)
    return total


def _evaluate_if_due(parts: Parts, state: State, report: Reporter) -> None:
    due = parts.due(parts.recipe.run.eval_every, state.step) or state.step == state.steps
    if not due or state.evaluated >= state.step:
        return
    result = parts.task.evaluate(parts.evaluated_module)
    state.evaluated = state.step
    if result is not None:
        report("eval", **result.summary())
    # Of equal scores the later one: it has been trained for longer.
    if result is None or state.best_score is None or result.score >= state.best_score:
        state.best_score = None if result is None else result.score
        state.best_step = state.step
        save_best(parts, state)


def _finite(values: dict[str, float], rate: float) -> dict[str, float]:
    if not math.isfinite(values["loss"]):
        raise RunError(f"the loss is {values['loss']} at a learning rate of {rate:.3g}. {EXPLODED}")
    return values
