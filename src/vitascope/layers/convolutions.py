"""Convolutions over time and space: depthwise, factorised, and sums of several."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from vitascope.errors import ConfigError
from vitascope.layers.batch_norm import ModuleFactory, make_activation, make_norm
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
            raise ConfigError("Conv2plus1d needs both conv_t and conv_xy")
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


def make_conv3d(
    conv: Callable[..., nn.Module],
    in_channels: int,
    out_channels: int,
    *,
    kernel_size: int | Sequence[int],
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
    bias: bool = False,
) -> nn.Module:
    """Builds `conv(...)`; a depthwise `nn.Conv3d` comes from `depthwise_conv3d`.

    Args:
        conv: class or function of a convolution.
        in_channels: channels of the input.
        out_channels: channels of the result.
        kernel_size: size (T, H, W).
        stride: step (T, H, W).
        padding: zeros at both ends (T, H, W).
        dilation: distance of the taps (T, H, W).
        groups: channel groups.
        bias: whether to add a number to each channel.
    """
    shape = [_triple(v) for v in (kernel_size, stride, padding, dilation)]
    if conv is nn.Conv3d and groups == in_channels == out_channels and groups > 1:
        kernel, step, zeros, apart = shape
        return depthwise_conv3d(
            groups, kernel, stride=step, padding=zeros, dilation=apart, bias=bias
        )
    kwargs: dict[str, Any] = {"kernel_size": shape[0], "stride": shape[1], "padding": shape[2]}
    # Left out at their neutral values, so that a `conv` which does not know them can be injected.
    if shape[3] != (1, 1, 1):
        kwargs["dilation"] = shape[3]
    if groups != 1:
        kwargs["groups"] = groups
    return conv(in_channels, out_channels, bias=bias, **kwargs)


def _triple(value: int | Sequence[int]) -> Triple:
    if isinstance(value, int):
        return (value, value, value)
    t, h, w = value
    return (t, h, w)


def create_conv_2plus1d(
    *,
    in_channels: int,
    out_channels: int,
    inner_channels: int | None = None,
    conv_xy_first: bool = False,
    kernel_size: Triple = (3, 3, 3),
    stride: Triple = (2, 2, 2),
    padding: Triple = (1, 1, 1),
    bias: bool = False,
    dilation: Triple = (1, 1, 1),
    groups: int = 1,
    norm: ModuleFactory | None = nn.BatchNorm3d,
    norm_eps: float = 1e-5,
    norm_momentum: float = 0.1,
    activation: ModuleFactory | None = nn.ReLU,
) -> Conv2plus1d:
    """Builds a convolution over time and one over space that stand for one over both.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the result.
        inner_channels: channels between the two; None takes `out_channels`.
        conv_xy_first: space before time (the paper's order); False is time before space.
        kernel_size: size (T, H, W) of both together.
        stride: step (T, H, W) of both together.
        padding: zeros at both ends (T, H, W).
        bias: whether to add a number to each channel.
        dilation: distance of the taps (T, H, W).
        groups: channel groups of both.
        norm: norm class between the two, None for none.
        norm_eps: its epsilon.
        norm_momentum: its momentum.
        activation: activation class between the two, None for none.
    """
    inner = out_channels if inner_channels is None else inner_channels
    to_t, to_xy = (
        ((inner, out_channels), (in_channels, inner))
        if conv_xy_first
        else ((in_channels, inner), (inner, out_channels))
    )
    (kt, kh, kw), (st, sh, sw), (pt, ph, pw), (dt, dh, dw) = kernel_size, stride, padding, dilation
    return Conv2plus1d(
        conv_t=make_conv3d(
            nn.Conv3d,
            *to_t,
            kernel_size=(kt, 1, 1),
            stride=(st, 1, 1),
            padding=(pt, 0, 0),
            dilation=(dt, 1, 1),
            groups=groups,
            bias=bias,
        ),
        norm=make_norm(norm, inner, norm_eps, norm_momentum),
        activation=make_activation(activation),
        conv_xy=make_conv3d(
            nn.Conv3d,
            *to_xy,
            kernel_size=(1, kh, kw),
            stride=(1, sh, sw),
            padding=(0, ph, pw),
            dilation=(1, dh, dw),
            groups=groups,
            bias=bias,
        ),
        conv_xy_first=conv_xy_first,
    )


class ConvReduce3D(nn.Module):
    """Several convolutions of one input, added up or put side by side.

    Args:
        in_channels: channels of the input.
        out_channels: channels of each convolution.
        kernel_size: size (T, H, W) of each convolution.
        stride: step of each; None, for all or as an entry, is 1.
        padding: zeros of each; None is 0, likewise.
        padding_mode: padding mode of each; None is "zeros".
        dilation: dilation of each; None is 1.
        groups: channel groups of each; None is 1.
        bias: bias of each; None is True.
        reduction_method: "sum", or "cat" along the channels.

    Raises:
        ConfigError: another reduction, or an argument with an entry too many or too few.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        out_channels: int,
        kernel_size: Sequence[int | Triple],
        stride: Sequence[int | Triple | None] | None = None,
        padding: Sequence[int | Triple | None] | None = None,
        padding_mode: Sequence[str | None] | None = None,
        dilation: Sequence[int | Triple | None] | None = None,
        groups: Sequence[int | None] | None = None,
        bias: Sequence[bool | None] | None = None,
        reduction_method: str = "sum",
    ) -> None:
        super().__init__()
        if reduction_method not in ("sum", "cat"):
            raise ConfigError(f"reduction_method = {reduction_method!r}; legal values: sum, cat")
        given: dict[str, Sequence[Any] | None] = {
            "stride": stride,
            "padding": padding,
            "padding_mode": padding_mode,
            "dilation": dilation,
            "groups": groups,
            "bias": bias,
        }
        rows: list[dict[str, Any]] = [{} for _ in kernel_size]
        for name, value in given.items():
            if value is not None and len(value) != len(kernel_size):
                raise ConfigError(
                    f"{name} has {len(value)} entries for {len(kernel_size)} convolutions"
                )
            for row, entry in zip(rows, value or (), strict=False):
                if entry is not None:
                    row[name] = entry
        self.reduction_method = reduction_method
        self.convs = nn.ModuleList(
            nn.Conv3d(in_channels, out_channels, kernel, **row)
            for kernel, row in zip(kernel_size, rows, strict=True)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Maps B C T H W to B C' T' H' W'."""
        results = [conv(x) for conv in self.convs]
        if self.reduction_method == "cat":
            return torch.cat(results, dim=1)
        return torch.stack(results, dim=0).sum(dim=0)
