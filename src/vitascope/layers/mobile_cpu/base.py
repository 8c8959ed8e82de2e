"""Two forms of a block: one to train, one to deploy."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor, nn


class EfficientBlockBase(nn.Module, ABC):
    """A block with `convert()`, which turns it into its deployable form in place.

    Both forms compute the same in evaluation; a converted block cannot be trained further.
    """

    @abstractmethod
    def convert(self, *args: Any, **kwargs: Any) -> None:
        """Turns the block into its deployable form."""

    @abstractmethod
    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Computes the block; what goes in and comes out is the block's own business."""


class NoOpConvertBlock(EfficientBlockBase):
    """A module that is deployed as it is.

    Args:
        model: the module.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def convert(self, *args: Any, **kwargs: Any) -> None:
        """Does nothing."""

    def forward(self, x: Tensor) -> Tensor:
        """Runs the module."""
        out: Tensor = self.model(x)
        return out


BlobSize = Sequence[int]
ActivationFactory = Callable[[], nn.Module]
