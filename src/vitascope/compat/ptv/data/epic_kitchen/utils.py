"""PyTorchVideo's `data.epic_kitchen.utils`: manifests of the videos and frames below a folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from vitascope.compat.ptv.data.manifest_rows import (
    EncodedVideoInfo,
    VideoFrameInfo,
)
from vitascope.compat.ptv.data.manifests import find_encoded_videos, find_frame_files
from vitascope.compat.ptv.data.utils import optional_threaded_foreach as optional_threaded_foreach
from vitascope.data.sets.domsev import FrameFiles


def build_frame_manifest_from_flat_directory(
    data_directory_path: str | Path, multithreaded: bool
) -> dict[str, VideoFrameInfo]:
    """Frames of one video a folder, `VIDEO/frame_000001.jpg`; see `find_frame_files`."""
    return _frame_infos(find_frame_files(data_directory_path, nested=False))


def build_frame_manifest_from_nested_directory(
    data_directory_path: str | Path, multithreaded: bool
) -> dict[str, VideoFrameInfo]:
    """Frames of several videos a folder, `PERSON/VIDEO_000001.jpg`; see `find_frame_files`."""
    return _frame_infos(find_frame_files(data_directory_path, nested=True))


def build_encoded_manifest_from_nested_directory(
    data_directory_path: str | Path,
) -> dict[str, EncodedVideoInfo]:
    """Video files below a folder by their names, P01_101 apart from P01_10."""
    found = find_encoded_videos(data_directory_path)
    return {name: EncodedVideoInfo(name, path) for name, path in found.items()}


def _frame_infos(found: Mapping[str, FrameFiles]) -> dict[str, VideoFrameInfo]:
    return {name: VideoFrameInfo(**vars(files)) for name, files in found.items()}
