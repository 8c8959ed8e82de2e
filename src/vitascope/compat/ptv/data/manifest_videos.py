"""The videos of PyTorchVideo's manifests; a file is open only while a clip of it is read."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path, PurePath
from typing import Any

from vitascope.compat.ptv.data.encoded_video import EncodedVideo
from vitascope.compat.ptv.data.frame_video import FrameVideo
from vitascope.compat.ptv.data.manifest_rows import (
    EncodedVideoInfo,
    ImageFrameInfo,
    VideoDatasetType,
    VideoFrameInfo,
    VideoInfo,
)
from vitascope.compat.ptv.data.manifests import read_encoded_videos
from vitascope.compat.ptv.data.utils import load_dataclass_dict_from_csv
from vitascope.compat.ptv.data.video_base import Video
from vitascope.data.clips import Clip, Seconds, exact_interval
from vitascope.data.decoder import open_video
from vitascope.data.frames import inside
from vitascope.data.modalities.audio import SoundReader
from vitascope.data.sets.domsev import FrameFiles, read_frame_videos
from vitascope.errors import ConfigError, DatasetError

__all__ = ["FileVideo", "ImageDataset", "ListedVideos", "VideoDataset", "read_listed_videos"]

FrameFilter = Callable[[list[int]], list[int]]
_log = logging.getLogger(__name__)


class FileVideo(Video):
    """A video file that is opened anew for each clip.

    A data set has hundreds of long videos; all of them open at once would hold as many files and
    their tables, in every worker. Run `vitascope check` on them once: the times of frames then
    come from its index and are not read from the file for every clip. A file that was cut off is
    refused.

    Args:
        file: its path or address.
        video_name: name for messages and samples; None takes that of the file.
        decode_audio: whether clips come with their sound.
    """

    def __init__(
        self,
        file: str | os.PathLike[str],
        video_name: str | None = None,
        decode_audio: bool = True,
    ) -> None:
        self._path, self._decode_audio = os.fspath(file), decode_audio
        self._name = PurePath(self._path).name if video_name is None else video_name
        self._duration: Fraction | None = None

    @property
    def name(self) -> str:
        """Name of the file without its folder, or the name given."""
        return self._name

    @property
    def duration(self) -> Fraction:
        """Seconds from the first frame to the end of the last; the first call opens the file."""
        if self._duration is None:
            with open_video(self._path, whole=True) as video:
                self._duration = video.duration
        return self._duration

    def get_clip(
        self, start_sec: Seconds, end_sec: Seconds, frame_filter: FrameFilter | None = None
    ) -> dict[str, Any]:
        """What is seen and heard in [start_sec, end_sec); see `Video.get_clip`.

        Args:
            start_sec: seconds from the first frame.
            end_sec: seconds from the first frame.
            frame_filter: picks from the frame numbers of the clip those to read; the answer then
                has `frame_indices` too.

        Raises:
            DecodeError: there is no such file, it was cut off, or a frame or the sound of the clip
                is damaged.
        """
        if frame_filter is None:
            opened = EncodedVideo.from_path(self._path, decode_audio=self._decode_audio)
            with closing(opened):
                return opened.get_clip(start_sec, end_sec) or {"video": None, "audio": None}
        found: dict[str, Any] = {"video": None, "frame_indices": [], "audio": None}
        with open_video(self._path, whole=True) as video:
            self._duration = video.duration
            start, end = exact_interval(start_sec, end_sec, video.duration)
            if start >= end:
                return found
            clip = Clip(start, end)
            numbers = list(inside(video.times, clip))
            if numbers:
                found["frame_indices"] = list(frame_filter(numbers))
                data = video.read(found["frame_indices"]).data
                found["video"] = data.permute(3, 0, 1, 2).float()
            sound = SoundReader(self._path, video.start) if self._decode_audio else None
        if sound is not None and sound.has_stream:
            found["audio"] = sound.read(clip).samples[0]
        return found

    def close(self) -> None:
        """Nothing is kept open."""


@dataclass(frozen=True)
class ListedVideos:
    """Videos that both tables have.

    Attributes:
        videos: id -> video.
        fps: id -> frames a second, as the table of facts says.
        left_out: id -> why a video of one of the tables is not here.
    """

    videos: dict[str, Video]
    fps: dict[str, Fraction]
    left_out: dict[str, str]


def read_listed_videos(
    data: str | Path, infos: str | Path, kind: VideoDatasetType, *, threads: bool = False
) -> ListedVideos:
    """The videos of a manifest.

    Videos kept as frames last as long as the table of facts says, but not longer than their
    images, so that no clip lies where there is none.

    Args:
        data: table of the files or of the images of each video.
        infos: table of facts; see `read_video_infos`.
        kind: which of both `data` is.
        threads: read the images of a clip with several threads.

    Raises:
        ConfigError: an unknown kind.
        DatasetError: tables that cannot be read, or no video that both of them have.
    """
    videos: dict[str, Video]
    if kind is VideoDatasetType.Frame:
        frames = read_frame_videos(infos, data)
        left_out = frames.left_out
        fps = {name: info.fps for name, (info, _) in frames.videos.items()}
        videos = {
            name: FrameVideo(
                min(info.duration, len(pictures) / info.fps),
                info.fps,
                video_frame_to_path_fn=partial(_picture, pictures),
                multithreaded_io=threads,
            )
            for name, (info, pictures) in frames.videos.items()
        }
    elif kind is VideoDatasetType.EncodedVideo:
        files = read_encoded_videos(infos, data)
        left_out = files.left_out
        fps = {name: info.fps for name, (info, _) in files.videos.items()}
        videos = {name: FileVideo(path) for name, (_, path) in files.videos.items()}
    else:
        raise ConfigError(f"dataset_type = {kind!r}; legal values: {', '.join(map(str, _KINDS))}")
    if not videos:
        raise DatasetError(f"{infos} and {data} have no video in common: {_first(left_out)}")
    report_left_out(left_out, len(videos) + len(left_out))
    return ListedVideos(videos, fps, left_out)


def report_left_out(left_out: Mapping[str, str], total: int) -> None:
    """Says in the log how many videos are not used, and why the first of them are not."""
    if left_out:
        _log.warning("%d of %d videos are left out: %s", len(left_out), total, _first(left_out))


def read_images(data: str | Path, infos: str | Path) -> dict[str, ImageFrameInfo]:
    """Every image of every video by its name without suffix, the last image included.

    Raises:
        DatasetError: tables that cannot be read, or two images of one name.
    """
    found: dict[str, ImageFrameInfo] = {}
    frames = read_frame_videos(infos, data)
    report_left_out(frames.left_out, len(frames.videos) + len(frames.left_out))
    for video, (_, files) in frames.videos.items():
        for number, path in enumerate(files.paths(), files.min_frame_number):
            name = PurePath(path).stem
            if name in found:
                raise DatasetError(
                    f"{path} and {found[name].frame_file_path} have one name; images are known "
                    f"by their names, so these must differ between videos"
                )
            found[name] = ImageFrameInfo(video, name, number, path)
    return found


class ImageDataset:
    """PyTorchVideo's reader of images; see `read_images`."""

    @staticmethod
    def _load_images(
        frame_manifest_file_path: str | Path,
        video_info_file_path: str | Path,
        multithreaded_io: bool,
    ) -> dict[str, ImageFrameInfo]:
        return read_images(frame_manifest_file_path, video_info_file_path)


