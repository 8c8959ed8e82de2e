"""Windows of a video of any length in one forward pass and constant memory.

Rule for the windows: one starts every `every` seconds from the first frame on, as long as it fits
into the video. The first that does not fit any more, but would start before the video ends, is
moved back so that it ends with the video (if the one before it does not end there already). A video
shorter than a window gives one window over all of it, filled up by the clip's rule for short
videos.

Rule for the frames: those that a video cut to [start, end) of the window would give.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Generic, TypeVar

from vitascope.data.clips import Clip, evenly_spaced
from vitascope.data.frames import Selection, select
from vitascope.errors import ConfigError
from vitascope.spec import ClipSpec

Frame = TypeVar("Frame")
"""What the stream gives for a frame: its pixels, or what was made of them."""


@dataclass(frozen=True)
class TimeWindow(Generic[Frame]):
    """One window with its frames.

    Attributes:
        clip: the part of the video that it shows.
        frames: one for each of the T samples of the clip.
        valid: False where a sample is to be black (rule "pad" of a video shorter than a window).
    """

    clip: Clip
    frames: tuple[Frame, ...]
    valid: tuple[bool, ...]


def plan_windows(duration: Fraction, length: Fraction, every: Fraction) -> Iterator[Clip]:
    """The windows of a video of `duration` seconds, one after the other; see the module's rule.

    The last window of a video shorter than `length` runs beyond its end.

    Raises:
        ConfigError: `length` or `every` is not above 0.
    """
    if length <= 0 or every <= 0:
        raise ConfigError(
            f"windows of {float(length):g} s every {float(every):g} s: both must be above 0"
        )
    start = Fraction(0)
    yield Clip(start, start + length)
    end = start + length
    while start + every + length <= duration:
        start += every
        end = start + length
        yield Clip(start, end)
    if end < duration and start + every < duration:
        yield Clip(duration - length, duration)


class Ring(Generic[Frame]):
    """The frames that are on the screen in the current window, oldest first.

    Attributes:
        most: largest number of frames held at any time.
    """

    def __init__(self, stream: Iterable[tuple[Fraction, Frame]]) -> None:
        self._stream = iter(stream)
        self._held: deque[tuple[Fraction, Frame]] = deque()
        self.most = 0

    def forget(self, start: Fraction) -> None:
        """Drops the frames that are no longer shown at `start`."""
        while len(self._held) > 1 and self._held[1][0] <= start:
            self._held.popleft()

    def fill(self, clip: Clip) -> None:
        """Reads on until the first frame that begins at or after the end of `clip`."""
        self.forget(clip.start)
        while not self._held or self._held[-1][0] < clip.end:
            item = next(self._stream, None)
            if item is None:
                return
            self._held.append(item)
            self.forget(clip.start)
            self.most = max(self.most, len(self._held))

    def select(self, clip: Clip, spec: ClipSpec, within: Clip) -> tuple[Selection, list[Frame]]:
        """The frames of a clip inside `within`, which `fill` has made ready."""
        times = [time for time, _ in self._held]
        chosen = select(times, clip, spec, within=within)
        return chosen, [self._held[index][1] for index in chosen.indices]


def windows(
    stream: Iterable[tuple[Fraction, Frame]],
    duration: Fraction,
    spec: ClipSpec,
    *,
    clip_length: Fraction,
    length: Fraction,
    every: Fraction,
) -> Iterator[TimeWindow[Frame]]:
    """Cuts a video into windows while it is decoded; each frame is taken from `stream` once.

    Memory holds the frames of one window, whatever the length of the video.

    Args:
        stream: (time in seconds, frame) in ascending order from time 0.
        duration: seconds from the first frame to the end of the last.
        spec: number and spacing of the frames of a window.
        clip_length: seconds of a clip of `spec`; in a longer window it lies in the middle.
        length: seconds of a window.
        every: seconds from the start of one window to the start of the next.
    """
    ring = Ring(stream)
    for place in plan_windows(duration, length, every):
        within = Clip(place.start, min(place.end, duration))
        clip = within
        if spec.coverage == "window":
            [clip] = evenly_spaced(within, clip_length, 1)
        ring.fill(within)
        chosen, images = ring.select(clip, spec, within)
        yield TimeWindow(within, tuple(images), chosen.valid)
