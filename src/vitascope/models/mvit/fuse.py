"""Batch norms folded into the linear layers beside them.

Only what stays the same function is folded. The norm of queries, keys and values is left where
there is a class token, which that norm does not touch while the linear layer does; and where
pooling comes before the projections.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from vitascope.layers.attention import MultiScaleAttention, MultiScaleBlock


def _scale_and_shift(norm: _BatchNorm) -> tuple[Tensor, Tensor]:
    """A batch norm in evaluation as x * scale + shift, float64."""
    assert norm.running_mean is not None and norm.running_var is not None
    scale = torch.rsqrt(norm.running_var.double() + norm.eps)
    if norm.weight is not None:
        scale = scale * norm.weight.double()
    shift = -norm.running_mean.double() * scale
    return scale, shift if norm.bias is None else shift + norm.bias.double()


def _linear(like: nn.Linear, weight: Tensor, bias: Tensor) -> nn.Linear:
    new = nn.Linear(
        like.in_features, like.out_features, True, like.weight.device, like.weight.dtype
    )
    with torch.no_grad():
        new.weight.copy_(weight)
        new.bias.copy_(bias)
    return new.train(like.training)


@torch.no_grad()
def fuse_norm_before_linear(norm: nn.Module | None, linear: nn.Linear) -> nn.Linear:
    """The linear layer that does what batch norm and linear layer do in a row."""
    if not isinstance(norm, _BatchNorm):
        return linear
    scale, shift = _scale_and_shift(norm)
    weight = linear.weight.double()
    bias = weight @ shift
    if linear.bias is not None:
        bias = bias + linear.bias.double()
    return _linear(linear, weight * scale, bias)


@torch.no_grad()
def fuse_norm_after_linear(linear: nn.Linear, norm: nn.Module | None) -> nn.Linear:
    """The linear layer that does what linear layer and batch norm do in a row.

    The channels of the norm are repeated for each head of the linear layer.
    """
    if not isinstance(norm, _BatchNorm):
        return linear
    scale, shift = _scale_and_shift(norm)
    heads = linear.out_features // len(scale)
    scale, shift = scale.repeat(heads), shift.repeat(heads)
    if linear.bias is not None:
        shift = shift + linear.bias.double() * scale
    return _linear(linear, linear.weight.double() * scale[:, None], shift)


def fuse_block(block: MultiScaleBlock) -> None:
    """Folds the batch norms of a block as far as its function allows; in place."""
    attention = block.attn
    if not attention.pool_first and isinstance(block.norm1, _BatchNorm):
        _before_attention(block)
        block.norm1, block.norm1_is_batchnorm_1d = nn.Identity(), False
    if not attention.pool_first and not attention.has_cls_embed:
        _inside_attention(attention)
    if isinstance(block.norm2, _BatchNorm):
        block.mlp.fc1 = fuse_norm_before_linear(block.norm2, block.mlp.fc1)
        if block.proj_in_mlp:
            assert isinstance(block.proj, nn.Linear)
            block.proj = fuse_norm_before_linear(block.norm2, block.proj)
        block.norm2, block.norm2_is_batchnorm_1d = nn.Identity(), False


def _before_attention(block: MultiScaleBlock) -> None:
    attention = block.attn
    for name in ("q", "k", "v") if attention.separate_qkv else ("qkv",):
        setattr(attention, name, fuse_norm_before_linear(block.norm1, getattr(attention, name)))
    if block.proj_in_att:
        assert isinstance(block.proj, nn.Linear)
        block.proj = fuse_norm_before_linear(block.norm1, block.proj)


def _inside_attention(attention: MultiScaleAttention) -> None:
    norms = [getattr(attention, f"norm_{letter}") for letter in "qkv"]
    if attention.separate_qkv:
        for letter, norm in zip("qkv", norms, strict=True):
            setattr(attention, letter, fuse_norm_after_linear(getattr(attention, letter), norm))
    elif any(isinstance(norm, _BatchNorm) for norm in norms):
        attention.qkv = _fuse_joint(attention.qkv, norms)
    for letter, norm in zip("qkv", norms, strict=True):
        if isinstance(norm, _BatchNorm):
            # The GELU that follows the norm stays; an Identity stands for both.
            nothing = nn.Identity()
            setattr(attention, f"norm_{letter}", nothing)
            getattr(attention, f"_attention_pool_{letter}").norm = nothing


def _fuse_joint(qkv: nn.Linear, norms: list[nn.Module | None]) -> nn.Linear:
    width = qkv.out_features // 3
    parts = []
    for i, norm in enumerate(norms):
        part = nn.Linear(
            qkv.in_features, width, qkv.bias is not None, qkv.weight.device, qkv.weight.dtype
        )
        rows = slice(i * width, (i + 1) * width)
        with torch.no_grad():
            part.weight.copy_(qkv.weight[rows])
            if qkv.bias is not None:
                part.bias.copy_(qkv.bias[rows])
        parts.append(fuse_norm_after_linear(part, norm))
    zeros = qkv.weight.new_zeros(width)
    bias = torch.cat([zeros if p.bias is None else p.bias for p in parts])
    return _linear(qkv, torch.cat([p.weight for p in parts]), bias)
