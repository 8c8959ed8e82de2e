"""Non-local blocks (arXiv:1711.07971): attention between all positions of a clip."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from vitascope.errors import ConfigError
from vitascope.layers.batch_norm import ModuleFactory, make_norm, mark_final_norm

INSTANTIATIONS = ("dot_product", "softmax")


class NonLocal(nn.Module):
    """x plus a weighted mean of the features at all positions.

    Args:
        conv_theta: 1x1x1 convolution to the queries.
        conv_phi: 1x1x1 convolution to the keys.
        conv_g: 1x1x1 convolution to the values.
        conv_out: 1x1x1 convolution back to the channels of x.
        pool: pooling of what keys and values see.
        norm: norm of the result.
        instantiation: "softmax" weights by a softmax over the positions, "dot_product" by the
            products divided by the number of positions.
        group: parts of a clip, one after the other in time, that do not see each other; the
            number of frames must be a multiple of it.

    Raises:
        ConfigError: another instantiation, or a convolution that is None.
    """

    def __init__(
        self,
        *,
        conv_theta: nn.Module,
        conv_phi: nn.Module,
        conv_g: nn.Module,
        conv_out: nn.Module,
        pool: nn.Module | None = None,
        norm: nn.Module | None = None,
        instantiation: str = "dot_product",
        group: int = 1,
    ) -> None:
        super().__init__()
        if instantiation not in INSTANTIATIONS:
            raise ConfigError(
                f"instantiation = {instantiation!r}; legal values: {', '.join(INSTANTIATIONS)}"
            )
        if None in (conv_theta, conv_phi, conv_g, conv_out):
            raise ConfigError("NonLocal needs conv_theta, conv_phi, conv_g and conv_out")
        self.conv_theta = conv_theta
        self.conv_phi = conv_phi
        self.conv_g = conv_g
        self.conv_out = conv_out
        self.pool = pool
        self.norm = norm
        self.instantiation = instantiation
        self.group = group

    def forward(self, x: Tensor) -> Tensor:
        """Maps B C T H W to B C T H W."""
        if self.group == 1:
            return self.attend(x)
        b, c, t, h, w = x.shape
        parts = x.transpose(1, 2).reshape(b * self.group, t // self.group, c, h, w)
        out = self.attend(parts.transpose(1, 2))
        return out.transpose(1, 2).reshape(b, t, c, h, w).transpose(1, 2)

    def attend(self, x: Tensor) -> Tensor:
        """`forward` for clips that are seen whole."""
        theta = self.conv_theta(x)
        pooled = x if self.pool is None else self.pool(x)
        queries = theta.flatten(2).transpose(1, 2)
        keys = self.conv_phi(pooled).flatten(2)
        values = self.conv_g(pooled).flatten(2)
        weights = torch.bmm(queries, keys)
        if self.instantiation == "softmax":
            weights = torch.softmax(weights * theta.shape[1] ** -0.5, dim=2)
        else:
            weights = weights / weights.shape[2]
        mean = torch.bmm(weights, values.transpose(1, 2)).transpose(1, 2)
        out: Tensor = self.conv_out(mean.reshape(theta.shape))
        if self.norm is not None:
            out = self.norm(out)
        return x + out


def create_nonlocal(
    *,
    dim_in: int,
    dim_inner: int,
    pool_size: Sequence[int] | None = (1, 1, 1),
    instantiation: str = "softmax",
    norm: ModuleFactory | None = nn.BatchNorm3d,
    norm_eps: float = 1e-5,
    norm_momentum: float = 0.1,
    group: int = 1,
) -> NonLocal:
    """Builds a non-local block whose norm starts at 0, so that a fresh block hands x through.

    Args:
        dim_in: channels of x.
        dim_inner: channels of queries, keys and values.
        pool_size: window (T, H, W) of the max pooling of keys and values; None or ones for none.
        instantiation: "softmax" or "dot_product".
        norm: norm class, None for none.
        norm_eps: its epsilon.
        norm_momentum: its momentum.
        group: parts of the clip that do not see each other, see `NonLocal`.
    """
    pool = None
    if pool_size is not None and any(size > 1 for size in pool_size):
        window = (pool_size[0], pool_size[1], pool_size[2])
        pool = nn.MaxPool3d(kernel_size=window, stride=window)
    final = mark_final_norm(make_norm(norm, dim_in, norm_eps, norm_momentum))
    weight = getattr(final, "weight", None)
    if isinstance(weight, Tensor):
        nn.init.zeros_(weight)
    return NonLocal(
        conv_theta=nn.Conv3d(dim_in, dim_inner, 1),
        conv_phi=nn.Conv3d(dim_in, dim_inner, 1),
        conv_g=nn.Conv3d(dim_in, dim_inner, 1),
        conv_out=nn.Conv3d(dim_inner, dim_in, 1),
        pool=pool,
        norm=final,
        instantiation=instantiation,
        group=group,
    )
