"""Stems: the first layers of a network."""

from __future__ import annotations

from torch import Tensor, nn


class ResNetBasicStem(nn.Module):
    """Convolution, norm, activation and pooling, each but the first optional.

    Args:
        conv: convolution.
        norm: norm.
        activation: activation.
        pool: pooling.
    """

    def __init__(
        self,
        *,
        conv: nn.Module | None = None,
        norm: nn.Module | None = None,
        activation: nn.Module | None = None,
        pool: nn.Module | None = None,
    ) -> None:
        super().__init__()
        if conv is None:
            raise ValueError("a stem needs conv")
        self.conv = conv
        self.norm = norm
        self.activation = activation
        self.pool = pool

    def forward(self, x: Tensor) -> Tensor:
        """Maps B C T H W to B C' T' H' W'."""
        x = self.conv(x)
        if self.norm is not None:
            x = self.norm(x)
        if self.activation is not None:
            x = self.activation(x)
        if self.pool is not None:
            x = self.pool(x)
        return x
