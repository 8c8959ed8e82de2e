"""Names of the classes of public data sets, in the order of the outputs of published weights.

The lists are facts of the data sets: Kinetics and Something-Something number their classes by
name, Charades by its codes c000 to c156. They lie beside the cards, in `hub/labels/`, one name a
line.
"""

from __future__ import annotations

import functools
from dataclasses import replace
from importlib import resources

from vitascope.spec import LabelSpec


@functools.cache
def class_names(name: str) -> tuple[str, ...]:
    """The class names of a public list; empty where no list of this name is at hand.

    Args:
        name: the list's name on a card ("kinetics400").
    """
    file = resources.files("vitascope.models") / "hub" / "labels" / f"{name}.txt"
    if not name.isidentifier() or not file.is_file():
        return ()
    return tuple(line for line in file.read_text(encoding="utf-8").splitlines() if line)


def with_names(labels: LabelSpec, outputs: int) -> LabelSpec:
    """Labels with a name for each output: those of the list, else "class 0", "class 1", ...

    Args:
        labels: the labels of a card.
        outputs: outputs of its classifying layer.
    """
    names = labels.names or class_names(labels.name)
    if len(names) != outputs:
        names = tuple(f"class {index}" for index in range(outputs))
    return replace(labels, names=names)
