"""The order of an epoch and the random key of each sample: a pure function, no state.

Which video comes when, and every random choice made for it, follow from (seed, epoch, video)
alone. So an epoch is the same for any number of workers and ranks, and resuming in the middle is
arithmetic: skip what was done.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import overload

import numpy as np
import numpy.typing as npt

from vitascope.errors import ConfigError

Key = tuple[int, ...]
Item = tuple[int, Key]

# Ends the key of the shuffle. Without it (seed, epoch) would be the key of video 0, because
# numpy takes a missing word for a zero.
_SHUFFLE = 0x0DE4
_BALANCE = 0xBA1A
_SHARDS = 0x5A4D


class Order(Sequence[Item]):
    """A sequence of (video, key) that takes a few bytes a sample.

    Args:
        videos: int64 array, the videos in order.
        seed: seed of the run.
        epoch: number of the epoch from 0.
        repeats: int64 array, how often each of them came before in this epoch; None if every
            video comes once. Keys are then (seed, epoch, video, repeat), and the key of a first
            time draws the same numbers as (seed, epoch, video).
    """

    def __init__(
        self,
        videos: npt.NDArray[np.int64],
        seed: int,
        epoch: int,
        repeats: npt.NDArray[np.int64] | None = None,
    ) -> None:
        self.videos, self.seed, self.epoch, self.repeats = videos, seed, epoch, repeats

    def __len__(self) -> int:
        return len(self.videos)

    @overload
    def __getitem__(self, index: int) -> Item: ...

    @overload
    def __getitem__(self, index: slice) -> Order: ...

    def __getitem__(self, index: int | slice) -> Item | Order:
        if isinstance(index, slice):
            repeats = None if self.repeats is None else self.repeats[index]
            return Order(self.videos[index], self.seed, self.epoch, repeats)
        if not -len(self) <= index < len(self):
            raise IndexError(f"sample {index} of {len(self)}")
        return next(iter(self[index : index + 1 or None]))

    def __iter__(self) -> Iterator[Item]:
        start = (self.seed, self.epoch)
        if self.repeats is None:
            return ((video, (*start, video)) for video in self.videos.tolist())
        pairs = zip(self.videos.tolist(), self.repeats.tolist(), strict=True)
        return ((video, (*start, video, repeat)) for video, repeat in pairs)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Order({len(self)} samples, seed={self.seed}, epoch={self.epoch})"


Plan = Callable[[int, int], Order]
"""The samples of all ranks in an epoch, from (seed, epoch): `partial(balanced, labels=...)`."""


def order(
    seed: int, epoch: int, count: int, rank: int = 0, world: int = 1, shuffle: bool = True
) -> Order:
    """Videos of one epoch for one rank, each with its random key (seed, epoch, video).

    Rank r takes every `world`-th sample of the one order of all ranks, beginning with the r-th.
    So each video comes exactly once in an epoch, and the videos of a step over all ranks are the
    same for any number of ranks with the same total batch. Ranks differ by at most one sample.

    Args:
        seed: seed of the run, at least 0.
        epoch: number of the epoch from 0.
        count: number of videos.
        rank: this process among all, from 0.
        world: number of processes.
        shuffle: False keeps the order 0, 1, 2, ...

    Raises:
        ConfigError: a number below its range.
    """
    check_key(seed, epoch)
    _check_rank(rank, world)
    if count < 0:
        raise ConfigError(f"count = {count}; it must be at least 0")
    if shuffle:
        rng = np.random.default_rng((seed, epoch, 0, 0, _SHUFFLE))
        videos = rng.permutation(count)
    else:
        videos = np.arange(count)
    return Order(videos[rank::world].astype(np.int64), seed, epoch)


def balanced(
    seed: int,
    epoch: int,
    labels: Sequence[int],
    count: int | None = None,
    rank: int = 0,
    world: int = 1,
) -> Order:
    """An epoch in which every class comes equally often, give or take one.

    Videos of a small class come several times, each time with another key, and no video comes
    again before all of its class have come as often. Of a large class each epoch shows others.

    Args:
        seed: seed of the run, at least 0.
        epoch: number of the epoch from 0.
        labels: class of each video.
        count: samples of the epoch over all ranks; None is the number of videos.
        rank: this process among all, from 0.
        world: number of processes.

    Raises:
        ConfigError: a number below its range, or no video.
    """
    check_key(seed, epoch)
    _check_rank(rank, world)
    classes, members = np.unique(np.asarray(labels), return_inverse=True)
    if not len(classes):
        raise ConfigError("balanced sampling needs at least one video")
    rng = np.random.default_rng((seed, epoch, 0, 0, _BALANCE))
    total = len(members) if count is None else count
    quota = np.full(len(classes), total // len(classes))
    quota[rng.permutation(len(classes))[: total % len(classes)]] += 1
    videos, repeats = [], []
    for number, need in enumerate(quota.tolist()):
        own = np.flatnonzero(members == number)
        passes = -(-need // len(own))
        rounds = [rng.permutation(own) for _ in range(passes)]
        videos.append(np.concatenate([own[:0], *rounds])[:need])
        repeats.append(np.repeat(np.arange(passes), len(own))[:need])
    mix = rng.permutation(total)[rank::world]
    return Order(
        np.concatenate(videos)[mix].astype(np.int64), seed, epoch,
        np.concatenate(repeats)[mix].astype(np.int64),
    )  # fmt: skip


def by_shard(
    seed: int,
    epoch: int,
    sizes: Sequence[int],
    buffer: int = 1000,
    rank: int = 0,
    world: int = 1,
) -> Order:
    """An epoch that reads shard after shard, mixed as a shuffling buffer mixes them.

    The shards come in random order, and a sample moves fewer than `buffer` places from where it
    stands in them, so that storage is read nearly in sequence. Each sample comes exactly once,
    and ranks differ by at most one sample however unequal the shards are, because every rank
    takes every `world`-th sample and not whole shards.

    Args:
        seed: seed of the run, at least 0.
        epoch: number of the epoch from 0.
        sizes: number of samples of each shard; they are numbered shard after shard.
        buffer: places; 1 mixes the shards only.
        rank: this process among all, from 0.
        world: number of processes.

    Raises:
        ConfigError: a number below its range.
    """
    check_key(seed, epoch)
    _check_rank(rank, world)
    if buffer < 1 or min(sizes, default=0) < 0:
        raise ConfigError(f"buffer = {buffer}; it must be at least 1, and no size negative")
    rng = np.random.default_rng((seed, epoch, 0, 0, _SHARDS))
    ends = np.cumsum(np.asarray(sizes, np.int64))
    shards = rng.permutation(len(sizes)).tolist()
    parts = [np.arange(ends[s] - sizes[s], ends[s]) for s in shards]
    videos = np.concatenate([np.empty(0, np.int64), *parts])
    # Who is more than `buffer` places ahead keeps coming first, whatever is drawn.
    places = np.arange(len(videos)) + buffer * rng.random(len(videos))
    return Order(videos[np.argsort(places, kind="stable")][rank::world], seed, epoch)


def multi_clip(key: Key, clips: int) -> tuple[Key, ...]:
    """Keys of several clips of one sample; the first draws the same numbers as the sample alone.

    Raises:
        ConfigError: `clips` is below 1.
    """
    if clips < 1:
        raise ConfigError(f"clips = {clips}; it must be at least 1")
    # The clip's number stands behind the repeat, which comes fourth.
    whole = key + (0,) * (4 - len(key))
    return (key, *((*whole, clip) for clip in range(1, clips)))


def repeated(samples: Order, times: int) -> Order:
    """Each sample `times` times in a row with different keys: several augmentations of a video.

    A batch then holds fewer videos, seen in more ways (arXiv:1901.09335).

    Raises:
        ConfigError: `times` is below 1, or the order has repeats already.
    """
    if times < 1:
        raise ConfigError(f"times = {times}; it must be at least 1")
    if samples.repeats is not None:
        raise ConfigError("the order repeats videos already")
    repeats = np.tile(np.arange(times, dtype=np.int64), len(samples))
    return Order(np.repeat(samples.videos, times), samples.seed, samples.epoch, repeats)


def _check_rank(rank: int, world: int) -> None:
    if not 0 <= rank < world:
        raise ConfigError(f"rank = {rank} of world = {world}; ranks count from 0")


def check_key(seed: int, epoch: int) -> None:
    """Refuses numbers that cannot begin a random key."""
    for name, value in (("seed", seed), ("epoch", epoch)):
        if value < 0:
            raise ConfigError(f"{name} = {value}; it must be at least 0")
