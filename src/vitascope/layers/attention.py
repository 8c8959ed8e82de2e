"""Multiscale attention and its block (MViT arXiv:2104.11227, MViTv2 arXiv:2112.01526).

One version for eager mode, `torch.jit.script`, `torch.export` and `torch.compile`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vitascope.errors import ConfigError
from vitascope.layers.attention_pool import (
    POOL_MODES,
    NormFactory,
    TokenPool,
    is_pooling,
    make_pool,
    make_window,
)
from vitascope.layers.batch_norm import ModuleFactory
from vitascope.layers.drop_path import DropPath
from vitascope.layers.relative_position import RelativePositions, spatial_bias, temporal_bias
from vitascope.layers.truncated_normal import truncated_normal_

_ONES = (1, 1, 1)


class Mlp(nn.Module):
    """Linear layer, activation, linear layer; dropout after each linear layer.

    Args:
        in_features: width of the input.
        hidden_features: width between the layers; None takes that of the input.
        out_features: width of the output; None takes that of the input.
        act_layer: class of the activation.
        dropout_rate: dropout in training.
        bias_on: whether the linear layers have a bias.
    """

    def __init__(
        self,
        in_features: int,
        hidden_features: int | None = None,
        out_features: int | None = None,
        act_layer: ModuleFactory = nn.GELU,
        dropout_rate: float = 0.0,
        bias_on: bool = True,
    ) -> None:
        super().__init__()
        hidden, out = hidden_features or in_features, out_features or in_features
        self.fc1 = nn.Linear(in_features, hidden, bias=bias_on)
        self.act = act_layer()
        self.fc2 = nn.Linear(hidden, out, bias=bias_on)
        self.dropout = nn.Dropout(dropout_rate) if dropout_rate > 0 else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Maps ... x in_features to ... x out_features."""
        x = self.dropout(self.act(self.fc1(x)))
        x = self.dropout(self.fc2(x))
        return x


def _table(width: int, length: int, zero: bool) -> nn.Parameter:
    table = nn.Parameter(torch.zeros(length, width))
    return table if zero else nn.Parameter(truncated_normal_(table.data, std=0.02))


