"""Stems: the first layers of a network."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from vitascope.errors import ConfigError
from vitascope.layers.batch_norm import ModuleFactory, make_activation, make_norm
from vitascope.layers.convolutions import ConvReduce3D

Triple = tuple[int, int, int]


class ResNetBasicStem(nn.Module):
    """Convolution, norm, activation and pooling, each but the first optional.

    Args:
        conv: convolution.
        norm: norm.
        activation: activation.
        pool: pooling.
    """

    def __init__(
        self,
        *,
        conv: nn.Module | None = None,
        norm: nn.Module | None = None,
        activation: nn.Module | None = None,
        pool: nn.Module | None = None,
    ) -> None:
        super().__init__()
        if conv is None:
            raise ConfigError("a stem needs conv")
        self.conv = conv
        self.norm = norm
        self.activation = activation
        self.pool = pool

    def forward(self, x: Tensor) -> Tensor:
        """Maps B C T H W to B C' T' H' W'."""
        x = self.conv(x)
        if self.norm is not None:
            x = self.norm(x)
        if self.activation is not None:
            x = self.activation(x)
        if self.pool is not None:
            x = self.pool(x)
        return x


def create_res_basic_stem(
    *,
    in_channels: int,
    out_channels: int,
    conv_kernel_size: Triple = (3, 7, 7),
    conv_stride: Triple = (1, 2, 2),
    conv_padding: Triple = (1, 3, 3),
    conv_bias: bool = False,
    conv: ModuleFactory = nn.Conv3d,
    pool: ModuleFactory | None = nn.MaxPool3d,
    pool_kernel_size: Triple = (1, 3, 3),
    pool_stride: Triple = (1, 2, 2),
    pool_padding: Triple = (0, 1, 1),
    norm: ModuleFactory | None = nn.BatchNorm3d,
    norm_eps: float = 1e-5,
    norm_momentum: float = 0.1,
    activation: ModuleFactory | None = nn.ReLU,
) -> ResNetBasicStem:
    """Builds the stem of a ResNet.

    Args:
        in_channels: channels of the clip.
        out_channels: channels of the result.
        conv_kernel_size: size (T, H, W) of the convolution.
        conv_stride: its step.
        conv_padding: its zeros.
        conv_bias: whether it adds a number to each channel.
        conv: its class.
        pool: pooling class, None for none.
        pool_kernel_size: its window.
        pool_stride: its step.
        pool_padding: its padding.
        norm: norm class, None for none.
        norm_eps: its epsilon.
        norm_momentum: its momentum.
        activation: activation class, None for none.
    """
    return ResNetBasicStem(
        conv=conv(
            in_channels=in_channels,
            out_channels=out_channels,
            kernel_size=tuple(conv_kernel_size),
            stride=tuple(conv_stride),
            padding=tuple(conv_padding),
            bias=conv_bias,
        ),
        norm=make_norm(norm, out_channels, norm_eps, norm_momentum),
        activation=make_activation(activation),
        pool=(
            None
            if pool is None
            else pool(
                kernel_size=tuple(pool_kernel_size),
                stride=tuple(pool_stride),
                padding=tuple(pool_padding),
            )
        ),
    )


def create_acoustic_res_basic_stem(
    *,
    in_channels: int,
    out_channels: int,
    conv_kernel_size: Triple = (3, 7, 7),
    conv_stride: Triple = (1, 1, 1),
    conv_padding: Triple = (1, 3, 3),
    conv_bias: bool = False,
    pool: ModuleFactory | None = nn.MaxPool3d,
    pool_kernel_size: Triple = (1, 3, 3),
    pool_stride: Triple = (1, 2, 2),
    pool_padding: Triple = (0, 1, 1),
    norm: ModuleFactory | None = nn.BatchNorm3d,
    norm_eps: float = 1e-5,
    norm_momentum: float = 0.1,
    activation: ModuleFactory | None = nn.ReLU,
) -> ResNetBasicStem:
    """Builds the stem for spectrograms: one convolution over time and one over frequency, added.

    Args:
        in_channels: channels of the spectrogram.
        out_channels: channels of the result.
        conv_kernel_size: size (T, H, W) of both together: time, 1, frequency.
        conv_stride: step of both.
        conv_padding: zeros of both together.
        conv_bias: whether they add a number to each channel.
        pool: pooling class, None for none.
        pool_kernel_size: its window.
        pool_stride: its step.
        pool_padding: its padding.
        norm: norm class, None for none.
        norm_eps: its epsilon.
        norm_momentum: its momentum.
        activation: activation class, None for none.
    """
    (kt, kh, kw), (pt, ph, pw) = conv_kernel_size, conv_padding
    return create_res_basic_stem(
        in_channels=in_channels,
        out_channels=out_channels,
        conv_kernel_size=conv_kernel_size,
        conv_stride=conv_stride,
        conv_padding=conv_padding,
        conv=lambda **_: ConvReduce3D(
            in_channels=in_channels,
            out_channels=out_channels,
            kernel_size=((kt, 1, 1), (1, kh, kw)),
            stride=(conv_stride, conv_stride),
            padding=((pt, 0, 0), (0, ph, pw)),
            bias=(conv_bias, conv_bias),
        ),
        pool=pool,
        pool_kernel_size=pool_kernel_size,
        pool_stride=pool_stride,
        pool_padding=pool_padding,
        norm=norm,
        norm_eps=norm_eps,
        norm_momentum=norm_momentum,
        activation=activation,
    )


class PatchEmbed(nn.Module):
    """Patches as tokens: B C T H W (or B C H W) to B N D.

    Args:
        patch_model: convolution that maps each patch to D channels.
        norm: norm of the tokens, over D; None for none.
    """

    def __init__(
        self, *, patch_model: nn.Module | None = None, norm: nn.Module | None = None
    ) -> None:
        super().__init__()
        if patch_model is None:
            raise ConfigError("PatchEmbed needs patch_model")
        self.patch_model = patch_model
        self.norm = norm

    def forward(self, x: Tensor) -> Tensor:
        """Returns the tokens, time first, then rows, then columns."""
        tokens: Tensor = self.patch_model(x)
        tokens = tokens.flatten(2).transpose(1, 2)
        return tokens if self.norm is None else self.norm(tokens)


def create_conv_patch_embed(
    *,
    in_channels: int,
    out_channels: int,
    conv_kernel_size: Sequence[int] = (1, 16, 16),
    conv_stride: Sequence[int] = (1, 4, 4),
    conv_padding: Sequence[int] = (1, 7, 7),
    conv_bias: bool = True,
    conv: ModuleFactory = nn.Conv3d,
) -> PatchEmbed:
    """Builds a patch embedding.

    Args:
        in_channels: channels of the clip.
        out_channels: width D of the tokens.
        conv_kernel_size: size (T, H, W) of a patch.
        conv_stride: step from patch to patch.
        conv_padding: zeros at both ends.
        conv_bias: whether a number is added to each channel.
        conv: class of the convolution.
    """
    return PatchEmbed(
        patch_model=conv(
            in_channels=in_channels,
            out_channels=out_channels,
            kernel_size=tuple(conv_kernel_size),
            stride=tuple(conv_stride),
            padding=tuple(conv_padding),
            bias=conv_bias,
        )
    )
