"""What became of every entry of a checkpoint."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

Shape = tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class ConversionReport:
    """What a translation found; every entry of file and model is in one of the groups.

    Attributes:
        dialect: key of the dialect.
        container: what the entries lay in ("model_state", "state_dict, model", ...); empty for a
            bare state dict.
        prefix: what was cut off the names ("module.").
        renamed: (their name, our name) of entries that were renamed.
        changed: our name -> what was done to the values ("inflated to 5 frames, divided").
        kept: our entries that the file cannot have and that keep the model's own values.
        ignored: entries that are no weights of a model, such as the state of a training.
        missing: our entries that the file should have and has not.
        unexpected: entries of the file for which the model has no place.
        other_shape: our name -> (shape in the file, shape in the model).
        head: names of the model's classifying layer.
        new_head: names of those that were left as they were, because a new head was asked for.
        entries: number of entries of the model.
    """

    dialect: str
    container: str = ""
    prefix: str = ""
    renamed: tuple[tuple[str, str], ...] = ()
    changed: Mapping[str, str] = field(default_factory=dict)
    kept: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    other_shape: Mapping[str, tuple[Shape, Shape]] = field(default_factory=dict)
    head: tuple[str, ...] = ()
    new_head: tuple[str, ...] = ()
    entries: int = 0

    @property
    def fits(self) -> bool:
        """Nothing is missing, too many or of another shape."""
        return not (self.missing or self.unexpected or self.other_shape)

    @property
    def only_head_differs(self) -> bool:
        """A classifying layer for another number of classes is the only difference."""
        wrong = {*self.missing, *self.other_shape}
        return bool(wrong) and wrong <= set(self.head) and not self.unexpected

    def lines(self) -> list[str]:
        """The report for reading, similar entries in one line."""
        where = f" in {self.container}" if self.container else ""
        prefix = f", without {self.prefix!r}" if self.prefix else ""
        lines = [f"dialect: {self.dialect}{where}{prefix}"]
        good = self.entries - len(self.missing) - len(self.other_shape) - len(self.kept)
        good -= len(self.new_head)
        lines.append(f"fits: {good} of {self.entries} entries ({len(self.renamed)} renamed)")
        for what in sorted({*self.changed.values()}):
            names = [name for name, how in self.changed.items() if how == what]
            lines += _group(what, names)
        lines += _group("kept as built", self.kept)
        lines += _group("ignored", self.ignored)
        lines += _group("new classifying layer", self.new_head)
        lines += _group("missing in the file", self.missing)
        lines += _group("unexpected in the file", self.unexpected)
        for name, (theirs, ours) in self.other_shape.items():
            lines.append(f"other shape: {name}, {_shape(theirs)} in the file, {_shape(ours)} here")
        return lines

    def __str__(self) -> str:
        return "\n".join(self.lines())

    def to_json(self) -> dict[str, Any]:
        """The report as JSON values."""
        return {
            "dialect": self.dialect,
            "container": self.container,
            "prefix": self.prefix,
            "fits": self.fits,
            "entries": self.entries,
            "renamed": [list(pair) for pair in self.renamed],
            "changed": dict(self.changed),
            "kept": list(self.kept),
            "ignored": list(self.ignored),
            "missing": list(self.missing),
            "unexpected": list(self.unexpected),
            "other_shape": {
                name: {"file": list(theirs), "network": list(ours)}
                for name, (theirs, ours) in self.other_shape.items()
            },
            "new_head": list(self.new_head),
        }

    def misfit(self) -> str:
        """One sentence that says what does not fit, with the first entry of each group."""
        parts = []
        for word, names in (
            ("missing", self.missing),
            ("unknown to it", self.unexpected),
            ("of another shape", tuple(self.other_shape)),
        ):
            if names:
                first = names[0]
                if first in self.other_shape:
                    theirs, ours = self.other_shape[first]
                    first += f", {_shape(theirs)} in the file and {_shape(ours)} here"
                parts.append(f"{len(names)} {word} (first: {first})")
        return "; ".join(parts)


def _shape(shape: Shape) -> str:
    return "x".join(map(str, shape)) or "a scalar"


def _group(title: str, names: Iterable[str]) -> list[str]:
    """One line for all names that differ in numbers and in their last part only."""
    kinds: dict[str, list[str]] = {}
    for name in names:
        kinds.setdefault(re.sub(r"\d+", "*", name.rpartition(".")[0] or name), []).append(name)
    total = sum(map(len, kinds.values()))
    if not total:
        return []
    shown = [
        f"{group[0]}" if len(group) == 1 else f"{kind}.* ({len(group)})"
        for kind, group in kinds.items()
    ]
    more = f" and {len(shown) - 6} more kinds" if len(shown) > 6 else ""
    return [f"{title}: {total}: {', '.join(shown[:6])}{more}"]
