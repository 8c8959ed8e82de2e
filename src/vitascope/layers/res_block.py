"""A residual block, whatever its two branches are, and a row of them."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn


def sum_fusion(x: Tensor, y: Tensor) -> Tensor:
    """The sum of the two branches."""
    return x + y


class ResBlock(nn.Module):
    """`activation(branch_fusion(shortcut(x), branch2(x)))`.

    Args:
        branch1_conv: convolution of the shortcut; None hands x through.
        branch1_norm: norm after that convolution.
        branch2: the residual branch.
        activation: applied to the fused branches.
        branch_fusion: how the two are joined, `sum_fusion` in a ResNet.
    """

    def __init__(
        self,
        branch1_conv: nn.Module | None = None,
        branch1_norm: nn.Module | None = None,
        branch2: nn.Module | None = None,
        activation: nn.Module | None = None,
        branch_fusion: Callable[[Tensor, Tensor], Tensor] | None = None,
    ) -> None:
        super().__init__()
        if branch2 is None:
            raise ValueError("a residual block needs branch2")
        self.branch1_conv = branch1_conv
        self.branch1_norm = branch1_norm
        self.branch2 = branch2
        self.activation = activation
        self.branch_fusion = sum_fusion if branch_fusion is None else branch_fusion

    def forward(self, x: Tensor) -> Tensor:
        """Maps B C T H W to B C' T' H' W'."""
        shortcut = x
        if self.branch1_conv is not None:
            shortcut = self.branch1_conv(x)
            if self.branch1_norm is not None:
                shortcut = self.branch1_norm(shortcut)
        x = self.branch_fusion(shortcut, self.branch2(x))
        return x if self.activation is None else self.activation(x)


class ResStage(nn.Module):
    """Blocks one after the other, in `res_blocks`.

    Args:
        res_blocks: the blocks.
        nonlocal_blocks: what follows each block (`nn.Identity` for nothing); None for nothing.
    """

    def __init__(
        self, res_blocks: nn.ModuleList, nonlocal_blocks: nn.ModuleList | None = None
    ) -> None:
        super().__init__()
        self.res_blocks = res_blocks
        if nonlocal_blocks is None:
            nonlocal_blocks = nn.ModuleList(nn.Identity() for _ in res_blocks)
        self.nonlocal_blocks = nonlocal_blocks

    def forward(self, x: Tensor) -> Tensor:
        """Maps B C T H W to B C' T' H' W'."""
        for block, after in zip(self.res_blocks, self.nonlocal_blocks, strict=True):
            x = after(block(x))
        return x
