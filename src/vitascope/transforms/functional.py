"""Pure functions on clips: the arithmetic behind the classes of `transforms`.

Clips are C T H W. Functions on places and boxes live in `spatial` and `boxes`; PyTorchVideo's
names among them are here as well.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from vitascope.errors import ConfigError, InputError
from vitascope.transforms.boxes import (
    clip_boxes_to_image,
    crop_boxes,
    horizontal_flip_with_boxes,
    random_crop_with_boxes,
    random_short_side_scale_with_boxes,
    short_side_scale_with_boxes,
    uniform_crop_with_boxes,
)
from vitascope.transforms.spatial import (
    random_resized_crop,
    short_side_scale,
    uniform_crop,
)

__all__ = [
    "clip_boxes_to_image",
    "convert_to_one_hot",
    "crop_boxes",
    "div_255",
    "horizontal_flip_with_boxes",
    "random_crop_with_boxes",
    "random_resized_crop",
    "random_short_side_scale_with_boxes",
    "short_side_scale",
    "short_side_scale_with_boxes",
    "uniform_crop",
    "uniform_crop_with_boxes",
    "uniform_indices",
    "uniform_temporal_subsample",
    "uniform_temporal_subsample_repeated",
]


def uniform_indices(count: int, num_samples: int) -> list[int]:
    """`num_samples` frame numbers from 0 to `count` - 1, evenly spaced and rounded down.

    The first and (from two on) the last frame are always among them; frames repeat where there
    are fewer than samples.

    Raises:
        ConfigError: no sample is wanted.
        InputError: there is no frame.
    """
    if num_samples < 1:
        raise ConfigError(f"num_samples = {num_samples}; at least 1 is needed")
    if count < 1:
        raise InputError("a clip without frames")
    return [i * (count - 1) // max(num_samples - 1, 1) for i in range(num_samples)]


def uniform_temporal_subsample(x: Tensor, num_samples: int, temporal_dim: int = -3) -> Tensor:
    """Evenly spaced frames of a clip.

    Args:
        x: clip with time as dimension `temporal_dim`.
        num_samples: frames of the result; more than there are repeats some.
        temporal_dim: -3 is T of ... T H W.
    """
    indices = uniform_indices(x.shape[temporal_dim], num_samples)
    return x.index_select(temporal_dim, torch.tensor(indices, device=x.device))


def uniform_temporal_subsample_repeated(
    frames: Tensor, frame_ratios: Sequence[int], temporal_dim: int = -3
) -> list[Tensor]:
    """The same clip at several frame rates, for models with several pathways.

    Args:
        frames: clip with time as dimension `temporal_dim`.
        frame_ratios: for each result, by how much there are fewer frames.
        temporal_dim: -3 is T of ... T H W.

    Raises:
        InputError: a clip that is too short for one of the ratios.
    """
    count = frames.shape[temporal_dim]
    if count < max(frame_ratios):
        raise InputError(f"{count} frames are too few for frame_ratios = {tuple(frame_ratios)}")
    return [
        uniform_temporal_subsample(frames, count // ratio, temporal_dim) for ratio in frame_ratios
    ]


def convert_to_one_hot(targets: Tensor, num_class: int, label_smooth: float = 0.0) -> Tensor:
    """Rows of class weights for class numbers.

    Args:
        targets: class numbers, shape N or N 1.
        num_class: K.
        label_smooth: share of the weight that is spread evenly over all classes.

    Returns:
        float32 N K; each row has the sum 1.

    Raises:
        InputError: a number that is no class.
        ConfigError: a smoothing that is not from 0 to below 1.
    """
    if not 0 <= label_smooth < 1:
        raise ConfigError(f"label_smooth = {label_smooth}; it must be from 0 to below 1")
    numbers = targets.reshape(-1).long()
    if numbers.numel() and not 0 <= int(numbers.min()) <= int(numbers.max()) < num_class:
        raise InputError(
            f"class numbers from {int(numbers.min())} to {int(numbers.max())} for num_class = "
            f"{num_class}"
        )
    low = label_smooth / num_class
    rows = torch.full((len(numbers), num_class), low, device=targets.device)
    return rows.scatter_(1, numbers[:, None], 1.0 - label_smooth + low)


def div_255(x: Tensor) -> Tensor:
    """Pixel values from 0..255 to 0..1: x / 255 as float."""
    return x / 255.0
