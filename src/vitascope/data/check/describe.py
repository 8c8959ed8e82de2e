"""What a data set is, told before anything is trained: from its table and the files' headers."""

from __future__ import annotations

import os
import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from vitascope.data.check.direction import direction_classes
from vitascope.data.decoder import open_video
from vitascope.data.decoders.source import Source
from vitascope.data.decoders.truncation import cut_off
from vitascope.data.listing import is_remote
from vitascope.data.records import Table, VideoRecord
from vitascope.data.shards.remote import parse_part
from vitascope.distributed import cores
from vitascope.errors import DatasetError, DecodeError
from vitascope.spec import ClipSpec, to_json
from vitascope.transforms.functional import uniform_indices

_TIME_LIMIT = 30.0


@dataclass(frozen=True, kw_only=True)
class Header:
    """What the header of one file says; None where it does not.

    Attributes:
        seconds: length of the video.
        fps: frames a second.
        width: stored pixels from left to right.
        height: stored pixels from top to bottom.
        codec: FFmpeg's name of the codec; "images" for a folder of frames.
    """

    seconds: float | None
    fps: float | None
    width: int
    height: int
    codec: str


@dataclass(frozen=True, kw_only=True)
class Unreadable:
    """A file without a usable header: path, row of the list, and reason."""

    path: str
    where: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What a data set is.

    Attributes:
        root: its folder.
        layout: how it is kept.
        videos: number of records.
        classes: class names in order.
        counts: split -> class -> videos; the split is "all" without a split.
        headers: files whose header was asked for; fewer than there are only in huge data sets.
        seconds: shortest, median and longest video (or labeled part) in seconds; None unknown.
        total_hours: all videos together, if every header was read.
        fps: (frames a second, files), most frequent first.
        sizes: (width, height, files), most frequent first.
        codecs: (codec, files), most frequent first.
        unreadable: files without a usable header.
        shorter_than_clip: videos in which the clip does not fit.
        short_rule: what is done with those; empty without a clip.
        direction_classes: classes whose names tell left from right.
        notes: what was understood and left out.
        warnings: what looks wrong.
    """

    root: str
    layout: str
    videos: int
    classes: tuple[str, ...]
    counts: dict[str, dict[str, int]]
    headers: int
    seconds: tuple[float, float, float] | None
    total_hours: float | None
    fps: tuple[tuple[float, int], ...]
    sizes: tuple[tuple[int, int, int], ...]
    codecs: tuple[tuple[str, int], ...]
    unreadable: tuple[Unreadable, ...]
    shorter_than_clip: int
    short_rule: str
    direction_classes: tuple[str, ...]
    notes: tuple[str, ...]
    warnings: tuple[str, ...]

    def __repr__(self) -> str:
        return f"Summary({self.videos} videos, {len(self.classes)} classes, {self.layout})"

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        data: dict[str, Any] = to_json(self)
        return data

    def lines(self) -> list[str]:
        """The summary as text, one fact a line."""
        classes = counted(len(self.classes), "class", "classes")
        lines = [f"{self.root}: {counted(self.videos, 'video')}, {classes} ({self.layout})"]
        lines += [f"  {split}: {_say_counts(counts)}" for split, counts in self.counts.items()]
        if self.seconds is not None:
            lines.append(f"  length of the videos: {_say_range(*self.seconds)}")
        rates = _most((f"{rate:.4g} fps", n) for rate, n in self.fps)
        sizes = _most((f"{width}x{height}", n) for width, height, n in self.sizes)
        kinds = [text for text in (rates, sizes, _most(self.codecs)) if text]
        if kinds:
            lines.append(f"  files: {'; '.join(kinds)}")
        if self.headers < self.videos:
            lines.append(f"  (from the headers of {counted(self.headers, 'file')})")
        if self.shorter_than_clip:
            verb = "is" if self.shorter_than_clip == 1 else "are"
            lines.append(
                f"  {self.shorter_than_clip} {verb} shorter than a clip: {self.short_rule}"
            )
        if self.unreadable:
            lines.append(f"  {len(self.unreadable)} cannot be read:")
            lines += [f"    {u.path}: {u.reason}" for u in self.unreadable[:10]]
        if self.direction_classes:
            shown = ", ".join(self.direction_classes[:4])
            more = ", ..." if len(self.direction_classes) > 4 else ""
            lines.append(
                f"  names tell left from right ({shown}{more}), so clips are not mirrored unless "
                f"asked"
            )
        lines += [f"  {note}" for note in self.notes]
        return lines + [f"  warning: {warning}" for warning in self.warnings]


@dataclass(frozen=True)
class Headers:
    """The headers of the files of a data set.

    Attributes:
        known: header by path.
        unreadable: files without a usable one.
        asked: number of files that were asked for theirs.
    """

    known: Mapping[str, Header]
    unreadable: tuple[Unreadable, ...]
    asked: int


def read_headers(
    table: Table,
    *,
    jobs: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    most: int = 20_000,
) -> Headers:
    """Reads the header of every file once.

    Args:
        table: the data set.
        jobs: threads; None is two a core.
        progress: called with files done and files in all.
        most: beyond so many files, an even selection of this size is read.
    """
    first: dict[str, VideoRecord] = {}
    for record in table.records:
        first.setdefault(record.path, record)
    chosen = list(first.values())
    if len(chosen) > most:
        chosen = [chosen[i] for i in uniform_indices(len(chosen), most)]
    headers: dict[str, Header] = {}
    unreadable = []
    with ThreadPoolExecutor(jobs or 2 * cores()) as pool:
        for number, (record, found) in enumerate(zip(chosen, pool.map(probe, chosen), strict=True)):
            if isinstance(found, Header):
                headers[record.path] = found
            elif found is not None:
                unreadable.append(Unreadable(path=record.path, where=record.where, reason=found))
            if progress is not None:
                progress(number + 1, len(chosen))
    return Headers(headers, tuple(unreadable), len(chosen))


def summarize(table: Table, headers: Headers, clip: ClipSpec | None = None) -> Summary:
    """Sums up a data set.

    Args:
        table: the data set.
        headers: the headers of its files.
        clip: clip to compare the lengths with.
    """
    known = headers.known.values()
    lengths = [s for r in table.records if (s := _length(r, headers.known.get(r.path))) is not None]
    splits = table.splits or (None,)
    return Summary(
        root=table.root,
        layout=table.layout,
        videos=len(table),
        classes=table.classes,
        counts={split or "all": table.counts(split) for split in splits},
        headers=headers.asked,
        seconds=(min(lengths), statistics.median(lengths), max(lengths)) if lengths else None,
        total_hours=sum(lengths) / 3600 if len(lengths) == len(table) else None,
        fps=tuple(Counter(round(h.fps, 3) for h in known if h.fps).most_common()),
        sizes=tuple((w, h, n) for (w, h), n in
                    Counter((h.width, h.height) for h in known).most_common()),
        codecs=tuple(Counter(h.codec for h in known).most_common()),
        unreadable=headers.unreadable,
        shorter_than_clip=0 if clip is None else _count_short(table.records, headers.known, clip),
        short_rule="" if clip is None else SHORT_RULES[clip.short],
        direction_classes=direction_classes(table.classes),
        notes=table.notes,
        warnings=table.warnings,
    )  # fmt: skip


SHORT_RULES = {
    "repeat": "the last frame is repeated",
    "loop": "the video starts again",
    "pad": "black frames are added, and a mask tells them apart",
    "error": "they are refused",
}


def require_readable(summary: Summary) -> None:
    """Refuses a data set with files that cannot be read, before anything is begun.

    Raises:
        DatasetError: names the first ones and their rows, and counts all.
    """
    if not summary.unreadable:
        return
    first = summary.unreadable[0]
    origin = f" ({first.where})" if first.where else ""
    others = ", ".join(u.path for u in summary.unreadable[1:4])
    also = f" Also {others}{', ...' if len(summary.unreadable) > 4 else ''}." if others else ""
    raise DatasetError(
        f"{first.path}{origin}: {first.reason}; {len(summary.unreadable)} of {summary.headers} "
        f"files cannot be read.{also} Remove or replace them, or leave them out with "
        f"data.on_bad=skip; `vitascope check` lists all faults"
    )


def probe(record: VideoRecord) -> Header | str | None:
    """The header of a file, or why there is none; None for addresses and shards: not asked."""
    if is_remote(record.path) or parse_part(record.path) is not None:
        return None
    try:
        if os.path.isdir(record.path):
            with open_video(record.path) as folder:
                return Header(seconds=None, fps=None, width=folder.width, height=folder.height,
                              codec="images")  # fmt: skip
        source = Source(record.path, time_limit=_TIME_LIMIT)
    except DecodeError as error:
        return error.reason
    try:
        return cut_off(source) or _read_header(source)
    finally:
        source.close()


def _read_header(source: Source) -> Header:
    stream, container = source.stream, source.container
    seconds: Fraction | None = None
    if stream.duration is not None:
        seconds = stream.duration * source.time_base
    elif container.duration is not None:
        seconds = Fraction(container.duration, 1_000_000)
    context = stream.codec_context
    return Header(
        seconds=None if seconds is None else float(seconds),
        fps=float(source.rate),
        width=context.width,
        height=context.height,
        codec=context.name,
    )


def _length(record: VideoRecord, header: Header | None) -> float | None:
    """Seconds of the labeled part, as far as known."""
    if record.end is not None:
        return float(record.end - (record.start or 0))
    if header is None or header.seconds is None:
        return None
    return max(header.seconds - float(record.start or 0), 0.0)


def _count_short(
    records: Iterable[VideoRecord], headers: Mapping[str, Header], clip: ClipSpec
) -> int:
    count = 0
    for record in records:
        header = headers.get(record.path)
        length = _length(record, header)
        if header is None or length is None or not header.fps:
            continue
        rate = Fraction(header.fps).limit_denominator(1001)
        if clip.coverage == "video":
            need = clip.num_frames / header.fps
        else:
            need = float(clip.duration(rate))
        count += length < need * (1 - 1e-6)
    return count


def counted(number: int, one: str, more: str | None = None) -> str:
    """A number with its noun: "1 video", "2 videos".

    Args:
        number: how many.
        one: the noun for one.
        more: the noun for any other number; None adds an s.
    """
    return f"{number} {one if number == 1 else more or one + 's'}"


def _say_range(low: float, middle: float, high: float) -> str:
    """Seconds from least to most; a single length is no range."""
    least, half, most = (f"{seconds:.3g}" for seconds in (low, middle, high))
    if least == most:
        return f"{least} s"
    return f"{least} to {most} s, half of them up to {half} s"


def _say_counts(counts: dict[str, int]) -> str:
    total, values = sum(counts.values()), list(counts.values())
    if not counts:
        return "no label"
    if min(values) == max(values):
        return f"{counted(total, 'video')}, {values[0]} a class"
    if len(counts) <= 20:
        each = ", ".join(f"{name} {n}" for name, n in counts.items())
        return f"{counted(total, 'video')} ({each})"
    least = min(counts, key=counts.__getitem__)
    greatest = max(counts, key=counts.__getitem__)
    return (
        f"{counted(total, 'video')}, {counts[least]} ({least}) to {counts[greatest]} ({greatest}) "
        f"a class, half of them up to {statistics.median(values):g}"
    )


def _most(items: Iterable[tuple[str, int]] | Sequence[tuple[str, int]]) -> str:
    """Kinds and their numbers, "25 fps (90), 30 fps (10)"; a single kind without its number."""
    kinds = list(items)
    if len(kinds) == 1:
        return kinds[0][0]
    shown = ", ".join(f"{name} ({n})" for name, n in kinds[:4])
    return shown + (f", and {len(kinds) - 4} more" if len(kinds) > 4 else "")
