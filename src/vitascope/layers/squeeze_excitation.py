"""Squeeze-and-excitation (arXiv:1709.01507): channels weighted by what is in the whole clip."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from vitascope.errors import ConfigError
from vitascope.layers.batch_norm import ModuleFactory, make_activation, make_norm
from vitascope.layers.res_block import ResBlock, sum_fusion


class SqueezeExcitation(nn.Module):
    """Scales each channel by a number in (0, 1) computed from the means of all channels.

    State-dict names are `block.0` (reduction) and `block.2` (expansion).

    Args:
        num_channels: channels C of the input.
        num_channels_reduced: channels of the hidden layer; None takes C / reduction_ratio.
        reduction_ratio: divides C where `num_channels_reduced` is None.
        is_3d: B C T H W instead of B C H W.
        activation: module of the hidden layer; None is ReLU.
    """

    def __init__(
        self,
        num_channels: int,
        num_channels_reduced: int | None = None,
        reduction_ratio: float = 2.0,
        is_3d: bool = False,
        activation: nn.Module | None = None,
    ) -> None:
        super().__init__()
        reduced = num_channels_reduced or int(num_channels // reduction_ratio)
        conv: Callable[..., nn.Module] = nn.Conv3d if is_3d else nn.Conv2d
        self.is_3d = is_3d
        self.block = nn.Sequential(
            conv(num_channels, reduced, kernel_size=1, bias=True),
            nn.ReLU() if activation is None else activation,
            conv(reduced, num_channels, kernel_size=1, bias=True),
            nn.Sigmoid(),
        )

    def forward(self, input_tensor: Tensor) -> Tensor:
        """Weights the channels of B C T H W (B C H W for images)."""
        dims = [2, 3, 4] if self.is_3d else [2, 3]
        scale: Tensor = self.block(input_tensor.mean(dims, keepdim=True))
        return input_tensor * scale


class SqueezeAndExcitationLayer2D(nn.Module):
    """Squeeze-and-excitation of images and spectrograms.

    Args:
        in_planes: channels C.
        reduction_ratio: divides C for the hidden layer.
        reduced_planes: channels of the hidden layer; takes the place of `reduction_ratio`.
    """

    def __init__(
        self,
        in_planes: int,
        reduction_ratio: int | None = 16,
        reduced_planes: int | None = None,
    ) -> None:
        super().__init__()
        if reduced_planes is None:
            if not reduction_ratio:
                raise ConfigError("give reduction_ratio or reduced_planes")
            reduced_planes = in_planes // reduction_ratio
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.excitation = nn.Sequential(
            nn.Conv2d(in_planes, reduced_planes, 1),
            nn.ReLU(),
            nn.Conv2d(reduced_planes, in_planes, 1),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Weights the channels of B C H W."""
        scale: Tensor = self.excitation(self.pool(x))
        return x * scale


def create_audio_2d_squeeze_excitation_block(
    dim_in: int,
    dim_out: int,
    use_se: bool = False,
    se_reduction_ratio: int = 16,
    branch_fusion: Callable[[Tensor, Tensor], Tensor] = sum_fusion,
    conv_a_kernel_size: int = 3,
    conv_a_stride: int = 1,
    conv_a_padding: int = 1,
    conv_b_kernel_size: int = 3,
    conv_b_stride: int = 1,
    conv_b_padding: int = 1,
    norm: ModuleFactory | None = nn.BatchNorm2d,
    norm_eps: float = 1e-5,
    norm_momentum: float = 0.1,
    activation: ModuleFactory | None = nn.ReLU,
) -> ResBlock:
    """Builds a residual block of two convolutions for spectrograms.

    Args:
        dim_in: channels of the input.
        dim_out: channels of the result.
        use_se: end the residual branch with squeeze-and-excitation.
        se_reduction_ratio: its reduction.
        branch_fusion: how the branches are joined.
        conv_a_kernel_size: size of the first convolution.
        conv_a_stride: its step.
        conv_a_padding: its zeros.
        conv_b_kernel_size: size of the second convolution.
        conv_b_stride: its step.
        conv_b_padding: its zeros.
        norm: norm class, None for none.
        norm_eps: its epsilon.
        norm_momentum: its momentum.
        activation: activation class, None for none.
    """
    stride = conv_a_stride * conv_b_stride
    project = dim_in != dim_out or stride > 1
    branch = [
        nn.Conv2d(dim_in, dim_out, conv_a_kernel_size, conv_a_stride, conv_a_padding, bias=False),
        make_norm(norm, dim_out, norm_eps, norm_momentum),
        make_activation(activation),
        nn.Conv2d(dim_out, dim_out, conv_b_kernel_size, conv_b_stride, conv_b_padding, bias=False),
        make_norm(norm, dim_out, norm_eps, norm_momentum),
        SqueezeAndExcitationLayer2D(dim_out, se_reduction_ratio) if use_se else None,
    ]
    return ResBlock(
        branch1_conv=(
            nn.Conv2d(dim_in, dim_out, 1, stride=stride, bias=False) if project else None
        ),
        branch1_norm=make_norm(norm, dim_out, norm_eps, norm_momentum) if project else None,
        branch2=nn.Sequential(*(part for part in branch if part is not None)),
        activation=make_activation(activation),
        branch_fusion=branch_fusion,
    )
