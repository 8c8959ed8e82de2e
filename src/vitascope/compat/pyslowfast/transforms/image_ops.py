"""Pillow's image operations on uint8 frames T H W 3, computed with torch to the same pixels."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from vitascope.errors import ConfigError
from vitascope.transforms import color_ops


def _planes(x: Tensor) -> Tensor:
    return x.permute(0, 3, 1, 2)


def autocontrast(x: Tensor) -> Tensor:
    """Stretches each channel of each frame to 0..255."""
    whole = x.double()
    low, high = whole.amin((1, 2), keepdim=True), whole.amax((1, 2), keepdim=True)
    scale = 255.0 / (high - low)
    stretched = (whole * scale - low * scale).clamp(0, 255).to(torch.uint8)
    return torch.where(high > low, stretched, x)


def equalize(x: Tensor) -> Tensor:
    """Makes all values of each channel of each frame about equally frequent."""
    return color_ops.equalize(_planes(x)).permute(0, 2, 3, 1)


def posterize(x: Tensor, bits: int) -> Tensor:
    """Keeps the highest `bits` of 8 bits."""
    return color_ops.posterize(x, bits)


def solarize(x: Tensor, threshold: float) -> Tensor:
    """Inverts values of at least `threshold`, from 0 to 256."""
    return torch.where(x.int() >= int(threshold), 255 - x, x)


def solarize_add(x: Tensor, addition: float, threshold: int = 128) -> Tensor:
    """Adds to values below `threshold`."""
    brighter = (x.int() + int(addition)).clamp(max=255).to(torch.uint8)
    return torch.where(x < threshold, brighter, x)


def _luma(x: Tensor) -> Tensor:
    red, green, blue = x.int().unbind(-1)
    return ((red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16)[..., None]


def _blend(plain: Tensor, x: Tensor, share: float) -> Tensor:
    start = plain.float()
    mixed = start + torch.tensor(share, dtype=torch.float32) * (x.float() - start)
    return mixed.clamp(0, 255).to(torch.uint8)


def color(x: Tensor, factor: float) -> Tensor:
    """0 is black and white, 1 changes nothing."""
    return _blend(_luma(x), x, factor)


def contrast(x: Tensor, factor: float) -> Tensor:
    """0 is the mean brightness of each frame, 1 changes nothing."""
    mean = _luma(x).double().mean((1, 2, 3), keepdim=True)
    return _blend((mean + 0.5).floor(), x, factor)


def brightness(x: Tensor, factor: float) -> Tensor:
    """0 is black, 1 changes nothing."""
    return _blend(torch.zeros_like(x), x, factor)


def sharpness(x: Tensor, factor: float) -> Tensor:
    """0 is smoothed, 1 changes nothing; border pixels stay as they are."""
    if min(x.shape[1:3]) <= 2:
        return x
    kernel = torch.ones(3, 3, dtype=torch.float64)
    kernel[1, 1] = 5
    planes = _planes(x).double().reshape(-1, 1, *x.shape[1:3])
    # The sum is exact, so that a half is a half before it is rounded up.
    inner = (F.conv2d(planes, kernel[None, None]) / 13 + 0.5).floor()
    smooth = x.double()
    inner = inner.view(len(x), x.shape[3], *inner.shape[-2:])
    smooth[:, 1:-1, 1:-1] = inner.permute(0, 2, 3, 1)
    return _blend(smooth, x, factor)


def rotate(x: Tensor, degrees: float, fill: Sequence[int], interpolation: str) -> Tensor:
    """Rotates frames counter-clockwise around their middle."""
    angle = -math.radians(degrees % 360)
    cos, sin = round(math.cos(angle), 15), round(math.sin(angle), 15)
    y, x0 = x.shape[1] / 2, x.shape[2] / 2
    matrix = (cos, sin, x0 - cos * x0 - sin * y, -sin, cos, y + sin * x0 - cos * y)
    return affine(x, matrix, fill, interpolation)


def affine(
    x: Tensor, matrix: Sequence[float], fill: Sequence[int], interpolation: str = "bilinear"
) -> Tensor:
    """Fetches each pixel from another place.

    Args:
        x: uint8 T H W C.
        matrix: a, b, c, d, e, f: the pixel whose middle is (x, y) comes from
            (a x + b y + c, d x + e y + f), in pixels from the top left corner.
        fill: value of each channel for pixels from outside.
        interpolation: "nearest", "bilinear" or "bicubic".

    Raises:
        ConfigError: another interpolation.
    """
    if interpolation not in ("nearest", "bilinear", "bicubic"):
        raise ConfigError(
            f"interpolation = {interpolation!r}; legal values: nearest, bilinear, bicubic"
        )
    height, width = x.shape[1:3]
    from_y, from_x = _sources(height, width, matrix, interpolation == "nearest")
    inside = (from_x >= 0) & (from_x < width) & (from_y >= 0) & (from_y < height)
    if interpolation == "nearest":
        moved = _at(x, from_y.floor().long(), from_x.floor().long()).double()
    else:
        taps = _linear if interpolation == "bilinear" else _cubic
        moved = _sample(x, from_y - 0.5, from_x - 0.5, taps)
    border = torch.tensor(list(fill), dtype=torch.float64)
    # Pillow cuts fractions off.
    return torch.where(inside[..., None], moved, border).clamp(0, 255).to(torch.uint8)


def _sources(
    height: int, width: int, matrix: Sequence[float], nearest: bool
) -> tuple[Tensor, Tensor]:
    """Row and column that each pixel comes from: float64 H W."""
    a, b, c, d, e, f = matrix
    column = torch.arange(width, dtype=torch.float64)
    row = torch.arange(height, dtype=torch.float64)[:, None]
    if nearest and (b or d):
        # Here Pillow computes in steps of 1 / 65536 of a pixel, rounded once.
        a, b, c, d, e, f = (
            math.floor(v * 65536 + 0.5) / 65536
            for v in (a, b, c + (a + b) / 2, d, e, f + (d + e) / 2)
        )
    else:
        column, row = column + 0.5, row + 0.5
    return d * column + e * row + f, a * column + b * row + c


def _at(x: Tensor, row: Tensor, column: Tensor) -> Tensor:
    return x[:, row.clamp(0, x.shape[1] - 1), column.clamp(0, x.shape[2] - 1)]


def _linear(values: list[Tensor], share: Tensor) -> Tensor:
    return values[0] + (values[1] - values[0]) * share


def _cubic(values: list[Tensor], share: Tensor) -> Tensor:
    # The cubic through four points with slope parameter -1.
    v1, v2, v3, v4 = values
    p2, p3, p4 = v3 - v1, 2 * (v1 - v2) + v3 - v4, -v1 + v2 - v3 + v4
    return v2 + share * (p2 + share * (p3 + share * p4))


def _sample(
    x: Tensor,
    row: Tensor,
    column: Tensor,
    taps: Callable[[list[Tensor], Tensor], Tensor],
) -> Tensor:
    offsets = (0, 1) if taps is _linear else (-1, 0, 1, 2)
    first_row, first_column = row.floor().long(), column.floor().long()
    dy, dx = (row - first_row)[..., None], (column - first_column)[..., None]
    lines = [
        taps([_at(x, first_row + i, first_column + j).double() for j in offsets], dx)
        for i in offsets
    ]
    return taps(lines, dy)
