"""Momentum contrast (arXiv:1911.05722), and BYOL (arXiv:2006.07733) on the same slow network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from vitascope.distributed import cat_all_gather, get_rank, get_world_size
from vitascope.errors import ConfigError, InputError
from vitascope.losses.contrastive import contrast_logits, contrastive_loss, similarity_loss
from vitascope.ssl.contrastive import Clip, Contrast, ContrastiveModel
from vitascope.ssl.memory_bank import random_features
from vitascope.ssl.momentum import follow, follower, momentum_schedule


class MomentumModel(ContrastiveModel):
    """A backbone, a slow copy of it, and a queue of what the copy said.

    Args:
        backbone: see `ContrastiveModel`.
        dim: width of the projections.
        length: clips of the data set; 0 keeps no features.
        temperature: divides similarities.
        queue_len: projections in the queue.
        momentum: momentum of the slow copy.
        shuffle: with several processes, let the slow copy see the clips of all in another order,
            so that its batch norms give nothing away.
    """

    def __init__(
        self,
        backbone: nn.Module,
        dim: int,
        length: int,
        temperature: float,
        *,
        queue_len: int,
        momentum: float,
        shuffle: bool,
    ) -> None:
        super().__init__(backbone, dim, length, temperature)
        self.momentum = self.first_momentum = momentum
        self.shuffle = shuffle
        self.backbone_hist = follower(backbone)
        self.register_buffer("ptr", torch.zeros(1, dtype=torch.long))
        self.register_buffer("queue_x", random_features(queue_len, dim))
        self.register_buffer("iter", torch.zeros(1, dtype=torch.long))
        self.ptr: Tensor
        self.queue_x: Tensor
        self.iter: Tensor

    def anneal(self, progress: float) -> None:
        """Sets the momentum for a share of the training that is over, 0 to 1."""
        self.momentum = momentum_schedule(self.first_momentum, progress)

    @torch.no_grad()
    def keys(self, views: Sequence[Clip]) -> list[Tensor]:
        """Moves the slow copy, and gives its projections of each view: B D, of length 1."""
        follow(self.backbone_hist, self.backbone, 0.0 if int(self.iter) == 0 else self.momentum)
        self.iter += 1
        return [self._key(view) for view in views]

    def _key(self, view: Clip) -> Tensor:
        if not self.shuffle or get_world_size() == 1:
            return self.project(view, self.backbone_hist)
        shuffled, back = _shuffle(view)
        found = cat_all_gather(self.project(shuffled, self.backbone_hist))
        return found[back]

    @torch.no_grad()
    def enqueue(self, keys: Tensor) -> None:
        """Puts projections of all processes into the queue in place of the oldest.

        Raises:
            InputError: the queue's length is no multiple of their number.
        """
        keys = cat_all_gather(keys)
        size, start = len(self.queue_x), int(self.ptr)
        if size % len(keys) or start + len(keys) > size:
            raise InputError(
                f"a queue of {size} cannot be filled with {len(keys)} keys at a time; make its "
                f"length a multiple of the batch of all processes"
            )
        self.queue_x[start : start + len(keys)] = keys
        self.ptr[0] = (start + len(keys)) % size


def _shuffle(view: Any) -> tuple[Any, Tensor]:
    """This process's part of the clips of all in random order, and where its own went."""
    parts = list(view) if isinstance(view, list | tuple) else [view]
    parts = [cat_all_gather(part) for part in parts]
    count = len(parts[0])
    order = torch.randperm(count).to(parts[0].device)
    dist.broadcast(order, src=0)
    mine = order.view(get_world_size(), -1)[get_rank()]
    back = torch.argsort(order).view(get_world_size(), -1)[get_rank()]
    picked = [part[mine] for part in parts]
    return (picked if isinstance(view, list | tuple) else picked[0]), back


class MoCo(MomentumModel):
    """Views pick what the slow copy says of another view among what it said of other clips.

    Args:
        backbone: see `ContrastiveModel`.
        dim: width of the projections.
        length: clips of the data set; 0 keeps no features.
        temperature: divides similarities.
        queue_len: negatives.
        momentum: momentum of the slow copy.
        symmetric: every view is compared with every other one; without it the first with the
            others.
        multi_view_queue: all views go into the queue, not the first one alone.
        shuffle: see `MomentumModel`.
    """

    def __init__(
        self,
        backbone: nn.Module,
        *,
        dim: int = 128,
        length: int = 0,
        temperature: float = 0.1,
        queue_len: int = 65536,
        momentum: float = 0.994,
        symmetric: bool = False,
        multi_view_queue: bool = False,
        shuffle: bool = True,
    ) -> None:
        super().__init__(
            backbone, dim, length, temperature,
            queue_len=queue_len, momentum=momentum, shuffle=shuffle,
        )  # fmt: skip
        self.symmetric = symmetric
        self.multi_view_queue = multi_view_queue

    def compare(self, views: Sequence[Clip], index: Tensor | None) -> tuple[Contrast, Tensor]:
        """Cross entropy of queries against keys and queue; then the keys join the queue."""
        asked = list(views) if self.symmetric else list(views[:1])
        queries = [self.project(view) for view in asked]
        keys: list[Tensor | None] = list(self.keys(views if self.symmetric else views[1:]))
        if not self.symmetric:
            keys.insert(0, None)
        negatives = self.queue_x.clone()
        rows = [
            contrast_logits(query, key, negatives, self.temperature)
            for i, query in enumerate(queries)
            for j, key in enumerate(keys)
            if i != j and key is not None
        ]
        logits = torch.cat(rows)
        found = [key for key in keys if key is not None]
        for key in found if self.multi_view_queue else found[:1]:
            self.enqueue(key)
        return Contrast(contrastive_loss(logits), logits), queries[0]


class MomentumBYOL(MomentumModel):
    """Views predict what the slow copy says of other views, as PySlowFast has it.

    Args:
        backbone: see `ContrastiveModel`; its head needs a predictor.
        dim: width of the projections.
        length: clips of the data set; 0 keeps no features.
        temperature: divides similarities.
        queue_len: projections in the queue, which this model does not use; published weights
            have one.
        momentum: momentum of the slow copy.
    """

    def __init__(
        self,
        backbone: nn.Module,
        *,
        dim: int = 256,
        length: int = 0,
        temperature: float = 0.5,
        queue_len: int = 65536,
        momentum: float = 0.996,
    ) -> None:
        if temperature <= 0:
            raise ConfigError(f"temperature = {temperature}; it must be above 0")
        super().__init__(
            backbone, dim, length, temperature,
            queue_len=queue_len, momentum=momentum, shuffle=False,
        )  # fmt: skip

    def compare(self, views: Sequence[Clip], index: Tensor | None) -> tuple[Contrast, Tensor]:
        """Negative similarity of each view's prediction with the others' keys, summed."""
        pairs = [self.predict(view) for view in views]
        keys = self.keys(views)
        terms = [
            similarity_loss(prediction, key, self.temperature) / (len(views) - 1)
            for i, (_, prediction) in enumerate(pairs)
            for j, key in enumerate(keys)
            if i != j
        ]
        return Contrast(torch.stack(terms).sum()), pairs[0][0]
