"""Swish, x * sigmoid(x) (arXiv:1710.05941)."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Swish(nn.Module):
    """x * sigmoid(x), any shape.

    One kernel forward and one backward that keeps nothing but x; it can be scripted, exported and
    compiled as it is.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Applies Swish to each value."""
        return F.silu(x)


class SwishFunction(torch.autograd.Function):
    """`Swish` as an autograd function, for programs that call `SwishFunction.apply`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        """Returns x * sigmoid(x) and keeps x."""
        ctx.save_for_backward(x)
        return F.silu(x)

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> Tensor:
        """Returns the gradient with respect to x."""
        (x,) = ctx.saved_tensors
        return cast(Tensor, torch.ops.aten.silu_backward(grad_output, x))
