"""Random changes of a clip for training from scratch on little data, in about a millisecond.

One set of draws serves all frames, so motion stays what it was. Crop, mirror image, shift and
rotation are one resampling; brightness, contrast, saturation, hue and the loss of color are one
3 x 3 matrix. Every clip draws the same count of numbers whatever is switched on, so that switching
one item on leaves the draws of the others alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from vitascope.errors import ConfigError
from vitascope.spec import PixelSpec
from vitascope.transforms.color_ops import REC601
from vitascope.transforms.preprocess import check_frames, normalize, resize
from vitascope.transforms.spatial import window_sides

_LUMA = np.array(REC601)
# Color difference axes (YIQ); hue is the angle in their plane.
_YIQ = np.array([_LUMA, [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])
_ERASE_AREA = (0.02, 0.33)
_ERASE_RATIO = (0.3, 3.3)
_DRAWS = 16


@dataclass(frozen=True)
class CropWindow:
    """The part of the frame that a clip shows, in source pixels and radians.

    `top` and `left` are corners before the rotation around the middle of the window.
    """

    top: float
    left: float
    height: float
    width: float
    angle: float = 0.0
    mirrored: bool = False


@dataclass(frozen=True, kw_only=True)
class TrainTransform:
    """Random crop, mirror image, rotation, shift, color and erased box, the same in all frames.

    Called with uint8 frames T H W C and a generator, it returns a float32 clip C T h w.
    Whatever lies outside of the frame repeats the pixels at its edge.

    Attributes:
        pixels: size and scale of the result. With fit "squash" the crop keeps the proportions of
            the frame (times `ratio`), with "crop" those of the result.
        hflip: probability of a mirror image.
        scale: least and greatest area of the window, as a share of the largest window with the
            proportions of the result that fits into the frame.
        ratio: least and greatest change of width by height.
        crop_jitter: share of the room around the middle in which the window may lie: 0 is the
            middle, 1 anywhere.
        brightness: greatest relative change, from 0 to 1.
        contrast: greatest relative change around the mean brightness of the clip, from 0 to 1.
        saturation: greatest relative change, from 0 to 1.
        hue: greatest turn of the hue in turns of the color circle, from 0 to 0.5.
        grayscale: probability that all color goes.
        erase: probability that a box in all frames is set to the mean color; it covers 2 to
            33 % of the image.
        rotate: greatest rotation in degrees, either way.
        translate: greatest shift as a share of the window's sides, either way; without it the
            window stays inside of the frame.

    Raises:
        ConfigError: a value out of its range.
        InputError: on a call, frames that are not uint8 T H W C.
    """

    pixels: PixelSpec
    hflip: float = 0.5
    scale: tuple[float, float] = (0.4, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    crop_jitter: float = 1.0
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0
    grayscale: float = 0.0
    erase: float = 0.0
    rotate: float = 0.0
    translate: float = 0.0

    def __post_init__(self) -> None:
        limits = dict.fromkeys(("hflip", "grayscale", "erase", "crop_jitter"), 1.0)
        limits |= dict.fromkeys(("brightness", "contrast", "saturation", "translate"), 1.0)
        limits |= {"hue": 0.5, "rotate": 180.0}
        for name, limit in limits.items():
            value = getattr(self, name)
            if not 0 <= value <= limit:
                raise ConfigError(f"{name} = {value}; it must be from 0 to {limit:g}")
        if not 0 < self.scale[0] <= self.scale[1] <= 4:
            raise ConfigError(f"scale = {self.scale}; two shares of the area, above 0, at most 4")
        if not 0 < self.ratio[0] <= self.ratio[1]:
            raise ConfigError(f"ratio = {self.ratio}; two numbers above 0, smaller first")

    def __call__(self, frames: Tensor, rng: np.random.Generator) -> Tensor:
        """Changes a clip with the numbers of `rng`."""
        check_frames(frames, len(self.pixels.mean))
        u = rng.random(_DRAWS)
        window = self.window(frames.shape[1], frames.shape[2], u[:8])
        clip = show(frames, window, self.pixels.crop)
        if matrix_and_offset := self._color(clip, u[8:13]):
            clip = apply_color(clip, *matrix_and_offset)
        clip = normalize(clip, self.pixels)
        if u[13] < self.erase:
            top, left, height, width = erased_box(*self.pixels.crop, rng.random(4))
            clip[:, :, top : top + height, left : left + width] = 0
        return clip

    def window(self, height: int, width: int, u: np.ndarray) -> CropWindow:
        """The part of a frame to show.

        Args:
            height: of the frame in pixels.
            width: of the frame.
            u: eight numbers from 0 to 1 (area, ratio, place and shift in y and x, rotation,
                mirror image).
        """
        area = self.scale[0] + u[0] * (self.scale[1] - self.scale[0])
        target = self.pixels.crop[1] / self.pixels.crop[0]
        # The largest window with the proportions of the result, as shares of the frame's sides.
        unit = 1.0 if self.pixels.fit == "squash" else target * height / width
        full_w, full_h = min(1.0, unit), min(1.0, 1 / unit)
        low, high = (math.log(r) for r in self.ratio)
        # Only ratios at which a window of this area fits into the frame, where there are any.
        bottom = min(max(low, math.log(area * full_h**2)), high)
        top = max(min(high, -math.log(area * full_w**2)), low)
        ratio = math.exp(bottom + u[1] * (top - bottom))
        w, h = full_w * math.sqrt(area * ratio), full_h * math.sqrt(area / ratio)
        if area <= 1:
            w, h = min(w, 1.0), min(h, 1.0)
        rows, columns = max(1, round(h * height)), max(1, round(w * width))
        y = (height - rows) / 2 * (1 + self.crop_jitter * (2 * u[2] - 1))
        x = (width - columns) / 2 * (1 + self.crop_jitter * (2 * u[3] - 1))
        moved = self.translate > 0
        y += moved * (2 * u[4] - 1) * self.translate * rows
        x += moved * (2 * u[5] - 1) * self.translate * columns
        angle = math.radians(self.rotate) * (2 * u[6] - 1)
        return CropWindow(round(y), round(x), rows, columns, angle, bool(u[7] < self.hflip))

    def _color(self, clip: Tensor, u: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
        gray = bool(u[4] < self.grayscale)
        amounts = (self.brightness, self.contrast, self.saturation, self.hue)
        if clip.shape[0] != 3 or not (gray or any(amounts)):
            return None
        brightness, contrast, saturation = (1 + (2 * u[i] - 1) * amounts[i] for i in range(3))
        turn = (2 * u[3] - 1) * self.hue
        # A sum of whole numbers: the same on any number of threads.
        sums = clip.flatten(1).sum(1, dtype=torch.int64).numpy()
        mean = float(_LUMA @ sums) / clip[0].numel()
        return color_matrix(brightness, contrast, 0.0 if gray else saturation, turn, mean)


def color_matrix(
    brightness: float, contrast: float, saturation: float, turn: float, mean: float
) -> tuple[np.ndarray, np.ndarray]:
    """One linear map for a change of brightness, contrast, saturation and hue, in this order.

    Args:
        brightness: factor; 1 changes nothing.
        contrast: factor of the distance to the mean brightness.
        saturation: factor of the distance to gray; 0 is black and white.
        turn: rotation of the hue in turns.
        mean: mean brightness of the clip before the change.

    Returns:
        A 3 x 3 matrix and an offset of 3, for red, green, blue columns.
    """
    gray = np.tile(_LUMA, (3, 1))
    cos, sin = math.cos(2 * math.pi * turn), math.sin(2 * math.pi * turn)
    rotation = np.array([[1, 0, 0], [0, cos, -sin], [0, sin, cos]])
    hue = np.linalg.inv(_YIQ) @ rotation @ _YIQ
    color = hue @ (saturation * np.eye(3) + (1 - saturation) * gray)
    offset = color @ np.full(3, (1 - contrast) * brightness * mean)
    return brightness * contrast * color, offset


def apply_color(clip: Tensor, matrix: np.ndarray, offset: np.ndarray) -> Tensor:
    """Maps the three channels of a clip and cuts the result to 0..255.

    Args:
        clip: 3 T H W, uint8 or float.
        matrix: 3 x 3, rows are output channels.
        offset: 3.

    Returns:
        float32 of the same shape.
    """
    source = clip.to(torch.float32, memory_format=torch.contiguous_format)
    result = torch.empty_like(source)
    product = torch.empty_like(source[0])
    for row, start, target in zip(matrix, offset, result, strict=True):
        # Separate products and sums: a fused one may round differently at the border between
        # the parts of two threads.
        torch.mul(source[0], float(row[0]), out=target)
        for channel, factor in zip(source[1:], row[1:], strict=True):
            target.add_(torch.mul(channel, float(factor), out=product))
        target.add_(float(start))
    return result.clamp_(0, 255)


def show(frames: Tensor, window: CropWindow, size: tuple[int, int]) -> Tensor:
    """Cuts a window out of uint8 frames and scales it, in one resampling.

    Args:
        frames: T H W C.
        window: the part to show.
        size: height and width of the result.

    Returns:
        A clip C T h w: uint8, or float32 on the same scale where the window is turned or leaves
        the frame.
    """
    height, width = frames.shape[1:3]
    top, left, rows, columns = window.top, window.left, window.height, window.width
    inside = top >= 0 and left >= 0 and top + rows <= height and left + columns <= width
    if window.angle or not inside or any(v != int(v) for v in (top, left, rows, columns)):
        return _sample(frames, window, size)
    y, x = int(top), int(left)
    clip = resize(frames[:, y : y + int(rows), x : x + int(columns)], *size).permute(3, 0, 1, 2)
    return clip.flip(3) if window.mirrored else clip


def _sample(frames: Tensor, window: CropWindow, size: tuple[int, int]) -> Tensor:
    t, height, width, channels = frames.shape
    # Bilinear sampling looks at 2 x 2 pixels: beyond that the frame is made smaller first.
    small_h = max(1, height // max(1, int(window.height / size[0])))
    small_w = max(1, width // max(1, int(window.width / size[1])))
    source = resize(frames, small_h, small_w)
    y = ((torch.arange(size[0], dtype=torch.float64) + 0.5) / size[0] - 0.5) * window.height
    x = ((torch.arange(size[1], dtype=torch.float64) + 0.5) / size[1] - 0.5) * window.width
    if window.mirrored:
        x = -x
    cos, sin = math.cos(window.angle), math.sin(window.angle)
    grid_x = (cos * x)[None, :] - (sin * y)[:, None] + (window.left + window.width / 2)
    grid_y = (sin * x)[None, :] + (cos * y)[:, None] + (window.top + window.height / 2)
    grid = torch.stack([grid_x * (2 / width) - 1, grid_y * (2 / height) - 1], -1)
    planes = source.permute(3, 0, 1, 2).float().reshape(1, channels * t, small_h, small_w)
    sampled = F.grid_sample(
        planes, grid[None].float(), mode="bilinear", padding_mode="border", align_corners=False
    )
    return sampled.view(channels, t, *size)


def erased_box(height: int, width: int, u: np.ndarray) -> tuple[int, int, int, int]:
    """A random box of 2 to 33 % of the image: top, left, height, width.

    PySlowFast's `RandomErasing` draws again until a box fits; here four numbers are enough for any.

    Args:
        height: of the image in pixels.
        width: of the image.
        u: four numbers from 0 to 1: area, ratio, place in y and in x.
    """
    area = _ERASE_AREA[0] + u[0] * (_ERASE_AREA[1] - _ERASE_AREA[0])
    low, high = (math.log(r) for r in _ERASE_RATIO)
    ratio = math.exp(low + u[1] * (high - low))
    rows, columns = window_sides(area * height * width, ratio)
    rows, columns = min(height, max(1, rows)), min(width, max(1, columns))
    return int(u[2] * (height - rows + 1)), int(u[3] * (width - columns + 1)), rows, columns