class VideoDataset:
    """PyTorchVideo's reader of videos; see `read_listed_videos`."""

    @staticmethod
    def _load_videos(
        video_data_manifest_file_path: str | Path,
        video_info_file_path: str | Path,
        multithreaded_io: bool,
        dataset_type: VideoDatasetType,
    ) -> dict[str, Video]:
        return read_listed_videos(
            video_data_manifest_file_path, video_info_file_path, dataset_type,
            threads=multithreaded_io,
        ).videos  # fmt: skip

    @staticmethod
    def _load_frame_videos(
        frame_manifest_file_path: str | Path,
        video_infos: dict[str, VideoInfo],
        multithreaded_io: bool,
    ) -> dict[str, Video]:
        """The videos of a table of images; `video_infos` keeps those that are used."""
        frames = load_dataclass_dict_from_csv(frame_manifest_file_path, VideoFrameInfo, "video_id")
        VideoDataset._remove_video_info_missing_or_incomplete_videos(frames, video_infos)
        return {
            name: FrameVideo(
                min(info.duration, len(_files(frames[name])) / info.fps),
                info.fps,
                video_frame_to_path_fn=partial(_picture, _files(frames[name])),
                multithreaded_io=multithreaded_io,
            )
            for name, info in video_infos.items()
        }

    @staticmethod
    def _load_encoded_videos(
        encoded_video_manifest_file_path: str | Path, video_infos: dict[str, VideoInfo]
    ) -> dict[str, Video]:
        """The videos of a table of files; `video_infos` keeps those that are used."""
        files = load_dataclass_dict_from_csv(
            encoded_video_manifest_file_path, EncodedVideoInfo, "video_id"
        )
        VideoDataset._remove_video_info_missing_or_incomplete_videos(files, video_infos)
        return {name: FileVideo(info.file_path) for name, info in files.items()}

    @staticmethod
    def _frame_number_to_filepaths(
        video_id: str,
        video_frames: Mapping[str, VideoFrameInfo],
        video_infos: Mapping[str, VideoInfo],
    ) -> list[str]:
        """Paths of all images of a video, the last one included."""
        return list(_files(video_frames[video_infos[video_id].video_id]).paths())

    @staticmethod
    def _remove_video_info_missing_or_incomplete_videos(
        video_data_infos: dict[str, Any], video_infos: dict[str, VideoInfo]
    ) -> None:
        """Takes out of both what only one has, and videos whose images do not fill their time."""
        for name in [*video_infos, *video_data_infos]:
            data, info = video_data_infos.get(name), video_infos.get(name)
            if isinstance(data, VideoFrameInfo) and info is not None:
                expected = round(info.duration * info.fps)
                if abs(len(_files(data)) - expected) > info.fps:
                    data = None
            if data is None or info is None:
                video_data_infos.pop(name, None)
                video_infos.pop(name, None)


def _files(info: VideoFrameInfo) -> FrameFiles:
    return FrameFiles(**vars(info))


_KINDS = tuple(VideoDatasetType)


def _picture(files: FrameFiles, index: int) -> str:
    return files.path(files.min_frame_number + index)


def _first(left_out: Mapping[str, str]) -> str:
    shown = [f"{name} ({reason})" for name, reason in list(left_out.items())[:3]]
    return ", ".join(shown) + (", ..." if len(left_out) > 3 else "")
