"""EPIC-Kitchens 55 and 100: actions as intervals of long videos."""

from __future__ import annotations

import ast
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol, TypeVar

from vitascope.data.clips import Clip
from vitascope.data.records import Table
from vitascope.data.sets.card import CLASS_LIST, UNCHECKED, DatasetCard
from vitascope.data.sets.locate import Places
from vitascope.data.tables.columns import read_columns, seconds, text, whole


@dataclass(frozen=True)
class EpicAction:
    """One labeled action; times in exact seconds, frames counted from 0 by the authors.

    Attributes:
        start_timestamp: the start as written.
        stop_timestamp: the end as written.
        where: list and row, for messages.
    """

    participant_id: str
    video_id: str
    narration: str
    start: Fraction
    stop: Fraction
    start_frame: int
    stop_frame: int
    verb: str
    verb_class: int
    noun: str
    noun_class: int
    all_nouns: tuple[str, ...]
    all_noun_classes: tuple[int, ...]
    start_timestamp: str
    stop_timestamp: str
    where: str

    @property
    def clip(self) -> Clip:
        """The interval of the action."""
        return Clip(self.start, self.stop)


class Timed(Protocol):
    """Whatever begins and ends in a video, in exact seconds."""

    @property
    def start(self) -> Fraction:
        """Seconds from the first frame."""

    @property
    def stop(self) -> Fraction:
        """Seconds from the first frame."""


AnyTimed = TypeVar("AnyTimed", bound=Timed)


def read_epic_actions(path: str | Path) -> dict[str, tuple[EpicAction, ...]]:
    """Actions by video, in the order of the table; both editions of the data set.

    Raises:
        DatasetError: a missing column, or a value that does not fit, with file and row.
    """
    rows = read_columns(path, {
        "participant_id": text, "video_id": text, "narration": str, "start_timestamp": _time,
        "stop_timestamp": _time, "start_frame": whole, "stop_frame": whole, "verb": str,
        "verb_class": whole, "noun": str, "noun_class": whole, "all_nouns": _list(str),
        "all_noun_classes": _list(int),
    })  # fmt: skip
    found: dict[str, list[EpicAction]] = {}
    for line, row in rows:
        row["start_timestamp"], start = row["start_timestamp"]
        row["stop_timestamp"], stop = row["stop_timestamp"]
        action = EpicAction(**row, start=start, stop=stop, where=f"{Path(path).name}, row {line}")
        found.setdefault(action.video_id, []).append(action)
    return {video: tuple(actions) for video, actions in found.items()}


def actions_during(actions: Iterable[AnyTimed], clip: Clip) -> tuple[AnyTimed, ...]:
    """The actions that share an instant with the clip."""
    return tuple(a for a in actions if a.start < clip.end and clip.start < a.stop)


def back_to_back(duration: Fraction, length: Fraction, offset: Fraction) -> tuple[Clip, ...]:
    """Whole clips one after the other from `offset` on; none if not even one fits.

    PyTorchVideo draws the offset once when the data set is made; drawn from a sample's key it
    differs from epoch to epoch.
    """
    count = max(int((duration - offset) // length), 0)
    return tuple(Clip(offset + i * length, offset + (i + 1) * length) for i in range(count))


def forecasting_windows(
    actions: Sequence[Timed],
    length: Fraction,
    clips: int,
    stride: Fraction,
    num_actions: int,
) -> tuple[Clip, ...]:
    """What is seen before the actions that are to be foretold.

    For each action after whose end `num_actions` others begin, the window of `clips` clips of
    `length` seconds, `stride` seconds apart, ends with the action. Windows that would begin
    before the video are left out.
    """
    window = stride * (clips - 1) + length
    starts = sorted(action.start for action in actions)
    ends = (
        action.stop for action in actions
        if len(starts) - bisect_right(starts, action.stop) >= num_actions
    )  # fmt: skip
    return tuple(Clip(end - window, end) for end in ends if end >= window)


def _time(value: str) -> tuple[str, Fraction]:
    return value, seconds(value)


def _list(kind: type) -> Any:
    def parse(value: str) -> tuple[Any, ...]:
        try:
            found = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            found = None
        if not isinstance(found, list) or not all(isinstance(item, kind) for item in found):
            what = "numbers, such as [1, 7]" if kind is int else "texts, such as ['door', 'knob']"
            raise ValueError(f"a list of {what}")
        return tuple(found)

    return parse


def find_epic_kitchens(places: Places) -> Table:
    """The videos of EPIC-Kitchens from the lists below a folder."""
    if places.card.name == "epic_kitchens55":
        found = places.by_split(train="EPIC_train_action_labels.csv")
    else:
        found = places.by_split(train="EPIC_100_train.csv", val="EPIC_100_validation.csv")
    return places.named(
        (
            (video, split, actions[0].where)
            for split, path in found.items()
            for video, actions in read_epic_actions(path).items()
        ),
        ".MP4",
    )


EPIC55 = DatasetCard(
    name="epic_kitchens55",
    title="EPIC-KITCHENS-55",
    task="segments",
    num_classes="125 verbs, 352 nouns",
    splits={"train": 28472},
    sources={"classes": UNCHECKED, "train": UNCHECKED},
    annotations="EPIC_train_action_labels.csv",
    files="PARTICIPANT/VIDEO.MP4, or numbered frames",
    reader="epic_kitchens:read_epic_actions",
    find="epic_kitchens:find_epic_kitchens",
    paper="arXiv:1804.02748",
    homepage="https://epic-kitchens.github.io",
    terms="CC BY-NC 4.0",
)
EPIC100 = DatasetCard(
    name="epic_kitchens100",
    title="EPIC-KITCHENS-100",
    task="segments",
    num_classes="97 verbs, 300 nouns",
    splits={"train": 67217, "val": 9668, "test": 13092},
    sources={
        "classes": CLASS_LIST,
        **dict.fromkeys(
            ("train", "val", "test"),
            "as publications cite it; together the 90K actions of arXiv:2006.13256",
        ),
    },
    annotations="EPIC_100_train.csv, EPIC_100_validation.csv",
    files="PARTICIPANT/VIDEO.MP4, or numbered frames",
    reader="epic_kitchens:read_epic_actions",
    find="epic_kitchens:find_epic_kitchens",
    paper="arXiv:2006.13256",
    homepage="https://epic-kitchens.github.io",
    terms="CC BY-NC 4.0",
)
