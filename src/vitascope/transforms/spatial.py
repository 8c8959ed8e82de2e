"""Scaling, cropping and mirroring of frames; height and width are the last two dimensions.

The windows are those of PyTorchVideo and PySlowFast, given the same draws.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from vitascope.errors import ConfigError, InputError
from vitascope.optional import require
from vitascope.transforms.random_source import Draws, RandomSource, as_draws

Interpolation = Literal["nearest", "bilinear", "bicubic", "area"]
Backend = Literal["pytorch", "opencv"]
Box = tuple[int, int, int, int]
"""A window of a frame: top, left, height, width in pixels."""


def frame_size(x: Tensor) -> tuple[int, int]:
    """Height and width of frames ... H W."""
    return x.shape[-2], x.shape[-1]


def scale_to(x: Tensor, height: int, width: int, interpolation: str = "bilinear") -> Tensor:
    """Scales frames without antialiasing, as the predecessors do.

    Args:
        x: ... H W, uint8 or float. uint8 is computed in float and rounded.
        height: of the result.
        width: of the result.
        interpolation: "nearest", "bilinear", "bicubic" or "area".

    Returns:
        ... `height` `width` of the same dtype.

    Raises:
        ConfigError: another interpolation.
    """
    if interpolation not in ("nearest", "bilinear", "bicubic", "area"):
        raise ConfigError(
            f"interpolation = {interpolation!r}; legal values: nearest, bilinear, bicubic, area"
        )
    if x.ndim < 2:
        raise InputError(f"expected frames ... H W, got shape {tuple(x.shape)}")
    if x.shape[-2:] == (height, width):
        return x
    corners = False if interpolation in ("bilinear", "bicubic") else None
    planes = x.reshape(1, -1, *x.shape[-2:])
    planes = planes if planes.is_floating_point() else planes.float()
    scaled = F.interpolate(planes, (height, width), mode=interpolation, align_corners=corners)
    if not x.is_floating_point():
        scaled = scaled.round().clamp(0, 255).to(x.dtype)
    return scaled.view(*x.shape[:-2], height, width)


def short_side_size(height: int, width: int, size: int, rounding: str) -> tuple[int, int]:
    """Height and width with the short side at `size` and the proportions kept.

    Args:
        height: of the frame.
        width: of the frame.
        size: of the short side in pixels.
        rounding: of the long side: "down" as PyTorchVideo and PySlowFast do, or "nearest" (halves
            up) as frames leave the decoders; both in whole numbers, so that every machine finds
            the same size.
    """
    assert rounding == "down" or rounding == "nearest"  # in a form that can be scripted
    short, long = min(height, width), max(height, width)
    half = short // 2 if rounding == "nearest" else 0
    scaled = (long * size + half) // short
    return (scaled, size) if width < height else (size, scaled)


def short_side_scale(
    x: Tensor, size: int, interpolation: str = "bilinear", backend: str = "pytorch"
) -> Tensor:
    """Scales the short side of a clip and keeps its proportions.

    Args:
        x: clip C T H W, uint8 or float (any ... H W with "pytorch").
        size: of the short side in pixels.
        interpolation: see `scale_to`; "opencv" has no "area".
        backend: "pytorch", or "opencv" for the pixels of cv2.resize (extra "opencv").

    Returns:
        The clip in its new size and old dtype.

    Raises:
        ConfigError: another interpolation or backend.
        MissingExtraError: "opencv" is not installed.
    """
    height, width = short_side_size(x.shape[-2], x.shape[-1], size, "down")
    if backend == "pytorch":
        return scale_to(x, height, width, interpolation)
    if backend != "opencv":
        raise ConfigError(f"backend = {backend!r}; legal values: pytorch, opencv")
    return resize_opencv(x, height, width, interpolation)


def resize_opencv(x: Tensor, height: int, width: int, interpolation: str = "bilinear") -> Tensor:
    """Scales frames as cv2.resize does.

    Args:
        x: clip C T H W, uint8 or float.
        height: of the result.
        width: of the result.
        interpolation: "nearest", "bilinear" or "bicubic".

    Raises:
        ConfigError: another interpolation.
        InputError: no clip C T H W.
        MissingExtraError: opencv is not installed.
    """
    cv2: Any = require("cv2", extra="opencv")
    flags = {
        "nearest": cv2.INTER_NEAREST,
        "bilinear": cv2.INTER_LINEAR,
        "bicubic": cv2.INTER_CUBIC,
    }
    if interpolation not in flags:
        raise ConfigError(f"interpolation = {interpolation!r}; with opencv: {', '.join(flags)}")
    if x.ndim != 4:
        raise InputError(f"opencv scales clips C T H W, got shape {tuple(x.shape)}")
    scaled = [
        torch.from_numpy(cv2.resize(frame, (width, height), interpolation=flags[interpolation]))
        for frame in x.permute(1, 2, 3, 0).contiguous().numpy()
    ]
    return torch.stack([s if s.ndim == 3 else s[..., None] for s in scaled]).permute(3, 0, 1, 2)


def cut(x: Tensor, box: Box) -> Tensor:
    """A window of frames, as a view."""
    top, left, height, width = box
    return x[..., top : top + height, left : left + width]


def pair(size: int | tuple[int, int] | list[int]) -> tuple[int, int]:
    """Height and width; one number is a square.

    Raises:
        ConfigError: neither one nor two positive numbers.
    """
    sides = (size, size) if isinstance(size, int) else tuple(size)
    if len(sides) != 2 or min(sides) < 1:
        raise ConfigError(f"size = {size!r}; expected one or two positive numbers of pixels")
    return int(sides[0]), int(sides[1])


def _fits(height: int, width: int, size: tuple[int, int]) -> None:
    if size[0] > height or size[1] > width:
        raise InputError(
            f"a crop of {size[0]} x {size[1]} does not fit into frames of {height} x {width}; "
            "scale them first"
        )


def uniform_crop_box(height: int, width: int, size: int, spatial_idx: int) -> Box:
    """One of three square windows along the long side.

    Args:
        height: of the frame.
        width: of the frame.
        size: side of the window.
        spatial_idx: 0 left or top, 1 middle, 2 right or bottom.

    Raises:
        ConfigError: another `spatial_idx`.
        InputError: the window is larger than the frame.
    """
    if spatial_idx not in (0, 1, 2):
        raise ConfigError(f"spatial_idx = {spatial_idx}; legal values: 0, 1, 2")
    _fits(height, width, (size, size))
    top, left = -(-(height - size) // 2), -(-(width - size) // 2)
    if height > width:
        top = (0, top, height - size)[spatial_idx]
    else:
        left = (0, left, width - size)[spatial_idx]
    return top, left, size, size


def uniform_crop(images: Tensor, size: int, spatial_idx: int) -> Tensor:
    """Cuts the window that `uniform_crop_box` describes out of ... H W."""
    return cut(images, uniform_crop_box(*frame_size(images), size, spatial_idx))


def center_crop(images: Tensor, size: int | tuple[int, int]) -> Tensor:
    """Cuts the middle out of ... H W; half a pixel is rounded to the even offset."""
    height, width = images.shape[-2:]
    h, w = pair(size)
    _fits(height, width, (h, w))
    return cut(images, (round((height - h) / 2), round((width - w) / 2), h, w))


def random_crop_box(
    height: int,
    width: int,
    size: int | tuple[int, int],
    draws: Draws,
    legacy_offsets: bool = False,
) -> Box:
    """A window at a random place.

    Args:
        height: of the frame.
        width: of the frame.
        size: of the window.
        draws: gives the place; nothing is drawn in a direction without room.
        legacy_offsets: never take the last place, as the predecessors do.

    Raises:
        InputError: the window is larger than the frame.
    """
    h, w = pair(size)
    _fits(height, width, (h, w))
    last = 0 if legacy_offsets else 1
    top = draws.integer(0, height - h + last) if height > h else 0
    left = draws.integer(0, width - w + last) if width > w else 0
    return top, left, h, w


def window_sides(area: float, aspect: float) -> tuple[int, int]:
    """Height and width of a window of `area` pixels whose width is `aspect` times its height."""
    return round(math.sqrt(area / aspect)), round(math.sqrt(area * aspect))


def random_resized_box(
    height: int,
    width: int,
    scale: tuple[float, float],
    ratio: tuple[float, float],
    draws: Draws,
    *,
    log_uniform_ratio: bool = True,
    num_tries: int = 10,
    swap_prob: float | None = None,
) -> Box:
    """A window of random area and proportions, drawn again until it fits, as the predecessors do.

    `TrainTransform.window` asks for the same count of numbers every time, so it draws only ratios
    that fit; its windows are others.

    Args:
        height: of the frame.
        width: of the frame.
        scale: least and greatest share of the frame's area, in any order.
        ratio: least and greatest width by height, in any order.
        draws: gives area, ratio, (exchange of height and width) and place.
        log_uniform_ratio: draw the logarithm of the ratio evenly, not the ratio.
        num_tries: windows that are tried until one fits into the frame; then the largest one of
            a legal ratio in the middle is taken.
        swap_prob: probability of exchanging height and width; a number is drawn for it even if it
            is 0, but not if it is None.
    """
    scale, ratio = (min(scale), max(scale)), (min(ratio), max(ratio))
    for _ in range(num_tries):
        area = draws.uniform(*scale) * height * width
        if log_uniform_ratio:
            aspect = math.exp(draws.uniform(math.log(ratio[0]), math.log(ratio[1])))
        else:
            aspect = draws.uniform(*ratio)
        h, w = window_sides(area, aspect)
        if swap_prob is not None and draws.uniform() < swap_prob:
            w, h = h, w
        if 0 < w <= width and 0 < h <= height:
            top = draws.integer(0, height - h + 1)
            return top, draws.integer(0, width - w + 1), h, w
    w, h = width, height
    if width / height < ratio[0]:
        h = round(width / ratio[0])
    elif width / height > ratio[1]:
        w = round(height * ratio[1])
    return (height - h) // 2, (width - w) // 2, h, w


def random_resized_crop(
    frames: Tensor,
    target_height: int,
    target_width: int,
    scale: tuple[float, float],
    aspect_ratio: tuple[float, float],
    shift: bool = False,
    log_uniform_ratio: bool = True,
    interpolation: str = "bilinear",
    num_tries: int = 10,
    *,
    rng: RandomSource = None,
) -> Tensor:
    """Cuts a window of random area and proportions and scales it.

    Args:
        frames: clip C T H W.
        target_height: of the result.
        target_width: of the result.
        scale: least and greatest share of the frame's area.
        aspect_ratio: least and greatest width by height of the window.
        shift: draw a second window for the last frame and move from one to the other.
        log_uniform_ratio: see `random_resized_box`.
        interpolation: see `scale_to`.
        num_tries: see `random_resized_box`.
        rng: source of the window; None is torch's global generator.

    Raises:
        ConfigError: ranges that are not two positive numbers, or no try at all.
    """
    check_ranges(scale, aspect_ratio, num_tries)
    draws = as_draws(rng)

    def draw() -> Box:
        return random_resized_box(
            *frame_size(frames),
            scale,
            aspect_ratio,
            draws,
            log_uniform_ratio=log_uniform_ratio,
            num_tries=num_tries,
        )

    first = draw()
    if not shift:
        return scale_to(cut(frames, first), target_height, target_width, interpolation)
    return glide(frames, first, draw(), (target_height, target_width), interpolation)


def glide(
    frames: Tensor, first: Box, last: Box, size: tuple[int, int], interpolation: str = "bilinear"
) -> Tensor:
    """Cuts windows that move evenly from the first frame's to the last frame's, and scales them.

    Args:
        frames: clip C T H W.
        first: window of the first frame.
        last: window of the last frame.
        size: height and width of the result.
        interpolation: see `scale_to`.
    """
    count = frames.shape[1]
    paths = [torch.linspace(a, b, count).long().tolist() for a, b in zip(first, last, strict=True)]
    moved = [
        scale_to(cut(frames[:, t], box), *size, interpolation)
        for t, box in enumerate(zip(*paths, strict=True))
    ]
    return torch.stack(moved, 1)


def check_ranges(scale: tuple[float, float], ratio: tuple[float, float], tries: int) -> None:
    """Raises `ConfigError` unless both are two numbers above 0 and there is at least one try."""
    if len(scale) != 2 or len(ratio) != 2 or min(*scale, *ratio) <= 0 or tries < 1:
        raise ConfigError(
            f"scale = {scale}, aspect_ratio = {ratio}, num_tries = {tries}; expected two numbers "
            "above 0 each, and at least one try"
        )
