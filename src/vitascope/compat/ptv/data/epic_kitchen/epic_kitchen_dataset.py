"""PyTorchVideo's EpicKitchenDataset: clips of long videos with the actions of their video."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from vitascope.compat.ptv.data.dataset_manifest_utils import (
    get_seconds_from_hms_time as get_seconds_from_hms_time,
)
from vitascope.compat.ptv.data.frame_video import FrameVideo as FrameVideo
from vitascope.compat.ptv.data.manifest_rows import EncodedVideoInfo as EncodedVideoInfo
from vitascope.compat.ptv.data.manifest_rows import VideoClipInfo, VideoDatasetType
from vitascope.compat.ptv.data.manifest_rows import VideoFrameInfo as VideoFrameInfo
from vitascope.compat.ptv.data.manifest_rows import VideoInfo as VideoInfo
from vitascope.compat.ptv.data.manifest_videos import FrameFilter, read_listed_videos
from vitascope.compat.ptv.data.manifest_videos import VideoDataset as VideoDataset
from vitascope.compat.ptv.data.utils import DataclassFieldCaster
from vitascope.compat.ptv.data.utils import (
    load_dataclass_dict_from_csv as load_dataclass_dict_from_csv,
)
from vitascope.compat.ptv.data.video_base import Video
from vitascope.compat.ptv.errors import MissingEntryError
from vitascope.data.sets.epic_kitchens import EpicAction, read_epic_actions
from vitascope.data.tables.columns import seconds
from vitascope.errors import ConfigError, DatasetError
from vitascope.transforms.apply import apply_transform

__all__ = ["ActionData", "EpicKitchenDataset"]

Sample = dict[str, Any]
# All actions of a video are compared with each clip of it.
_exact = lru_cache(maxsize=2**16)(seconds)


def _listed(value: Any) -> list[Any]:
    found = ast.literal_eval(value) if isinstance(value, str) else value
    if not isinstance(found, list | tuple):
        raise ValueError("a list, such as [1, 7]")
    return list(found)


@dataclass
class ActionData(DataclassFieldCaster):
    """One labeled action; a field may be given as the text of the table."""

    participant_id: str
    video_id: str
    narration: str
    start_timestamp: str
    stop_timestamp: str
    start_frame: int
    stop_frame: int
    verb: str
    verb_class: int
    noun: str
    noun_class: int
    all_nouns: list[str] = DataclassFieldCaster.complex_initialized_dataclass_field(_listed)  # noqa: RUF009
    all_noun_classes: list[int] = DataclassFieldCaster.complex_initialized_dataclass_field(_listed)  # noqa: RUF009

    @property
    def start(self) -> Fraction:
        """Exact seconds from the first frame at which the action begins."""
        return _exact(self.start_timestamp)

    @property
    def stop(self) -> Fraction:
        """Exact seconds from the first frame at which the action has ended."""
        return _exact(self.stop_timestamp)

    @property
    def start_time(self) -> float:
        """Seconds at which the action begins."""
        return float(self.start)

    @property
    def stop_time(self) -> float:
        """Seconds at which the action has ended."""
        return float(self.stop)


Actions = dict[str, list[ActionData]]
ClipsOf = Callable[[dict[str, Video], Actions], Sequence[VideoClipInfo]]


class EpicKitchenDataset(Dataset[Any]):
    """Clips of EPIC-Kitchens, 55 or 100, by number.

    A sample is a dictionary: `video_id`; `video` float32 C T H W from 0 to 255; `audio` float32 S
    in [-1, 1], or None without sound; `actions`, those of the whole video; `start_time` and
    `stop_time` in seconds. Where frames are picked or kept as images, `frame_indices` are their
    numbers in the video.

    Args:
        video_info_file_path: table of facts; see `read_video_infos`.
        actions_file_path: table of actions; see `read_epic_actions`.
        clip_sampler: (videos by id, their actions by id) -> the clips.
        video_data_manifest_file_path: table of the images or of the file of each video; see
            `read_frame_files` and `read_encoded_videos`.
        dataset_type: which of both.
        transform: called with each sample; its result is the sample.
        frame_filter: picks from the frame numbers of a clip those to read.
        multithreaded_io: read the images of a clip with several threads.
        seed: what is drawn for a sample follows from it, the epoch and the number of the sample;
            None leaves torch's, numpy's and Python's generators as they are.

    Attributes:
        left_out: id -> why a video of the tables is not used.

    Raises:
        DatasetError: tables that cannot be read or do not fit.
        ConfigError: an illegal value.
    """

    def __init__(
        self,
        video_info_file_path: str | Path,
        actions_file_path: str | Path,
        clip_sampler: ClipsOf,
        video_data_manifest_file_path: str | Path,
        dataset_type: VideoDatasetType = VideoDatasetType.Frame,
        transform: Callable[[Sample], Any] | None = None,
        frame_filter: FrameFilter | None = None,
        multithreaded_io: bool = True,
        *,
        seed: int | None = None,
    ) -> None:
        if seed is not None and seed < 0:
            raise ConfigError(f"seed = {seed}; it must be at least 0")
        listed = read_listed_videos(
            video_data_manifest_file_path, video_info_file_path, dataset_type,
            threads=multithreaded_io,
        )  # fmt: skip
        self._videos, self.left_out = listed.videos, dict(listed.left_out)
        self._actions: Actions = {
            video: [as_action_data(action) for action in actions]
            for video, actions in read_epic_actions(actions_file_path).items()
        }
        self._transform, self._frame_filter, self._seed = transform, frame_filter, seed
        # Shared, so that workers that live on see what `set_epoch` writes.
        self._epoch = torch.zeros(1, dtype=torch.int64)
        self._epoch.share_memory_()  # type: ignore[no-untyped-call]
        of_videos = {name: self._actions.get(name, []) for name in self._videos}
        self._clips = list(clip_sampler(self._videos, of_videos))

    def set_epoch(self, epoch: int) -> None:
        """Chooses what is drawn from now on."""
        self._epoch[0] = epoch

    def clips(self) -> list[VideoClipInfo]:
        """Where the clips of this epoch lie, in seconds."""
        return self._clips

    def __len__(self) -> int:
        """Number of clips."""
        return len(self.clips())

    def __getitem__(self, index: int) -> Any:
        """A sample, or what the transform makes of it; see the class.

        Raises:
            MissingEntryError: the clip is of an unknown video.
            DatasetError: no frame begins in the clip.
            DecodeError: an image or the file is missing or damaged.
        """
        clip = known_clip(self.clips()[index], self._videos)
        sample: Sample = {
            "video_id": clip.video_id,
            **self._load(self._videos[clip.video_id], clip),
            "actions": self._of_clip(self._actions.get(clip.video_id, []), clip),
            "start_time": clip.start_time,
            "stop_time": clip.stop_time,
        }
        if self._transform is None:
            return sample
        key = None if self._seed is None else (self._seed, int(self._epoch[0]), index)
        rng = None if key is None else np.random.default_rng(key)
        return apply_transform(self._transform, sample, rng)

    def _load(self, video: Video, clip: VideoClipInfo) -> Sample:
        return read_clip(video, clip, self._frame_filter)

    def _of_clip(self, actions: list[ActionData], clip: VideoClipInfo) -> list[ActionData]:
        return list(actions)


def as_action_data(action: EpicAction) -> ActionData:
    """A read action as PyTorchVideo's row."""
    return ActionData(
        participant_id=action.participant_id, video_id=action.video_id,
        narration=action.narration, start_timestamp=action.start_timestamp,
        stop_timestamp=action.stop_timestamp, start_frame=action.start_frame,
        stop_frame=action.stop_frame, verb=action.verb, verb_class=action.verb_class,
        noun=action.noun, noun_class=action.noun_class, all_nouns=list(action.all_nouns),
        all_noun_classes=list(action.all_noun_classes),
    )  # fmt: skip


