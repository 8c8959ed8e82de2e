"""The form of a model for deployment: its blocks converted for the size of their input."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from vitascope.errors import ConfigError
from vitascope.layers.mobile_cpu.base import EfficientBlockBase


def convert_to_deployable_form(
    model: nn.Module,
    input_tensor: Tensor,
    convert_for_quantize: bool = False,
    native_conv3d_op_qnnpack: bool = False,
) -> nn.Module:
    """A copy of a model whose blocks have their form for deployment.

    It computes what the model computes in evaluation, for inputs of the size given (others may
    do, where no pooling is fixed to it). Norms are folded into convolutions; everything that is
    no block stays as it is. The model itself is not changed, neither in its mode nor in its
    running statistics.

    Args:
        model: a model, some or all of whose modules are blocks; see `transmute.transmute_model`.
        input_tensor: a batch of the size that will be used, on the model's device.
        convert_for_quantize: make what has kernels of int8: 2-D convolutions in place of 3-D ones.
            In float32 they gain nothing, so by default they are kept.
        native_conv3d_op_qnnpack: the runtime has int8 kernels of 3-D convolutions: keep them.

    Returns:
        The copy, in evaluation mode; it cannot be trained further.

    Raises:
        ConfigError: a block was converted before, does not take part for this input, or takes
            part with inputs of different sizes.
    """
    copied = copy.deepcopy(model).eval()
    blocks = dict(_blocks(copied, ""))
    shapes = _shapes(copied, blocks, input_tensor)
    for block, name in {block: name for name, block in blocks.items()}.items():
        if getattr(block, "convert_flag", False):
            raise ConfigError(f"{name or 'the model'} was converted already; give the original")
        found = shapes.get(block, set())
        if len(found) != 1:
            said = f"inputs of the sizes {sorted(found)}" if found else "no input"
            raise ConfigError(
                f"{name or 'the model'} gets {said} for a batch of {tuple(input_tensor.shape)}; "
                f"a block is converted for the one size of its input"
            )
        block.convert(
            found.pop(),
            convert_for_quantize=convert_for_quantize,
            native_conv3d_op_qnnpack=native_conv3d_op_qnnpack,
        )
    return copied


def _blocks(module: nn.Module, name: str) -> Iterator[tuple[str, EfficientBlockBase]]:
    """The outermost blocks: they convert what is in them."""
    if isinstance(module, EfficientBlockBase):
        yield name, module
        return
    for child, part in module.named_children():
        yield from _blocks(part, f"{name}.{child}".lstrip("."))


def _shapes(
    model: nn.Module, blocks: dict[str, EfficientBlockBase], x: Tensor
) -> dict[nn.Module, set[tuple[int, ...]]]:
    """Sizes of the inputs of each block when the model sees `x`."""
    found: dict[nn.Module, set[tuple[int, ...]]] = {}

    def note(block: nn.Module, args: tuple[Any, ...]) -> None:
        found.setdefault(block, set()).add(tuple(args[0].shape))

    handles = [block.register_forward_pre_hook(note) for block in set(blocks.values())]
    try:
        with torch.no_grad():
            model(x)
    finally:
        for handle in handles:
            handle.remove()
    return found
