"""How the pathways of SlowFast (arXiv:1812.03982) are joined."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from vitascope.errors import InputError
from vitascope.layers.batch_norm import ModuleFactory, make_activation, make_norm
from vitascope.models.base import Triple, describe_input
from vitascope.models.resnet_blocks import same_padding


class PoolConcatPathway(nn.Module):
    """Pools each pathway and puts the results side by side.

    Args:
        retain_list: return a list with the one result, for blocks that take pathways.
        pool: a pooling for each pathway (None hands a pathway through); None for none at all.
        dim: dimension along which the pathways are joined.
        channels: channels of each pathway, which stand as zeros for one that is None; without
            them such a pathway is left out.
    """

    def __init__(
        self,
        retain_list: bool = False,
        pool: nn.ModuleList | None = None,
        dim: int = 1,
        channels: Sequence[int] = (),
    ) -> None:
        super().__init__()
        self.channels = tuple(channels)
        self.retain_list = retain_list
        self.pool = pool
        self.dim = dim

    def forward(self, x: list[Any]) -> list[Tensor] | Tensor:
        """Maps a list of B C T H W to B sum(C) T' H' W'.

        Raises:
            InputError: the pathways end up at different sizes.
        """
        parts = list(x)
        if self.pool is not None:
            pairs = zip(self.pool, parts, strict=True)
            parts = [part if pool is None or part is None else pool(part) for pool, part in pairs]
        if not self.channels:
            parts = [part for part in parts if part is not None]
        elif any(part is None for part in parts):
            like = next(part for part in parts if part is not None)
            parts = [
                like.new_zeros(like.shape[0], channels, *like.shape[2:]) if part is None else part
                for part, channels in zip(parts, self.channels, strict=True)
            ]
        # A list, not a set: sizes that are symbols (in torch.export) cannot be hashed.
        sizes = [(*part.shape[: self.dim], *part.shape[self.dim + 1 :]) for part in parts]
        if any(size != sizes[0] for size in sizes[1:]):
            raise InputError(
                f"the pathways cannot be joined: the features {describe_input(list(x))} become "
                f"{describe_input(parts)} after the pooling of the head. Its windows fit clips "
                f"of one length only (larger frames are fine): give that length, or build the "
                f"model with head_pool_kernel_sizes for this one, or with "
                f"head_pool=nn.AdaptiveAvgPool3d for any."
            )
        joined = torch.cat(parts, dim=self.dim)
        return [joined] if self.retain_list else joined


class FuseFastToSlow(nn.Module):
    """Brings the fast pathway to the rate of the slow one and joins it to that.

    Args:
        conv_fast_to_slow: convolution with a step in time.
        norm: norm after it.
        activation: activation after it.
    """

    def __init__(
        self,
        conv_fast_to_slow: nn.Module,
        norm: nn.Module | None = None,
        activation: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.conv_fast_to_slow = conv_fast_to_slow
        self.norm = norm
        self.activation = activation

    def forward(self, x: list[Tensor]) -> list[Tensor]:
        """Maps [slow, fast] to [slow with fast, fast].

        Raises:
            InputError: the two clips do not have the frames that the step asks for.
        """
        slow, fast = x
        fuse = self.conv_fast_to_slow(fast)
        if self.norm is not None:
            fuse = self.norm(fuse)
        if self.activation is not None:
            fuse = self.activation(fuse)
        if fuse.shape[2:] != slow.shape[2:]:
            raise InputError(
                f"the slow pathway has {slow.shape[2]} frames of {slow.shape[3]}x{slow.shape[4]} "
                f"where the fast one, with {fast.shape[2]}, becomes {fuse.shape[2]} of "
                f"{fuse.shape[3]}x{fuse.shape[4]}. The fast clip needs alpha times the frames of "
                f"the slow one (alpha is the step of the fusion) at the same frame size."
            )
        return [torch.cat([slow, fuse], dim=1), fast]


class FastToSlowFusionBuilder:
    """Builds the fusion of each stage.

    Args:
        slowfast_channel_reduction_ratio: channels of the slow pathway for one of the fast
            (1 / beta).
        conv_fusion_channel_ratio: channels that are joined to the slow pathway for one of the
            fast.
        conv_kernel_size: size (T, H, W) of the convolution.
        conv_stride: its step, (alpha, 1, 1).
        norm: norm class, None for none.
        norm_eps: its epsilon.
        norm_momentum: its momentum.
        activation: activation class, None for none.
        max_stage_idx: last stage that is fused.
    """

    def __init__(
        self,
        slowfast_channel_reduction_ratio: int,
        conv_fusion_channel_ratio: float,
        conv_kernel_size: Triple,
        conv_stride: Triple,
        norm: ModuleFactory | None = nn.BatchNorm3d,
        norm_eps: float = 1e-5,
        norm_momentum: float = 0.1,
        activation: ModuleFactory | None = nn.ReLU,
        max_stage_idx: int = 3,
    ) -> None:
        self.slowfast_channel_reduction_ratio = slowfast_channel_reduction_ratio
        self.conv_fusion_channel_ratio = conv_fusion_channel_ratio
        self.conv_kernel_size = conv_kernel_size
        self.conv_stride = conv_stride
        self.norm = norm
        self.norm_eps = norm_eps
        self.norm_momentum = norm_momentum
        self.activation = activation
        self.max_stage_idx = max_stage_idx

    def create_module(self, fusion_dim_in: int, stage_idx: int) -> nn.Module:
        """Builds the fusion after a stage (0 is the stem) with `fusion_dim_in` slow channels."""
        if stage_idx > self.max_stage_idx:
            return nn.Identity()
        dim_in = fusion_dim_in // self.slowfast_channel_reduction_ratio
        dim_out = int(dim_in * self.conv_fusion_channel_ratio)
        return FuseFastToSlow(
            nn.Conv3d(
                dim_in,
                dim_out,
                self.conv_kernel_size,
                self.conv_stride,
                same_padding(self.conv_kernel_size),
                bias=False,
            ),
            make_norm(self.norm, dim_out, self.norm_eps, self.norm_momentum),
            make_activation(self.activation),
        )
