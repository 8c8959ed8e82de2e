"""PyTorchVideo's data sets of DoMSEV: single frames, or clips, with the label of each frame."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from fractions import Fraction
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from vitascope.compat.ptv.data.epic_kitchen.epic_kitchen_dataset import (
    known_clip,
    none_as_empty,
    read_clip,
)
from vitascope.compat.ptv.data.manifest_rows import (
    ImageFrameInfo,
    VideoClipInfo,
    VideoDatasetType,
)
from vitascope.compat.ptv.data.manifest_videos import (
    FrameFilter,
    read_listed_videos,
    report_left_out,
)
from vitascope.compat.ptv.data.manifest_videos import ImageDataset as ImageDataset
from vitascope.compat.ptv.data.manifest_videos import VideoDataset as VideoDataset
from vitascope.compat.ptv.data.utils import DataclassFieldCaster
from vitascope.compat.ptv.data.utils import (
    load_dataclass_dict_from_csv as load_dataclass_dict_from_csv,
)
from vitascope.compat.ptv.data.video_base import Video
from vitascope.data.clips import exact_seconds
from vitascope.data.decoders.images import read_pictures
from vitascope.data.sets.domsev import (
    LabeledFrame,
    SceneSpan,
    frame_at,
    read_domsev,
    read_frame_videos,
    read_scene_spans,
)
from vitascope.errors import ConfigError, DatasetError

__all__ = [
    "LABEL_TYPE_2_MAP", "USER_ACTIVITY_MAP", "USER_ATTENTION_MAP", "USER_ENVIRONMENT_MAP",
    "DomsevFrameDataset", "DomsevVideoDataset", "LabelData", "LabelType",
]  # fmt: skip

NO_LABEL = -1
Sample = dict[str, Any]

USER_ENVIRONMENT_MAP = dict(enumerate((
    "none", "indoor", "nature", "crowded_environment", "urban",
)))  # fmt: skip
USER_ACTIVITY_MAP = dict(enumerate((
    "none", "walking", "running", "standing", "biking", "driving", "playing", "cooking", "eating",
    "observing", "in_conversation", "browsing", "shopping",
)))  # fmt: skip
USER_ATTENTION_MAP = dict(enumerate(("none", "paying_attention", "interacting")))


class LabelType(Enum):
    """What the labels of a table are about."""

    Environment = 1
    Activity = 2
    UserAttention = 3


LABEL_TYPE_2_MAP = {
    LabelType.Environment: USER_ENVIRONMENT_MAP,
    LabelType.Activity: USER_ACTIVITY_MAP,
    LabelType.UserAttention: USER_ATTENTION_MAP,
}


@dataclass
class LabelData(DataclassFieldCaster):
    """Frames `start_frame` to `stop_frame`, both included, with one label; times in seconds."""

    video_id: str
    start_time: float
    stop_time: float
    start_frame: int
    stop_frame: int
    label_id: int
    label_name: str


def _seconds_to_frame_index(
    time_in_seconds: float, fps: float, zero_indexed: bool | None = True
) -> int:
    """Number of the frame on the screen at a time, from 0 or from 1."""
    number = frame_at(exact_seconds(time_in_seconds), exact_seconds(fps))
    return number if zero_indexed else number + 1


def _get_overlap_for_time_range_pair(
    t1_start: float, t1_stop: float, t2_start: float, t2_stop: float
) -> tuple[float, float] | None:
    """The time that two intervals share, also a single instant; None if there is none."""
    start, stop = max(t1_start, t2_start), min(t1_stop, t2_stop)
    return (start, stop) if start <= stop else None


Labels = dict[str, list[LabelData]]
ClipsOf = Callable[[dict[str, Video], Labels], Sequence[VideoClipInfo]]


class DomsevFrameDataset(Dataset[Any]):
    """Frames by number, in an order that is drawn when the data set is made.

    A sample is a dictionary: `frame_id`, the name of the image without its suffix; `image`
    uint8 C H W, RGB; `label`, int64 without dimension.

    Args:
        video_data_manifest_file_path: table of the images; see `read_frame_files`.
        video_info_file_path: table of facts; see `read_video_infos`.
        labels_file_path: table of the labels; see `read_scene_spans`.
        transform: called with each sample; its result is the sample.
        multithreaded_io: without effect; a sample is one image.
        seed: the order follows from it; None draws from Python's generator.

    Attributes:
        left_out: id -> why a video, or how many frames of it, are not used.

    Raises:
        DatasetError: tables that cannot be read, or no frame with a label.
    """

    def __init__(
        self,
        video_data_manifest_file_path: str | Path,
        video_info_file_path: str | Path,
        labels_file_path: str | Path,
        transform: Callable[[Sample], Any] | None = None,
        multithreaded_io: bool = False,
        *,
        seed: int | None = None,
    ) -> None:
        tables = video_info_file_path, video_data_manifest_file_path
        videos = read_domsev(*tables, labels_file_path)
        self.left_out = dict(read_frame_videos(*tables).left_out)
        self._frames: list[LabeledFrame] = []
        for name, frames in videos.items():
            known = [frame for frame in frames if frame.label_id is not None]
            if len(known) < len(frames):
                self.left_out[name] = (
                    f"{len(frames) - len(known)} of {len(frames)} frames have no label"
                )
            self._frames += known
        if not self._frames:
            raise DatasetError(f"{labels_file_path}: no frame of {tables[1]} has a label")
        report_left_out(self.left_out, len({*videos, *self.left_out}))
        self._user_transform = transform
        shuffle = random.shuffle if seed is None else random.Random(seed).shuffle
        shuffle(self._frames)

    @staticmethod
    def _assign_labels_to_frames(
        frames_dict: Mapping[str, ImageFrameInfo], video_labels: Mapping[str, Sequence[LabelData]]
    ) -> dict[str, int]:
        """The label of each frame by its name; frames without one are not in it."""
        return {
            name: label.label_id
            for name, frame in frames_dict.items()
            for label in video_labels.get(frame.video_id, ())
            if label.start_frame <= frame.frame_number <= label.stop_frame
        }

    def __len__(self) -> int:
        """Number of frames that have a label."""
        return len(self._frames)

    def __getitem__(self, index: int) -> Any:
        """A sample, or what the transform makes of it; see the class.

        Raises:
            DecodeError: the image is missing or damaged.
        """
        frame = self._frames[index]
        sample: Sample = {
            "frame_id": frame.frame_id,
            "image": read_pictures([frame.path])[0].permute(2, 0, 1),
            "label": torch.tensor(frame.label_id),
        }
        return self._transform_frame(sample)

    def _transform_frame(self, frame: Sample) -> Any:
        return frame if self._user_transform is None else self._user_transform(frame)


class DomsevVideoDataset(Dataset[Any]):
    """Clips by number, with the label of each frame.

    A sample is a dictionary: `video_id`; `video` float32 C T H W from 0 to 255; `audio` float32 S
    in [-1, 1], empty without sound; `labels` int64; `start_time` and `stop_time` in seconds.

    There is a label for each 1 / `frames_per_second` s of the clip. If that is the rate of the
    table of facts, there is one for each frame of `video`, also of those that `frame_filter`
    picks. An instant that no span of the table covers has the label -1.

    Args:
        video_data_manifest_file_path: table of the images or of the file of each video; see
            `read_frame_files` and `read_encoded_videos`.
        video_info_file_path: table of facts; see `read_video_infos`.
        labels_file_path: table of the labels; see `read_scene_spans`.
        clip_sampler: (videos by id, their labels by id) -> the clips.
        dataset_type: whether videos are images or files.
        frames_per_second: labels a second.
        transform: called with each sample; its result is the sample.
        frame_filter: picks from the frame numbers of a clip those to read.
        multithreaded_io: read the images of a clip with several threads.

    Attributes:
        left_out: id -> why a video of the tables is not used.

    Raises:
        DatasetError: tables that cannot be read or do not fit.
        ConfigError: an illegal value.
    """

    def __init__(
        self,
        video_data_manifest_file_path: str | Path,
        video_info_file_path: str | Path,
        labels_file_path: str | Path,
        clip_sampler: ClipsOf,
        dataset_type: VideoDatasetType = VideoDatasetType.Frame,
        frames_per_second: int = 1,
        transform: Callable[[Sample], Any] | None = None,
        frame_filter: FrameFilter | None = None,
        multithreaded_io: bool = False,
    ) -> None:
        if frames_per_second <= 0:
            raise ConfigError(f"frames_per_second = {frames_per_second}; it must be above 0")
        listed = read_listed_videos(
            video_data_manifest_file_path, video_info_file_path, dataset_type,
            threads=multithreaded_io,
        )  # fmt: skip
        self._videos, self._fps, self.left_out = listed.videos, listed.fps, listed.left_out
        self._spans = read_scene_spans(labels_file_path)
        self._labels_per_video: Labels = {
            name: [_row(span) for span in spans] for name, spans in self._spans.items()
        }
        self._rate = exact_seconds(frames_per_second)
        self._user_transform, self._frame_filter = transform, frame_filter
        of_videos = {name: self._labels_per_video.get(name, []) for name in self._videos}
        self._clips = list(clip_sampler(self._videos, of_videos))

    def __len__(self) -> int:
        """Number of clips."""
        return len(self._clips)

    def __getitem__(self, index: int) -> Any:
        """A sample, or what the transform makes of it; see the class.

        Raises:
            MissingEntryError: the clip is of an unknown video.
            DatasetError: no frame begins in the clip.
            DecodeError: an image or the file is missing or damaged.
        """
        clip = known_clip(self._clips[index], self._videos)
        every_frame = self._rate == self._fps[clip.video_id]
        pick = self._frame_filter or (list if every_frame else None)
        found = read_clip(self._videos[clip.video_id], clip, pick)
        numbers: Iterable[int] = range(
            frame_at(exact_seconds(clip.start_time), self._rate),
            frame_at(exact_seconds(clip.stop_time), self._rate),
        )
        if every_frame:
            numbers = found["frame_indices"]
        return self._transform_clip({
            "video_id": clip.video_id,
            **found,
            "labels": labels_of(numbers, self._spans.get(clip.video_id, ()), self._rate),
            "start_time": clip.start_time,
            "stop_time": clip.stop_time,
        })  # fmt: skip

    def _transform_clip(self, clip: Sample) -> Any:
        clip = none_as_empty(clip)
        return clip if self._user_transform is None else self._user_transform(clip)


def labels_of(numbers: Iterable[int], spans: Sequence[SceneSpan], fps: Fraction) -> Tensor:
    """The label of each frame, int64; -1 where there is none, the later row where there are two.

    Args:
        numbers: numbers of the frames, from 0.
        spans: labels of the video.
        fps: frames a second.
    """
    ranges = [(frame_at(s.start, fps), frame_at(s.stop, fps), s.label_id) for s in spans]
    found = [
        next((label for first, end, label in reversed(ranges) if first <= n < end), NO_LABEL)
        for n in numbers
    ]
    return torch.tensor(found, dtype=torch.int64)


def _row(span: SceneSpan) -> LabelData:
    return LabelData(
        span.video_id, float(span.start), float(span.stop), span.start_frame, span.stop_frame,
        span.label_id, span.label_name,
    )  # fmt: skip
