"""A residual block, whatever its two branches are, a row of them, and the usual branches."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from vitascope.errors import ConfigError
from vitascope.layers.batch_norm import mark_final_norm


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
            raise ConfigError("a residual block needs branch2")
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


class BottleneckBlock(nn.Module):
    """Three convolutions (a, b, c), each but the last followed by norm and activation.

    Args:
        conv_a: first convolution.
        norm_a: norm after it.
        act_a: activation after it.
        conv_b: second convolution.
        norm_b: norm after it.
        act_b: activation after it.
        conv_c: third convolution.
        norm_c: norm after it, which starts at 0.
    """

    def __init__(
        self,
        *,
        conv_a: nn.Module | None = None,
        norm_a: nn.Module | None = None,
        act_a: nn.Module | None = None,
        conv_b: nn.Module | None = None,
        norm_b: nn.Module | None = None,
        act_b: nn.Module | None = None,
        conv_c: nn.Module | None = None,
        norm_c: nn.Module | None = None,
    ) -> None:
        super().__init__()
        if conv_a is None or conv_b is None or conv_c is None:
            raise ConfigError("a bottleneck needs conv_a, conv_b and conv_c")
        self.conv_a = conv_a
        self.norm_a = norm_a
        self.act_a = act_a
        self.conv_b = conv_b
        self.norm_b = norm_b
        self.act_b = act_b
        self.conv_c = conv_c
        self.norm_c = mark_final_norm(norm_c)

    def forward(self, x: Tensor) -> Tensor:
        """Maps B C T H W to B C' T' H' W'."""
        x = self.conv_a(x)
        if self.norm_a is not None:
            x = self.norm_a(x)
        if self.act_a is not None:
            x = self.act_a(x)
        x = self.conv_b(x)
        if self.norm_b is not None:
            x = self.norm_b(x)
        if self.act_b is not None:
            x = self.act_b(x)
        x = self.conv_c(x)
        if self.norm_c is not None:
            x = self.norm_c(x)
        return x


class SeparableBottleneckBlock(nn.Module):
    """A bottleneck whose second convolution is several side by side (arXiv:2001.08740).

    Args:
        conv_a: first convolution, None for none.
        norm_a: norm after it.
        act_a: activation after it.
        conv_b: the parallel convolutions.
        norm_b: norm after each of them; an entry or all may be None.
        act_b: activation after each of them, likewise.
        conv_c: third convolution.
        norm_c: norm after it, which starts at 0.
        reduce_method: "sum" adds the parallel results, "cat" puts them side by side.

    Raises:
        ConfigError: another `reduce_method`.
    """

    def __init__(
        self,
        *,
        conv_a: nn.Module | None,
        norm_a: nn.Module | None,
        act_a: nn.Module | None,
        conv_b: nn.ModuleList,
        norm_b: nn.ModuleList | None,
        act_b: nn.ModuleList | None,
        conv_c: nn.Module,
        norm_c: nn.Module | None,
        reduce_method: str = "sum",
    ) -> None:
        super().__init__()
        if reduce_method not in ("sum", "cat"):
            raise ConfigError(f"reduce_method = {reduce_method!r}; legal values: sum, cat")
        self.conv_a = conv_a
        self.norm_a = norm_a
        self.act_a = act_a
        self.conv_b = conv_b
        self.norm_b = norm_b
        self.act_b = act_b
        self.conv_c = conv_c
        self.norm_c = mark_final_norm(norm_c)
        self.reduce_method = reduce_method

    def forward(self, x: Tensor) -> Tensor:
        """Maps B C T H W to B C' T' H' W'."""
        if self.conv_a is not None:
            x = self.conv_a(x)
        if self.norm_a is not None:
            x = self.norm_a(x)
        if self.act_a is not None:
            x = self.act_a(x)
        results = []
        for index, conv in enumerate(self.conv_b):
            part = conv(x)
            for after in (self.norm_b, self.act_b):
                if after is not None and after[index] is not None:
                    part = after[index](part)
            results.append(part)
        if self.reduce_method == "cat":
            x = torch.cat(results, dim=1)
        else:
            x = torch.stack(results, dim=0).sum(dim=0)
        x = self.conv_c(x)
        return x if self.norm_c is None else self.norm_c(x)


class BasicBlock(nn.Module):
    """Two convolutions (a, b) with norm and activation between them (arXiv:1512.03385).

    Args:
        conv_a: first convolution.
        norm_a: norm after it.
        act_a: activation after it.
        conv_b: second convolution.
        norm_b: norm after it, which starts at 0.
    """

    def __init__(
        self,
        *,
        conv_a: nn.Module,
        norm_a: nn.Module | None,
        act_a: nn.Module | None,
        conv_b: nn.Module,
        norm_b: nn.Module | None,
    ) -> None:
        super().__init__()
        self.conv_a = conv_a
        self.norm_a = norm_a
        self.act_a = act_a
        self.conv_b = conv_b
        self.norm_b = mark_final_norm(norm_b)

    def forward(self, x: Tensor) -> Tensor:
        """Maps B C T H W to B C' T' H' W'."""
        x = self.conv_a(x)
        if self.norm_a is not None:
            x = self.norm_a(x)
        if self.act_a is not None:
            x = self.act_a(x)
        x = self.conv_b(x)
        return x if self.norm_b is None else self.norm_b(x)
