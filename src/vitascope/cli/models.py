"""`vitascope models`: the models that can be trained, and what was published about each."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vitascope.cli.options import JsonFile
from vitascope.cli.output import Output

if TYPE_CHECKING:
    from vitascope.models.card import ModelCard
    from vitascope.models.measure.measure import Size
    from vitascope.spec import Weights

Name = Annotated[str, typer.Argument(metavar="NAME", help="A name that `models list` shows.")]
Task = Annotated[
    str | None,
    typer.Option(metavar="TASK", help="Only this task: classification, multilabel or detection."),
]
Classes = Annotated[
    str | None,
    typer.Option(metavar="DATA", help="Only what was published for this data, as kinetics400."),
]
MaxGFLOPs = Annotated[
    float | None,
    typer.Option("--max-gflops", metavar="X", help="At most so many GFLOPs for one view."),
]
MaxParams = Annotated[
    float | None,
    typer.Option("--max-params", metavar="X", help="At most so many million parameters."),
]


def list_models(
    task: Task = None,
    data: Classes = None,
    max_gflops: MaxGFLOPs = None,
    max_params: MaxParams = None,
    json_file: JsonFile = None,
) -> None:
    """Lists the models, with their size and their published accuracy.

    Accuracy is what the authors published for weights trained on a public data set. A model
    that is trained on your own folder starts from random weights. Where nobody published a size
    and one is asked for, the model is measured.

    Examples:
      vitascope models list
      vitascope models list --max-gflops 3 --max-params 5
      vitascope train clips/ --model x3d_xs
    """
    with Output("models list", json_file) as out:
        from vitascope.models.registry import get_card, list_cards

        cards = list_cards()
        _check("--task", task, {card.task for card in cards})
        _check("--data", data, {card.labels.name for card in cards} - {""})
        cards = [
            card
            for card in cards
            if (task is None or card.task == task)
            and (data is None or card.labels.name == data)
            and _within(card, "parameters", max_params)
            and _within(card, "gflops", max_gflops)
        ]
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
        if rows:
            out.say("One of them in full: vitascope models show NAME")
        else:
            out.say("No model is like this; give fewer conditions.")


def _check(option: str, value: str | None, legal: set[str]) -> None:
    from vitascope.errors import UnknownNameError

    if value is not None and value not in legal:
        raise UnknownNameError(f"value of {option}", value, legal)


def _within(card: ModelCard, name: str, limit: float | None) -> bool:
    """Whether a size is at most `limit`; what was published first, else what is measured."""
    if limit is None:
        return True
    published = [getattr(cost, name) for cost in card.cost if getattr(cost, name) is not None]
    if published:
        return bool(published[0] <= limit)
    size = _measured(card.full_name)
    return (size.gflops if name == "gflops" else size.parameters / 1e6) <= limit


@functools.cache
def _measured(name: str) -> Size:
    from vitascope.models.measure.measure import measure
    from vitascope.models.registry import get_card

    return measure(get_card(name))


def show_model(name: Name, json_file: JsonFile = None) -> None:
    """Shows all that is known about one model, and measures its size.

    Examples:
      vitascope models show x3d_s
    """
    with Output("models show", json_file) as out:
        from vitascope.models.registry import get_card

        card = get_card(name)
        size = _measured(card.full_name)
        facts = _facts(card)
        out.data.update(facts)
        out.data["measured"] = {
            "parameters": size.parameters,
            "flops": size.flops,
            "shapes": size.shapes,
            "stages": [{"name": stage, "shapes": shapes} for stage, shapes in size.stages],
        }
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
                ("mean, std", f"{card.pixels.mean}, {card.pixels.std}"),
                ("classes", card.labels.name or "your own"),
                *(("arguments", f"{key} = {value}") for key, value in facts["args"].items()),
                *((r.metric, _result(r)) for r in card.results),
                *(("weights", f"{w.url} ({w.dialect}; {_vouched(w)})") for w in card.weights),
                *(("pre-training", f"{w.url} ({w.dialect})") for w in card.pretraining),
                *([("note", card.note)] if card.note else []),
            ]
        )
        _show_shapes(out, size)
        _show_size(out, card, size)


def _show_shapes(out: Output, size: Size) -> None:
    out.heading("Shapes of one view")
    rows = [("input", _spell_shapes(size.shapes))]
    rows += [(name, _spell_shapes(shapes)) for name, shapes in size.stages]
    out.table(("layer", "B C T H W (B N D for tokens)"), rows)


def _spell_shapes(shapes: tuple[tuple[int, ...], ...]) -> str:
    return ", ".join(" ".join(["B", *map(str, shape[1:])]) for shape in shapes)


def _show_size(out: Output, card: ModelCard, size: Size) -> None:
    """Measured now, then each published size with the way it was counted."""
    from vitascope.models.measure.measure import counting_rule, explain_difference, measure

    out.heading("Size")
    rows = [("measured now", f"{size.parameters / 1e6:.2f}", f"{size.gflops:.2f}", "")]
    for cost in card.cost:
        there = size if cost.crop is None else measure(card, cost.crop)
        rule = counting_rule(there, cost)
        counted = f", here {there.flops[rule] / 1e9:.2f}" if rule else ""
        _, why = explain_difference(there, cost)
        parameters, gflops = ("" if n is None else f"{n:g}" for n in (cost.parameters, cost.gflops))
        rows.append((f"published: {cost.source}", parameters, gflops, f"{why}{counted}"))
    out.table(("", "M params", "GFLOPs", "counted"), rows, numbers=(1, 2))


def _vouched(weights: Weights) -> str:
    """What is known of a published file before it is fetched."""
    if weights.sha256 is None:
        return "no checksum is published; that of the first download is kept"
    length = "" if weights.size is None else f", {weights.size / 1e6:.1f} MB"
    return f"sha256 {weights.sha256}{length}"


def _facts(card: ModelCard) -> dict[str, Any]:
    names = ("name", "tag", "task", "args", "clip", "pixels", "results", "weights", "cost")
    facts = {name: getattr(card, name) for name in (*names, "pretraining")}
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


def _cost(card: ModelCard, name: str) -> str:
    values = [getattr(cost, name) for cost in card.cost if getattr(cost, name) is not None]
    return f"{values[0]:.2f}" if values else ""


def _score(card: ModelCard, metric: str) -> str:
    values = [result.value for result in card.results if result.metric == metric]
    return f"{values[0]:.2f}" if values else ""


def _result(result: Any) -> str:
    views = f", {result.protocol} views" if result.protocol else ""
    return f"{result.value:.2f} % on {result.dataset}{views}, {result.kind}: {result.source}"
