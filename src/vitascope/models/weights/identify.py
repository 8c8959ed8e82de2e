"""Which published model a checkpoint of another library belongs to."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor

from vitascope.errors import WeightsError
from vitascope.models.base import VideoModel
from vitascope.models.bounded import within
from vitascope.models.card import ModelCard
from vitascope.models.class_names import with_names
from vitascope.models.foreign.cards import is_foreign
from vitascope.models.measure.meta import meta_model
from vitascope.models.mvit.variant import MViTVariant
from vitascope.models.registry import create_model, get_card, list_cards
from vitascope.models.weights.containers import split_tensors, unwrap
from vitascope.models.weights.convert import convert_state_dict
from vitascope.models.weights.load import load_into
from vitascope.models.weights.metadata import ClipFacts, clips_of, foreign_card_of, timm_card_named
from vitascope.models.weights.read import read_content
from vitascope.models.weights.report import ConversionReport
from vitascope.spec import Contract, LabelSpec


@dataclass(frozen=True)
class Opened:
    """A checkpoint of another library, loaded.

    Attributes:
        model: the model with the weights, in evaluation mode.
        contract: classes, clip and pixels of the card that it belongs to.
        report: what became of every entry.
        card: that card.
    """

    model: VideoModel
    contract: Contract
    report: ConversionReport
    card: ModelCard


def open_foreign(path: str | Path, model: str | None = None) -> Opened:
    """Loads a checkpoint of another library into the model that it belongs to.

    Args:
        path: the file, or a folder as Transformers and timm write it.
        model: card of the model; None finds it by names and shapes of the entries, by what the
            file says about its clips and, where several cards share a model, by its name.

    Raises:
        UnknownNameError: no such card.
        MissingExtraError: it is a model of Transformers or timm, which is not installed.
        WeightsError: the file cannot be read, fits no card, fits several, or does not fit `model`.
    """
    path = Path(path)
    content = read_content(path)
    card = find_card(content, path) if model is None else get_card(model)
    args = {name: card.args[name] for name in card.kept}
    foreign = is_foreign(card.full_name)
    if foreign:  # its configuration came with the file
        entries, _ = split_tensors(unwrap(content, str(path))[0])
        with within(entries, str(path)):
            shape = card(**card.logit_args)
    else:
        shape = meta_model(card)
    _, report = convert_state_dict(content, shape, what=str(path))
    classes = _classes(report) if report.only_head_differs else None
    network = shape
    if not foreign or classes is not None:
        network = create_model(card.full_name, num_classes=classes, **args)
    report = load_into(network, content, what=str(path))
    # Of classes of its own a file has no names.
    labels = card.labels if classes is None else LabelSpec()
    if report.head:
        labels = with_names(labels, network.num_classes)
    contract = Contract(
        model=card.full_name, args=args, labels=labels, clip=card.clip, pixels=card.pixels
    )
    return Opened(network.eval(), contract, report, card)


def _classes(report: ConversionReport) -> int | None:
    weight = next((n for n in report.head if n.endswith("weight")), "")
    shapes = report.other_shape.get(weight)
    return None if shapes is None else shapes[0][0]


def find_card(content: Any, path: Path) -> ModelCard:
    """The card of the model that a checkpoint belongs to.

    Args:
        content: what the file holds.
        path: the file; its name and the files beside it count too.

    Raises:
        WeightsError: it fits no card, or several.
    """
    described = foreign_card_of(content, path)
    if described is not None:
        return described
    entries, _ = unwrap(content, str(path))
    tensors, _ = split_tensors(entries)
    kernels = _kernels(tensors)
    cards = [card for card in list_cards() if kernels and _plausible(card, tensors)]
    named = [card for card in cards if path.stem.lower() in _files(card)]
    found = _that_fit(named, entries, kernels, path) or _that_fit(cards, entries, kernels, path)
    by_name = None if found else timm_card_named(path)
    if by_name is not None:
        return by_name
    if not found:
        shown = ", ".join(list(tensors)[:3])
        raise WeightsError(
            f"{path} fits no published model (its first entries: {shown}). Say which it is for "
            f"with --model NAME to see what does not fit; vitascope models lists them, and "
            f"encoders of timm are timm:NAME."
        )
    return _choose(found, path, clips_of(content))


def _kernels(entries: Mapping[str, Tensor]) -> Counter[tuple[int, ...]]:
    """How many kernels of each shape a model has, whatever their names and dimensions of 1."""
    return Counter(
        tuple(size for size in value.shape if size != 1)
        for name, value in entries.items()
        if value.dim() >= 4 and "_attention_pool_" not in name
    )


def _that_fit(
    cards: Iterable[ModelCard],
    entries: Mapping[str, Any],
    kernels: Counter[tuple[int, ...]],
    path: Path,
) -> list[tuple[ModelCard, ConversionReport]]:
    found = []
    for card in cards:
        model = meta_model(card)
        if _kernels(model.state_dict()) != kernels:
            continue
        try:
            _, report = convert_state_dict(entries, model, what=str(path))
        except WeightsError:
            continue
        other = any("frames" in how or "resampled" in how for how in report.changed.values())
        if not other and (report.fits or report.only_head_differs):
            found.append((card, report))
    return found


# Setup of names that only one kind of model has, in any dialect, and its builders.
_KINDS = (
    (r"patch_embed\.", "transformers"),
    (r"multipathway|pathway1_|(^|\.)t_(conv|res)", "slowfast"),
    (r"(^|\.)(conv_5|lin_5|pool\.pre_conv)", "x3d"),
)


def _plausible(card: ModelCard, tensors: Mapping[str, Tensor]) -> bool:
    """Whether it is worth building the model of a card: its kind and its size are right.

    Building all of them takes longer than anybody wants to wait for a file to open.
    """
    builder: Any = card.builder
    while isinstance(builder, partial):
        builder = builder.func
    for pattern, kind in _KINDS:
        has = any(re.search(pattern, name) for name in tensors)
        if has or kind in builder.__name__:
            if not (has and kind in builder.__name__):
                return False
            break
    if not card.cost or card.cost[0].parameters is None:
        return True
    twins = [name for name in tensors if "_attention_pool_" in name]
    count = sum(v.numel() for n, v in tensors.items() if n not in twins) / 1e6
    return 0.6 < count / card.cost[0].parameters < 1.6


def _files(card: ModelCard) -> set[str]:
    return {Path(place.url).stem.lower() for place in card.weights}


def _choose(
    found: list[tuple[ModelCard, ConversionReport]], path: Path, clips: ClipFacts | None
) -> ModelCard:
    """Of cards that share a model the one whose file, classes, dialect and clips are these."""

    def published(card: ModelCard, report: ConversionReport) -> tuple[bool, ...]:
        names = _files(card)
        dialects = {w.dialect for w in card.weights} or {_origin(card)}
        told = clips is not None and clips.are_those_of(card)
        return (told, path.stem.lower() in names, report.fits, report.dialect in dialects)

    ranks = [published(card, report) for card, report in found]
    best = [pair for pair, rank in zip(found, ranks, strict=True) if rank == max(ranks)]
    if len({_use(card, report) for card, report in best}) == 1:
        return best[0][0]
    names = ", ".join(card.full_name for card, _ in best)
    first = best[0][0].full_name
    raise WeightsError(
        f"{path} fits several published models that differ in clip or classes only: {names}. "
        f"Say which with --model NAME (vitascope convert {path} OUT --model {first})."
    )


def _origin(card: ModelCard) -> str:
    """Whose model a card without published files is; empty where its arguments do not say it."""
    variant = card.args.get("variant")
    return str(MViTVariant.of(variant).origin) if variant is not None else ""


def _use(card: ModelCard, report: ConversionReport) -> str:
    """What a user of the weights meets; names of classes only where the weights are for them."""
    labels = card.labels if report.fits else None
    return repr((card.clip, card.pixels, labels, sorted(card.args.items(), key=str)))
