"""The operations of RandAugment and AugMix on clips, and how strong they are at each level.

Clips are T C H W here, as in PyTorchVideo's augmentations: uint8 from 0 to 255 or float from 0
to 1. The same change is made to all frames.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from vitascope.errors import ConfigError, UnknownNameError
from vitascope.transforms import color_ops
from vitascope.transforms.apply import global_seed
from vitascope.transforms.random_source import Draws, RandomSource, TorchDraws, as_draws

MAX_LEVEL = 10
SAMPLING_DEFAULT_HPARAS: dict[str, Any] = {"sampling_std": 0.5}
TRANSFORM_DEFAULT_HPARAS: dict[str, Any] = {"fill": (0.5, 0.5, 0.5)}

Fill = Sequence[float] | None
Operation = Callable[..., Tensor]
"""Called with the clip, the strength (left out where there is none) and the settings by name."""


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


def _rotate(video: Tensor, factor: float, fill: Fill = None, **_: Any) -> Tensor:
    angle = math.radians(factor)
    cos, sin = math.cos(angle), math.sin(angle)
    return affine(video, [cos, -sin, 0, sin, cos, 0], "bilinear", fill)


def _shear_x(video: Tensor, factor: float, fill: Fill = None, **_: Any) -> Tensor:
    # The top row stays: the shear is around it, not around the middle.
    offset = video.shape[-2] * factor / 2
    return affine(video, [1, factor, offset, 0, 1, 0], "bilinear", fill)


def _shear_y(video: Tensor, factor: float, fill: Fill = None, **_: Any) -> Tensor:
    offset = video.shape[-1] * factor / 2
    return affine(video, [1, 0, 0, factor, 1, offset], "bilinear", fill)


def _translate_x(video: Tensor, factor: float, fill: Fill = None, **_: Any) -> Tensor:
    return affine(video, [1, 0, factor * video.shape[-1], 0, 1, 0], "bilinear", fill)


def _translate_y(video: Tensor, factor: float, fill: Fill = None, **_: Any) -> Tensor:
    return affine(video, [1, 0, 0, 0, 1, factor * video.shape[-2]], "bilinear", fill)


def _with_strength(function: Callable[[Tensor, Any], Tensor]) -> Operation:
    def operation(video: Tensor, factor: Any, fill: Fill = None, **_: Any) -> Tensor:
        return function(video, factor)

    return operation


def _without_strength(function: Callable[[Tensor], Tensor]) -> Operation:
    def operation(video: Tensor, factor: Any = None, fill: Fill = None, **_: Any) -> Tensor:
        return function(video)

    return operation


_adjust_brightness = _with_strength(color_ops.adjust_brightness)
_adjust_contrast = _with_strength(color_ops.adjust_contrast)
_adjust_saturation = _with_strength(color_ops.adjust_saturation)
_adjust_sharpness = _with_strength(color_ops.adjust_sharpness)
_autocontrast = _without_strength(color_ops.autocontrast)
_equalize = _without_strength(color_ops.equalize)
_invert = _without_strength(color_ops.invert)
_posterize = _with_strength(color_ops.posterize)
_solarize = _with_strength(color_ops.solarize)

OPERATIONS: Mapping[str, Operation] = {
    "AdjustBrightness": _adjust_brightness,
    "AdjustContrast": _adjust_contrast,
    "AdjustSaturation": _adjust_saturation,
    "AdjustSharpness": _adjust_sharpness,
    "AutoContrast": _autocontrast,
    "Equalize": _equalize,
    "Invert": _invert,
    "Rotate": _rotate,
    "Posterize": _posterize,
    "Solarize": _solarize,
    "ShearX": _shear_x,
    "ShearY": _shear_y,
    "TranslateX": _translate_x,
    "TranslateY": _translate_y,
}

LevelToArg = Callable[..., tuple[float, ...]]
"""Called with a level and the base and range of a strength; gives what follows the clip."""


def increasing_magnitude_to_arg(
    level: float, params: tuple[float, float], draws: Draws | None = None
) -> tuple[float]:
    """Base + level / 10 * range."""
    return (params[0] + level / MAX_LEVEL * params[1],)


def increasing_randomly_negate_to_arg(
    level: float, params: tuple[float, float], draws: Draws | None = None
) -> tuple[float]:
    """Base +- level / 10 * range, either sign with the same chance."""
    return (params[0] + _randomly_negate(level / MAX_LEVEL * params[1], draws),)


def decreasing_to_arg(
    level: float, params: tuple[float, float], draws: Draws | None = None
) -> tuple[float]:
    """Base - level / 10 * range."""
    return (params[0] - level / MAX_LEVEL * params[1],)


def decreasing_int_to_arg(
    level: float, params: tuple[float, float], draws: Draws | None = None
) -> tuple[int]:
    """Base - level / 10 * range, the change rounded down."""
    return (int(params[0]) - int(level / MAX_LEVEL * params[1]),)


def _randomly_negate(magnitude: float, draws: Draws | None = None) -> float:
    return magnitude if (draws or TorchDraws()).uniform() > 0.5 else -magnitude


# Base and range of each operation's strength, and how a level becomes one; None where there is
# none. AugMix has tables of its own.
TRANSFORM_MAX_PARAS: Mapping[str, tuple[float, float] | None] = {
    "AdjustBrightness": (1, 0.9),
    "AdjustContrast": (1, 0.9),
    "AdjustSaturation": (1, 0.9),
    "AdjustSharpness": (1, 0.9),
    "AutoContrast": None,
    "Equalize": None,
    "Invert": None,
    "Rotate": (0, 30),
    "Posterize": (4, 4),
    "Solarize": (1, 1),
    "ShearX": (0, 0.3),
    "ShearY": (0, 0.3),
    "TranslateX": (0, 0.45),
    "TranslateY": (0, 0.45),
}
LEVEL_TO_ARG: Mapping[str, LevelToArg | None] = {
    **dict.fromkeys(TRANSFORM_MAX_PARAS, increasing_randomly_negate_to_arg),
    **dict.fromkeys(("AutoContrast", "Equalize", "Invert")),
    "Posterize": decreasing_int_to_arg,
    "Solarize": decreasing_to_arg,
}
# Those that take their random numbers from `draws`; any other function draws from the generators
# of torch, numpy and Python.
_OWN_LEVELS = (
    increasing_magnitude_to_arg,
    increasing_randomly_negate_to_arg,
    decreasing_to_arg,
    decreasing_int_to_arg,
)


def border_values(fill: float | Sequence[float], video: Tensor) -> list[float]:
    """Border values on the scale of a clip.

    Args:
        fill: one value, or one a channel: shares of white from 0 to 1, or, if one of them is
            above 1, levels from 0 to 255.
        video: uint8 from 0 to 255 or float from 0 to 1.
    """
    values = [float(fill)] if isinstance(fill, int | float) else [float(v) for v in fill]
    given = 255.0 if max(values) > 1 else 1.0
    return [v * color_ops.bound(video) / given for v in values]


class AugmentTransform:
    """One operation with a random strength, applied with a probability.

    Args:
        transform_name: name of the operation.
        magnitude: level from 0 to 10: the mean, or the largest one, of those that are drawn.
        prob: probability of being applied at all.
        name_to_transform_func: operations by name, called with the clip, the strengths that
            `level_to_arg` gave, and `transform_hparas` by name; None gives those here.
        level_to_arg: by name, a function from a level and an entry of `transform_max_paras` to a
            tuple of strengths; None as an entry for an operation without one, None for those here.
        transform_max_paras: by name, base and range of the strength; None for those here.
        transform_hparas: {"fill": border values, see `border_values`}, and what else the
            operations take.
        sampling_type: "gaussian" around `magnitude`, or "uniform" up to it.
        sampling_hparas: {"sampling_std", "sampling_min", "sampling_data_type": "int" or "float"}.
        legacy_fill: take `fill` as it is, as PyTorchVideo does: black borders by default on uint8.

    Raises:
        UnknownNameError: no operation of that name, or none in a table that was given.
        ConfigError: a value out of range.
    """

    def __init__(
        self,
        transform_name: str,
        magnitude: float = 10,
        prob: float = 0.5,
        name_to_transform_func: Mapping[str, Operation] | None = None,
        level_to_arg: Mapping[str, LevelToArg | None] | None = None,
        transform_max_paras: Mapping[str, Any] | None = None,
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
        self.transform_name, self.magnitude, self.prob = transform_name, magnitude, prob
        self.transform_fn = _entry(
            "augmentation", transform_name, name_to_transform_func or OPERATIONS
        )
        self.level_fn = _entry(
            "entry of level_to_arg", transform_name, level_to_arg or LEVEL_TO_ARG
        )
        self.level_paras = _entry(
            "entry of transform_max_paras",
            transform_name,
            transform_max_paras or TRANSFORM_MAX_PARAS,
        )
        self.transform_hparas = dict(transform_hparas or TRANSFORM_DEFAULT_HPARAS)
        if "fill" not in self.transform_hparas:
            raise ConfigError(f"transform_hparas = {self.transform_hparas} needs the key 'fill'")
        self.sampling_type, self.legacy_fill = sampling_type, legacy_fill
        self.sampling_hparas = {
            **SAMPLING_DEFAULT_HPARAS,
            "sampling_min": 0,
            "sampling_data_type": "int",
            **(sampling_hparas or {}),
        }
        _check_sampling(sampling_type, self.sampling_hparas)

    def _level(self, draws: Draws) -> float:
        hparas, low = self.sampling_hparas, self.sampling_hparas["sampling_min"]
        if self.sampling_type == "gaussian":
            level = draws.normal(self.magnitude, float(hparas["sampling_std"]))
            return float(min(max(level, 0), MAX_LEVEL))
        if hparas["sampling_data_type"] == "int":
            return float(draws.integer(low, int(self.magnitude) + 1))
        return float(low + draws.uniform() * (self.magnitude - low))

    def __call__(self, video: Tensor, *, rng: RandomSource = None) -> Tensor:
        """Changes a clip T C H W, or not."""
        draws = as_draws(rng)
        if draws.uniform() > self.prob:
            return video
        level, hparas = self._level(draws), dict(self.transform_hparas)
        if not self.legacy_fill:
            hparas["fill"] = border_values(hparas["fill"], video)
        own_level = self.level_fn is None or self.level_fn in _OWN_LEVELS
        own = own_level and self.transform_fn in OPERATIONS.values()
        seeds = own or rng is None
        with contextlib.nullcontext() if seeds else global_seed(draws.integer(0, 2**31)):
            strengths: tuple[float, ...] = ()
            if self.level_fn is not None:
                more = (draws,) if own_level else ()
                strengths = self.level_fn(level, self.level_paras, *more)
            changed: Tensor = self.transform_fn(video, *strengths, **hparas)
            return changed

    def __repr__(self) -> str:
        return f"{self.transform_name}(magnitude={self.magnitude}, prob={self.prob})"


def _entry(what: str, name: str, table: Mapping[str, Any]) -> Any:
    if name not in table:
        raise UnknownNameError(what, name, table)
    return table[name]


def _check_sampling(kind: str, hparas: Mapping[str, Any]) -> None:
    if kind not in ("gaussian", "uniform"):
        raise ConfigError(f"sampling_type = {kind!r}; legal values: gaussian, uniform")
    numbers = {"int": int, "float": int | float}
    data_type = hparas["sampling_data_type"]
    if data_type not in numbers or not isinstance(hparas["sampling_min"], numbers[data_type]):
        raise ConfigError(
            f"sampling_data_type = {data_type!r} with sampling_min = {hparas['sampling_min']!r}; "
            "legal values: int with a whole number, float with any"
        )
