"""AVA 2.1, 2.2 and AVA-Kinetics: boxes of people with several labels, one image a second.

Rows are `video,second,x1,y1,x2,y2,label[,person or score]` with corners as fractions of the
image. Of each video the seconds 902 to 1798 count.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal

import numpy as np

from vitascope.data.records import Table
from vitascope.data.sets.card import DatasetCard
from vitascope.data.sets.locate import Places
from vitascope.data.tables.columns import existing
from vitascope.data.tables.rows import read_text
from vitascope.errors import DatasetError
from vitascope.metrics.ava import ActionBoxes, Frame

FIRST_SECOND, LAST_SECOND = 902, 1798
LIST_STARTS = 900  # second of the video at which the frames of PySlowFast's lists begin
_LIST_FPS = 30
_ROW = re.compile(r"\b(?:item|label)\s*\{(.*?)\}", re.DOTALL)

Box = tuple[float, float, float, float]
Kind = Literal["truth", "predicted"]


@dataclass(frozen=True)
class AvaRow:
    """One row of a list.

    Attributes:
        video: id of the video.
        second: whole seconds in the video.
        box: left, top, right, bottom as fractions of width and height.
        label: AVA's number of the class, from 1; None in a list of boxes without labels.
        extra: the person's number in a list of truths, the score in a list of predictions.
        where: list and row, for messages.
    """

    video: str
    second: int
    box: Box
    label: int | None
    extra: float
    where: str


@dataclass(frozen=True)
class AvaPerson:
    """A box with all its labels, in the order of the rows, and the last column of each row."""

    box: Box
    labels: tuple[int | None, ...]
    extras: tuple[float, ...]


@dataclass(frozen=True)
class AvaKeyframe:
    """The people of one labeled second of one video."""

    video: str
    second: int
    people: tuple[AvaPerson, ...]

    @property
    def time(self) -> Fraction:
        """Seconds in the whole video."""
        return Fraction(self.second)

    @property
    def listed_frame(self) -> int:
        """Number of the frame in PySlowFast's lists: 30 a second from second 900 on."""
        return (self.second - LIST_STARTS) * _LIST_FPS


def read_ava(
    path: str | Path,
    kind: Kind = "truth",
    *,
    labels: Collection[int] | None = None,
    min_score: float = 0.0,
    videos: Collection[str] | None = None,
    check_boxes: bool = True,
) -> tuple[AvaRow, ...]:
    """Rows of a list, in their order.

    A header, blank lines, and seconds that the evaluation leaves out are passed over.

    Args:
        path: the list.
        kind: "truth" has the person in the last column, "predicted" a score.
        labels: numbers to keep; None keeps all. Rows without a label stay.
        min_score: predictions below are left out.
        videos: known ids; others are refused. None accepts any.
        check_boxes: refuse boxes that are upside down or in pixels; False takes them as they are.

    Raises:
        DatasetNotFoundError: there is no such list.
        DatasetError: a row that is cut short or is no such row, a box upside down or in pixels,
            or an unknown video; with file and row.
    """
    file = existing(path)
    rows = []
    for number, fields in enumerate(csv.reader(read_text(file).split("\n")), 1):
        where = f"{file.name}, row {number}"
        if not fields or not any(f.strip() for f in fields):
            continue
        if number == 1 and len(fields) > 2 and not _is_number(fields[1]):
            continue  # a header
        row = _row(fields, where, check_boxes)
        if videos is not None and row.video not in videos:
            raise DatasetError(f"{where}: the video {row.video!r} has no frames")
        if not FIRST_SECOND <= row.second <= LAST_SECOND:
            continue
        if labels is not None and row.label is not None and row.label not in labels:
            continue
        if kind == "truth" or row.extra >= min_score:
            rows.append(row)
    return tuple(rows)


def keyframes(
    truth: Iterable[AvaRow] = (), predicted: Iterable[AvaRow] = ()
) -> tuple[AvaKeyframe, ...]:
    """People by video and second, in the order in which the videos come and of the seconds.

    Rows of a truth are one person if video, second and the person's number agree; rows of a
    prediction if the boxes agree exactly. A truth and a prediction are never joined.
    """
    people: dict[tuple[str, int], dict[object, list[AvaRow]]] = {}
    order: dict[str, None] = {}
    for kind, rows in (("truth", truth), ("predicted", predicted)):
        for row in rows:
            order.setdefault(row.video)
            who = (kind, row.extra if kind == "truth" else row.box)
            people.setdefault((row.video, row.second), {}).setdefault(who, []).append(row)
    place = {video: i for i, video in enumerate(order)}
    return tuple(
        AvaKeyframe(
            video,
            second,
            tuple(
                AvaPerson(rows[0].box, tuple(r.label for r in rows), tuple(r.extra for r in rows))
                for rows in people[video, second].values()
            ),
        )
        for video, second in sorted(people, key=lambda key: (place[key[0]], key[1]))
    )


def every_fourth(frames: Iterable[AvaKeyframe]) -> tuple[AvaKeyframe, ...]:
    """The quick validation of PySlowFast: seconds that can be divided by four."""
    return tuple(frame for frame in frames if frame.second % 4 == 0)


def read_label_map(path: str | Path) -> dict[int, str]:
    """Names of the classes by AVA's numbers, from a `.pbtxt` file of the release.

    Its entries are `item { name id }` or `label { name label_id }`.

    Raises:
        DatasetNotFoundError: there is no such file.
        DatasetError: there is no item in it, or one without a name or number.
    """
    file = existing(path)
    found: dict[int, str] = {}
    for item in _ROW.findall(read_text(file)):
        name = re.search(r'\bname:\s*"([^"]*)"', item)
        number = re.search(r"\b(?:label_)?id:\s*(\d+)", item)
        if name is None or number is None:
            raise DatasetError(f"{file}: an item without a name or an id: {item.strip()!r}")
        if int(number.group(1)) in found:
            raise DatasetError(f"{file}: two items with the id {number.group(1)}")
        found[int(number.group(1))] = name.group(1)
    if not found:
        raise DatasetError(f"{file}: no item; expected `item {{ name: ... id: ... }}`")
    return found


