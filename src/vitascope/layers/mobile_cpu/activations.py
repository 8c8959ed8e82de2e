"""Activations by name, each deployed as it is."""

from __future__ import annotations

from torch import nn

from vitascope.errors import UnknownNameError
from vitascope.layers.mobile_cpu.base import ActivationFactory, NoOpConvertBlock
from vitascope.layers.swish import Swish as _Swish


class Swish(NoOpConvertBlock):
    """x * sigmoid(x)."""

    def __init__(self) -> None:
        super().__init__(_Swish())


class HardSwish(NoOpConvertBlock):
    """x * relu6(x + 3) / 6 (arXiv:1905.02244)."""

    def __init__(self) -> None:
        super().__init__(nn.Hardswish())


class ReLU(NoOpConvertBlock):
    """max(x, 0)."""

    def __init__(self) -> None:
        super().__init__(nn.ReLU())


class Identity(NoOpConvertBlock):
    """The input."""

    def __init__(self) -> None:
        super().__init__(nn.Identity())


supported_act_functions: dict[str, ActivationFactory] = {
    "relu": ReLU,
    "swish": Swish,
    "hswish": HardSwish,
    "identity": Identity,
}


def make_named_activation(name: str) -> nn.Module:
    """Builds the activation of a name.

    Raises:
        UnknownNameError: no such activation.
    """
    if name not in supported_act_functions:
        raise UnknownNameError("activation", name, supported_act_functions)
    return supported_act_functions[name]()
