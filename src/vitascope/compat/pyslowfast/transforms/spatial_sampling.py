"""PySlowFast's spatial sampling: the random view in training, one of three views in testing."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from vitascope.errors import ConfigError
from vitascope.transforms.boxes import (
    horizontal_flip,
    random_crop,
    random_short_side_scale_jitter,
    scaled_uniform_crop,
)
from vitascope.transforms.random_source import RandomSource, as_draws
from vitascope.transforms.spatial import cut, frame_size, glide, random_resized_box, scale_to

_SCALE = (0.8, 1.0)
_RATIO = (3 / 4, 4 / 3)


def resized_crop(
    images: Tensor,
    target_height: int,
    target_width: int,
    scale: tuple[float, float] = _SCALE,
    ratio: tuple[float, float] = _RATIO,
    *,
    shift: bool = False,
    rng: RandomSource = None,
) -> Tensor:
    """Cuts a random window and scales it.

    One number more than needed is drawn for each window, so that the same draws give the windows
    of PySlowFast.

    Args:
        images: ... H W; C T H W with `shift`.
        target_height: of the result.
        target_width: of the result.
        scale: least and greatest share of the frame's area.
        ratio: least and greatest width by height.
        shift: draw a second window for the last frame and move from one to the other.
        rng: source of the windows; None is torch's global generator.
    """
    draws = as_draws(rng)
    first = random_resized_box(*frame_size(images), scale, ratio, draws, swap_prob=0.0)
    if not shift:
        return scale_to(cut(images, first), target_height, target_width)
    last = random_resized_box(*frame_size(images), scale, ratio, draws, swap_prob=0.0)
    return glide(images, first, last, (target_height, target_width))


def random_sized_crop_img(
    im: Tensor,
    size: int,
    jitter_scale: tuple[float, float] = (0.08, 1.0),
    jitter_aspect: tuple[float, float] = _RATIO,
    *,
    rng: RandomSource = None,
) -> Tensor:
    """Cuts a random window out of an image C H W and scales it to a square of `size` pixels.

    Height and width of the window are exchanged in half of the cases.
    """
    box = random_resized_box(
        *frame_size(im), jitter_scale, jitter_aspect, as_draws(rng), log_uniform_ratio=False,
        swap_prob=0.5,
    )  # fmt: skip
    return scale_to(cut(im, box), size, size)


@dataclass(frozen=True, kw_only=True)
class SpatialSampling:
    """The view of a clip C T H W that enters a model.

    Attributes:
        min_scale: smallest short side in pixels.
        max_scale: largest one; the same as `min_scale` in testing.
        crop_size: side of the square result.
        random_horizontal_flip: mirror half of the training clips.
        inverse_uniform_sampling: draw 1 / size evenly, not size.
        aspect_ratio: least and greatest width by height of a random resized crop in training.
        scale: least and greatest share of its area; None for both scales and crops instead.
        motion_shift: move the random resized crop over the clip.
        legacy_offsets: never take the last place of a random crop, as PySlowFast does.

    Raises:
        ConfigError: sizes that do not fit, or only one of `aspect_ratio` and `scale`.
    """

    min_scale: int = 256
    max_scale: int = 320
    crop_size: int = 224
    random_horizontal_flip: bool = True
    inverse_uniform_sampling: bool = False
    aspect_ratio: tuple[float, float] | None = None
    scale: tuple[float, float] | None = None
    motion_shift: bool = False
    legacy_offsets: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.min_scale <= self.max_scale or self.crop_size < 1:
            raise ConfigError(
                f"min_scale = {self.min_scale}, max_scale = {self.max_scale}, crop_size = "
                f"{self.crop_size}; 0 < min_scale <= max_scale and crop_size at least 1"
            )
        if (self.aspect_ratio is None) != (self.scale is None):
            raise ConfigError("aspect_ratio and scale are given together or not at all")

    def __call__(
        self, frames: Tensor, spatial_idx: int = -1, *, rng: RandomSource = None
    ) -> Tensor:
        """Takes one view.

        Args:
            frames: C T H W.
            spatial_idx: -1 a random view; 0, 1, 2 a square from left (top) to right (bottom).
            rng: source of random numbers; None is torch's global generator.
        """
        draws = as_draws(rng)
        if spatial_idx not in (-1, 0, 1, 2):
            raise ConfigError(f"spatial_idx = {spatial_idx}; legal values: -1, 0, 1, 2")
        if spatial_idx >= 0:
            if self.min_scale != self.max_scale:
                raise ConfigError("a view for testing needs min_scale = max_scale")
            return scaled_uniform_crop(frames, self.crop_size, spatial_idx, None, self.min_scale)[0]
        if self.scale is None or self.aspect_ratio is None:
            frames, _ = random_short_side_scale_jitter(
                frames, self.min_scale, self.max_scale, None, self.inverse_uniform_sampling,
                rng=draws,
            )  # fmt: skip
            frames, _ = random_crop(
                frames, self.crop_size, legacy_offsets=self.legacy_offsets, rng=draws
            )
        else:
            frames = resized_crop(
                frames, self.crop_size, self.crop_size, self.scale, self.aspect_ratio,
                shift=self.motion_shift, rng=draws,
            )  # fmt: skip
        return horizontal_flip(0.5, frames, rng=draws)[0] if self.random_horizontal_flip else frames
