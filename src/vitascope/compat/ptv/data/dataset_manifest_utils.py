"""PyTorchVideo's `data.dataset_manifest_utils`: manifests of videos and of their frames."""

from __future__ import annotations

import os
from collections.abc import Mapping

from vitascope.compat.ptv.data.encoded_video import EncodedVideo as EncodedVideo
from vitascope.compat.ptv.data.frame_video import FrameVideo as FrameVideo
from vitascope.compat.ptv.data.manifest_rows import (
    EncodedVideoInfo,
    ImageFrameInfo,
    VideoClipInfo,
    VideoDatasetType,
    VideoFrameInfo,
    VideoInfo,
)
from vitascope.compat.ptv.data.manifest_videos import ImageDataset, VideoDataset
from vitascope.compat.ptv.data.utils import DataclassFieldCaster as DataclassFieldCaster
from vitascope.compat.ptv.data.utils import (
    load_dataclass_dict_from_csv as load_dataclass_dict_from_csv,
)
from vitascope.compat.ptv.data.utils import save_dataclass_objs_to_headered_csv
from vitascope.compat.ptv.data.video_base import Video as Video
from vitascope.data.tables.columns import seconds
from vitascope.errors import DatasetError

__all__ = [
    "EncodedVideoInfo", "ImageDataset", "ImageFrameInfo", "VideoClipInfo", "VideoDataset",
    "VideoDatasetType", "VideoFrameInfo", "VideoInfo", "get_seconds_from_hms_time",
    "save_encoded_video_manifest", "save_video_frame_info",
]  # fmt: skip


def get_seconds_from_hms_time(time_str: str) -> float:
    """Seconds of a time hours:minutes:seconds.

    Raises:
        DatasetError: it is no such time.
    """
    try:
        return float(seconds(time_str))
    except ValueError as error:
        raise DatasetError(f"time {time_str!r}; expected {error}") from None


def save_encoded_video_manifest(
    encoded_video_infos: Mapping[str, EncodedVideoInfo], file_name: str | None = None
) -> str:
    """Writes the table `video_id,file_path` and returns its path."""
    path = file_name or f"{os.getcwd()}/encoded_video_manifest.csv"
    save_dataclass_objs_to_headered_csv(list(encoded_video_infos.values()), path)
    return path


def save_video_frame_info(
    video_frames: Mapping[str, VideoFrameInfo], file_name: str | None = None
) -> str:
    """Writes the table of frames and returns its path."""
    path = file_name or f"{os.getcwd()}/video_frame_metadata.csv"
    save_dataclass_objs_to_headered_csv(list(video_frames.values()), path)
    return path
