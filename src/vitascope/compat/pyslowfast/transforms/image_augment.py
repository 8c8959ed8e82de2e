"""RandAugment as PySlowFast has it: the operations and strengths of timm on uint8 frames.

Frames are T H W C in RGB. The pixels are those of Pillow, computed here with torch; one draw
serves all frames. The recipe is a text such as "rand-m7-n4-mstd0.5-inc1".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from vitascope.compat.pyslowfast.transforms.image_ops import (
    affine,
    autocontrast,
    brightness,
    color,
    contrast,
    equalize,
    posterize,
    rotate,
    sharpness,
    solarize,
    solarize_add,
)
from vitascope.errors import ConfigError, InputError, UnknownNameError
from vitascope.transforms.random_source import Draws, RandomSource, as_draws

MAX_LEVEL = 10.0


@dataclass(frozen=True, kw_only=True)
class AugmentSettings:
    """What operations need beside their strength.

    Attributes:
        fill: color of pixels from outside of the frame.
        interpolation: "nearest", "bilinear" or "bicubic".
        translate_const: greatest shift in pixels of `TranslateX` and `TranslateY`.
        translate_pct: greatest shift of `TranslateXRel` and `TranslateYRel` as a share of the side.
    """

    fill: tuple[int, int, int] = (128, 128, 128)
    interpolation: str = "bilinear"
    translate_const: float = 250.0
    translate_pct: float = 0.45


def _negate(value: float, draws: Draws) -> float:
    return -value if draws.uniform() > 0.5 else value


Strength = Callable[[float, AugmentSettings, Draws], float]


def _signed(most: float) -> Strength:
    return lambda level, settings, draws: _negate(level / MAX_LEVEL * most, draws)


def _enhance(level: float, settings: AugmentSettings, draws: Draws) -> float:
    return level / MAX_LEVEL * 1.8 + 0.1


def _enhance_increasing(level: float, settings: AugmentSettings, draws: Draws) -> float:
    return 1.0 + _negate(level / MAX_LEVEL * 0.9, draws)


def _shift(level: float, settings: AugmentSettings, draws: Draws) -> float:
    return _negate(level / MAX_LEVEL * settings.translate_const, draws)


def _shift_share(level: float, settings: AugmentSettings, draws: Draws) -> float:
    return _negate(level / MAX_LEVEL * settings.translate_pct, draws)


def _bits(level: float) -> int:
    return int(level / MAX_LEVEL * 4)


Apply = Callable[[Tensor, float, AugmentSettings], Tensor]


def _plain(function: Callable[[Tensor], Tensor]) -> Apply:
    return lambda x, strength, settings: function(x)


def _with(function: Callable[[Tensor, float], Tensor]) -> Apply:
    return lambda x, strength, settings: function(x, strength)


def _moved(matrix: Callable[[Tensor, float], Sequence[float]]) -> Apply:
    return lambda x, strength, s: affine(x, matrix(x, strength), s.fill, s.interpolation)


def _posterize(x: Tensor, bits: float, settings: AugmentSettings) -> Tensor:
    # Pillow refuses 0 bits, which would be black: at least one bit is kept.
    return posterize(x, max(1, int(bits)))


def _rotate(x: Tensor, degrees: float, settings: AugmentSettings) -> Tensor:
    return rotate(x, degrees, settings.fill, settings.interpolation)


_ROTATE: tuple[Strength, Apply] = (_signed(30), _rotate)
_NONE: Strength = lambda level, settings, draws: 0.0  # noqa: E731  (a table of short rules)
# name -> (strength at a level, change of the frames)
OPERATIONS: Mapping[str, tuple[Strength, Apply]] = {
    "AutoContrast": (_NONE, _plain(autocontrast)),
    "Equalize": (_NONE, _plain(equalize)),
    "Invert": (_NONE, _plain(lambda x: 255 - x)),
    "Rotate": _ROTATE,
    "Posterize": (lambda level, s, d: _bits(level), _posterize),
    "PosterizeIncreasing": (lambda level, s, d: 4 - _bits(level), _posterize),
    "PosterizeOriginal": (lambda level, s, d: 4 + _bits(level), _posterize),
    "Solarize": (lambda level, s, d: int(level / MAX_LEVEL * 256), _with(solarize)),
    "SolarizeIncreasing": (lambda level, s, d: 256 - int(level / MAX_LEVEL * 256), _with(solarize)),
    "SolarizeAdd": (lambda level, s, d: int(level / MAX_LEVEL * 110), _with(solarize_add)),
    "Color": (_enhance, _with(color)),
    "ColorIncreasing": (_enhance_increasing, _with(color)),
    "Contrast": (_enhance, _with(contrast)),
    "ContrastIncreasing": (_enhance_increasing, _with(contrast)),
    "Brightness": (_enhance, _with(brightness)),
    "BrightnessIncreasing": (_enhance_increasing, _with(brightness)),
    "Sharpness": (_enhance, _with(sharpness)),
    "SharpnessIncreasing": (_enhance_increasing, _with(sharpness)),
    "ShearX": (_signed(0.3), _moved(lambda x, v: (1, v, 0, 0, 1, 0))),
    "ShearY": (_signed(0.3), _moved(lambda x, v: (1, 0, 0, v, 1, 0))),
    "TranslateX": (_shift, _moved(lambda x, v: (1, 0, v, 0, 1, 0))),
    "TranslateY": (_shift, _moved(lambda x, v: (1, 0, 0, 0, 1, v))),
    "TranslateXRel": (_shift_share, _moved(lambda x, v: (1, 0, v * x.shape[2], 0, 1, 0))),
    "TranslateYRel": (_shift_share, _moved(lambda x, v: (1, 0, 0, 0, 1, v * x.shape[1]))),
}
_PLAIN = (
    "AutoContrast", "Equalize", "Invert", "Rotate", "Posterize", "Solarize", "SolarizeAdd",
    "Color", "Contrast", "Brightness", "Sharpness", "ShearX", "ShearY", "TranslateXRel",
    "TranslateYRel",
)  # fmt: skip
_INCREASING = tuple(f"{n}Increasing" if f"{n}Increasing" in OPERATIONS else n for n in _PLAIN)
# Weights of the operations of _PLAIN for "w0".
_WEIGHTS = {
    0: (
        0.025, 0.005, 0.0, 0.3, 0.0, 0.005, 0.005, 0.025, 0.005, 0.005, 0.025, 0.2, 0.2, 0.1, 0.1,
    ),
}  # fmt: skip


class ImageAugment:
    """One operation of random strength, applied with a probability.

    Args:
        name: name in `OPERATIONS`.
        prob: probability of being applied.
        magnitude: level from 0 to 10.
        magnitude_std: standard deviation of the level; infinite draws it evenly up to `magnitude`.
        settings: fill, interpolation and greatest shifts.
    """

    def __init__(
        self,
        name: str,
        prob: float = 0.5,
        magnitude: float = 10,
        magnitude_std: float = 0.0,
        settings: AugmentSettings | None = None,
    ) -> None:
        if name not in OPERATIONS:
            raise UnknownNameError("augmentation", name, OPERATIONS)
        self.name, self.prob = name, prob
        self.magnitude, self.magnitude_std = magnitude, magnitude_std
        self.settings = AugmentSettings() if settings is None else settings

    def __call__(self, frames: Tensor, *, rng: RandomSource = None) -> Tensor:
        """Changes uint8 frames T H W C, or not."""
        if frames.dtype != torch.uint8 or frames.ndim != 4 or frames.shape[-1] != 3:
            raise InputError(
                f"expected uint8 frames T H W 3, got {frames.dtype} of shape {tuple(frames.shape)}"
            )
        draws = as_draws(rng)
        if self.prob < 1 and draws.uniform() > self.prob:
            return frames
        level = self.magnitude
        if self.magnitude_std == float("inf"):
            level = draws.uniform(0, level)
        elif self.magnitude_std > 0:
            level = draws.normal(level, self.magnitude_std)
        strength, change = OPERATIONS[self.name]
        level = min(max(level, 0.0), MAX_LEVEL)
        return change(frames, strength(level, self.settings, draws), self.settings)


class ImageRandAugment:
    """Applies `num_layers` drawn operations one after the other.

    Args:
        operations: to draw from.
        num_layers: how many are drawn.
        weights: of each operation; None gives all the same and lets one come more than once.
    """

    def __init__(
        self,
        operations: Sequence[ImageAugment],
        num_layers: int = 2,
        weights: Sequence[float] | None = None,
    ) -> None:
        self.operations, self.num_layers, self.weights = list(operations), num_layers, weights

    def __call__(self, frames: Tensor, *, rng: RandomSource = None) -> Tensor:
        """Changes uint8 frames T H W C."""
        draws = as_draws(rng)
        weights = [1.0] * len(self.operations) if self.weights is None else self.weights
        for index in draws.choice(weights, self.num_layers, self.weights is None):
            frames = self.operations[index](frames, rng=draws)
        return frames


def rand_augment_transform(
    config: str,
    fill: tuple[int, int, int] = (128, 128, 128),
    interpolation: str = "bilinear",
    translate_const: float = 250.0,
    translate_pct: float = 0.45,
    *,
    legacy_inc: bool = False,
) -> ImageRandAugment:
    """Makes a RandAugment from its recipe.

    Args:
        config: "rand" and options joined by "-": m9 level, n2 operations, mstd0.5 standard
            deviation of the level, inc1 operations that get stronger with the level (inc0: not),
            w0 weights of the operations. Without options m10-n2.
        fill: color of pixels from outside of the frame.
        interpolation: "nearest", "bilinear" or "bicubic".
        translate_const: see `AugmentSettings`.
        translate_pct: see `AugmentSettings`.
        legacy_inc: read inc0 as inc1, as PySlowFast does.

    Raises:
        ConfigError: an unknown option, or a value that is no number.
    """
    kind, *options = config.split("-")
    if kind != "rand":
        raise ConfigError(f"augmentation {config!r}; it must begin with rand-")
    values = {"m": MAX_LEVEL, "n": 2.0, "mstd": 0.0, "inc": 0.0, "w": -1.0}
    for option in options:
        name = option.rstrip("0123456789.") if not option.endswith("inf") else option[:-3]
        if name not in values:
            raise ConfigError(f"option {option!r} of {config!r}; known: {', '.join(values)}")
        try:
            values[name] = float(option[len(name) :])
        except ValueError:
            raise ConfigError(f"option {option!r} of {config!r} has no number") from None
    increasing = bool(values["inc"]) or (legacy_inc and any(o.startswith("inc") for o in options))
    weights = None
    if values["w"] >= 0:
        if values["w"] not in _WEIGHTS:
            raise ConfigError(f"weights w{values['w']:g} of {config!r}; known: w0")
        weights = _WEIGHTS[int(values["w"])]
    settings = AugmentSettings(
        fill=fill,
        interpolation=interpolation,
        translate_const=translate_const,
        translate_pct=translate_pct,
    )
    operations = [
        ImageAugment(name, 0.5, values["m"], values["mstd"], settings)
        for name in (_INCREASING if increasing else _PLAIN)
    ]
    return ImageRandAugment(operations, int(values["n"]), weights)
