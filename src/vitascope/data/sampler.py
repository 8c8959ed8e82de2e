"""The order of an epoch and the random key of each sample: a pure function, no state.

Which video comes when, and every random choice made for it, follow from (seed, epoch, video)
alone. So an epoch is the same for any number of workers and ranks, and resuming in the middle is
arithmetic: skip what was done.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import overload

import numpy as np
import numpy.typing as npt

from vitascope.errors import ConfigError

Key = tuple[int, ...]
Item = tuple[int, Key]

# Ends the key of the shuffle. Without it (seed, epoch) would be the key of video 0, because
# numpy takes a missing word for a zero.
_SHUFFLE = 0x0DE4


class Order(Sequence[Item]):
    """A sequence of (video, key) that takes 8 bytes a sample.

    Args:
        videos: int64 array, the videos in order.
        seed: seed of the run.
        epoch: number of the epoch from 0.
    """

    def __init__(self, videos: npt.NDArray[np.int64], seed: int, epoch: int) -> None:
        self.videos, self.seed, self.epoch = videos, seed, epoch

    def __len__(self) -> int:
        return len(self.videos)

    @overload
    def __getitem__(self, index: int) -> Item: ...

    @overload
    def __getitem__(self, index: slice) -> Order: ...

    def __getitem__(self, index: int | slice) -> Item | Order:
        if isinstance(index, slice):
            return Order(self.videos[index], self.seed, self.epoch)
        return self._item(int(self.videos[index]))

    def __iter__(self) -> Iterator[Item]:
        return map(self._item, self.videos.tolist())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Order({len(self)} samples, seed={self.seed}, epoch={self.epoch})"

    def _item(self, video: int) -> Item:
        return video, (self.seed, self.epoch, video)


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
    if not 0 <= rank < world:
        raise ConfigError(f"rank = {rank} of world = {world}; ranks count from 0")
    if count < 0:
        raise ConfigError(f"count = {count}; it must be at least 0")
    if shuffle:
        rng = np.random.default_rng((seed, epoch, 0, 0, _SHUFFLE))
        videos = rng.permutation(count)
    else:
        videos = np.arange(count)
    return Order(videos[rank::world].astype(np.int64), seed, epoch)


def check_key(seed: int, epoch: int) -> None:
    """Refuses numbers that cannot begin a random key."""
    for name, value in (("seed", seed), ("epoch", epoch)):
        if value < 0:
            raise ConfigError(f"{name} = {value}; it must be at least 0")
