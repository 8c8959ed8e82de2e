"""Lists of frames, one row a picture: the format of PySlowFast for Charades, SSv2 and AVA.

The columns are `original_vido_id video_id frame_id path labels`, spelt wrongly or rightly,
separated by blanks, tabs or commas.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from vitascope.data.tables.columns import read_columns, text, whole
from vitascope.errors import DatasetError

_ALIASES = {"original_vido_id": "original_video_id"}


@dataclass(frozen=True)
class FrameVideoRecord:
    """A video kept as single pictures.

    Attributes:
        name: the video's own id.
        frames: paths of the pictures in the order of their numbers.
        frame_labels: classes of each picture, none or several.
        where: row of the first picture, for messages.
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
    path: str | Path, root: str | Path = "", num_classes: int | None = None
) -> tuple[FrameVideoRecord, ...]:
    """Reads a list of frames; the order of the videos is that of their first rows.

    Frames are ordered by their number (`frame_id`), whatever the order of the rows.

    Args:
        path: the list.
        root: folder that the paths start from.
        num_classes: labels must be below it; None accepts any.

    Raises:
        DatasetNotFoundError: there is no such list.
        DatasetError: a row that is cut short, a label that is no number or out of range, a frame
            number that comes twice, or no row.
    """

    def labels(value: str) -> tuple[int, ...]:
        return _labels(value, num_classes)

    rows = read_columns(
        path,
        {"original_video_id": text, "frame_id": whole, "path": text, "labels": labels},
        aliases=_ALIASES,
    )
    name = Path(path).name
    if not rows:
        raise DatasetError(f"{path}: the list has a header and no row")
    videos: dict[str, dict[int, tuple[str, tuple[int, ...]]]] = {}
    first: dict[str, str] = {}
    for line, row in rows:
        frames = videos.setdefault(row["original_video_id"], {})
        first.setdefault(row["original_video_id"], f"{name}, row {line}")
        if row["frame_id"] in frames:
            raise DatasetError(
                f"{name}, row {line}: frame {row['frame_id']} of video "
                f"{row['original_video_id']} stands in the list twice"
            )
        frames[row["frame_id"]] = (os.path.join(root, row["path"]), row["labels"])
    return tuple(
        FrameVideoRecord(
            video,
            tuple(path for _, (path, _) in sorted(frames.items())),
            tuple(found for _, (_, found) in sorted(frames.items())),
            first[video],
        )
        for video, frames in videos.items()
    )


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
