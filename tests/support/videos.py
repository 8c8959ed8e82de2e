"""Small videos whose every frame says its number, and files that are no videos."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch

from vitascope.data.records import VideoRecord
from vitascope.data.render import numbered_frame, read_number
from vitascope.data.write import write_video


def film(
    path: Path,
    frames: int = 24,
    fps: int = 12,
    size: tuple[int, int] = (80, 128),
    first: int = 0,
    pts: Iterable[int] | None = None,
) -> Path:
    """A video of frames `first`, `first` + 1, ..., readable with `numbers`."""
    pictures = (numbered_frame(first + i, size) for i in range(frames))
    return write_video(path, pictures, fps, pts=None if pts is None else list(pts))


def numbers(data: torch.Tensor) -> list[int | None]:
    """The numbers of frames uint8 T H W C; None where a frame cannot be read for certain."""
    assert data.dtype == torch.uint8 and data.shape[-1] == 3
    return [read_number(np.asarray(frame)) for frame in data]


def films(folder: Path, count: int, frames: int = 24, **options: int) -> list[VideoRecord]:
    """Records of `count` videos; video v begins with the number 100 v."""
    return [
        VideoRecord(
            str(film(folder / f"{v}.mp4", frames + v % 3, first=100 * v, **options)),
            v % 2,
            where=f"list.csv, row {v + 1}",
        )
        for v in range(count)
    ]


def times(frames: int, fps: int = 12) -> tuple[Fraction, ...]:
    """Times of the frames of a video of constant rate."""
    return tuple(Fraction(i, fps) for i in range(frames))


class Noise:
    """A transform that shows every draw in its result; here, where spawned workers find it."""

    def __call__(self, data: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
        drawn = torch.from_numpy(rng.random(data.shape[0])).float()
        return data.permute(3, 0, 1, 2).float() + drawn[None, :, None, None]
