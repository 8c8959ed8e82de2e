"""PyTorchVideo's EpicKitchenRecognition: clips with the actions that are seen in them."""

from __future__ import annotations

import random
from collections.abc import Callable
from enum import Enum
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from vitascope.compat.ptv.data.epic_kitchen.epic_kitchen_dataset import (
    ActionData,
    Actions,
    EpicKitchenDataset,
    FirstOfEachPart,
    Sample,
    none_as_empty,
)
from vitascope.compat.ptv.data.manifest_rows import EncodedVideoInfo as EncodedVideoInfo
from vitascope.compat.ptv.data.manifest_rows import VideoClipInfo, VideoDatasetType
from vitascope.compat.ptv.data.manifest_rows import VideoFrameInfo as VideoFrameInfo
from vitascope.compat.ptv.data.manifest_rows import VideoInfo as VideoInfo
from vitascope.compat.ptv.data.manifest_videos import report_left_out
from vitascope.compat.ptv.data.video_base import Video
from vitascope.compat.ptv.errors import NotAMemberError
from vitascope.data.clips import Clip, Seconds, exact_seconds
from vitascope.data.sets.epic_kitchens import actions_during, back_to_back
from vitascope.errors import ConfigError

__all__ = ["ClipSampling", "EpicKitchenRecognition"]


class ClipSampling(Enum):
    """Where the clips of a video lie."""

    RandomOffsetUniform = 1


