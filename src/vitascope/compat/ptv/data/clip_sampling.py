"""PyTorchVideo's clip samplers: called again and again, they walk through one video.

A sampler is given the end of the clip before (None at a video's start) and the video's length, and
answers with the next clip and whether it is the last one. New programs plan with `data.clips`,
whose functions have no state.
"""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Callable
from fractions import Fraction
from typing import Any, NamedTuple

from vitascope.compat.ptv.errors import NotOfferedError, RefusedArgumentError
from vitascope.data.clips import Seconds
from vitascope.errors import ConfigError


class ClipInfo(NamedTuple):
    """One clip: start and end in seconds, its number, the number of its repeat, whether it ends."""

    clip_start_sec: Fraction | float
    clip_end_sec: Fraction | float
    clip_index: int
    aug_index: int
    is_last_clip: bool


class ClipInfoList(NamedTuple):
    """Several clips at once, field by field."""

    clip_start_sec: list[Fraction]
    clip_end_sec: list[Fraction]
    clip_index: list[int]
    aug_index: list[int]
    is_last_clip: list[bool]


class ClipSampler(ABC):
    """What all samplers share.

    Args:
        clip_duration: seconds of a clip.
    """

    def __init__(self, clip_duration: Seconds) -> None:
        self._clip_duration = Fraction(clip_duration)
        if self._clip_duration <= 0:
            raise ConfigError(f"clip_duration = {clip_duration}; it must be above 0")
        self._current_clip_index = 0
        self._current_aug_index = 0

    @abstractmethod
    def __call__(
        self,
        last_clip_end_time: Seconds | None,
        video_duration: Seconds,
        annotation: dict[str, Any] | None = None,
    ) -> ClipInfo | ClipInfoList:
        """The next clip.

        Args:
            last_clip_end_time: end of the clip before in seconds; None begins a video.
            video_duration: seconds of the video.
            annotation: what is known of the video; most samplers do not look at it.
        """

    def reset(self) -> None:
        """Begins anew."""
        self._current_clip_index = 0
        self._current_aug_index = 0


class UniformClipSampler(ClipSampler):
    """Clips at equal distances from the start on.

    Args:
        clip_duration: seconds of a clip.
        stride: seconds from the start of one clip to that of the next; None is `clip_duration`.
        backpad_last: whether the last clip is moved back so that it ends with the video; without,
            a rest that is shorter than a clip is left out.
        eps: seconds by which lengths may be off.
    """

    def __init__(
        self,
        clip_duration: Seconds,
        stride: Seconds | None = None,
        backpad_last: bool = False,
        eps: float = 1e-6,
    ) -> None:
        super().__init__(clip_duration)
        self._stride = self._clip_duration if stride is None else Fraction(stride)
        self._backpad_last, self._eps = backpad_last, eps
        if self._stride <= 0:
            raise RefusedArgumentError(f"stride = {stride}; it must be above 0")

    def __call__(
        self,
        last_clip_end_time: Seconds | None,
        video_duration: Seconds,
        annotation: dict[str, Any] | None = None,
    ) -> ClipInfo:
        """The next clip; see the class."""
        if last_clip_end_time is None:
            self.reset()
        backpad = self._backpad_last
        start, end = self._clip_start_end(last_clip_end_time, video_duration, backpad)
        later_end = self._clip_start_end(end, video_duration, backpad)[1]
        if self._backpad_last:
            last = abs(later_end - end) < self._eps
        else:
            last = later_end - video_duration > self._eps
        number = self._current_clip_index
        self._current_clip_index = 0 if last else number + 1
        return ClipInfo(start, end, number, 0, last)

    def _clip_start_end(
        self, last_clip_end_time: Seconds | None, video_duration: Seconds, backpad_last: bool
    ) -> tuple[Fraction, Fraction]:
        length, start = self._clip_duration, Fraction(0)
        if last_clip_end_time is not None:
            start = max(Fraction(last_clip_end_time) - length + self._stride, Fraction(0))
        if backpad_last:
            # Exact for exact lengths; with a float the rounding is that of PyTorchVideo.
            beyond = max(start + length - video_duration, 0)
            start = Fraction(max(start - beyond, 0))
        return start, start + length


class UniformClipSamplerTruncateFromStart(UniformClipSampler):
    """`UniformClipSampler` on the first `truncation_duration` seconds; None takes all."""

    def __init__(
        self,
        clip_duration: Seconds,
        stride: Seconds | None = None,
        backpad_last: bool = False,
        eps: float = 1e-6,
        truncation_duration: Seconds | None = None,
    ) -> None:
        super().__init__(clip_duration, stride, backpad_last, eps)
        self.truncation_duration = truncation_duration

    def __call__(
        self,
        last_clip_end_time: Seconds | None,
        video_duration: Seconds,
        annotation: dict[str, Any] | None = None,
    ) -> ClipInfo:
        """The next clip; see the class."""
        return super().__call__(
            last_clip_end_time, _truncated(video_duration, self.truncation_duration), annotation
        )


