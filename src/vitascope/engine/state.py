"""What a run must remember to go on, and how it gets into a checkpoint and out again."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch.distributed as dist
from torch import Tensor

from vitascope.data.unreadable import UnreadableReport
from vitascope.engine.checkpoint import (
    EMA,
    Checkpoint,
    load_checkpoint,
    save_checkpoint,
    update_state,
)
from vitascope.engine.optim import OPTIM, flatten_state, restore_state
from vitascope.engine.typed import hints, to_type
from vitascope.errors import ConfigError, RunError, WeightsError

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn

    from vitascope.engine.setup import Setup


EXPLODED = (
    "The training has exploded, and going on would not mend it: lower optim.lr, lengthen "
    "optim.warmup or set optim.clip_grad=1, and begin anew with --force"
)


@dataclass(kw_only=True)
class State:
    """Where a run is; beside its tensors, all that it remembers.

    Attributes:
        steps: updates of the whole run.
        seed: the run's seed.
        step: updates done.
        evaluated: step of the last evaluation.
        losses: validation losses of the latest evaluations.
        best_score: score of the best step so far; None before the first evaluation.
        best_loss: its validation loss, a mean over evaluations where that decides.
        best_step: that step.
        scaler: scale of the loss in 16-bit training.
        faults: what could not be read since the epoch began.
        reported: step at which the last report on an epoch's faults was given.
    """

    steps: int
    seed: int
    step: int = 0
    evaluated: int = 0
    losses: tuple[float, ...] = ()
    best_score: float | None = None
    best_loss: float | None = None
    best_step: int = 0
    scaler: dict[str, Any] = field(default_factory=dict)
    faults: UnreadableReport = field(default_factory=UnreadableReport)
    reported: int = 0


@dataclass(frozen=True, kw_only=True)
class TrainResult:
    """How a run ended.

    Attributes:
        run: the run's folder.
        best_top1: validation score of the best step, 0 to 1 (top-1 accuracy for classification);
            None when there is nothing to validate on. By which figure the step was chosen,
            `vitascope.engine.selection` says.
        best_step: that step, whose weights are in best.json.
        step: updates done.
        steps: updates of the whole run.
        seconds: time that this call took.
        interrupted: the run was asked to stop, has saved, and can be resumed.
    """

    run: str
    best_top1: float | None
    best_step: int
    step: int
    steps: int
    seconds: float
    interrupted: bool

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return dataclasses.asdict(self)


def restore(setup: Setup) -> State:
    """Brings model, optimizer and average to the last checkpoint; a new run starts at step 0.

    Raises:
        WeightsError: the checkpoint is damaged or of another model.
    """
    state = State(steps=setup.steps, seed=setup.recipe.run.seed)
    if not (setup.folder / "last.json").is_file():
        return state
    checkpoint = load_checkpoint(setup.folder, "last")
    for name, hint in hints(State).items():
        if name in checkpoint.state:
            value = checkpoint.state[name]
            where = f"{checkpoint.path}: state.{name}"
            setattr(
                state, name, _faults(value, where) if name == "faults" else _of(hint, value, where)
            )
    own = {n: t for n, t in checkpoint.tensors.items() if not n.startswith((EMA, OPTIM))}
    _load(setup.module, own, checkpoint)
    if setup.average is not None:
        _load(setup.average.model, checkpoint.part(EMA), checkpoint)
    restore_state(setup.optimizer, checkpoint.part(OPTIM))
    setup.fabric.strategy.precision.load_state_dict(state.scaler)
    return state


def _of(hint: Any, value: Any, where: str) -> Any:
    try:
        return to_type(hint, value, where)
    except ConfigError as error:
        raise WeightsError(f"{error}; the checkpoint is damaged") from error


def _faults(value: Any, where: str) -> UnreadableReport:
    try:
        return UnreadableReport.from_json(value)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise WeightsError(f"{where} is damaged ({error!r:.200})") from error


def _load(module: nn.Module, tensors: dict[str, Tensor], checkpoint: Checkpoint) -> None:
    try:
        module.load_state_dict(tensors, strict=True)
    except RuntimeError as error:
        raise WeightsError(f"{checkpoint.path} does not fit the model: {error}") from error


def save_last(setup: Setup, state: State) -> Path:
    """Saves everything that the run needs to go on.

    Raises:
        RunError: a weight is no number any more; the checkpoint before is kept.
    """
    tensors = dict(setup.module.state_dict())
    lost = [n for n, t in tensors.items() if t.is_floating_point() and not t.isfinite().all()]
    if lost:
        raise RunError(
            f"after step {state.step} the weights hold values that are no numbers (first "
            f"{lost[0]}). {EXPLODED}"
        )
    clash = [n for n in tensors if n.startswith((EMA, OPTIM))]
    if clash:
        raise WeightsError(f"{clash[0]}: {EMA!r} and {OPTIM!r} are reserved beginnings of names")
    if setup.average is not None:
        tensors |= {f"{EMA}{n}": t for n, t in setup.average.model.state_dict().items()}
    state.scaler = setup.fabric.strategy.precision.state_dict()
    collect(setup, state)
    return _save(setup, state, "last", tensors | flatten_state(setup.optimizer))


def close(setup: Setup, state: State) -> None:
    """Notes in the last checkpoint that the run is finished and what its best score was."""
    if setup.fabric.is_global_zero:
        update_state(setup.folder, "last", dataclasses.asdict(state))
    setup.fabric.barrier()


def save_best(setup: Setup, state: State) -> Path:
    """Saves the evaluated weights alone: all that prediction needs."""
    return _save(setup, state, "best", dict(setup.evaluated_module.state_dict()))


def _save(setup: Setup, state: State, name: str, tensors: dict[str, Tensor]) -> Path:
    path = setup.folder / f"{name}.json"
    if setup.fabric.is_global_zero:
        save_checkpoint(
            setup.folder,
            name,
            tensors=tensors,
            contract=setup.contract,
            recipe=setup.recipe.to_json(),
            state=dataclasses.asdict(state),
            advice="Free some space and run the same command with --resume.",
        )
    setup.fabric.barrier()  # nobody goes on, and perhaps ends, before the file is complete
    return path


def collect(setup: Setup, state: State) -> None:
    """Moves what was counted since the last call, in all processes, into the state.

    Every process calls it at the same step.
    """
    if setup.recipe.data.on_bad == "error":  # then the first fault ended the run
        return
    own = setup.data.train.faults.take()
    found = [own]
    if setup.fabric.world_size > 1:
        found = [own] * setup.fabric.world_size
        dist.all_gather_object(found, own)
    for one in found:
        state.faults = state.faults.joined(one)


def report_epoch(setup: Setup, state: State, report: Callable[..., None]) -> None:
    """Tells once at the end of an epoch what of it could not be read; also when all could be."""
    ended = state.step % setup.steps_per_epoch == 0 and state.step > state.reported
    if not ended or setup.recipe.data.on_bad == "error":
        return
    collect(setup, state)
    report("faults", **facts(setup, state.faults))
    state.faults, state.reported = UnreadableReport(), state.step


def facts(setup: Setup, faults: UnreadableReport) -> dict[str, Any]:
    """The values of an event of kind "faults"."""
    records = setup.data.train.records
    return {
        "policy": setup.recipe.data.on_bad,
        "clips": faults.clips,
        "clips_expected": setup.steps_per_epoch * setup.recipe.optim.batch_size,
        "videos": [{"path": records[n].path, "error": reason} for n, reason in faults.videos],
    }
