"""PyTorchVideo's FrameVideo: a video kept as one image a frame."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path, PurePath
from typing import Any, Self

from torch import Tensor

from vitascope.compat.ptv.data.utils import optional_threaded_foreach as optional_threaded_foreach
from vitascope.compat.ptv.data.utils import thwc_to_cthw as thwc_to_cthw
from vitascope.compat.ptv.data.video_base import Video as Video
from vitascope.compat.ptv.errors import RefusedArgumentError
from vitascope.data.clips import Seconds, exact_interval, exact_seconds
from vitascope.data.decoders.images import picture_files, read_pictures
from vitascope.errors import ConfigError, DecodeError, VideoNotFoundError

_THREADS = 8


class FrameVideo(Video):
    """Images at a constant rate.

    Args:
        duration: seconds; more than the images last is allowed only with
            `video_frame_to_path_fn`.
        fps: frames a second.
        video_frame_to_path_fn: frame number -> path of its image, instead of a list.
        video_frame_paths: paths in order.
        multithreaded_io: read the images of a clip with several threads.

    Raises:
        RefusedArgumentError: not exactly one of function and list.
        ConfigError: a rate that is not above 0.
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
            raise RefusedArgumentError(
                "give either video_frame_to_path_fn or video_frame_paths, one of the two"
            )
        self._duration, self._fps = duration, fps
        self._exact_fps = exact_seconds(fps)
        if self._exact_fps <= 0:
            raise ConfigError(f"fps = {fps}; it must be above 0")
        self._video_frame_to_path_fn = video_frame_to_path_fn
        self._video_frame_paths = (
            None if video_frame_paths is None else [os.fspath(path) for path in video_frame_paths]
        )
        self._multithreaded_io = multithreaded_io

    @classmethod
    def from_directory(
        cls,
        path: str | os.PathLike[str],
        fps: Seconds = 30.0,
        multithreaded_io: bool = False,
        path_order_cache: dict[str, list[str]] | None = None,
    ) -> Self:
        """The images of a folder in the order of the numbers in their names.

        Args:
            path: the folder.
            fps: frames a second.
            multithreaded_io: read the images of a clip with several threads.
            path_order_cache: remembers the order of each folder, for next time.

        Raises:
            VideoNotFoundError: there is no such folder.
            DecodeError: there is no image in the folder.
        """
        folder = os.fspath(path)
        if not os.path.isdir(folder):
            raise VideoNotFoundError(folder, "no such folder", remedy="Check the path.")
        paths = None if path_order_cache is None else path_order_cache.get(folder)
        if paths is None:
            paths = list(map(str, picture_files(Path(folder))))
            if path_order_cache is not None:
                path_order_cache[folder] = paths
        if not paths:
            raise DecodeError(folder, "no image in this folder")
        return cls.from_frame_paths(paths, fps, multithreaded_io)

    @classmethod
    def from_frame_paths(
        cls,
        video_frame_paths: Sequence[str | os.PathLike[str]],
        fps: Seconds = 30.0,
        multithreaded_io: bool = False,
    ) -> Self:
        """Images in the order given.

        Raises:
            RefusedArgumentError: no image.
            ConfigError: a rate that is not above 0.
        """
        if not video_frame_paths:
            raise RefusedArgumentError("the list of images is empty")
        if fps <= 0:
            raise ConfigError(f"fps = {fps}; it must be above 0")
        return cls(
            len(video_frame_paths) / fps, fps, video_frame_paths=video_frame_paths,
            multithreaded_io=multithreaded_io,
        )  # fmt: skip

    @property
    def name(self) -> str:
        """Name of the folder of the first frame."""
        return PurePath(self._video_frame_to_path(0)).parent.name

    @property
    def duration(self) -> Seconds:
        """Seconds from the first frame to the end of the last: a float, as the rate is by default.

        It is what was given, or the number of frames divided by the rate.
        """
        return self._duration

    def get_clip(
        self,
        start_sec: Seconds,
        end_sec: Seconds,
        frame_filter: Callable[[list[int]], list[int]] | None = None,
    ) -> dict[str, Any] | None:
        """The frames that begin in [start_sec, end_sec).

        Args:
            start_sec: seconds from the first frame.
            end_sec: seconds from the first frame.
            frame_filter: picks from the frame numbers of the clip those to read.

        Returns:
            `video`: float32 C T H W from 0 to 255; `frame_indices`: numbers of the frames in the
            video; `audio`: None. None instead of all that if no frame begins in the interval.

        Raises:
            VideoNotFoundError: an image is missing.
            DecodeError: an image is damaged.
        """
        start, end = exact_interval(start_sec, end_sec, exact_seconds(self._duration))
        first, stop = map(self._get_frame_index_for_time, (start, end))
        if self._video_frame_paths is not None:
            stop = min(stop, len(self._video_frame_paths))
        numbers = list(range(first, stop))
        if not numbers:
            return None
        chosen = numbers if frame_filter is None else list(frame_filter(numbers))
        paths = [self._video_frame_to_path(i) for i in chosen]
        frames = read_pictures(paths, _THREADS if self._multithreaded_io else 1)
        return {"video": thwc_to_cthw(frames).float(), "frame_indices": chosen, "audio": None}

    def close(self) -> None:
        """Nothing is kept open."""

    def _get_frame_index_for_time(self, time_sec: Seconds) -> int:
        return int(-(-exact_seconds(time_sec) * self._exact_fps // 1))

    def _video_frame_to_path(self, frame_index: int) -> str:
        if self._video_frame_to_path_fn is not None:
            return os.fspath(self._video_frame_to_path_fn(frame_index))
        assert self._video_frame_paths is not None
        return self._video_frame_paths[frame_index]


def _load_images_with_retries(
    image_paths: Sequence[str], num_retries: int = 10, multithreaded: bool = True
) -> Tensor:
    """Images as uint8 T H W C; a disk that answers answers at once, so nothing is tried again."""
    return read_pictures(list(image_paths), _THREADS if multithreaded else 1)
