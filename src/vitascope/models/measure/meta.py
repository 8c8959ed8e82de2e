"""Models without memory for their weights: shapes and names only, built in a moment."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from vitascope.models.base import VideoModel
from vitascope.models.card import ModelCard
from vitascope.models.foreign.cards import is_foreign

# Writes of numbers: without memory there is nothing to write to, yet torch works out shapes and
# strides each time, which takes most of the time of building a network.
_WRITES = frozenset(
    {"normal_", "uniform_", "zero_", "fill_", "mul_", "div_", "add_", "clamp_", "erfinv_", "copy_"}
)


class _WithoutStart(TorchFunctionMode):
    """Leaves out start values."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        starts = getattr(func, "__module__", "") == "torch.nn.init"
        if starts or getattr(func, "__name__", "") in _WRITES:
            target = args[0] if args else kwargs.get("tensor")
            if isinstance(target, Tensor) and target.is_meta:
                return target
        return func(*args, **kwargs)


def without_start() -> TorchFunctionMode:
    """In its block, tensors without memory get no start values."""
    return _WithoutStart()


def meta_model(card: ModelCard) -> VideoModel:
    """The model of a card, ending in logits, on the device "meta".

    Cards that build the same model share it, so it must not be changed.
    """
    args = {**card.args, **card.logit_args}
    key = repr(sorted(args.items(), key=str))
    return _built(_Recipe(card.builder, key, args))


def build_meta(card: ModelCard, args: Mapping[str, Any]) -> VideoModel:
    """A model of one's own of a card, ending in logits, without memory for its weights.

    Models of other libraries have some: they compute with numbers while they are built.

    Args:
        card: the model.
        args: arguments of its builder that differ from the card's.
    """
    place = "cpu" if is_foreign(card.name) else "meta"
    with torch.device(place), without_start():
        return card.build(**{**card.logit_args, **args})


class _Recipe:
    """A builder and its arguments, equal where they print alike."""

    def __init__(self, builder: Callable[..., Any], key: str, args: Mapping[str, Any]) -> None:
        self.builder, self.key, self.args = builder, key, args

    def __hash__(self) -> int:
        return hash((self.builder, self.key))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Recipe) and (self.builder, self.key) == (other.builder, other.key)


@cache
def _built(recipe: _Recipe) -> VideoModel:
    with torch.device("meta"), without_start():
        model = recipe.builder(**recipe.args)
    assert isinstance(model, VideoModel)
    return model
