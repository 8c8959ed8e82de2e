"""Boxes of people and things that go through the same transforms as their frames.

Boxes are rows x1 y1 x2 y2 in pixels, as numpy arrays or tensors; results are of the same kind and
the caller's boxes are never changed. Frames have height and width as their last two dimensions.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from torch import Tensor

from vitascope.errors import InputError
from vitascope.transforms.random_source import RandomSource, as_draws
from vitascope.transforms.spatial import (
    cut,
    frame_size,
    random_crop_box,
    scale_to,
    short_side_size,
    uniform_crop_box,
)
from vitascope.transforms.spatial import short_side_scale as _short_side_scale

Boxes = TypeVar("Boxes", np.ndarray, Tensor)


def _check(boxes: np.ndarray | Tensor) -> None:
    if boxes.ndim != 2 or boxes.shape[1] < 4:
        raise InputError(f"expected boxes N 4 as x1 y1 x2 y2, got shape {tuple(boxes.shape)}")


def _copy(boxes: Boxes) -> Boxes:
    _check(boxes)
    return boxes.clone() if isinstance(boxes, Tensor) else np.array(boxes)


def clip_boxes_to_image(boxes: Boxes, height: int, width: int) -> Boxes:
    """Moves corners outside of the frame to its last pixels (0 and side - 1)."""
    clipped = _copy(boxes)
    for columns, limit in (([0, 2], width), ([1, 3], height)):
        clipped[:, columns] = clipped[:, columns].clip(0, limit - 1)
    return clipped


def crop_boxes(boxes: Boxes, x_offset: float, y_offset: float) -> Boxes:
    """Boxes in the coordinates of a crop that starts at `x_offset`, `y_offset`."""
    moved = _copy(boxes)
    moved[:, [0, 2]] -= x_offset
    moved[:, [1, 3]] -= y_offset
    return moved


def scale_boxes(boxes: Boxes, factor: float) -> Boxes:
    """Boxes after the frames were scaled by one factor."""
    scaled = _copy(boxes)
    scaled[:, :4] *= factor
    return scaled


def flip_boxes(boxes: Boxes, width: int) -> Boxes:
    """Boxes after the frames were mirrored: x becomes width - 1 - x."""
    flipped = _copy(boxes)
    flipped[:, [0, 2]] = width - 1 - boxes[:, [2, 0]]
    return flipped


def _short_side_factor(height: int, width: int, size: int) -> float:
    # The factor of the long side, which was rounded: this is what the predecessors apply to all.
    new_height, new_width = short_side_size(height, width, size, "down")
    return new_height / height if width < height else new_width / width


def short_side_scale_with_boxes(
    images: Tensor,
    boxes: Boxes,
    size: int,
    interpolation: str = "bilinear",
    backend: str = "pytorch",
) -> tuple[Tensor, Boxes]:
    """Scales the short side of a clip C T H W, and its boxes.

    Args:
        images: C T H W.
        boxes: N 4.
        size: of the short side in pixels.
        interpolation: see `spatial.short_side_scale`.
        backend: see `spatial.short_side_scale`.
    """
    factor = _short_side_factor(*frame_size(images), size)
    return _short_side_scale(images, size, interpolation, backend), scale_boxes(boxes, factor)


def random_short_side_scale_with_boxes(
    images: Tensor,
    boxes: Boxes,
    min_size: int,
    max_size: int,
    interpolation: str = "bilinear",
    backend: str = "pytorch",
    *,
    rng: RandomSource = None,
) -> tuple[Tensor, Boxes]:
    """Scales the short side to a random size from `min_size` to `max_size`, both included."""
    size = as_draws(rng).integer(min_size, max_size + 1)
    return short_side_scale_with_boxes(images, boxes, size, interpolation, backend)


def random_short_side_scale_jitter(
    images: Tensor,
    min_size: int,
    max_size: int,
    boxes: Boxes | None = None,
    inverse_uniform_sampling: bool = False,
    *,
    rng: RandomSource = None,
) -> tuple[Tensor, Boxes | None]:
    """PySlowFast's random scaling of the short side.

    Args:
        images: ... H W.
        min_size: smallest short side.
        max_size: largest short side.
        boxes: N 4, or None.
        inverse_uniform_sampling: draw 1 / size evenly, not size.
        rng: source of the size; None is torch's global generator.
    """
    draws = as_draws(rng)
    if inverse_uniform_sampling:
        size = round(1 / draws.uniform(1 / max_size, 1 / min_size))
    else:
        size = round(draws.uniform(min_size, max_size))
    height, width = images.shape[-2:]
    if min(height, width) == size:
        return images, boxes
    factor = _short_side_factor(height, width, size)
    scaled = scale_to(images, *short_side_size(height, width, size, "down"))
    return scaled, None if boxes is None else scale_boxes(boxes, factor)


def random_crop(
    images: Tensor,
    size: int,
    boxes: Boxes | None = None,
    *,
    legacy_offsets: bool = False,
    clip_boxes: bool = False,
    rng: RandomSource = None,
) -> tuple[Tensor, Boxes | None]:
    """Cuts a square at a random place.

    Args:
        images: ... H W.
        size: side of the square; frames of this size come back as they are.
        boxes: N 4, or None.
        legacy_offsets: never take the last place, as the predecessors do.
        clip_boxes: cut boxes off at the border of the square.
        rng: source of the place; None is torch's global generator.
    """
    box = random_crop_box(*frame_size(images), size, as_draws(rng), legacy_offsets)
    if boxes is None:
        return cut(images, box), None
    moved = crop_boxes(boxes, box[1], box[0])
    return cut(images, box), clip_boxes_to_image(moved, size, size) if clip_boxes else moved


def random_crop_with_boxes(
    images: Tensor,
    size: int,
    boxes: Boxes,
    *,
    legacy_offsets: bool = False,
    rng: RandomSource = None,
) -> tuple[Tensor, Boxes]:
    """Cuts a square at a random place out of a clip C T H W; boxes are cut off at its border.

    Args:
        images: C T H W.
        size: side of the square.
        boxes: N 4.
        legacy_offsets: never take the last place, as PyTorchVideo does.
        rng: source of the place; None is torch's global generator.
    """
    cropped, moved = random_crop(
        images, size, boxes, legacy_offsets=legacy_offsets, clip_boxes=True, rng=rng
    )
    assert moved is not None
    return cropped, moved


def uniform_crop_with_boxes(
    images: Tensor, size: int, spatial_idx: int, boxes: Boxes
) -> tuple[Tensor, Boxes]:
    """Cuts one of three squares along the long side; boxes are cut off at its border.

    Args:
        images: C T H W.
        size: side of the square.
        spatial_idx: 0 left or top, 1 middle, 2 right or bottom.
        boxes: N 4.
    """
    box = uniform_crop_box(*frame_size(images), size, spatial_idx)
    moved = crop_boxes(boxes, box[1], box[0])
    return cut(images, box), clip_boxes_to_image(moved, size, size)


def scaled_uniform_crop(
    images: Tensor,
    size: int,
    spatial_idx: int,
    boxes: Boxes | None = None,
    scale_size: int | None = None,
    *,
    legacy_boxes: bool = False,
) -> tuple[Tensor, Boxes | None]:
    """PySlowFast's uniform crop, which scales the short side first.

    Args:
        images: ... H W.
        size: side of the square.
        spatial_idx: 0 left or top, 1 middle, 2 right or bottom.
        boxes: N 4, or None; they are not cut off at the border.
        scale_size: short side in pixels before the crop; None leaves the size.
        legacy_boxes: leave the boxes unscaled, as PySlowFast does, so that they no longer fit.
    """
    if scale_size is not None:
        height, width = images.shape[-2:]
        images = scale_to(images, *short_side_size(height, width, scale_size, "down"))
        if boxes is not None and not legacy_boxes:
            boxes = scale_boxes(boxes, _short_side_factor(height, width, scale_size))
    box = uniform_crop_box(*frame_size(images), size, spatial_idx)
    return cut(images, box), None if boxes is None else crop_boxes(boxes, box[1], box[0])


def horizontal_flip_with_boxes(
    prob: float, images: Tensor, boxes: Boxes, *, rng: RandomSource = None
) -> tuple[Tensor, Boxes]:
    """Mirrors frames ... H W and their boxes with probability `prob`."""
    if as_draws(rng).uniform() < prob:
        return images.flip(-1), flip_boxes(boxes, images.shape[-1])
    return images, boxes


def horizontal_flip(
    prob: float, images: Tensor, boxes: Boxes | None = None, *, rng: RandomSource = None
) -> tuple[Tensor, Boxes | None]:
    """Mirrors frames ... H W, and their boxes if there are any, with probability `prob`."""
    if boxes is not None:
        return horizontal_flip_with_boxes(prob, images, boxes, rng=rng)
    return (images.flip(-1) if as_draws(rng).uniform() < prob else images), None
