"""Pooling of the tokens of an attention over time and space (arXiv:2104.11227)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vitascope.errors import ConfigError
from vitascope.layers.convolutions import depthwise_conv3d

Triple = tuple[int, int, int]
POOL_MODES = ("conv", "conv_unshared", "avg", "max")


def _triple(values: Sequence[int]) -> Triple:
    t, h, w = values
    return int(t), int(h), int(w)


def is_pooling(kernel: Sequence[int] | None, stride: Sequence[int] | None) -> bool:
    """Whether a window and a step do anything; no window, or ones throughout, do nothing."""
    if kernel is None or len(kernel) == 0:
        return False
    return any(k != 1 for k in kernel) or any(s != 1 for s in stride or ())


class _Window(nn.Module):
    """Average or largest value in a window, with padding.

    torch refuses a window larger than the input even where the padding makes room for it, so the
    padding is a step of its own there.
    """

    __constants__: ClassVar[list[str]] = ["largest"]

    def __init__(self, kernel: Triple, stride: Triple, padding: Triple, largest: bool) -> None:
        super().__init__()
        self.kernel_size, self.stride, self.padding = kernel, stride, padding
        self.largest = largest

    def forward(self, x: Tensor) -> Tensor:
        t, h, w = self.padding
        small = (
            x.shape[2] < self.kernel_size[0]
            or x.shape[3] < self.kernel_size[1]
            or x.shape[4] < self.kernel_size[2]
        )
        if small:
            fill = float("-inf") if self.largest else 0.0
            x = F.pad(x, [w, w, h, h, t, t], value=fill)
            t, h, w = 0, 0, 0
        if self.largest:
            return F.max_pool3d(x, self.kernel_size, self.stride, [t, h, w])
        return F.avg_pool3d(x, self.kernel_size, self.stride, [t, h, w])

    def extra_repr(self) -> str:
        kind = "max" if self.largest else "avg"
        return f"{kind}, kernel={self.kernel_size}, stride={self.stride}, padding={self.padding}"


def make_window(kernel: Sequence[int], stride: Sequence[int], *, largest: bool) -> nn.Module:
    """Builds the pooling of a window, padded by half of it."""
    t, h, w = kernel
    return _Window(_triple(kernel), _triple(stride), (t // 2, h // 2, w // 2), largest)


def make_pool(
    mode: str, channels: int, kernel: Sequence[int], stride: Sequence[int], *, depthwise: bool
) -> nn.Module:
    """Builds the pooling of queries, keys or values, padded by half of the kernel.

    Args:
        mode: "conv" (learned, shared by the heads), "conv_unshared" (learned, each head its own),
            "avg" or "max".
        channels: channels of a learned pooling.
        kernel: window (T, H, W).
        stride: step (T, H, W).
        depthwise: a learned pooling mixes no channels.

    Raises:
        ConfigError: another mode.
    """
    if mode not in POOL_MODES:
        raise ConfigError(f"pool_mode = {mode!r}; legal values: {', '.join(POOL_MODES)}")
    if mode in ("avg", "max"):
        return make_window(kernel, stride, largest=mode == "max")
    size, step = _triple(kernel), _triple(stride)
    padding = (size[0] // 2, size[1] // 2, size[2] // 2)
    if depthwise:
        return depthwise_conv3d(channels, size, stride=step, padding=padding)
    return nn.Conv3d(channels, channels, size, step, padding, bias=False)


class TokenPool(nn.Module):
    """Pools tokens over time and space; a class token in front stays as it is.

    Args:
        pool: pooling of a map B C T H W; None changes nothing. A convolution whose channels are a
            fraction of the tokens' width is shared by the heads.
        has_cls_embed: the first token is a class token.
        norm: norm over the channels of a head. It follows the pooling and takes in the class
            token; a BatchNorm3d (or an Identity) comes before the pooling, leaves out the class
            token, and is followed by GELU.
    """

    __constants__: ClassVar[list[str]] = ["has_cls_embed", "norm_first", "learned", "channels"]

    def __init__(
        self, pool: nn.Module | None, has_cls_embed: bool, norm: nn.Module | None = None
    ) -> None:
        super().__init__()
        self.has_cls_embed = has_cls_embed
        self.pool = pool
        self.norm = norm
        self.norm_first = isinstance(norm, nn.BatchNorm3d | nn.Identity)
        self.learned = isinstance(pool, nn.Conv3d)
        self.channels = pool.in_channels if isinstance(pool, nn.Conv3d) else 0

    def forward(self, x: Tensor, thw_shape: list[int]) -> tuple[Tensor, list[int]]:
        """Pools tokens B N C of a grid (T, H, W); returns them with the new grid."""
        if self.pool is None:
            return x, thw_shape
        cls = x[:, :1]
        if self.has_cls_embed:
            x = x[:, 1:]
        batch, _, width = x.shape
        heads = width // self.channels if self.learned else 1
        if self.norm is not None and self.norm_first:
            channels = x.reshape(-1, width // heads, 1, 1, 1)
            x = F.gelu(self.norm(channels)).view(x.shape)
        # Heads are folded into the batch: the kernel of a learned pooling is the same for each.
        t, h, w = thw_shape[0], thw_shape[1], thw_shape[2]
        maps = x.reshape(batch, t, h, w, heads, width // heads).permute(0, 4, 5, 1, 2, 3)
        maps = self.pool(maps.flatten(0, 1))
        shape = [maps.shape[2], maps.shape[3], maps.shape[4]]
        maps = maps.reshape(batch, width, -1)
        x = maps.transpose(1, 2)
        x = torch.cat([cls, x], dim=1) if self.has_cls_embed else x.contiguous()
        if self.norm is not None and not self.norm_first:
            x = self.norm(x.reshape(batch, -1, heads, width // heads)).flatten(2)
        return x, shape


NormFactory = Callable[[int], nn.Module]
