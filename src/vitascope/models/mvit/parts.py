"""Setup of multiscale vision transformers, as their builder puts them together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import Tensor, nn

from vitascope.errors import UnknownChoiceError
from vitascope.layers.attention import MultiScaleBlock
from vitascope.layers.attention_pool import NormFactory
from vitascope.layers.batch_norm import make_activation
from vitascope.layers.relative_position import RelativePositions
from vitascope.models.head import create_res_roi_pooling_head
from vitascope.models.mvit.plan import BlockPlan
from vitascope.models.mvit.variant import MViTVariant, RoIVariant
from vitascope.models.stem import create_conv_patch_embed

_LayerNorm: NormFactory = partial(nn.LayerNorm, eps=1e-6)
Factory = Callable[..., nn.Module]


@dataclass(frozen=True)
class Norms:
    """Norms of the tokens in blocks, inside attention, after the last block, of patches."""

    block: NormFactory
    attention: NormFactory
    last: NormFactory | None
    patch: NormFactory


def make_norms(norm: str) -> Norms:
    """The norms of a kind, "layernorm" or "batchnorm".

    Raises:
        UnknownChoiceError: another kind.
    """
    if norm == "layernorm":
        return Norms(_LayerNorm, _LayerNorm, _LayerNorm, _LayerNorm)
    if norm == "batchnorm":
        return Norms(nn.BatchNorm1d, nn.BatchNorm3d, None, _LayerNorm)
    raise UnknownChoiceError(f"norm = {norm!r}; legal values: batchnorm, layernorm")


def make_patch_embed(
    size: tuple[int, int, int],
    *,
    enabled: bool,
    image: bool,
    channels: tuple[int, int],
    window: tuple[Sequence[int], Sequence[int], Sequence[int]],
    norm: NormFactory | None,
) -> tuple[nn.Module | None, tuple[int, int, int]]:
    """Builds the patch embedding, and works out the grid (T, H, W) of its tokens.

    Args:
        size: (T, H, W) of the clip.
        enabled: without it tokens come in, and `size` is their grid.
        image: two-dimensional patches.
        channels: channels of the clip, width of the tokens.
        window: size, distance and padding of patches.
        norm: norm of the tokens; None for none.
    """
    if not enabled:
        return None, size
    kernel, stride, padding = window
    embed = create_conv_patch_embed(
        in_channels=channels[0],
        out_channels=channels[1],
        conv_kernel_size=kernel,
        conv_stride=stride,
        conv_padding=padding,
        conv=nn.Conv2d if image else nn.Conv3d,
    )
    if norm is not None:
        embed.norm = norm(channels[1])
    steps = (1, *stride) if image else tuple(stride)
    t, h, w = (n // s for n, s in zip(size, steps, strict=True))
    return embed, (t, h, w)


def relative_positions(variant: MViTVariant) -> RelativePositions:
    """The relative positions of a variant."""
    return RelativePositions(
        spatial=variant.rel_pos_spatial,
        temporal=variant.rel_pos_temporal,
        zero_init=variant.rel_pos_zero_init,
    )


def rates(last: float, depth: int) -> list[float]:
    """A rate for each block, rising linearly from 0 to `last`."""
    return [last * i / max(depth - 1, 1) for i in range(depth)]


def make_blocks(
    plans: Sequence[BlockPlan],
    variant: MViTVariant,
    norms: Norms,
    drop_path: float,
    settings: Mapping[str, Any],
) -> nn.ModuleList:
    """Builds the blocks.

    Args:
        plans: widths, heads, windows.
        variant: relative positions, residual pooling, layer scale.
        norms: norms of tokens and inside attention.
        drop_path: probability that a sample leaves out a branch of the last block.
        settings: further arguments of `MultiScaleBlock`.
    """
    return nn.ModuleList(
        MultiScaleBlock(
            dim=plan.dim,
            dim_out=plan.dim_out,
            num_heads=plan.num_heads,
            droppath_rate=rate,
            norm_layer=norms.block,
            attn_norm_layer=norms.attention,
            kernel_q=plan.kernel_q,
            kernel_kv=plan.kernel_kv,
            stride_q=plan.stride_q,
            stride_kv=plan.stride_kv,
            layer_scale=variant.layer_scale,
            residual_pool_cls=variant.residual_pool_cls,
            input_size=plan.input_size,
            relative=relative_positions(variant),
            **settings,
        )
        for plan, rate in zip(plans, rates(drop_path, len(plans)), strict=True)
    )


class InEvaluation(nn.Module):
    """An activation that training leaves out.

    Args:
        activation: the activation.
    """

    def __init__(self, activation: nn.Module) -> None:
        super().__init__()
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        """Applies the activation in evaluation."""
        return x if self.training else self.activation(x)


def make_head(
    head: Factory | None,
    variant: MViTVariant,
    *,
    in_features: int,
    out_features: int,
    dropout_rate: float,
    activation: Factory | None,
    pool: str,
    frames: int,
) -> nn.Module | None:
    """Builds the head.

    Args:
        head: builder of a classifying head; None for none.
        variant: when the activation is applied, pooling before the norm, boxes.
        in_features: width of the tokens.
        out_features: number of classes.
        dropout_rate: dropout.
        activation: class of the activation; None leaves logits.
        pool: "cls" or "mean".
        frames: frames of the grid that a head for boxes averages.
    """
    if head is None:
        return None
    make = activation
    if activation is not None and variant.head_in_evaluation and variant.roi is None:

        def make() -> nn.Module:
            inner = make_activation(activation)
            assert inner is not None
            return InEvaluation(inner)

    common = {
        "in_features": in_features,
        "out_features": out_features,
        "dropout_rate": dropout_rate,
        "activation": make,
    }
    if variant.roi is not None:
        return _roi_head(variant.roi, frames, common)
    return head(**common, seq_pool_type="none" if variant.mean_pooling else pool)


def _roi_head(roi: RoIVariant, frames: int, common: Mapping[str, Any]) -> nn.Module:
    return create_res_roi_pooling_head(
        **common,
        resolution=(roi.resolution, roi.resolution),
        spatial_scale=1.0 / roi.scale,
        pool_kernel_size=(frames, 1, 1),
        aligned=roi.aligned,
    )
