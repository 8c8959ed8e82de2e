"""Data sets of PyTorchVideo whose videos are kept as frames: what Charades and SSv2 share."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

from vitascope.compat.ptv.data.frame_lists import FrameVideoRecord
from vitascope.compat.ptv.data.frame_video import FrameVideo
from vitascope.compat.ptv.data.labeled_video_dataset import ClipsOfVideos, OnBad, Sample, Transform
from vitascope.compat.ptv.data.video_base import Video
from vitascope.data.clips import Seconds
from vitascope.errors import ConfigError
from vitascope.transforms.functional import uniform_indices

Pick = Callable[[list[int]], list[int]]


class LabeledFrameVideos(ClipsOfVideos):
    """Clips of videos kept as frames, 30 a second; see `labeled_video_dataset`.

    Args:
        videos: the videos.
        clip_sampler: where the clips of a video lie.
        video_sampler: class of the sampler of videos.
        transform: called with each sample.
        describe: (number of the video, frame numbers of the clip) -> what the sample says of it.
        pick: chooses among the frame numbers of a clip; None takes all.
        seed: see `LabeledVideoDataset`.
        on_bad: see `LabeledVideoDataset`.
    """

    def __init__(
        self,
        videos: Sequence[FrameVideoRecord],
        clip_sampler: Any,
        video_sampler: Any,
        transform: Transform | None,
        describe: Callable[[int, Any], dict[str, Any]],
        pick: Pick | None,
        seed: int | None,
        on_bad: OnBad,
    ) -> None:
        # By the names that programs reach: PySlowFast asks for the length of the first.
        self._path_to_videos = [list(video.frames) for video in videos]
        super().__init__(self._path_to_videos, clip_sampler, video_sampler, transform, seed, on_bad)
        self._videos, self._describe, self._frame_filter = videos, describe, pick

    def _open(self, index: int) -> tuple[Video, dict[str, Any], str]:
        record = self._videos[index]
        frames = _Picked(FrameVideo.from_frame_paths(record.frames), self._frame_filter)
        return frames, {}, f"{record.name} ({record.where})"

    def _sample(
        self, index: int, video: Video, info: dict[str, Any], loaded: dict[str, Any]
    ) -> Sample:
        return {
            "video": loaded["video"],
            **self._describe(index, loaded["frame_indices"]),
            "video_name": str(index),
            "video_index": index,
            "clip_index": loaded["where"].clip_index,
            "aug_index": loaded["where"].aug_index,
        }


class _Picked(Video):
    """Images of which a clip shows only some."""

    def __init__(self, file: FrameVideo, pick: Pick | None) -> None:
        self._video, self._pick = file, pick

    @property
    def duration(self) -> Any:
        return self._video.duration

    def get_clip(self, start_sec: Seconds, end_sec: Seconds) -> dict[str, Any] | None:
        return self._video.get_clip(start_sec, end_sec, self._pick)

    def close(self) -> None:
        self._video.close()


class EvenlySpread:
    """Frames from the first to the last of a clip at even distances, rounded down.

    Args:
        count: frames of each clip.

    Raises:
        ConfigError: a count below 1.
    """

    def __init__(self, count: int) -> None:
        if count < 1:
            raise ConfigError(f"frames_per_clip = {count}; it must be at least 1")
        self.count = count

    def __call__(self, numbers: list[int]) -> list[int]:
        """Some of the numbers, ascending; they repeat if there are fewer than wanted."""
        return [numbers[i] for i in uniform_indices(len(numbers), self.count)]


class OneOfEachPart:
    """One frame of each of `count` equal parts of a clip: the middle one, or a random one.

    Args:
        count: frames of each clip.
        drawn: whether the frame is drawn from Python's generator, which the data set seeds.

    Raises:
        ConfigError: a count below 1.
    """

    def __init__(self, count: int, drawn: bool) -> None:
        if count < 1:
            raise ConfigError(f"frames_per_clip = {count}; it must be at least 1")
        self.count, self.drawn = count, drawn

    def __call__(self, numbers: list[int]) -> list[int]:
        """Some of the numbers, ascending; they repeat if there are fewer than wanted."""
        size, chosen = (len(numbers) - 1) / self.count, []
        for i in range(self.count):
            first, last = round(size * i), min(round(size * (i + 1)), len(numbers) - 1)
            place = random.randint(first, last) if self.drawn else (first + last) // 2
            chosen.append(numbers[place])
        return chosen
