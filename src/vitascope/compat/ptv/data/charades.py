"""PyTorchVideo's Charades: lists of frames with labels for each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch.utils.data import RandomSampler

from vitascope.compat.ptv.data.clip_sampling import ClipSampler as ClipSampler
from vitascope.compat.ptv.data.frame_lists import FrameVideoRecord, read_frame_list
from vitascope.compat.ptv.data.frame_video import FrameVideo as FrameVideo
from vitascope.compat.ptv.data.labeled_frame_videos import EvenlySpread, LabeledFrameVideos
from vitascope.compat.ptv.data.labeled_video_dataset import OnBad, Transform
from vitascope.compat.ptv.data.utils import MultiProcessSampler as MultiProcessSampler
from vitascope.data.sets.charades import NUM_CLASSES


def read_charades(path: str | Path, root: str | Path = "") -> tuple[FrameVideoRecord, ...]:
    """Charades as a list of frames, with the labels of each frame.

    Raises:
        DatasetError: see `read_frame_list`; labels reach from 0 to 156.
    """
    return read_frame_list(path, root, NUM_CLASSES)


class Charades(LabeledFrameVideos):
    """Charades as frames with PyTorchVideo's interface.

    Samples have `video` float32 C T H W, `label` (the classes of each frame from the first to the
    last one taken, also of those between that `frames_per_clip` leaves out), `video_label` (those
    of the video), `video_name`, `video_index`, `clip_index` and `aug_index`.

    Args:
        data_path: list of the frames; see `read_charades`.
        clip_sampler: where the clips of a video lie; there are 30 frames a second.
        video_sampler: class of the sampler of videos.
        transform: called with each sample.
        video_path_prefix: folder that the paths of the list start from.
        frames_per_clip: frames taken of each clip, evenly spread; None takes all.
        seed: see `LabeledVideoDataset`.
        on_bad: see `LabeledVideoDataset`.

    Raises:
        DatasetError: see `read_charades`.
    """

    NUM_CLASSES = NUM_CLASSES

    def __init__(
        self,
        data_path: str | Path,
        clip_sampler: Any,
        video_sampler: Any = RandomSampler,
        transform: Transform | None = None,
        video_path_prefix: str = "",
        frames_per_clip: int | None = None,
        *,
        seed: int | None = None,
        on_bad: OnBad = "error",
    ) -> None:
        videos = read_charades(data_path, video_path_prefix)
        pick = None if frames_per_clip is None else EvenlySpread(frames_per_clip)
        super().__init__(
            videos, clip_sampler, video_sampler, transform, self._labels_of, pick, seed, on_bad
        )
        self._labels = [[list(labels) for labels in video.frame_labels] for video in videos]
        self._video_labels = [list(video.labels) for video in videos]

    @staticmethod
    def _sample_clip_frames(frame_indices: list[int], frames_per_clip: int) -> list[int]:
        return EvenlySpread(frames_per_clip)(frame_indices)

    def _labels_of(self, index: int, numbers: list[int]) -> dict[str, Any]:
        shown = self._labels[index][min(numbers) : max(numbers) + 1]
        return {
            "label": [list(labels) for labels in shown],
            "video_label": list(self._video_labels[index]),
        }


def _read_video_paths_and_labels(
    video_path_label_file: str | Path, prefix: str = ""
) -> tuple[list[list[str]], list[list[list[int]]], list[list[int]]]:
    """Frames, labels of each frame, and labels of the whole video, each by video."""
    videos = read_charades(video_path_label_file, prefix)
    return (
        [list(video.frames) for video in videos],
        [[list(labels) for labels in video.frame_labels] for video in videos],
        [list(video.labels) for video in videos],
    )
