"""What `torch.jit.script` compiles in place of a transform: the same steps in its subset of Python.

A compiled transform has no `rng`: it draws from torch's global generator, in the order of
`draws.TorchDraws`, so that one seed gives the same result either way. Sizes and names are checked
when the transform is made, as the subset has no formatted messages.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vitascope.errors import ConfigError


def check_scriptable(interpolation: str, backend: str = "pytorch") -> None:
    """Raises `ConfigError` for what cannot be compiled or does not exist."""
    if backend != "pytorch":
        raise ConfigError(f"backend = {backend!r} cannot be compiled; legal value: pytorch")
    if interpolation not in ("nearest", "bilinear", "bicubic", "area"):
        raise ConfigError(
            f"interpolation = {interpolation!r}; legal values: nearest, bilinear, bicubic, area"
        )


def scripted_scale(x: Tensor, height: int, width: int, interpolation: str) -> Tensor:
    """`spatial.scale_to` for clips C T H W."""
    if x.size(-2) == height and x.size(-1) == width:
        return x
    planes = x if x.is_floating_point() else x.float()
    corners = False if interpolation == "bilinear" or interpolation == "bicubic" else None
    scaled = F.interpolate(planes, [height, width], mode=interpolation, align_corners=corners)
    if not x.is_floating_point():
        scaled = scaled.round().clamp(0, 255).to(x.dtype)
    return scaled


def scripted_short_side(x: Tensor, size: int, interpolation: str) -> Tensor:
    """`spatial.short_side_scale` for clips C T H W."""
    height, width = x.size(-2), x.size(-1)
    if width < height:
        return scripted_scale(x, height * size // width, size, interpolation)
    return scripted_scale(x, size, width * size // height, interpolation)


def scripted_uniform(low: float, high: float) -> float:
    """`TorchDraws.uniform`."""
    return low + (high - low) * float(torch.rand(1).item())


def scripted_integer(low: int, high: int) -> int:
    """`TorchDraws.integer`."""
    return int(torch.randint(low, high, (1,)).item())


def scripted_round(x: float) -> int:
    """Python's `round`: halves go to the even neighbor."""
    low = math.floor(x)
    rest = x - low
    if rest > 0.5 or (rest == 0.5 and low % 2 == 1):
        return low + 1
    return low


class ScriptedSubsampleRepeated(nn.Module):
    """`UniformTemporalSubsampleRepeated`, compiled."""

    def __init__(self, frame_ratios: list[int], temporal_dim: int) -> None:
        super().__init__()
        self.frame_ratios = frame_ratios
        self.temporal_dim = temporal_dim

    def forward(self, x: Tensor) -> list[Tensor]:
        """Gives one clip for each ratio."""
        count = x.size(self.temporal_dim)
        clips: list[Tensor] = []
        for ratio in self.frame_ratios:
            samples = count // ratio
            assert samples > 0, "too few frames for frame_ratios"
            last = samples - 1 if samples > 1 else 1
            indices = torch.arange(samples, device=x.device) * (count - 1) // last
            clips.append(x.index_select(self.temporal_dim, indices))
        return clips


class ScriptedShortSideScale(nn.Module):
    """`ShortSideScale` and, with two sizes, `RandomShortSideScale`, compiled."""

    def __init__(self, min_size: int, max_size: int, interpolation: str, random: bool) -> None:
        super().__init__()
        self.min_size = min_size
        self.max_size = max_size
        self.interpolation = interpolation
        self.random = random

    def forward(self, x: Tensor) -> Tensor:
        """Scales a clip C T H W."""
        size = self.min_size
        if self.random:
            size = scripted_integer(self.min_size, self.max_size + 1)
        return scripted_short_side(x, size, self.interpolation)


