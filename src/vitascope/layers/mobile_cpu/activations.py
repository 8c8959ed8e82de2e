"""Activations by name, each deployed as it is."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.ao.nn.quantized import FloatFunctional
from torch.nn import functional as F

from vitascope.errors import UnknownNameError
from vitascope.layers.mobile_cpu.base import ActivationFactory, NoOpConvertBlock
from vitascope.layers.swish import Swish as _Swish


class Swish(NoOpConvertBlock):
    """x * sigmoid(x); the form for deployment can be quantized."""

    def __init__(self) -> None:
        super().__init__(_Swish())

    def convert(self, *args: Any, **kwargs: Any) -> None:
        """Makes the product a module, which quantization can replace.

        Args:
            args: not used here.
            kwargs: not used here.
        """
        self.model = _QuantizableSwish()


class _QuantizableSwish(nn.Module):
    """x * sigmoid(x): in float one kernel, which int8 has not, and else its two steps."""

    def __init__(self) -> None:
        super().__init__()
        self.sigmoid = nn.Sigmoid()
        self.product = FloatFunctional()

    def forward(self, x: Tensor) -> Tensor:
        observed = not isinstance(self.product.activation_post_process, nn.Identity)
        if not (x.is_quantized or observed):
            return F.silu(x)
        out: Tensor = self.product.mul(x, self.sigmoid(x))
        return out


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
