"""PyTorchVideo's EpicKitchenForecasting: what is seen before the actions to be foretold."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Any

import torch

from vitascope.compat.ptv.data.epic_kitchen.epic_kitchen_dataset import (
    ActionData,
    Actions,
    EpicKitchenDataset,
    MiddleOfEachPart,
    Sample,
    none_as_empty,
    read_clip,
)
from vitascope.compat.ptv.data.epic_kitchen_recognition import interval, positive
from vitascope.compat.ptv.data.frame_video import FrameVideo
from vitascope.compat.ptv.data.manifest_rows import VideoClipInfo, VideoDatasetType
from vitascope.compat.ptv.data.video_base import Video
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
        frames_per_clip: frames of a clip, the middles of equal parts; None takes all (the last
            ones are left away where clips have unequally many).
        num_forecast_actions: how many actions are to be foretold.
        transform: see `EpicKitchenDataset`.
        multithreaded_io: see `EpicKitchenDataset`.
        seed: see `EpicKitchenDataset`.

    Raises:
        ConfigError: an illegal value.
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
            raise ConfigError(f"clip_sampling = {clip_sampling!r}; legal: {ClipSampling.Random}")
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
            None if frames_per_clip is None else MiddleOfEachPart(frames_per_clip),
            multithreaded_io, seed=seed,
        )  # fmt: skip

    def _windows(self, videos: dict[str, Video], actions: Actions) -> list[VideoClipInfo]:
        return [
            VideoClipInfo(name, float(window.start), float(window.end))
            for name, of_video in actions.items()
            for window in forecasting_windows(
                of_video, self._length, self._count, self._stride, self._ahead
            )
        ]

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
        end = interval(clip).end
        later = sorted((a for a in actions if a.start > end), key=lambda a: (a.start, a.stop))
        return later[: self._ahead]


def _first_frame(numbers: list[int]) -> list[int]:
    return numbers[:1]  # only the sound is wanted, so no more is decoded
