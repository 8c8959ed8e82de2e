"""AVA with PyTorchVideo's interface: clips around labelled seconds of folders of frames."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, ClassVar

from torch.utils.data import RandomSampler

from vitascope.compat.ptv.data.clip_sampling import ClipInfo, ClipSampler
from vitascope.compat.ptv.data.frame_lists import read_frame_list
from vitascope.compat.ptv.data.labeled_video_dataset import LabeledVideoDataset, OnBad, Transform
from vitascope.data.sets.ava import (
    FIRST_SECOND,
    LAST_SECOND,
    LIST_STARTS,
    AvaKeyframe,
    keyframes,
    read_ava,
    read_label_map,
)
from vitascope.errors import ConfigError

Labelled = list[tuple[str, dict[str, Any]]]


class AvaLabeledVideoFramePaths:
    """Reads AVA's lists: boxes and labels of seconds, and the frames of the videos."""

    AVA_VALID_FRAMES: ClassVar[list[int]] = list(range(FIRST_SECOND, LAST_SECOND + 1))
    FPS = 30
    AVA_VIDEO_START_SEC = LIST_STARTS

    @classmethod
    def from_csv(
        cls,
        frame_paths_file: str | Path,
        frame_labels_file: str | Path,
        video_path_prefix: str,
        label_map_file: str | Path | None = None,
    ) -> Labelled:
        """The labelled seconds, each as (folder of the frames, dictionary).

        The dictionary has `boxes` (left, top, right, bottom as fractions), `labels` and
        `extra_info` of each person, `video_index`, and `clip_index`, the seconds from the first
        frame of the folder.

        Args:
            frame_paths_file: list of the frames; see `read_frame_list`.
            frame_labels_file: list of boxes; see `read_ava`.
            video_path_prefix: folder that the paths of the frames start from.
            label_map_file: keeps the classes of this file only; None keeps all.

        Raises:
            DatasetError: see `read_frame_list` and `read_ava`.
        """
        allowed = None if label_map_file is None else cls.read_label_map(label_map_file)[1]
        frames, _, numbers = cls.load_image_lists(frame_paths_file, video_path_prefix)
        seconds = cls.load_and_parse_labels_csv(frame_labels_file, numbers, allowed)
        return [
            (
                os.path.dirname(frames[number][0]),
                {
                    "labels": [list(person.labels) for person in frame.people],
                    "boxes": [list(person.box) for person in frame.people],
                    "extra_info": [list(person.extras) for person in frame.people],
                    "video_index": number,
                    "clip_index": float(second - cls.AVA_VIDEO_START_SEC),
                },
            )
            for number in seconds
            for second, frame in seconds[number].items()
        ]

    @staticmethod
    def load_and_parse_labels_csv(
        frame_labels_file: str | Path,
        video_name_to_idx: Mapping[str, int],
        allowed_class_ids: Collection[int] | None = None,
    ) -> dict[int, dict[int, AvaKeyframe]]:
        """People by number of the video and second.

        A list whose last column holds whole numbers only is one of people, any other one of
        scores.

        Raises:
            DatasetError: see `read_ava`.
        """
        rows = read_ava(frame_labels_file, labels=allowed_class_ids, videos=video_name_to_idx)
        truth = all(row.extra == int(row.extra) for row in rows)
        found: dict[int, dict[int, AvaKeyframe]] = {}
        for frame in keyframes(truth=rows) if truth else keyframes(predicted=rows):
            found.setdefault(video_name_to_idx[frame.video], {})[frame.second] = frame
        return found

    @staticmethod
    def load_image_lists(
        frame_paths_file: str | Path, video_path_prefix: str
    ) -> tuple[list[list[str]], list[str], dict[str, int]]:
        """Paths of the frames of each video, names of the videos, and their numbers by name.

        Raises:
            DatasetError: see `read_frame_list`.
        """
        videos = read_frame_list(frame_paths_file, video_path_prefix)
        names = [video.name for video in videos]
        frames = [list(video.frames) for video in videos]
        return frames, names, {name: i for i, name in enumerate(names)}

    @staticmethod
    def read_label_map(label_map_file: str | Path) -> tuple[dict[int, str], set[int]]:
        """Names of the classes by number, and the numbers.

        Raises:
            DatasetError: see `ava.read_label_map`.
        """
        names = read_label_map(label_map_file)
        return names, set(names)


def Ava(
    frame_paths_file: str | Path,
    frame_labels_file: str | Path,
    video_path_prefix: str = "",
    label_map_file: str | Path | None = None,
    clip_sampler: Any = ClipSampler,
    video_sampler: Any = RandomSampler,
    transform: Transform | None = None,
    *,
    seed: int | None = None,
    on_bad: OnBad = "error",
) -> LabeledVideoDataset:
    """AVA with PyTorchVideo's interface: a clip around each labelled second.

    Samples have `video` and what `AvaLabeledVideoFramePaths.from_csv` says.

    Args:
        frame_paths_file: list of the frames, 30 a second from second 900 on.
        frame_labels_file: list of boxes.
        video_path_prefix: folder that the paths of the frames start from.
        label_map_file: keeps the classes of this file only.
        clip_sampler: gives the length of the clips; it must be given.
        video_sampler: class of the sampler of labelled seconds.
        transform: called with each sample.
        seed: see `LabeledVideoDataset`.
        on_bad: see `LabeledVideoDataset`.

    Raises:
        ConfigError: no clip sampler.
        DatasetError: see `AvaLabeledVideoFramePaths.from_csv`.
    """
    if not isinstance(clip_sampler, ClipSampler):
        raise ConfigError("Ava needs a clip_sampler, such as make_clip_sampler('random', 2)")
    videos = AvaLabeledVideoFramePaths.from_csv(
        frame_paths_file, frame_labels_file, video_path_prefix, label_map_file
    )
    return LabeledVideoDataset(
        videos, TimeStampClipSampler(clip_sampler), video_sampler, transform, decode_audio=False,
        seed=seed, on_bad=on_bad,
    )  # fmt: skip


class TimeStampClipSampler:
    """The clip around a labelled second, with the length of another sampler's clips.

    Args:
        clip_sampler: gives the length.
    """

    samples_per_video = 1

    def __init__(self, clip_sampler: ClipSampler) -> None:
        self.clip_sampler = clip_sampler

    def __call__(
        self, last_clip_time: Any, video_duration: Any, annotation: Mapping[str, Any]
    ) -> ClipInfo:
        """The clip with `annotation["clip_index"]` (in seconds) in its middle."""
        length = float(self.clip_sampler._clip_duration)
        start = annotation["clip_index"] - length / 2.0
        return ClipInfo(start, start + length, 0, 0, True)

    def reset(self) -> None:
        """Nothing to forget."""
