"""PyTorchVideo's SSv2: lists of frames with the published annotations."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch.utils.data import RandomSampler

from vitascope.compat.ptv.data.clip_sampling import ClipInfo, ClipInfoList
from vitascope.compat.ptv.data.clip_sampling import ClipSampler as ClipSampler
from vitascope.compat.ptv.data.frame_lists import FrameVideoRecord, by_name, read_frame_list
from vitascope.compat.ptv.data.frame_video import FrameVideo as FrameVideo
from vitascope.compat.ptv.data.labeled_frame_videos import LabeledFrameVideos, OneOfEachPart
from vitascope.compat.ptv.data.labeled_video_dataset import OnBad, Transform
from vitascope.compat.ptv.data.manifest_videos import report_left_out
from vitascope.compat.ptv.data.utils import MultiProcessSampler as MultiProcessSampler
from vitascope.compat.ptv.data.video_base import Video
from vitascope.data.sets.ssv2 import read_ssv2_entries
from vitascope.data.tables.classes import read_classes
from vitascope.data.tables.read import Files
from vitascope.errors import DatasetError


@dataclass(frozen=True)
class SSv2Frames:
    """Videos kept as frames, with labels.

    Attributes:
        videos: (video, label) in the order of the annotations; the label of a test set is None.
        missing: ids that are annotated and have no frames.
        unused: ids that have frames and are not annotated.
    """

    videos: tuple[tuple[FrameVideoRecord, int | None], ...]
    missing: tuple[str, ...]
    unused: tuple[str, ...]


def read_ssv2_frames(
    annotations: str | Path,
    labels: str | Path,
    frames: str | Path,
    root: str | Path = "",
    *,
    files: Files = "require",
) -> SSv2Frames:
    """SSv2 kept as frames.

    Args:
        annotations: JSON list, as for `read_ssv2`.
        labels: JSON object of template -> number.
        frames: list of frames; see `read_frame_list`.
        root: folder of the frames.
        files: "require" refuses annotated videos without frames, "skip" leaves them out and
            names them in the result.

    Raises:
        DatasetError: a template that is not in the label file, or videos without frames.
    """
    known = by_name(read_frame_list(frames, root, labels=False))
    entries = list(read_ssv2_entries(annotations, read_classes(labels)))
    missing = tuple(video for video, _, _ in entries if video not in known)
    if missing and (files == "require" or len(missing) == len(entries)):
        where = next(where for video, _, where in entries if video == missing[0])
        raise DatasetError(
            f"video {missing[0]} ({where}) has no frames in {Path(frames).name}; {len(missing)} "
            f"of {len(entries)} videos affected. Correct the list, or leave them out with "
            f"files='skip'"
        )
    unused = tuple(known.keys() - {video for video, _, _ in entries})
    videos = tuple((known[video], label) for video, label, _ in entries if video in known)
    return SSv2Frames(videos, missing, tuple(sorted(unused)))


class SSv2(LabeledFrameVideos):
    """Something-Something v2 as frames with PyTorchVideo's interface.

    Samples have `video` float32 C T H W, `label` (None for a test set), `video_name`,
    `video_index`, `clip_index` and `aug_index`. A clip always is the whole video; the sampler of
    clips only says how many there are. Videos without frames are left out, which the log says.

    Args:
        label_name_file: JSON object of template -> number.
        video_label_file: JSON list of the videos.
        video_path_label_file: list of the frames; see `read_frame_list`.
        clip_sampler: how many clips there are of a video.
        video_sampler: class of the sampler of videos.
        transform: called with each sample.
        video_path_prefix: folder that the paths of the list start from.
        frames_per_clip: frames taken of the video, one of each equal part; None takes all.
        rand_sample_frames: whether that frame is drawn; else it is the middle one.
        seed: see `LabeledVideoDataset`.
        on_bad: see `LabeledVideoDataset`.

    Attributes:
        left_out: ids of the videos that are annotated and have no frames.

    Raises:
        DatasetError: see `read_ssv2_frames`.
    """

    def __init__(
        self,
        label_name_file: str | Path,
        video_label_file: str | Path,
        video_path_label_file: str | Path,
        clip_sampler: Any,
        video_sampler: Any = RandomSampler,
        transform: Transform | None = None,
        video_path_prefix: str = "",
        frames_per_clip: int | None = None,
        rand_sample_frames: bool = False,
        *,
        seed: int | None = None,
        on_bad: OnBad = "error",
    ) -> None:
        found = read_ssv2_frames(
            video_label_file, label_name_file, video_path_label_file, video_path_prefix,
            files="skip",
        )  # fmt: skip
        self.left_out = found.missing
        report_left_out(
            {name: f"no frames of it in {Path(video_path_label_file).name}"
             for name in found.missing},
            len(found.videos) + len(found.missing),
        )  # fmt: skip
        self._labels = [label for _, label in found.videos]
        pick = None
        if frames_per_clip is not None:
            pick = OneOfEachPart(frames_per_clip, rand_sample_frames)
        super().__init__(
            [record for record, _ in found.videos], clip_sampler, video_sampler, transform,
            self._label, pick, seed, on_bad,
        )  # fmt: skip

    @staticmethod
    def _sample_clip_frames(
        frame_indices: list[int], frames_per_clip: int, rand_sample: bool
    ) -> list[int]:
        return OneOfEachPart(frames_per_clip, rand_sample)(frame_indices)

    def _load(self, video: Video, where: ClipInfo | ClipInfoList, path: str) -> dict[str, Any]:
        return self._one(video, 0, video.duration, path)

    def _label(self, index: int, numbers: Any) -> dict[str, Any]:
        return {"label": self._labels[index]}


def _read_video_paths_and_labels(
    label_name_file: str | Path,
    video_label_file: str | Path,
    video_path_label_file: str | Path,
    prefix: str = "",
) -> tuple[list[list[str]], list[int | None]]:
    """Frames and label of each video that has frames."""
    found = read_ssv2_frames(
        video_label_file, label_name_file, video_path_label_file, prefix, files="skip"
    )
    return [list(video.frames) for video, _ in found.videos], [n for _, n in found.videos]
