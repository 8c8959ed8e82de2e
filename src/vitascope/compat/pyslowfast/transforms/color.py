"""PySlowFast's color transforms on float frames T C H W; one draw serves all frames.

Frames are RGB by default; `channels="bgr"` is PySlowFast's order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from vitascope.errors import ConfigError, InputError
from vitascope.transforms.color_ops import REC601
from vitascope.transforms.random_source import RandomSource, as_draws, permutation

Channels = Literal["rgb", "bgr"]
# Variance of ImageNet's colors and their axes, in the order red, green, blue (AlexNet).
EIGENVALUES = (0.2175, 0.0188, 0.0045)
EIGENVECTORS = (
    (-0.5675, 0.7192, 0.4009),
    (-0.5808, -0.0045, -0.8140),
    (-0.5836, -0.6948, 0.4203),
)


def _in_order(values: Sequence[float], channels: str) -> list[float]:
    if channels not in ("rgb", "bgr"):
        raise ConfigError(f"channels = {channels!r}; legal values: rgb, bgr")
    return list(values) if channels == "rgb" else list(values)[::-1]


def _check(images: Tensor, dim: int) -> None:
    if images.ndim != 4 or images.shape[dim] != 3 or not images.is_floating_point():
        raise InputError(
            f"expected float frames with 3 channels as dimension {dim}, got {images.dtype} of "
            f"shape {tuple(images.shape)}"
        )


def blend(first: Tensor, second: Tensor, share: float) -> Tensor:
    """`share` of the first plus the rest of the second; a share above 1 moves away from it."""
    return first * share + second * (1 - share)


def grayscale(images: Tensor, channels: Channels = "rgb") -> Tensor:
    """Brightness in all three channels.

    Args:
        images: float T 3 H W.
        channels: their order.
    """
    _check(images, 1)
    weights = _in_order(REC601, channels)
    gray = sum(images[:, c] * w for c, w in enumerate(weights))
    assert isinstance(gray, Tensor)
    return gray[:, None].expand_as(images).contiguous()


def brightness_jitter(var: float, images: Tensor, *, rng: RandomSource = None) -> Tensor:
    """Multiplies frames by a random factor from 1 - `var` to 1 + `var`."""
    return images * (1.0 + as_draws(rng).uniform(-var, var))


def contrast_jitter(
    var: float, images: Tensor, channels: Channels = "rgb", *, rng: RandomSource = None
) -> Tensor:
    """Changes the distance to the mean brightness of each frame by up to `var`, relatively."""
    share = 1.0 + as_draws(rng).uniform(-var, var)
    mean = grayscale(images, channels).mean((1, 2, 3), keepdim=True)
    return blend(images, mean, share)


def saturation_jitter(
    var: float, images: Tensor, channels: Channels = "rgb", *, rng: RandomSource = None
) -> Tensor:
    """Changes the distance to gray by up to `var`, relatively."""
    share = 1.0 + as_draws(rng).uniform(-var, var)
    return blend(images, grayscale(images, channels), share)


def color_jitter(
    images: Tensor,
    img_brightness: float = 0.0,
    img_contrast: float = 0.0,
    img_saturation: float = 0.0,
    channels: Channels = "rgb",
    *,
    rng: RandomSource = None,
) -> Tensor:
    """Changes brightness, contrast and saturation in random order; 0 leaves one out.

    Args:
        images: float T 3 H W.
        img_brightness: see `brightness_jitter`.
        img_contrast: see `contrast_jitter`.
        img_saturation: see `saturation_jitter`.
        channels: their order.
        rng: source of order and factors; None is torch's global generator.
    """
    _check(images, 1)
    draws = as_draws(rng)
    amounts = (img_brightness, img_contrast, img_saturation)
    wanted = [kind for kind in range(3) if amounts[kind]]
    if not wanted:
        return images
    for kind in (wanted[i] for i in permutation(draws, len(wanted))):
        if kind == 0:
            images = brightness_jitter(img_brightness, images, rng=draws)
        elif kind == 1:
            images = contrast_jitter(img_contrast, images, channels, rng=draws)
        else:
            images = saturation_jitter(img_saturation, images, channels, rng=draws)
    return images


def lighting_jitter(
    images: Tensor,
    alphastd: float,
    eigval: Sequence[float] = EIGENVALUES,
    eigvec: Sequence[Sequence[float]] = EIGENVECTORS,
    channels: Channels = "rgb",
    *,
    rng: RandomSource = None,
) -> Tensor:
    """Adds a random color along the axes in which natural colors vary (AlexNet).

    Args:
        images: float T 3 H W.
        alphastd: standard deviation of the strength along each axis; 0 changes nothing.
        eigval: variance along each axis.
        eigvec: rows are red, green, blue; columns are the axes.
        channels: order of the channels of `images`.
        rng: source of the three strengths; None is torch's global generator.
    """
    _check(images, 1)
    if not alphastd:
        return images
    draws = as_draws(rng)
    strength = [draws.normal(0, alphastd) * value for value in eigval]
    rgb = [sum(v * s for v, s in zip(row, strength, strict=True)) for row in eigvec]
    return images + torch.tensor(_in_order(rgb, channels)).to(images).view(1, 3, 1, 1)


def color_normalization(images: Tensor, mean: Sequence[float], stddev: Sequence[float]) -> Tensor:
    """(x - mean) / stddev of each channel of float frames T C H W."""
    if not len(mean) == len(stddev) == images.shape[1]:
        raise InputError(
            f"{len(mean)} means and {len(stddev)} deviations for frames of shape "
            f"{tuple(images.shape)} (T C H W)"
        )
    center = torch.tensor(list(mean)).to(images).view(-1, 1, 1)
    return (images - center) / torch.tensor(list(stddev)).to(images).view(-1, 1, 1)


def tensor_normalize(
    tensor: Tensor,
    mean: float | Sequence[float],
    std: float | Sequence[float],
) -> Tensor:
    """(x - mean) / std with channels last; uint8 is divided by 255 first.

    Args:
        tensor: ... C, such as T H W C.
        mean: one for all or one for each channel.
        std: the same.
    """
    whole = tensor.float() / 255 if tensor.dtype == torch.uint8 else tensor
    return (whole - torch.as_tensor(mean).to(whole)) / torch.as_tensor(std).to(whole)


def temporal_difference(
    frames: Tensor,
    use_grayscale: bool = False,
    absolute: bool = False,
    channels: Channels = "rgb",
) -> Tensor:
    """Each frame minus the next one; the last result repeats the one before it.

    Args:
        frames: float 3 T H W.
        use_grayscale: compare brightness only.
        absolute: drop the sign.
        channels: order of the channels.

    Returns:
        The shape of `frames`; 0 for a single frame.
    """
    _check(frames, 0)
    if use_grayscale:
        frames = grayscale(frames.transpose(0, 1), channels).transpose(0, 1)
    change = torch.zeros_like(frames)
    change[:, :-1] = frames[:, :-1] - frames[:, 1:]
    if frames.shape[1] > 1:
        change[:, -1] = change[:, -2]
    return change.abs() if absolute else change