class EpicKitchenRecognition(EpicKitchenDataset):
    """Clips one after the other from a random start on, with the actions that they show.

    Samples are those of `EpicKitchenDataset`, but `actions` are the ones that share an instant
    with the clip, and what a clip does not have (sound) is an empty tensor.

    The start is drawn for each video anew in every epoch (`set_epoch`), not later than leaves
    room for one clip. Videos shorter than a clip are in `left_out`.

    Args:
        video_info_file_path: see `EpicKitchenDataset`.
        actions_file_path: see `EpicKitchenDataset`.
        video_data_manifest_file_path: see `EpicKitchenDataset`.
        clip_sampling: the only kind there is.
        dataset_type: see `EpicKitchenDataset`.
        seconds_per_clip: seconds of a clip.
        frames_per_clip: frames of a clip, the first ones of equal parts; None takes all.
        transform: see `EpicKitchenDataset`.
        multithreaded_io: see `EpicKitchenDataset`.
        seed: see `EpicKitchenDataset`; None draws from Python's generator, once.

    Raises:
        NotAMemberError: an unknown `clip_sampling`.
        ConfigError: another illegal value.
        DatasetError: see `EpicKitchenDataset`.
    """

    def __init__(
        self,
        video_info_file_path: str | Path,
        actions_file_path: str | Path,
        video_data_manifest_file_path: str | Path,
        clip_sampling: ClipSampling = ClipSampling.RandomOffsetUniform,
        dataset_type: VideoDatasetType = VideoDatasetType.Frame,
        seconds_per_clip: float = 2.0,
        frames_per_clip: int | None = None,
        transform: Callable[[Sample], Any] | None = None,
        multithreaded_io: bool = True,
        *,
        seed: int | None = None,
    ) -> None:
        if clip_sampling is not ClipSampling.RandomOffsetUniform:
            raise _not_a_sampling(clip_sampling)
        self._length = positive("seconds_per_clip", seconds_per_clip)
        self._drawn_for = 0
        super().__init__(
            video_info_file_path, actions_file_path, self._first_clips,
            video_data_manifest_file_path, dataset_type, transform,
            None if frames_per_clip is None else FirstOfEachPart(frames_per_clip),
            multithreaded_io, seed=seed,
        )  # fmt: skip
        short = {
            name: f"it lasts {float(video.duration):g} s, and a clip {float(self._length):g} s"
            for name, video in self._videos.items() if video.duration < self._length
        }  # fmt: skip
        report_left_out(short, len(self._videos))
        self.left_out.update(short)

    def clips(self) -> list[VideoClipInfo]:
        """Where the clips of this epoch lie, in seconds."""
        epoch = int(self._epoch[0])
        if epoch != self._drawn_for:
            self._clips, self._drawn_for = self._draw(epoch), epoch
        return self._clips

    def _first_clips(self, videos: dict[str, Video], actions: Actions) -> list[VideoClipInfo]:
        if self._seed is None:
            self._first = {name: random.random() for name in videos}
            # What later epochs draw follows from a number, so that all workers draw the same.
            self._later = random.getrandbits(31)
        return self._draw(0)

    def _draw(self, epoch: int) -> list[VideoClipInfo]:
        if self._seed is None and epoch == 0:
            return self._from(self._first)
        seed = self._later if self._seed is None else self._seed
        return self._from({
            name: float(np.random.default_rng((seed, epoch, number)).random())
            for number, name in enumerate(self._videos)
        })  # fmt: skip

    def _from(self, draws: dict[str, float]) -> list[VideoClipInfo]:
        return _clips_from(draws, self._videos, self._length)

    @staticmethod
    def _transform_generator(
        transform: Callable[[Sample], Any] | None,
    ) -> Callable[[Sample], Any]:
        """What keeps the actions of a clip, makes None an empty tensor, and calls `transform`."""

        def transformed(clip: Sample) -> Any:
            shown = Clip(exact_seconds(clip["start_time"]), exact_seconds(clip["stop_time"]))
            clip["actions"] = list(actions_during(clip["actions"], shown))
            clip.update(none_as_empty(clip))
            return clip if transform is None else transform(clip)

        return transformed

    @staticmethod
    def _frame_filter_generator(frames_per_clip: int) -> Callable[[list[int]], list[int]]:
        return FirstOfEachPart(frames_per_clip)

    @staticmethod
    def _define_clip_structure_generator(
        seconds_per_clip: float, clip_sampling: ClipSampling
    ) -> Callable[[dict[str, Video], Actions], list[VideoClipInfo]]:
        """What cuts videos into clips from a random start on, by Python's generator."""
        if clip_sampling is not ClipSampling.RandomOffsetUniform:
            raise _not_a_sampling(clip_sampling)
        length = positive("seconds_per_clip", seconds_per_clip)

        def clips(videos: dict[str, Video], actions: Actions) -> list[VideoClipInfo]:
            return _clips_from({name: random.random() for name in videos}, videos, length)

        return clips

    def _load(self, video: Video, clip: VideoClipInfo) -> Sample:
        return none_as_empty(super()._load(video, clip))

    def _of_clip(self, actions: list[ActionData], clip: VideoClipInfo) -> list[ActionData]:
        return list(actions_during(actions, interval(clip)))


def _clips_from(
    draws: dict[str, float], videos: dict[str, Video], length: Fraction
) -> list[VideoClipInfo]:
    """Clips of all videos from a share of the length of a clip on."""
    found = []
    for name, draw in draws.items():
        duration = exact_seconds(videos[name].duration)
        latest = min(length, max(duration - length, Fraction(0)))
        for clip in back_to_back(duration, length, Fraction(draw) * latest):
            found.append(VideoClipInfo(name, float(clip.start), float(clip.end)))
    return found


def _not_a_sampling(value: object) -> NotAMemberError:
    return NotAMemberError(f"clip_sampling = {value!r}; legal: {ClipSampling.RandomOffsetUniform}")


def positive(name: str, value: Seconds) -> Fraction:
    """Seconds above 0, exactly.

    Raises:
        ConfigError: 0 or less.
    """
    found = exact_seconds(value)
    if found <= 0:
        raise ConfigError(f"{name} = {value}; it must be above 0")
    return found


def interval(clip: VideoClipInfo) -> Clip:
    """The interval of a row, exactly."""
    return Clip(exact_seconds(clip.start_time), exact_seconds(clip.stop_time))
