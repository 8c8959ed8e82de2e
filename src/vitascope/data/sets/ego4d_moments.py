"""Ego4D moments: labeled intervals of clips of long videos."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from vitascope.data.clips import Clip, around
from vitascope.data.records import Table
from vitascope.data.sets.card import UNCHECKED, DatasetCard
from vitascope.data.sets.locate import Places
from vitascope.data.tables.columns import read_json_list
from vitascope.errors import ConfigError, DatasetError

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Moment:
    """One labeled interval.

    Attributes:
        path: the video's file.
        video_uid: the video's id.
        clip_uid: id of the clip it was labeled in.
        duration: seconds of the video.
        clip: interval of that clip in the video.
        label: name of the class.
        label_id: its number in the label map.
        interval: the labeled interval in the video.
    """

    path: str
    video_uid: str
    clip_uid: str
    duration: Fraction
    clip: Clip
    label: str
    label_id: int
    interval: Clip


@dataclass(frozen=True)
class Moments:
    """Moments of one split, and how many labels were left out for which reason."""

    moments: tuple[Moment, ...]
    left_out: dict[str, int]


def read_moments(
    annotations: str | Path,
    metadata: str | Path,
    split: str,
    label_ids: Mapping[str, int],
    *,
    only: Collection[str] | None = None,
    root: str | Path = "",
    skip: Callable[[str], str | None] | None = None,
) -> Moments:
    """The moments of one split.

    Left out and counted are labels of no length, labels that the map does not have, and videos
    of stereo cameras.

    Args:
        annotations: the moments file.
        metadata: `ego4d.json` with path, duration and kind of each video.
        split: "train", "val" or "test".
        label_ids: label -> number; labels that are not in it are left out.
        only: labels to keep; None keeps all.
        root: folder that the paths start from.
        skip: video id -> why its labels are left out; None keeps them.

    Raises:
        ConfigError: an unknown split, or an empty label map.
        DatasetError: a video that the metadata does not have, or a split without a moment.
    """
    if split not in SPLITS:
        raise ConfigError(f"split = {split!r}; legal values: {', '.join(SPLITS)}")
    if not label_ids:
        raise ConfigError("the map of labels to numbers is empty")
    facts = {video["video_uid"]: video for video in read_json_list(metadata, dict)["videos"]}
    moments: list[Moment] = []
    left_out: Counter[str] = Counter()
    for video in read_json_list(annotations, dict)["videos"]:
        if video["split"] != split:
            continue
        uid, labels = video["video_uid"], list(_labels(video))
        reason = None if skip is None else skip(uid)
        if reason is not None:
            left_out[reason] += len(labels)
            continue
        if uid not in facts:
            raise DatasetError(f"video {uid} of {Path(annotations).name} is not in {metadata}")
        if facts[uid]["is_stereo"]:
            left_out["stereo video"] += len(labels)
            continue
        for clip, label in labels:
            start, end = _seconds(label, "video_start_time"), _seconds(label, "video_end_time")
            if only is not None and label["label"] not in only:
                left_out["label not asked for"] += 1
            elif start >= end:
                left_out["no length"] += 1
            elif label["label"] not in label_ids:
                left_out["label not in the map"] += 1
            else:
                moments.append(_moment(facts[uid], clip, label["label"], label_ids, root,
                                       Clip(start, end)))  # fmt: skip
    if not moments:
        raise DatasetError(f"{annotations}: no moment in the split {split!r} is left "
                           f"({dict(left_out)})")  # fmt: skip
    return Moments(tuple(moments), dict(left_out))


def window(interval: Clip, length: Fraction, duration: Fraction | None) -> Clip:
    """A window of `length` around the middle of an interval, moved into the video.

    Raises:
        ConfigError: the video is shorter than the window.
    """
    if duration is None:
        return around(interval.middle, length)
    if length > duration:
        raise ConfigError(
            f"a window of {float(length):g} s does not fit into a video of {float(duration):g} s"
        )
    return around(interval.middle, length, Clip(Fraction(0), duration))


def _labels(video: dict[str, Any]) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    return [
        (clip, label)
        for clip in video["clips"]
        for annotation in clip["annotations"]
        for label in annotation["labels"]
    ]


def _moment(
    facts: dict[str, Any],
    clip: dict[str, Any],
    label: str,
    label_ids: Mapping[str, int],
    root: str | Path,
    interval: Clip,
) -> Moment:
    return Moment(
        path=os.path.join(root, facts["manifold_path"]),
        video_uid=facts["video_uid"],
        clip_uid=clip["clip_uid"],
        duration=_seconds(facts, "duration_sec"),
        clip=Clip(_seconds(clip, "video_start_sec"), _seconds(clip, "video_end_sec")),
        label=label,
        label_id=label_ids[label],
        interval=interval,
    )


def _seconds(entry: dict[str, Any], key: str) -> Fraction:
    return Fraction(str(entry[key]))


def find_ego4d_moments(places: Places) -> Table:
    """The videos of Ego4D's moments from the lists below a folder."""
    found = places.by_split(train="moments_train.json", val="moments_val.json")
    facts: dict[str, Any] = read_json_list(places.need("ego4d.json"), dict)
    paths = {video["video_uid"]: video["manifold_path"] for video in facts["videos"]}
    return places.table(
        (str(places.root / paths.get(v["video_uid"], v["video_uid"] + ".mp4")), split, path.name)
        for split, path in found.items()
        for v in read_json_list(path, dict)["videos"]
    )


EGO4D_MOMENTS = DatasetCard(
    name="ego4d_moments",
    title="Ego4D moments",
    task="segments",
    num_classes=110,
    splits={},
    sources={"classes": UNCHECKED},
    annotations="moments_train.json, moments_val.json, and ego4d.json with the videos",
    files="the paths of ego4d.json",
    reader="ego4d_moments:read_moments",
    find="ego4d_moments:find_ego4d_moments",
    paper="arXiv:2110.07058",
    homepage="https://ego4d-data.org",
    terms="Ego4D license, on request",
)
