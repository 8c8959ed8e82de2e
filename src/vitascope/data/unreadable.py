"""Videos that could not be read: counted, held against a budget, and named after an epoch."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Self

from vitascope.errors import DatasetError


@dataclass(frozen=True, kw_only=True)
class UnreadableReport:
    """Clips that were asked for and could not be read.

    Attributes:
        clips: how many clips.
        videos: for each video affected, its number and the reason, in the order of the numbers.
        substituted: black frames stood in for them, and they were not left out.
    """

    clips: int = 0
    videos: tuple[tuple[int, str], ...] = ()
    substituted: bool = False

    def joined(self, other: UnreadableReport) -> UnreadableReport:
        """Both together; of a video that is in both the first reason."""
        reasons = dict(other.videos) | dict(self.videos)
        return UnreadableReport(
            clips=self.clips + other.clips,
            videos=tuple(sorted(reasons.items())),
            substituted=self.substituted or other.substituted,
        )

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Reads what `dataclasses.asdict` and JSON made of a report."""
        videos = tuple((int(number), str(reason)) for number, reason in data["videos"])
        return cls(clips=data["clips"], videos=videos, substituted=data["substituted"])

    def __str__(self) -> str:
        done = "replaced by black frames" if self.substituted else "left out"
        if not self.clips:
            return f"no video was {done}"
        some = "; ".join(reason for _, reason in self.videos[:3])
        more = f"; and {len(self.videos) - 3} more" if len(self.videos) > 3 else ""
        return f"{self.clips} clips of {len(self.videos)} videos were {done}: {some}{more}"


class UnreadableCounter:
    """Collects what could not be read.

    Args:
        substituted: black frames stand in for it.
    """

    def __init__(self, substituted: bool = False) -> None:
        self._clips = 0
        self._reasons: dict[int, str] = {}
        self._substituted = substituted

    def add(self, video: int, reason: str) -> None:
        """Counts one clip of a video."""
        self._clips += 1
        self._reasons.setdefault(video, reason)

    def check(self, budget: float, videos: int, known: Collection[int] = ()) -> None:
        """Compares the number of bad videos with the share that may be bad.

        Args:
            budget: share of the videos, 0 to 1.
            videos: number of videos that are read in all.
            known: numbers of bad videos that were counted elsewhere.

        Raises:
            DatasetError: more of them are bad.
        """
        bad = len(self._reasons.keys() | set(known))
        if self._reasons and bad > budget * videos:
            raise DatasetError(
                f"{bad} of {videos} videos could not be read, more than the budget of "
                f"{100 * budget:g} %; the last: {list(self._reasons.values())[-1]} Run `vitascope "
                f"check` on the data, or raise the budget"
            )

    def take(self) -> UnreadableReport:
        """What was collected, and begins anew."""
        found = self.report()
        self._clips, self._reasons = 0, {}
        return found

    def report(self) -> UnreadableReport:
        """What was collected since the beginning or the last `take`."""
        return UnreadableReport(
            clips=self._clips,
            videos=tuple(sorted(self._reasons.items())),
            substituted=self._substituted,
        )
