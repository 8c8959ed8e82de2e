"""AVA with PyTorchVideo's interface: clips around labeled seconds of folders of frames."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from torch.utils.data import RandomSampler

from vitascope.compat.ptv.data.clip_sampling import ClipInfo, ClipSampler
from vitascope.compat.ptv.data.frame_lists import read_frame_list
from vitascope.compat.ptv.data.labeled_video_dataset import LabeledVideoDataset, OnBad, Transform
from vitascope.compat.ptv.errors import MissingEntryError
from vitascope.data.sets.ava import (
    FIRST_SECOND,
    LAST_SECOND,
    LIST_STARTS,
    read_ava,
    read_label_map,
)
from vitascope.errors import ConfigError

Labeled = list[tuple[str, dict[str, Any]]]


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
    ) -> Labeled:
        """The labeled seconds, each as (folder of the frames, dictionary).

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
        rows = cls.load_and_parse_labels_csv(frame_labels_file, numbers, allowed)
        return [
            (
                os.path.dirname(frames[number][0]),
                {
                    **cls._aggregate_bboxes_labels(rows[number][second]),
                    "video_index": number,
                    "clip_index": second,
                },
            )
            for number in rows
            for second in rows[number]
        ]

    @classmethod
    def _aggregate_bboxes_labels(cls, inp: Mapping[str, list[Any]]) -> dict[str, list[Any]]:
        """Rows of one person as one entry with several labels.

        Rows of a list of people are of one person if the last column says so, rows of a list of
        scores if the boxes agree exactly.
        """
        extras, boxes = inp["extra_info"], inp["boxes"]
        people = inp.get("people", boxes)
        found: dict[Any, tuple[Any, list[Any], list[Any]]] = {}
        for who, box, label, extra in zip(people, boxes, inp["labels"], extras, strict=True):
            key = tuple(who) if isinstance(who, Sequence) else who
            _, labels, extra_info = found.setdefault(key, (box, [], []))
            labels.append(label)
            extra_info.append(extra)
        return {
            "labels": [labels for _, labels, _ in found.values()],
            "boxes": [box for box, _, _ in found.values()],
            "extra_info": [extra_info for _, _, extra_info in found.values()],
        }

    @staticmethod
    def load_and_parse_labels_csv(
        frame_labels_file: str | Path,
        video_name_to_idx: Mapping[str, int],
        allowed_class_ids: Collection[int] | None = None,
    ) -> dict[int, dict[float, dict[str, list[Any]]]]:
        """The rows by number of the video and second from the first frame of its folder.

        Each entry has, row by row, `boxes`, `labels` (-1 for none) and `extra_info`, the last
        column. A list whose last column holds whole numbers only is one of people, any other one
        of scores; its entries have `people` too. Boxes are taken as they are.

        Raises:
            MissingEntryError: a video that has no frames.
            DatasetError: see `read_ava`.
        """
        rows = read_ava(frame_labels_file, check_boxes=False)
        truth = all(row.extra == int(row.extra) for row in rows)
        found: dict[int, dict[float, dict[str, list[Any]]]] = {}
        for row in rows:
            if row.video not in video_name_to_idx:
                raise MissingEntryError(f"{row.where}: the video {row.video!r} has no frames")
            label = -1 if row.label is None else row.label
            if allowed_class_ids is not None and label not in allowed_class_ids:
                continue
            seconds = found.setdefault(video_name_to_idx[row.video], {})
            entry = seconds.setdefault(float(row.second - LIST_STARTS), defaultdict(list))
            entry["boxes"].append(list(row.box))
            entry["labels"].append(label)
            entry["extra_info"].append(row.extra)
            if truth:
                entry["people"].append(row.extra)
        return {number: dict(sorted(seconds.items())) for number, seconds in found.items()}

    @staticmethod
    def load_image_lists(
        frame_paths_file: str | Path, video_path_prefix: str
    ) -> tuple[list[list[str]], list[str], dict[str, int]]:
        """Paths of the frames of each video, names of the videos, and their numbers by name.

        Raises:
            DatasetError: see `read_frame_list`.
        """
        videos = read_frame_list(frame_paths_file, video_path_prefix, labels=False)
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
    on_bad: OnBad = "retry",
) -> LabeledVideoDataset:
    """AVA with PyTorchVideo's interface: a clip around each labeled second.

    Samples have `video` and what `AvaLabeledVideoFramePaths.from_csv` says.

    Args:
        frame_paths_file: list of the frames, 30 a second from second 900 on.
        frame_labels_file: list of boxes.
        video_path_prefix: folder that the paths of the frames start from.
        label_map_file: keeps the classes of this file only.
        clip_sampler: gives the length of the clips; it must be given.
        video_sampler: class of the sampler of labeled seconds.
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
    """The clip around a labeled second, with the length of another sampler's clips.

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
