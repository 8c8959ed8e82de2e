"""Joining feature vectors of several branches."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from vitascope.errors import ConfigError, UnknownChoiceError


def make_fusion_layer(method: str, feature_dims: Sequence[int]) -> nn.Module:
    """Builds a fusion.

    Args:
        method: "concat" (features side by side), "temporal_concat" (one after the other in time),
            or "max", "sum", "prod" over the branches.
        feature_dims: width D of each branch.

    Raises:
        ConfigError: another method, or widths that the method cannot join.
    """
    if method == "concat":
        return ConcatFusion(feature_dims)
    if method == "temporal_concat":
        return TemporalConcatFusion(feature_dims)
    if method in _REDUCTIONS:
        return ReduceFusion(feature_dims, _REDUCTIONS[method])
    legal = ("concat", "temporal_concat", *_REDUCTIONS)
    raise UnknownChoiceError(f"fusion = {method!r}; legal values: {', '.join(legal)}")


def _equal(feature_dims: Sequence[int]) -> int:
    if len(set(feature_dims)) != 1:
        raise ConfigError(f"this fusion needs branches of one width, got {list(feature_dims)}")
    return feature_dims[0]


class ConcatFusion(nn.Module):
    """Features side by side: a list of N x ... x D to N x ... x sum(D)."""

    def __init__(self, feature_dims: Sequence[int]) -> None:
        super().__init__()
        self._output_dim = sum(feature_dims)

    @property
    def output_dim(self) -> int:
        """Width of the result."""
        return self._output_dim

    def forward(self, input_list: list[Tensor]) -> Tensor:
        """Joins along the last dimension."""
        return torch.cat(input_list, dim=-1)


class TemporalConcatFusion(nn.Module):
    """Branches one after the other in time: a list of N x T x D to N x sum(T) x D."""

    def __init__(self, feature_dims: Sequence[int]) -> None:
        super().__init__()
        self._output_dim = _equal(feature_dims)

    @property
    def output_dim(self) -> int:
        """Width of the result."""
        return self._output_dim

    def forward(self, input_list: list[Tensor]) -> Tensor:
        """Joins along the last dimension but one."""
        return torch.cat(input_list, dim=-2)


class ReduceFusion(nn.Module):
    """A function of the stacked branches: a list of N x ... x D to N x ... x D.

    Args:
        feature_dims: width of each branch, all alike.
        reduce_fn: maps branches x N x ... x D to N x ... x D.
    """

    def __init__(self, feature_dims: Sequence[int], reduce_fn: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self._output_dim = _equal(feature_dims)
        self.reduce_fn = reduce_fn

    @property
    def output_dim(self) -> int:
        """Width of the result."""
        return self._output_dim

    def forward(self, input_list: list[Tensor]) -> Tensor:
        """Reduces over the branches."""
        return self.reduce_fn(torch.stack(input_list))


def _max(x: Tensor) -> Tensor:
    return x.amax(dim=0)


def _sum(x: Tensor) -> Tensor:
    return x.sum(dim=0)


def _prod(x: Tensor) -> Tensor:
    return x.prod(dim=0)


_REDUCTIONS: dict[str, Callable[[Tensor], Tensor]] = {"max": _max, "sum": _sum, "prod": _prod}
