"""What every model of the library can do, whatever is inside: the verbs of `VideoModel`."""

from __future__ import annotations

import contextlib
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from vitascope.errors import InputError, UnknownNameError

Triple = tuple[int, int, int]


@dataclass(frozen=True, kw_only=True)
class InputSpec:
    """What a model accepts; one entry of each tuple for each pathway.

    Attributes:
        channels: channels C.
        minimum: smallest clip (T, H, W) that reaches the end of the model; for audio T is time
            and W is frequency.
        names: names of the pathways in messages.
        optional: indices of pathways for which None may be given.
    """

    channels: tuple[int, ...] = (3,)
    minimum: tuple[Triple, ...] = ((1, 1, 1),)
    names: tuple[str, ...] = ("clip",)
    optional: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class FeatureInfo:
    """One stage of a model; one entry of each tuple for each pathway.

    `VideoModel.stage_features` gives the stage's output as a map B C T H W with these channels and,
    for a clip of n frames (rows, columns), ceil(n / stride) positions.

    Attributes:
        name: prefix of the stage's parameters.
        channels: channels of its output.
        stride: input frames, rows and columns for each of its output.
    """

    name: str
    channels: tuple[int, ...]
    stride: tuple[Triple, ...]


def smallest_input(stride: Sequence[int], kernel: Sequence[int] | None) -> Triple:
    """Smallest clip (T, H, W) that after `stride` still fills a pooling window `kernel`."""
    t, h, w = ((k - 1) * s + 1 for s, k in zip(stride, kernel or (1, 1, 1), strict=True))
    return (t, h, w)


def tokens_as_map(tokens: Tensor, grid: Sequence[int]) -> Tensor:
    """Tokens B N C of a grid (T, H, W) as a map B C T H W; class tokens, in front, are left out."""
    t, h, w = grid
    patches = tokens[:, tokens.shape[1] - t * h * w :]
    return patches.transpose(1, 2).reshape(len(tokens), -1, t, h, w)


def is_capturing() -> bool:
    """Whether torch is exporting, compiling or tracing right now."""
    return torch.compiler.is_compiling() or torch._C._get_tracing_state() is not None


def describe_input(x: Any) -> str:
    """The shape of a clip (or of each pathway's) for a message."""
    if isinstance(x, Tensor):
        return "x".join(map(str, x.shape)) or "a scalar"
    if isinstance(x, list | tuple):
        return f"[{', '.join(describe_input(part) for part in x)}]"
    return type(x).__name__


def check_input(x: Any, spec: InputSpec, *, values: bool = False) -> None:
    """Compares a clip with what a model accepts.

    Args:
        x: B C T H W, or a list of one such tensor for each pathway.
        spec: what the model accepts.
        values: also look for NaN and infinity, which costs a pass over the clip.

    Raises:
        InputError: wrong rank, channels, number of pathways, a clip too short or too small, or
            (with `values`) a value that is no number. The message says what came and what fits.
    """
    count = len(spec.channels)
    if count == 1:
        parts: Sequence[Any] = x if isinstance(x, list | tuple) and len(x) == 1 else [x]
    else:
        parts = x if isinstance(x, list | tuple) else [x]
    given = [
        isinstance(part, Tensor) or (part is None and index in spec.optional)
        for index, part in enumerate(parts)
    ]
    if len(parts) != count or not all(given):
        want = (
            "one tensor B C T H W"
            if count == 1
            else f"a list of {count} tensors B C T H W ({', '.join(spec.names)})"
        )
        raise InputError(f"the model takes {want}, got {describe_input(x)}")
    for part, channels, least, name in zip(
        parts, spec.channels, spec.minimum, spec.names, strict=True
    ):
        if part is None:
            continue
        if part.dim() != 5:
            raise InputError(
                f"{name}: expected 5 dimensions B C T H W, got {part.dim()} "
                f"({describe_input(part)})" + _batch_hint(part, channels)
            )
        if part.shape[1] != channels:
            raise InputError(
                f"{name}: expected {channels} channels in dimension 1 (B C T H W), got "
                f"{part.shape[1]} ({describe_input(part)})"
                + (". The channels are last; permute them." if part.shape[-1] == channels else "")
            )
        size = tuple(part.shape[2:])
        if any(got < low for got, low in zip(size, least, strict=True)):
            raise InputError(
                f"{name}: T x H x W = {describe_input(part[0, 0])} is too short or too small; the "
                f"strides and the pooling of this model need at least "
                f"{'x'.join(map(str, least))}. Give a longer or larger clip, or build the model "
                f"for this size."
            )
        if values and not bool(torch.isfinite(part).all()):
            bad = int((~torch.isfinite(part)).sum())
            raise InputError(
                f"{name}: {bad} of {part.numel()} values are NaN or infinite. Look at the "
                f"normalization (a std of 0?) and at the decoded frames."
            )


