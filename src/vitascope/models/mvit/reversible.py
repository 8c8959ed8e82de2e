"""Reversible vision transformers (arXiv:2302.04869).

Two streams take turns: `y1 = x1 + F(x2)`, `y2 = x2 + G(y1)` with attention F and perceptron G. The
inputs follow from the outputs, `x2 = y2 - G(y1)`, `x1 = y1 - F(x2)`, so the backward pass computes
them back and no activation of a block has to be kept. Blocks that change the width or the grid
cannot be reversed; they join the streams, and two streams start again behind them.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import Function, once_differentiable

from vitascope.errors import ConfigError
from vitascope.layers.attention import Mlp, MultiScaleAttention
from vitascope.layers.attention_pool import NormFactory, make_window
from vitascope.layers.drop_path import drop_path
from vitascope.models.mvit.parts import Norms, rates, relative_positions
from vitascope.models.mvit.plan import BlockPlan
from vitascope.models.mvit.variant import MViTVariant, Reversible


class TwoStreamFusion(nn.Module):
    """Joins two streams that lie side by side in the channels.

    Args:
        mode: "add", "avg", "max", "min" halve the width; "concat" leaves it; "concat_linear",
            "concat_linear_K", "concat_linear_K_P" leave it and add a perceptron of K times the
            width with dropout P, with a norm before it if "ln+" is in front.
        dim: width of both streams together.

    Raises:
        ConfigError: another mode.
    """

    def __init__(self, mode: str, dim: int) -> None:
        super().__init__()
        self.mode = mode
        self.fuse_fn = self._perceptron(mode, dim) if "concat_linear" in mode else nn.Identity()
        halves = mode in ("add", "avg", "max", "min")
        if not (halves or mode == "concat" or "concat_linear" in mode):
            raise ConfigError(
                f"fusion {mode!r}; legal values: add, avg, concat, concat_linear[_K[_P]], max, min"
            )
        self.width = dim // 2 if halves else dim

    @staticmethod
    def _perceptron(mode: str, dim: int) -> nn.Module:
        norm, _, name = mode.rpartition("+")
        try:
            factors = [float(part) for part in name.split("_")[2:]]
        except ValueError:
            factors = [0.0] * 3
        if norm not in ("", "ln") or len(factors) > 2:
            raise ConfigError(f"fusion {mode!r}; expected [ln+]concat_linear[_K[_P]]")
        factor, dropout = (*factors, *(1.0, 0.0)[len(factors) :])
        mlp = Mlp(dim, int(dim * factor), dim, dropout_rate=dropout)
        return nn.Sequential(nn.LayerNorm(dim), mlp) if norm else mlp

    def forward(self, x: Tensor) -> Tensor:
        """Maps B N 2C to B N C, or B N 2C."""
        if self.mode == "concat":
            return x
        if "concat_linear" in self.mode:
            out: Tensor = self.fuse_fn(x)
            return x + out
        first, second = x.chunk(2, dim=2)
        if self.mode == "add":
            return first + second
        if self.mode == "avg":
            return (first + second) / 2
        return torch.maximum(first, second) if self.mode == "max" else torch.minimum(first, second)


class AttentionBranch(nn.Module):
    """Norm and attention: the function F.

    Args:
        norm: norm of the tokens.
        attn: attention.
    """

    def __init__(self, norm: nn.Module, attn: MultiScaleAttention) -> None:
        super().__init__()
        self.norm = norm
        self.attn = attn

    def forward(self, x: Tensor, thw: list[int]) -> tuple[Tensor, list[int]]:
        """Maps tokens B N C and their grid to tokens B N' C' and theirs."""
        out: tuple[Tensor, list[int]] = self.attn(self.norm(x), thw)
        return out


class PerceptronBranch(nn.Module):
    """Norm and perceptron: the function G.

    Args:
        norm: norm of the tokens.
        mlp: perceptron.
    """

    def __init__(self, norm: nn.Module, mlp: nn.Module) -> None:
        super().__init__()
        self.norm = norm
        self.mlp = mlp

    def forward(self, x: Tensor) -> Tensor:
        """Maps B N C to B N C."""
        out: Tensor = self.mlp(self.norm(x))
        return out


class ReversibleBlock(nn.Module):
    """Two streams that can be computed back.

    Args:
        attention: the function F.
        perceptron: the function G.
        drop_path_rate: probability that a sample leaves out both functions in training.
    """

    def __init__(
        self, attention: AttentionBranch, perceptron: PerceptronBranch, drop_path_rate: float = 0.0
    ) -> None:
        super().__init__()
        self.F = attention
        self.G = perceptron
        self.drop_path_rate = drop_path_rate

    def draw(self, x: Tensor) -> Tensor | None:
        """Factor B 1 1 of both functions for each sample; None where nothing is dropped."""
        if self.drop_path_rate == 0.0 or not self.training:
            return None
        return drop_path(x.new_ones(x.shape[0], 1, 1), self.drop_path_rate, True)

    def attend(self, x: Tensor, thw: list[int], keep: Tensor | None) -> Tensor:
        """F of the second stream."""
        out: Tensor = self.F(x, thw)[0]
        return out if keep is None else out * keep

    def think(self, x: Tensor, keep: Tensor | None) -> Tensor:
        """G of the first stream."""
        out: Tensor = self.G(x)
        return out if keep is None else out * keep

    def forward(self, x1: Tensor, x2: Tensor, thw: list[int]) -> tuple[Tensor, Tensor]:
        """Maps two streams B N C of a grid to two streams."""
        keep = self.draw(x1)
        y1 = x1 + self.attend(x2, thw, keep)
        return y1, x2 + self.think(y1, keep)

    def step(self, x: Tensor, thw: list[int]) -> tuple[Tensor, list[int]]:
        """Maps two streams side by side to two streams side by side."""
        x1, x2 = x.chunk(2, dim=2)
        y1, y2 = self(x1, x2, thw)
        return torch.cat([y1, y2], dim=2), thw


class StageTransitionBlock(nn.Module):
    """Joins the streams, and changes width and grid; it is not reversible.

    Args:
        fusion: joins the streams.
        attention: attention branch, pooled.
        perceptron: perceptron branch.
        dims: width of the joined streams, width of the output.
        res_path: way around the attention: "conv" (as the queries) or "max".
        drop_path_rate: probability that a sample leaves out a branch in training.
    """

    def __init__(
        self,
        fusion: TwoStreamFusion,
        attention: AttentionBranch,
        perceptron: PerceptronBranch,
        *,
        dims: tuple[int, int],
        res_path: str,
        stride: Sequence[int],
        drop_path_rate: float = 0.0,
    ) -> None:
        super().__init__()
        self.F = attention
        self.G = perceptron
        self.pre_q_fuse = fusion
        self.drop_path_rate = drop_path_rate
        self.pool_skip: nn.Module | None = None
        self.by_queries = res_path == "conv"
        if not self.by_queries and any(s > 1 for s in stride):
            window = make_window([s + 1 if s > 1 else s for s in stride], stride, largest=True)
            self.pool_skip = window
        self.res_proj = nn.Linear(*dims) if dims[0] != dims[1] else None

    def _around(self, x: Tensor, thw: list[int]) -> Tensor:
        attention = self.F.attn
        if self.res_proj is not None and not attention.pool_first:
            x = self.res_proj(x)
        if self.by_queries:
            x, _ = attention._attention_pool_q(x, thw)
        elif self.pool_skip is not None:
            t, h, w = thw
            maps = self.pool_skip(x.transpose(1, 2).reshape(x.shape[0], -1, t, h, w))
            x = maps.flatten(2).transpose(1, 2)
        if self.res_proj is not None and attention.pool_first:
            x = self.res_proj(x)
        return x

    def forward(self, x: Tensor, thw: list[int]) -> tuple[Tensor, list[int]]:
        """Maps B N 2C of a grid to B N' C' and its grid."""
        x = self.pre_q_fuse(x)
        branch, shape = self.F(x, thw)
        x = self._around(x, thw) + drop_path(branch, self.drop_path_rate, self.training)
        return x + drop_path(self.G(x), self.drop_path_rate, self.training), shape

    def step(self, x: Tensor, thw: list[int]) -> tuple[Tensor, list[int]]:
        """Maps two streams side by side to two new, equal ones side by side."""
        x, thw = self(x, thw)
        return torch.cat([x, x], dim=2), thw


class _Run(Function):
    """Reversible blocks in a row; keeps the outputs and what was drawn at random."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, blocks: list[ReversibleBlock], thw: list[int], *parameters: Tensor
    ) -> Tensor:
        x1, x2 = x.chunk(2, dim=2)
        ctx.blocks, ctx.thw, ctx.keeps, ctx.states = blocks, thw, [], []
        ctx.autocast = _autocast_of(x.device.type)
        for block in blocks:
            keep = block.draw(x1)
            ctx.keeps.append(keep)
            ctx.states.append(_random_state(x.device))
            x1 = x1 + block.attend(x2, thw, keep)
            ctx.states.append(_random_state(x.device))
            x2 = x2 + block.think(x1, keep)
        ctx.save_for_backward(x1, x2)
        return torch.cat([x1, x2], dim=2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        y1, y2 = ctx.saved_tensors
        g1, g2 = grad.chunk(2, dim=2)
        found: dict[int, Tensor | None] = {}
        for i in reversed(range(len(ctx.blocks))):
            block, keep, states = ctx.blocks[i], ctx.keeps[i], ctx.states
            with _replay(states[2 * i + 1], y1.device), ctx.autocast():
                think = partial(block.think, keep=keep)
                out, back = _gradients(think, block.G, y1, g2, found)
            y2, g1 = y2 - out, g1 + back
            with _replay(states[2 * i], y1.device), ctx.autocast():
                attend = partial(block.attend, thw=ctx.thw, keep=keep)
                out, back = _gradients(attend, block.F, y2, g1, found)
            y1, g2 = y1 - out, g2 + back
        parameters = [found.get(id(p)) for block in ctx.blocks for p in block.parameters()]
        return torch.cat([g1, g2], dim=2), None, None, *parameters


def _gradients(
    function: Any, module: nn.Module, x: Tensor, grad: Tensor, found: dict[int, Tensor | None]
) -> tuple[Tensor, Tensor]:
    """Runs a branch again; its output and the gradient of its input. Parameters go to `found`."""
    parameters = [p for p in module.parameters() if p.requires_grad]
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        out = function(x)
    grads = torch.autograd.grad(out, [x, *parameters], grad.to(out.dtype), allow_unused=True)
    found.update({id(p): g for p, g in zip(parameters, grads[1:], strict=True)})
    return out.detach(), grads[0]


def _autocast_of(device: str) -> Any:
    enabled, dtype = torch.is_autocast_enabled(device), torch.get_autocast_dtype(device)
    return lambda: torch.autocast(device, dtype=dtype, enabled=enabled)


def _random_state(device: torch.device) -> tuple[Tensor, Tensor | None]:
    on_device = torch.cuda.get_rng_state(device) if device.type == "cuda" else None
    return torch.get_rng_state(), on_device


@contextlib.contextmanager
def _replay(state: tuple[Tensor, Tensor | None], device: torch.device) -> Iterator[None]:
    """Random numbers as they were, and afterwards as if nothing had been drawn."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.set_rng_state(state[0])
        if state[1] is not None:
            torch.cuda.set_rng_state(state[1], device)
        yield


class ReversibleMViT(nn.Module):
    """Reversible blocks, and those between them that change width or grid.

    Args:
        layers: `ReversibleBlock` and `StageTransitionBlock`.
        width: channels of the two streams at the end.
        dropout: dropout at the end.

    Attributes:
        keep_activations: train like any model, without computing activations back.
    """

    def __init__(self, layers: nn.ModuleList, width: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.layers = layers
        self.width = width
        self.dropout = nn.Dropout(dropout) if dropout > 0 else nn.Identity()
        self.keep_activations = False

    def forward(self, x: Tensor, thw: list[int]) -> tuple[Tensor, list[int]]:
        """Maps tokens B N C of a grid to two streams B N' 2C' side by side, and their grid."""
        x = torch.cat([x, x], dim=2)
        if torch.jit.is_scripting():  # type: ignore[attr-defined]
            for layer in self.layers:
                x, thw = layer.step(x, thw)  # type: ignore[operator]
        else:
            x, thw = self._run(x, thw)
        return self.dropout(x), thw

    def _run(self, x: Tensor, thw: list[int]) -> tuple[Tensor, list[int]]:
        plain = self.keep_activations or torch.compiler.is_compiling()
        if plain or not (self.training and torch.is_grad_enabled()):
            for layer in self.layers:
                x, thw = cast(Any, layer).step(x, thw)
            return x, thw
        for reversible, row in itertools.groupby(self.layers, _is_reversible):
            if reversible:
                x = _run_reversibly(x, cast("list[ReversibleBlock]", list(row)), thw)
                continue
            for layer in row:
                x, thw = cast(Any, layer).step(x, thw)
        return x, thw


def _is_reversible(layer: nn.Module) -> bool:
    return isinstance(layer, ReversibleBlock)


def _run_reversibly(x: Tensor, blocks: list[ReversibleBlock], thw: list[int]) -> Tensor:
    parameters = [p for block in blocks for p in block.parameters()]
    return cast(Tensor, _Run.apply(x, blocks, thw, *parameters))  # type: ignore[no-untyped-call]


def make_reversible(
    plans: Sequence[BlockPlan],
    variant: MViTVariant,
    norms: Norms,
    drop_path_rate: float,
    settings: Mapping[str, Any],
) -> ReversibleMViT:
    """Builds the blocks of a reversible model.

    Args:
        plans: widths, heads, windows.
        variant: what is reversible and how streams are joined; relative positions.
        norms: norms of tokens and inside attention.
        drop_path_rate: probability that a sample leaves out a branch of the last block.
        settings: arguments of `MultiScaleBlock`.

    Raises:
        ConfigError: a block that changes width or grid and is not among `buffer_layers`, or a
            class token.
    """
    spec = variant.reversible
    assert spec is not None
    if settings["has_cls_embed"]:
        raise ConfigError("a reversible model has no class token: set cls_embed_on=False")
    layers = nn.ModuleList(
        _layer(i, plan, spec, variant, norms, rate, settings)
        for i, (plan, rate) in enumerate(zip(plans, rates(drop_path_rate, len(plans)), strict=True))
    )
    if plans and len(plans) - 1 in spec.buffer_layers:
        raise ConfigError("the last block cannot be one of buffer_layers: it leaves one stream")
    return ReversibleMViT(layers, 2 * plans[-1].dim_out, settings["dropout_rate"])


def fused_width(backbone: ReversibleMViT, variant: MViTVariant) -> int:
    """Width of the tokens once the streams are joined."""
    assert variant.reversible is not None
    return TwoStreamFusion(variant.reversible.respath_fuse, backbone.width).width


def _layer(
    index: int,
    plan: BlockPlan,
    spec: Reversible,
    variant: MViTVariant,
    norms: Norms,
    rate: float,
    settings: Mapping[str, Any],
) -> nn.Module:
    buffered = index in spec.buffer_layers
    if not buffered and (plan.dim != plan.dim_out or any(s > 1 for s in plan.stride_q)):
        raise ConfigError(
            f"block {index} changes width or grid, so it cannot be reversed; name it in "
            f"buffer_layers"
        )
    if buffered and (index == 0 or index - 1 in spec.buffer_layers):
        raise ConfigError(
            f"block {index} of buffer_layers needs a reversible block before it, whose two streams "
            f"it joins"
        )
    fusion = TwoStreamFusion(spec.pre_q_fusion, 2 * plan.dim)
    dim = fusion.width if buffered else plan.dim
    attention = MultiScaleAttention(
        dim,
        plan.dim_out,
        plan.num_heads,
        settings["qkv_bias"],
        settings["dropout_rate"],
        plan.kernel_q,
        plan.kernel_kv,
        plan.stride_q,
        plan.stride_kv,
        norms.attention,
        residual_pool_cls=variant.residual_pool_cls,
        input_size=plan.input_size,
        relative=relative_positions(variant),
        **{name: settings[name] for name in _ATTENTION},
    )
    first = AttentionBranch(norms.block(dim), attention)
    second = _perceptron(plan.dim_out, norms.block, settings["mlp_ratio"])
    if not buffered:
        return ReversibleBlock(first, second, rate)
    return StageTransitionBlock(
        fusion, first, second, dims=(dim, plan.dim_out), res_path=spec.res_path,
        stride=plan.stride_q, drop_path_rate=rate,
    )  # fmt: skip


_ATTENTION = (
    "has_cls_embed", "pool_mode", "pool_first", "residual_pool", "depthwise_conv", "bias_on",
    "separate_qkv",
)  # fmt: skip


def _perceptron(dim: int, norm: NormFactory, ratio: float) -> PerceptronBranch:
    return PerceptronBranch(norm(dim), Mlp(dim, int(dim * ratio)))
