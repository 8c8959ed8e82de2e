"""Multiscale vision transformers: MViT (arXiv:2104.11227) and MViTv2 (arXiv:2112.01526)."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from vitascope.errors import ConfigError, InputError
from vitascope.layers.attention import MultiScaleBlock
from vitascope.layers.positional_encoding import SpatioTemporalClsPositionalEncoding
from vitascope.models.base import FeatureInfo, VideoModel, frozen_statistics, tokens_as_map
from vitascope.models.head import create_vit_basic_head
from vitascope.models.mvit.fuse import fuse_block, fuse_norm_after_linear, fuse_norm_before_linear
from vitascope.models.mvit.geometry import PatchGeometry
from vitascope.models.mvit.init import start_mvit
from vitascope.models.mvit.parts import make_blocks, make_head, make_norms, make_patch_embed
from vitascope.models.mvit.plan import BlockPlan, Schedule, plan_blocks
from vitascope.models.mvit.reversible import (
    ReversibleMViT,
    TwoStreamFusion,
    fused_width,
    make_reversible,
)
from vitascope.models.mvit.variant import MViTVariant, Reversible, RoIVariant

__all__ = [
    "MViTVariant",
    "MultiscaleVisionTransformers",
    "Reversible",
    "RoIVariant",
    "create_multiscale_vision_transformers",
]

Sizes = Sequence[int]


class MultiscaleVisionTransformers(VideoModel):
    """Patches, positions, blocks, norm, head.

    Args:
        patch_embed: maps a clip B C T H W to tokens B N C'; None where tokens come in.
        cls_positional_encoding: puts the class token in front and adds positions; its
            `patch_embed_shape` is the grid (T, H, W) of the tokens.
        pos_drop: dropout of the tokens.
        blocks: map (tokens, grid) to (tokens, grid).
        norm_embed: norm after the blocks.
        head: maps tokens B N C to scores; with boxes, a map B C T H W and boxes.
        norm_stem: norm before the blocks.
        reversible: two reversible streams in place of `blocks`.
        variant: what the parts were built for, and so how they are put together.
        plans: what the blocks are, for `feature_info`.
    """

    __constants__: ClassVar[list[str]] = [
        "mean_pooling", "detection", "detach_head", "image", "fixed_grid", "has_cls",
        "norm_wide",
    ]  # fmt: skip
    __jit_unused_properties__: ClassVar[list[str]] = ["feature_info", "num_classes", "num_depths"]

    def __init__(
        self,
        *,
        patch_embed: nn.Module | None,
        cls_positional_encoding: nn.Module,
        pos_drop: nn.Module | None,
        blocks: nn.ModuleList,
        norm_embed: nn.Module | None,
        head: nn.Module | None,
        norm_stem: nn.Module | None = None,
        reversible: ReversibleMViT | None = None,
        variant: MViTVariant | None = None,
        plans: Sequence[BlockPlan] = (),
    ) -> None:
        super().__init__()
        self.patch_embed = patch_embed
        self.cls_positional_encoding = cls_positional_encoding
        self.pos_drop = pos_drop
        self.norm_stem = norm_stem
        self.blocks = blocks
        variant = variant or MViTVariant()
        self.rev_backbone = reversible
        self.fuse: nn.Module | None = None
        if reversible is not None and variant.reversible is not None:
            self.fuse = TwoStreamFusion(variant.reversible.respath_fuse, reversible.width)
        # Streams side by side are normed before a perceptron joins them; others after.
        self.norm_wide = variant.reversible is not None and "concat" in (
            variant.reversible.respath_fuse
        )
        self.norm_embed = norm_embed
        self.head = head
        self.mean_pooling = variant.mean_pooling
        self.detach_head = variant.detach_head
        self.detection = variant.roi is not None
        self.has_cls = bool(getattr(cls_positional_encoding, "cls_embed_on", True))
        self.plans = tuple(plans)
        self.geometry = PatchGeometry.of(patch_embed, cls_positional_encoding)
        self.inputs = self.geometry.inputs()
        # Once more, in types that can be scripted.
        self.image, self.fixed_grid = self.geometry.image, self.geometry.fixed
        self.built_grid = self.geometry.grid
        self.patch_size = (self.geometry.kernel, self.geometry.stride, self.geometry.padding)
        start_mvit(self, variant.origin, variant.head_init_scale)

    def check_input(self, x: Any, *, values: bool | None = None) -> None:
        """Raises `InputError` where a clip does not fit the positions of this network."""
        if not torch.compiler.is_compiling():
            self.geometry.check(x, values=self.check if values is None else values)

    def grid(self, x: Tensor) -> list[int]:
        """Grid (T, H, W) of the tokens of a clip."""
        if self.fixed_grid:
            return [self.built_grid[0], self.built_grid[1], self.built_grid[2]]
        kernel, stride, padding = self.patch_size
        t = (x.shape[-3] + 2 * padding[0] - kernel[0]) // stride[0] + 1 if not self.image else 1
        h = (x.shape[-2] + 2 * padding[1] - kernel[1]) // stride[1] + 1
        w = (x.shape[-1] + 2 * padding[2] - kernel[2]) // stride[2] + 1
        return [t, h, w]

    def embed(self, x: Tensor) -> Tensor:
        """Maps clips to the tokens that enter the first block."""
        if self.image and x.dim() == 5:
            x = x.squeeze(2)
        if self.patch_embed is not None:
            x = self.patch_embed(x)
        x = self.cls_positional_encoding(x)
        if self.pos_drop is not None:
            x = self.pos_drop(x)
        if self.norm_stem is not None:
            x = self.norm_stem(x)
        return x

    def forward_features(self, x: Tensor) -> Tensor:
        """Maps clips to tokens B N C, class token first; for boxes to a map B C T H W.

        Args:
            x: clips B C T H W; B C H W for images; tokens B N C without patch embedding.
        """
        thw = self.grid(x)
        x = self.embed(x)
        if self.rev_backbone is not None:
            x, thw = self.rev_backbone(x, thw)
        if self.fuse is not None and (self.mean_pooling or not self.norm_wide):
            x = self.fuse(x)
        for block in self.blocks:
            if torch.jit.is_scripting():  # type: ignore[attr-defined]
                x, thw = block(x, thw)
            else:
                x, thw = self._run_block(block, x, thw)
        if self.norm_embed is not None and not self.mean_pooling:
            x = self.norm_embed(x)
        if self.fuse is not None and self.norm_wide and not self.mean_pooling:
            x = self.fuse(x)
        if self.detection:
            tokens = x[:, 1:] if self.has_cls else x
            x = tokens.transpose(1, 2).reshape(x.shape[0], x.shape[2], thw[0], thw[1], thw[2])
        return x

    def forward_head(self, features: Tensor, bboxes: Tensor | None = None) -> Tensor:
        """Maps features to scores; without a head it returns them.

        Raises:
            InputError: boxes for a head without, or none for a head with boxes.
        """
        if not torch.jit.is_scripting():  # type: ignore[attr-defined]
            if (bboxes is not None) != self.detection:
                raise InputError(
                    "this model's head needs boxes"
                    if self.detection
                    else "this model has no head for boxes"
                )
        x = features
        if self.mean_pooling:
            x = x[:, 1:].mean(1) if self.has_cls else x.mean(1)
            if self.norm_embed is not None:
                x = self.norm_embed(x)
        if self.detach_head:
            x = x.detach()
        if self.head is None:
            return x
        scores: Tensor = self.head(x, bboxes) if self.detection else self.head(x)
        return scores

    def _run_block(self, block: nn.Module, x: Tensor, thw: list[int]) -> tuple[Tensor, list[int]]:
        if self.gradient_checkpointing and self.training and torch.is_grad_enabled():
            contexts = (contextlib.nullcontext(), frozen_statistics(block))
            run = partial(checkpoint, block, use_reentrant=False, context_fn=lambda: contexts)
        else:
            run = partial(block)
        return cast("tuple[Tensor, list[int]]", run(x, thw))

    def head_linear(self) -> tuple[nn.Module, str]:
        """The classifying layer: `proj` of the head."""
        if not isinstance(getattr(self.head, "proj", None), nn.Module):
            raise InputError("this model was built without a classifying head")
        assert self.head is not None
        return self.head, "proj"

    def depth_prefixes(self) -> tuple[tuple[str, ...], ...]:
        """What is before the blocks, each block, what is after them."""
        rows = [f"blocks.{i}" for i in range(len(self.blocks))]
        if self.rev_backbone is not None:
            rows = [f"rev_backbone.layers.{i}" for i in range(len(self.rev_backbone.layers))]
        first = ("patch_embed", "cls_positional_encoding", "norm_stem")
        last = ("fuse", "norm_embed", "head")
        return (first, *((row,) for row in rows), last)

    @property
    def feature_info(self) -> tuple[FeatureInfo, ...]:
        """Each block; strides count pixels and frames of the clip."""
        prefix = "blocks" if self.rev_backbone is None else "rev_backbone.layers"
        step = list(self.geometry.stride)
        rows = []
        for i, plan in enumerate(self.plans):
            step = [a * b for a, b in zip(step, plan.stride_q or (1, 1, 1), strict=True)]
            stride = ((step[0], step[1], step[2]),)
            rows.append(FeatureInfo(name=f"{prefix}.{i}", channels=(plan.dim_out,), stride=stride))
        return tuple(rows)

    def stage_features(self, x: Any, *names: str) -> dict[str, tuple[Tensor, ...]]:
        """See `VideoModel.stage_features`; reversible blocks keep what they would compute back."""
        backbone = self.rev_backbone
        if backbone is None:
            return super().stage_features(x, *names)
        kept, backbone.keep_activations = backbone.keep_activations, True
        try:
            return super().stage_features(x, *names)
        finally:
            backbone.keep_activations = kept

    def _stage_maps(
        self, info: FeatureInfo, clip: Any, inputs: tuple[Any, ...], output: Any
    ) -> tuple[Tensor, ...]:
        """The tokens of a block in the places of its grid."""
        del info, clip
        first, second = output
        if isinstance(second, Tensor):  # two reversible streams, whose grid stays the same
            return (tokens_as_map((first + second) / 2, inputs[2]),)
        return (tokens_as_map(first, second),)

    def fuse_norm_before_linear(self, bn: nn.Module | None, linear: nn.Linear) -> nn.Linear:
        """See `mvit_fuse.fuse_norm_before_linear`."""
        return fuse_norm_before_linear(bn, linear)

    def fuse_norm_after_linear(self, linear: nn.Linear, bn: nn.Module | None) -> nn.Linear:
        """See `mvit_fuse.fuse_norm_after_linear`."""
        return fuse_norm_after_linear(linear, bn)

    def fuse_bn(self) -> None:
        """Folds the batch norms into linear layers, in place, without changing the function.

        Raises:
            ConfigError: in training mode, where a batch norm uses the batch; or a model whose
                norms are layer norms, which cannot be folded.
        """
        if self.training:
            raise ConfigError("batch norms can be folded in evaluation mode only: call eval()")
        if not any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in self.blocks.modules()):
            raise ConfigError("there is no batch norm to fold; layer norms depend on the input")
        for block in self.blocks:
            assert isinstance(block, MultiScaleBlock)
            fuse_block(block)


def create_multiscale_vision_transformers(
    *,
    spatial_size: int | Sizes,
    temporal_size: int,
    cls_embed_on: bool = True,
    sep_pos_embed: bool = True,
    depth: int = 16,
    norm: str = "layernorm",
    enable_patch_embed: bool = True,
    input_channels: int = 3,
    patch_embed_dim: int = 96,
    conv_patch_embed_kernel: Sizes = (3, 7, 7),
    conv_patch_embed_stride: Sizes = (2, 4, 4),
    conv_patch_embed_padding: Sizes = (1, 3, 3),
    enable_patch_embed_norm: bool = False,
    use_2d_patch: bool = False,
    num_heads: int = 1,
    mlp_ratio: float = 4.0,
    qkv_bias: bool = True,
    dropout_rate_block: float = 0.0,
    droppath_rate_block: float = 0.0,
    pooling_mode: str = "conv",
    pool_first: bool = False,
    residual_pool: bool = False,
    depthwise_conv: bool = True,
    bias_on: bool = True,
    separate_qkv: bool = True,
    embed_dim_mul: Sequence[Sequence[float]] | None = None,
    atten_head_mul: Sequence[Sequence[float]] | None = None,
    dim_mul_in_att: bool = False,
    pool_q_stride_size: Sequence[Sizes] | None = None,
    pool_kv_stride_size: Sequence[Sizes] | None = None,
    pool_kv_stride_adaptive: Sizes | None = None,
    pool_kvq_kernel: Sizes | None = None,
    head: Callable[..., nn.Module] | None = create_vit_basic_head,
    head_dropout_rate: float = 0.5,
    head_activation: Callable[..., nn.Module] | None = None,
    head_num_classes: int = 400,
    create_scriptable_model: bool = False,
    multiscale_vit_class: Callable[..., nn.Module] = MultiscaleVisionTransformers,
    variant: MViTVariant | Mapping[str, Any] | None = None,
) -> nn.Module:
    """Builds a multiscale vision transformer for clips or images.

    Args:
        spatial_size: (H, W) of the clip in pixels; one number is a square.
        temporal_size: frames of the clip.
        cls_embed_on: class token; without it the tokens are averaged.
        sep_pos_embed: one table of positions for space and one for time, instead of one for both.
        depth: number of blocks.
        norm: "layernorm" or "batchnorm".
        enable_patch_embed: cut the clip into patches; without it tokens come in, and the sizes
            above are their grid.
        input_channels: channels of the clip.
        patch_embed_dim: width of the tokens.
        conv_patch_embed_kernel: size of a patch (T, H, W); (H, W) with `use_2d_patch`.
        conv_patch_embed_stride: distance of patches.
        conv_patch_embed_padding: zeros at both ends.
        enable_patch_embed_norm: norm of the tokens before the positions are added.
        use_2d_patch: images, B C H W.
        num_heads: heads of the first block.
        mlp_ratio: hidden width of perceptrons for each unit of their input's.
        qkv_bias: bias of the projections to queries, keys and values.
        dropout_rate_block: dropout of tokens, attentions and perceptrons.
        droppath_rate_block: probability that a sample leaves out a branch of the last block; it
            rises linearly from 0.
        pooling_mode: "conv", "avg", "max", or "conv_unshared" (with `pool_first`).
        pool_first: pool before the projections.
        residual_pool: add the pooled queries to the attention's output.
        depthwise_conv: learned pooling mixes no channels.
        bias_on: bias of all other linear layers.
        separate_qkv: three projections instead of a joint one.
        embed_dim_mul: pairs (block, factor) of the width.
        atten_head_mul: pairs (block, factor) of the number of heads.
        dim_mul_in_att: the attention changes the width, not the perceptron before it.
        pool_q_stride_size: rows (block, T, H, W): steps of the pooling of queries.
        pool_kv_stride_size: rows (block, T, H, W): steps of the pooling of keys and values.
        pool_kv_stride_adaptive: step of the pooling of keys and values in the first block, which
            falls as the queries are pooled; instead of `pool_kv_stride_size`.
        pool_kvq_kernel: window of every pooling; None takes 1 more than the step.
        head: builds the head from `in_features`, `out_features`, `seq_pool_type`, `dropout_rate`,
            `activation`; None for none.
        head_dropout_rate: dropout of the head.
        head_activation: class of the head's activation; None leaves logits.
        head_num_classes: number of classes.
        create_scriptable_model: kept for old programs; every model built here can be scripted.
        multiscale_vit_class: class put together from the parts; another one than the default takes
            the six parts that PyTorchVideo names.
        variant: what PySlowFast has besides (MViTv2, reversible, ...); also as a dictionary.

    Raises:
        ConfigError: settings that contradict each other or name blocks that do not exist.
    """
    chosen = MViTVariant.of(variant)
    if use_2d_patch and temporal_size != 1:
        raise ConfigError(f"use_2d_patch takes images: temporal_size = {temporal_size} must be 1")
    norms = make_norms(norm)
    patch_embed, grid = make_patch_embed(
        (temporal_size, *_square(spatial_size)),
        enabled=enable_patch_embed,
        image=use_2d_patch,
        channels=(input_channels, patch_embed_dim),
        window=(conv_patch_embed_kernel, conv_patch_embed_stride, conv_patch_embed_padding),
        norm=norms.patch if enable_patch_embed_norm else None,
    )
    schedule = Schedule(
        depth=depth, dim=patch_embed_dim, num_heads=num_heads, dim_mul=embed_dim_mul,
        head_mul=atten_head_mul, q_stride=pool_q_stride_size, kv_stride=pool_kv_stride_size,
        kv_stride_adaptive=pool_kv_stride_adaptive, kernel=pool_kvq_kernel,
        dim_mul_in_att=dim_mul_in_att or chosen.reversible is not None,
    )  # fmt: skip
    plans = plan_blocks(schedule, grid, exact=chosen.origin == "pyslowfast")
    settings: dict[str, Any] = {
        "mlp_ratio": mlp_ratio, "qkv_bias": qkv_bias, "dropout_rate": dropout_rate_block,
        "pool_mode": pooling_mode, "pool_first": pool_first, "residual_pool": residual_pool,
        "depthwise_conv": depthwise_conv, "bias_on": bias_on, "separate_qkv": separate_qkv,
        "has_cls_embed": cls_embed_on, "dim_mul_in_att": dim_mul_in_att,
    }  # fmt: skip
    how = (plans, chosen, norms, droppath_rate_block, settings)
    backbone = None if chosen.reversible is None else make_reversible(*how)
    width = plans[-1].dim_out if backbone is None else fused_width(backbone, chosen)
    parts: dict[str, Any] = {
        "patch_embed": patch_embed,
        "cls_positional_encoding": SpatioTemporalClsPositionalEncoding(
            patch_embed_dim, grid, sep_pos_embed, cls_embed_on, positions=chosen.positions
        ),
        "pos_drop": nn.Dropout(dropout_rate_block) if dropout_rate_block > 0 else None,
        "blocks": make_blocks(*how) if backbone is None else nn.ModuleList(),
        "norm_embed": None if norms.last is None else norms.last(width),
        "head": make_head(
            head, chosen, in_features=width, out_features=head_num_classes,
            dropout_rate=head_dropout_rate, activation=head_activation,
            pool="cls" if cls_embed_on else "mean", frames=grid[0],
        ),
    }  # fmt: skip
    if multiscale_vit_class is MultiscaleVisionTransformers:
        stem = norms.patch(patch_embed_dim) if chosen.norm_stem else None
        parts.update(norm_stem=stem, reversible=backbone, variant=chosen, plans=plans)
    elif chosen != MViTVariant():
        raise ConfigError("a multiscale_vit_class of your own knows no variant")
    return multiscale_vit_class(**parts)


def _square(size: int | Sizes) -> tuple[int, int]:
    h, w = (size, size) if isinstance(size, int) else size
    return int(h), int(w)
