"""PyTorchVideo's Video interface: parts of a video by seconds, whatever it is kept as."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from vitascope.data.clips import Seconds


class Video(ABC):
    """A video that gives the frames and the sound of any interval.

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
    def duration(self) -> Seconds:
        """Seconds from the first frame to the end."""

    @property
    def shown(self) -> Seconds:
        """Seconds in which there are frames; less than `duration` where the sound is longer."""
        return self.duration

    @abstractmethod
    def get_clip(self, start_sec: Seconds, end_sec: Seconds) -> dict[str, Any] | None:
        """What is seen and heard in [start_sec, end_sec).

        Args:
            start_sec: seconds from the first frame.
            end_sec: seconds from the first frame; the frame that begins here is not in the clip.

        Returns:
            `video`: float32 C T H W from 0 to 255, or None if no frame begins in the interval;
            `audio`: float32 S, or None without sound. None instead of the dictionary says the
            same as `video` None, as some kinds of videos do.
        """

    @abstractmethod
    def close(self) -> None:
        """Frees the file."""
