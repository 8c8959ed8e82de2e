"""Heads: feature maps to scores."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from vitascope.errors import ConfigError, InputError
from vitascope.layers.batch_norm import ModuleFactory, make_activation
from vitascope.layers.roi_align import RoIAlign

Triple = tuple[int, int, int]
WHEN = ("always", "evaluation")


class ResNetBasicHead(nn.Module):
    """Pooling, dropout, a linear layer at each position, activation, mean over positions.

    Args:
        pool: pooling over time and space.
        dropout: dropout of the pooled features.
        proj: linear layer over channels.
        activation: activation over channels.
        output_pool: pooling of the scores over the positions that are left.
        when: "always" applies activation and `output_pool` in training too (PyTorchVideo);
            "evaluation" leaves them out in training, where the positions are laid out one after
            the other (PySlowFast). A loss that applies a softmax itself needs "evaluation" or no
            activation.
        detach: keep gradients from what comes before the linear layer, to train that alone.
    """

    def __init__(
        self,
        pool: nn.Module | None = None,
        dropout: nn.Module | None = None,
        proj: nn.Module | None = None,
        activation: nn.Module | None = None,
        output_pool: nn.Module | None = None,
        when: str = "always",
        detach: bool = False,
    ) -> None:
        super().__init__()
        if proj is None:
            raise ConfigError("a head needs proj")
        if when not in WHEN:
            raise ConfigError(f"when = {when!r}; legal values: {', '.join(WHEN)}")
        self.pool = pool
        self.dropout = dropout
        self.proj = proj
        self.activation = activation
        self.output_pool = output_pool
        self.when = when
        self.detach = detach

    def forward(self, x: Tensor) -> Tensor:
        """Maps B C T H W to B classes (B classes T H W without `output_pool`)."""
        if self.pool is not None:
            x = self.pool(x)
        if self.dropout is not None:
            x = self.dropout(x)
        if self.detach:
            x = x.detach()
        x = self.proj(x.permute(0, 2, 3, 4, 1))
        if self.when == "evaluation" and self.training:
            return x.flatten(1)
        x = x.permute(0, 4, 1, 2, 3)
        if self.activation is not None:
            x = self.activation(x)
        if self.output_pool is not None:
            x = torch.flatten(self.output_pool(x), 1)
        return x


class ProjectedPool(nn.Module):
    """Convolution, pooling, convolution, each convolution with norm and activation.

    Args:
        pre_conv: convolution before the pooling.
        pre_norm: norm after it.
        pre_act: activation after it.
        pool: pooling.
        post_conv: convolution after the pooling.
        post_norm: norm after it.
        post_act: activation after it.
    """

    def __init__(
        self,
        *,
        pre_conv: nn.Module | None = None,
        pre_norm: nn.Module | None = None,
        pre_act: nn.Module | None = None,
        pool: nn.Module | None = None,
        post_conv: nn.Module | None = None,
        post_norm: nn.Module | None = None,
        post_act: nn.Module | None = None,
    ) -> None:
        super().__init__()
        if pre_conv is None or pool is None or post_conv is None:
            raise ConfigError("ProjectedPool needs pre_conv, pool and post_conv")
        self.pre_conv = pre_conv
        self.pre_norm = pre_norm
        self.pre_act = pre_act
        self.pool = pool
        self.post_conv = post_conv
        self.post_norm = post_norm
        self.post_act = post_act

    def forward(self, x: Tensor) -> Tensor:
        """Maps B C T H W to B C' T' H' W'."""
        x = self.pre_conv(x)
        if self.pre_norm is not None:
            x = self.pre_norm(x)
        if self.pre_act is not None:
            x = self.pre_act(x)
        x = self.post_conv(self.pool(x))
        if self.post_norm is not None:
            x = self.post_norm(x)
        if self.post_act is not None:
            x = self.post_act(x)
        return x


def make_dropout(rate: float) -> nn.Module | None:
    """Dropout; None at a rate of 0."""
    return nn.Dropout(rate) if rate > 0 else None


def make_head_pool(
    pool: Callable[..., nn.Module] | None,
    kernel_size: Any,
    stride: Any,
    padding: Any,
    output_size: Any,
) -> nn.Module | None:
    """Builds the pooling of a head.

    Args:
        pool: a pooling class: one with a window, an adaptive one, any other callable that takes
            `kernel_size`, `stride` and `padding`, or None.
        kernel_size: window (T, H, W).
        stride: step of the window.
        padding: zeros at both ends.
        output_size: (T, H, W) of the result of an adaptive pooling.
    """
    if pool is None:
        return None
    if pool in (nn.AdaptiveAvgPool3d, nn.AdaptiveMaxPool3d):
        return pool(output_size)
    return pool(kernel_size=kernel_size, stride=stride, padding=padding)


def create_res_basic_head(
    *,
    in_features: int,
    out_features: int,
    pool: ModuleFactory | None = nn.AvgPool3d,
    output_size: Triple = (1, 1, 1),
    pool_kernel_size: Triple = (1, 7, 7),
    pool_stride: Triple = (1, 1, 1),
    pool_padding: Triple = (0, 0, 0),
    dropout_rate: float = 0.5,
    activation: ModuleFactory | None = None,
    output_with_global_average: bool = True,
    when: str = "always",
    detach: bool = False,
) -> ResNetBasicHead:
    """Builds the head of a classifying ResNet.

    Args:
        in_features: channels of the features.
        out_features: number of classes.
        pool: pooling class, None for none.
        output_size: result (T, H, W) of an adaptive pooling.
        pool_kernel_size: window (T, H, W) of any other pooling.
        pool_stride: step of the window.
        pool_padding: zeros at both ends of the features.
        dropout_rate: share of pooled features set to 0 in training.
        activation: class of the activation; None leaves logits.
        output_with_global_average: average the scores over the positions left by `pool`.
        when: see `ResNetBasicHead`.
        detach: see `ResNetBasicHead`.
    """
    return ResNetBasicHead(
        pool=make_head_pool(pool, pool_kernel_size, pool_stride, pool_padding, output_size),
        dropout=make_dropout(dropout_rate),
        proj=nn.Linear(in_features, out_features),
        activation=make_activation(activation),
        output_pool=nn.AdaptiveAvgPool3d(1) if output_with_global_average else None,
        when=when,
        detach=detach,
    )


class ResNetRoIHead(nn.Module):
    """Scores of boxes: pooling over time, RoIAlign, pooling over the box, a linear layer.

    Args:
        pool: pooling over time, which has to leave one frame.
        pool_spatial: pooling over a box.
        roi_layer: maps B C H W and boxes to R C h w.
        dropout: dropout of the pooled features.
        proj: linear layer over channels.
        activation: activation over channels.
        output_pool: pooling of the scores over the positions that are left.
        when: "always" applies activation and `output_pool` in training too, "evaluation" does not.
    """

    def __init__(
        self,
        pool: nn.Module | None = None,
        pool_spatial: nn.Module | None = None,
        roi_layer: nn.Module | None = None,
        dropout: nn.Module | None = None,
        proj: nn.Module | None = None,
        activation: nn.Module | None = None,
        output_pool: nn.Module | None = None,
        when: str = "always",
    ) -> None:
        super().__init__()
        if proj is None:
            raise ConfigError("a head needs proj")
        if when not in WHEN:
            raise ConfigError(f"when = {when!r}; legal values: {', '.join(WHEN)}")
        self.pool = pool
        self.pool_spatial = pool_spatial
        self.roi_layer = roi_layer
        self.dropout = dropout
        self.proj = proj
        self.activation = activation
        self.output_pool = output_pool
        self.when = when

    def forward(self, x: Tensor, bboxes: Tensor) -> Tensor:
        """Maps features B C T H W and boxes R x 5 to R classes.

        Without `output_pool` the scores keep their positions: R classes 1 h w.

        Args:
            x: features.
            bboxes: rows (index in the batch, x1, y1, x2, y2), in pixels of the clip.

        Raises:
            InputError: more than one frame is left before RoIAlign.
        """
        if self.pool is not None:
            x = self.pool(x)
        if self.roi_layer is not None:
            if x.shape[2] != 1:
                raise InputError(
                    f"RoIAlign works on one frame, but {x.shape[2]} are left after the pooling "
                    f"over time; give clips of the length that the head was built for"
                )
            x = self.roi_layer(x.squeeze(2), bboxes)
            if self.pool_spatial is not None:
                x = self.pool_spatial(x)
            x = x.unsqueeze(2)
        if self.dropout is not None:
            x = self.dropout(x)
        x = self.proj(x.permute(0, 2, 3, 4, 1))
        if self.when == "evaluation" and self.training:
            return x.flatten(1)
        x = x.permute(0, 4, 1, 2, 3)
        if self.activation is not None:
            x = self.activation(x)
        if self.output_pool is not None:
            x = torch.flatten(self.output_pool(x), 1)
        return x


def create_res_roi_pooling_head(
    *,
    in_features: int,
    out_features: int,
    resolution: tuple[int, int],
    spatial_scale: float,
    sampling_ratio: int = 0,
    roi: Callable[..., nn.Module] | None = RoIAlign,
    pool: ModuleFactory | None = nn.AvgPool3d,
    output_size: Triple = (1, 1, 1),
    pool_kernel_size: Triple = (1, 7, 7),
    pool_stride: Triple = (1, 1, 1),
    pool_padding: Triple = (0, 0, 0),
    pool_spatial: ModuleFactory | None = nn.MaxPool2d,
    dropout_rate: float = 0.5,
    activation: ModuleFactory | None = None,
    output_with_global_average: bool = True,
    aligned: bool = False,
    when: str = "always",
) -> ResNetRoIHead:
    """Builds the head of a detecting ResNet.

    Args:
        in_features: channels of the features.
        out_features: number of classes.
        resolution: size (h, w) to which a box is sampled.
        spatial_scale: size of the features over size of the clip.
        sampling_ratio: samples along each side of a cell; 0 takes as many as the box has pixels.
        roi: class of the RoI layer, None for none.
        pool: pooling class over time, None for none.
        output_size: result (T, H, W) of an adaptive pooling.
        pool_kernel_size: window (T, H, W) of any other pooling.
        pool_stride: step of the window.
        pool_padding: zeros at both ends of the features.
        pool_spatial: pooling class over a box, None for none.
        dropout_rate: share of pooled features set to 0 in training.
        activation: class of the activation; None leaves logits.
        output_with_global_average: average the scores over the positions that are left.
        aligned: shift the boxes by half a pixel, as PySlowFast's weights need; PyTorchVideo's
            need False.
        when: see `ResNetRoIHead`.
    """
    # Left out where not asked for, so that any RoI layer with torchvision's first arguments fits.
    shift = {"aligned": True} if aligned else {}
    return ResNetRoIHead(
        pool=make_head_pool(pool, pool_kernel_size, pool_stride, pool_padding, output_size),
        pool_spatial=None if pool_spatial is None else pool_spatial(resolution, stride=1),
        roi_layer=(
            None
            if roi is None
            else roi(
                output_size=resolution,
                spatial_scale=spatial_scale,
                sampling_ratio=sampling_ratio,
                **shift,
            )
        ),
        dropout=make_dropout(dropout_rate),
        proj=nn.Linear(in_features, out_features),
        activation=make_activation(activation),
        output_pool=nn.AdaptiveAvgPool3d(1) if output_with_global_average else None,
        when=when,
    )


class SequencePool(nn.Module):
    """One token for a sequence: B N D to B D.

    Args:
        mode: "cls" takes the first token, "mean" averages all.

    Raises:
        ConfigError: another mode.
    """

    def __init__(self, mode: str) -> None:
        super().__init__()
        if mode not in ("cls", "mean"):
            raise ConfigError(f"mode = {mode!r}; legal values: cls, mean")
        self.mode = mode

    def forward(self, x: Tensor) -> Tensor:
        """Maps B N D to B D."""
        return x[:, 0] if self.mode == "cls" else x.mean(1)


class VisionTransformerBasicHead(nn.Module):
    """Pooling over tokens, dropout, a linear layer, activation.

    Args:
        sequence_pool: maps B N D to B D; None for features that are pooled already.
        dropout: dropout of the pooled features.
        proj: linear layer.
        activation: activation of the scores.
    """

    def __init__(
        self,
        sequence_pool: nn.Module | None = None,
        dropout: nn.Module | None = None,
        proj: nn.Module | None = None,
        activation: nn.Module | None = None,
    ) -> None:
        super().__init__()
        if proj is None:
            raise ConfigError("a head needs proj")
        self.sequence_pool = sequence_pool
        self.dropout = dropout
        self.proj = proj
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        """Maps B N D to B classes."""
        if self.sequence_pool is not None:
            x = self.sequence_pool(x)
        if self.dropout is not None:
            x = self.dropout(x)
        x = self.proj(x)
        return x if self.activation is None else self.activation(x)


def create_vit_basic_head(
    *,
    in_features: int,
    out_features: int,
    seq_pool_type: str = "cls",
    dropout_rate: float = 0.5,
    activation: ModuleFactory | None = None,
) -> VisionTransformerBasicHead:
    """Builds the head of a vision transformer.

    Args:
        in_features: width D of the tokens.
        out_features: number of classes.
        seq_pool_type: "cls", "mean", or "none" for features that are pooled already.
        dropout_rate: share of pooled features set to 0 in training.
        activation: class of the activation; None leaves logits.

    Raises:
        ConfigError: another `seq_pool_type`.
    """
    if seq_pool_type not in ("cls", "mean", "none"):
        raise ConfigError(f"seq_pool_type = {seq_pool_type!r}; legal values: cls, mean, none")
    return VisionTransformerBasicHead(
        sequence_pool=None if seq_pool_type == "none" else SequencePool(seq_pool_type),
        dropout=make_dropout(dropout_rate),
        proj=nn.Linear(in_features, out_features),
        activation=make_activation(activation),
    )
