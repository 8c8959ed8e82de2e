"""Something-Something v2: JSON annotations beside videos `ID.webm`, or lists of frames."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch.utils.data import RandomSampler

from vitascope.data.card import CLASS_LIST, DatasetCard
from vitascope.data.columns import read_json
from vitascope.data.frame_lists import FrameVideoRecord, by_name, read_frame_list
from vitascope.data.labeled_frame_videos import LabeledFrameVideos, OneOfEachPart
from vitascope.data.labeled_video_dataset import OnBad, Transform
from vitascope.data.labels import ClassList, read_classes
from vitascope.data.layouts import Draft, Found
from vitascope.data.records import Files, Table, table_from
from vitascope.errors import DatasetError


@dataclass(frozen=True)
class FrameVideos:
    """Videos kept as frames, with labels.

    Attributes:
        videos: (video, label) in the order of the annotations; the label of a test set is None.
        missing: ids that are annotated and have no frames.
        unused: ids that have frames and are not annotated.
    """

    videos: tuple[tuple[FrameVideoRecord, int | None], ...]
    missing: tuple[str, ...]
    unused: tuple[str, ...]


def read_ssv2(
    annotations: Mapping[str, str | Path],
    labels: str | Path,
    root: str | Path,
    *,
    suffix: str = ".webm",
    files: Files = "require",
) -> Table:
    """SSv2 as a table.

    Args:
        annotations: split -> JSON list of objects with `id` and, except for a test set,
            `template`.
        labels: JSON object of template -> number.
        root: folder of the videos.
        suffix: end of their names.
        files: what to do about missing videos; see `records.table_from`.

    Raises:
        DatasetError: a template that is not in the label file, or missing videos.
    """
    classes = read_classes(labels)
    found = Found("Something-Something v2", os.path.abspath(root), classes=classes)
    labelled = True
    for split, path in annotations.items():
        for video, label, where in _entries(path, classes):
            labelled &= label is not None
            name = None if label is None else classes.names[label]
            file = os.path.join(found.root, video + suffix)
            found.drafts.append(Draft(file, video + suffix, name, split, where=where))
    return table_from(found, files=files, labelled=labelled)


def read_ssv2_frames(
    annotations: str | Path,
    labels: str | Path,
    frames: str | Path,
    root: str | Path = "",
    *,
    files: Files = "require",
) -> FrameVideos:
    """SSv2 kept as frames.

    Args:
        annotations: JSON list, as for `read_ssv2`.
        labels: JSON object of template -> number.
        frames: list of frames; see `read_frame_list`.
        root: folder of the frames.
        files: "require" refuses annotated videos without frames, "skip" leaves them out and
            names them in the result.

    Raises:
        DatasetError: a template that is not in the label file, or videos without frames.
    """
    known = by_name(read_frame_list(frames, root))
    entries = list(_entries(annotations, read_classes(labels)))
    missing = tuple(video for video, _, _ in entries if video not in known)
    if missing and (files == "require" or len(missing) == len(entries)):
        where = next(where for video, _, where in entries if video == missing[0])
        raise DatasetError(
            f"video {missing[0]} ({where}) has no frames in {Path(frames).name}; {len(missing)} "
            f"of {len(entries)} videos affected. Correct the list, or leave them out with "
            f"files='skip'"
        )
    unused = tuple(known.keys() - {video for video, _, _ in entries})
    videos = tuple((known[video], label) for video, label, _ in entries if video in known)
    return FrameVideos(videos, missing, tuple(sorted(unused)))


def _entries(path: str | Path, classes: ClassList) -> list[tuple[str, int | None, str]]:
    index = {name: i for i, name in enumerate(classes.names)}
    name, found = Path(path).name, []
    for number, entry in enumerate(read_json(path, list), 1):
        where = f"{name}, entry {number}"
        if not isinstance(entry, dict) or "id" not in entry:
            raise DatasetError(f"{where}: expected an object with the keys id and template")
        found.append((str(entry["id"]), _label(entry, index, classes, where), where))
    return found


def _label(
    entry: dict[str, Any], index: dict[str, int], classes: ClassList, where: str
) -> int | None:
    if "template" not in entry:  # the test set
        return None
    label = str(entry["template"]).replace("[", "").replace("]", "")
    if label not in index:
        raise DatasetError(f"{where}: template {label!r} is not in {classes.source}")
    return index[label]


class SSv2(LabeledFrameVideos):
    """Something-Something v2 as frames with PyTorchVideo's interface.

    Samples have `video` float32 C T H W, `label` (None for a test set), `video_name`,
    `video_index`, `clip_index` and `aug_index`. Videos without frames are an error, or are left
    out with `on_bad="skip"`.

    Args:
        label_name_file: JSON object of template -> number.
        video_label_file: JSON list of the videos.
        video_path_label_file: list of the frames; see `read_frame_list`.
        clip_sampler: where the clips of a video lie; there are 30 frames a second.
        video_sampler: class of the sampler of videos.
        transform: called with each sample.
        video_path_prefix: folder that the paths of the list start from.
        frames_per_clip: frames taken of each clip, one of each equal part; None takes all.
        rand_sample_frames: whether that frame is drawn; else it is the middle one.
        seed: see `LabeledVideoDataset`.
        on_bad: see `LabeledVideoDataset`.

    Raises:
        DatasetError: see `read_ssv2_frames`.
    """

    def __init__(
        self,
        label_name_file: str | Path,
        video_label_file: str | Path,
        video_path_label_file: str | Path,
        clip_sampler: Any,
        video_sampler: Any = RandomSampler,
        transform: Transform | None = None,
        video_path_prefix: str = "",
        frames_per_clip: int | None = None,
        rand_sample_frames: bool = False,
        *,
        seed: int | None = None,
        on_bad: OnBad = "error",
    ) -> None:
        found = read_ssv2_frames(
            video_label_file, label_name_file, video_path_label_file, video_path_prefix,
            files="skip" if on_bad == "skip" else "require",
        )  # fmt: skip
        self.left_out = found.missing
        self._numbers = tuple(label for _, label in found.videos)
        pick = None
        if frames_per_clip is not None:
            pick = OneOfEachPart(frames_per_clip, rand_sample_frames)
        super().__init__(
            [record for record, _ in found.videos], clip_sampler, video_sampler, transform,
            self._label, pick, seed, on_bad,
        )  # fmt: skip

    def _label(self, index: int, numbers: Any) -> dict[str, Any]:
        return {"label": self._numbers[index]}


SSV2 = DatasetCard(
    name="ssv2",
    title="Something-Something v2",
    task="classification",
    num_classes=174,
    splits={"train": 168913, "val": 24777, "test": 27157},
    sources={
        "classes": CLASS_LIST,
        "train": "github.com/OpenGVLab/VideoMAEv2, docs/DATASET.md",
        "val": "github.com/OpenGVLab/VideoMAEv2, docs/DATASET.md",
        "test": "its download page, as public repositories quote it",
    },
    annotations="something-something-v2-train.json, -validation.json, -test.json, -labels.json",
    files="ID.webm, or lists of frames",
    reader="ssv2:read_ssv2",
    paper="arXiv:1706.04261",
    homepage="https://www.qualcomm.com/developer/software/something-something-v-2-dataset",
    terms="for research, on request",
)
