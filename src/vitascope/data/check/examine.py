"""Decoding one file from end to end, to learn its times and what is wrong with it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from vitascope.data.decoders.images import ImagesDecoder
from vitascope.data.decoders.packets import Fault, KeyFrameLost, decode, scan
from vitascope.data.decoders.pixels import Converter
from vitascope.data.decoders.pyav import whole_by_themselves
from vitascope.data.decoders.source import Source
from vitascope.data.decoders.timeline import Ticks, Timeline
from vitascope.data.decoders.truncation import cut_off
from vitascope.errors import DecodeError


@dataclass(frozen=True, kw_only=True)
class FileReport:
    """What was found in one video.

    Attributes:
        path: the file or folder as given.
        frames: frames that come out of the decoder.
        error: what is wrong and what is missing; None for a file without fault.
        announced: frames that the container lists; None if the file cannot be opened.
        duration: seconds from the first frame to the end of the last.
        fps: frames a second on average.
        width: of the upright image in pixels.
        height: of the upright image in pixels.
        codec: FFmpeg's name of the video codec.
        seconds: time that the examination took.
    """

    path: str
    frames: int = 0
    error: str | None = None
    announced: int | None = None
    duration: float | None = None
    fps: float | None = None
    width: int | None = None
    height: int | None = None
    codec: str | None = None
    seconds: float = 0.0


def examine(
    path: str, time_limit: float | None = None, alive: Callable[[int], None] | None = None
) -> tuple[FileReport, Timeline | None]:
    """Decodes every frame of a file, or every image of a folder.

    Args:
        path: the file or folder.
        time_limit: seconds without a new frame after which the file is given up.
        alive: called with the number of frames so far, after each.

    Returns:
        The report, and the timeline to keep; None for a folder and for a file without a frame.
    """
    begun = time.perf_counter()
    try:
        if Path(path).is_dir():
            report, timeline = _examine_folder(path, alive), None
        else:
            report, timeline = _examine_file(path, time_limit, alive)
    except DecodeError as error:
        report, timeline = FileReport(path=path, error=error.reason), None
    return replace(report, seconds=round(time.perf_counter() - begun, 3)), timeline


def _examine_folder(path: str, alive: Callable[[int], None] | None) -> FileReport:
    with ImagesDecoder(path) as folder:
        count, errors = 0, []
        for index, file in enumerate(folder.files):
            try:
                next(folder.stream(folder.times[index]))
                count += 1
            except DecodeError as error:
                errors.append(f"{file.name}: {error.reason}")
            if alive is not None:
                alive(index + 1)
        more = f" and {len(errors) - 1} more" if len(errors) > 1 else ""
        height, width = (folder.height, folder.width) if count == len(folder.files) else (None,) * 2
        return FileReport(
            path=path,
            frames=count,
            error=f"{errors[0]}{more}" if errors else None,
            announced=len(folder.files),
            height=height,
            width=width,
            codec=folder.files[0].suffix[1:].lower(),
        )


def _examine_file(
    path: str, time_limit: float | None, alive: Callable[[int], None] | None
) -> tuple[FileReport, Timeline | None]:
    source = Source(path, time_limit=time_limit)
    try:
        codec = source.stream.codec_context.name
        timeline = scan(source)
        seen = _decode_all(source, timeline, alive)
        if not seen.pts:
            said = seen.faults[0].reason if seen.faults else "no frame comes out"
            error = f"not one of {len(timeline)} frames can be decoded ({said})"
            report = FileReport(path=path, error=error, announced=len(timeline), codec=codec)
            return report, None
        announced = len(timeline)
        timeline = _settle(source, timeline, seen)
        report = FileReport(
            path=path,
            frames=len(seen.pts),
            error=_sum_up(source, timeline, seen),
            announced=announced,
            duration=float(timeline.duration),
            fps=float(len(timeline) / timeline.duration),
            height=seen.size[0],
            width=seen.size[1],
            codec=codec,
        )
        return report, replace(timeline, size=seen.size)
    finally:
        source.close()


@dataclass(eq=False)
class _Seen:
    """What came out of the decoder: times, places of damage, size, faults, no key frames."""

    pts: list[int | None]
    damaged: list[bool]
    faults: list[Fault]
    size: tuple[int, int] = (0, 0)
    dependent: set[int | None] = field(default_factory=set)


def _decode_all(source: Source, timeline: Timeline, alive: Callable[[int], None] | None) -> _Seen:
    seen = _Seen([], [], [])
    source.start_clock()
    source.rewind()
    key = None if timeline.how == "counted" else timeline.key(0)
    try:
        for frame, whole in decode(source, seen.faults, key):
            if not seen.pts:
                converter = Converter(frame)
                seen.size = converter.size
                # Once is enough to see that the pixel format can be converted.
                try:
                    converter.convert(frame, np.empty((*seen.size, 3), np.uint8))
                except ValueError as error:
                    raise DecodeError(source.path, str(error)) from error
            seen.pts.append(frame.pts)
            seen.damaged.append(not whole)
            if not frame.key_frame:
                seen.dependent.add(frame.pts)
            source.start_clock()
            if alive is not None:
                alive(len(seen.pts))
    except KeyFrameLost:
        seen.faults.append(Fault(None, "the file reads differently the second time"))
    except DecodeError as error:
        seen.faults.append(Fault(seen.pts[-1] if seen.pts else None, error.reason))
    return seen


def _settle(source: Source, timeline: Timeline, seen: _Seen) -> Timeline:
    """The timeline that decoding confirms."""
    if timeline.how == "counted":
        count = min(len(seen.pts), len(timeline))
        bad = np.array(seen.damaged[:count] + [True] * (len(timeline) - count), dtype=bool)
        return replace(timeline, faults=_intervals(bad))
    came = np.array([t for t in seen.pts if t is not None], dtype=np.int64)
    if not seen.faults and not any(seen.damaged) and _is_other(came, timeline, seen):
        # Nothing went wrong, yet the packets tell another story than the frames: images that
        # are never shown, or several in one packet. What comes out is what there is.
        return _with_keys(replace(timeline, pts=came, how="decoded"), seen)
    good = came[~np.array(seen.damaged, dtype=bool)] if len(came) == len(seen.pts) else came
    bad = ~np.isin(timeline.pts, good)
    timeline = _with_keys(timeline, seen)
    if bad.any() and not source.has_palette:
        # A reader begins at the key frame of a frame, where damage before it does no harm.
        bad[whole_by_themselves(source, timeline, np.flatnonzero(bad).tolist())] = False
    return replace(timeline, faults=_intervals(bad))


def _with_keys(timeline: Timeline, seen: _Seen) -> Timeline:
    """Without key frames that are none for the decoder; the first is where decoding begins."""
    dependent = np.array([t for t in seen.dependent if t is not None], dtype=np.int64)
    keys = np.isin(timeline.key_pts, timeline.pts) & ~np.isin(timeline.key_pts, dependent)
    keys[0] = True
    return replace(timeline, key_pts=timeline.key_pts[keys], key_dts=timeline.key_dts[keys])


def _is_other(came: Ticks, timeline: Timeline, seen: _Seen) -> bool:
    ascending = len(came) == len(seen.pts) and not (np.diff(came) <= 0).any()
    return ascending and not np.array_equal(came, timeline.pts)


def _intervals(bad: np.ndarray) -> tuple[tuple[int, int], ...]:
    edges = np.flatnonzero(np.diff(np.concatenate([[0], bad.astype(np.int8), [0]])))
    return tuple((int(a), int(b)) for a, b in edges.reshape(-1, 2))


def _sum_up(source: Source, timeline: Timeline, seen: _Seen) -> str | None:
    parts = []
    if timeline.faults or seen.faults:
        damaged = sum(seen.damaged)
        parts.append(
            f"{len(seen.pts)} of {len(timeline)} frames come out"
            + (f", {damaged} of them damaged" if damaged else "")
        )
        first = timeline.faults[0][0] if timeline.faults else len(timeline) - 1
        said = f" ({seen.faults[0].reason})" if seen.faults else ""
        parts.append(f"the first fault is at {float(timeline.times[first]):.3f} s{said}")
    if missing := cut_off(source, timeline):
        parts.append(missing)
    return "; ".join(parts) or None
