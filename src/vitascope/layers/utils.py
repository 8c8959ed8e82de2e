"""Widths and depths of scaled models, and a helper that old programs import."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any


def round_width(
    width: float, multiplier: float, min_width: int = 8, divisor: int = 8, ceil: bool = False
) -> int:
    """Scales a number of channels and rounds it to a multiple of `divisor`.

    Args:
        width: number of channels before scaling.
        multiplier: factor; 0 leaves the width as it is.
        min_width: smallest result; 0 stands for `divisor`.
        divisor: the result is a multiple of it.
        ceil: round up instead of to the nearest multiple.

    Returns:
        The number of channels. Rounding to the nearest never takes away more than a tenth of the
        scaled width: then the next multiple is taken.
    """
    if not multiplier:
        return int(width)
    scaled = width * multiplier
    floor = min_width or divisor
    if ceil:
        return max(floor, math.ceil(scaled / divisor) * divisor)
    rounded = max(floor, int(scaled + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * scaled else rounded


def round_repeats(repeats: int, multiplier: float) -> int:
    """Scales a number of layers and rounds it up; a `multiplier` of 0 leaves it as it is."""
    return math.ceil(multiplier * repeats) if multiplier else repeats


def set_attributes(self: object, params: Mapping[str, Any] | None = None) -> None:
    """Sets every entry of `params` but `self` as an attribute of the object `self`.

    Kept for programs written for PyTorchVideo, which call it with `locals()`.
    """
    for name, value in (params or {}).items():
        if name != "self":
            setattr(self, name, value)
