"""JSON documents of Ego4D's early benchmarks: path -> annotations."""

from __future__ import annotations

import os
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from torch.utils.data import RandomSampler

from vitascope.compat.ptv.data.clip_sampling import ClipInfo, ClipInfoList
from vitascope.compat.ptv.data.clip_sampling import ClipSampler as ClipSampler
from vitascope.compat.ptv.data.labeled_video_dataset import (
    LabeledVideoDataset,
    OnBad,
    Transform,
    samples_per_video,
)
from vitascope.compat.ptv.data.utils import read_document
from vitascope.data.clips import exact_seconds
from vitascope.errors import DatasetError

BENCHMARK = "forecasting_hands_objects"


@dataclass(frozen=True)
class VerbNounClip:
    """An interval of a video, in seconds, with the numbers of its verb and noun."""

    path: str
    start: Fraction
    end: Fraction
    verb: int
    noun: int


@dataclass(frozen=True)
class VerbNounTable:
    """Clips, and the words by number in alphabetical order, so that numbers never change."""

    clips: tuple[VerbNounClip, ...]
    verbs: tuple[str, ...]
    nouns: tuple[str, ...]


def read_json_videos(path: str | Path, root: str | Path = "") -> tuple[str, ...]:
    """The paths that are the keys of the document.

    Raises:
        UnreadableDocumentError: it is no JSON object.
    """
    return tuple(os.path.join(root, name) for name in read_document(path))


def read_json_clips(
    path: str | Path, root: str | Path = "", benchmark: str = BENCHMARK
) -> VerbNounTable:
    """Clips with a certain verb and noun; unsure and missing ones are left out.

    Videos without the benchmark have no clips.

    Raises:
        UnreadableDocumentError: it is no JSON object.
        DatasetError: a clip lacks its times or ends before it starts.
    """
    found: list[tuple[str, Fraction, Fraction, str, str]] = []
    for name, entry in read_document(path).items():
        for number, clip in enumerate(entry.get("benchmarks", {}).get(benchmark, []), 1):
            where = f"{Path(path).name}, clip {number} of {name}"
            words = clip.get("taxonomy", {})
            verb, noun = words.get("verb"), words.get("noun")
            if not verb or not noun or words.get("verb_unsure") or words.get("noun_unsure"):
                continue
            start = _time(clip, "critical_frame_selection_parent_start_sec", where)
            end = _time(clip, "critical_frame_selection_parent_end_sec", where)
            if end <= start:
                raise DatasetError(f"{where}: ends at {end} s and starts at {start} s")
            found.append((os.path.join(root, name), start, end, verb, noun))
    verbs = tuple(sorted({verb for *_, verb, _ in found}))
    nouns = tuple(sorted({noun for *_, noun in found}))
    clips = tuple(
        VerbNounClip(file, start, end, verbs.index(verb), nouns.index(noun))
        for file, start, end, verb, noun in found
    )
    return VerbNounTable(clips, verbs, nouns)


def _time(clip: dict[str, Any], key: str, where: str) -> Fraction:
    value = clip.get(key)
    if not isinstance(value, int | float):
        raise DatasetError(f"{where}: {key} = {value!r}; expected seconds")
    return Fraction(str(value))


class UntrimmedClipSampler:
    """Clips by another sampler inside the labeled part of a longer video.

    Args:
        clip_sampler: places the clips as if the part were the whole video.
    """

    def __init__(self, clip_sampler: Any) -> None:
        self._trimmed_clip_sampler = clip_sampler

    @property
    def samples_per_video(self) -> int | None:
        """Clips of each labeled part, where the sampler fixes them."""
        return samples_per_video(self._trimmed_clip_sampler)

    def __call__(
        self, last_clip_time: Any, video_duration: Any, clip_info: dict[str, Any]
    ) -> ClipInfo | ClipInfoList:
        """The next clip between `clip_info["clip_start_sec"]` and `clip_info["clip_end_sec"]`."""
        start = exact_seconds(clip_info["clip_start_sec"])
        length = exact_seconds(clip_info["clip_end_sec"]) - start
        last: Any = last_clip_time
        if last is not None:
            last = [t - start for t in last] if isinstance(last, list) else last - start
        found = self._trimmed_clip_sampler(last, length, clip_info)
        if isinstance(found.clip_start_sec, list):
            return ClipInfoList(
                [t + start for t in found.clip_start_sec],
                [t + start for t in found.clip_end_sec],
                *found[2:],
            )
        return ClipInfo(found.clip_start_sec + start, found.clip_end_sec + start, *found[2:])

    def reset(self) -> None:
        """Begins anew."""
        self._trimmed_clip_sampler.reset()


def clip_recognition_dataset(
    data_path: str | Path,
    clip_sampler: Any,
    video_sampler: Any = RandomSampler,
    transform: Transform | None = None,
    video_path_prefix: str = "",
    decode_audio: bool = True,
    decoder: str = "pyav",
    *,
    seed: int | None = None,
    on_bad: OnBad = "retry",
) -> LabeledVideoDataset:
    """Clips with a verb and a noun (PyTorchVideo's interface); see `read_json_clips`.

    Samples have `clip_start_sec` and `clip_end_sec` of the labeled part, `verb_label` and
    `noun_label` (numbers in alphabetical order). Arguments are those of `labeled_video_dataset`.

    Raises:
        DatasetError: see `read_json_clips`.
    """
    videos = [
        (clip.path, {"clip_start_sec": float(clip.start), "clip_end_sec": float(clip.end),
                     "noun_label": clip.noun, "verb_label": clip.verb})
        for clip in read_json_clips(data_path, video_path_prefix).clips
    ]  # fmt: skip
    return LabeledVideoDataset(
        videos, UntrimmedClipSampler(clip_sampler), video_sampler, transform,
        decode_audio=decode_audio, decoder=decoder, seed=seed, on_bad=on_bad,
    )  # fmt: skip


def video_only_dataset(
    data_path: str | Path,
    clip_sampler: Any,
    video_sampler: Any = RandomSampler,
    transform: Transform | None = None,
    video_path_prefix: str = "",
    decode_audio: bool = True,
    decoder: str = "pyav",
    *,
    seed: int | None = None,
    on_bad: OnBad = "retry",
) -> LabeledVideoDataset:
    """Videos without labels, the keys of a JSON object (PyTorchVideo's interface).

    Arguments are those of `labeled_video_dataset`.

    Raises:
        DatasetError: see `read_json_videos`.
    """
    videos: list[tuple[str, dict[str, Any]]] = [
        (path, {}) for path in read_json_videos(data_path, video_path_prefix)
    ]
    return LabeledVideoDataset(
        videos, clip_sampler, video_sampler, transform, decode_audio=decode_audio,
        decoder=decoder, seed=seed, on_bad=on_bad,
    )  # fmt: skip
