"""How often each video was drawn, so that a loop without an epoch gets new clips in each pass."""

from __future__ import annotations

import logging
from typing import Any

import torch

from vitascope.data.sampler import Key, check_key
from vitascope.distributed import get_rank

_LOG = logging.getLogger(__name__)


class Passes:
    """Random keys for videos that are drawn by their number alone.

    A plain DataLoader tells a data set no epoch. As each pass draws each video once, a video that
    was drawn n times before is in epoch n. The counts are shared by all worker processes, those
    that live for one pass and those that stay, so their number changes nothing.

    Args:
        count: number of videos.
    """

    def __init__(self, count: int) -> None:
        self._drawn = torch.zeros(count, dtype=torch.int32)
        self._pinned = torch.full((2,), -1, dtype=torch.int64)  # epoch; whether it was said
        self._rank = 0
        self._share()

    def pin(self, epoch: int | None) -> None:
        """Every video is in `epoch` from here on; None counts from 0.

        Raises:
            ConfigError: `epoch` is below 0.
        """
        check_key(0, epoch or 0)
        self._drawn.zero_()
        self._pinned[0], self._pinned[1] = -1 if epoch is None else epoch, -1

    @property
    def pinned(self) -> int | None:
        """The epoch that was set; None where draws are counted."""
        epoch = int(self._pinned[0])
        return None if epoch < 0 else epoch

    def key(self, seed: int, video: int) -> Key:
        """The key of the next draw of a video."""
        drawn = self._drawn.numpy()
        before = int(drawn[video])
        drawn[video] = before + 1
        epoch = self.pinned
        if epoch is None:
            # Processes of one training count for themselves. Which of them draws a video changes
            # from pass to pass, so the process stands in the key, or a clip would come again.
            rank = max(self._rank, get_rank())
            return (seed, before, video, rank) if rank else (seed, before, video)
        if before and int(self._pinned[1]) < 0:
            self._pinned[1] = 1
            _LOG.warning(
                "videos are drawn again in epoch %d and give the same clips: call "
                "set_epoch(n) before each pass, or set_epoch(None) to move on by itself",
                epoch,
            )
        return (seed, epoch, video)

    def _share(self) -> None:
        for counts in (self._drawn, self._pinned):
            counts.share_memory_()  # type: ignore[no-untyped-call]

    def __getstate__(self) -> dict[str, Any]:
        # A worker that is started anew has no process group to ask.
        return self.__dict__ | {"_rank": max(self._rank, get_rank())}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._share()  # a copy shares its counts with its own workers
