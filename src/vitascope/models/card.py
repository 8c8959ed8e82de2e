"""A published model as data. Calling a card builds the model."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from torch import nn

from vitascope.catalog import Catalog
from vitascope.errors import WeightsError
from vitascope.models.base import VideoModel
from vitascope.models.weights.load import load_published
from vitascope.spec import ClipSpec, Cost, LabelSpec, PixelSpec, Result, Weights


@dataclass(frozen=True, kw_only=True)
class ModelCard:
    """A model with everything that was published about it.

    Attributes:
        name: name of the entry point ("slow_r50").
        tag: which weights of that name ("k400_8x8"); `NAME.TAG` is unique.
        builder: function that builds the model.
        args: its arguments.
        clip: frames that enter the model.
        pixels: size and scale of the frames.
        labels: classes of the published weights.
        logit_args: arguments under which the model ends in logits, where its default is an
            activation; `create_model` adds them, calling the card does not.
        task: "classification", "multilabel" (sigmoid scores), "detection" (boxes) or "features".
        results: scores, each with its source.
        weights: published weights, the preferred one first; empty where none are known.
        pretraining: published weights of the pre-training alone, where they are no weights of this
            model (masked pre-training).
        cost: published parameters and GFLOPs.
        recipe: name of the training recipe; empty where there is none.
        paper: arXiv number.
        note: what a user should know besides.
        kept: arguments that go into every contract, because the name alone does not tell them
            (the configuration of a model of another library).
        load: puts start weights into a model, where they are not files that `weights` names.
    """

    name: str
    tag: str
    builder: Callable[..., nn.Module]
    clip: ClipSpec
    pixels: PixelSpec
    labels: LabelSpec
    args: Mapping[str, Any] = field(default_factory=dict)
    logit_args: Mapping[str, Any] = field(default_factory=dict)
    task: str = "classification"
    results: tuple[Result, ...] = ()
    weights: tuple[Weights, ...] = ()
    pretraining: tuple[Weights, ...] = ()
    cost: tuple[Cost, ...] = ()
    recipe: str = ""
    paper: str = ""
    note: str = ""
    kept: tuple[str, ...] = ()
    load: Callable[[VideoModel], None] | None = None

    def __post_init__(self) -> None:
        for name in ("args", "logit_args"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))
        object.__setattr__(self, "__doc__", _describe(self))
        object.__setattr__(self, "__name__", self.name)

    def __reduce__(self) -> tuple[Any, ...]:
        """A card is data: it can be copied and sent to another process."""
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        plain = {n: dict(v) if isinstance(v, MappingProxyType) else v for n, v in fields.items()}
        return _card, (plain,)

    def __repr__(self) -> str:
        height, width = self.pixels.crop
        first = self.results[:1]
        scores = "".join(f", {r.metric} {r.value:g} on {r.dataset}" for r in first)
        return (
            f"ModelCard({self.full_name!r}, {self.task}, {self.clip.num_frames} frames of "
            f"{height} x {width}, labels={self.labels.name or 'your own'!r}{scores})"
        )

    @property
    def full_name(self) -> str:
        """`NAME.TAG`; the name alone where there is no tag (models of other libraries)."""
        return f"{self.name}.{self.tag}" if self.tag else self.name

    def build(self, **kwargs: Any) -> VideoModel:
        """Builds the model with start values; `kwargs` replace arguments of the card."""
        model = self.builder(**{**self.args, **kwargs})
        assert isinstance(model, VideoModel), (
            f"{self.full_name}: the builder gives a {type(model).__name__}, which is no VideoModel"
        )
        return model

    def __call__(
        self, pretrained: bool = False, progress: bool = True, **kwargs: Any
    ) -> VideoModel:
        """Builds the model.

        Args:
            pretrained: load the published weights.
            progress: show a bar while they are fetched.
            kwargs: arguments of the builder that replace those of the card.

        Raises:
            WeightsError: `pretrained` and no weights are known, or they do not fit the model.
        """
        model = self.build(**kwargs)
        if pretrained and self.load is not None:
            self.load(model)
        elif pretrained:
            if not self.weights:
                raise WeightsError(
                    f"{self.full_name}: no published weights are known. Build it without "
                    f"pretrained=True and load a file of your own with vitascope.load."
                )
            load_published(model, self.weights, progress=progress)
        return model


def _card(fields: Mapping[str, Any]) -> ModelCard:
    return ModelCard(**fields)


def _describe(card: ModelCard) -> str:
    builder = getattr(card.builder, "__name__", type(card.builder).__name__)
    clip = f"{card.clip.num_frames} frames, every {card.clip.sampling_rate}"
    lines = [
        f"Builds {card.full_name} ({card.task}): `{builder}`, {clip}.",
        "",
        f"Labels: {card.labels.name or 'your own'}."
        + (f" Paper: {card.paper}." if card.paper else ""),
    ]
    return "\n".join([*lines, card.note] if card.note else lines)


CARDS: Catalog[ModelCard] = Catalog("model", hint="All: vitascope models list.")


def publish(card: ModelCard) -> ModelCard:
    """Makes a card known as `NAME.TAG`; the first of a name answers to `NAME` too.

    Raises:
        ValueError: `NAME.TAG` is taken.
    """
    CARDS.add(card.full_name, card)
    if card.name not in CARDS:
        CARDS.add(card.name, card)
    return card
