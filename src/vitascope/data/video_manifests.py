"""Manifests of PyTorchVideo: facts of videos in one table, their files or frames in another."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from vitascope.data.columns import read_columns, seconds, text, whole
from vitascope.data.listing import has_image_suffix, has_video_suffix, is_hidden
from vitascope.errors import DatasetError, DatasetNotFoundError

_NUMBERED = re.compile(r"(.*?)(\d+)\.([^.]+)")


@dataclass(frozen=True)
class VideoInfo:
    """Length in seconds and frames a second of a video."""

    video_id: str
    resolution: str
    duration: Fraction
    fps: Fraction


@dataclass(frozen=True)
class FrameFiles:
    """Numbered pictures of one video.

    Attributes:
        video_id: the video's id.
        location: their folder.
        frame_file_stem: what stands before the number in their names.
        frame_string_length: characters of a name without its suffix.
        min_frame_number: number of the first picture.
        max_frame_number: number of the last picture.
        file_extension: suffix without the dot.
    """

    video_id: str
    location: str
    frame_file_stem: str
    frame_string_length: int
    min_frame_number: int
    max_frame_number: int
    file_extension: str

    def __len__(self) -> int:
        return self.max_frame_number - self.min_frame_number + 1

    def path(self, number: int) -> str:
        """Path of the picture with this number."""
        digits = self.frame_string_length - len(self.frame_file_stem)
        name = f"{self.frame_file_stem}{number:0{digits}d}.{self.file_extension}"
        return os.path.join(self.location, name)

    def paths(self) -> tuple[str, ...]:
        """Paths of all pictures, the last one included."""
        return tuple(map(self.path, range(self.min_frame_number, self.max_frame_number + 1)))


@dataclass(frozen=True)
class EncodedVideos:
    """Videos with facts and path, and why others were left out (id -> reason)."""

    videos: dict[str, tuple[VideoInfo, str]]
    left_out: dict[str, str]


@dataclass(frozen=True)
class FrameVideos:
    """Videos with facts and frames, and why others were left out (id -> reason)."""

    videos: dict[str, tuple[VideoInfo, FrameFiles]]
    left_out: dict[str, str]


def read_video_infos(path: str | Path) -> dict[str, VideoInfo]:
    """The table `video_id,resolution,duration,fps`.

    Raises:
        DatasetError: a missing column, a value that is no number, or a video that comes twice.
    """
    return _by_id(path, VideoInfo, {
        "video_id": text, "resolution": str, "duration": seconds, "fps": seconds
    })  # fmt: skip


def read_frame_files(path: str | Path) -> dict[str, FrameFiles]:
    """The table `video_id,location,frame_file_stem,...`, one row a video.

    Raises:
        DatasetError: as `read_video_infos`.
    """
    return _by_id(path, FrameFiles, {
        "video_id": text, "location": str, "frame_file_stem": str, "frame_string_length": whole,
        "min_frame_number": whole, "max_frame_number": whole, "file_extension": text,
    })  # fmt: skip


def read_frame_videos(infos: str | Path, frames: str | Path) -> FrameVideos:
    """Joins both tables; a video must have as many frames as it lasts, give or take a second.

    Raises:
        DatasetError: as `read_video_infos`.
    """
    files, facts = read_frame_files(frames), read_video_infos(infos)
    videos, left_out = {}, {}
    for name, info in facts.items():
        if name not in files:
            left_out[name] = f"no frames of it in {Path(frames).name}"
        elif abs(len(files[name]) - info.duration * info.fps) > info.fps:
            left_out[name] = (
                f"{len(files[name])} frames, and {float(info.duration * info.fps):g} are expected"
            )
        else:
            videos[name] = (info, files[name])
    return FrameVideos(videos, {**left_out, **_without_facts(files, facts, infos)})


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
    """Finds numbered pictures.

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
                raise DatasetError(f"{location}: two runs of pictures for the video {video}")
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


def _without_facts(
    names: Iterable[str], facts: dict[str, VideoInfo], infos: str | Path
) -> dict[str, str]:
    return {name: f"it is not in {Path(infos).name}" for name in names if name not in facts}


def _without_gap(location: str, stem: str, numbers: Sequence[int]) -> None:
    missing = sorted(set(range(min(numbers), max(numbers) + 1)) - set(numbers))
    if missing:
        raise DatasetError(
            f"{location}: picture {missing[0]} of {stem!r} is missing; {len(missing)} gaps between "
            f"{min(numbers)} and {max(numbers)}"
        )


def _by_id(path: str | Path, kind: Any, columns: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for line, row in read_columns(path, columns):
        if row["video_id"] in found:
            raise DatasetError(
                f"{Path(path).name}, row {line}: the video {row['video_id']} comes twice"
            )
        found[row["video_id"]] = kind(**row)
    return found


def total_duration(infos: Iterable[VideoInfo]) -> Fraction:
    """Seconds of all videos together."""
    return sum((info.duration for info in infos), Fraction(0))