def _batch_hint(part: Tensor, channels: int) -> str:
    if part.dim() == 4 and part.shape[0] == channels:
        return ". A single clip needs a batch dimension: x[None]."
    return "."


@contextlib.contextmanager
def frozen_statistics(module: nn.Module) -> Iterator[None]:
    """Gives the buffers inside `module` the values they had before, at the end."""
    kept = [(b, b.detach().clone()) for b in module.buffers()]
    try:
        yield
    finally:
        with torch.no_grad():
            for buffer, value in kept:
                buffer.copy_(value)


class VideoModel(nn.Module, ABC):
    """A model that maps clips to scores, in two halves: features, then a head.

    An architecture writes the abstract members below; `forward` is the same for all.

    Attributes:
        inputs: what the model accepts; None accepts anything.
        check: look for NaN and infinity in each clip.
        gradient_checkpointing: recompute stages in the backward pass instead of keeping them.
    """

    inputs: InputSpec | None = None
    check: bool = False
    gradient_checkpointing: bool = False

    def forward(self, x: Tensor, bboxes: Tensor | None = None) -> Tensor:
        """Maps a clip to scores (to features without a head).

        Args:
            x: B C T H W; for several pathways a list of them, for which TorchScript has no type.
            bboxes: rows (index in the batch, x1, y1, x2, y2) in pixels of the clip, for a model
                that scores boxes.

        Raises:
            InputError: a clip or boxes that do not fit.
        """
        if not torch.jit.is_scripting():  # type: ignore[attr-defined]
            x = self.unpack(x)
            self.check_input(x)
        scores: Tensor = self.forward_head(self.forward_features(x), bboxes)
        return scores

    @abstractmethod
    def forward_features(self, x: Any) -> Any:
        """Maps a clip to the last feature map (a list of them for several pathways)."""

    @abstractmethod
    def forward_head(self, features: Any, bboxes: Tensor | None = None) -> Tensor:
        """Maps features to scores."""

    @abstractmethod
    def head_linear(self) -> tuple[nn.Module, str]:
        """The module and the attribute that hold the classifying layer."""

    @abstractmethod
    def depth_prefixes(self) -> tuple[tuple[str, ...], ...]:
        """Prefixes of parameter names for each depth, from the input to the head."""

    @property
    @abstractmethod
    def feature_info(self) -> tuple[FeatureInfo, ...]:
        """The stages, from the input on."""

    def stage_features(self, x: Any, *names: str) -> dict[str, tuple[Tensor, ...]]:
        """Features of stages as maps, from one pass up to the head.

        Args:
            x: a clip, as for `forward`.
            names: names out of `feature_info`; without any all stages.

        Returns:
            For each stage a map B C T H W for each pathway. Tokens are put back in their places;
            class tokens are left out, and of two reversible streams there is the mean.

        Raises:
            UnknownNameError: the model has no such stage.
            InputError: the clip does not fit.
        """
        stages = {info.name: info for info in self.feature_info}
        for name in names:
            if name not in stages:
                raise UnknownNameError("stage", name, stages)
        self.check_input(x)
        clip = self.unpack(x)
        found: dict[str, tuple[Tensor, ...]] = {}

        def keep(info: FeatureInfo, inputs: tuple[Any, ...], output: Any) -> None:
            found[info.name] = self._stage_maps(info, clip, inputs, output)

        handles = [
            self.get_submodule(name).register_forward_hook(
                lambda _, inputs, output, info=stages[name]: keep(info, inputs, output)
            )
            for name in names or stages
        ]
        try:
            self.forward_features(clip)
        finally:
            for handle in handles:
                handle.remove()
        return found

    def _stage_maps(
        self, info: FeatureInfo, clip: Any, inputs: tuple[Any, ...], output: Any
    ) -> tuple[Tensor, ...]:
        """What a stage gave as maps B C T H W, one for each pathway."""
        del clip, inputs
        return tuple(output) if isinstance(output, list | tuple) else (output,)

    def check_input(self, x: Any, *, values: bool | None = None) -> None:
        """Raises `InputError` where a clip does not fit; see `check_input` of this module.

        While a graph is captured nothing is checked: sizes may be symbols, and a check would
        become part of the graph.
        """
        if self.inputs is not None and not is_capturing():
            check_input(x, self.inputs, values=self.check if values is None else values)

    def unpack(self, x: Any) -> Any:
        """The clip itself where a model of one pathway is given a list of one clip."""
        one = self.inputs is not None and len(self.inputs.channels) == 1
        return x[0] if one and isinstance(x, list | tuple) and len(x) == 1 else x

    def head_names(self) -> tuple[str, ...]:
        """Names of the classifying layer; several where modules share it."""
        owner, attribute = self.head_linear()
        last = getattr(owner, attribute, None)
        modules = self.named_modules(remove_duplicate=False)
        return tuple(name for name, module in modules if module is last)

    def head_entries(self) -> tuple[str, ...]:
        """Names of the classifying layer's entries in the state dict."""
        heads = set(self.head_names())
        return tuple(name for name in self.state_dict() if name.rpartition(".")[0] in heads)

    def reset_head(self, num_classes: int, *, std: float = 0.01) -> None:
        """Puts a new, randomly started classifying layer in place of the present one.

        Args:
            num_classes: outputs of the new layer.
            std: standard deviation of its start values; its bias starts at 0.

        Raises:
            InputError: the model has no classifying layer, or `num_classes` is below 1.
        """
        if num_classes < 1:
            raise InputError(f"num_classes = {num_classes}; a head needs at least 1")
        owner, name = self.head_linear()
        old = getattr(owner, name)
        like = old.weight
        if isinstance(old, nn.Linear):
            new = nn.Linear(
                old.in_features, num_classes, old.bias is not None, like.device, like.dtype
            )
        else:
            raise InputError(f"the head ends in {type(old).__name__}, which cannot be resized")
        with torch.no_grad():
            nn.init.normal_(new.weight, 0.0, std)
            if new.bias is not None:
                nn.init.zeros_(new.bias)
        new.train(old.training)
        for path in self.head_names():
            parent, _, leaf = path.rpartition(".")
            # A container may keep its parts by key alone, which a plain setattr cannot reach.
            self.get_submodule(parent)._modules[leaf] = new

    @property
    def num_classes(self) -> int:
        """Outputs of the classifying layer."""
        owner, name = self.head_linear()
        return int(getattr(owner, name).weight.shape[0])

    def param_depth(self, name: str) -> int:
        """Depth of a parameter: 0 at the input, `num_depths - 1` in the head."""
        for depth, prefixes in enumerate(self.depth_prefixes()):
            if any(name == p or name.startswith(f"{p}.") for p in prefixes):
                return depth
        raise InputError(f"{name!r} is no parameter of this model")

    @property
    def num_depths(self) -> int:
        """Number of depths that `param_depth` tells apart."""
        return len(self.depth_prefixes())

    def set_gradient_checkpointing(self, enabled: bool = True) -> None:
        """Trades time for memory in training: keeps only the borders of the stages."""
        self.gradient_checkpointing = enabled

    def run_stage(self, stage: nn.Module, x: Any) -> Any:
        """Runs one stage, recomputed in the backward pass if so set.

        Running statistics are updated once, as without recomputation.
        """
        if not (self.gradient_checkpointing and self.training and torch.is_grad_enabled()):
            return stage(x)
        contexts = (contextlib.nullcontext(), frozen_statistics(stage))
        return checkpoint(stage, x, use_reentrant=False, context_fn=lambda: contexts)


def count_parameters(model: nn.Module) -> int:
    """Number of parameters, each storage once."""
    return sum(math.prod(p.shape) for p in model.parameters())
