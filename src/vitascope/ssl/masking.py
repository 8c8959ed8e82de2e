"""Which tokens a model does not see."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from vitascope.errors import InputError


class Masking(NamedTuple):
    """Tokens in an order of their own, of which the first are kept.

    Attributes:
        kept: positions of the kept tokens, B K.
        restore: for each position its place in that order, B N.
        hidden: which tokens are hidden, B N, boolean.
    """

    kept: Tensor
    restore: Tensor
    hidden: Tensor

    def take(self, tokens: Tensor) -> Tensor:
        """The kept tokens of B N C: B K C."""
        return tokens.gather(1, self.kept[..., None].expand(-1, -1, tokens.shape[2]))

    def fill(self, tokens: Tensor, blank: Tensor) -> Tensor:
        """Puts kept tokens B K C back in place, `blank` (1 1 C) in all others: B N C."""
        missing = self.restore.shape[1] - tokens.shape[1]
        blanks = blank.to(tokens.dtype).expand(len(tokens), missing, -1)
        ordered = torch.cat([tokens, blanks], dim=1)
        return ordered.gather(1, self.restore[..., None].expand(-1, -1, tokens.shape[2]))


def by_noise(noise: Tensor, keep: int) -> Masking:
    """Keeps the tokens of the smallest noise.

    Equal noise, such as that of a mask of zeros and ones, keeps the order of positions.

    Args:
        noise: B N.
        keep: tokens to keep.

    Raises:
        InputError: fewer than 2 tokens, or more than there are.
    """
    if not 2 <= keep <= noise.shape[1]:
        raise InputError(
            f"{keep} of {noise.shape[1]} tokens would be kept; a model needs 2 or more. Hide less"
        )
    order = torch.argsort(noise, dim=1, stable=True)
    restore = torch.argsort(order, dim=1)
    return Masking(order[:, :keep], restore, restore >= keep)


def random_noise(batch: int, grid: tuple[int, int, int], tube: bool, like: Tensor) -> Tensor:
    """Noise for each token of a grid (T, H, W): B N.

    Args:
        batch: clips.
        grid: (T, H, W) of the tokens.
        tube: the same noise in every frame.
        like: gives the device.
    """
    t, h, w = grid
    noise = torch.rand(batch, 1 if tube else t, h * w, device=like.device)
    return noise.expand(-1, t, -1).reshape(batch, -1)


def resize_mask(mask: Tensor, size: tuple[int, int]) -> Tensor:
    """A mask B T H W in another size (H, W), by the nearest position."""
    return mask if tuple(mask.shape[2:]) == size else F.interpolate(mask, size=size)
