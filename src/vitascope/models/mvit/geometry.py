"""From clips to the grid of tokens, and what to say about clips that do not fit it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from vitascope.errors import ConfigError, InputError
from vitascope.models.base import InputSpec, Triple, check_input, describe_input


def _triple(values: Any, first: int) -> Triple:
    numbers = [int(v) for v in values]
    t, h, w = numbers if len(numbers) == 3 else [first, *numbers]
    return t, h, w


@dataclass(frozen=True)
class PatchGeometry:
    """How a clip is cut into tokens.

    Attributes:
        grid: (T, H, W) of the tokens that the model was built for.
        fixed: no other grid fits, because the positions are a table.
        channels: channels of the clip; 0 where tokens come in, or where it is not known.
        image: the patches are two-dimensional.
        kernel: size of a patch; ones where the embedding is not a convolution.
        stride: distance of patches.
        padding: zeros at both ends.
    """

    grid: Triple
    fixed: bool
    channels: int = 0
    image: bool = False
    kernel: Triple = (1, 1, 1)
    stride: Triple = (1, 1, 1)
    padding: Triple = (0, 0, 0)

    @classmethod
    def of(cls, patch_embed: nn.Module | None, positions: nn.Module) -> PatchGeometry:
        """Reads the geometry off the modules.

        Raises:
            ConfigError: `positions` does not tell its grid.
        """
        shape: Any = getattr(positions, "patch_embed_shape", None)
        if shape is None:
            raise ConfigError("cls_positional_encoding needs patch_embed_shape, its grid (T, H, W)")
        grid = _triple(shape() if callable(shape) else shape, 1)
        conv = getattr(patch_embed, "patch_model", None)
        if not isinstance(conv, nn.Conv2d | nn.Conv3d):
            return cls(grid, True)
        assert not isinstance(conv.padding, str)
        return cls(
            grid,
            bool(getattr(positions, "absolute", True)),
            conv.in_channels,
            isinstance(conv, nn.Conv2d),
            _triple(conv.kernel_size, 1),
            _triple(conv.stride, 1),
            _triple(conv.padding, 0),
        )

    def tokens(self, size: Triple) -> Triple:
        """Grid of a clip of `size` (T, H, W)."""
        t, h, w = (
            (n + 2 * p - k) // s + 1
            for n, p, k, s in zip(size, self.padding, self.kernel, self.stride, strict=True)
        )
        return t, h, w

    def inputs(self) -> InputSpec | None:
        """What the model accepts; None where it cannot be told."""
        if not self.channels:
            return None
        smallest = [max(k - 2 * p, 1) for k, p in zip(self.kernel, self.padding, strict=True)]
        t, h, w = smallest
        return InputSpec(channels=(self.channels,), minimum=((t, h, w),))

    def check(self, x: Any, *, values: bool) -> None:
        """Compares a clip with the model.

        Raises:
            InputError: wrong rank, channels or size; the message says what came and what fits.
        """
        spec = self.inputs()
        if spec is None:
            self._check_tokens(x)
            return
        if isinstance(x, list | tuple) and len(x) == 1:
            x = x[0]
        clip = x[:, :, None] if self.image and isinstance(x, Tensor) and x.dim() == 4 else x
        check_input(clip, spec, values=values)
        size = (int(clip.shape[2]), int(clip.shape[3]), int(clip.shape[4]))
        if self.image and size[0] != 1:
            raise InputError(f"an image model takes B C H W or one frame, got {describe_input(x)}")
        if self.fixed and self.tokens(size) != self.grid:
            raise InputError(
                f"clip: T x H x W = {describe_input(clip[0, 0])} gives "
                f"{_shown(self.tokens(size))} patches, but the positions were learned for "
                f"{_shown(self.grid)}, such as a clip of {_shown(self._fitting())}. Scale and cut "
                f"the clip, or build the model for this size."
            )

    def _fitting(self) -> Triple:
        t, h, w = (n * s for n, s in zip(self.grid, self.stride, strict=True))
        return t, h, w

    def _check_tokens(self, x: Any) -> None:
        if self.kernel != (1, 1, 1) or not isinstance(x, Tensor):
            return
        if x.dim() == 3 and x.shape[1] != math.prod(self.grid):
            raise InputError(
                f"expected B N C with {math.prod(self.grid)} tokens "
                f"({_shown(self.grid)}), got {describe_input(x)}"
            )


def _shown(size: Triple) -> str:
    return "x".join(map(str, size))
