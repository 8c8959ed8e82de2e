"""PyTorchVideo's Video interface: parts of a film by seconds, whatever it is kept as."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from fractions import Fraction
from typing import Any

from vitascope.data.clips import Seconds
from vitascope.data.listing import is_remote


class Video(ABC):
    """A film that gives the frames and the sound of any interval.

    Args:
        file: where it is kept.
        video_name: name for messages and samples.
        decode_audio: whether clips come with their sound.
    """

    @abstractmethod
    def __init__(
        self, file: Any, video_name: str | None = None, decode_audio: bool = True
    ) -> None: ...

    @property
    @abstractmethod
    def duration(self) -> Fraction:
        """Seconds from the first frame to the end of the last."""

    @abstractmethod
    def get_clip(self, start_sec: Seconds, end_sec: Seconds) -> dict[str, Any]:
        """What is seen and heard in [start_sec, end_sec).

        Args:
            start_sec: seconds from the first frame.
            end_sec: seconds from the first frame; the frame that begins here is not in the clip.

        Returns:
            `video`: float32 C T H W from 0 to 255, or None if no frame begins in the interval;
            `audio`: float32 S, or None without sound.
        """

    @abstractmethod
    def close(self) -> None:
        """Frees the file."""


class VideoPathHandler:
    """Opens whatever a path leads to: a folder of frames or a file."""

    def __init__(self) -> None:
        # Frames of folders in order, so that a folder is read and sorted once.
        self.path_order_cache: dict[str, list[str]] = {}

    def video_from_path(
        self,
        filepath: str | os.PathLike[str],
        decode_video: bool = True,
        decode_audio: bool = False,
        decoder: str = "pyav",
        fps: Seconds = 30,
    ) -> Video:
        """Opens a video.

        Args:
            filepath: a file, a folder of frames, or an address.
            decode_video: whether clips come with their frames (files only).
            decode_audio: whether clips come with their sound (files only).
            decoder: backend by name (files only).
            fps: frames a second of a folder of frames.

        Raises:
            DecodeError: there is no video.
        """
        from vitascope.data.encoded_video import EncodedVideo
        from vitascope.data.frame_video import FrameVideo

        path = os.fspath(filepath)
        if not is_remote(path) and os.path.isdir(path):
            return FrameVideo.from_directory(path, fps, path_order_cache=self.path_order_cache)
        return EncodedVideo.from_path(
            path, decode_video=decode_video, decode_audio=decode_audio, decoder=decoder
        )
