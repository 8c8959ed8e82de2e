"""Transforms as callables: PyTorchVideo's, with the same names, arguments and results.

Clips are C T H W. Random ones take `rng` on the call (see `draws`); without it they draw from
torch's global generator. `torch.jit.script` compiles them (see `scripted`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from vitascope.errors import ConfigError, InputError, UnknownNameError, WrongTypeError
from vitascope.transforms import functional, scripted
from vitascope.transforms.apply import apply_transform
from vitascope.transforms.random_source import RandomSource, as_draws
from vitascope.transforms.spatial import (
    center_crop,
    check_ranges,
    cut,
    frame_size,
    pair,
    random_crop_box,
)

Transform = Callable[..., Any]


class Compose:
    """Transforms one after the other, each with the same source of random numbers."""

    def __init__(self, transforms: Sequence[Transform]) -> None:
        self.transforms = list(transforms)

    def __call__(self, x: Any, *, rng: RandomSource = None) -> Any:
        """Applies all transforms to `x`."""
        for transform in self.transforms:
            x = apply_transform(transform, x, rng)
        return x

    def __repr__(self) -> str:
        return f"Compose({self.transforms})"


class ApplyTransformToKey:
    """Applies a transform to one entry of a sample.

    Args:
        key: name of the entry.
        transform: called with the entry's value.
    """

    def __init__(self, key: str, transform: Transform) -> None:
        self._key, self._transform = key, transform

    def __call__(self, x: dict[str, Any], *, rng: RandomSource = None) -> dict[str, Any]:
        """Replaces the entry and returns the sample.

        Raises:
            UnknownNameError: the sample has no such entry.
        """
        if self._key not in x:
            raise UnknownNameError("entry of the sample", self._key, map(str, x))
        x[self._key] = apply_transform(self._transform, x[self._key], rng)
        return x


class RemoveKey:
    """Removes an entry of a sample; a sample without it stays as it is."""

    def __init__(self, key: str) -> None:
        self._key = key

    def __call__(self, x: dict[str, Any]) -> dict[str, Any]:
        """Removes the entry and returns the sample."""
        x.pop(self._key, None)
        return x


class UniformTemporalSubsample(nn.Module):
    """Evenly spaced frames; see `functional.uniform_temporal_subsample`."""

    def __init__(self, num_samples: int, temporal_dim: int = -3) -> None:
        super().__init__()
        self._num_samples, self._temporal_dim = num_samples, temporal_dim

    def forward(self, x: Tensor) -> Tensor:
        """Takes the frames of a clip C T H W."""
        return functional.uniform_temporal_subsample(x, self._num_samples, self._temporal_dim)


class UniformTemporalSubsampleRepeated(nn.Module):
    """A clip at several frame rates; see `functional.uniform_temporal_subsample_repeated`."""

    def __init__(self, frame_ratios: Sequence[int], temporal_dim: int = -3) -> None:
        super().__init__()
        self._frame_ratios, self._temporal_dim = tuple(frame_ratios), temporal_dim

    def forward(self, x: Tensor) -> list[Tensor]:
        """Gives one clip for each ratio."""
        return functional.uniform_temporal_subsample_repeated(
            x, self._frame_ratios, self._temporal_dim
        )

    def __prepare_scriptable__(self) -> nn.Module:
        return scripted.ScriptedSubsampleRepeated(list(self._frame_ratios), self._temporal_dim)


class ShortSideScale(nn.Module):
    """Scales the short side; see `functional.short_side_scale`."""

    def __init__(
        self, size: int, interpolation: str = "bilinear", backend: str = "pytorch"
    ) -> None:
        super().__init__()
        self._size, self._interpolation, self._backend = size, interpolation, backend

    def forward(self, x: Tensor) -> Tensor:
        """Scales a clip C T H W."""
        return functional.short_side_scale(x, self._size, self._interpolation, self._backend)

    def __prepare_scriptable__(self) -> nn.Module:
        scripted.check_scriptable(self._interpolation, self._backend)
        return scripted.ScriptedShortSideScale(self._size, self._size, self._interpolation, False)


class RandomShortSideScale(nn.Module):
    """Scales the short side to a random size from `min_size` to `max_size`, both included."""

    def __init__(
        self,
        min_size: int,
        max_size: int,
        interpolation: str = "bilinear",
        backend: str = "pytorch",
    ) -> None:
        super().__init__()
        if not 0 < min_size <= max_size:
            raise ConfigError(f"min_size = {min_size}, max_size = {max_size}; 0 < min <= max")
        self._min_size, self._max_size = min_size, max_size
        self._interpolation, self._backend = interpolation, backend

    def forward(self, x: Tensor, *, rng: RandomSource = None) -> Tensor:
        """Scales a clip C T H W."""
        size = as_draws(rng).integer(self._min_size, self._max_size + 1)
        return functional.short_side_scale(x, size, self._interpolation, self._backend)

    def __prepare_scriptable__(self) -> nn.Module:
        scripted.check_scriptable(self._interpolation, self._backend)
        return scripted.ScriptedShortSideScale(
            self._min_size, self._max_size, self._interpolation, True
        )


class UniformCropVideo(nn.Module):
    """Cuts one of three squares out of a sample's clip; the sample says which one.

    Args:
        size: side of the square.
        video_key: entry of the clip C T H W.
        aug_index_key: entry with 0 (left or top), 1 (middle) or 2 (right or bottom).
    """

    def __init__(
        self, size: int, video_key: str = "video", aug_index_key: str = "aug_index"
    ) -> None:
        super().__init__()
        self._size, self._video_key, self._aug_index_key = size, video_key, aug_index_key

    def forward(self, x: dict[str, Any]) -> dict[str, Any]:
        """Replaces the clip and returns the sample."""
        x[self._video_key] = functional.uniform_crop(
            x[self._video_key], self._size, int(x[self._aug_index_key])
        )
        return x

    def __prepare_scriptable__(self) -> nn.Module:
        return scripted.ScriptedUniformCrop(self._size, self._video_key, self._aug_index_key)


class CenterCrop(nn.Module):
    """Cuts the middle out of a clip ... H W."""

    def __init__(self, size: int | tuple[int, int]) -> None:
        super().__init__()
        self._size = size

    def forward(self, x: Tensor) -> Tensor:
        """Cuts a clip."""
        return center_crop(x, self._size)

    def __prepare_scriptable__(self) -> nn.Module:
        return scripted.ScriptedCrop(*pair(self._size), False)


class RandomCrop(nn.Module):
    """Cuts a window at a random place out of a clip ... H W."""

    def __init__(self, size: int | tuple[int, int]) -> None:
        super().__init__()
        self._size = size

    def forward(self, x: Tensor, *, rng: RandomSource = None) -> Tensor:
        """Cuts a clip."""
        return cut(x, random_crop_box(*frame_size(x), self._size, as_draws(rng)))

    def __prepare_scriptable__(self) -> nn.Module:
        return scripted.ScriptedCrop(*pair(self._size), True)


class RandomHorizontalFlip(nn.Module):
    """Mirrors a clip ... H W with probability `p`."""

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        self._p = p

    def forward(self, x: Tensor, *, rng: RandomSource = None) -> Tensor:
        """Mirrors a clip or not."""
        return x.flip(-1) if as_draws(rng).uniform() < self._p else x

    def __prepare_scriptable__(self) -> nn.Module:
        return scripted.ScriptedFlip(self._p)


class Normalize(nn.Module):
    """Subtracts the mean and divides by the standard deviation of each channel of C T H W.

    Args:
        mean: of each channel; one number, or a list of one, is for all channels.
        std: of each channel, above 0, likewise.
        inplace: change the clip that is given.

    Raises:
        ConfigError: lists that do not fit each other, or a standard deviation of 0.
    """

    def __init__(
        self,
        mean: float | Sequence[float] | Tensor,
        std: float | Sequence[float] | Tensor,
        inplace: bool = False,
    ) -> None:
        super().__init__()
        self.mean = _numbers(mean)
        self.std = _numbers(std)
        self.inplace = inplace
        if len({len(self.mean), len(self.std)} - {1}) > 1 or not min(self.std, default=0) > 0:
            raise ConfigError(f"mean = {mean}, std = {std}; one number a channel, std above 0")

    def forward(self, x: Tensor) -> Tensor:
        """Scales a float clip C T H W.

        Raises:
            WrongTypeError: a clip of whole numbers.
            InputError: a clip of another count of channels.
        """
        if not x.is_floating_point():
            raise WrongTypeError(f"Normalize expects a float clip, got {x.dtype}")
        channels = max(len(self.mean), len(self.std))
        if channels != 1 and x.size(0) != channels:
            raise InputError(
                f"Normalize expects a clip of {channels} channels C T H W, got shape {x.shape}"
            )
        shape = [-1] + [1] * (x.dim() - 1)
        mean = torch.tensor(self.mean, dtype=x.dtype, device=x.device).view(shape)
        std = torch.tensor(self.std, dtype=x.dtype, device=x.device).view(shape)
        if self.inplace:
            return x.sub_(mean).div_(std)
        return (x - mean).div_(std)


def _numbers(values: float | Sequence[float] | Tensor) -> list[float]:
    # Programs hand over `video.mean()` and lists of such tensors, too.
    if isinstance(values, Tensor):
        values = values.reshape(-1).tolist()
    return [float(value) for value in ([values] if isinstance(values, int | float) else values)]


class ConvertUint8ToFloat(nn.Module):
    """uint8 from 0 to 255 becomes float from 0 to 1."""

    def forward(self, x: Tensor) -> Tensor:
        """Converts a clip.

        Raises:
            InputError: the clip is not uint8.
        """
        if x.dtype != torch.uint8:
            raise InputError(f"expected uint8, got {x.dtype}")
        return functional.div_255(x)


class ConvertFloatToUint8(nn.Module):
    """Float from 0 to 1 becomes uint8 from 0 to 255, in 256 equal steps."""

    def forward(self, x: Tensor) -> Tensor:
        """Converts a clip; values outside of 0 to 1 become 0 or 255.

        Raises:
            InputError: the clip is not float.
        """
        if not x.is_floating_point():
            raise InputError(f"expected float, got {x.dtype}")
        # 1 belongs to the last of the 256 steps.
        return (x * (256 - 1e-3)).clamp(0, 255).to(torch.uint8)


class Div255(nn.Module):
    """Pixel values from 0..255 to 0..1."""

    def forward(self, x: Tensor) -> Tensor:
        """Divides a clip by 255."""
        return functional.div_255(x)


class Permute(nn.Module):
    """Reorders the dimensions of a clip as torch.permute does."""

    def __init__(self, dims: Sequence[int]) -> None:
        super().__init__()
        if sorted(d % len(dims) for d in dims) != list(range(len(dims))):
            raise ConfigError(f"dims = {tuple(dims)}; each dimension must come once")
        self._dims = tuple(dims)

    def forward(self, x: Tensor) -> Tensor:
        """Reorders a clip."""
        return x.permute(self._dims)


class MoveChannelRear(nn.Module):
    """C T H W becomes T H W C."""

    def forward(self, x: Tensor) -> Tensor:
        """Reorders a clip."""
        return x.permute(1, 2, 3, 0)


class MoveChannelFront(nn.Module):
    """T H W C becomes C T H W."""

    def forward(self, x: Tensor) -> Tensor:
        """Reorders a clip."""
        return x.permute(3, 0, 1, 2)


class OpSampler(nn.Module):
    """Applies some transforms that are drawn from a list.

    Args:
        transforms_list: the transforms.
        transforms_prob: weight of each; None gives all the same.
        num_sample_op: how many are drawn.
        randomly_sample_depth: draw their number from 1 to `num_sample_op`.
        replacement: one transform may be drawn more than once.
    """

    def __init__(
        self,
        transforms_list: Sequence[Transform],
        transforms_prob: Sequence[float] | None = None,
        num_sample_op: int = 1,
        randomly_sample_depth: bool = False,
        replacement: bool = False,
    ) -> None:
        super().__init__()
        weights = [1.0] * len(transforms_list) if transforms_prob is None else transforms_prob
        if not transforms_list or num_sample_op < 1 or len(weights) != len(transforms_list):
            raise ConfigError(
                f"{len(transforms_list)} transforms, {len(weights)} weights, num_sample_op = "
                f"{num_sample_op}; at least one transform, one weight each, at least one draw"
            )
        if min(weights) < 0 or not sum(weights) > 0:
            raise ConfigError(
                f"transforms_prob = {transforms_prob}; weights of at least 0, not all 0"
            )
        possible = sum(w > 0 for w in weights)
        if not replacement and num_sample_op > possible:
            raise ConfigError(
                f"num_sample_op = {num_sample_op} of {possible} transforms needs replacement=True"
            )
        self.transforms_list, self.transforms_prob = list(transforms_list), list(weights)
        self.num_sample_op, self.randomly_sample_depth = num_sample_op, randomly_sample_depth
        self.replacement = replacement

    def forward(self, x: Any, *, rng: RandomSource = None) -> Any:
        """Applies the drawn transforms in the order in which they were drawn."""
        draws = as_draws(rng)
        count = self.num_sample_op
        if self.randomly_sample_depth:
            count = draws.integer(1, count + 1)
        for index in draws.choice(self.transforms_prob, count, self.replacement):
            x = apply_transform(self.transforms_list[index], x, None if rng is None else draws)
        return x


class RandomResizedCrop(nn.Module):
    """Cuts a random window and scales it; see `functional.random_resized_crop`."""

    def __init__(
        self,
        target_height: int,
        target_width: int,
        scale: tuple[float, float],
        aspect_ratio: tuple[float, float],
        shift: bool = False,
        log_uniform_ratio: bool = True,
        interpolation: str = "bilinear",
        num_tries: int = 10,
    ) -> None:
        super().__init__()
        self._target_height, self._target_width = target_height, target_width
        self._scale, self._aspect_ratio = scale, aspect_ratio
        self._shift, self._log_uniform_ratio = shift, log_uniform_ratio
        self._interpolation, self._num_tries = interpolation, num_tries

    def forward(self, x: Tensor, *, rng: RandomSource = None) -> Tensor:
        """Cuts and scales a clip C T H W."""
        return functional.random_resized_crop(
            x,
            self._target_height,
            self._target_width,
            self._scale,
            self._aspect_ratio,
            self._shift,
            self._log_uniform_ratio,
            self._interpolation,
            self._num_tries,
            rng=rng,
        )

    def __prepare_scriptable__(self) -> nn.Module:
        scripted.check_scriptable(self._interpolation)
        check_ranges(self._scale, self._aspect_ratio, self._num_tries)
        return scripted.ScriptedResizedCrop(
            [self._target_height, self._target_width],
            [float(s) for s in self._scale],
            [float(r) for r in self._aspect_ratio],
            self._shift,
            self._log_uniform_ratio,
            self._interpolation,
            self._num_tries,
        )
