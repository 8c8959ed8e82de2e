"""Changes of color and contrast of frames ... C H W in [0, 1] as float or [0, 255] as uint8.

The results equal those of torchvision's tensor functions (and so of PyTorchVideo), computed here
without torchvision. Statistics (mean, extremes, histogram) are those of each frame alone.

Other programs compute other pixels for the same names, and their recorded results hold them, so
`compat.pyslowfast.transforms` keeps what differs: in `color` float frames without limits, in
`image_ops` Pillow's whole numbers. `TrainTransform` makes one matrix of all its changes.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from vitascope.errors import ConfigError, InputError

REC601 = (0.299, 0.587, 0.114)
"""Luma: weights of red, green and blue in what the eye sees as brightness."""
_LUMA = (0.2989, 0.587, 0.114)  # as torchvision rounds them


def bound(x: Tensor) -> float:
    """The value of white: 255 for uint8, 1 for float."""
    return 1.0 if x.is_floating_point() else 255.0


def blend(first: Tensor, second: Tensor, share: float) -> Tensor:
    """`share` of the first plus the rest of the second, cut to black and white.

    A share above 1 moves away from the second. uint8 results are rounded down.
    """
    mixed = first.float() * share + second.float() * (1 - share)
    return mixed.clamp_(0, bound(first)).to(first.dtype)


def grayscale(x: Tensor) -> Tensor:
    """Brightness of frames ... 3 H W as ... 1 H W of the same dtype, rounded down.

    Raises:
        InputError: the frames do not have 3 channels.
    """
    if x.ndim < 3 or x.shape[-3] != 3:
        raise InputError(f"expected frames ... 3 H W, got shape {tuple(x.shape)}")
    red, green, blue = x.float().unbind(-3)
    return (red * _LUMA[0] + green * _LUMA[1] + blue * _LUMA[2]).to(x.dtype).unsqueeze(-3)


def adjust_brightness(x: Tensor, factor: float) -> Tensor:
    """0 is black, 1 changes nothing."""
    return blend(x, torch.zeros_like(x), factor)


def adjust_contrast(x: Tensor, factor: float) -> Tensor:
    """0 is the mean brightness of each frame, 1 changes nothing."""
    mean = grayscale(x).float().mean((-3, -2, -1), keepdim=True)
    return blend(x, mean, factor)


def adjust_saturation(x: Tensor, factor: float) -> Tensor:
    """0 is black and white, 1 changes nothing."""
    return blend(x, grayscale(x), factor)


def adjust_sharpness(x: Tensor, factor: float) -> Tensor:
    """0 is smoothed, 1 changes nothing, above 1 is sharper; border pixels stay as they are."""
    if min(x.shape[-2:]) <= 2:
        return x
    kernel = torch.ones(3, 3)
    kernel[1, 1] = 5
    planes = x.float().reshape(-1, 1, *x.shape[-2:])
    inner = F.conv2d(planes, (kernel / kernel.sum())[None, None])
    if not x.is_floating_point():
        inner = inner.round()
    smooth = x.clone()
    smooth[..., 1:-1, 1:-1] = inner.reshape(*x.shape[:-2], *inner.shape[-2:]).to(x.dtype)
    return blend(x, smooth, factor)


def autocontrast(x: Tensor) -> Tensor:
    """Stretches each channel of each frame to the range from black to white."""
    top = bound(x)
    whole = x.float()
    low = whole.amin((-2, -1), keepdim=True)
    scale = top / (whole.amax((-2, -1), keepdim=True) - low)
    flat = ~scale.isfinite()
    low[flat], scale[flat] = 0, 1
    return ((whole - low) * scale).clamp_(0, top).to(x.dtype)


def _in_uint8(x: Tensor) -> Tensor:
    return x if x.dtype == torch.uint8 else (x * 255).clamp(0, 255).to(torch.uint8)


def _back(x: Tensor, like: Tensor) -> Tensor:
    return x if like.dtype == torch.uint8 else x.to(like.dtype) / 255


def equalize(x: Tensor) -> Tensor:
    """Makes all values of each channel of each frame about equally frequent.

    Float frames are computed in 256 steps.
    """
    planes = _in_uint8(x).reshape(-1, x.shape[-2] * x.shape[-1]).long()
    counts = torch.zeros(len(planes), 256, dtype=torch.long)
    counts.scatter_add_(1, planes, torch.ones_like(planes))
    # The brightest value that occurs does not count: it becomes white anyway.
    last = planes.amax(1, keepdim=True)
    step = (counts.sum(1, keepdim=True) - counts.gather(1, last)) // 255
    before = counts.cumsum(1) - counts
    table = ((before + step // 2) // step.clamp(min=1)).clamp(0, 255)
    table = torch.where(step > 0, table, torch.arange(256))
    return _back(table.gather(1, planes).to(torch.uint8).view(x.shape), x)


def invert(x: Tensor) -> Tensor:
    """Exchanges dark and bright."""
    return 255 - x if x.dtype == torch.uint8 else 1 - x


def posterize(x: Tensor, bits: int) -> Tensor:
    """Keeps the `bits` highest of 8 bits of each value; 0 is black, 8 changes nothing.

    Float frames are computed in 256 steps.
    """
    if not 0 <= bits <= 8:
        raise ConfigError(f"bits = {bits}; it must be from 0 to 8")
    if bits == 8:
        return x
    return _back(_in_uint8(x) & (256 - 2 ** (8 - bits)), x)


def solarize(x: Tensor, threshold: float) -> Tensor:
    """Inverts all values of at least `threshold`, which is a share of white.

    For uint8 the threshold is rounded down to a whole value.
    """
    limit = threshold if x.is_floating_point() else int(threshold * 255)
    return torch.where(x >= limit, invert(x), x)
