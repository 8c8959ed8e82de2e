"""PyTorchVideo's `data.video`: the interface of a video, and what opens one by its path."""

from __future__ import annotations

import os

from vitascope.compat.ptv.data.encoded_video import EncodedVideo
from vitascope.compat.ptv.data.frame_video import FrameVideo
from vitascope.compat.ptv.data.video_base import Video as Video
from vitascope.data.clips import Seconds
from vitascope.data.listing import is_remote

__all__ = ["Video", "VideoPathHandler"]


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
        path = os.fspath(filepath)
        if not is_remote(path) and os.path.isdir(path):
            return FrameVideo.from_directory(path, fps, path_order_cache=self.path_order_cache)
        return EncodedVideo.from_path(
            path, decode_video=decode_video, decode_audio=decode_audio, decoder=decoder
        )
