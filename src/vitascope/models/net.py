"""Models as rows of blocks, single or of several pathways."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from vitascope.errors import ConfigError, InputError
from vitascope.models.base import (
    FeatureInfo,
    InputSpec,
    VideoModel,
    describe_input,
    is_capturing,
)
from vitascope.models.weight_init import init_net_weights


class Net(VideoModel):
    """Blocks one after the other; the last ones are the head.

    Args:
        blocks: the blocks. What they hold is initialized as in a ResNet.
        head_start: index of the first block of the head; None takes the last block if it has a
            classifying layer `proj`, and else says that there is no head.
        inputs: what the model accepts; None skips the checks.
        features: the stages, one for each block before the head.
    """

    def __init__(
        self,
        *,
        blocks: nn.ModuleList | None,
        head_start: int | None = None,
        inputs: InputSpec | None = None,
        features: Sequence[FeatureInfo] = (),
    ) -> None:
        super().__init__()
        if blocks is None:
            raise ConfigError("Net needs blocks, a ModuleList")
        if head_start is None:
            head_start = len(blocks) - hasattr(blocks[-1], "proj") if len(blocks) else 0
        self.blocks = blocks
        self.head_start = head_start
        self.inputs = inputs
        self._features = tuple(features)
        init_net_weights(self)

    def forward_features(self, x: Any) -> Any:
        """Maps a clip to the feature map that enters the head."""
        for block in self.blocks[: self.head_start]:
            x = self.run_stage(block, x)
        return x

    def forward_head(self, features: Any, bboxes: Tensor | None = None) -> Any:
        """Maps features to scores; without a head it returns them."""
        if bboxes is not None:
            raise InputError("this model has no head for boxes")
        for block in self.blocks[self.head_start :]:
            features = block(features)
        return features

    def head_linear(self) -> tuple[nn.Module, str]:
        """The classifying layer: `proj` of the last block."""
        head = self.blocks[-1] if self.head_start < len(self.blocks) else None
        if not isinstance(getattr(head, "proj", None), nn.Module):
            raise InputError("this model was built without a classifying head")
        assert head is not None
        return head, "proj"

    def depth_prefixes(self) -> tuple[tuple[str, ...], ...]:
        """One depth for each block with parameters; all of the head is one."""
        names = [f"blocks.{i}" for i in range(len(self.blocks))]
        parts: list[tuple[str, ...]] = [(name,) for name in names[: self.head_start]]
        parts.append(tuple(names[self.head_start :]))
        rows: list[tuple[str, ...]] = []
        for part in parts:
            modules = [self.get_submodule(name) for name in part]
            if not any(next(module.parameters(), None) is not None for module in modules) and rows:
                rows[-1] = (*rows[-1], *part)
            else:
                rows.append(part)
        return tuple(rows)

    @property
    def feature_info(self) -> tuple[FeatureInfo, ...]:
        """The blocks before the head, as the builder described them."""
        return self._features


class MultiPathWayWithFuse(nn.Module):
    """One block for each pathway, then a fusion of the pathways.

    Args:
        multipathway_blocks: a block for each pathway; None hands a pathway through.
        multipathway_fusion: maps the list of pathways to a list; None leaves it as it is.
        inplace: accepted for old callers. The caller's list is never written to either way: a
            list that holds features after a forward pass cannot be used for a second one.
        drop: maps the list that comes in to one in which some pathways are None. A pathway that
            is None is passed over by its block.
    """

    def __init__(
        self,
        *,
        multipathway_blocks: nn.ModuleList,
        multipathway_fusion: nn.Module | None,
        inplace: bool | None = True,
        drop: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.multipathway_blocks = multipathway_blocks
        self.multipathway_fusion = multipathway_fusion
        self.drop = drop

    def forward(self, x: list[Any]) -> list[Any]:
        """Maps a list of B C T H W to a new list of B C' T' H' W'.

        Raises:
            InputError: another number of pathways.
        """
        if len(x) != len(self.multipathway_blocks):
            raise InputError(
                f"{len(self.multipathway_blocks)} pathways expected, got {len(x)}: "
                f"{describe_input(x)}"
            )
        if self.drop is not None:
            x = self.drop(x)
        out = [
            part if block is None or part is None else block(part)
            for block, part in zip(self.multipathway_blocks, x, strict=True)
        ]
        if self.multipathway_fusion is not None:
            out = self.multipathway_fusion(out)
        return out


class DetectionBBoxNetwork(VideoModel):
    """Features of a clip, then scores of boxes in it.

    Args:
        model: model without a head, whose features the head takes.
        detection_head: maps features and boxes to scores.
    """

    def __init__(self, model: nn.Module, detection_head: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.detection_head = detection_head
        init_net_weights(detection_head)
        self.inputs = getattr(model, "inputs", None)

    def forward_features(self, x: Any) -> Any:
        """Maps a clip to the feature map that the boxes are cut from."""
        if isinstance(self.model, VideoModel):
            return self.model.forward_head(self.model.forward_features(x))
        return self.model(x)

    def forward_head(self, features: Any, bboxes: Tensor | None = None) -> Tensor:
        """Maps features and boxes R x 5 to scores R classes.

        Raises:
            InputError: no boxes, or boxes that do not fit.
        """
        if bboxes is None:
            raise InputError("this model scores boxes: give R rows (index, x1, y1, x2, y2)")
        if not is_capturing():
            first = features[0] if isinstance(features, list | tuple) else features
            check_boxes(bboxes, len(first))
        out: Tensor = self.detection_head(features, bboxes)
        return out.flatten(1)

    def head_linear(self) -> tuple[nn.Module, str]:
        """The classifying layer: `proj` of the head."""
        if not isinstance(getattr(self.detection_head, "proj", None), nn.Module):
            raise InputError("this model was built without a classifying head")
        return self.detection_head, "proj"

    def depth_prefixes(self) -> tuple[tuple[str, ...], ...]:
        """The depths of the model below, then the head."""
        below = self.model.depth_prefixes() if isinstance(self.model, VideoModel) else ((),)
        rows = [tuple(f"model.{p}" for p in row) or ("model",) for row in below]
        return (*rows, ("detection_head",))

    @property
    def feature_info(self) -> tuple[FeatureInfo, ...]:
        """The stages of the model below."""
        below = self.model.feature_info if isinstance(self.model, VideoModel) else ()
        return tuple(dataclasses.replace(row, name=f"model.{row.name}") for row in below)

    def set_gradient_checkpointing(self, enabled: bool = True) -> None:
        """Passes the wish on to the model below."""
        super().set_gradient_checkpointing(enabled)
        if isinstance(self.model, VideoModel):
            self.model.set_gradient_checkpointing(enabled)


def check_boxes(bboxes: Any, batch: int) -> None:
    """Raises `InputError` unless `bboxes` are rows (index below `batch`, x1, y1, x2, y2)."""
    if not isinstance(bboxes, Tensor) or bboxes.dim() != 2 or bboxes.shape[1] != 5:
        raise InputError(
            f"boxes are R rows (index in the batch, x1, y1, x2, y2), got {describe_input(bboxes)}"
        )
    index = bboxes[:, 0]
    if len(bboxes) and not bool(((index >= 0) & (index < batch)).all()):
        raise InputError(
            f"column 0 of the boxes is an index in the batch of {batch}, got values from "
            f"{float(index.min()):g} to {float(index.max()):g}"
        )
