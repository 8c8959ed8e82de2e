"""A card's name in the place of a checkpoint: its model with its published weights."""

from __future__ import annotations

import difflib
from pathlib import Path

from vitascope.errors import WeightsError
from vitascope.models.base import VideoModel
from vitascope.models.card import ModelCard
from vitascope.models.class_names import with_names
from vitascope.models.foreign.cards import is_foreign
from vitascope.models.registry import create_model, get_card, list_cards
from vitascope.spec import Contract

_OTHER_TASKS = {
    "detection": "scores boxes, which have to be given to it",
    "multilabel": "gives each class a score of its own, several of which may be right",
    "features": "gives features and no classes",
}


def names_card(name: str | Path) -> bool:
    """Whether a text names a published model, and nothing that is there as a file or folder."""
    text = str(name)
    return not Path(text).exists() and (is_foreign(text) or text in _names())


def near_cards(name: str | Path) -> str:
    """A sentence with the cards that may be meant by a path that is not there; else empty."""
    near = difflib.get_close_matches(str(name), _names(), n=3)
    return f" Is the model {' or '.join(near)} meant?" if near else ""


def _names() -> set[str]:
    cards = list_cards()
    return {card.name for card in cards} | {card.full_name for card in cards}


def require_clips(card: ModelCard) -> None:
    """Refuses a model that does not name whole clips with one class each.

    Raises:
        WeightsError: it does something else; the message says what.
    """
    what = _OTHER_TASKS.get(card.task)
    if what is not None:
        raise WeightsError(
            f"{card.full_name} {what}, and here a clip gets one class. Choose a model for "
            f"classification; vitascope models lists them"
        )


def open_published(name: str, *, progress: bool = True) -> tuple[VideoModel, Contract]:
    """The model of a card with its published weights, and what is needed to use it.

    Args:
        name: NAME or NAME.TAG of a card, or a model of another library.
        progress: show a bar while the weights are fetched, if a person looks.

    Returns:
        The model in evaluation mode; its contract names the classes that the weights know.

    Raises:
        UnknownNameError: no such card.
        WeightsError: it has no published weights, they cannot be had or do not fit, or the model
            does something else than naming clips.
    """
    card = get_card(name)
    require_clips(card)
    model = create_model(card.full_name, pretrained=True, progress=progress)
    contract = Contract(
        model=card.full_name,
        args={argument: card.args[argument] for argument in card.kept},
        labels=with_names(card.labels, model.num_classes),
        clip=card.clip,
        pixels=card.pixels,
    )
    return model.eval(), contract
