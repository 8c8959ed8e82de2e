"""3-D convolutions made of 2-D ones, for runtimes that have fast kernels for images only.

Frames of a `channels_last_3d` clip lie in memory as a batch of `channels_last` images, and each
frame as a row, so that no value is moved: a view as images is enough.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def _pair(values: Any) -> tuple[int, int]:
    return (int(values[0]), int(values[1]))


def _taps(conv: nn.Conv3d, index: int) -> nn.Conv2d:
    """The spatial convolution of one tap in time, without bias."""
    flat = nn.Conv2d(
        conv.in_channels,
        conv.out_channels,
        _pair(conv.kernel_size[1:]),
        _pair(conv.stride[1:]),
        _pair(conv.padding[1:]),
        _pair(conv.dilation[1:]),
        conv.groups,
        bias=False,
        device=conv.weight.device,
        dtype=conv.weight.dtype,
    )
    with torch.no_grad():
        flat.weight.copy_(conv.weight[:, :, index])
    return flat


class PointwiseConv(nn.Module):
    """A 1x1x1 convolution as one over images of T * H rows."""

    def __init__(self, conv: nn.Conv3d) -> None:
        super().__init__()
        assert conv.kernel_size == (1, 1, 1) and conv.stride == (1, 1, 1)
        self.conv = _taps(conv, 0)
        self.conv.bias = conv.bias

    def forward(self, x: Tensor) -> Tensor:
        """Maps B C T H W to B C' T H W."""
        b, _, t, h, w = x.shape
        out: Tensor = self.conv(x.flatten(2, 3))
        return out.reshape(b, -1, t, h, w)


class TemporalConv(nn.Module):
    """A k x 1 x 1 convolution as one of k x 1 over images of T rows and H * W columns."""

    def __init__(self, conv: nn.Conv3d) -> None:
        super().__init__()
        assert conv.kernel_size[1:] == (1, 1) and conv.stride == (1, 1, 1)
        self.conv = nn.Conv2d(
            conv.in_channels,
            conv.out_channels,
            (conv.kernel_size[0], 1),
            padding=(int(conv.padding[0]), 0),
            dilation=(conv.dilation[0], 1),
            groups=conv.groups,
            bias=False,
            device=conv.weight.device,
            dtype=conv.weight.dtype,
        )
        with torch.no_grad():
            self.conv.weight.copy_(conv.weight[:, :, :, :, 0])
        self.conv.bias = conv.bias

    def forward(self, x: Tensor) -> Tensor:
        """Maps B C T H W to B C' T' H W."""
        b, _, _, h, w = x.shape
        out: Tensor = self.conv(x.flatten(3))
        return out.reshape(b, out.shape[1], out.shape[2], h, w)


class FramewiseConv(nn.Module):
    """A k x h x w convolution as a sum over its k taps in time, each one over images.

    With k = 1 it is one convolution of all frames.
    """

    def __init__(self, conv: nn.Conv3d) -> None:
        super().__init__()
        assert conv.stride[0] == 1 and conv.dilation[0] == 1
        self.taps = nn.ModuleList(_taps(conv, i) for i in range(conv.kernel_size[0]))
        self.padding = int(conv.padding[0])
        self.bias = conv.bias

    def forward(self, x: Tensor) -> Tensor:
        """Maps B C T H W to B C' T' H' W'."""
        b, c, t = x.shape[:3]
        images = x.transpose(1, 2).reshape(b * t, c, x.shape[3], x.shape[4])
        last = t + 2 * self.padding - len(self.taps) + 1
        total: Tensor | None = None
        for index, tap in enumerate(self.taps):
            part = tap(images)
            part = part.reshape(b, t, part.shape[1], part.shape[2], part.shape[3])
            shift = index - self.padding
            # Output frame o takes input frame o + shift of this tap; what lies outside is zero.
            before, after = max(-shift, 0), max(last + shift - t, 0)
            part = part[:, max(shift, 0) : t - max(t - last - shift, 0)]
            if before or after:
                part = F.pad(part, [0, 0, 0, 0, 0, 0, before, after])
            total = part if total is None else total + part
        assert total is not None
        if self.bias is not None:
            total = total + self.bias.reshape(1, 1, -1, 1, 1)
        return total.transpose(1, 2)


def lower_conv3d(conv: nn.Conv3d) -> nn.Module | None:
    """The 2-D form of a convolution, or None where there is none (a step or dilation in time)."""
    if conv.padding_mode != "zeros" or conv.stride[0] != 1 or isinstance(conv.padding, str):
        return None
    if conv.kernel_size == (1, 1, 1) and conv.stride == (1, 1, 1) and not any(conv.padding):
        return PointwiseConv(conv)
    if conv.kernel_size[1:] == (1, 1) and conv.stride == (1, 1, 1) and not any(conv.padding[1:]):
        return TemporalConv(conv)
    return FramewiseConv(conv) if conv.dilation[0] == 1 else None
