"""What decoders have in common: use as a context, and times read off a timeline."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from fractions import Fraction
from types import TracebackType
from typing import Self

from vitascope.data.decoders.timeline import Timeline


def frame_numbers(path: str, indices: Sequence[int], count: int) -> list[int]:
    """The frames asked for, as plain numbers.

    Raises:
        IndexError: a number outside a video of `count` frames.
    """
    wanted = [int(i) for i in indices]
    for index in wanted:
        if not 0 <= index < count:
            raise IndexError(f"{path}: frame {index} of a video of {count} frames")
    return wanted


class Closing(ABC):
    """Something that is closed at the end of a `with` block."""

    @abstractmethod
    def close(self) -> None:
        """Frees the file. Further calls have no effect."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class OnTimeline(Closing):
    """A decoder whose times are those of its timeline."""

    @property
    @abstractmethod
    def timeline(self) -> Timeline:
        """Times and key frames in ticks of the file."""

    @property
    def start(self) -> Fraction:
        """Seconds in the file at which the first frame is shown."""
        return self.timeline.start

    @property
    def times(self) -> Sequence[Fraction]:
        """Exact time of every frame in seconds, ascending, the first one 0."""
        return self.timeline.times

    @property
    def durations(self) -> Sequence[Fraction]:
        """Seconds that each frame is shown."""
        return self.timeline.durations

    @property
    def duration(self) -> Fraction:
        """Seconds from the first frame to the end of the last."""
        return self.timeline.duration

    @property
    def fps(self) -> Fraction:
        """Frames a second on average."""
        return len(self.timeline) / self.timeline.duration
