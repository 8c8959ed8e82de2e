"""What decoders have in common: use as a context, and times read off a timeline."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from fractions import Fraction
from functools import cached_property
from types import TracebackType
from typing import Self

from vitascope.data.decoder import Frames, Image
from vitascope.data.decoders.timeline import Timeline
from vitascope.errors import ConfigError


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


DEFAULT_FPS = Fraction(25)
"""Frames a second of what has no times of its own."""


def given_rate(fps: Fraction | int | None, what: str = "") -> Fraction:
    """The rate of frames that have no times; None is `DEFAULT_FPS`.

    Raises:
        ConfigError: it is not above 0.
    """
    rate = DEFAULT_FPS if fps is None else Fraction(fps)
    if rate <= 0:
        raise ConfigError(f"fps = {fps}{f' for {what}' if what else ''}; it must be above 0")
    return rate


class AtOneRate(Closing):
    """Frames that have no times of their own, shown at one rate from 0 on.

    Attributes:
        rate: frames a second.
    """

    rate: Fraction

    @abstractmethod
    def __len__(self) -> int:
        """The number of frames."""

    @property
    def start(self) -> Fraction:
        """Always 0."""
        return Fraction(0)

    @cached_property
    def times(self) -> tuple[Fraction, ...]:
        """Number of the frame divided by the rate."""
        return tuple(n / self.rate for n in range(len(self)))

    @property
    def durations(self) -> tuple[Fraction, ...]:
        """The same for every frame."""
        return (1 / self.rate,) * len(self)

    @property
    def duration(self) -> Fraction:
        """Number of frames divided by the rate."""
        return len(self) / self.rate

    @property
    def fps(self) -> Fraction:
        """The rate."""
        return self.rate

    @property
    def pixel_aspect(self) -> Fraction:
        """Always 1."""
        return Fraction(1)

    def frames(self, data: Image, numbers: Sequence[int]) -> Frames:
        """What `Decoder.read` gives: frames T H W C with their times and lengths."""
        times = (number / self.rate for number in numbers)
        return Frames.of(data, times, [1 / self.rate] * len(numbers))

    def between(self, start: Fraction, end: Fraction | None) -> Iterator[tuple[int, Fraction]]:
        """Numbers and times of the frames shown from `start` on, before `end`."""
        for number in range(max(int(start * self.rate), 0), len(self)):
            if end is not None and number / self.rate >= end:
                return
            yield number, number / self.rate

    def cut_off(self) -> str | None:
        """None: nothing tells how many frames there should be."""
        return None

    def close(self) -> None:
        """Nothing is kept open."""


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