def read_exclusions(path: str | Path) -> frozenset[Frame]:
    """Key frames that do not count, from a list of rows video,second.

    Raises:
        DatasetNotFoundError: there is no such file.
        DatasetError: a row that cannot be read; the message names it.
    """
    return frozenset(_frame(row, where) for row, where in _rows(path, (2,)))


def read_boxes(path: str | Path) -> ActionBoxes:
    """Boxes to compare in an evaluation, from rows video,second,x1,y1,x2,y2,label[,score].

    Raises:
        DatasetNotFoundError: there is no such file.
        DatasetError: a row that cannot be read; the message names it.
    """
    frames: list[Frame] = []
    boxes: list[list[float]] = []
    labels: list[int] = []
    scores: list[float] = []
    for row, where in _rows(path, (7, 8)):
        frames.append(_frame(row, where))
        try:
            boxes.append([float(v) for v in row[2:6]])
            labels.append(int(row[6]))
            scores += [float(v) for v in row[7:]]
        except ValueError as error:
            raise DatasetError(f"{where}: {error}") from None
        if len(scores) not in (0, len(frames)):
            raise DatasetError(f"{where}: either all rows have a score or none has")
    return ActionBoxes(
        tuple(frames),
        np.array(boxes).reshape(-1, 4),
        np.array(labels, dtype=np.int64),
        np.array(scores) if scores else None,
    )


def _rows(path: str | Path, lengths: tuple[int, ...]) -> Iterator[tuple[list[str], str]]:
    """Rows that are not empty, with their place for messages."""
    file = existing(path)
    for number, row in enumerate(csv.reader(read_text(file).split("\n")), 1):
        where = f"{file.name}, row {number}"
        if any(field.strip() for field in row):
            if len(row) not in lengths:
                wanted = " or ".join(map(str, lengths))
                raise DatasetError(f"{where}: {len(row)} columns; expected {wanted}")
            yield row, where


def _frame(row: list[str], where: str) -> Frame:
    try:
        return row[0], int(row[1])
    except ValueError:
        raise DatasetError(f"{where}: second {row[1]!r} is not a whole number") from None


def _row(fields: list[str], where: str, check_boxes: bool) -> AvaRow:
    if len(fields) != 8:
        raise DatasetError(
            f"{where}: {len(fields)} fields; expected video,second,x1,y1,x2,y2,label,person or "
            f"score"
        )
    values = [field.strip() for field in fields]
    numbers: Mapping[int, str] = {1: "second", 2: "x1", 3: "y1", 4: "x2", 5: "y2", 7: "last field"}
    for i, name in numbers.items():
        if not _is_number(values[i]):
            raise DatasetError(f"{where}: {name} = {values[i]!r} is no number")
    if values[6] and not values[6].isdigit():
        raise DatasetError(f"{where}: label = {values[6]!r} is no class number")
    left, top, right, bottom = (float(v) for v in values[2:6])
    if check_boxes:
        _check_box(left, top, right, bottom, where)
    label = int(values[6]) if values[6] else None
    second = int(float(values[1]))
    return AvaRow(values[0], second, (left, top, right, bottom), label, float(values[7]), where)


def _check_box(left: float, top: float, right: float, bottom: float, where: str) -> None:
    if max(left, top, right, bottom) > 1.5:
        raise DatasetError(
            f"{where}: the box {left:g}, {top:g}, {right:g}, {bottom:g} is in pixels; divide by "
            f"width and height of the image"
        )
    if left >= right or top >= bottom:
        raise DatasetError(
            f"{where}: the box {left:g}, {top:g}, {right:g}, {bottom:g} is upside down; the order "
            f"is left, top, right, bottom"
        )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def find_ava(places: Places) -> Table:
    """The videos of AVA from the lists below a folder; the card's name tells the version."""
    version = "v2.1" if places.card.name == "ava21" else "v2.2"
    found = places.by_split(train=f"ava_train_{version}.csv", val=f"ava_val_{version}.csv")
    return places.named(
        (
            (row.video, split, row.where)
            for split, path in found.items()
            for row in {r.video: r for r in reversed(read_ava(path))}.values()
        ),
        ".mp4",
    )


def _card(name: str, title: str, classes: int, paper: str, splits: dict[str, int]) -> DatasetCard:
    return DatasetCard(
        name=name,
        title=title,
        task="detection",
        num_classes=classes,
        splits=splits,
        sources=dict.fromkeys(("classes", *splits), "github.com/cvdfoundation/ava-dataset"),
        annotations="ava_train_v2.2.csv and the like: video,second,x1,y1,x2,y2,label,person; "
        "ava_action_list_v2.2.pbtxt; counts are videos",
        files="ID.mkv or ID.mp4; or lists of frames",
        reader="ava:read_ava",
        find="ava:find_ava",
        paper=paper,
        homepage="https://research.google.com/ava/",
        terms="annotations CC BY 4.0; videos belong to their uploaders",
    )


_VIDEOS = {"train": 235, "val": 64, "test": 131}
AVA21 = _card("ava21", "AVA actions 2.1", 80, "arXiv:1705.08421", _VIDEOS)
AVA22 = _card("ava22", "AVA actions 2.2", 80, "arXiv:1705.08421", _VIDEOS)
AVA_KINETICS = _card("ava_kinetics", "AVA-Kinetics", 80, "arXiv:2005.00214", {})
