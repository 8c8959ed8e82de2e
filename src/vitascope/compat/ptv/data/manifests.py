"""Manifests of PyTorchVideo: facts of videos in one table, their files or frames in another."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from vitascope.data.listing import has_image_suffix, has_video_suffix, is_hidden
from vitascope.data.sets.domsev import (
    FrameFiles,
    VideoFacts,
    _by_id,
    _without_facts,
    read_video_infos,
)
from vitascope.data.tables.columns import text
from vitascope.errors import DatasetError, DatasetNotFoundError

_NUMBERED = re.compile(r"(.*?)(\d+)\.([^.]+)")


@dataclass(frozen=True)
class EncodedVideos:
    """Videos with facts and path, and why others were left out (id -> reason)."""

    videos: dict[str, tuple[VideoFacts, str]]
    left_out: dict[str, str]


def read_encoded_videos(infos: str | Path, files: str | Path) -> EncodedVideos:
    """Joins facts and paths of videos.

    Raises:
        DatasetError: as `read_video_infos`.
    """
    facts, paths = read_video_infos(infos), _by_id(files, _File, {
        "video_id": text, "file_path": text
    })  # fmt: skip
    left_out = {name: f"no file of it in {Path(files).name}" for name in facts if name not in paths}
    videos = {name: (info, paths[name].file_path) for name, info in facts.items() if name in paths}
    return EncodedVideos(videos, {**left_out, **_without_facts(paths, facts, infos)})


def find_frame_files(root: str | Path, *, nested: bool) -> dict[str, FrameFiles]:
    """Finds numbered images.

    Args:
        root: a folder of folders.
        nested: True for `PERSON/VIDEO_000001.jpg`, several videos in a folder, whose ids end
            before the last underscore; False for `VIDEO/frame_000001.jpg`, one video a folder.

    Raises:
        DatasetNotFoundError: there is no such folder.
        DatasetError: a number is missing between the first and the last.
    """
    if not os.path.isdir(root):
        raise DatasetNotFoundError(f"{root}: no such folder")
    found: dict[str, FrameFiles] = {}
    for folder in sorted(os.listdir(root)):
        location = os.path.join(root, folder)
        if is_hidden(folder) or not os.path.isdir(location):
            continue
        runs: dict[tuple[str, int, str], list[int]] = {}
        for name in os.listdir(location):
            match = _NUMBERED.fullmatch(name) if has_image_suffix(name) else None
            if match:
                stem, digits, suffix = match.groups()
                key = (stem, len(stem) + len(digits), suffix)
                runs.setdefault(key, []).append(int(digits))
        for (stem, length, suffix), numbers in sorted(runs.items()):
            video = stem.rstrip("_") if nested else folder
            if video in found:
                raise DatasetError(f"{location}: two runs of images for the video {video}")
            _without_gap(location, stem, numbers)
            found[video] = FrameFiles(
                video, location, stem, length, min(numbers), max(numbers), suffix
            )
    return found


def find_encoded_videos(root: str | Path) -> dict[str, str]:
    """Videos at any depth below a folder, id (the name without its suffix) -> path.

    Raises:
        DatasetNotFoundError: there is no such folder.
        DatasetError: two videos with one id.
    """
    if not os.path.isdir(root):
        raise DatasetNotFoundError(f"{root}: no such folder")
    found: dict[str, str] = {}
    for folder, _, names in sorted(os.walk(root)):
        for name in sorted(names):
            if is_hidden(name) or not has_video_suffix(name):
                continue
            video, path = os.path.splitext(name)[0], os.path.join(folder, name)
            if video in found:
                raise DatasetError(f"{path}: the video {video} is also {found[video]}")
            found[video] = path
    return found


@dataclass(frozen=True)
class _File:
    video_id: str
    file_path: str


def _without_gap(location: str, stem: str, numbers: Sequence[int]) -> None:
    missing = sorted(set(range(min(numbers), max(numbers) + 1)) - set(numbers))
    if missing:
        raise DatasetError(
            f"{location}: image {missing[0]} of {stem!r} is missing; {len(missing)} gaps between "
            f"{min(numbers)} and {max(numbers)}"
        )


def total_duration(infos: Iterable[VideoFacts]) -> Fraction:
    """Seconds of all videos together."""
    return sum((info.duration for info in infos), Fraction(0))
