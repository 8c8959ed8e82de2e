"""Squeeze-and-excitation (arXiv:1709.01507): channels weighted by what is in the whole clip."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn


class SqueezeExcitation(nn.Module):
    """Scales each channel by a number in (0, 1) computed from the means of all channels.

    State-dict names are `block.0` (reduction) and `block.2` (expansion).

    Args:
        num_channels: channels C of the input.
        num_channels_reduced: channels of the hidden layer; None takes C / reduction_ratio.
        reduction_ratio: divides C where `num_channels_reduced` is None.
        is_3d: B C T H W instead of B C H W.
        activation: module of the hidden layer; None is ReLU.
    """

    def __init__(
        self,
        num_channels: int,
        num_channels_reduced: int | None = None,
        reduction_ratio: float = 2.0,
        is_3d: bool = False,
        activation: nn.Module | None = None,
    ) -> None:
        super().__init__()
        reduced = num_channels_reduced or int(num_channels // reduction_ratio)
        conv: Callable[..., nn.Module] = nn.Conv3d if is_3d else nn.Conv2d
        self.is_3d = is_3d
        self.block = nn.Sequential(
            conv(num_channels, reduced, kernel_size=1, bias=True),
            nn.ReLU() if activation is None else activation,
            conv(reduced, num_channels, kernel_size=1, bias=True),
            nn.Sigmoid(),
        )

    def forward(self, input_tensor: Tensor) -> Tensor:
        """Weights the channels of B C T H W (B C H W for images)."""
        dims = [2, 3, 4] if self.is_3d else [2, 3]
        scale: Tensor = self.block(input_tensor.mean(dims, keepdim=True))
        return input_tensor * scale
