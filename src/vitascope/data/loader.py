"""Batches of one epoch, decoded by worker processes, in an order that does not depend on them."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from vitascope.data.collate import Batch, collate
from vitascope.data.dataset import ClipDataset, Sample
from vitascope.data.limits import raise_limit, system_limit, too_many_files
from vitascope.data.sampler import Item, Order, Plan, order
from vitascope.data.unreadable import UnreadableCounter, UnreadableReport
from vitascope.data.watch import POLL, Watch, explained, share
from vitascope.errors import ConfigError, VitascopeError

_LOG = logging.getLogger(__name__)


def steps_per_epoch(count: int, batch_size: int, world: int = 1, drop_last: bool = True) -> int:
    """Batches that the first rank sees in an epoch of `count` videos.

    With `drop_last` all ranks see this number. Without it, ranks may differ by one.
    """
    if drop_last:
        return count // (batch_size * world)
    return -(-len(range(0, count, world)) // batch_size)


def make_loader(
    dataset: ClipDataset,
    batch_size: int,
    *,
    seed: int = 0,
    epoch: int = 0,
    start_step: int = 0,
    rank: int = 0,
    world: int = 1,
    workers: int = 0,
    shuffle: bool | Plan = False,
    drop_last: bool = False,
) -> ClipLoader:
    """The batches of one epoch, from `start_step` on.

    The same numbers give the same batches for any number of workers and any way of starting them,
    and the batches of a step over all ranks do not depend on the number of ranks.

    Args:
        dataset: the clips.
        batch_size: clips of one batch of one rank.
        seed: seed of the run.
        epoch: number of the epoch from 0.
        start_step: batches of this epoch that were done before.
        rank: this process among all.
        world: number of processes.
        workers: processes that decode; 0 decodes in this one.
        shuffle: mix the videos, anew in every epoch; or a plan of another epoch, such as
            `partial(balanced, labels=labels)`. Ranks take every `world`-th sample of a plan.
        drop_last: leave out what does not fill a batch on every rank. Needed in training on
            several ranks, which would else wait for each other.

    Raises:
        ConfigError: a number out of its range.
    """
    for name, value, least in (
        ("batch_size", batch_size, 1),
        ("start_step", start_step, 0),
        ("workers", workers, 0),
    ):
        if value < least:
            raise ConfigError(f"{name} = {value}; it must be at least {least}")
    if not isinstance(shuffle, bool):
        samples = shuffle(seed, epoch)
        if not 0 <= rank < world:
            raise ConfigError(f"rank = {rank} of world = {world}; ranks count from 0")
        mine, count = samples[rank::world], len(samples)
    else:
        count = len(dataset)
        mine = order(seed, epoch, count, rank, world, shuffle)
    if drop_last:
        mine = mine[: steps_per_epoch(count, batch_size, world) * batch_size]
    return ClipLoader(dataset, mine, batch_size, start_step, workers)


class ClipLoader:
    """Batches of an order of samples; each pass over it starts anew.

    A batch is what `collate` returns, without `faults`: those are added to `dataset.faults`, and
    after a pass `faults` is the report of that pass. Every step gives a batch: where nothing
    could be read its `label` is empty and there is no `video`, so that all ranks count the same
    steps.

    Args:
        dataset: the clips.
        samples: the order.
        batch_size: clips of one batch.
        start_step: batches to pass over.
        workers: processes that decode.
        start_method: how they are started: "fork" or "spawn"; None chooses for the platform.

    Attributes:
        faults: what could not be read in the last pass.
        known: bad videos of the batches that are passed over; they count against the budget, so
            that an epoch that was interrupted ends where it would have ended.
    """

    def __init__(
        self,
        dataset: ClipDataset,
        samples: Order,
        batch_size: int,
        start_step: int = 0,
        workers: int = 0,
        start_method: str | None = None,
    ) -> None:
        self.dataset, self.samples, self.batch_size = dataset, samples, batch_size
        self.start_step, self.workers = start_step, workers
        # Forked workers are there at once and share the records as they are; elsewhere than on
        # Linux system libraries do not survive a fork.
        self.start_method = start_method or ("fork" if sys.platform == "linux" else "spawn")

        self.faults: UnreadableReport = UnreadableCounter(dataset.substitutes).report()
        self.known = UnreadableReport()

    def __len__(self) -> int:
        return max(-(-len(self.samples) // self.batch_size) - self.start_step, 0)

    def __iter__(self) -> Iterator[Batch]:
        """The batches.

        Raises:
            VitascopeError: what a sample raised, or more bad videos than `dataset.budget` allows.
        """
        faults, videos = (
            UnreadableCounter(self.dataset.substitutes),
            len(np.unique(self.samples.videos)),
        )
        mine = np.intersect1d([number for number, _ in self.known.videos], self.samples.videos)
        try:
            for batch in self._batches():
                for video, reason in batch.pop("faults"):
                    self.dataset.faults.add(video, reason)
                    faults.add(video, reason)
                faults.check(self.dataset.budget, videos, mine.tolist())
                yield batch
        finally:
            self.faults = faults.report()
        if self.faults.clips:
            _LOG.info("epoch %d: %s", self.samples.epoch, self.faults)

    def _batches(self) -> Iterator[Batch]:
        watch = Watch(self.workers, self.start_method)
        loader: DataLoader[Any] = DataLoader(
            _Guarded(self.dataset, watch),
            batch_sampler=_Batches(self.samples, self.batch_size, self.start_step),
            num_workers=self.workers,
            collate_fn=_Collate(watch),
            worker_init_fn=watch.begin,
            multiprocessing_context=self.start_method if self.workers else None,
            timeout=POLL if self.workers else 0,
            # Of its own, because a loader draws a number from it, and the global generator
            # belongs to the model's dropout.
            generator=torch.Generator(),
        )
        batches = watch.start(loader)
        batch: Any = None
        number = 0
        try:
            while True:
                try:
                    batch = next(batches)
                except StopIteration:
                    return
                except VitascopeError:
                    raise
                except (RuntimeError, OSError, EOFError) as error:
                    if not str(error).startswith("DataLoader timed out"):
                        raise explained(error) from error
                    late = True
                else:
                    late = False
                if late:  # out here, where no error refers to the loader any more
                    watch.check(number)
                    continue
                number += 1
                if isinstance(batch, Exception):
                    raise batch
                yield batch
        finally:
            # Here and now: an error refers to this frame and the frame to the workers, and in such
            # a circle Python would end the queues before the workers, which then hang for 5 s each.
            del batch, batches


class _Batches:
    """Lists of items, from a step on."""

    def __init__(self, samples: Order, batch_size: int, start: int) -> None:
        self.samples, self.batch_size, self.start = samples, batch_size, start

    def __len__(self) -> int:
        return max(-(-len(self.samples) // self.batch_size) - self.start, 0)

    def __iter__(self) -> Iterator[list[Item]]:
        for begin in range(self.start * self.batch_size, len(self.samples), self.batch_size):
            yield list(self.samples[begin : begin + self.batch_size])


class _Guarded(Dataset[Any]):
    """Hands errors over as values: a DataLoader would wrap them into the text of a traceback."""

    def __init__(self, dataset: ClipDataset, watch: Watch) -> None:
        self.dataset, self.watch = dataset, watch

    def __getitem__(self, item: Item) -> Sample | VitascopeError:
        self.watch.sign()
        try:
            return self.dataset[item]
        except VitascopeError as error:
            said = too_many_files(error)
            return error if said is None else VitascopeError(said)
        except (OSError, RuntimeError, MemoryError) as error:
            raise_limit(error)
            raise


class _Collate:
    """Makes a batch, and puts it where the other process can see it."""

    def __init__(self, watch: Watch) -> None:
        self.watch = watch

    def __call__(self, samples: list[Any]) -> Batch | VitascopeError:
        for sample in samples:
            if isinstance(sample, VitascopeError):
                return sample
        try:
            batch = collate(samples)
            # Here, and not in the thread that sends, whose errors reach nobody.
            share(batch)
        except VitascopeError as error:
            return error
        except (OSError, RuntimeError, MemoryError) as error:
            said = system_limit(error)
            if said is None:
                raise
            return VitascopeError(said)
        self.watch.hand_over()
        return batch
