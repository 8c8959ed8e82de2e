"""RandAugment on clips (arXiv:1909.13719), with the operations and strengths of PyTorchVideo."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from vitascope.transforms.augmentations import (
    LEVEL_TO_ARG,
    OPERATIONS,
    TRANSFORM_MAX_PARAS,
    AugmentTransform,
)
from vitascope.transforms.random_source import RandomSource
from vitascope.transforms.transforms import OpSampler

__all__ = [
    "LEVEL_TO_ARG", "RandAugment", "SAMPLING_RANDAUG_DEFAULT_HPARAS",
    "TRANSFORM_RANDAUG_MAX_PARAS",
]  # fmt: skip

SAMPLING_RANDAUG_DEFAULT_HPARAS: dict[str, Any] = {
    "sampling_data_type": "int",
    "sampling_min": 0,
    "sampling_std": 0.5,
}
# The order is that in which they are drawn.
TRANSFORM_RANDAUG_MAX_PARAS = TRANSFORM_MAX_PARAS


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
        self.randaug_fn = OpSampler(
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
        changed: Tensor = self.randaug_fn(video, rng=rng)
        return changed
