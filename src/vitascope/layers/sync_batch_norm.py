"""Batch norms whose statistics span processes, or only parts of a batch."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from vitascope.distributed import (
    gather_with_gradient,
    get_local_rank,
    get_local_size,
    get_world_size,
)
from vitascope.errors import ConfigError, InputError


class _SyncBatchNorm(_BatchNorm):
    """What the three classes below have in common; see `NaiveSyncBatchNorm3d`."""

    def __init__(
        self, num_sync_devices: int | None = None, global_sync: bool = True, **args: Any
    ) -> None:
        if global_sync != (num_sync_devices is None):
            raise ConfigError(
                f"num_sync_devices = {num_sync_devices} with global_sync = {global_sync}: give "
                f"num_sync_devices with global_sync=False, or neither"
            )
        super().__init__(**args)
        self.global_sync = global_sync
        self.num_sync_devices = num_sync_devices

    def forward(self, input: Tensor) -> Tensor:
        """Normalizes `input` (B C, or B C and further dimensions)."""
        if not self.training or get_world_size() == 1:
            return super().forward(input)
        self._check_input_dim(input)  # type: ignore[no-untyped-call]
        if input.shape[0] == 0:
            raise InputError("synchronised batch norm got a batch of 0 samples on one process")
        dims = [d for d in range(input.dim()) if d != 1]
        x = input.float() if input.dtype in (torch.float16, torch.bfloat16) else input
        local_var, local_mean = torch.var_mean(x, dims, correction=0)
        means, variances = self._gather(torch.stack([local_mean, local_var])).unbind(1)
        mean = means.mean(0)
        # The variance within the processes and between them; unlike E[x^2] - E[x]^2 it loses no
        # digits where the mean is large.
        var = (variances + (means - mean).square()).mean(0)
        self._remember(mean, var)
        scale = torch.rsqrt(var + self.eps)
        if self.weight is not None:
            scale = scale * self.weight
        shift = -mean * scale
        if self.bias is not None:
            shift = shift + self.bias
        shape = [1, -1] + [1] * (input.dim() - 2)
        return (x * scale.view(shape) + shift.view(shape)).to(input.dtype)

    def _gather(self, statistics: Tensor) -> Tensor:
        """Statistics of each process of the group: P 2 C."""
        if self.global_sync:
            return gather_with_gradient(statistics[None])
        size = self.num_sync_devices or get_local_size()
        if get_local_size() % size:
            raise ConfigError(
                f"num_sync_devices = {size} does not divide the {get_local_size()} processes of "
                f"this machine"
            )
        first = get_local_rank() // size * size
        return gather_with_gradient(statistics[None], local=True)[first : first + size]

    @torch.no_grad()
    def _remember(self, mean: Tensor, var: Tensor) -> None:
        if not self.track_running_stats:
            return
        assert self.running_mean is not None and self.running_var is not None
        rate = self.momentum
        if self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
            if rate is None:
                rate = 1.0 / float(self.num_batches_tracked)
        assert rate is not None
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), rate)
        self.running_var.lerp_(var.to(self.running_var.dtype), rate)


class NaiveSyncBatchNorm1d(_SyncBatchNorm, nn.BatchNorm1d):
    """`torch.nn.BatchNorm1d` over several processes; see `NaiveSyncBatchNorm3d`."""


class NaiveSyncBatchNorm2d(_SyncBatchNorm, nn.BatchNorm2d):
    """`torch.nn.BatchNorm2d` over several processes; see `NaiveSyncBatchNorm3d`."""


class NaiveSyncBatchNorm3d(_SyncBatchNorm, nn.BatchNorm3d):
    """`torch.nn.BatchNorm3d` over several processes, each with the same weight.

    The statistics are those of all samples if every process has the same number of them. The
    running variance takes the biased variance (torch.nn.BatchNorm3d takes the unbiased one). With
    one process, and in evaluation, this is torch's batch norm; so a model made for eight devices
    can be built and evaluated on one.

    Args:
        num_sync_devices: processes of a machine that share statistics; 0 stands for all of the
            machine. Only without `global_sync`.
        global_sync: share statistics over all processes of all machines.
        args: arguments of the batch norm (`num_features`, `eps`, `momentum`, `affine`, ...).

    Raises:
        ConfigError: both or neither of `num_sync_devices` and `global_sync`; or, in the first
            training step, a number of processes on the machine that is no multiple of
            `num_sync_devices`.
    """


class SubBatchNorm3d(nn.Module):
    """Batch norm over parts of a batch, as in multigrid training (arXiv:1912.00998).

    A batch of long cycles is larger than the one the learning rate was tuned for; statistics over
    1 / `num_splits` of it behave like those of the smaller batch. Sample `i` belongs to part
    `i mod num_splits`. Evaluation uses one set of statistics, which `aggregate_stats` makes from
    those of the parts: the mean of the means, and the mean of the variances plus the variance of
    the means.

    Args:
        num_splits: number of parts.
        automatic: aggregate before evaluation and before saving. Without it evaluation uses
            what the last call of `aggregate_stats` left (PySlowFast), which is mean 0 and
            variance 1 if there was none.
        args: arguments of `torch.nn.BatchNorm3d` (`num_features`, `eps`, `momentum`, `affine`).
    """

    def __init__(self, num_splits: int, automatic: bool = True, **args: Any) -> None:
        super().__init__()
        if num_splits < 1:
            raise ConfigError(f"num_splits = {num_splits}; a batch has at least 1 part")
        features: int = args["num_features"]
        self.num_splits = num_splits
        self.automatic = automatic
        self.affine: bool = args.pop("affine", True)
        if self.affine:
            self.weight = nn.Parameter(torch.ones(features))
            self.bias = nn.Parameter(torch.zeros(features))
        self.bn = nn.BatchNorm3d(**{**args, "affine": False})
        args["num_features"] = features * num_splits
        self.split_bn = nn.BatchNorm3d(**{**args, "affine": False})
        self._stale = False

    @torch.no_grad()
    def aggregate_stats(self) -> None:
        """Makes the statistics for evaluation from those of the parts."""
        self._stale = False
        means, variances = self.split_bn.running_mean, self.split_bn.running_var
        if means is None or variances is None:
            return
        assert self.bn.running_mean is not None and self.bn.running_var is not None
        means = means.view(self.num_splits, -1)
        mean = means.mean(0)
        spread = (means - mean).square().mean(0)
        self.bn.running_mean.copy_(mean)
        self.bn.running_var.copy_(variances.view(self.num_splits, -1).mean(0) + spread)

    def train(self, mode: bool = True) -> SubBatchNorm3d:
        """Enters training or evaluation; entering evaluation aggregates if `automatic`."""
        if not mode and self._stale and self.automatic:
            self.aggregate_stats()
        super().train(mode)
        return self

    def _save_to_state_dict(self, *args: Any, **kwargs: Any) -> None:
        if self._stale and self.automatic:
            self.aggregate_stats()
        super()._save_to_state_dict(*args, **kwargs)

    def forward(self, x: Tensor) -> Tensor:
        """Normalizes B C T H W.

        Raises:
            InputError: in training, a batch that is no multiple of `num_splits`.
        """
        if self.training:
            x = self._split(x)
        else:
            x = cast(Tensor, self.bn(x))
        if self.affine:
            x = x * self.weight.view(-1, 1, 1, 1) + self.bias.view(-1, 1, 1, 1)
        return x

    def _split(self, x: Tensor) -> Tensor:
        batch, channels = x.shape[:2]
        if batch % self.num_splits:
            raise InputError(
                f"a batch of {batch} cannot be split into {self.num_splits} equal parts"
            )
        self._stale = True
        parts = x.reshape(batch // self.num_splits, channels * self.num_splits, *x.shape[2:])
        return cast(Tensor, self.split_bn(parts)).view(x.shape)
