"""PyTorchVideo's FrameVideo: a film kept as one picture a frame."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path, PurePath
from typing import Any, Self

from vitascope.compat.ptv.data.video_base import Video
from vitascope.data.clips import Seconds, exact_interval, exact_seconds
from vitascope.data.decoders.images import picture_files, read_pictures
from vitascope.errors import ConfigError, DecodeError

_THREADS = 8


class FrameVideo(Video):
    """Pictures at a constant rate.

    Args:
        duration: seconds; more than the pictures last is allowed only with
            `video_frame_to_path_fn`.
        fps: frames a second.
        video_frame_to_path_fn: frame number -> path of its picture, instead of a list.
        video_frame_paths: paths in order.
        multithreaded_io: read the pictures of a clip with several threads.

    Raises:
        ConfigError: not exactly one of function and list, or a rate that is not above 0.
    """

    def __init__(
        self,
        duration: Seconds,
        fps: Seconds,
        video_frame_to_path_fn: Callable[[int], str] | None = None,
        video_frame_paths: Sequence[str | os.PathLike[str]] | None = None,
        multithreaded_io: bool = False,
    ) -> None:
        if (video_frame_to_path_fn is None) == (video_frame_paths is None):
            raise ConfigError(
                "give either video_frame_to_path_fn or video_frame_paths, one of the two"
            )
        self._duration, self._fps = exact_seconds(duration), exact_seconds(fps)
        if self._fps <= 0:
            raise ConfigError(f"fps = {fps}; it must be above 0")
        self._path_of = video_frame_to_path_fn
        self._paths = (
            None if video_frame_paths is None else [os.fspath(path) for path in video_frame_paths]
        )
        self._threads = _THREADS if multithreaded_io else 1
        self._name = ""

    @classmethod
    def from_directory(
        cls,
        path: str | os.PathLike[str],
        fps: Seconds = 30.0,
        multithreaded_io: bool = False,
        path_order_cache: dict[str, list[str]] | None = None,
    ) -> Self:
        """The pictures of a folder in the order of the numbers in their names.

        Args:
            path: the folder.
            fps: frames a second.
            multithreaded_io: read the pictures of a clip with several threads.
            path_order_cache: remembers the order of each folder, for next time.

        Raises:
            DecodeError: there is no picture in the folder.
        """
        folder = os.fspath(path)
        if not os.path.isdir(folder):
            raise DecodeError(folder, "no such folder", remedy="Check the path.")
        paths = None if path_order_cache is None else path_order_cache.get(folder)
        if paths is None:
            paths = list(map(str, picture_files(Path(folder))))
            if path_order_cache is not None:
                path_order_cache[folder] = paths
        if not paths:
            raise DecodeError(folder, "no picture in this folder")
        found = cls.from_frame_paths(paths, fps, multithreaded_io)
        found._name = PurePath(folder).name
        return found

    @classmethod
    def from_frame_paths(
        cls,
        video_frame_paths: Sequence[str | os.PathLike[str]],
        fps: Seconds = 30.0,
        multithreaded_io: bool = False,
    ) -> Self:
        """Pictures in the order given.

        Raises:
            ConfigError: no picture.
        """
        if not video_frame_paths:
            raise ConfigError("the list of pictures is empty")
        rate = exact_seconds(fps)
        if rate <= 0:
            raise ConfigError(f"fps = {fps}; it must be above 0")
        return cls(
            len(video_frame_paths) / rate, rate, video_frame_paths=video_frame_paths,
            multithreaded_io=multithreaded_io,
        )  # fmt: skip

    @property
    def name(self) -> str:
        """Name of the folder; empty if there is none."""
        return self._name

    @property
    def duration(self) -> Fraction:
        """Seconds from the first frame to the end of the last."""
        return self._duration

    def get_clip(
        self,
        start_sec: Seconds,
        end_sec: Seconds,
        frame_filter: Callable[[list[int]], list[int]] | None = None,
    ) -> dict[str, Any]:
        """The frames that begin in [start_sec, end_sec).

        Args:
            start_sec: seconds from the first frame.
            end_sec: seconds from the first frame.
            frame_filter: picks from the frame numbers of the clip those to read.

        Returns:
            `video`: float32 C T H W from 0 to 255, or None for an interval without a frame;
            `frame_indices`: numbers of the frames in the video; `audio`: None.

        Raises:
            DecodeError: a picture is missing or damaged.
        """
        start, end = exact_interval(start_sec, end_sec, self.duration)
        first, stop = -(-start * self._fps // 1), -(-end * self._fps // 1)
        if self._paths is not None:
            stop = min(stop, len(self._paths))
        numbers = list(range(first, stop))
        if not numbers:
            return {"video": None, "frame_indices": [], "audio": None}
        chosen = numbers if frame_filter is None else list(frame_filter(numbers))
        data = read_pictures([self._path(i) for i in chosen], self._threads)
        return {
            "video": data.permute(3, 0, 1, 2).float(),
            "frame_indices": chosen,
            "audio": None,
        }

    def close(self) -> None:
        """Nothing is kept open."""

    def _path(self, number: int) -> str:
        if self._path_of is not None:
            return os.fspath(self._path_of(number))
        assert self._paths is not None
        return self._paths[number]