class RandomClipSampler(ClipSampler):
    """One clip anywhere in the video, from Python's global random numbers."""

    def __call__(
        self,
        last_clip_end_time: Seconds | None,
        video_duration: Seconds,
        annotation: dict[str, Any] | None = None,
    ) -> ClipInfo:
        """A clip; see the class."""
        start = self._draw(video_duration)
        return ClipInfo(start, start + self._clip_duration, 0, 0, True)

    def _draw(self, video_duration: Seconds) -> Fraction:
        latest = max(Fraction(video_duration) - self._clip_duration, Fraction(0))
        return Fraction(random.uniform(0, float(latest)))


class RandomMultiClipSampler(RandomClipSampler):
    """Several clips, each anywhere in the video.

    Args:
        clip_duration: seconds of a clip.
        num_clips: how many.
    """

    def __init__(self, clip_duration: Seconds, num_clips: int) -> None:
        super().__init__(clip_duration)
        self._num_clips = _at_least_one("num_clips", num_clips)

    def __call__(  # type: ignore[override]  # a list where the base gives one, as in PyTorchVideo
        self,
        last_clip_end_time: Seconds | None,
        video_duration: Seconds,
        annotation: dict[str, Any] | None = None,
    ) -> ClipInfoList:
        """The clips; see the class."""
        starts = [self._draw(video_duration) for _ in range(self._num_clips)]
        ends = [start + self._clip_duration for start in starts]
        zeros = [0] * self._num_clips
        return ClipInfoList(starts, ends, zeros, list(zeros), [True] * self._num_clips)


class RandomMultiClipSamplerTruncateFromStart(RandomMultiClipSampler):
    """`RandomMultiClipSampler` on the first `truncation_duration` seconds; None takes all."""

    def __init__(
        self,
        clip_duration: Seconds,
        num_clips: int,
        truncation_duration: Seconds | None = None,
    ) -> None:
        super().__init__(clip_duration, num_clips)
        self.truncation_duration = truncation_duration

    def __call__(  # type: ignore[override]
        self,
        last_clip_end_time: Seconds | None,
        video_duration: Seconds,
        annotation: dict[str, Any] | None = None,
    ) -> ClipInfoList:
        """The clips; see the class."""
        return super().__call__(
            last_clip_end_time, _truncated(video_duration, self.truncation_duration), annotation
        )


class ConstantClipsPerVideoSampler(ClipSampler):
    """The same number of clips of every video, evenly spaced, the last one at its end.

    Args:
        clip_duration: seconds of a clip.
        clips_per_video: how many clips; one lies at the start.
        augs_per_clip: how often each of them comes.
    """

    def __init__(
        self, clip_duration: Seconds, clips_per_video: int, augs_per_clip: int = 1
    ) -> None:
        super().__init__(clip_duration)
        self._clips_per_video = _at_least_one("clips_per_video", clips_per_video)
        self._augs_per_clip = _at_least_one("augs_per_clip", augs_per_clip)

    def __call__(
        self,
        last_clip_end_time: Seconds | None,
        video_duration: Seconds,
        annotation: dict[str, Any] | None = None,
    ) -> ClipInfo:
        """The next clip; see the class."""
        if last_clip_end_time is None:
            self.reset()
        room = Fraction(max(video_duration - self._clip_duration, 0))
        number, repeat = self._current_clip_index, self._current_aug_index
        start = room * number / max(self._clips_per_video - 1, 1)
        self._current_aug_index += 1
        if self._current_aug_index == self._augs_per_clip:
            self._current_aug_index = 0
            self._current_clip_index += 1
        last = self._current_clip_index == self._clips_per_video
        if last:
            self.reset()
        return ClipInfo(start, start + self._clip_duration, number, repeat, last)


_SAMPLERS: dict[str, Callable[..., ClipSampler]] = {
    "uniform": UniformClipSampler,
    "random": RandomClipSampler,
    "constant_clips_per_video": ConstantClipsPerVideoSampler,
    "random_multi": RandomMultiClipSampler,
    "uniform_truncate_from_start": UniformClipSamplerTruncateFromStart,
    "random_multi_truncate_from_start": RandomMultiClipSamplerTruncateFromStart,
}


def make_clip_sampler(sampling_type: str, *args: Any) -> ClipSampler:
    """A sampler by name: uniform, random, constant_clips_per_video, random_multi, ...

    Args:
        sampling_type: the name.
        args: arguments of the sampler.

    Raises:
        NotOfferedError: there is no such sampler.
    """
    if sampling_type not in _SAMPLERS:
        raise NotOfferedError("clip sampler", sampling_type, _SAMPLERS)
    return _SAMPLERS[sampling_type](*args)


def _truncated(duration: Seconds, most: Seconds | None) -> Seconds:
    return duration if most is None else min(duration, most)


def _at_least_one(name: str, value: int) -> int:
    if value < 1:
        raise ConfigError(f"{name} = {value}; it must be at least 1")
    return value
