"""Plain convolutions of a model become the blocks that have a form for deployment.

Only what computes exactly the same is replaced: a block is made around the very weights of the
convolution, so an optimizer goes on updating them. `accelerator.convert` then makes the form for
deployment.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from vitascope.errors import UnknownNameError
from vitascope.layers.depthwise import DepthwiseConv3d
from vitascope.layers.mobile_cpu.base import EfficientBlockBase
from vitascope.layers.mobile_cpu.convolutions import (
    Conv3d3x1x1BnAct,
    Conv3d3x3x3DwBnAct,
    Conv3d5x1x1BnAct,
    Conv3dPwBnAct,
    Conv3dTemporalKernel1BnAct,
)

Transmuter = Callable[[nn.Module], EfficientBlockBase | None]


def _plain(module: nn.Module) -> nn.Conv3d | None:
    """The module, if it is a 3-D convolution and nothing else.

    A subclass may compute something else (weights that are normalized first, for example), and
    padding with anything but zeros is in no block.
    """
    if type(module) not in (nn.Conv3d, DepthwiseConv3d):
        return None
    assert isinstance(module, nn.Conv3d)
    hooks = (module._forward_hooks, module._forward_pre_hooks)  # such as weight_norm's
    known = not isinstance(module.padding, str) and module.padding_mode == "zeros"
    return module if known and not any(hooks) else None


def _around(block: EfficientBlockBase, conv: nn.Conv3d) -> EfficientBlockBase:
    """The block with the parameters of a convolution."""
    own = block.get_submodule("kernel.conv")
    assert isinstance(own, nn.Conv3d)
    own.weight, own.bias = conv.weight, conv.bias
    return block.train(conv.training)


def transmute_Conv3dPwBnAct(input_module: nn.Module) -> EfficientBlockBase | None:
    """A block in the place of a 1x1x1 convolution of all channels with step 1.

    Args:
        input_module: any module.

    Returns:
        The block, without norm and activation; None where the module is something else.
    """
    conv = _plain(input_module)
    if conv is None or conv.groups != 1 or any(conv.padding):
        return None
    if conv.kernel_size != (1, 1, 1) or conv.stride != (1, 1, 1):
        return None
    return _around(
        Conv3dPwBnAct(
            conv.in_channels, conv.out_channels, conv.bias is not None, "identity", use_bn=False
        ),
        conv,
    )


def transmute_Conv3d3x3x3DwBnAct(input_module: nn.Module) -> EfficientBlockBase | None:
    """A block in the place of a depthwise 3x3x3 convolution with one step in both of H and W.

    Args:
        input_module: any module.

    Returns:
        The block, without norm and activation; None where the module is something else.
    """
    conv = _plain(input_module)
    if conv is None or not conv.groups == conv.in_channels == conv.out_channels:
        return None
    if conv.kernel_size != (3, 3, 3) or conv.padding != (1, 1, 1) or conv.dilation != (1, 1, 1):
        return None
    if conv.stride[0] != 1 or conv.stride[1] != conv.stride[2]:
        return None
    return _around(
        Conv3d3x3x3DwBnAct(
            conv.in_channels, conv.stride[1], conv.bias is not None, "identity", use_bn=False
        ),
        conv,
    )


def transmute_Conv3dTemporalKernel1BnAct(input_module: nn.Module) -> EfficientBlockBase | None:
    """A block in the place of a 1 x k x k convolution, the same in H and W.

    What `transmute_Conv3dPwBnAct` takes is left to it.

    Args:
        input_module: any module.

    Returns:
        The block, without norm and activation; None where the module is something else.
    """
    conv = _plain(input_module)
    if conv is None or transmute_Conv3dPwBnAct(conv) is not None:
        return None
    if (conv.kernel_size[0], conv.stride[0], conv.padding[0]) != (1, 1, 0):
        return None
    assert not isinstance(conv.padding, str)
    square = (conv.kernel_size, conv.stride, conv.padding, conv.dilation)
    if any(sides[1] != sides[2] for sides in square):
        return None
    return _around(
        Conv3dTemporalKernel1BnAct(
            conv.in_channels, conv.out_channels, conv.bias is not None, conv.groups,
            spatial_kernel=conv.kernel_size[1], spatial_stride=conv.stride[1],
            spatial_padding=int(conv.padding[1]), spatial_dilation=conv.dilation[1],
            activation="identity", use_bn=False,
        ),
        conv,
    )  # fmt: skip


def _temporal(
    module: nn.Module, size: int, block: type[Conv3d3x1x1BnAct] | type[Conv3d5x1x1BnAct]
) -> EfficientBlockBase | None:
    conv = _plain(module)
    if conv is None or conv.kernel_size != (size, 1, 1) or conv.padding != (size // 2, 0, 0):
        return None
    if conv.stride != (1, 1, 1) or conv.dilation != (1, 1, 1):
        return None
    return _around(
        block(
            conv.in_channels, conv.out_channels, conv.groups, conv.bias is not None, "identity",
            use_bn=False,
        ),
        conv,
    )  # fmt: skip


def transmute_Conv3d3x1x1BnAct(input_module: nn.Module) -> EfficientBlockBase | None:
    """A block in the place of a 3x1x1 convolution with step 1 that keeps the number of frames.

    Args:
        input_module: any module.

    Returns:
        The block, without norm and activation; None where the module is something else.
    """
    return _temporal(input_module, 3, Conv3d3x1x1BnAct)


def transmute_Conv3d5x1x1BnAct(input_module: nn.Module) -> EfficientBlockBase | None:
    """A block in the place of a 5x1x1 convolution with step 1 that keeps the number of frames.

    Args:
        input_module: any module.

    Returns:
        The block, without norm and activation; None where the module is something else.
    """
    return _temporal(input_module, 5, Conv3d5x1x1BnAct)


# Tried in this order; the first that answers with a block is taken.
EFFICIENT_BLOCK_TRANSMUTER_MOBILE_CPU: list[Transmuter] = [
    transmute_Conv3dPwBnAct,
    transmute_Conv3d3x3x3DwBnAct,
    transmute_Conv3dTemporalKernel1BnAct,
    transmute_Conv3d3x1x1BnAct,
    transmute_Conv3d5x1x1BnAct,
]
EFFICIENT_BLOCK_TRANSMUTER_REGISTRY: dict[str, list[Transmuter]] = {
    "mobile_cpu": EFFICIENT_BLOCK_TRANSMUTER_MOBILE_CPU,
}


def transmute_model(
    model: nn.Module, target_device: str = "mobile_cpu", prefix: str = ""
) -> nn.Module:
    """Replaces, in place, every module of a model for which there is an equal block.

    Blocks that are there already, and what is in them, are left alone. A module that stands in
    several places is replaced by one block in all of them. Norms and activations stay modules of
    their own.

    Args:
        model: the model; it is changed.
        target_device: kind of device that the blocks are for: "mobile_cpu".
        prefix: name of the model within a larger one; takes part in nothing but error texts.

    Returns:
        The model; where it is itself a module with an equal block, that block.

    Raises:
        UnknownNameError: no such kind of device.
    """
    if target_device not in EFFICIENT_BLOCK_TRANSMUTER_REGISTRY:
        where = f"target_device of {prefix}" if prefix else "target_device"
        raise UnknownNameError(where, target_device, EFFICIENT_BLOCK_TRANSMUTER_REGISTRY)
    return _replaced(model, EFFICIENT_BLOCK_TRANSMUTER_REGISTRY[target_device], {})


def _replaced(
    module: nn.Module, table: list[Transmuter], done: dict[nn.Module, nn.Module]
) -> nn.Module:
    """The module with everything replaced in it, or its block."""
    if module in done:
        return done[module]
    if isinstance(module, EfficientBlockBase):
        done[module] = module
        return module
    blocks = (transmuter(module) for transmuter in table)
    done[module] = next((block for block in blocks if block is not None), module)
    if done[module] is module:
        for name, child in list(module._modules.items()):
            if child is not None:
                module._modules[name] = _replaced(child, table, done)
    return done[module]
