"""PyTorchVideo's EpicKitchenForecasting: what is seen before the actions to be foretold."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from fractions import Fraction
from pathlib import Path
from typing import Any

import torch

from vitascope.compat.ptv.data.epic_kitchen.epic_kitchen_dataset import (
    ActionData,
    Actions,
    EpicKitchenDataset,
    FirstOfEachPart,
    Sample,
    none_as_empty,
    read_clip,
)
from vitascope.compat.ptv.data.epic_kitchen_recognition import interval, positive
from vitascope.compat.ptv.data.frame_video import FrameVideo
from vitascope.compat.ptv.data.manifest_rows import EncodedVideoInfo as EncodedVideoInfo
from vitascope.compat.ptv.data.manifest_rows import VideoClipInfo, VideoDatasetType
from vitascope.compat.ptv.data.manifest_rows import VideoFrameInfo as VideoFrameInfo
from vitascope.compat.ptv.data.manifest_rows import VideoInfo as VideoInfo
from vitascope.compat.ptv.data.video_base import Video
from vitascope.compat.ptv.errors import NotAMemberError, RefusedDataError
from vitascope.data.clips import exact_seconds
from vitascope.data.sets.epic_kitchens import forecasting_windows
from vitascope.errors import ConfigError

__all__ = ["ClipSampling", "EpicKitchenForecasting"]


class ClipSampling(Enum):
    """Which actions are to be foretold."""

    Random = 1


class EpicKitchenForecasting(EpicKitchenDataset):
    """Clips that end with an action, and the actions that begin after it.

    Samples are those of `EpicKitchenDataset`, but `video` is N C T H W for N = `num_input_clips`
    clips, `frame_indices` are lists for each of them, `actions` are the `num_forecast_actions`
    next ones in the order of their starts, and what a clip does not have (sound) is an empty
    tensor. `start_time`, `stop_time` and `audio` are those of the window from the start of the
    first clip to the end of the last. Windows: see `forecasting_windows`.

    Args:
        video_info_file_path: see `EpicKitchenDataset`.
        actions_file_path: see `EpicKitchenDataset`.
        video_data_manifest_file_path: see `EpicKitchenDataset`.
        clip_sampling: the only kind there is: all windows, for a sampler to draw from.
        dataset_type: see `EpicKitchenDataset`.
        seconds_per_clip: seconds of a clip.
        clip_time_stride: seconds from the start of one clip to that of the next.
        num_input_clips: clips of a sample.
        frames_per_clip: frames of a clip, the first ones of equal parts; None takes all (the last
            ones are left away where clips have unequally many).
        num_forecast_actions: how many actions are to be foretold.
        transform: see `EpicKitchenDataset`.
        multithreaded_io: see `EpicKitchenDataset`.
        seed: see `EpicKitchenDataset`.

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
        clip_sampling: ClipSampling = ClipSampling.Random,
        dataset_type: VideoDatasetType = VideoDatasetType.Frame,
        seconds_per_clip: float = 2.0,
        clip_time_stride: float = 10.0,
        num_input_clips: int = 1,
        frames_per_clip: int | None = None,
        num_forecast_actions: int = 1,
        transform: Callable[[Sample], Any] | None = None,
        multithreaded_io: bool = True,
        *,
        seed: int | None = None,
    ) -> None:
        if clip_sampling is not ClipSampling.Random:
            raise _not_a_sampling(clip_sampling)
        self._length = positive("seconds_per_clip", seconds_per_clip)
        self._stride = positive("clip_time_stride", clip_time_stride)
        self._count, self._ahead = num_input_clips, num_forecast_actions
        for name, value in (("num_input_clips", self._count),
                            ("num_forecast_actions", self._ahead)):  # fmt: skip
            if value < 1:
                raise ConfigError(f"{name} = {value}; it must be at least 1")
        super().__init__(
            video_info_file_path, actions_file_path, self._windows, video_data_manifest_file_path,
            dataset_type, transform,
            None if frames_per_clip is None else FirstOfEachPart(frames_per_clip),
            multithreaded_io, seed=seed,
        )  # fmt: skip

    def _windows(self, videos: dict[str, Video], actions: Actions) -> list[VideoClipInfo]:
        return _windows_of(actions, self._length, self._count, self._stride, self._ahead)

    @staticmethod
    def _transform_generator(
        transform: Callable[[Sample], Any] | None,
        num_forecast_actions: int,
        frames_per_clip: int,
        num_input_clips: int,
    ) -> Callable[[Sample], Any]:
        """What keeps the next actions, makes N C T H W of the frames, and calls `transform`."""

        def transformed(clip: Sample) -> Any:
            end = exact_seconds(clip["stop_time"])
            clip["actions"] = _next_actions(clip["actions"], end, num_forecast_actions)
            frames = clip["video"]
            if frames.shape[1] != num_input_clips * frames_per_clip:
                raise RefusedDataError(
                    f"{frames.shape[1]} frames; expected {num_input_clips} x {frames_per_clip}"
                )
            clip["video"] = torch.stack(frames.split(frames_per_clip, dim=1))
            clip.update(none_as_empty(clip))
            return clip if transform is None else transform(clip)

        return transformed

    @staticmethod
    def _frame_filter_generator(
        frames_per_clip: int,
        seconds_per_clip: float,
        clip_time_stride: float,
        num_input_clips: int,
    ) -> Callable[[list[int]], list[int]]:
        """What picks the frames of all clips from those of the whole window."""
        length = positive("seconds_per_clip", seconds_per_clip)
        stride = positive("clip_time_stride", clip_time_stride)
        pick, window = FirstOfEachPart(frames_per_clip), length + (num_input_clips - 1) * stride

        def picked(numbers: list[int]) -> list[int]:
            rate, found = len(numbers) / window, []
            for clip in range(num_input_clips):
                first = int(clip * stride * rate)
                found += pick(numbers[first : max(int((clip * stride + length) * rate), first + 1)])
            return found

        return picked

    @staticmethod
    def _define_clip_structure_generator(
        clip_sampling: ClipSampling,
        seconds_per_clip: float,
        clip_time_stride: float,
        num_input_clips: int,
        num_forecast_actions: int,
    ) -> Callable[[dict[str, Video], Actions], list[VideoClipInfo]]:
        """What gives all windows that end with an action; see `forecasting_windows`."""
        if clip_sampling is not ClipSampling.Random:
            raise _not_a_sampling(clip_sampling)
        length = positive("seconds_per_clip", seconds_per_clip)
        stride = positive("clip_time_stride", clip_time_stride)

        def windows(videos: dict[str, Video], actions: Actions) -> list[VideoClipInfo]:
            return _windows_of(actions, length, num_input_clips, stride, num_forecast_actions)

        return windows

    def _load(self, video: Video, clip: VideoClipInfo) -> Sample:
        begin = interval(clip).start
        parts = []
        for number in range(self._count):
            start = begin + number * self._stride
            part = VideoClipInfo(clip.video_id, float(start), float(start + self._length))
            parts.append(read_clip(video, part, self._frame_filter))
        least = min(part["video"].shape[1] for part in parts)
        found: Sample = {"video": torch.stack([part["video"][:, :least] for part in parts])}
        if "frame_indices" in parts[0]:
            found["frame_indices"] = [part["frame_indices"][:least] for part in parts]
        found["audio"] = parts[0]["audio"]
        if self._count > 1 and not isinstance(video, FrameVideo):
            found["audio"] = read_clip(video, clip, _first_frame)["audio"]
        return none_as_empty(found)

    def _of_clip(self, actions: list[ActionData], clip: VideoClipInfo) -> list[ActionData]:
        return _next_actions(actions, interval(clip).end, self._ahead)


def _next_actions(actions: list[ActionData], after: Fraction, count: int) -> list[ActionData]:
    later = sorted((a for a in actions if a.start > after), key=lambda a: (a.start, a.stop))
    return later[:count]


def _windows_of(
    actions: Actions, length: Fraction, clips: int, stride: Fraction, ahead: int
) -> list[VideoClipInfo]:
    return [
        VideoClipInfo(name, float(window.start), float(window.end))
        for name, of_video in actions.items()
        for window in forecasting_windows(of_video, length, clips, stride, ahead)
    ]


def _not_a_sampling(value: object) -> NotAMemberError:
    return NotAMemberError(f"clip_sampling = {value!r}; legal: {ClipSampling.Random}")


def _first_frame(numbers: list[int]) -> list[int]:
    return numbers[:1]  # only the sound is wanted, so no more is decoded
