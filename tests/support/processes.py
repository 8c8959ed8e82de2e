"""Several processes on one machine that talk through gloo."""

from __future__ import annotations

import multiprocessing
import os
import tempfile
import traceback
from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist

_TIMEOUT = 120  # seconds for all processes together


def _work(
    rank: int, world: int, store: str, function: Any, args: tuple[Any, ...], out: Any
) -> None:
    torch.set_num_threads(1)
    try:
        dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=world)
        out.put((rank, True, function(rank, *args)))
    except BaseException:
        out.put((rank, False, traceback.format_exc()))
        raise
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()


def run(world: int, function: Callable[..., Any], *args: Any) -> list[Any]:
    """Calls `function(rank, *args)` in `world` processes of one group; results by rank.

    `function` is importable, and what it returns can be pickled (arrays, not tensors).
    """
    # The server imports torch once and forks; spawning would import it in every process.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["torch", "numpy"])
    out = context.SimpleQueue()
    with tempfile.TemporaryDirectory() as folder:
        store = os.path.join(folder, "store")
        workers = [
            context.Process(target=_work, args=(rank, world, store, function, args, out))
            for rank in range(world)
        ]
        for worker in workers:
            worker.start()
        results = dict((r, (ok, value)) for r, ok, value in (out.get() for _ in workers))
        for worker in workers:
            worker.join(_TIMEOUT)
    for rank, (ok, value) in results.items():
        assert ok, f"rank {rank}:\n{value}"
    return [results[rank][1] for rank in range(world)]
