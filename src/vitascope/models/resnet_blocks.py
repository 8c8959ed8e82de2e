"""Residual branches of the ResNet family."""

from __future__ import annotations

from torch import Tensor, nn


class BottleneckBlock(nn.Module):
    """Three convolutions (a, b, c), each but the last followed by norm and activation.

    Args:
        conv_a: first convolution.
        norm_a: norm after it.
        act_a: activation after it.
        conv_b: second convolution.
        norm_b: norm after it.
        act_b: activation after it.
        conv_c: third convolution.
        norm_c: norm after it, which starts at 0.
    """

    def __init__(
        self,
        *,
        conv_a: nn.Module | None = None,
        norm_a: nn.Module | None = None,
        act_a: nn.Module | None = None,
        conv_b: nn.Module | None = None,
        norm_b: nn.Module | None = None,
        act_b: nn.Module | None = None,
        conv_c: nn.Module | None = None,
        norm_c: nn.Module | None = None,
    ) -> None:
        super().__init__()
        if conv_a is None or conv_b is None or conv_c is None:
            raise ValueError("a bottleneck needs conv_a, conv_b and conv_c")
        self.conv_a = conv_a
        self.norm_a = norm_a
        self.act_a = act_a
        self.conv_b = conv_b
        self.norm_b = norm_b
        self.act_b = act_b
        self.conv_c = conv_c
        self.norm_c = norm_c

    def forward(self, x: Tensor) -> Tensor:
        """Maps B C T H W to B C' T' H' W'."""
        x = self.conv_a(x)
        if self.norm_a is not None:
            x = self.norm_a(x)
        if self.act_a is not None:
            x = self.act_a(x)
        x = self.conv_b(x)
        if self.norm_b is not None:
            x = self.norm_b(x)
        if self.act_b is not None:
            x = self.act_b(x)
        x = self.conv_c(x)
        if self.norm_c is not None:
            x = self.norm_c(x)
        return x
