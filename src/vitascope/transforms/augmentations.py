"""The operations of RandAugment and AugMix on clips, and how strong they are at each level.

Clips are T C H W here, as in PyTorchVideo's augmentations: uint8 from 0 to 255 or float from 0
to 1. The same change is made to all frames.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from vitascope.errors import ConfigError, UnknownNameError
from vitascope.transforms import color_ops
from vitascope.transforms.random_source import Draws, RandomSource, as_draws

MAX_LEVEL = 10
SAMPLING_DEFAULT_HPARAS: dict[str, Any] = {"sampling_std": 0.5}
TRANSFORM_DEFAULT_HPARAS: dict[str, Any] = {"fill": (0.5, 0.5, 0.5)}

Fill = Sequence[float] | None
Operation = Callable[[Tensor, Any, Fill], Tensor]


def affine(
    img: Tensor,
    matrix: Sequence[float],
    interpolation: str = "nearest",
    fill: Sequence[float] | None = None,
) -> Tensor:
    """Moves the pixels of frames along a linear map around their middle.

    Args:
        img: T C H W, uint8 or float.
        matrix: a, b, c, d, e, f: the pixel at (x, y) of the result comes from
            (a x + b y + c, d x + e y + f), in pixels from the middle of the frame.
        interpolation: "nearest" or "bilinear".
        fill: value of each channel for pixels from outside, on the scale of `img`; None is black.

    Raises:
        ConfigError: another interpolation, or a matrix that has not 6 numbers.
    """
    if interpolation not in ("nearest", "bilinear") or len(matrix) != 6:
        raise ConfigError(
            f"interpolation = {interpolation!r}, matrix of {len(matrix)} numbers; expected "
            "nearest or bilinear and 6 numbers"
        )
    height, width = img.shape[-2:]
    x = torch.arange(width, dtype=torch.float32) - (width - 1) / 2
    y = (torch.arange(height, dtype=torch.float32) - (height - 1) / 2)[:, None]
    a, b, c, d, e, f = matrix
    grid = torch.stack([(a * x + b * y + c) * (2 / width), (d * x + e * y + f) * (2 / height)], -1)
    grid = grid.to(img.device)
    # An extra channel tells how much of each pixel comes from inside of the frame.
    planes = img.reshape(1, -1, height, width).float()
    inside = torch.ones(1, 1, height, width, device=img.device)
    sampled = F.grid_sample(
        torch.cat([planes, inside], 1), grid[None], interpolation, "zeros", align_corners=False
    )
    moved, share = sampled[:, :-1].view(img.shape), sampled[0, -1]
    border = torch.zeros(img.shape[-3]) if fill is None else torch.tensor(list(fill)).float()
    border = border.to(img.device).view(-1, 1, 1)
    if interpolation == "nearest":
        moved = torch.where(share < 0.5, border, moved)
    else:
        moved = moved * share + (1 - share) * border
    if img.is_floating_point():
        return moved.to(img.dtype)
    return moved.round_().clamp_(0, 255).to(img.dtype)


def _rotate(video: Tensor, factor: float, fill: Fill) -> Tensor:
    angle = math.radians(factor)
    cos, sin = math.cos(angle), math.sin(angle)
    return affine(video, [cos, -sin, 0, sin, cos, 0], "bilinear", fill)


def _shear_x(video: Tensor, factor: float, fill: Fill) -> Tensor:
    # The top row stays: the shear is around it, not around the middle.
    offset = video.shape[-2] * factor / 2
    return affine(video, [1, factor, offset, 0, 1, 0], "bilinear", fill)


def _shear_y(video: Tensor, factor: float, fill: Fill) -> Tensor:
    offset = video.shape[-1] * factor / 2
    return affine(video, [1, 0, 0, factor, 1, offset], "bilinear", fill)


def _translate_x(video: Tensor, factor: float, fill: Fill) -> Tensor:
    return affine(video, [1, 0, factor * video.shape[-1], 0, 1, 0], "bilinear", fill)


def _translate_y(video: Tensor, factor: float, fill: Fill) -> Tensor:
    return affine(video, [1, 0, 0, 0, 1, factor * video.shape[-2]], "bilinear", fill)


def _colour(function: Callable[[Tensor, Any], Tensor]) -> Operation:
    return lambda video, factor, fill: function(video, factor)


def _plain(function: Callable[[Tensor], Tensor]) -> Operation:
    return lambda video, factor, fill: function(video)


OPERATIONS: Mapping[str, Operation] = {
    "AdjustBrightness": _colour(color_ops.adjust_brightness),
    "AdjustContrast": _colour(color_ops.adjust_contrast),
    "AdjustSaturation": _colour(color_ops.adjust_saturation),
    "AdjustSharpness": _colour(color_ops.adjust_sharpness),
    "AutoContrast": _plain(color_ops.autocontrast),
    "Equalize": _plain(color_ops.equalize),
    "Invert": _plain(color_ops.invert),
    "Rotate": _rotate,
    "Posterize": _colour(color_ops.posterize),
    "Solarize": _colour(color_ops.solarize),
    "ShearX": _shear_x,
    "ShearY": _shear_y,
    "TranslateX": _translate_x,
    "TranslateY": _translate_y,
}


def increasing_magnitude_to_arg(level: float, paras: tuple[float, float], draws: Draws) -> float:
    """Base + level / 10 * range."""
    return paras[0] + level / MAX_LEVEL * paras[1]


def increasing_randomly_negate_to_arg(
    level: float, paras: tuple[float, float], draws: Draws
) -> float:
    """Base +- level / 10 * range, either sign with the same chance."""
    change = level / MAX_LEVEL * paras[1]
    return paras[0] + (change if draws.uniform() > 0.5 else -change)


def decreasing_to_arg(level: float, paras: tuple[float, float], draws: Draws) -> float:
    """Base - level / 10 * range."""
    return paras[0] - level / MAX_LEVEL * paras[1]


def decreasing_int_to_arg(level: float, paras: tuple[float, float], draws: Draws) -> int:
    """Base - level / 10 * range, the change rounded down."""
    return int(paras[0]) - int(level / MAX_LEVEL * paras[1])


LevelToArg = Callable[[float, tuple[float, float], Draws], float]


class AugmentTransform:
    """One operation with a random strength, applied with a probability.

    Args:
        transform_name: name of the operation.
        magnitude: level from 0 to 10: the mean, or the largest one, of those that are drawn.
        prob: probability of being applied at all.
        name_to_transform_func: operations by name, called with clip, strength and border values;
            None gives those here.
        level_to_arg: by name, how a level becomes a strength; None for operations without one.
        transform_max_paras: by name, base and range of the strength.
        transform_hparas: {"fill": border value of each channel, as a share of white}.
        sampling_type: "gaussian" around `magnitude`, or "uniform" up to it.
        sampling_hparas: {"sampling_std", "sampling_min", "sampling_data_type": "int" or "float"}.
        legacy_fill: take `fill` as it is for uint8 clips, as PyTorchVideo does: black borders.

    Raises:
        UnknownNameError: no operation of that name.
        ConfigError: a value out of range.
    """

    def __init__(
        self,
        transform_name: str,
        magnitude: float = 10,
        prob: float = 0.5,
        name_to_transform_func: Mapping[str, Operation] | None = None,
        level_to_arg: Mapping[str, LevelToArg | None] | None = None,
        transform_max_paras: Mapping[str, tuple[float, float]] | None = None,
        transform_hparas: Mapping[str, Any] | None = None,
        sampling_type: str = "gaussian",
        sampling_hparas: Mapping[str, Any] | None = None,
        *,
        legacy_fill: bool = False,
    ) -> None:
        if not 0 <= magnitude <= MAX_LEVEL or not 0 <= prob <= 1:
            raise ConfigError(
                f"magnitude = {magnitude} must be from 0 to {MAX_LEVEL}, prob = {prob} from 0 to 1"
            )
        if sampling_type not in ("gaussian", "uniform"):
            raise ConfigError(f"sampling_type = {sampling_type!r}; legal values: gaussian, uniform")
        functions = OPERATIONS if name_to_transform_func is None else name_to_transform_func
        if transform_name not in functions:
            raise UnknownNameError("augmentation", transform_name, functions)
        self.name, self.magnitude, self.prob = transform_name, magnitude, prob
        self.function = functions[transform_name]
        self.level_to_arg = (level_to_arg or {}).get(transform_name)
        self.paras = (transform_max_paras or {}).get(transform_name, (0.0, 1.0))
        self.fill = tuple((transform_hparas or TRANSFORM_DEFAULT_HPARAS)["fill"])
        self.sampling_type, self.legacy_fill = sampling_type, legacy_fill
        hparas = {**SAMPLING_DEFAULT_HPARAS, **(sampling_hparas or {})}
        self.std = float(hparas["sampling_std"])
        self.low = hparas.get("sampling_min", 0)
        self.whole = hparas.get("sampling_data_type", "int") == "int"

    def _level(self, draws: Draws) -> float:
        if self.sampling_type == "gaussian":
            level: float = draws.normal(self.magnitude, self.std)
        elif self.whole:
            level = draws.integer(int(self.low), int(self.magnitude) + 1)
        else:
            level = float(self.low + draws.uniform() * (self.magnitude - self.low))
        return float(min(max(level, self.low), MAX_LEVEL))

    def __call__(self, video: Tensor, *, rng: RandomSource = None) -> Tensor:
        """Changes a clip T C H W, or not."""
        draws = as_draws(rng)
        if draws.uniform() > self.prob:
            return video
        level = self._level(draws)
        factor = None if self.level_to_arg is None else self.level_to_arg(level, self.paras, draws)
        scale = 1 if video.is_floating_point() or self.legacy_fill else 255
        return self.function(video, factor, [scale * f for f in self.fill])

    def __repr__(self) -> str:
        return f"{self.name}(magnitude={self.magnitude}, prob={self.prob})"
