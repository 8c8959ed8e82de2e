"""PyTorchVideo's Video interface: parts of a film by seconds, whatever it is kept as."""

from __future__ import annotations

from abc import ABC, abstractmethod
from fractions import Fraction
from typing import Any

from vitascope.data.clips import Seconds


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
