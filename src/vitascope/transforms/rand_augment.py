"""RandAugment on clips (arXiv:1909.13719), with the operations and strengths of PyTorchVideo."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from vitascope.transforms.augmentations import (
    OPERATIONS,
    AugmentTransform,
    LevelToArg,
    decreasing_int_to_arg,
    decreasing_to_arg,
    increasing_randomly_negate_to_arg,
)
from vitascope.transforms.random_source import RandomSource
from vitascope.transforms.transforms import OpSampler

SAMPLING_RANDAUG_DEFAULT_HPARAS: dict[str, Any] = {
    "sampling_data_type": "int",
    "sampling_min": 0,
    "sampling_std": 0.5,
}
# Base and range of each operation's strength; the order is that in which they are drawn.
TRANSFORM_RANDAUG_MAX_PARAS: Mapping[str, tuple[float, float]] = {
    "AdjustBrightness": (1, 0.9),
    "AdjustContrast": (1, 0.9),
    "AdjustSaturation": (1, 0.9),
    "AdjustSharpness": (1, 0.9),
    "Rotate": (0, 30),
    "Posterize": (4, 4),
    "Solarize": (1, 1),
    "ShearX": (0, 0.3),
    "ShearY": (0, 0.3),
    "TranslateX": (0, 0.45),
    "TranslateY": (0, 0.45),
}
LEVEL_TO_ARG: Mapping[str, LevelToArg | None] = {
    **dict.fromkeys(TRANSFORM_RANDAUG_MAX_PARAS, increasing_randomly_negate_to_arg),
    "Posterize": decreasing_int_to_arg,
    "Solarize": decreasing_to_arg,
}


class RandAugment:
    """Applies some random operations of random strength to a clip T C H W.

    Args:
        magnitude: level from 0 to 10 around which the strengths are drawn.
        num_layers: how many different operations are drawn.
        prob: probability of each drawn operation of being applied.
        transform_hparas: see `AugmentTransform`.
        sampling_type: see `AugmentTransform`.
        sampling_hparas: see `AugmentTransform`.
        legacy_fill: black borders on uint8 clips, as in PyTorchVideo.
    """

    def __init__(
        self,
        magnitude: int = 9,
        num_layers: int = 2,
        prob: float = 0.5,
        transform_hparas: Mapping[str, Any] | None = None,
        sampling_type: str = "gaussian",
        sampling_hparas: Mapping[str, Any] | None = None,
        *,
        legacy_fill: bool = False,
    ) -> None:
        self._sampler = OpSampler(
            [
                AugmentTransform(
                    name,
                    magnitude,
                    prob,
                    level_to_arg=LEVEL_TO_ARG,
                    transform_max_paras=TRANSFORM_RANDAUG_MAX_PARAS,
                    transform_hparas=transform_hparas,
                    sampling_type=sampling_type,
                    sampling_hparas={**SAMPLING_RANDAUG_DEFAULT_HPARAS, **(sampling_hparas or {})},
                    legacy_fill=legacy_fill,
                )
                for name in OPERATIONS
            ],
            num_sample_op=num_layers,
        )

    def __call__(self, video: Tensor, *, rng: RandomSource = None) -> Tensor:
        """Changes a clip T C H W, uint8 or float from 0 to 1."""
        changed: Tensor = self._sampler(video, rng=rng)
        return changed
