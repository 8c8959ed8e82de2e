"""Which frames of a video make a clip: exact times to frame numbers, and the short-clip rule.

A frame is shown from its own time until the next frame's. The frame at an instant is therefore
the last one whose time is not later; that holds for constant and variable rates alike.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from vitascope.data.clips import Clip
from vitascope.errors import DatasetError
from vitascope.spec import ClipSpec


@dataclass(frozen=True)
class Selection:
    """Frames of one clip.

    Attributes:
        indices: frame numbers in presentation order, one for each of the T samples.
        valid: False where the video had ended and the rule is "pad"; such a sample is to be
            shown black, its index is only a placeholder.
        clip: the interval that the frames were chosen for; None if it was not kept.
    """

    indices: tuple[int, ...]
    valid: tuple[bool, ...]
    clip: Clip | None = None


def at(times: Sequence[Fraction], instants: Iterable[Fraction]) -> tuple[int, ...]:
    """The frame shown at each instant; the first frame for instants before it."""
    return tuple(max(bisect.bisect_right(times, instant) - 1, 0) for instant in instants)


def inside(times: Sequence[Fraction], clip: Clip) -> range:
    """Numbers of the frames that begin inside [start, end)."""
    return range(bisect.bisect_left(times, clip.start), bisect.bisect_left(times, clip.end))


def select(
    times: Sequence[Fraction],
    clip: Clip,
    spec: ClipSpec,
    *,
    within: Clip,
    rng: np.random.Generator | None = None,
) -> Selection:
    """The T frames of a clip.

    With coverage "window" the samples lie `sampling_rate / fps` seconds apart, each in the middle
    of its part of the clip, so that times rounded by a container cannot move a sample to the
    neighboring frame. Without `fps` they are every `sampling_rate`-th frame from the one shown
    at the start. With coverage "video" the clip is cut into T equal parts and one frame is taken
    from each: its middle, or with `rng` (training) a random instant of the part.

    Args:
        times: time of each frame, ascending, the first one 0.
        clip: the interval to sample; it may run beyond `within`.
        spec: number and spacing of the samples, and the rule for short videos.
        within: the part of the video that may be seen: all of it, or the trimmed interval of an
            annotation.
        rng: moves the samples of coverage "video"; None keeps them centered.

    Raises:
        DatasetError: the rule is "error" and the video ends before the clip does, or has fewer
            frames than samples.
    """
    if not times:
        raise DatasetError("the video has no frame")
    if spec.coverage == "video":
        return _spread(times, clip, spec, within, rng)
    if spec.short == "error" and (clip.start < within.start or clip.end > within.end):
        raise _too_short(within, clip)
    if spec.fps is None:
        return _every_nth(times, clip, spec, within)
    step = Fraction(spec.sampling_rate) / spec.fps
    instants = [clip.start + step * k + step / 2 for k in range(spec.num_frames)]
    if spec.short == "loop":
        instants = [within.start + (t - within.start) % within.length for t in instants]
    valid = tuple(spec.short != "pad" or within.start <= t < within.end for t in instants)
    return Selection(_limit(times, at(times, instants), within), valid)


def _spread(
    times: Sequence[Fraction],
    clip: Clip,
    spec: ClipSpec,
    within: Clip,
    rng: np.random.Generator | None,
) -> Selection:
    start, end = max(clip.start, within.start), min(clip.end, within.end)
    if spec.short == "error":
        frames = len(inside(times, Clip(start, end))) if start < end else 0
        if frames < spec.num_frames:
            raise DatasetError(
                f"the video has {frames} frames and the clip needs {spec.num_frames}; choose "
                "another rule for short clips (clip.short=repeat) or fewer frames"
            )
    # Whole numbers of 2**-32 parts: exact on every machine.
    count = spec.num_frames
    places = np.full(count, 2**31) if rng is None else rng.integers(0, 2**32, size=count)
    step = (end - start) / count
    instants = [start + step * (k + Fraction(int(p), 2**32)) for k, p in enumerate(places)]
    indices = _limit(times, at(times, instants), within)
    return Selection(indices, (True,) * spec.num_frames)


def _every_nth(times: Sequence[Fraction], clip: Clip, spec: ClipSpec, within: Clip) -> Selection:
    allowed = inside(times, within)
    if not allowed:  # shorter than one frame: what is on the screen is all there is
        shown = at(times, [within.start])[0]
        allowed = range(shown, shown + 1)
    first = min(max(at(times, [clip.start])[0], allowed.start), allowed.stop - 1)
    wanted = [first + k * spec.sampling_rate for k in range(spec.num_frames)]
    valid = tuple(spec.short != "pad" or i < allowed.stop for i in wanted)
    if spec.short == "loop":
        wanted = [allowed.start + (i - allowed.start) % len(allowed) for i in wanted]
    return Selection(tuple(min(i, allowed.stop - 1) for i in wanted), valid)


def _limit(times: Sequence[Fraction], indices: Sequence[int], within: Clip) -> tuple[int, ...]:
    """Keeps frame numbers inside the visible part of the video.

    The frame already on the screen when `within` starts belongs to it: it is what is seen there.
    """
    first = at(times, [within.start])[0]
    last = max(bisect.bisect_left(times, within.end) - 1, first)
    return tuple(min(max(i, first), last) for i in indices)


def _too_short(within: Clip, clip: Clip) -> DatasetError:
    return DatasetError(
        f"the clip from {float(clip.start):.3f} s to {float(clip.end):.3f} s does not fit into the "
        f"video from {float(within.start):.3f} s to {float(within.end):.3f} s; choose another "
        "rule for short clips (clip.short=repeat) or fewer frames"
    )