class ScriptedUniformCrop(nn.Module):
    """`UniformCropVideo`, compiled: every entry of the sample is a tensor."""

    def __init__(self, size: int, video_key: str, aug_index_key: str) -> None:
        super().__init__()
        self.size = size
        self.video_key = video_key
        self.aug_index_key = aug_index_key

    def forward(self, x: dict[str, Tensor]) -> dict[str, Tensor]:
        """Replaces the clip and returns the sample."""
        video, index = x[self.video_key], int(x[self.aug_index_key])
        height, width = video.size(-2), video.size(-1)
        assert 0 <= index <= 2, "the index of the crop must be 0, 1 or 2"
        assert self.size <= height and self.size <= width, "the crop does not fit into the frames"
        top, left = (height - self.size + 1) // 2, (width - self.size + 1) // 2
        if height > width and index != 1:
            top = 0 if index == 0 else height - self.size
        elif height <= width and index != 1:
            left = 0 if index == 0 else width - self.size
        x[self.video_key] = video[..., top : top + self.size, left : left + self.size]
        return x


class ScriptedCrop(nn.Module):
    """`CenterCrop` and `RandomCrop`, compiled."""

    def __init__(self, height: int, width: int, random: bool) -> None:
        super().__init__()
        self.height = height
        self.width = width
        self.random = random

    def forward(self, x: Tensor) -> Tensor:
        """Cuts a clip ... H W."""
        down, right = x.size(-2) - self.height, x.size(-1) - self.width
        assert down >= 0 and right >= 0, "the crop does not fit into the frames"
        if self.random:
            top = scripted_integer(0, down + 1) if down > 0 else 0
            left = scripted_integer(0, right + 1) if right > 0 else 0
        else:
            top, left = scripted_round(down / 2), scripted_round(right / 2)
        return x[..., top : top + self.height, left : left + self.width]


class ScriptedFlip(nn.Module):
    """`RandomHorizontalFlip`, compiled."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        """Mirrors a clip or not."""
        return x.flip(-1) if scripted_uniform(0.0, 1.0) < self.p else x


class ScriptedResizedCrop(nn.Module):
    """`RandomResizedCrop`, compiled."""

    def __init__(
        self,
        size: list[int],
        scale: list[float],
        ratio: list[float],
        shift: bool,
        log_uniform_ratio: bool,
        interpolation: str,
        num_tries: int,
    ) -> None:
        super().__init__()
        self.target_height, self.target_width = size
        self.low_scale, self.high_scale = min(scale), max(scale)
        self.low_ratio, self.high_ratio = min(ratio), max(ratio)
        self.shift = shift
        self.log_uniform_ratio = log_uniform_ratio
        self.interpolation = interpolation
        self.num_tries = num_tries

    def box(self, height: int, width: int) -> list[int]:
        """`spatial.random_resized_box`: top, left, height, width."""
        for _ in range(self.num_tries):
            area = scripted_uniform(self.low_scale, self.high_scale) * height * width
            if self.log_uniform_ratio:
                low, high = math.log(self.low_ratio), math.log(self.high_ratio)
                aspect = math.exp(scripted_uniform(low, high))
            else:
                aspect = scripted_uniform(self.low_ratio, self.high_ratio)
            w = scripted_round(math.sqrt(area * aspect))
            h = scripted_round(math.sqrt(area / aspect))
            if 0 < w <= width and 0 < h <= height:
                top = scripted_integer(0, height - h + 1)
                return [top, scripted_integer(0, width - w + 1), h, w]
        h, w = height, width
        if width / height < self.low_ratio:
            h = scripted_round(width / self.low_ratio)
        elif width / height > self.high_ratio:
            w = scripted_round(height * self.high_ratio)
        return [(height - h) // 2, (width - w) // 2, h, w]

    def cut(self, x: Tensor, box: list[int]) -> Tensor:
        """Cuts a window and scales it."""
        window = x[..., box[0] : box[0] + box[2], box[1] : box[1] + box[3]]
        return scripted_scale(window, self.target_height, self.target_width, self.interpolation)

    def forward(self, x: Tensor) -> Tensor:
        """Cuts and scales a clip C T H W."""
        first = self.box(x.size(-2), x.size(-1))
        if not self.shift:
            return self.cut(x, first)
        last = self.box(x.size(-2), x.size(-1))
        count = x.size(1)
        paths: list[Tensor] = []
        for i in range(4):
            paths.append(torch.linspace(float(first[i]), float(last[i]), count).long())
        frames: list[Tensor] = []
        for t in range(count):
            box = [int(path[t]) for path in paths]
            frames.append(self.cut(x[:, t : t + 1], box))
        return torch.cat(frames, 1)
