"""What could not be read in an epoch of training: kept over a restart, told at the epoch's end."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch.distributed as dist

from vitascope.data.faults import FaultReport

if TYPE_CHECKING:
    from vitascope.engine.parts import Parts
    from vitascope.engine.state import State


def collect(parts: Parts, state: State) -> None:
    """Moves what was counted since the last call, in all processes, into the state.

    Every process calls it at the same step.
    """
    if parts.recipe.data.on_bad == "error":  # then the first fault ended the run
        return
    own = parts.data.train.faults.take()
    found = [own]
    if parts.fabric.world_size > 1:
        found = [own] * parts.fabric.world_size
        dist.all_gather_object(found, own)
    for one in found:
        state.faults = state.faults.joined(one)


def report_epoch(parts: Parts, state: State, report: Callable[..., None]) -> None:
    """Tells once at the end of an epoch what of it could not be read; also when all could be."""
    ended = state.step % parts.steps_per_epoch == 0 and state.step > state.reported
    if not ended or parts.recipe.data.on_bad == "error":
        return
    collect(parts, state)
    report("faults", **facts(parts, state.faults))
    state.faults, state.reported = FaultReport(), state.step


def facts(parts: Parts, faults: FaultReport) -> dict[str, Any]:
    """The values of an event of kind "faults"."""
    records = parts.data.train.records
    return {
        "policy": parts.recipe.data.on_bad,
        "clips": faults.clips,
        "clips_expected": parts.steps_per_epoch * parts.recipe.optim.batch_size,
        "videos": [{"path": records[n].path, "error": reason} for n, reason in faults.videos],
    }
