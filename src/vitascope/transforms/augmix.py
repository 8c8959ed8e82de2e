"""AugMix on clips (arXiv:1912.02781), with the operations and strengths of PyTorchVideo."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from vitascope.errors import ConfigError
from vitascope.transforms.augmentations import (
    MAX_LEVEL,
    AugmentTransform,
    LevelToArg,
    decreasing_int_to_arg,
    decreasing_to_arg,
    increasing_magnitude_to_arg,
    increasing_randomly_negate_to_arg,
)
from vitascope.transforms.random_source import RandomSource, as_draws
from vitascope.transforms.transforms import OpSampler

SAMPLING_AUGMIX_DEFAULT_HPARAS: dict[str, Any] = {
    "sampling_data_type": "float",
    "sampling_min": 0.1,
}
# The order is that in which they are drawn.
TRANSFORM_AUGMIX_MAX_PARAS: Mapping[str, tuple[float, float] | None] = {
    "AutoContrast": None,
    "Equalize": None,
    "Rotate": (0, 30),
    "Posterize": (4, 4),
    "Solarize": (1, 1),
    "ShearX": (0, 0.3),
    "ShearY": (0, 0.3),
    "TranslateX": (0, 1 / 3),
    "TranslateY": (0, 1 / 3),
    "AdjustSaturation": (0.1, 1.8),
    "AdjustContrast": (0.1, 1.8),
    "AdjustBrightness": (0.1, 1.8),
    "AdjustSharpness": (0.1, 1.8),
}
LEVEL_TO_ARG: Mapping[str, LevelToArg | None] = {
    name: increasing_magnitude_to_arg
    if name.startswith("Adjust")
    else increasing_randomly_negate_to_arg
    for name in TRANSFORM_AUGMIX_MAX_PARAS
} | {
    "AutoContrast": None,
    "Equalize": None,
    "Posterize": decreasing_int_to_arg,
    "Solarize": decreasing_to_arg,
}


class AugMix:
    """Blends a clip with several chains of random operations on it.

    Args:
        magnitude: largest level of the operations, a whole number from 1 to 10.
        alpha: parameter of the Dirichlet and beta distributions of the weights.
        width: number of chains.
        depth: operations of a chain; 0 or less draws 1 to 3.
        transform_hparas: see `AugmentTransform`.
        sampling_hparas: see `AugmentTransform`.
        legacy_fill: black borders on uint8 clips, as in PyTorchVideo.
    """

    def __init__(
        self,
        magnitude: int = 3,
        alpha: float = 1.0,
        width: int = 3,
        depth: int = -1,
        transform_hparas: Mapping[str, Any] | None = None,
        sampling_hparas: Mapping[str, Any] | None = None,
        *,
        legacy_fill: bool = False,
    ) -> None:
        if not alpha > 0 or width < 1:
            raise ConfigError(f"alpha = {alpha} must be above 0, width = {width} at least 1")
        if not isinstance(magnitude, int) or not 1 <= magnitude <= MAX_LEVEL:
            raise ConfigError(
                f"magnitude = {magnitude} must be a whole number from 1 to {MAX_LEVEL}"
            )
        self.alpha, self.width = alpha, width
        operations = [
            AugmentTransform(
                name,
                magnitude,
                1.0,
                level_to_arg=LEVEL_TO_ARG,
                transform_max_paras=TRANSFORM_AUGMIX_MAX_PARAS,
                transform_hparas=transform_hparas,
                sampling_type="uniform",
                sampling_hparas={**SAMPLING_AUGMIX_DEFAULT_HPARAS, **(sampling_hparas or {})},
                legacy_fill=legacy_fill,
            )
            for name in TRANSFORM_AUGMIX_MAX_PARAS
        ]
        self.augmix_fn = OpSampler(
            operations,
            num_sample_op=depth if depth > 0 else 3,
            randomly_sample_depth=depth <= 0,
            replacement=True,
        )

    def __call__(self, video: Tensor, *, rng: RandomSource = None) -> Tensor:
        """Changes a clip T C H W, uint8 or float from 0 to 1."""
        draws = as_draws(rng)
        weights = draws.dirichlet([self.alpha] * self.width)
        share = draws.beta(self.alpha, self.alpha)
        mixed = video.float() * share
        for weight in weights:
            mixed += self.augmix_fn(video, rng=draws).float() * ((1 - share) * weight)
        if video.is_floating_point():
            return mixed.to(video.dtype)
        # Rounded down, like the operations themselves.
        return mixed.clamp_(0, 255).to(torch.uint8)
