"""Learning rate as a pure function of the recipe and the position in epochs."""

from __future__ import annotations

import bisect
import math

from vitascope.engine.config import OptimConfig


def learning_rate(optim: OptimConfig, epoch: float) -> float:
    """Learning rate at a fractional epoch (epoch + step / steps per epoch).

    "cosine" falls from `lr` to `end` x `lr` on half a cosine over all epochs; with
    `after_warmup` the cosine begins when the warm-up ends, otherwise at epoch 0, so that the
    warm-up leads onto a point of it. The warm-up is a straight line from `warmup_start` x `lr`
    to the value that the schedule has at its end. "one_cycle" rises and falls on half a cosine
    each. "steps" takes `rates[i]` x `lr` from epoch `steps[i]` on.

    These are the schedules of PySlowFast; its absolute rates are shares of `lr` here.
    """
    if epoch >= optim.warmup:
        return optim.lr * _share(optim, epoch)
    peak = _share(optim, optim.warmup)
    risen = epoch / optim.warmup
    if optim.schedule == "one_cycle":
        risen = (1 - math.cos(math.pi * risen)) / 2
    return optim.lr * (optim.warmup_start + (peak - optim.warmup_start) * risen)


def _share(optim: OptimConfig, epoch: float) -> float:
    """Share of `lr` at an epoch after the warm-up."""
    if optim.schedule == "constant":
        return 1.0
    if optim.schedule == "steps":
        return optim.rates[bisect.bisect_right(optim.steps, epoch) - 1]
    begin = optim.warmup if optim.after_warmup or optim.schedule == "one_cycle" else 0.0
    length = optim.epochs - begin
    done = min((epoch - begin) / length, 1.0) if length > 0 else 1.0
    return optim.end + (1 - optim.end) * (1 + math.cos(math.pi * done)) / 2
