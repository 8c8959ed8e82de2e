"""Videos of known content: numbered frames for proofs, and motions for the quickstart."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vitascope.data.write import write_video
from vitascope.distributed import cores
from vitascope.errors import ConfigError, UnknownNameError

Image = npt.NDArray[np.uint8]
Grid = npt.NDArray[np.floating[Any]]

# --- numbered frames ---------------------------------------------------------------------------

_BITS = 16
_ROWS, _COLUMNS = 5, 8  # 16 bits, their complement, and a row of colors
_COLORS = ((255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255))


def numbered_frame(number: int, size: tuple[int, int] = (80, 128)) -> Image:
    """An image that says its number in black and white blocks.

    Two rows of blocks carry the 16 bits, two more their complement, and a row below shows red,
    green, blue and white, so that color order and orientation can be seen as well.

    Args:
        number: 0 to 65535.
        size: height and width in pixels; blocks of 8 or more survive any usual compression.
    """
    if not 0 <= number < 2**_BITS:
        raise ConfigError(f"number = {number}; it must be 0 to {2**_BITS - 1}")
    bits = np.array([number >> i & 1 for i in range(_BITS)], np.uint8)
    blocks = np.empty((_ROWS, _COLUMNS, 3), np.uint8)
    blocks[:4] = (np.concatenate([bits, 1 - bits]) * 255).reshape(4, _COLUMNS, 1)
    blocks[4] = np.repeat(np.array(_COLORS, np.uint8), _COLUMNS // 4, axis=0)
    rows = np.arange(size[0]) * _ROWS // size[0]
    columns = np.arange(size[1]) * _COLUMNS // size[1]
    return blocks[rows][:, columns]


def read_number(image: Image) -> int | None:
    """The number in an image made by `numbered_frame`; None if it cannot be read for certain.

    The image may have been compressed and scaled; wrong colors or a turned image give None.
    """
    height, width = image.shape[:2]
    middles = np.empty((_ROWS, _COLUMNS, 3))
    for row in range(_ROWS):
        for column in range(_COLUMNS):
            top, bottom = (height * (4 * row + k) // (4 * _ROWS) for k in (1, 3))
            left, right = (width * (4 * column + k) // (4 * _COLUMNS) for k in (1, 3))
            block = image[top : max(bottom, top + 1), left : max(right, left + 1)]
            middles[row, column] = block.mean(axis=(0, 1))
    bits = middles[:4].mean(axis=2).reshape(2, _BITS) > 127.5
    colors = middles[4] > 127.5
    expected = np.repeat(np.array(_COLORS) > 127, _COLUMNS // 4, axis=0)
    if (bits[0] == bits[1]).any() or (colors != expected).any():
        return None
    return int(sum(int(bit) << i for i, bit in enumerate(bits[0])))


def render_numbered(
    path: str | Path,
    frames: int,
    *,
    fps: Fraction | int = 25,
    size: tuple[int, int] = (80, 128),
    pts: Sequence[int] | None = None,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    options: Mapping[str, str] | None = None,
    container_options: Mapping[str, str] | None = None,
) -> Path:
    """Writes a video whose frame n says n; see `write_video` for the arguments."""
    return write_video(
        path,
        (numbered_frame(n, size) for n in range(frames)),
        fps,
        pts=pts,
        codec=codec,
        pix_fmt=pix_fmt,
        options=options,
        container_options=container_options,
    )


# --- motions -----------------------------------------------------------------------------------

# name -> (which of x, y, angle, log scale it moves, direction); y points down, angles turn with
# the clock on the screen.
_MOVES = {
    "move_left": (0, -1),
    "move_right": (0, 1),
    "move_up": (1, -1),
    "move_down": (1, 1),
    "rotate_clockwise": (2, 1),
    "rotate_counterclockwise": (2, -1),
    "grow": (3, 1),
    "shrink": (3, -1),
}
MOTIONS = tuple(_MOVES)
# Travel over one clip as a part of the full circle of each coordinate: least and most.
_TRAVEL = ((0.45, 0.75), (0.45, 0.75), (0.35, 0.6), (0.6, 0.9))
# Largest to and fro of every coordinate on top of it, in every class. Its fastest moment stays well
# below the travel, so that between any two frames the motion goes the way its name says.
_SWAY = (0.01, 0.01, 0.01, 0.02)
_SCALES = (0.2, 0.48)  # radius of the object as a part of the short side: least and most


def motion_path(motion: str, key: Sequence[int], frames: int) -> npt.NDArray[np.float64]:
    """Poses of the object in one clip: an array of `frames` x (x, y, angle, log scale).

    Each coordinate lives on a circle of length 1 and starts at a place drawn evenly from it; the
    class moves one of them steadily one way, and all of them sway a little in every class. A
    single frame therefore shows every pose equally often in every class, whichever frame of the
    clip it is.

    Args:
        motion: one of `MOTIONS`.
        key: whole numbers that fix everything that is drawn at random.
        frames: length of the clip.
    """
    if motion not in _MOVES:
        raise UnknownNameError("motion", motion, MOTIONS)
    coordinate, direction = _MOVES[motion]
    rng = np.random.default_rng([*key, 1])
    time = np.linspace(0.0, 1.0, frames)[:, None]
    sway = np.sin(2 * np.pi * (time * rng.uniform(0.7, 1.6, 4) + rng.uniform(0, 1, 4)))
    sway *= rng.uniform(0, 1, 4) * _SWAY
    travel = np.zeros((frames, 4))
    travel[:, coordinate] = direction * rng.uniform(*_TRAVEL[coordinate]) * time[:, 0]
    # The sway comes after the wrap: an object that neither grows nor shrinks must not flip
    # between the largest and the smallest scale.
    poses: npt.NDArray[np.float64] = (rng.uniform(0, 1, 4) + travel) % 1 + sway
    return poses


def motion_clip(
    motion: str, key: Sequence[int], frames: int = 16, size: tuple[int, int] = (80, 80)
) -> Image:
    """Draws one clip, uint8 T H W C: a textured object that moves over a drifting background.

    Shape, colors, textures, the object's size, speed and start, and the background's drift are
    drawn independently of the class. The image wraps around: what leaves on one side comes
    back on the other.
    """
    poses = motion_path(motion, key, frames).astype(np.float32)
    rng = np.random.default_rng([*key, 2])
    height, width = size
    rows = np.arange(height, dtype=np.float32)[:, None] + 0.5
    columns = np.arange(width, dtype=np.float32)[None] + 0.5
    low, high = (math.log(part * min(size)) for part in _SCALES)
    radius = np.exp(low + (high - low) * poses[:, 3])[:, None, None]
    x = (columns - poses[:, 0, None, None] * width + width / 2) % width - width / 2
    y = (rows - poses[:, 1, None, None] * height + height / 2) % height - height / 2
    angle = 2 * np.pi * poses[:, 2, None, None]
    cos, sin = np.cos(angle), np.sin(angle)
    u, v = (x * cos + y * sin) / radius, (y * cos - x * sin) / radius
    inside = np.clip(_SHAPES[int(rng.integers(len(_SHAPES)))](u, v) * radius + 0.5, 0, 1)
    back, fore, stripe = _colors(rng)
    stripes = np.sin(u * float(rng.uniform(2.5, 5)) + float(rng.uniform(0, 6)))
    paint = fore + (stripe - fore) * np.clip(stripes * 3 + 0.5, 0, 1)[..., None]
    scene = _background(rng, frames, size)[..., None] * 60 + back
    picture = scene + (paint - scene) * inside[..., None]
    clip: Image = np.clip(picture, 0, 255).astype(np.uint8)
    return clip


def _disc(u: Grid, v: Grid) -> Grid:
    distance: Grid = np.sqrt(u * u + v * v)
    return 1 - distance


def _square(u: Grid, v: Grid) -> Grid:
    inside: Grid = 0.8 - np.maximum(np.abs(u), np.abs(v))
    return inside


def _bar(u: Grid, v: Grid) -> Grid:
    inside: Grid = np.minimum(1 - np.abs(u), 0.45 - np.abs(v))
    return inside


def _cross(u: Grid, v: Grid) -> Grid:
    both: Grid = np.maximum(_bar(u, v), _bar(v, u))
    return both


def _triangle(u: Grid, v: Grid) -> Grid:
    sides = np.abs(u) * 0.866 - v * 0.5
    inside: Grid = 0.55 - np.maximum(v, sides)
    return inside


def _ell(u: Grid, v: Grid) -> Grid:
    tall = np.minimum(0.9 - np.abs(v), 0.3 - np.abs(u + 0.45))
    foot = np.minimum(0.3 - np.abs(v - 0.6), 0.75 - np.abs(u))
    both: Grid = np.maximum(tall, foot)
    return both


# Signed distance to the edge in radii, positive inside, of a shape about as large as a disc.
_SHAPES: tuple[Callable[[Grid, Grid], Grid], ...] = (
    _disc,
    _square,
    _bar,
    _cross,
    _triangle,
    _ell,
)


def _colors(rng: np.random.Generator) -> tuple[Grid, Grid, Grid]:
    """Colors of background, object and stripe: any hue, the object lighter than what is behind it.

    Growing and shrinking are told apart by which side of an edge is the object. Were that side
    drawn too, its recognition would take most of a short training.
    """
    drawn = [level + rng.uniform(-45, 45, 3) for level in (65, 205, 120)]
    back, fore, stripe = (np.clip(c, 0, 255).astype(np.float32) for c in drawn)
    return back, fore, stripe


def _background(rng: np.random.Generator, frames: int, size: tuple[int, int]) -> Grid:
    """A texture in [-0.5, 0.5] that drifts any way, T H W."""
    height, width = size
    speed = rng.uniform(-0.35, 0.35, 2)  # widths of the image in one clip
    rows = np.arange(height, dtype=np.float32)[None, :, None] / height
    columns = np.arange(width, dtype=np.float32)[None, None, :] / width
    time = np.linspace(0, 1, frames, dtype=np.float32)[:, None, None]
    y, x = rows + np.float32(speed[0]) * time, columns + np.float32(speed[1]) * time
    total = np.zeros((frames, height, width), np.float32)
    for _ in range(4):
        # Whole waves over the image, so that the texture wraps around as the object does.
        fy, fx = (float(f) for f in rng.integers(-4, 5, 2))
        wave = np.sin(2 * np.pi * (fy * y + fx * x + float(rng.random())))
        total += wave.astype(np.float32) * np.float32(0.125)
    return total


def render_motion_dataset(
    out: str | Path,
    classes: Sequence[str] = MOTIONS,
    clips_per_class: Mapping[str, int] | None = None,
    seed: int = 0,
    *,
    frames: int = 16,
    size: tuple[int, int] = (80, 80),
    fps: int = 16,
    on_clip: Callable[[int, int], None] | None = None,
) -> Path:
    """Writes OUT/{train,val,test}/<class>/*.mp4, H.264 videos of one motion each.

    The same arguments give the same videos; every clip is drawn on its own, so a smaller set is a
    part of a larger one.

    Args:
        out: folder to write to.
        classes: motions to include, out of `MOTIONS`.
        clips_per_class: split -> number of videos of each class.
        seed: seed of everything that is drawn.
        frames: frames of each video.
        size: height and width in pixels, even numbers.
        fps: frames a second.
        on_clip: called with (videos written, videos in all) from any thread.

    Raises:
        UnknownNameError: a class that is not in `MOTIONS`.
    """
    counts = dict(clips_per_class or {"train": 80, "val": 12, "test": 32})
    for motion in classes:
        if motion not in _MOVES:
            raise UnknownNameError("motion", motion, MOTIONS)
    jobs = list(_jobs(Path(out), classes, counts, seed))
    done = 0

    def write(job: tuple[Path, str, tuple[int, ...]]) -> None:
        nonlocal done
        path, motion, key = job
        write_video(path, motion_clip(motion, key, frames, size), fps)
        done += 1
        if on_clip is not None:
            on_clip(done, len(jobs))

    # NumPy and x264 leave the interpreter lock for most of the time, so threads are enough.
    with ThreadPoolExecutor(max_workers=cores()) as pool:
        for _ in pool.map(write, jobs):
            pass
    return Path(out)


def _jobs(
    out: Path, classes: Sequence[str], counts: Mapping[str, int], seed: int
) -> Iterator[tuple[Path, str, tuple[int, ...]]]:
    splits = ("train", "val", "test")
    for split, count in counts.items():
        for motion in classes:
            for number in range(count):
                place = splits.index(split) if split in splits else len(splits)
                key = (seed, place, MOTIONS.index(motion), number)
                yield out / split / motion / f"{motion}_{number:04d}.mp4", motion, key
