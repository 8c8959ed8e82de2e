"""Models of other libraries as `VideoModel`s: Transformers video classifiers, timm encoders.

Nothing is re-written: the other library builds and computes, and the classes of
`transformers` and `timm` beside this file give the result our verbs. Names are made of a prefix
and what the other library calls the model:

- `hf:FOLDER`, `hf:OWNER/NAME`: a configuration that Transformers wrote, in a folder or on its hub;
- `hf:videomae`: the default configuration of a family, offline;
- `timm:resnet18`: an image encoder whose features are averaged over the frames.
"""

from __future__ import annotations

import contextlib
from typing import Any

from torch import nn
from torch.utils.checkpoint import checkpoint

from vitascope.errors import InputError
from vitascope.models.base import (
    InputSpec,
    Triple,
    VideoModel,
    check_input,
    describe_input,
    frozen_statistics,
    is_capturing,
)


class _Recomputed:
    """Stands in for the forward function of a stage that keeps nothing for the backward pass."""

    def __init__(self, stage: nn.Module) -> None:
        self.stage = stage

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        stage, run = self.stage, type(self.stage).forward
        if not stage.training:
            return run(stage, *args, **kwargs)
        return checkpoint(
            run,
            stage,
            *args,
            use_reentrant=False,
            context_fn=lambda: (contextlib.nullcontext(), frozen_statistics(stage)),
            **kwargs,
        )


class ForeignModel(VideoModel):
    """What the wrapped models of all libraries share.

    Attributes:
        library: which library builds it.
        classifier: name that the library gives the classifying layer.
        size: T, H, W that the model takes, where it takes one size only; None in a place where
            any size will do.
    """

    library: str = ""
    classifier: str = "classifier"
    size: tuple[int | None, int | None, int | None] = (None, None, None)

    def check_input(self, x: Any, *, values: bool | None = None) -> None:
        """Raises `InputError` where a clip does not fit; see `VideoModel.check_input`."""
        if is_capturing():
            return
        least: Triple = tuple(side or 1 for side in self.size)  # type: ignore[assignment]
        inputs = self.inputs or InputSpec(minimum=(least,))
        clip = x[0] if isinstance(x, list | tuple) and len(x) == 1 else x
        check_input(clip, inputs, values=self.check if values is None else values)
        if any(
            want not in (None, got) for want, got in zip(self.size, clip.shape[2:], strict=True)
        ):
            wanted = "x".join("any" if side is None else str(side) for side in self.size)
            raise InputError(
                f"clip: T x H x W = {describe_input(clip[0, 0])}, but the positions of this "
                f"model are made for {wanted}. Give clips of this size, or build the model "
                f"for yours (num_frames=, image_size=)."
            )

    def unpack(self, x: Any) -> Any:
        """The clip itself where a list of one clip is given."""
        return x[0] if isinstance(x, list | tuple) and len(x) == 1 else x

    def set_gradient_checkpointing(self, enabled: bool = True) -> None:
        """Trades time for memory in training: keeps only the borders of the stages."""
        super().set_gradient_checkpointing(enabled)
        for info in self.feature_info:
            stage = self.get_submodule(info.name)
            if next(stage.parameters(), None) is None:
                continue  # an activation alone, which may write over what it would keep
            if enabled:
                stage.forward = _Recomputed(stage)
            else:
                stage.__dict__.pop("forward", None)
