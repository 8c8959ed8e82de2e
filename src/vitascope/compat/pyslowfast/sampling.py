"""PySlowFast's choice of frames, frame number by frame number.

Kept because published accuracies were measured with it: clips are cut by frame numbers and not by
time, the last clip of a test ends before the video does, and frames are taken at rounded-down
numbers. New programs plan with `data.clips` and `data.frames`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
import torch

from vitascope.errors import ConfigError


def clip_size(num_frames: int, sampling_rate: int, fps: float, target_fps: float) -> float:
    """Frames of the video that a clip spans, in the file's own rate."""
    return sampling_rate * num_frames / target_fps * fps


def start_end(
    video_size: int,
    size: float,
    clip: int,
    num_clips: int,
    use_offset: bool = False,
    rng: np.random.Generator | None = None,
) -> tuple[float, float, float]:
    """First and last frame of a clip, and how far into the free room it starts (0 to 1).

    Args:
        video_size: frames of the video.
        size: frames that the clip spans.
        clip: number of the clip in a test; -1 draws one (training).
        num_clips: clips of a test.
        use_offset: the spacing of the long models: whole frames, the last clip at the end, a
            single one in the middle. Without it clip i starts at i / num_clips of the room.
        rng: source of the draw for clip -1.

    Raises:
        ConfigError: a clip outside the test, or -1 without `rng`.
    """
    room = max(video_size - size, 0)
    start: float
    if clip == -1:
        if rng is None:
            raise ConfigError("clip = -1 is drawn, which needs rng")
        start = float(rng.uniform(0, room))
    elif not 0 <= clip < num_clips:
        raise ConfigError(f"clip = {clip} of {num_clips}; clips count from 0")
    elif not use_offset:
        start = room * clip / num_clips
    elif num_clips == 1:
        start = math.floor(room / 2)
    else:
        start = clip * math.floor(room / (num_clips - 1))
    return start, start + size - 1, start / room if room else 0.0


def separate_clips(
    video_size: int,
    sizes: Sequence[float],
    rng: np.random.Generator,
    min_gap: float = 0.0,
    max_gap: float = math.inf,
    tries: int = 100,
) -> list[tuple[float, float, float]]:
    """Several clips of one video drawn apart from each other, for contrastive training.

    Clips are drawn one after the other, each again until its distance from the others is allowed.
    Where a video is too short for that, the least bad of several such sets is taken.

    Args:
        video_size: frames of the video.
        sizes: frames that each clip spans.
        rng: source of the draws.
        min_gap: least number of frames from the last of a clip to the first of the next one.
        max_gap: greatest one.
        tries: draws of a clip, and sets of clips.

    Returns:
        First frame, last frame and distance from the clip before (0 for the first), in the order
        of the video. The starts are in order by themselves and so are the ends, which matters
        only for clips of different sizes that overlap.

    Raises:
        ConfigError: no clip, or fewer than one try.
    """
    if not sizes or tries < 1:
        raise ConfigError(f"sizes = {list(sizes)}, tries = {tries}; one of each at least")

    def badness(gaps: list[float]) -> float:
        # The wrong gaps themselves are added up, as PySlowFast does, and not how wrong they are.
        return sum(g for g in gaps if g > max_gap) - sum(g for g in gaps if g < min_gap)

    def fits(gaps: list[float]) -> bool:
        return all(min_gap <= gap <= max_gap for gap in gaps)

    best: tuple[float, list[float], list[float], list[float]] | None = None
    for _ in range(tries):
        starts, ends, gaps = _apart(video_size, sizes, rng, fits, tries)
        worth = math.inf if fits(gaps) else -badness(gaps)
        if best is None or worth > best[0]:
            best = worth, starts, ends, gaps
        if worth == math.inf:
            break
    assert best is not None
    return list(zip(best[1], best[2], [0.0, *best[3]], strict=True))


def _apart(
    video_size: int,
    sizes: Sequence[float],
    rng: np.random.Generator,
    fits: Callable[[list[float]], bool],
    tries: int,
) -> tuple[list[float], list[float], list[float]]:
    """Starts, ends and gaps of one set of clips."""
    starts: list[float] = []
    ends: list[float] = []
    gaps: list[float] = []
    for size in sizes:
        for left in reversed(range(tries)):
            start, end, _ = start_end(video_size, size, -1, 1, rng=rng)
            first, last = sorted([*starts, start]), sorted([*ends, end])
            gaps = [b - a for a, b in zip(last, first[1:], strict=False)]
            if not left or fits(gaps):
                break
        starts, ends = first, last
    return starts, ends, gaps


def frames_between(start: float, end: float, video_size: int, num_frames: int) -> list[int]:
    """Frame numbers evenly spaced from `start` to `end`, rounded down, inside the video.

    Start and end may be fractions, and the places are float32 as in PySlowFast; where both are
    frames, `transforms.functional.uniform_indices` is exact.
    """
    places = torch.linspace(start, end, num_frames)
    return [int(i) for i in places.clamp(0, video_size - 1).long()]


def charades_frames(
    video_size: int, num_frames: int, sampling_rate: int, view: int, num_views: int
) -> list[int]:
    """Frames of a test clip of Charades; views are spread from the start to the end.

    Raises:
        ConfigError: a view outside the test.
    """
    if not 0 <= view < num_views:
        raise ConfigError(f"view = {view} of {num_views}; views count from 0")
    room = max(video_size - ((num_frames - 1) * sampling_rate + 1), 0)
    start = round(room / (num_views - 1) * view) if num_views > 1 else room // 2
    return [min(start + i * sampling_rate, video_size - 1) for i in range(num_frames)]


def ssv2_frames(
    video_size: int, num_frames: int, rng: np.random.Generator | None = None
) -> list[int]:
    """One frame from each of equal parts of the video: the middle, or with `rng` any of them."""
    part = (video_size - 1) / num_frames
    edges = [round(part * i) for i in range(num_frames + 1)]
    if rng is None:
        return [(a + b) // 2 for a, b in pairwise(edges)]
    return [int(rng.integers(a, b + 1)) for a, b in pairwise(edges)]


def ava_frames(center: int, half: int, sampling_rate: int, num_frames: int) -> list[int]:
    """Every `sampling_rate`-th frame of [center - half, center + half), inside the video."""
    wanted = range(center - half, center + half, sampling_rate)
    return [min(max(i, 0), num_frames - 1) for i in wanted]


def view_order(num_clips: int, num_crops: int) -> Sequence[tuple[int, int]]:
    """(clip, crop) of each test view: the crops of a clip follow each other; 1 is the center."""
    crops = (1,) if num_crops == 1 else range(num_crops)
    return [(clip, crop) for clip in range(num_clips) for crop in crops]
