"""Two-way tables of names: one row says both directions, so they cannot drift apart."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

Pair = tuple[str, str]
Rule = tuple[re.Pattern[str], Callable[[re.Match[str]], str]]

_FIELD = re.compile(r"\{(\w)\}")


class Naming(Protocol):
    """Names of one dialect for one network."""

    def to_ours(self, name: str) -> str:
        """Our name of an entry; a name that the table does not know stays as it is."""
        ...

    def to_theirs(self, name: str) -> str:
        """The dialect's name of one of our entries."""
        ...


def _rule(source: str, target: str) -> Rule:
    body = source.removeprefix("^").removesuffix("$")
    pattern, position = "", 0
    for field in _FIELD.finditer(body):
        kind = "[a-z]" if field[1] == "x" else r"\d+"
        pattern += re.escape(body[position : field.start()]) + f"(?P<{field[1]}>{kind})"
        position = field.end()
    pattern += re.escape(body[position:])
    pattern = "^" * source.startswith("^") + pattern + "$" * source.endswith("$")
    filled = target.removeprefix("^").removesuffix("$")
    return re.compile(pattern), lambda match: filled.format(**match.groupdict())


@dataclass(frozen=True)
class NameTable:
    """Rows of (our part of a name, their part), in groups.

    Of each group the first row that fits a name is applied, once. `^` and `$` tie a row to the
    start or the end of a name; `{i}` stands for a number and `{x}` for a letter, the same on both
    sides.

    Attributes:
        groups: groups of rows, in the order in which they are applied to either side.
        outer: prefixes that may stand before a name and are left alone, such as "backbone.".
    """

    groups: tuple[tuple[Pair, ...], ...]
    outer: tuple[str, ...] = ()

    @cached_property
    def _ours(self) -> list[list[Rule]]:
        return [[_rule(theirs, ours) for ours, theirs in group] for group in self.groups]

    @cached_property
    def _theirs(self) -> list[list[Rule]]:
        return [[_rule(ours, theirs) for ours, theirs in group] for group in self.groups]

    def to_ours(self, name: str) -> str:
        """Our name of an entry; a name that the table does not know stays as it is."""
        return self._apply(self._ours, name)

    def to_theirs(self, name: str) -> str:
        """The dialect's name of one of our entries."""
        return self._apply(self._theirs, name)

    def _apply(self, groups: list[list[Rule]], name: str) -> str:
        prefix = next((p for p in self.outer if name.startswith(p)), "")
        name = name[len(prefix) :]
        for group in groups:
            for pattern, replacement in group:
                changed, count = pattern.subn(replacement, name, count=1)
                if count:
                    name = changed
                    break
        return prefix + name
