"""PySlowFast's transforms on lists of images, as its detection data sets use them.

Images are numpy arrays of one size, H W C or C H W as `order` says. Boxes are N 4 as in `boxes`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from vitascope.compat.pyslowfast.transforms import color
from vitascope.compat.pyslowfast.transforms.color import Channels
from vitascope.errors import ConfigError, InputError
from vitascope.transforms import boxes as box_functions
from vitascope.transforms.random_source import RandomSource, as_draws
from vitascope.transforms.spatial import cut, scale_to, short_side_size, uniform_crop_box

Images = Sequence[np.ndarray]


def _stack(images: Images, order: str) -> Tensor:
    if order not in ("HWC", "CHW"):
        raise ConfigError(f"order = {order!r}; legal values: HWC, CHW")
    if not images or any(i.shape != images[0].shape or i.ndim != 3 for i in images):
        raise InputError("expected at least one image, all with three dimensions of one size")
    stacked = torch.from_numpy(np.stack(images))
    return stacked.permute(0, 3, 1, 2) if order == "HWC" else stacked


def _split(frames: Tensor, order: str) -> list[np.ndarray]:
    frames = frames.permute(0, 2, 3, 1) if order == "HWC" else frames
    return list(frames.contiguous().numpy())


def random_short_side_scale_jitter_list(
    images: Images,
    min_size: int,
    max_size: int,
    boxes: np.ndarray | None = None,
    order: str = "HWC",
    *,
    rng: RandomSource = None,
) -> tuple[list[np.ndarray], np.ndarray | None]:
    """Scales the short side to a random size whose inverse is drawn evenly."""
    frames, moved = box_functions.random_short_side_scale_jitter(
        _stack(images, order), min_size, max_size, boxes, True, rng=rng
    )
    return _split(frames, order), moved


def scale(size: int, image: np.ndarray, order: str = "HWC") -> np.ndarray:
    """Scales the short side of one image to `size` pixels."""
    frame = _stack([image], order)
    height, width = frame.shape[-2:]
    return _split(scale_to(frame, *short_side_size(height, width, size, "down")), order)[0]


def scale_boxes(size: int, boxes: np.ndarray, height: int, width: int) -> np.ndarray:
    """Boxes after the short side of a frame of `height` x `width` was scaled to `size`."""
    new_height, new_width = short_side_size(height, width, size, "down")
    factor = new_height / height if width < height else new_width / width
    return box_functions.scale_boxes(boxes, factor)


def spatial_shift_crop_list(
    size: int,
    images: Images,
    spatial_shift_pos: int,
    boxes: np.ndarray | None = None,
    order: str = "HWC",
) -> tuple[list[np.ndarray], np.ndarray | None]:
    """Cuts one of three squares along the long side: 0 left or top, 1 middle, 2 right or bottom."""
    frames = _stack(images, order)
    height, width = frames.shape[-2:]
    box = uniform_crop_box(height, width, size, spatial_shift_pos)
    moved = None if boxes is None else box_functions.crop_boxes(boxes, box[1], box[0])
    return _split(cut(frames, box), order), moved


def horizontal_flip_list(
    prob: float,
    images: Images,
    order: str = "CHW",
    boxes: np.ndarray | None = None,
    *,
    legacy_width: bool = False,
    rng: RandomSource = None,
) -> tuple[list[np.ndarray], np.ndarray | None]:
    """Mirrors all images, and the boxes, with probability `prob`.

    Args:
        prob: probability of a mirror image.
        images: of one size.
        order: "HWC" or "CHW".
        boxes: N 4, or None.
        legacy_width: mirror boxes at the second dimension of the images whatever `order` says, as
            PySlowFast does; with "CHW" that is their height.
        rng: source of the decision; None is torch's global generator.
    """
    frames = _stack(images, order)
    if as_draws(rng).uniform() >= prob:
        return _split(frames, order), boxes
    width = images[0].shape[1] if legacy_width else frames.shape[-1]
    moved = None if boxes is None else box_functions.flip_boxes(boxes, width)
    return _split(frames.flip(-1), order), moved


def random_crop_list(
    images: Images,
    size: int,
    pad_size: int = 0,
    order: str = "CHW",
    boxes: np.ndarray | None = None,
    *,
    legacy_offsets: bool = False,
    rng: RandomSource = None,
) -> tuple[list[np.ndarray], np.ndarray | None]:
    """Cuts a square at a random place, after a border of `pad_size` zeros was added."""
    frames = _stack(images, order)
    if pad_size:
        frames = torch.nn.functional.pad(frames, (pad_size,) * 4)
        boxes = None if boxes is None else box_functions.crop_boxes(boxes, -pad_size, -pad_size)
    cropped, moved = box_functions.random_crop(
        frames, size, boxes, legacy_offsets=legacy_offsets, rng=rng
    )
    return _split(cropped, order), moved


def pad_image(image: np.ndarray, pad_size: int, order: str = "CHW") -> np.ndarray:
    """Adds a border of zeros on all sides."""
    return _split(torch.nn.functional.pad(_stack([image], order), (pad_size,) * 4), order)[0]


def color_jitter_list(
    images: Images,
    img_brightness: float = 0.0,
    img_contrast: float = 0.0,
    img_saturation: float = 0.0,
    order: str = "CHW",
    channels: Channels = "bgr",
    *,
    rng: RandomSource = None,
) -> list[np.ndarray]:
    """Changes brightness, contrast and saturation of all images alike; see `color.color_jitter`."""
    changed = color.color_jitter(
        _stack(images, order), img_brightness, img_contrast, img_saturation, channels, rng=rng
    )
    return _split(changed, order)


def lighting_list(
    images: Images,
    alphastd: float,
    eigval: Sequence[float] = color.EIGENVALUES,
    eigvec: Sequence[Sequence[float]] = color.EIGENVECTORS,
    order: str = "CHW",
    channels: Channels = "bgr",
    *,
    rng: RandomSource = None,
) -> list[np.ndarray]:
    """Adds one random color to all images; see `color.lighting_jitter`."""
    changed = color.lighting_jitter(
        _stack(images, order), alphastd, eigval, eigvec, channels, rng=rng
    )
    return _split(changed, order)


def color_normalization(
    image: np.ndarray, mean: Sequence[float], stddev: Sequence[float], order: str = "CHW"
) -> np.ndarray:
    """(x - mean) / stddev of each channel of one image."""
    return _split(color.color_normalization(_stack([image], order), mean, stddev), order)[0]
