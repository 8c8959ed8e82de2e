"""Convolutions over time and space: depthwise, factorised, and sums of several."""

from __future__ import annotations

from torch import Tensor, nn

from vitascope.layers.depthwise import DepthwiseConv3d

Triple = tuple[int, int, int]


def depthwise_conv3d(
    channels: int,
    kernel_size: int | Triple,
    *,
    stride: int | Triple = 1,
    padding: int | Triple = 0,
    dilation: int | Triple = 1,
    bias: bool = False,
) -> nn.Conv3d:
    """A 3-D convolution with one filter a channel: the one place where such layers are made.

    Args:
        channels: channels C of input and output.
        kernel_size: size (T, H, W).
        stride: step (T, H, W).
        padding: zeros at both ends (T, H, W).
        dilation: distance of the taps (T, H, W).
        bias: whether to add a number to each channel.

    Returns:
        A `Conv3d` (or a faster subclass with the same parameters and state-dict names).
    """
    if dilation in (1, (1, 1, 1)):
        return DepthwiseConv3d(channels, kernel_size, stride, padding, bias)
    return nn.Conv3d(
        channels, channels, kernel_size, stride, padding, dilation, groups=channels, bias=bias
    )


class Conv2plus1d(nn.Module):
    """Two convolutions in a row, with norm and activation between them (arXiv:1711.11248).

    Args:
        conv_t: a convolution, the first unless `conv_xy_first`.
        norm: norm between the two.
        activation: activation between the two.
        conv_xy: the other convolution.
        conv_xy_first: run `conv_xy` first.

    The names say what the parts are in R(2+1)D (temporal, spatial). In X3D's stem `conv_t` holds
    the spatial convolution and `conv_xy` the temporal one: names of published weights.
    """

    def __init__(
        self,
        *,
        conv_t: nn.Module | None = None,
        norm: nn.Module | None = None,
        activation: nn.Module | None = None,
        conv_xy: nn.Module | None = None,
        conv_xy_first: bool = False,
    ) -> None:
        super().__init__()
        if conv_t is None or conv_xy is None:
            raise ValueError("Conv2plus1d needs both conv_t and conv_xy")
        self.conv_t = conv_t
        self.norm = norm
        self.activation = activation
        self.conv_xy = conv_xy
        self.conv_xy_first = conv_xy_first

    def forward(self, x: Tensor) -> Tensor:
        """Maps B C T H W to B C' T' H' W'."""
        x = self.conv_xy(x) if self.conv_xy_first else self.conv_t(x)
        if self.norm is not None:
            x = self.norm(x)
        if self.activation is not None:
            x = self.activation(x)
        x = self.conv_t(x) if self.conv_xy_first else self.conv_xy(x)
        return x