class MultiScaleAttention(nn.Module):
    """Attention whose queries, keys and values are pooled over time and space.

    Args:
        dim: width of the input.
        dim_out: width of the output; None takes `dim`.
        num_heads: number of heads.
        qkv_bias: bias of the projections to queries, keys and values.
        dropout_rate: dropout of the output in training.
        kernel_q: window (T, H, W) of the pooling of queries; ones, None or nothing for none.
        kernel_kv: window of the pooling of keys and values.
        stride_q: step of the pooling of queries.
        stride_kv: step of the pooling of keys and values.
        norm_layer: norm of what is pooled, called with the width of a head; see `TokenPool`.
        has_cls_embed: the first token is a class token, which is not pooled.
        pool_mode: "conv", "conv_unshared" (each head its own, only with `pool_first`), "avg" or
            "max"; only the learned ones are normed.
        pool_first: pool before the projections.
        residual_pool: add the pooled queries to the output.
        depthwise_conv: learned pooling mixes no channels.
        bias_on: bias of the output projection.
        separate_qkv: three projections instead of a joint one (always so with `pool_first`).
        residual_pool_cls: with `residual_pool`, the class token gets its query too (PyTorchVideo);
            PySlowFast leaves it out.
        input_size: grid (T, H, W) of the input; needed for the length of relative position tables.
        relative: which relative positions there are.

    Raises:
        ConfigError: a width that is no multiple of the heads, an unknown or impossible
            `pool_mode`, or relative positions without `input_size`.
    """

    __constants__: ClassVar[list[str]] = [
        "pool_first", "has_cls_embed", "residual_pool", "residual_pool_cls", "separate_qkv",
        "num_heads",
    ]  # fmt: skip

    def __init__(
        self,
        dim: int,
        dim_out: int | None = None,
        num_heads: int = 8,
        qkv_bias: bool = False,
        dropout_rate: float = 0.0,
        kernel_q: Sequence[int] | None = _ONES,
        kernel_kv: Sequence[int] | None = _ONES,
        stride_q: Sequence[int] | None = _ONES,
        stride_kv: Sequence[int] | None = _ONES,
        norm_layer: NormFactory = nn.LayerNorm,
        has_cls_embed: bool = True,
        pool_mode: str = "conv",
        pool_first: bool = False,
        residual_pool: bool = True,
        depthwise_conv: bool = True,
        bias_on: bool = True,
        separate_qkv: bool = True,
        *,
        residual_pool_cls: bool = True,
        input_size: Sequence[int] | None = None,
        relative: RelativePositions | None = None,
    ) -> None:
        super().__init__()
        dim_out = dim_out or dim
        self._check(dim, dim_out, num_heads, pool_mode, pool_first)
        self.num_heads = num_heads
        self.scale = (dim_out // num_heads) ** -0.5
        self.has_cls_embed = has_cls_embed
        self.pool_first = pool_first
        self.residual_pool = residual_pool
        self.residual_pool_cls = residual_pool_cls or not has_cls_embed
        self.separate_qkv = separate_qkv or pool_first
        if self.separate_qkv:
            self.q = nn.Linear(dim, dim_out, bias=qkv_bias)
            self.k = nn.Linear(dim, dim_out, bias=qkv_bias)
            self.v = nn.Linear(dim, dim_out, bias=qkv_bias)
        else:
            self.qkv = nn.Linear(dim, dim_out * 3, bias=qkv_bias)
        self.proj = nn.Linear(dim_out, dim_out, bias=bias_on)
        self.proj_drop = nn.Dropout(dropout_rate) if dropout_rate > 0 else nn.Identity()
        width = dim if pool_first else dim_out
        channels = width if pool_mode == "conv_unshared" else width // num_heads
        how = (pool_mode, channels, depthwise_conv, norm_layer)
        self.pool_q, self.norm_q = self._pooling(kernel_q, stride_q, *how)
        self.pool_k, self.norm_k = self._pooling(kernel_kv, stride_kv, *how)
        self.pool_v, self.norm_v = self._pooling(kernel_kv, stride_kv, *how)
        # The same modules once more: published state dicts hold both names.
        self._attention_pool_q = TokenPool(self.pool_q, has_cls_embed, self.norm_q)
        self._attention_pool_k = TokenPool(self.pool_k, has_cls_embed, self.norm_k)
        self._attention_pool_v = TokenPool(self.pool_v, has_cls_embed, self.norm_v)
        relative = relative or RelativePositions()
        if (relative.spatial or relative.temporal) and input_size is None:
            raise ConfigError("relative positions need input_size, the grid (T, H, W) of the input")
        t, h, w = input_size or _ONES
        lengths = [
            2 * max(size // (stride_q or _ONES)[axis], size // (stride_kv or _ONES)[axis]) - 1
            for axis, size in ((1, h), (2, w))
        ]
        table = partial(_table, dim_out // num_heads, zero=relative.zero_init)
        self.rel_pos_h = table(lengths[0]) if relative.spatial else None
        self.rel_pos_w = table(lengths[1]) if relative.spatial else None
        self.rel_pos_t = table(2 * t - 1) if relative.temporal else None

    @staticmethod
    def _check(dim: int, dim_out: int, heads: int, pool_mode: str, pool_first: bool) -> None:
        if dim_out % heads or (pool_first and dim % heads):
            raise ConfigError(f"{heads} heads do not divide a width of {dim} (in), {dim_out} (out)")
        if pool_mode not in POOL_MODES:
            raise ConfigError(f"pool_mode = {pool_mode!r}; legal values: {', '.join(POOL_MODES)}")
        if pool_mode == "conv_unshared" and not pool_first:
            raise ConfigError("pool_mode = 'conv_unshared' needs pool_first=True")

    @staticmethod
    def _pooling(
        kernel: Sequence[int] | None,
        stride: Sequence[int] | None,
        mode: str,
        channels: int,
        depthwise: bool,
        norm_layer: NormFactory,
    ) -> tuple[nn.Module | None, nn.Module | None]:
        if kernel is None or not is_pooling(kernel, stride):
            return None, None
        pool = make_pool(mode, channels, kernel, stride or _ONES, depthwise=depthwise)
        return pool, norm_layer(channels) if mode.startswith("conv") else None

    def _heads(self, x: Tensor) -> Tensor:
        """B N C to B heads N C/heads."""
        return x.view(x.shape[0], x.shape[1], self.num_heads, -1).transpose(1, 2)

    def _bias(self, q: Tensor, q_shape: list[int], k_shape: list[int]) -> Tensor | None:
        """What relative positions add to the logits: B heads Nq Nk, or nothing."""
        if self.has_cls_embed:
            q = q[:, :, 1:]
        bias: Tensor | None = None
        if self.rel_pos_h is not None:
            if self.rel_pos_w is not None:
                bias = spatial_bias(q, q_shape, k_shape, self.rel_pos_h, self.rel_pos_w)
        if self.rel_pos_t is not None:
            by_frame = temporal_bias(q, q_shape, k_shape, self.rel_pos_t)
            bias = by_frame if bias is None else bias + by_frame
        if bias is None:
            return None
        sizes = [-1, -1, -1, -1, -1, k_shape[0], k_shape[1], k_shape[2]]
        bias = bias.expand(sizes).flatten(5).flatten(2, 4)
        return F.pad(bias, [1, 0, 1, 0]) if self.has_cls_embed else bias

    def forward(self, x: Tensor, thw_shape: list[int]) -> tuple[Tensor, list[int]]:
        """Attends.

        Args:
            x: tokens B N C.
            thw_shape: their grid (T, H, W).

        Returns:
            Tokens B N' C', and their grid.
        """
        if self.pool_first:
            pooled_q, q_shape = self._attention_pool_q(x, thw_shape)
            pooled_k, k_shape = self._attention_pool_k(x, thw_shape)
            pooled_v, _ = self._attention_pool_v(x, thw_shape)
            q, k, v = self.q(pooled_q), self.k(pooled_k), self.v(pooled_v)
        else:
            if self.separate_qkv:
                q, k, v = self.q(x), self.k(x), self.v(x)
            else:
                q, k, v = self.qkv(x).chunk(3, dim=-1)
            q, q_shape = self._attention_pool_q(q, thw_shape)
            k, k_shape = self._attention_pool_k(k, thw_shape)
            v, _ = self._attention_pool_v(v, thw_shape)
        q, k, v = self._heads(q), self._heads(k), self._heads(v)
        out = F.scaled_dot_product_attention(q, k, v, self._bias(q, q_shape, k_shape))
        if self.residual_pool:
            if self.residual_pool_cls:
                out = out + q
            else:
                out = torch.cat([out[:, :, :1], out[:, :, 1:] + q[:, :, 1:]], dim=2)
        out = out.transpose(1, 2).flatten(2)
        return self.proj_drop(self.proj(out)), q_shape

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        """Accepts files with either of the two names of a pooling or norm, or both."""
        for letter in "qkv":
            for part in ("pool", "norm"):
                first = f"{prefix}{part}_{letter}."
                twin = f"{prefix}_attention_pool_{letter}.{part}."
                for name in list(state_dict):
                    if name.startswith(first):
                        state_dict.setdefault(twin + name[len(first) :], state_dict[name])
                    elif name.startswith(twin):
                        state_dict.setdefault(first + name[len(twin) :], state_dict[name])
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)


class MultiScaleBlock(nn.Module):
    """Multiscale attention and a perceptron, each with a norm before it and a way around it.

    Args:
        dim: width of the input.
        dim_out: width of the output.
        num_heads: number of heads.
        mlp_ratio: hidden width of the perceptron for each unit of its input's.
        qkv_bias: bias of the projections to queries, keys and values.
        dropout_rate: dropout of attention and perceptron.
        droppath_rate: probability that a sample leaves out a branch in training.
        act_layer: class of the perceptron's activation.
        norm_layer: norm of the tokens, called with their width; a BatchNorm1d runs over channels.
        attn_norm_layer: norm inside the attention.
        dim_mul_in_att: the attention changes the width, not the perceptron.
        kernel_q: window (T, H, W) of the pooling of queries.
        kernel_kv: window of the pooling of keys and values.
        stride_q: step of the pooling of queries; it also pools the way around the attention.
        stride_kv: step of the pooling of keys and values.
        pool_mode: "conv", "conv_unshared", "avg" or "max".
        has_cls_embed: the first token is a class token.
        pool_first: pool before the projections.
        residual_pool: add the pooled queries to the attention's output.
        depthwise_conv: learned pooling mixes no channels.
        bias_on: bias of all other linear layers.
        separate_qkv: three projections instead of a joint one.
        layer_scale: start value of a factor for each channel of both branches; 0 for none.
        attention: further keyword arguments of `MultiScaleAttention`: `residual_pool_cls`,
            `input_size`, `relative`.
    """

    __constants__: ClassVar[list[str]] = [
        "norm1_is_batchnorm_1d", "norm2_is_batchnorm_1d", "proj_in_att", "proj_in_mlp",
    ]  # fmt: skip

    def __init__(
        self,
        dim: int,
        dim_out: int,
        num_heads: int,
        mlp_ratio: float = 4.0,
        qkv_bias: bool = False,
        dropout_rate: float = 0.0,
        droppath_rate: float = 0.0,
        act_layer: ModuleFactory = nn.GELU,
        norm_layer: NormFactory = nn.LayerNorm,
        attn_norm_layer: NormFactory = nn.LayerNorm,
        dim_mul_in_att: bool = False,
        kernel_q: Sequence[int] | None = _ONES,
        kernel_kv: Sequence[int] | None = _ONES,
        stride_q: Sequence[int] | None = _ONES,
        stride_kv: Sequence[int] | None = _ONES,
        pool_mode: str = "conv",
        has_cls_embed: bool = True,
        pool_first: bool = False,
        residual_pool: bool = False,
        depthwise_conv: bool = True,
        bias_on: bool = True,
        separate_qkv: bool = True,
        *,
        layer_scale: float = 0.0,
        **attention: Any,
    ) -> None:
        super().__init__()
        self.dim, self.dim_out, self.dim_mul_in_att = dim, dim_out, dim_mul_in_att
        self.has_cls_embed = has_cls_embed
        width = dim_out if dim_mul_in_att else dim
        self.norm1 = norm_layer(dim)
        self.attn = MultiScaleAttention(
            dim, width, num_heads, qkv_bias, dropout_rate, kernel_q, kernel_kv, stride_q,
            stride_kv, attn_norm_layer, has_cls_embed, pool_mode, pool_first, residual_pool,
            depthwise_conv, bias_on, separate_qkv, **attention,
        )  # fmt: skip
        self.drop_path = DropPath(droppath_rate) if droppath_rate > 0 else nn.Identity()
        self.norm2 = norm_layer(width)
        self.mlp = Mlp(width, int(width * mlp_ratio), dim_out, act_layer, dropout_rate, bias_on)
        changes = dim != dim_out
        self.proj = nn.Linear(dim, dim_out, bias=bias_on) if changes else nn.Identity()
        self.proj_in_att, self.proj_in_mlp = changes and dim_mul_in_att, changes and width == dim
        self.gamma_1 = self._gamma(layer_scale, width)
        self.gamma_2 = self._gamma(layer_scale, dim_out)
        self.pool_skip = None
        if stride_q and any(s > 1 for s in stride_q):
            kernel = [s + 1 if s > 1 else s for s in stride_q]
            self.pool_skip = make_window(kernel, stride_q, largest=True)
        self._attention_pool = TokenPool(self.pool_skip, has_cls_embed)
        self.norm1_is_batchnorm_1d = isinstance(self.norm1, nn.BatchNorm1d)
        self.norm2_is_batchnorm_1d = isinstance(self.norm2, nn.BatchNorm1d)

    @staticmethod
    def _gamma(start: float, width: int) -> nn.Parameter | None:
        return nn.Parameter(torch.full((width,), start)) if start > 0 else None

    def forward(self, x: Tensor, thw_shape: list[int]) -> tuple[Tensor, list[int]]:
        """Runs the block.

        Args:
            x: tokens B N C.
            thw_shape: their grid (T, H, W).

        Returns:
            Tokens B N' C', and their grid.
        """
        if self.norm1_is_batchnorm_1d:
            normed = self.norm1(x.flatten(0, 1)).view(x.shape)
        else:
            normed = self.norm1(x)
        branch, shape = self.attn(normed, thw_shape)
        if self.gamma_1 is not None:
            branch = branch * self.gamma_1
        if self.proj_in_att:
            x = self.proj(normed)
        x, _ = self._attention_pool(x, thw_shape)
        x = x + self.drop_path(branch)
        if self.norm2_is_batchnorm_1d:
            normed = self.norm2(x.flatten(0, 1)).view(x.shape)
        else:
            normed = self.norm2(x)
        branch = self.mlp(normed)
        if self.gamma_2 is not None:
            branch = branch * self.gamma_2
        if self.proj_in_mlp:
            x = self.proj(normed)
        return x + self.drop_path(branch), shape
