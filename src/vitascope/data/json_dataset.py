"""JSON documents of Ego4D's early benchmarks: path -> annotations."""

from __future__ import annotations

import os
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from vitascope.data.columns import read_json
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
        DatasetError: it is no JSON object.
    """
    return tuple(os.path.join(root, name) for name in read_json(path, dict))


def read_json_clips(
    path: str | Path, root: str | Path = "", benchmark: str = BENCHMARK
) -> VerbNounTable:
    """Clips with a certain verb and noun; unsure and missing ones are left out.

    Videos without the benchmark have no clips.

    Raises:
        DatasetError: it is no JSON object, or a clip lacks its times or ends before it starts.
    """
    found: list[tuple[str, Fraction, Fraction, str, str]] = []
    for name, entry in read_json(path, dict).items():
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
