"""Videos that were left out: counted, and named at the end of an epoch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class FaultReport:
    """Clips that were asked for and could not be read.

    Attributes:
        clips: how many clips.
        videos: for each video affected, its number and the reason, in the order of the numbers.
    """

    clips: int
    videos: tuple[tuple[int, str], ...]

    def __str__(self) -> str:
        if not self.clips:
            return "no video was left out"
        some = "; ".join(reason for _, reason in self.videos[:3])
        more = f"; and {len(self.videos) - 3} more" if len(self.videos) > 3 else ""
        return f"{self.clips} clips of {len(self.videos)} videos were left out: {some}{more}"


class Faults:
    """Collects what was left out."""

    def __init__(self) -> None:
        self._clips = 0
        self._reasons: dict[int, str] = {}

    def add(self, video: int, reason: str) -> None:
        """Counts one clip of a video."""
        self._clips += 1
        self._reasons.setdefault(video, reason)

    def report(self) -> FaultReport:
        """What was collected since the beginning."""
        return FaultReport(clips=self._clips, videos=tuple(sorted(self._reasons.items())))
