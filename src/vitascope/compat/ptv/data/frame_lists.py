"""Lists of frames, one row an image: the format of PySlowFast for Charades, SSv2 and AVA.

The columns are `original_vido_id video_id frame_id path labels`, spelt wrongly or rightly,
separated by blanks, tabs or commas.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vitascope.data.tables.columns import read_columns, text
from vitascope.errors import DatasetError

_ALIASES = {"original_vido_id": "original_video_id"}


@dataclass(frozen=True)
class FrameVideoRecord:
    """A video kept as single images.

    Attributes:
        name: the video's own id.
        frames: paths of the images in the order of their numbers.
        frame_labels: classes of each image, none or several.
        where: row of the first image, for messages.
    """

    name: str
    frames: tuple[str, ...]
    frame_labels: tuple[tuple[int, ...], ...]
    where: str = ""

    @property
    def labels(self) -> tuple[int, ...]:
        """The classes of the whole video, ascending, each once."""
        return tuple(sorted({label for labels in self.frame_labels for label in labels}))


def read_frame_list(
    path: str | Path, root: str | Path = "", num_classes: int | None = None, *, labels: bool = True
) -> tuple[FrameVideoRecord, ...]:
    """Reads a list of frames; the order of the videos is that of their first rows.

    Where all `frame_id` of a video are whole numbers, they give the order of its frames, whatever
    that of the rows is; otherwise they say nothing and the rows do.

    Args:
        path: the list.
        root: folder that the paths start from.
        num_classes: labels must be below it; None accepts any.
        labels: whether the labels of the list are wanted; if not, the column may hold anything.

    Raises:
        DatasetNotFoundError: there is no such list.
        DatasetError: a row that is cut short, a label that is no number or out of range, a frame
            number that comes twice, or no row.
    """
    columns: dict[str, Any] = {"original_video_id": text, "path": text}
    if labels:
        columns["labels"] = lambda value: _labels(value, num_classes)
    rows = read_columns(path, columns, aliases=_ALIASES, optional={"frame_id": str})
    name = Path(path).name
    if not rows:
        raise DatasetError(f"{path}: the list has a header and no row")
    videos: dict[str, list[tuple[int, dict[str, Any]]]] = {}
    for line, row in rows:
        videos.setdefault(row["original_video_id"], []).append((line, row))
    return tuple(
        FrameVideoRecord(
            video,
            tuple(os.path.join(root, frame["path"]) for frame in frames),
            tuple(frame.get("labels", ()) for frame in frames),
            f"{name}, row {found[0][0]}",
        )
        for video, found in videos.items()
        for frames in [_in_order(name, video, found)]
    )


def _in_order(
    name: str, video: str, found: list[tuple[int, dict[str, Any]]]
) -> list[dict[str, Any]]:
    numbers = [frame.get("frame_id", "") for _, frame in found]
    if not all(n.isascii() and n.isdigit() for n in numbers):
        return [frame for _, frame in found]
    by_number: dict[int, dict[str, Any]] = {}
    for line, frame in found:
        number = int(frame["frame_id"])
        if number in by_number:
            raise DatasetError(
                f"{name}, row {line}: frame {number} of video {video} stands in the list twice"
            )
        by_number[number] = frame
    return [by_number[number] for number in sorted(by_number)]


def by_name(videos: Iterable[FrameVideoRecord]) -> dict[str, FrameVideoRecord]:
    """Videos by their id."""
    return {video.name: video for video in videos}


def _labels(value: str, num_classes: int | None) -> tuple[int, ...]:
    bare = value.strip().strip('"').strip()
    if not bare:
        return ()
    parts = [part.strip() for part in bare.split(",")]
    if not all(part.isascii() and part.isdigit() for part in parts):
        raise ValueError("numbers with commas between them, such as 3,11")
    numbers = tuple(map(int, parts))
    if num_classes is not None and max(numbers) >= num_classes:
        raise ValueError(f"class numbers from 0 to {num_classes - 1}")
    return numbers
