"""PyTorchVideo's Charades: lists of frames with labels for each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch.utils.data import RandomSampler

from vitascope.compat.ptv.data.frame_lists import FrameVideoRecord, read_frame_list
from vitascope.compat.ptv.data.labeled_frame_videos import EvenlySpread, LabeledFrameVideos
from vitascope.compat.ptv.data.labeled_video_dataset import OnBad, Transform
from vitascope.data.sets.charades import NUM_CLASSES


def read_charades(path: str | Path, root: str | Path = "") -> tuple[FrameVideoRecord, ...]:
    """Charades as a list of frames, with the labels of each frame.

    Raises:
        DatasetError: see `read_frame_list`; labels reach from 0 to 156.
    """
    return read_frame_list(path, root, NUM_CLASSES)


class Charades(LabeledFrameVideos):
    """Charades as frames with PyTorchVideo's interface.

    Samples have `video` float32 C T H W, `label` (the classes of each frame of the clip),
    `video_label` (those of the video), `video_name`, `video_index`, `clip_index` and `aug_index`.

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
            videos, clip_sampler, video_sampler, transform, self._labels, pick, seed, on_bad
        )

    def _labels(self, index: int, numbers: list[int]) -> dict[str, Any]:
        record = self._videos[index]
        return {
            "label": [list(record.frame_labels[i]) for i in numbers],
            "video_label": list(record.labels),
        }
