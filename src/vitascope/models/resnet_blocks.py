"""Residual branches, blocks and stages of the ResNet family."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor, nn

from vitascope.errors import ConfigError
from vitascope.layers.batch_norm import ModuleFactory, make_activation, make_norm
from vitascope.layers.convolutions import make_conv3d
from vitascope.layers.nonlocal_net import create_nonlocal
from vitascope.layers.res_block import (
    BasicBlock,
    BottleneckBlock,
    ResBlock,
    ResStage,
    sum_fusion,
)

Triple = tuple[int, int, int]


def _norm_arguments(conv: Callable[..., nn.Module], **kwargs: Any) -> dict[str, Any]:
    """Those of `kwargs` that the builder of a convolution names among its parameters."""
    names = inspect.signature(conv).parameters
    return {name: value for name, value in kwargs.items() if name in names}


def create_bottleneck_block(
    *,
    dim_in: int,
    dim_inner: int,
    dim_out: int,
    conv_a_kernel_size: Triple = (3, 1, 1),
    conv_a_stride: Triple = (2, 1, 1),
    conv_a_padding: Triple = (1, 0, 0),
    conv_a: ModuleFactory = nn.Conv3d,
    conv_b_kernel_size: Triple = (1, 3, 3),
    conv_b_stride: Triple = (1, 2, 2),
    conv_b_padding: Triple = (0, 1, 1),
    conv_b_num_groups: int = 1,
    conv_b_dilation: Triple = (1, 1, 1),
    conv_b: ModuleFactory = nn.Conv3d,
    conv_c: ModuleFactory = nn.Conv3d,
    norm: ModuleFactory | None = nn.BatchNorm3d,
    norm_eps: float = 1e-5,
    norm_momentum: float = 0.1,
    activation: ModuleFactory | None = nn.ReLU,
) -> BottleneckBlock:
    """Builds a bottleneck: narrower, the wide kernel, wider again.

    Args:
        dim_in: channels of the input.
        dim_inner: channels of the second convolution.
        dim_out: channels of the result.
        conv_a_kernel_size: size (T, H, W) of the first convolution.
        conv_a_stride: its step.
        conv_a_padding: its zeros.
        conv_a: its class.
        conv_b_kernel_size: size (T, H, W) of the second convolution.
        conv_b_stride: its step.
        conv_b_padding: its zeros.
        conv_b_num_groups: its channel groups.
        conv_b_dilation: distance of its taps.
        conv_b: its class or builder; a builder that has parameters for norm and activation gets
            those of the block.
        conv_c: class of the third convolution.
        norm: norm class, None for none.
        norm_eps: its epsilon.
        norm_momentum: its momentum.
        activation: activation class, None for none.
    """
    norms = [make_norm(norm, d, norm_eps, norm_momentum) for d in (dim_inner, dim_inner, dim_out)]
    middle: nn.Module
    if conv_b is nn.Conv3d:
        middle = make_conv3d(
            conv_b,
            dim_inner,
            dim_inner,
            kernel_size=conv_b_kernel_size,
            stride=conv_b_stride,
            padding=conv_b_padding,
            dilation=conv_b_dilation,
            groups=conv_b_num_groups,
        )
    else:
        middle = conv_b(
            in_channels=dim_inner,
            out_channels=dim_inner,
            kernel_size=conv_b_kernel_size,
            stride=conv_b_stride,
            padding=conv_b_padding,
            bias=False,
            groups=conv_b_num_groups,
            dilation=conv_b_dilation,
            **_norm_arguments(
                conv_b,
                norm=norm,
                norm_eps=norm_eps,
                norm_momentum=norm_momentum,
                activation=activation,
            ),
        )
    return BottleneckBlock(
        conv_a=conv_a(
            dim_in,
            dim_inner,
            kernel_size=tuple(conv_a_kernel_size),
            stride=tuple(conv_a_stride),
            padding=tuple(conv_a_padding),
            bias=False,
        ),
        norm_a=norms[0],
        act_a=make_activation(activation),
        conv_b=middle,
        norm_b=norms[1],
        act_b=make_activation(activation),
        conv_c=conv_c(dim_inner, dim_out, kernel_size=(1, 1, 1), bias=False),
        norm_c=norms[2],
    )


def create_basic_block(
    *,
    dim_in: int,
    dim_inner: int,
    dim_out: int,
    conv_a_kernel_size: Triple = (1, 1, 1),
    conv_a_stride: Triple = (1, 1, 1),
    conv_b_kernel_size: Triple = (1, 3, 3),
    conv_b_stride: Triple = (1, 1, 1),
    conv_b_num_groups: int = 1,
    conv_b_dilation: Triple = (1, 1, 1),
    norm: ModuleFactory | None = nn.BatchNorm3d,
    norm_eps: float = 1e-5,
    norm_momentum: float = 0.1,
    activation: ModuleFactory | None = nn.ReLU,
    **unused: Any,
) -> BasicBlock:
    """Builds the branch of shallow ResNets; usable wherever a bottleneck builder is.

    The first convolution has `conv_a`'s size in time, `conv_b`'s in space, and both steps; the
    second has the spatial size alone.

    Args:
        dim_in: channels of the input.
        dim_inner: not used: there is no narrower layer.
        dim_out: channels of both convolutions.
        conv_a_kernel_size: gives the size in time.
        conv_a_stride: step (T, H, W), multiplied with `conv_b_stride`.
        conv_b_kernel_size: gives the size in H and W.
        conv_b_stride: step (T, H, W).
        conv_b_num_groups: channel groups of the second convolution.
        conv_b_dilation: distance of the taps of the second convolution.
        norm: norm class, None for none.
        norm_eps: its epsilon.
        norm_momentum: its momentum.
        activation: activation class, None for none.
        unused: arguments of bottlenecks that mean nothing here.
    """
    time, height, width = conv_a_kernel_size[0], *conv_b_kernel_size[1:]
    first, second = (time, height, width), (1, height, width)
    norms = [make_norm(norm, dim_out, norm_eps, norm_momentum) for _ in range(2)]
    return BasicBlock(
        conv_a=nn.Conv3d(
            dim_in,
            dim_out,
            first,
            stride=multiply(conv_a_stride, conv_b_stride),
            padding=same_padding(first),
            bias=False,
        ),
        norm_a=norms[0],
        act_a=make_activation(activation),
        conv_b=make_conv3d(
            nn.Conv3d,
            dim_out,
            dim_out,
            kernel_size=second,
            padding=same_padding(second, conv_b_dilation),
            dilation=conv_b_dilation,
            groups=conv_b_num_groups,
        ),
        norm_b=norms[1],
    )


def create_res_block(
    *,
    dim_in: int,
    dim_inner: int,
    dim_out: int,
    bottleneck: ModuleFactory,
    use_shortcut: bool = False,
    branch_fusion: Callable[[Tensor, Tensor], Tensor] = sum_fusion,
    conv_a_kernel_size: Triple = (3, 1, 1),
    conv_a_stride: Triple = (2, 1, 1),
    conv_a_padding: Triple = (1, 0, 0),
    conv_a: ModuleFactory = nn.Conv3d,
    conv_b_kernel_size: Triple = (1, 3, 3),
    conv_b_stride: Triple = (1, 2, 2),
    conv_b_padding: Triple = (0, 1, 1),
    conv_b_num_groups: int = 1,
    conv_b_dilation: Triple = (1, 1, 1),
    conv_b: ModuleFactory = nn.Conv3d,
    conv_c: ModuleFactory = nn.Conv3d,
    conv_skip: ModuleFactory = nn.Conv3d,
    norm: ModuleFactory | None = nn.BatchNorm3d,
    norm_eps: float = 1e-5,
    norm_momentum: float = 0.1,
    activation_bottleneck: ModuleFactory | None = nn.ReLU,
    activation_block: ModuleFactory | None = nn.ReLU,
) -> ResBlock:
    """Builds a residual block around a bottleneck.

    Args:
        dim_in: channels of the input.
        dim_inner: inner channels of the bottleneck.
        dim_out: channels of the result.
        bottleneck: builder of the residual branch, called with the arguments below.
        use_shortcut: put a convolution into the shortcut even where nothing changes.
        branch_fusion: how the branches are joined.
        conv_a_kernel_size: see `create_bottleneck_block`.
        conv_a_stride: likewise.
        conv_a_padding: likewise.
        conv_a: likewise.
        conv_b_kernel_size: likewise.
        conv_b_stride: likewise.
        conv_b_padding: likewise.
        conv_b_num_groups: likewise.
        conv_b_dilation: likewise.
        conv_b: likewise.
        conv_c: likewise.
        conv_skip: class of the shortcut's convolution.
        norm: norm class, None for none.
        norm_eps: its epsilon.
        norm_momentum: its momentum.
        activation_bottleneck: activation class inside the bottleneck, None for none.
        activation_block: activation class after the sum, None for none.
    """
    stride = multiply(conv_a_stride, conv_b_stride)
    project = use_shortcut or dim_in != dim_out or math.prod(stride) > 1
    branch2 = bottleneck(
        dim_in=dim_in,
        dim_inner=dim_inner,
        dim_out=dim_out,
        conv_a_kernel_size=conv_a_kernel_size,
        conv_a_stride=conv_a_stride,
        conv_a_padding=conv_a_padding,
        conv_a=conv_a,
        conv_b_kernel_size=conv_b_kernel_size,
        conv_b_stride=conv_b_stride,
        conv_b_padding=conv_b_padding,
        conv_b_num_groups=conv_b_num_groups,
        conv_b_dilation=conv_b_dilation,
        conv_b=conv_b,
        conv_c=conv_c,
        norm=norm,
        norm_eps=norm_eps,
        norm_momentum=norm_momentum,
        activation=activation_bottleneck,
    )
    return ResBlock(
        branch1_conv=(
            conv_skip(dim_in, dim_out, kernel_size=(1, 1, 1), stride=stride, bias=False)
            if project
            else None
        ),
        branch1_norm=make_norm(norm, dim_out, norm_eps, norm_momentum) if project else None,
        branch2=branch2,
        activation=make_activation(activation_block),
        branch_fusion=branch_fusion,
    )


def create_res_stage(
    *,
    depth: int,
    dim_in: int,
    dim_inner: int,
    dim_out: int,
    bottleneck: ModuleFactory,
    conv_a_kernel_size: Triple | Sequence[Triple] = (3, 1, 1),
    conv_a_stride: Triple = (2, 1, 1),
    conv_a_padding: Triple | Sequence[Triple] = (1, 0, 0),
    conv_a: ModuleFactory = nn.Conv3d,
    conv_b_kernel_size: Triple = (1, 3, 3),
    conv_b_stride: Triple = (1, 2, 2),
    conv_b_padding: Triple = (0, 1, 1),
    conv_b_num_groups: int = 1,
    conv_b_dilation: Triple = (1, 1, 1),
    conv_b: ModuleFactory = nn.Conv3d,
    conv_c: ModuleFactory = nn.Conv3d,
    norm: ModuleFactory | None = nn.BatchNorm3d,
    norm_eps: float = 1e-5,
    norm_momentum: float = 0.1,
    activation: ModuleFactory | None = nn.ReLU,
    nonlocal_locations: Sequence[int] = (),
    nonlocal_group: int = 1,
    nonlocal_pool_size: Sequence[int] | None = None,
    nonlocal_instantiation: str = "softmax",
) -> ResStage:
    """Builds `depth` residual blocks; the first changes width and size.

    Args:
        depth: number of blocks.
        dim_in: channels of the input.
        dim_inner: inner channels of the bottlenecks.
        dim_out: channels of the result.
        bottleneck: builder of the residual branches.
        conv_a_kernel_size: size (T, H, W) of the first convolutions, or a list of sizes that the
            blocks take in turn.
        conv_a_stride: their step in the first block.
        conv_a_padding: their zeros, or a list of them.
        conv_a: their class.
        conv_b_kernel_size: size (T, H, W) of the second convolutions.
        conv_b_stride: their step in the first block.
        conv_b_padding: their zeros.
        conv_b_num_groups: their channel groups.
        conv_b_dilation: distance of their taps.
        conv_b: their class.
        conv_c: class of the third convolutions.
        norm: norm class, None for none.
        norm_eps: its epsilon.
        norm_momentum: its momentum.
        activation: activation class, None for none.
        nonlocal_locations: indices of blocks that a non-local block follows (arXiv:1711.07971).
        nonlocal_group: parts of the clip in time that it treats apart.
        nonlocal_pool_size: window (T, H, W) of its max pooling.
        nonlocal_instantiation: "softmax" or "dot_product".

    Raises:
        ConfigError: a non-local block behind a block that is not there.
    """
    kernels, paddings = _in_turn(conv_a_kernel_size, depth), _in_turn(conv_a_padding, depth)
    blocks = [
        create_res_block(
            dim_in=dim_out if index else dim_in,
            dim_inner=dim_inner,
            dim_out=dim_out,
            bottleneck=bottleneck,
            conv_a_kernel_size=kernels[index],
            conv_a_stride=(1, 1, 1) if index else conv_a_stride,
            conv_a_padding=paddings[index],
            conv_a=conv_a,
            conv_b_kernel_size=conv_b_kernel_size,
            conv_b_stride=(1, 1, 1) if index else conv_b_stride,
            conv_b_padding=conv_b_padding,
            conv_b_num_groups=conv_b_num_groups,
            conv_b_dilation=conv_b_dilation,
            conv_b=conv_b,
            conv_c=conv_c,
            norm=norm,
            norm_eps=norm_eps,
            norm_momentum=norm_momentum,
            activation_bottleneck=activation,
            activation_block=activation,
        )
        for index in range(depth)
    ]
    wrong = sorted(i for i in nonlocal_locations if not 0 <= i < depth)
    if wrong:
        raise ConfigError(f"non-local blocks at {wrong}, but the stage has {depth} blocks")
    after = [
        create_nonlocal(
            dim_in=dim_out,
            dim_inner=dim_out // 2,
            pool_size=nonlocal_pool_size,
            instantiation=nonlocal_instantiation,
            norm=norm,
            norm_eps=norm_eps,
            norm_momentum=norm_momentum,
            group=nonlocal_group,
        )
        if index in nonlocal_locations
        else nn.Identity()
        for index in range(depth)
    ]
    return ResStage(nn.ModuleList(blocks), nn.ModuleList(after))


def same_padding(kernel: Sequence[int], dilation: Sequence[int] = (1, 1, 1)) -> Triple:
    """Zeros (T, H, W) that keep the size at a stride of 1."""
    t, h, w = (d * (k // 2) for k, d in zip(kernel, dilation, strict=True))
    return (t, h, w)


def multiply(a: Sequence[int], b: Sequence[int]) -> Triple:
    """Products of the entries."""
    t, h, w = (x * y for x, y in zip(a, b, strict=True))
    return (t, h, w)


def _in_turn(value: Triple | Sequence[Triple], depth: int) -> list[Triple]:
    """One triple for each block: the same for all, or a list that starts again at its end."""
    rows: list[Any] = [value] if isinstance(value[0], int) else list(value)
    return [rows[index % len(rows)] for index in range(depth)]
