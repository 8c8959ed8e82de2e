"""`vitascope models`: the networks that can be trained, and what was published about each."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vitascope.cli.options import JsonFile
from vitascope.cli.output import Output

if TYPE_CHECKING:
    from vitascope.models.card import ModelCard

Name = Annotated[str, typer.Argument(metavar="NAME", help="A name that `models list` shows.")]


def list_models(json_file: JsonFile = None) -> None:
    """Lists the networks, with their size and their published accuracy.

    Accuracy is what the authors published for weights trained on a public data set. A network
    that is trained on your own folder starts from random weights.

    Examples:
      vitascope models list
      vitascope train clips/ --model x3d_xs
    """
    with Output("models list", json_file) as out:
        from vitascope.models.registry import get_card, list_cards

        cards = list_cards()
        out.data["models"] = [_facts(card) for card in cards]
        rows = [
            (
                card.name if get_card(card.name) is card else card.full_name,
                card.labels.name,
                f"{card.clip.num_frames}x{card.clip.sampling_rate}",
                "x".join(map(str, card.pixels.crop)),
                _cost(card, "parameters"),
                _cost(card, "gflops"),
                _score(card, "top1"),
            )
            for card in cards
        ]
        header = ("name", "published for", "frames", "pixels", "M params", "GFLOPs", "top-1 %")
        out.table(header, rows, numbers=(2, 3, 4, 5, 6))
        out.say()
        out.say("One of them in full: vitascope models show NAME")


def show_model(name: Name, json_file: JsonFile = None) -> None:
    """Shows all that is known about one network.

    Examples:
      vitascope models show x3d_s
    """
    with Output("models show", json_file) as out:
        from vitascope.models.registry import get_card

        card = get_card(name)
        facts = _facts(card)
        out.data.update(facts)
        clip = card.clip
        rate = f" of {clip.fps} frames a second" if clip.fps else ""
        height, width = card.pixels.crop
        out.facts(
            [
                ("name", card.full_name),
                ("paper", card.paper or "none"),
                ("task", card.task),
                ("frames", f"{clip.num_frames}, {clip.sampling_rate} apart{rate}"),
                ("pixels", f"{height} high, {width} wide, short side {card.pixels.short_side}"),
                ("input", _input(card)),
                ("mean, std", f"{card.pixels.mean}, {card.pixels.std}"),
                ("classes", card.labels.name or "your own"),
                *(("arguments", f"{key} = {value}") for key, value in facts["args"].items()),
                *((r.metric, _result(r)) for r in card.results),
                *(("weights", f"{w.url} ({w.dialect})") for w in card.weights),
                *([("note", card.note)] if card.note else []),
            ]
        )


def _facts(card: ModelCard) -> dict[str, Any]:
    names = ("name", "tag", "task", "args", "clip", "pixels", "results", "weights", "cost")
    facts = {name: getattr(card, name) for name in names}
    args = {key: _spell(value) for key, value in card.args.items()}
    words = {"classes": card.labels.name, "paper": card.paper, "note": card.note}
    return {**facts, **words, "args": args}


def _spell(value: Any) -> Any:
    """Functions and classes by their names, containers by their members, the rest as it is."""
    if isinstance(value, functools.partial):
        given = [*map(str, value.args), *(f"{k}={_spell(v)}" for k, v in value.keywords.items())]
        return f"{_spell(value.func)}({', '.join(given)})"
    if isinstance(value, Mapping):
        return {key: _spell(member) for key, member in value.items()}
    if isinstance(value, tuple | list):
        return [_spell(member) for member in value]
    if callable(value) and hasattr(value, "__qualname__"):
        return f"{value.__module__}.{value.__qualname__}"
    return value


def _input(card: ModelCard) -> str:
    """Shapes B C T H W that enter the network, one for each pathway."""
    height, width = card.pixels.crop
    strides = card.clip.pathways or (1,)
    shapes = (
        f"B {len(card.pixels.mean)} {card.clip.num_frames // stride} {height} {width}"
        for stride in strides
    )
    return ", ".join(shapes)


def _cost(card: ModelCard, name: str) -> str:
    values = [getattr(cost, name) for cost in card.cost if getattr(cost, name) is not None]
    return f"{values[0]:.2f}" if values else ""


def _score(card: ModelCard, metric: str) -> str:
    values = [result.value for result in card.results if result.metric == metric]
    return f"{values[0]:.2f}" if values else ""


def _result(result: Any) -> str:
    views = f", {result.protocol} views" if result.protocol else ""
    return f"{result.value:.2f} % on {result.dataset}{views}, {result.kind}: {result.source}"
