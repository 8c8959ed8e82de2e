"""Published models by name."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any

from vitascope.models.base import VideoModel
from vitascope.models.card import CARDS, ModelCard
from vitascope.models.foreign.cards import foreign_card, is_foreign


def _load_hub() -> None:
    importlib.import_module("vitascope.models.hub")


def get_card(name: str, args: Mapping[str, Any] | None = None) -> ModelCard:
    """The card of `NAME` or `NAME.TAG`, or of a model of another library ("hf:...").

    Args:
        name: the name; see `vitascope.models.foreign.base` for those of other libraries.
        args: arguments of the builder that are known already. Those of a model of another
            library may hold its whole configuration, which then is not looked for.

    Raises:
        UnknownNameError: no such card; the message lists near names.
        MissingExtraError: the other library is not installed.
    """
    if is_foreign(name):
        return foreign_card(name, args)
    _load_hub()
    return CARDS[name]


def list_cards(where: Callable[[ModelCard], bool] | None = None) -> list[ModelCard]:
    """All cards in the order of their full names, or those for which `where` holds."""
    _load_hub()
    cards = [card for name, card in CARDS.items() if name == card.full_name]
    return sorted(filter(where, cards), key=lambda card: card.full_name)


def list_models(where: Callable[[ModelCard], bool] | None = None) -> list[str]:
    """Names that `create_model` builds, each once; with `where` those whose card satisfies it."""
    return sorted({card.name for card in list_cards(where)})


def create_model(
    name: str,
    *,
    num_classes: int | None = None,
    pretrained: bool = False,
    check: bool = False,
    progress: bool = True,
    **args: Any,
) -> VideoModel:
    """Builds a published model that ends in logits.

    Calling a card instead gives the model as its originals build it, which for some (R(2+1)D,
    detection) ends in an activation.

    Args:
        name: `NAME` or `NAME.TAG` of a card, or a model of another library ("hf:FOLDER",
            "timm:resnet18").
        num_classes: puts a new classifying layer with so many outputs in place.
        pretrained: load the published weights (before the head is replaced).
        check: look for NaN and infinity in each clip.
        progress: show a bar while weights are fetched.
        args: arguments of the builder that replace those of the card.

    Raises:
        UnknownNameError: no such card.
        WeightsError: `pretrained` and there are no weights, or they do not fit.
    """
    card = get_card(name, args)
    model = card(pretrained=pretrained, progress=progress, **{**card.logit_args, **args})
    if num_classes is not None:
        model.reset_head(num_classes)
    model.check = check
    return model
