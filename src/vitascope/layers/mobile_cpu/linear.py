"""Linear layers."""

from __future__ import annotations

from torch import nn

from vitascope.layers.mobile_cpu.base import NoOpConvertBlock


class FullyConnected(NoOpConvertBlock):
    """A linear layer, deployed as it is.

    Args:
        in_features: width of the input.
        out_features: width of the result.
        bias: whether a number is added to each output.
    """

    def __init__(self, in_features: int, out_features: int, bias: bool = True) -> None:
        super().__init__(nn.Linear(in_features, out_features, bias=bias))
