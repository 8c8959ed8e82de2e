"""PyTorchVideo's rows of manifests: dataclasses whose fields may be given as text."""

from __future__ import annotations

import dataclasses
from enum import Enum

from vitascope.compat.ptv.data.utils import DataclassFieldCaster

__all__ = [
    "DataclassFieldCaster", "EncodedVideoInfo", "ImageFrameInfo", "VideoClipInfo",
    "VideoDatasetType", "VideoFrameInfo", "VideoInfo",
]  # fmt: skip


@dataclasses.dataclass
class EncodedVideoInfo(DataclassFieldCaster):
    """The file of a video."""

    video_id: str
    file_path: str


@dataclasses.dataclass
class VideoFrameInfo(DataclassFieldCaster):
    """Numbered images of a video; the fields are those of `sets.domsev.FrameFiles`."""

    video_id: str
    location: str
    frame_file_stem: str
    frame_string_length: int
    min_frame_number: int
    max_frame_number: int
    file_extension: str


@dataclasses.dataclass
class VideoInfo(DataclassFieldCaster):
    """Length in seconds and frames a second of a video."""

    video_id: str
    resolution: str
    duration: float
    fps: float


@dataclasses.dataclass
class VideoClipInfo(DataclassFieldCaster):
    """An interval of a video, in seconds."""

    video_id: str
    start_time: float
    stop_time: float


@dataclasses.dataclass
class ImageFrameInfo(DataclassFieldCaster):
    """One image of a video."""

    video_id: str
    frame_id: str
    frame_number: int
    frame_file_path: str


class VideoDatasetType(Enum):
    """How videos are kept."""

    Frame = 1
    EncodedVideo = 2
