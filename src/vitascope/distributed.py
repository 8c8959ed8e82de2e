"""Ranks and groups of processes, gathers that gradients pass through, and the cores to use.

Everything here works in a single process too, where there is one rank and gathering is the
identity. The "local" group is the processes of one machine, as told to
`init_distributed_training`; until it is told, all processes count as local.
"""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any, cast

import torch
import torch.distributed as dist
from torch import Tensor
from torch.autograd.function import Function, once_differentiable

from vitascope.errors import ConfigError

# The group of this machine's processes. torch.distributed is global state itself; this is the
# one entry that it does not keep.
_LOCAL: dict[str, Any] = {}


def cores() -> int:
    """CPU cores that this process may use: those it is bound to, or fewer in a container.

    A container that may use one and a half gets two.
    """
    if hasattr(os, "sched_getaffinity"):
        count = len(os.sched_getaffinity(0))
    else:
        count = os.cpu_count() or 1
    try:
        groups = Path("/proc/self/cgroup").read_text(encoding="utf-8")
    except OSError:  # no Linux
        return count
    return max(1, math.ceil(min(count, _quota(groups, Path("/sys/fs/cgroup")))))


def _quota(groups: str, root: Path) -> float:
    """The least CPU time a second that the control groups of a process allow it.

    Args:
        groups: lines NUMBER:CONTROLLERS:PATH; the newer version has one, without a controller.
        root: where the file system of control groups is mounted.
    """
    least = math.inf
    for line in groups.splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        place = root / controllers / path.strip("/")
        # A limit of any group above holds, too. A container may see its own group as the root.
        for folder in (place, *place.parents):
            if controllers:
                texts = [_text(folder / f"cpu.cfs_{what}_us") for what in ("quota", "period")]
            else:
                texts = _text(folder / "cpu.max").split()
            if texts and all(text.isdecimal() for text in texts):  # without limit -1 or "max"
                least = min(least, int(texts[0]) / int(texts[1]))
            if folder == root:
                break
    return least


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def is_distributed() -> bool:
    """Whether a process group exists."""
    return dist.is_available() and dist.is_initialized()


def get_world_size() -> int:
    """Number of processes; 1 without a process group."""
    return dist.get_world_size() if is_distributed() else 1


def get_rank() -> int:
    """Index of this process among all; 0 without a process group."""
    return dist.get_rank() if is_distributed() else 0


def is_chief() -> bool:
    """Whether this is the first process of all, also before a process group exists."""
    return (get_rank() if is_distributed() else int(os.environ.get("RANK") or 0)) == 0


def init_distributed_training(num_gpus: int, shard_id: int) -> None:
    """Makes one group of processes for each machine; every process has to call it.

    Args:
        num_gpus: processes on each machine; 1 leaves everything as it is.
        shard_id: index of this machine.

    Raises:
        ConfigError: the number of processes is no multiple of `num_gpus`, there is no machine
            `shard_id`, or this process runs on another one.
    """
    if num_gpus <= 1:
        return
    world = get_world_size()
    if world % num_gpus:
        raise ConfigError(
            f"num_gpus = {num_gpus}: {world} processes cannot be shared out over machines of "
            f"{num_gpus} each"
        )
    if shard_id != get_rank() // num_gpus:
        raise ConfigError(
            f"shard_id = {shard_id}, but rank {get_rank()} with {num_gpus} processes a machine "
            f"is on machine {get_rank() // num_gpus}"
        )
    groups = [
        dist.new_group(list(range(first, first + num_gpus))) for first in range(0, world, num_gpus)
    ]
    _LOCAL.update(group=groups[shard_id], world=dist.group.WORLD)


def get_local_process_group() -> Any:
    """The group of this machine's processes; all processes if no machines were told apart."""
    # A group of an earlier, destroyed world is of no use.
    if "group" in _LOCAL and _LOCAL["world"] is dist.group.WORLD:
        return _LOCAL["group"]
    return dist.group.WORLD


def get_local_size() -> int:
    """Number of processes on this machine; 1 without a process group."""
    return dist.get_world_size(get_local_process_group()) if is_distributed() else 1


def get_local_rank() -> int:
    """Index of this process among those of its machine; 0 without a process group."""
    return dist.get_rank(get_local_process_group()) if is_distributed() else 0


def _gather(x: Tensor, group: Any) -> list[Tensor]:
    x = x.contiguous()
    parts = [torch.empty_like(x) for _ in range(dist.get_world_size(group))]
    dist.all_gather(parts, x, group=group)
    return parts


@torch.no_grad()
def cat_all_gather(tensors: Tensor, local: bool = False) -> Tensor:
    """Joins the tensors of all processes along dimension 0, in the order of ranks.

    No gradient passes; see `gather_with_gradient`.

    Args:
        tensors: a tensor of the same shape in each process.
        local: only the processes of this machine.
    """
    if not is_distributed():
        return tensors
    group = get_local_process_group() if local else dist.group.WORLD
    return torch.cat(_gather(tensors, group), dim=0)


class _Gather(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, group: Any) -> Tensor:
        ctx.rows, ctx.group = x.shape[0], group
        return torch.cat(_gather(x, group), dim=0)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        grad = grad.contiguous().clone()
        dist.all_reduce(grad, group=ctx.group)
        start = dist.get_rank(ctx.group) * ctx.rows
        return grad[start : start + ctx.rows], None


def gather_with_gradient(x: Tensor, local: bool = False) -> Tensor:
    """Joins the tensors of all processes along dimension 0.

    The gradient that a process gets is the sum of what all processes contribute to its part.

    Args:
        x: a tensor of the same shape in each process.
        local: only the processes of this machine.
    """
    if not is_distributed():
        return x
    group = get_local_process_group() if local else dist.group.WORLD
    return cast(Tensor, _Gather.apply(x, group))  # type: ignore[no-untyped-call]


class GroupGather(Function):
    """Sum over groups of neighboring local processes; the gradient is summed alike.

    Called as `GroupGather.apply(x, num_sync_devices, num_groups)`.
    """

    @staticmethod
    def forward(ctx: Any, input: Tensor, num_sync_devices: int, num_groups: int) -> Tensor:
        """Sums `input` over the group of this process.

        Args:
            ctx: context of autograd.
            input: a tensor of the same shape in each process.
            num_sync_devices: processes in a group.
            num_groups: groups on this machine.
        """
        ctx.num_sync_devices, ctx.num_groups = num_sync_devices, num_groups
        return _group_sum(input, num_sync_devices, num_groups)

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor, None, None]:
        """Sums the gradient over the group of this process."""
        return _group_sum(grad_output, ctx.num_sync_devices, ctx.num_groups), None, None


def _group_sum(x: Tensor, size: int, groups: int) -> Tensor:
    if not is_distributed():
        return x.clone()
    parts = _gather(x, get_local_process_group())
    if groups > 1:
        first = get_local_rank() // size * size
        parts = parts[first : first + size]
    return torch.stack(parts).sum(dim=0)
