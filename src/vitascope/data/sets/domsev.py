"""DoMSEV: a scene label for every frame of long first-person videos."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from vitascope.data.records import Table
from vitascope.data.sets.card import DatasetCard
from vitascope.data.sets.locate import Places
from vitascope.data.tables.columns import read_columns, seconds, text, whole
from vitascope.errors import DatasetError


@dataclass(frozen=True)
class SceneSpan:
    """Frames `start_frame` to `stop_frame`, both included, with one label."""

    video_id: str
    start: Fraction
    stop: Fraction
    start_frame: int
    stop_frame: int
    label_id: int
    label_name: str


@dataclass(frozen=True)
class LabeledFrame:
    """One image; the label of a frame that no span covers is None."""

    frame_id: str
    path: str
    number: int
    label_id: int | None


def read_scene_spans(path: str | Path) -> dict[str, tuple[SceneSpan, ...]]:
    """Spans by video, in the order of the table.

    Raises:
        DatasetError: a missing column, a value that does not fit, or a span that ends before it
            starts.
    """
    found: dict[str, list[SceneSpan]] = {}
    for line, row in read_columns(path, {
        "video_id": text, "start_time": seconds, "stop_time": seconds, "start_frame": whole,
        "stop_frame": whole, "label_id": whole, "label_name": str,
    }):  # fmt: skip
        if row["stop_frame"] < row["start_frame"]:
            raise DatasetError(f"{Path(path).name}, row {line}: the span ends before it starts")
        span = SceneSpan(row["video_id"], row["start_time"], row["stop_time"], row["start_frame"],
                         row["stop_frame"], row["label_id"], row["label_name"])  # fmt: skip
        found.setdefault(span.video_id, []).append(span)
    return {video: tuple(spans) for video, spans in found.items()}


def read_domsev(
    infos: str | Path, frames: str | Path, labels: str | Path
) -> dict[str, tuple[LabeledFrame, ...]]:
    """Every frame of every video with its label.

    Args:
        infos: table of the videos; see `read_video_infos`.
        frames: table of their frames; see `read_frame_files`.
        labels: table of the spans.

    Raises:
        DatasetError: tables that do not fit.
    """
    spans = read_scene_spans(labels)
    found = {}
    for video, (_, files) in read_frame_videos(infos, frames).videos.items():
        label = {
            number: span.label_id
            for span in spans.get(video, ())
            for number in range(span.start_frame, span.stop_frame + 1)
        }
        first = files.min_frame_number
        found[video] = tuple(
            LabeledFrame(_stem(path), path, first + i, label.get(first + i))
            for i, path in enumerate(files.paths())
        )
    return found


def frame_at(time: Fraction, fps: Fraction) -> int:
    """Number of the frame on the screen at `time` seconds, at a constant rate."""
    return int(time * fps // 1)


def _stem(path: str) -> str:
    return Path(path).stem


def find_domsev(places: Places) -> Table:
    """The folders of images of DoMSEV from the lists below a folder."""
    videos = read_domsev(*(places.need(f"{name}.csv") for name in ("videos", "frames", "labels")))
    folders = ((os.path.dirname(f[0].path), name) for name, f in videos.items() if f)
    return places.table((str(places.root / folder), "", name) for folder, name in folders)


DOMSEV = DatasetCard(
    name="domsev",
    title="DoMSEV",
    task="segments",
    num_classes="as in its label table",
    splits={},
    sources={"classes": "its label table"},
    annotations="tables of videos, frames, and spans with a label",
    files="numbered frames",
    reader="domsev:read_domsev",
    find="domsev:find_domsev",
    paper="A Weighted Sparse Sampling and Smoothing Frame Transition Approach (CVPR 2018)",
    homepage="https://www.verlab.dcc.ufmg.br/semantic-hyperlapse/cvpr2018-dataset/",
    terms="for research",
)


@dataclass(frozen=True)
class VideoFacts:
    """Length in seconds and frames a second of a video."""

    video_id: str
    resolution: str
    duration: Fraction
    fps: Fraction


@dataclass(frozen=True)
class FrameFiles:
    """Numbered images of one video.

    Attributes:
        video_id: the video's id.
        location: their folder.
        frame_file_stem: what stands before the number in their names.
        frame_string_length: characters of a name without its suffix.
        min_frame_number: number of the first image.
        max_frame_number: number of the last image.
        file_extension: suffix without the dot.
    """

    video_id: str
    location: str
    frame_file_stem: str
    frame_string_length: int
    min_frame_number: int
    max_frame_number: int
    file_extension: str

    def __len__(self) -> int:
        return self.max_frame_number - self.min_frame_number + 1

    def path(self, number: int) -> str:
        """Path of the image with this number."""
        digits = self.frame_string_length - len(self.frame_file_stem)
        name = f"{self.frame_file_stem}{number:0{digits}d}.{self.file_extension}"
        return os.path.join(self.location, name)

    def paths(self) -> tuple[str, ...]:
        """Paths of all images, the last one included."""
        return tuple(map(self.path, range(self.min_frame_number, self.max_frame_number + 1)))


@dataclass(frozen=True)
class FrameVideos:
    """Videos with facts and frames, and why others were left out (id -> reason)."""

    videos: dict[str, tuple[VideoFacts, FrameFiles]]
    left_out: dict[str, str]


def read_video_infos(path: str | Path) -> dict[str, VideoFacts]:
    """The table `video_id,resolution,duration,fps`.

    Raises:
        DatasetError: a missing column, a value that is no number, or a video that comes twice.
    """
    return _by_id(path, VideoFacts, {
        "video_id": text, "resolution": str, "duration": seconds, "fps": seconds
    })  # fmt: skip


def read_frame_files(path: str | Path) -> dict[str, FrameFiles]:
    """The table `video_id,location,frame_file_stem,...`, one row a video.

    Raises:
        DatasetError: as `read_video_infos`.
    """
    return _by_id(path, FrameFiles, {
        "video_id": text, "location": str, "frame_file_stem": str, "frame_string_length": whole,
        "min_frame_number": whole, "max_frame_number": whole, "file_extension": text,
    })  # fmt: skip


def read_frame_videos(infos: str | Path, frames: str | Path) -> FrameVideos:
    """Joins both tables; a video must have as many frames as it lasts, give or take a second.

    Raises:
        DatasetError: as `read_video_infos`.
    """
    files, facts = read_frame_files(frames), read_video_infos(infos)
    videos, left_out = {}, {}
    for name, info in facts.items():
        if name not in files:
            left_out[name] = f"no frames of it in {Path(frames).name}"
        elif abs(len(files[name]) - info.duration * info.fps) > info.fps:
            left_out[name] = (
                f"{len(files[name])} frames, and {float(info.duration * info.fps):g} are expected"
            )
        else:
            videos[name] = (info, files[name])
    return FrameVideos(videos, {**left_out, **_without_facts(files, facts, infos)})


def _without_facts(
    names: Iterable[str], facts: dict[str, VideoFacts], infos: str | Path
) -> dict[str, str]:
    return {name: f"it is not in {Path(infos).name}" for name in names if name not in facts}


def _by_id(path: str | Path, kind: Any, columns: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for line, row in read_columns(path, columns):
        if row["video_id"] in found:
            raise DatasetError(
                f"{Path(path).name}, row {line}: the video {row['video_id']} comes twice"
            )
        found[row["video_id"]] = kind(**row)
    return found
