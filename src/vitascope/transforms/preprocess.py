"""From decoded frames to the input of a model: the evaluation transform of a `PixelSpec`.

Frames stay uint8 until they have their final size. The same pixels come out for any number of
threads, because scaling is done in whole numbers and the rest pixel by pixel.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import torch
import torch.nn.functional as F
from torch import Tensor

from vitascope.errors import ConfigError, InputError
from vitascope.spec import PixelSpec
from vitascope.transforms.spatial import scale_to

Box = tuple[int, int, int, int]
"""A window of a frame: top, left, height, width in pixels."""

# Share of each side that one of several crops shows when the whole frame is squashed otherwise.
_SQUASH_SHARE = Fraction(7, 8)


def check_frames(frames: Tensor, channels: int) -> None:
    """Refuses anything but decoded frames.

    Raises:
        InputError: `frames` is not uint8 of shape T H W C with `channels` channels.
    """
    if frames.dtype != torch.uint8 or frames.ndim != 4 or frames.shape[-1] != channels:
        raise InputError(
            f"expected frames as uint8 of shape T H W {channels}, got {frames.dtype} of shape "
            f"{tuple(frames.shape)}; decoders give this layout, and C T H W is its "
            "permute(3, 0, 1, 2)"
        )
    if 0 in frames.shape:
        raise InputError(f"a clip without pixels: shape {tuple(frames.shape)}")


def resize(frames: Tensor, height: int, width: int, antialias: bool = True) -> Tensor:
    """Scales uint8 frames bilinearly.

    Args:
        frames: T H W C; a crop of a larger tensor is fine.
        height: of the result.
        width: of the result.
        antialias: average over all source pixels when frames get smaller; False is
            `spatial.scale_to`.

    Returns:
        Frames of shape T `height` `width` C, as a view on memory ordered that way.
    """
    if frames.shape[1:3] == (height, width):
        return frames
    planes = frames.permute(0, 3, 1, 2)
    if not antialias:
        return scale_to(planes, height, width).permute(0, 2, 3, 1)
    # In whole numbers, and in the layout of the decoders, for which there are fast kernels.
    scaled = F.interpolate(planes, (height, width), mode="bilinear", antialias=True)
    return scaled.permute(0, 2, 3, 1)


def normalize(x: Tensor, pixels: PixelSpec) -> Tensor:
    """Brings pixel values to the scale of the model.

    Args:
        x: C T H W; uint8 from 0 to 255, or float on the same scale. Never changed.
        pixels: gives mean, standard deviation, and whether the background goes.

    Returns:
        (x / 255 - mean) / std as float32; without background the mean is the pixel's own median
        over time, of an even number of frames the lower of the two in the middle.
    """
    shape = (-1,) + (1,) * (x.ndim - 1)
    scale = torch.tensor([1 / (255 * s) for s in pixels.std]).view(shape)
    offset = torch.tensor([-m / s for m, s in zip(pixels.mean, pixels.std, strict=True)])
    whole = x.to(torch.float32, memory_format=torch.contiguous_format)
    if pixels.background == "remove":
        return (whole - _median(whole)).mul_(scale)
    if whole is x:
        return (x * scale).add_(offset.view(shape))
    return whole.mul_(scale).add_(offset.view(shape))


def _median(x: Tensor) -> Tensor:
    """The median of C T H W over T, as C 1 H W."""
    # Several times as fast where the numbers to be sorted lie side by side.
    return x.permute(0, 2, 3, 1).contiguous().median(-1).values[:, None]


def scaled_size(height: int, width: int, pixels: PixelSpec) -> tuple[int, int]:
    """Height and width of a frame after scaling, before the crop.

    The short side becomes `pixels.short_side`, the long side is rounded down. A frame that is
    narrower than the crop then is made larger still, so that the crop is always filled.
    """
    if pixels.fit == "squash":
        return pixels.crop
    short = min(height, width)
    factor = max(
        Fraction(pixels.short_side, short),
        Fraction(pixels.crop[0], height),
        Fraction(pixels.crop[1], width),
    )
    return int(height * factor), int(width * factor)


def view_windows(height: int, width: int, crop: tuple[int, int], crops: int) -> list[Box]:
    """Windows of a frame that are evaluated.

    Args:
        height: of the frame in pixels.
        width: of the frame.
        crop: height and width of a window.
        crops: 1 the center; 3 both ends and the middle of the direction with more room;
            5 the corners and the center.

    Returns:
        The windows, the 3 in order from left to right (or top to bottom), the 5 row by row with
        the center last.

    Raises:
        ConfigError: `crops` is another number.
    """
    room_y, room_x = height - crop[0], width - crop[1]
    # Half a pixel goes down and right, as in PySlowFast and PyTorchVideo.
    middle = (-(-room_y // 2), -(-room_x // 2))
    if crops == 1:
        corners = [middle]
    elif crops == 3 and room_x >= room_y:
        corners = [(middle[0], x) for x in (0, middle[1], room_x)]
    elif crops == 3:
        corners = [(y, middle[1]) for y in (0, middle[0], room_y)]
    elif crops == 5:
        corners = [(0, 0), (0, room_x), (room_y, 0), (room_y, room_x), middle]
    else:
        raise ConfigError(f"crops = {crops}; legal values: 1, 3, 5")
    return [(top, left, *crop) for top, left in corners]


def evaluation_transform(
    pixels: PixelSpec, crops: int = 1, *, antialias: bool = True
) -> Callable[[Tensor], list[Tensor]]:
    """The transform that brings decoded frames to a model for evaluation and prediction.

    Args:
        pixels: size and scale of the model's input.
        crops: windows of each frame: 1, 3 or 5, see `view_windows`. With fit "squash" one window
            is the whole frame, and each of several shows 7/8 of both sides.
        antialias: see `resize`; False repeats the scaling of PyTorchVideo and PySlowFast.

    Returns:
        A function from uint8 frames T H W C to a list with one float32 tensor C T h w for each
        window.

    Raises:
        ConfigError: `crops` is another number.
    """
    cut = evaluation_windows(pixels, crops, antialias=antialias)

    def transform(frames: Tensor) -> list[Tensor]:
        return [normalize(window.permute(3, 0, 1, 2), pixels) for window in cut(frames)]

    return transform


def evaluation_windows(
    pixels: PixelSpec, crops: int = 1, *, antialias: bool = True
) -> Callable[[Tensor], list[Tensor]]:
    """The first part of `evaluation_transform`: windows of frames, which do not depend on others.

    Args:
        pixels: size of the windows.
        crops: windows of each frame: 1, 3 or 5.
        antialias: see `resize`.

    Returns:
        A function from uint8 frames T H W C to a list with T h w C for each window.

    Raises:
        ConfigError: `crops` is another number.
    """
    view_windows(*pixels.crop, pixels.crop, crops)

    def windows_of(frames: Tensor) -> list[Tensor]:
        check_frames(frames, len(pixels.mean))
        height, width = frames.shape[1:3]
        if pixels.fit == "squash" and crops > 1:
            part = (max(1, int(height * _SQUASH_SHARE)), max(1, int(width * _SQUASH_SHARE)))
            boxes = view_windows(height, width, part, crops)
            return [resize(_cut(frames, box), *pixels.crop, antialias) for box in boxes]
        height, width = scaled_size(height, width, pixels)
        scaled = resize(frames, height, width, antialias)
        return [_cut(scaled, box) for box in view_windows(height, width, pixels.crop, crops)]

    return windows_of


def _cut(frames: Tensor, box: Box) -> Tensor:
    top, left, height, width = box
    return frames[:, top : top + height, left : left + width]
