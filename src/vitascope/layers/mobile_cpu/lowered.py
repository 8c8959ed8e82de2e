"""3-D convolutions made of 2-D ones, for runtimes that have fast kernels for images only.

Frames of a `channels_last_3d` clip lie in memory as a batch of `channels_last` images, and each
frame as a row, so that no value is moved: a view as images is enough.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.ao.nn.intrinsic import ConvReLU2d, ConvReLU3d
from torch.ao.nn.quantized import FloatFunctional
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
        flat = _taps(conv, 0)
        flat.bias = conv.bias
        self.conv: nn.Module = flat

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
        flat = nn.Conv2d(
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
            flat.weight.copy_(conv.weight[:, :, :, :, 0])
        flat.bias = conv.bias
        self.conv: nn.Module = flat

    def forward(self, x: Tensor) -> Tensor:
        """Maps B C T H W to B C' T' H W."""
        b, _, _, h, w = x.shape
        out: Tensor = self.conv(x.flatten(3))
        return out.reshape(b, out.shape[1], out.shape[2], h, w)


class FramewiseConv(nn.Module):
    """A k x h x w convolution as a sum over its k taps in time, each one over images.

    With k = 1 it is one convolution of all frames. The sums are modules, so that quantization can
    measure and replace them like the convolutions.
    """

    def __init__(self, conv: nn.Conv3d) -> None:
        super().__init__()
        assert conv.stride[0] == 1 and conv.dilation[0] == 1
        taps = [_taps(conv, i) for i in range(conv.kernel_size[0])]
        taps[0].bias = conv.bias  # added once
        self.taps = nn.ModuleList(taps)
        self.sums = nn.ModuleList(FloatFunctional() for _ in taps[1:])
        self.padding = int(conv.padding[0])
        self.relu = False

    def fuse_relu(self) -> None:
        """Makes max(result, 0) a part of the last step."""
        self.relu = len(self.taps) > 1
        if not self.relu:
            self.taps[0] = _with_relu(self.taps[0])

    def forward(self, x: Tensor) -> Tensor:
        """Maps B C T H W to B C' T' H' W'."""
        frames = x.transpose(1, 2)
        if self.padding:
            frames = F.pad(frames, [0, 0, 0, 0, 0, 0, self.padding, self.padding])
        count = frames.shape[1] - len(self.taps) + 1
        total = self._tap(0, frames[:, :count])
        for index in range(1, len(self.taps)):
            part = self._tap(index, frames[:, index : index + count])
            join: Any = self.sums[index - 1]
            last = self.relu and index == len(self.taps) - 1
            total = join.add_relu(total, part) if last else join.add(total, part)
        return total.reshape(x.shape[0], count, *total.shape[1:]).transpose(1, 2)

    def _tap(self, index: int, frames: Tensor) -> Tensor:
        """One tap over frames B T C H W, as images B*T C' H' W'."""
        out: Tensor = self.taps[index](frames.reshape(-1, *frames.shape[2:]))
        return out


def fuse_relu(conv: nn.Module) -> nn.Module:
    """A convolution, in 3-D or lowered, with max(result, 0) as a part of it.

    In int8 this keeps half a bit and more: the range of what is below 0 is not spent.
    """
    if isinstance(conv, PointwiseConv | TemporalConv):
        conv.conv = _with_relu(conv.conv)
    elif isinstance(conv, FramewiseConv):
        conv.fuse_relu()
    else:
        return _with_relu(conv)
    return conv


def _with_relu(conv: nn.Module) -> nn.Module:
    kind: Any = ConvReLU2d if isinstance(conv, nn.Conv2d) else ConvReLU3d
    fused: nn.Module = kind(conv, nn.ReLU())
    return fused


def lower_conv3d(conv: nn.Conv3d) -> nn.Module | None:
    """The 2-D form of a convolution, or None where there is none (a step or dilation in time)."""
    if conv.padding_mode != "zeros" or conv.stride[0] != 1 or isinstance(conv.padding, str):
        return None
    if conv.kernel_size == (1, 1, 1) and conv.stride == (1, 1, 1) and not any(conv.padding):
        return PointwiseConv(conv)
    if conv.kernel_size[1:] == (1, 1) and conv.stride == (1, 1, 1) and not any(conv.padding[1:]):
        return TemporalConv(conv)
    return FramewiseConv(conv) if conv.dilation[0] == 1 else None
