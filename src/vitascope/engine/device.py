"""Devices, precision and processes through Lightning Fabric; random numbers of a step."""

from __future__ import annotations

import logging
import os
import signal
import threading
import warnings
from collections.abc import Callable, Sequence
from types import FrameType
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
import torch
from torch import Tensor, nn

from vitascope.engine.allocator import keep_freed_memory
from vitascope.engine.config import RunConfig
from vitascope.errors import ConfigError
from vitascope.transforms.pathways import pack_pathways

if TYPE_CHECKING:
    from lightning_fabric import Fabric

PRECISIONS: dict[str, Literal["32-true", "bf16-mixed", "16-mixed"]] = {
    "32": "32-true",
    "bf16": "bf16-mixed",
    "16": "16-mixed",
}


def launch(run: RunConfig) -> Fabric:
    """Picks devices and starts the processes of a run.

    Under torchrun (or Slurm) the number of devices is what the launcher started. Otherwise
    `devices` 0 means all GPUs, or one process on the CPU.

    Raises:
        ConfigError: the accelerator is not there.
    """
    from lightning_fabric import Fabric  # takes seconds, and prediction needs none of it

    accelerator = run.accelerator
    if accelerator == "auto":
        accelerator = "cuda" if torch.cuda.is_available() else "cpu"
    there = {
        "cpu": True,
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
    }
    if not there[accelerator]:
        raise ConfigError(f"run.accelerator = {accelerator!r} is not available on this machine")
    if accelerator == "cpu":
        keep_freed_memory()
    local = int(os.environ.get("LOCAL_WORLD_SIZE", "0"))
    nodes = max(int(os.environ.get("WORLD_SIZE", "1")) // max(local, 1), 1) if local else 1
    devices = local or run.devices or (torch.cuda.device_count() if accelerator == "cuda" else 1)
    logging.getLogger("lightning_fabric").setLevel(logging.ERROR)  # it prints what it found
    with warnings.catch_warnings():
        # Advice on launching under Slurm and on unused GPUs; what is used is the user's choice.
        warnings.filterwarnings("ignore", module="lightning_fabric.*")
        fabric = Fabric(
            accelerator=accelerator,
            devices=devices,
            num_nodes=nodes,
            strategy="ddp" if devices * nodes > 1 else "auto",
            precision=PRECISIONS[run.precision],
        )
        fabric.launch()
    return fabric


def seed_step(seed: int, step: int, rank: int = 0) -> np.random.Generator:
    """Seeds torch for one step and returns the step's generator for mixing.

    Dropout, drop path and mixing of a step follow from (seed, step, rank) alone, so a resumed
    run draws what the uninterrupted one drew.
    """
    words = np.random.SeedSequence((seed, step, rank)).generate_state(2, np.uint64)
    torch.manual_seed(int(words[0]) & (2**63 - 1))
    return np.random.default_rng(int(words[1]))


def channels_last(model: nn.Module) -> nn.Module:
    """Puts the 5-dimensional weights of a model into channels-last order, in place."""
    for parameter in model.parameters():
        if parameter.ndim == 5:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last_3d)
    return model


def network_input(video: Tensor, pathways: Sequence[int] = ()) -> Tensor | list[Tensor]:
    """A batch B C T H W as a model takes it: channels innermost, one tensor a pathway.

    Channels last is 1.2 to 3 times as fast on a CPU as the plain order, and needed on GPUs for
    tensor cores without copies; models without convolutions do not mind.
    """
    packed = pack_pathways(video, pathways)
    if isinstance(packed, list):
        return [p.contiguous(memory_format=torch.channels_last_3d) for p in packed]
    return packed.contiguous(memory_format=torch.channels_last_3d)


class StopOnSignal:
    """Turns SIGINT and SIGTERM into a request to stop after the current step.

    The second SIGINT raises KeyboardInterrupt. Outside the main thread signals are left alone.

    Args:
        fabric: the processes of the run; a signal to one of them stops all.
        tell: called with one line of text when a signal arrives.
    """

    def __init__(self, fabric: Fabric, tell: Callable[[str], None]) -> None:
        self._fabric, self._tell = fabric, tell
        self._asked = False
        self._owner = os.getpid()
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._previous[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._owner:
            # A forked process that decodes, which had no time yet to set handlers of its own.
            # Ctrl-C is for the main one, which ends us as soon as it wants to.
            if number == signal.SIGTERM:
                signal.signal(number, signal.SIG_DFL)
                signal.raise_signal(number)
            return
        if self._asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        if not self._asked:
            self._asked = True
            self._tell("stopping after this step; press Ctrl-C again to stop at once")

    def requested(self) -> bool:
        """Whether any process was asked to stop; all processes must ask together."""
        if self._fabric.world_size == 1:
            return self._asked
        flag = torch.tensor(float(self._asked), device=self._fabric.device)
        return bool(self._fabric.all_reduce(flag, reduce_op="max"))
