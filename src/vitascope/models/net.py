"""Networks as rows of blocks, single or of several pathways."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from vitascope.errors import InputError
from vitascope.models.base import FeatureInfo, InputSpec, VideoModel
from vitascope.models.weight_init import init_net_weights


class Net(VideoModel):
    """Blocks one after the other; the last ones are the head.

    Args:
        blocks: the blocks. What they hold is initialised as in a ResNet.
        head_start: index of the first block of the head; None takes the last block if it has a
            classifying layer `proj`, and else says that there is no head.
        inputs: what the network accepts; None skips the checks.
        features: the stages, one for each block before the head.
    """

    def __init__(
        self,
        *,
        blocks: nn.ModuleList,
        head_start: int | None = None,
        inputs: InputSpec | None = None,
        features: Sequence[FeatureInfo] = (),
    ) -> None:
        super().__init__()
        if head_start is None:
            head_start = len(blocks) - hasattr(blocks[-1], "proj") if len(blocks) else 0
        self.blocks = blocks
        self.head_start = head_start
        self.inputs = inputs
        self._features = tuple(features)
        init_net_weights(self)

    def forward(self, x: Any) -> Any:
        """Maps a clip B C T H W (a list of them for several pathways) to scores."""
        if not torch.compiler.is_compiling():
            self.check_input(x)
        return self.forward_head(self.forward_features(x))

    def forward_features(self, x: Any) -> Any:
        """Maps a clip to the feature map that enters the head."""
        for block in self.blocks[: self.head_start]:
            x = self.run_stage(block, x)
        return x

    def forward_head(self, features: Any, bboxes: Tensor | None = None) -> Any:
        """Maps features to scores; without a head it returns them."""
        if bboxes is not None:
            raise InputError("this network has no head for boxes")
        for block in self.blocks[self.head_start :]:
            features = block(features)
        return features

    def head_linear(self) -> tuple[nn.Module, str]:
        """The classifying layer: `proj` of the last block."""
        head = self.blocks[-1] if self.head_start < len(self.blocks) else None
        if not isinstance(getattr(head, "proj", None), nn.Module):
            raise InputError("this network was built without a classifying head")
        assert head is not None
        return head, "proj"

    def depth_prefixes(self) -> tuple[tuple[str, ...], ...]:
        """One depth for each block; all of the head is one."""
        count, head = len(self.blocks), self.head_start
        rows = [(f"blocks.{i}",) for i in range(head)]
        return (
            (*rows, tuple(f"blocks.{i}" for i in range(head, count))) if head < count else (*rows,)
        )

    @property
    def feature_info(self) -> tuple[FeatureInfo, ...]:
        """The blocks before the head, as the builder described them."""
        return self._features
