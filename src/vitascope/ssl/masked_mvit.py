"""Transformers that predict what they do not see: MaskFeat (arXiv:2112.09133), MAE (2205.09113)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from vitascope.errors import ConfigError, InputError
from vitascope.layers.attention import MultiScaleBlock
from vitascope.layers.positional_encoding import SpatioTemporalClsPositionalEncoding
from vitascope.layers.truncated_normal import truncated_normal_
from vitascope.models.mvit.model import MultiscaleVisionTransformers
from vitascope.ssl.hog import HOGLayer
from vitascope.ssl.masking import Masking, by_noise, random_noise, resize_mask

_LayerNorm = partial(nn.LayerNorm, eps=1e-6)
_BINS, _CELL = 9, 8  # orientations and pixels of a cell of the histograms


class MaskedOutput(NamedTuple):
    """What a masked model gives.

    Attributes:
        predictions: for each depth a row for each hidden token (B N rows with `return_all`).
        targets: for each depth what the rows of hidden tokens should be, and a weight of the loss.
    """

    predictions: list[Tensor]
    targets: list[tuple[Tensor, float]]


@dataclass(frozen=True, kw_only=True)
class MaskSpec:
    """What is hidden, what is predicted, and how.

    Attributes:
        predict: "hog" (histograms of oriented gradients) or "pixels".
        depths: blocks after which is predicted; blocks behind the last are left out. Nothing
            stands for the last block.
        mae: hidden tokens do not enter the encoder (MAE) instead of being replaced (MaskFeat).
        ratio: share of tokens to hide at random, where no mask is given.
        tube: hide the same positions in every frame.
        per_frame: hide the same number in every frame (MAE only).
        decoder_depth: attention blocks before the prediction.
        decoder_dim: their width.
        decoder_separate_positions: one table of positions for space and one for time (MAE only).
        decoder_kernel: window (T, H, W) of the pooling of keys and values in them.
        decoder_stride: its step.
        first_frames: predict the first frame of each token only, not all of its frames (pixels).
        normalize: scale the pixels of each token to mean 0 and deviation 1.
        scale_init: divide the start values of each block by the root of twice its depth.
    """

    predict: str = "hog"
    depths: tuple[int, ...] = ()
    mae: bool = False
    ratio: float = 0.4
    tube: bool = False
    per_frame: bool = False
    decoder_depth: int = 0
    decoder_dim: int = 512
    decoder_separate_positions: bool = False
    decoder_kernel: tuple[int, ...] = ()
    decoder_stride: tuple[int, ...] = ()
    first_frames: bool = True
    normalize: bool = True
    scale_init: bool = False

    def __post_init__(self) -> None:
        if self.predict not in ("hog", "pixels"):
            raise ConfigError(f"predict = {self.predict!r}; legal values: hog, pixels")
        if not 0.0 < self.ratio < 1.0:
            raise ConfigError(f"ratio = {self.ratio}; a share between 0 and 1 is hidden")
        for name in ("depths", "decoder_kernel", "decoder_stride"):
            object.__setattr__(self, name, tuple(getattr(self, name)))


class PredictionHead(nn.Module):
    """Attention blocks, norm and a linear layer for each depth.

    Args:
        dims: width of the tokens of each depth.
        outputs: numbers to predict for each token of each depth.
        grids: grid (T, H, W) of each depth.
        has_cls: the first token is a class token, which is left out.
        spec: depth, width and pooling of the attention blocks.
        settings: further arguments of `MultiScaleBlock`.
    """

    def __init__(
        self,
        dims: Sequence[int],
        outputs: Sequence[int],
        grids: Sequence[tuple[int, int, int]],
        has_cls: bool,
        spec: MaskSpec,
        settings: dict[str, Any],
    ) -> None:
        super().__init__()
        self.has_cls = has_cls
        self.transforms = nn.ModuleList()
        self.projections = nn.ModuleList()
        for dim, output, grid in zip(dims, outputs, grids, strict=True):
            layers: list[nn.Module] = []
            for _ in range(spec.decoder_depth):
                layers.append(
                    MultiScaleBlock(
                        dim, spec.decoder_dim, max(spec.decoder_dim // 64, 1),
                        norm_layer=_LayerNorm, attn_norm_layer=_LayerNorm, kernel_q=(),
                        kernel_kv=spec.decoder_kernel, stride_q=(), stride_kv=spec.decoder_stride,
                        has_cls_embed=has_cls, input_size=grid, **settings,
                    )
                )  # fmt: skip
                dim = spec.decoder_dim
            layers.append(_LayerNorm(dim))
            self.transforms.append(nn.Sequential(*layers))
            self.projections.append(nn.Linear(dim, output))
        for module in self.modules():
            if isinstance(module, nn.Linear):
                truncated_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)

    def forward(
        self, tokens: Sequence[Tensor], hidden: Sequence[Tensor | None], thw: list[int]
    ) -> list[Tensor]:
        """Predicts.

        Args:
            tokens: B N C of each depth.
            hidden: tokens to predict, B N boolean; None for all.
            thw: grid of the tokens.
        """
        found = []
        for i, x in enumerate(tokens):
            for layer in self.transforms[i].children():
                x = layer(x, thw)[0] if isinstance(layer, MultiScaleBlock) else layer(x)
            x = x[:, 1:] if self.has_cls else x
            which = hidden[i]
            found.append(self.projections[i](x if which is None else x[which]))
        return found


class MaskedMViT(nn.Module):
    """A multiscale vision transformer without norm and head, and what predicts hidden tokens.

    Parameters of the encoder have the names that they have in the encoder, so its weights go over
    to a classifying model as they are.

    Args:
        encoder: built with `head=None`; its parts are taken over, not copied.
        spec: what is hidden and predicted.
        qkv_bias: bias of the projections to queries, keys and values in the decoder.
        mlp_ratio: hidden width of the decoder's perceptrons for each unit of their input's.
        separate_qkv: three projections in the decoder instead of a joint one.

    Raises:
        ConfigError: a depth that does not exist; MAE with pooling or without positions; histograms
            of tokens that are smaller than a cell.
    """

    def __init__(
        self,
        encoder: MultiscaleVisionTransformers,
        spec: MaskSpec,
        *,
        qkv_bias: bool = True,
        mlp_ratio: float = 4.0,
        separate_qkv: bool = False,
    ) -> None:
        super().__init__()
        self.spec = spec
        self.depths = spec.depths or (len(encoder.blocks) - 1,)
        self._check(encoder)
        assert encoder.patch_embed is not None
        positions = encoder.cls_positional_encoding
        assert isinstance(positions, SpatioTemporalClsPositionalEncoding)
        self.geometry = encoder.geometry
        self.patch_embed = encoder.patch_embed
        self.cls_positional_encoding = positions
        self.pos_drop, self.norm_stem = encoder.pos_drop, encoder.norm_stem
        self.blocks = nn.ModuleList(list(encoder.blocks)[: self.depths[-1] + 1])
        self.grids, self.strides = _geometry(encoder, self.depths)
        widths = [encoder.plans[depth].dim_out for depth in self.depths]
        self.hogs = nn.ModuleList([HOGLayer(_BINS, _CELL)] if spec.predict == "hog" else [])
        self.norm_embed: nn.Module | None = None
        self.decoder_embed: nn.Module | None = None
        token_width = encoder.plans[0].dim
        if spec.mae:
            self._make_decoder(widths[-1])
            widths, token_width = [spec.decoder_dim], spec.decoder_dim
        self.mask_token = nn.Parameter(torch.zeros(1, 1, token_width))
        truncated_normal_(self.mask_token, std=0.02)
        self.pred_head = PredictionHead(
            widths, [self._outputs(stride) for stride in self.strides], self.grids,
            positions.cls_embed_on, spec,
            {"qkv_bias": qkv_bias, "mlp_ratio": mlp_ratio, "separate_qkv": separate_qkv},
        )  # fmt: skip
        if spec.scale_init:
            self._scale_init()

    def _check(self, encoder: MultiscaleVisionTransformers) -> None:
        depths, count = self.depths, len(encoder.blocks)
        if list(depths) != sorted(set(depths)) or not 0 <= depths[0] <= depths[-1] < count:
            raise ConfigError(f"depths = {depths}; expected rising numbers below {count}")
        if self.spec.mae:
            pooled = any(any(s > 1 for s in plan.stride_q) for plan in encoder.plans)
            if pooled or len(depths) > 1 or not self.spec_positions(encoder):
                raise ConfigError(
                    "MAE drops tokens, so it needs an encoder without pooling, with absolute "
                    "positions, and one depth"
                )

    @staticmethod
    def spec_positions(encoder: MultiscaleVisionTransformers) -> bool:
        """Whether an encoder has absolute positions."""
        return bool(getattr(encoder.cls_positional_encoding, "absolute", False))

    def _make_decoder(self, width: int) -> None:
        spec, positions = self.spec, self.cls_positional_encoding
        self.norm_embed = _LayerNorm(width)
        self.decoder_embed = nn.Linear(width, spec.decoder_dim)
        # A module without a token of its own: the class token comes from the encoder.
        table = SpatioTemporalClsPositionalEncoding(
            spec.decoder_dim, positions.grid, spec.decoder_separate_positions,
            positions.cls_embed_on,
        )  # fmt: skip
        table.cls_token = None
        table.reset_parameters()
        self.decoder_positions = table

    def _outputs(self, stride: tuple[int, int, int]) -> int:
        if self.spec.predict == "hog":
            side = stride[2] // _CELL
            if side < 1:
                raise ConfigError(
                    f"tokens of {stride[2]} pixels are smaller than a cell of {_CELL}"
                )
            return _BINS * side**2 * 3
        frames = 1 if self.spec.first_frames else self.geometry.stride[0]
        return frames * stride[1] * stride[2] * 3

    @torch.no_grad()
    def _scale_init(self) -> None:
        blocks = [block for block in self.blocks if isinstance(block, MultiScaleBlock)]
        for i, block in enumerate(blocks, start=1):
            block.attn.proj.weight.div_(math.sqrt(2.0 * i))
            block.mlp.fc2.weight.div_(math.sqrt(2.0 * i))
        for row in self.pred_head.transforms:
            for i, layer in enumerate(row.children(), start=1):
                if isinstance(layer, MultiScaleBlock):
                    layer.attn.proj.weight.div_(math.sqrt(2.0 * (i + len(blocks))))
                    layer.mlp.fc2.weight.div_(math.sqrt(2.0 * i))

    def forward(self, x: Any, mask: Tensor | None = None, return_all: bool = False) -> MaskedOutput:
        """Hides tokens and predicts them.

        Args:
            x: clips B 3 T H W, or images B 3 H W; also a list of clips, anything and mask, as
                PySlowFast hands them over.
            mask: MaskFeat: 1 where a token of the last depth is hidden, B T H W (B H W for images).
                MAE: noise, B T H W; the tokens with the largest are hidden, as many as its mean
                says. None hides at random.
            return_all: predict all tokens, not the hidden ones alone.

        Raises:
            InputError: a clip or mask that does not fit.
        """
        if isinstance(x, list | tuple):
            mask = x[-1] if len(x) > 1 else mask
            x = x[0]
        self.geometry.check(x, values=False)
        if self.geometry.image and x.dim() == 5:
            x = x.squeeze(2)
        run = self._autoencode if self.spec.mae else self._replace
        predictions, hidden = run(x, mask, return_all)
        return MaskedOutput(predictions, self.targets(x, hidden))

    def _autoencode(
        self, x: Tensor, noise: Tensor | None, return_all: bool
    ) -> tuple[list[Tensor], list[Tensor]]:
        """MAE: the encoder sees the kept tokens, the decoder all."""
        assert self.norm_embed is not None and self.decoder_embed is not None
        tokens = self.patch_embed(x)
        batch, thw = len(tokens), list(self.geometry.grid)
        masking = self._masking(tokens, noise)
        places, token = self.cls_positional_encoding.table(), self.cls_positional_encoding.cls_token
        assert places is not None
        rows = self._frames(tokens + places[:, -tokens.shape[1] :])
        kept = masking.take(rows).reshape(batch, -1, tokens.shape[2])
        if token is not None:
            first_token = (token + places[:, :1]).expand(batch, -1, -1)
            kept = torch.cat([first_token, kept], dim=1)
        for block in self.blocks:
            kept, thw = block(kept, thw)
        code = self.decoder_embed(self.norm_embed(kept))
        first = 0 if token is None else 1
        seen = code[:, first:].reshape(len(rows), -1, code.shape[2])
        filled = masking.fill(seen, self.mask_token).reshape(batch, -1, code.shape[2])
        table = self.decoder_positions.table()
        assert table is not None
        decoded = torch.cat([code[:, :first], filled], dim=1) + table
        hidden = masking.hidden.reshape(batch, -1)
        which: list[Tensor | None] = [None if return_all else hidden]
        return self.pred_head([decoded], which, thw), [hidden]

    def _frames(self, tokens: Tensor) -> Tensor:
        """B N C, or BT N/T C where every frame hides as many tokens."""
        if not self.spec.per_frame:
            return tokens
        return tokens.reshape(-1, tokens.shape[1] // self.geometry.grid[0], tokens.shape[2])

    def _masking(self, tokens: Tensor, noise: Tensor | None) -> Masking:
        ratio = self.spec.ratio
        if noise is None:
            noise = random_noise(len(tokens), self.geometry.grid, self.spec.tube, tokens)
        else:
            noise = self._fitting(noise, tokens.shape[1])
            ratio = float(noise.double().mean())
        noise = self._frames(noise[..., None])[..., 0]
        return by_noise(noise, int(noise.shape[1] * (1.0 - ratio)))

    @staticmethod
    def _fitting(mask: Tensor, count: int) -> Tensor:
        flat = mask.flatten(1)
        if flat.shape[1] != count:
            raise InputError(f"a mask of {flat.shape[1]} values does not fit {count} tokens")
        return flat

    def _replace(
        self, x: Tensor, mask: Tensor | None, return_all: bool
    ) -> tuple[list[Tensor], list[Tensor]]:
        """MaskFeat: hidden tokens are replaced by a learned one."""
        tokens = self.patch_embed(x)
        if mask is None:
            noise = random_noise(len(x), self.grids[-1], self.spec.tube, tokens)
            keep = int(noise.shape[1] * (1.0 - self.spec.ratio))
            mask = by_noise(noise, keep).hidden.reshape(len(x), *self.grids[-1])
        mask = mask.to(tokens.dtype)
        mask = mask[:, None] if mask.dim() == 3 else mask
        if mask.dim() != 4 or mask.shape[1] != self.geometry.grid[0]:
            raise InputError(
                f"the mask is B T H W with T = {self.geometry.grid[0]}, got "
                f"{'x'.join(map(str, mask.shape))}"
            )
        hidden = [resize_mask(mask, grid[1:]).flatten(1).bool() for grid in self.grids]
        share = resize_mask(mask, self.geometry.grid[1:]).flatten(1)[..., None]
        tokens = tokens * (1 - share) + self.mask_token * share
        tokens = self.cls_positional_encoding(tokens)
        for layer in (self.pos_drop, self.norm_stem):
            tokens = tokens if layer is None else layer(tokens)
        thw, found = list(self.geometry.grid), []
        for i, block in enumerate(self.blocks):
            tokens, thw = block(tokens, thw)
            if i in self.depths:
                found.append(tokens)
        which = [None if return_all else row for row in hidden]
        return self.pred_head(found, which, thw), hidden

    @torch.no_grad()
    def targets(self, x: Tensor, hidden: Sequence[Tensor]) -> list[tuple[Tensor, float]]:
        """What the rows of hidden tokens should be, and a weight, for each depth.

        Args:
            x: clips B 3 T H W, or images B 3 H W.
            hidden: hidden tokens of each depth, B N boolean.
        """
        make = self._histograms if self.spec.predict == "hog" else self._pixels
        weight = 1.0 if self.spec.predict == "hog" else 1.0 / len(self.depths)
        return [
            (make(x, grid, stride)[rows], weight)
            for grid, stride, rows in zip(self.grids, self.strides, hidden, strict=True)
        ]

    def _histograms(self, x: Tensor, grid: tuple[int, ...], stride: tuple[int, ...]) -> Tensor:
        """Histograms of the cells of each token: B N (3 bins cells)."""
        frames = x[:, :, None] if x.dim() == 4 else x[:, :, :: self.geometry.stride[0]]
        batch, count = len(frames), frames.shape[2]
        cells = self.hogs[0](frames.transpose(1, 2).flatten(0, 1)).flatten(1, 2)
        side = cells.shape[-1] // grid[-1]
        rows: Tensor = cells.permute(0, 2, 3, 1).unfold(1, side, side).unfold(2, side, side)
        return rows.flatten(3).reshape(batch, count * grid[1] * grid[2], -1)

    def _pixels(self, x: Tensor, grid: tuple[int, ...], stride: tuple[int, ...]) -> Tensor:
        """Pixels of each token: B N values."""
        p = stride[-1]
        if x.dim() == 4:
            rows = x.unfold(2, p, p).unfold(3, p, p)  # B C h w p p
            label = rows.permute(0, 2, 3, 1, 4, 5).flatten(1, 2).flatten(2)
        else:
            step = self.geometry.stride[0]
            frames = x[:, :, ::step] if self.spec.first_frames else x
            u = 1 if self.spec.first_frames else step
            parts = frames.unfold(2, u, u).unfold(3, p, p).unfold(4, p, p)  # B C t h w u p p
            label = parts.permute(0, 2, 3, 4, 5, 6, 7, 1).flatten(1, 3).flatten(2)
        if self.spec.normalize:
            mean, var = label.mean(-1, keepdim=True), label.var(-1, keepdim=True)
            label = (label - mean) / (var + 1.0e-6) ** 0.5
        return label


def _geometry(
    encoder: MultiscaleVisionTransformers, depths: Sequence[int]
) -> tuple[list[tuple[int, int, int]], list[tuple[int, int, int]]]:
    """Grid (T, H, W) and stride in frames and pixels of each depth."""
    grids, strides = [], []
    for depth in depths:
        t, h, w = encoder.geometry.grid
        a, b, c = encoder.geometry.stride
        for plan in encoder.plans[: depth + 1]:
            q = plan.stride_q or (1, 1, 1)
            t, h, w, a, b, c = t // q[0], h // q[1], w // q[2], a * q[0], b * q[1], c * q[2]
        grids.append((t, h, w))
        strides.append((a, b, c))
    return grids, strides
