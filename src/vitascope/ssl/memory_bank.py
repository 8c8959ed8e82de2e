"""Features of every clip of a data set, kept and compared (arXiv:1805.01978)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vitascope.distributed import cat_all_gather
from vitascope.errors import InputError
from vitascope.losses.contrastive import contrastive_loss


def random_features(*shape: int) -> Tensor:
    """Uniform features whose last dimension has length 1 on average."""
    bound = 1.0 / math.sqrt(shape[-1] / 3)
    return torch.rand(*shape) * 2 * bound - bound


class MemoryBank(nn.Module):
    """Features pick the remembered ones of the same clip among remembered ones of others.

    Args:
        backbone: model without classifying head.
        mlp: projects its features; None for none.
        neg_size: negatives for each clip, drawn with replacement.
        temperature: divides the similarities.
        bank_size: clips of the data set.
        dim: width of the features.
        mmt: share of the old feature when a new one is remembered.
    """

    def __init__(
        self,
        backbone: nn.Module,
        mlp: nn.Module | None = None,
        neg_size: int = 4096,
        temperature: float = 0.07,
        bank_size: int = 1280000,
        dim: int = 2048,
        mmt: float = 0.999,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.mlp = mlp
        self.neg_size = neg_size
        self.temperature = temperature
        self.bank_size = bank_size
        self.dim = dim
        self.mmt = mmt
        device = next((p.device for p in backbone.parameters()), None)
        self.register_buffer("memory", random_features(bank_size, dim).to(device))
        self.memory: Tensor

    def forward(self, x: Tensor, x_ind: Tensor) -> Tensor:
        """Loss of clips; in training their features are remembered.

        Args:
            x: clips, as the backbone takes them.
            x_ind: their indices in the data set, B.

        Raises:
            InputError: an index outside the memory.
        """
        _check_index(x_ind, self.bank_size)
        x = self.backbone(x)
        if self.mlp is not None:
            x = self.mlp(x)
        x = F.normalize(x, dim=1)
        rows = torch.randint(0, self.bank_size, size=(len(x), self.neg_size + 1)).to(x.device)
        rows[:, 0] = x_ind
        remembered = self.memory[rows.view(-1)].view(len(x), -1, self.dim).detach()
        loss = contrastive_loss(torch.einsum("bkc,bc->bk", remembered, x) / self.temperature)
        if self.training:
            self._remember(x, x_ind)
        return loss

    @torch.no_grad()
    def _remember(self, x: Tensor, index: Tensor) -> None:
        x, index = cat_all_gather(x), cat_all_gather(index)
        mixed = self.memory[index] * self.mmt + x * (1 - self.mmt)
        self.memory.index_copy_(0, index, mixed / mixed.norm(dim=1, keepdim=True))


def _check_index(index: Tensor, size: int) -> None:
    if torch.compiler.is_compiling() or index.numel() == 0:
        return
    low, high = int(index.min()), int(index.max())
    if low < 0 or high >= size:
        raise InputError(
            f"indices from {low} to {high} do not fit a memory of {size} clips; make it as large "
            f"as the data set"
        )


class Memory(nn.Module):
    """Remembered features of clips, with several moments of each if wanted.

    Args:
        length: clips of the data set.
        dim: width of the features.
        duration: moments of each clip; None keeps one feature and no dimension of moments.
    """

    def __init__(self, length: int, dim: int, duration: int | None = None) -> None:
        super().__init__()
        self.length = length
        self.dim = dim
        self.duration = duration
        shape = (length, dim) if duration is None else (length, duration, dim)
        self.register_buffer("memory", random_features(*shape))
        self.memory: Tensor

    def resize(self, length: int) -> None:
        """Starts again with random features of another number of clips."""
        self.length = length
        shape = (length, *self.memory.shape[1:])
        self.memory = random_features(*shape).to(self.memory)

    def _around(self, time: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The moments before and after a time, and how far it is on the way between them."""
        last = self.memory.shape[1] - 1
        before = time.floor().long().clamp(0, last)
        return before, (before + 1).clamp(max=last), (time - before).to(self.memory.dtype)

    @torch.no_grad()
    def get(self, index: Tensor, time: Tensor | None = None, interpolate: bool = False) -> Tensor:
        """Remembered features.

        Args:
            index: clips, any shape.
            time: moments, of the same shape; None takes the first.
            interpolate: take the weighted mean of the moments around a time.

        Returns:
            index's shape x dim.

        Raises:
            InputError: an index outside the memory.
        """
        _check_index(index, self.length)
        if self.duration is None:
            return self.memory[index]
        if time is None:
            time = torch.zeros_like(index)
        if not interpolate:
            return self.memory[index, time.long()]
        before, after, way = self._around(time)
        return torch.lerp(self.memory[index, before], self.memory[index, after], way[..., None])

    @torch.no_grad()
    def update(
        self,
        features: Tensor,
        momentum: float,
        index: Tensor,
        time: Tensor | None = None,
        interpolate: bool = False,
    ) -> None:
        """Remembers features of clips, of all processes.

        Args:
            features: B x dim.
            momentum: share of the new feature; the mixture is scaled to length 1.
            index: clips, B.
            time: moments, B; None takes the first.
            interpolate: remember at both moments around a time, each as far as it is near.
        """
        features = features.reshape(len(features), -1)
        time = torch.zeros(len(index), device=index.device) if time is None else time
        features, index, time = (cat_all_gather(x) for x in (features, index, time))
        _check_index(index, self.length)
        if self.duration is None:
            self.memory[index] = _mix(self.memory[index], features, momentum)
        elif not interpolate:
            places = (index, time.long())
            self.memory[places] = _mix(self.memory[places], features, momentum)
        else:
            before, after, way = self._around(time)
            for moment, near in ((before, 1 - way), (after, way)):
                share = momentum * near[:, None]
                self.memory[index, moment] = _mix(self.memory[index, moment], features, share)


def _mix(old: Tensor, new: Tensor, share: float | Tensor) -> Tensor:
    return F.normalize(old * (1 - share) + new * share, dim=1)
