"""PySlowFast's choice of frames, frame number by frame number.

Kept because published accuracies were measured with it: clips are cut by frame numbers and not by
time, the last clip of a test ends before the video does, and frames are taken at rounded-down
numbers. New programs plan with `data.clips` and `data.frames`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
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


def frames_between(start: float, end: float, video_size: int, num_frames: int) -> list[int]:
    """Frame numbers evenly spaced from `start` to `end`, rounded down, inside the video."""
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


def ava_frames(centre: int, half: int, sampling_rate: int, num_frames: int) -> list[int]:
    """Every `sampling_rate`-th frame of [centre - half, centre + half), inside the video."""
    wanted = range(centre - half, centre + half, sampling_rate)
    return [min(max(i, 0), num_frames - 1) for i in wanted]


def view_order(num_clips: int, num_crops: int) -> Sequence[tuple[int, int]]:
    """(clip, crop) of each test view: the crops of a clip follow each other; 1 is the centre."""
    crops = (1,) if num_crops == 1 else range(num_crops)
    return [(clip, crop) for clip in range(num_clips) for crop in crops]
