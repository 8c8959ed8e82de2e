"""Where the weights come from with which a training begins."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from vitascope.engine.checkpoint import load_weights
from vitascope.engine.sizes import CLIP_ARGS, CROP_ARGS, WINDOW_ARGS
from vitascope.errors import VitascopeError, WeightsError
from vitascope.files import require_answer
from vitascope.models.base import VideoModel
from vitascope.models.card import ModelCard
from vitascope.models.measure.meta import build_meta, meta_model
from vitascope.models.registry import get_card
from vitascope.models.weights.convert import convert_state_dict
from vitascope.models.weights.load import fetch_published
from vitascope.models.weights.published import require_clips
from vitascope.models.weights.read import is_foreign_checkpoint
from vitascope.spec import ClipSpec, PixelSpec

AUTO, NONE, PRETRAINED = "auto", "none", "pretrained"
ANSWER_WITHIN = 4.0
"""Seconds in which a server must answer where nobody insists on its weights."""
_HUB = "https://huggingface.co"

Kind = Literal["random", "published", "checkpoint"]


@dataclass(frozen=True, kw_only=True)
class Start:
    """The start of a training.

    Attributes:
        model: card name of the model.
        kind: random weights, published ones, or those of a checkpoint.
        init: what `model.init` is to be.
        args: arguments of the builder without which the weights do not fit.
        clip: the clips that the weights were trained on; those of the card for random ones.
        pixels: their pixels.
        reason: a sentence on what was decided; empty where the user decided.
        note: a sentence on trained weights that were wanted and cannot be had; else empty.
    """

    model: str
    kind: Kind
    init: str | None
    clip: ClipSpec
    pixels: PixelSpec
    args: Mapping[str, Any]
    reason: str = ""
    note: str = ""


def find_start(
    model: str | None,
    init: str | None,
    *,
    default: str = "x3d_s",
    args: Mapping[str, Any] | None = None,
    decided: str | None = AUTO,
) -> Start:
    """Decides where the weights of a training come from.

    Args:
        model: card name of the model; None is that of the checkpoint `init`, else `default`.
        init: "auto" takes the published weights where they can be had, and random ones elsewhere;
            "pretrained" insists on the published ones; "none" or None takes random ones; anything
            else is a run, a checkpoint or another card's name.
        default: card name where neither `model` nor `init` tells one.
        args: arguments of the builder that differ from the card's.
        decided: what "auto" came to before, for the same run; "auto" where nothing did.

    Raises:
        UnknownNameError: no such model.
        WeightsError: weights that were asked for cannot be had.
    """
    args = dict(args or {})
    init = None if init == NONE else init
    if init not in (None, AUTO, PRETRAINED):
        return _from_checkpoint(str(init), model, args)
    card = get_card(model or default, args)
    require_clips(card)
    if init == AUTO and decided != AUTO:
        return _of_card(card, model or default, decided, args)
    if init != AUTO:
        return _of_card(card, model or default, init, args)
    try:
        where = require_published(card, args)
    except WeightsError as error:
        note = (
            f"{model or default} starts from random weights, and the result will be weaker than "
            f"from published ones: {str(error).rstrip('. ')}. --init pretrained insists on them, "
            f"--init none does without"
        )
        return _of_card(card, model or default, None, args, note=note)
    reason = f"starts from the published weights of {card.full_name} ({where}), to be fine-tuned"
    return _of_card(card, model or default, PRETRAINED, args, reason=reason)


def _of_card(
    card: ModelCard,
    name: str,
    init: str | None,
    args: Mapping[str, Any],
    *,
    reason: str = "",
    note: str = "",
) -> Start:
    return Start(
        model=name,
        kind="published" if init == PRETRAINED else "random",
        init=init,
        args=args,
        clip=card.clip,
        pixels=card.pixels,
        reason=reason,
        note=note,
    )


def _from_checkpoint(init: str, model: str | None, args: Mapping[str, Any]) -> Start:
    """The start from a run or a checkpoint, which knows its model, clip and pixels."""
    if model is not None and is_foreign_checkpoint(init):
        card = get_card(model, args)  # the file may fit several cards; the user says which
        contract_args: Mapping[str, Any] = {}
        name, clip, pixels = model, card.clip, card.pixels
    else:
        contract = load_weights(init).contract
        name, contract_args = model or contract.model, contract.args
        clip, pixels = contract.clip, contract.pixels
        if get_card(name, args).builder is not get_card(contract.model, contract_args).builder:
            contract_args = {}  # another model: strict loading will say what does not fit
    require_clips(get_card(name, {**contract_args, **args}))
    of_the_clip = {*CLIP_ARGS, *CROP_ARGS, *WINDOW_ARGS}  # those follow from the new clips
    own = {name: value for name, value in contract_args.items() if name not in of_the_clip}
    return Start(
        model=name,
        kind="checkpoint",
        init=init,
        args={**own, **args},
        clip=clip,
        pixels=pixels,
        reason=f"starts from the weights of {init}, to be fine-tuned",
    )


def require_published(card: ModelCard, args: Mapping[str, Any]) -> str:
    """Sees to it that published weights are here and fit; fetches them where they are not.

    A server that does not answer within a few seconds is not waited for.

    Args:
        card: the model.
        args: arguments of its builder that differ from the card's.

    Returns:
        Where they are.

    Raises:
        WeightsError: there are none, they cannot be had, or they do not fit the model.
    """
    if card.load is not None:
        return _require_foreign(card)
    if not card.weights:
        raise WeightsError(f"no published weights of {card.full_name} are known")
    network = _for_weights(card, args)
    if network is None:
        raise WeightsError(
            f"the published weights of {card.full_name} are for another model than "
            f"{', '.join(f'model.args.{name}' for name in args)} make of it"
        )
    path, content = fetch_published(card.weights, answer_within=ANSWER_WITHIN)
    _, report = convert_state_dict(content, network, what=str(path))
    if not (report.fits or report.only_head_differs):
        raise WeightsError(f"{path} does not fit {card.full_name}: {report.misfit()}")
    return str(path)


def _for_weights(card: ModelCard, args: Mapping[str, Any]) -> VideoModel | None:
    """The model without memory; None where the card's weights are not for it.

    Known before anything is fetched: the card's own model stands for its weights.
    """
    published = meta_model(card)
    network = build_meta(card, args)
    try:
        _, report = convert_state_dict(published.state_dict(), network, what=card.full_name)
    except VitascopeError:
        return None
    return network if report.fits or report.only_head_differs else None


def _require_foreign(card: ModelCard) -> str:
    """Models of other libraries, whose weights those fetch into caches of their own."""
    library, _, source = card.name.partition(":")
    remote = not os.path.isdir(source) and (library == "timm" or "/" in source)
    if remote:
        require_answer(_HUB, ANSWER_WITHIN)
    card(pretrained=True)
    return _HUB if remote else source