def known_clip(clip: VideoClipInfo, videos: Mapping[str, Video]) -> VideoClipInfo:
    """The clip, if it can be read.

    Raises:
        MissingEntryError: a clip of a video that is not there.
        DatasetError: a clip that ends before it starts.
    """
    if clip.video_id not in videos:
        raise MissingEntryError(
            f"clip_sampler gives a clip of the video {clip.video_id!r}, which is not among "
            f"the {len(videos)} videos of the manifest"
        )
    if not 0 <= clip.start_time < clip.stop_time:
        raise DatasetError(
            f"clip_sampler gives a clip of {clip.video_id} from {clip.start_time} s to "
            f"{clip.stop_time} s; a clip starts at 0 s or later and ends after that"
        )
    return clip


def read_clip(
    video: Video, clip: VideoClipInfo, frame_filter: FrameFilter | None
) -> dict[str, Any]:
    """What a video of `read_listed_videos` shows in a clip; see `FileVideo.get_clip`.

    Raises:
        DatasetError: no frame begins in the clip.
    """
    args = () if frame_filter is None else (frame_filter,)
    found: dict[str, Any] | None = video.get_clip(clip.start_time, clip.stop_time, *args)
    if found is None or found["video"] is None:
        raise DatasetError(
            f"{clip.video_id}: no frame begins between {clip.start_time:.3f} s and "
            f"{clip.stop_time:.3f} s of {float(video.duration):.3f} s"
        )
    return found


def none_as_empty(sample: Sample) -> Sample:
    """The sample with an empty tensor for what it does not have, as PyTorchVideo hands it on."""
    return {k: torch.tensor([]) if value is None else value for k, value in sample.items()}


class FirstOfEachPart:
    """The first frame of each of `count` equal parts of a clip; frames repeat if there are fewer.

    PyTorchVideo kept every n-th frame, which is the same where `count` divides the number of
    frames; otherwise it gave another number than asked for, and failed on clips with fewer.

    Raises:
        ConfigError: a count below 1.
    """

    def __init__(self, count: int) -> None:
        if count < 1:
            raise ConfigError(f"frames_per_clip = {count}; it must be at least 1")
        self.count = count

    def __call__(self, numbers: list[int]) -> list[int]:
        """`count` of the numbers, ascending."""
        return [numbers[i * len(numbers) // self.count] for i in range(self.count)]
