"""DoMSEV: a scene label for every frame of long first-person videos."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from vitascope.data.card import DatasetCard
from vitascope.data.clips import Clip
from vitascope.data.columns import read_columns, seconds, text, whole
from vitascope.data.video_manifests import read_frame_videos
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
class LabelledFrame:
    """One picture; the label of a frame that no span covers is None."""

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
) -> dict[str, tuple[LabelledFrame, ...]]:
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
            LabelledFrame(_stem(path), path, first + i, label.get(first + i))
            for i, path in enumerate(files.paths())
        )
    return found


def overlap(one: Clip, other: Clip) -> Clip | None:
    """The time that both intervals share; None if there is none."""
    start, end = max(one.start, other.start), min(one.end, other.end)
    return Clip(start, end) if start < end else None


def frame_at(time: Fraction, fps: Fraction) -> int:
    """Number of the frame on the screen at `time` seconds, at a constant rate."""
    return int(time * fps // 1)


def _stem(path: str) -> str:
    return Path(path).stem


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
    paper="A Weighted Sparse Sampling and Smoothing Frame Transition Approach (CVPR 2018)",
    homepage="https://www.verlab.dcc.ufmg.br/semantic-hyperlapse/cvpr2018-dataset/",
    terms="for research",
)
