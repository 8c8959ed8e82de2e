"""The text of a program, by the places that its syntax tree tells, and import lines for it."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterable
from typing import NamedTuple

_WIDTH = 88


class Edit(NamedTuple):
    """Characters [start, end) of a text and what comes in their place."""

    start: int
    end: int
    text: str


class ProgramText:
    """A text in which a syntax tree tells places by line and byte."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.lines = re.split(r"(?<=\n)|(?<=\r)(?!\n)", text)
        self._starts = [0]
        for line in self.lines:
            self._starts.append(self._starts[-1] + len(line))

    def offset(self, line: int, column: int) -> int:
        """Characters before a place given as the syntax tree does."""
        row = self.lines[line - 1]
        return self._starts[line - 1] + len(row.encode()[:column].decode())

    def span(self, node: ast.AST) -> tuple[int, int]:
        """Where a node begins and ends."""
        places = vars(node)
        return (
            self.offset(places["lineno"], places["col_offset"]),
            self.offset(places["end_lineno"], places["end_col_offset"]),
        )

    def laid_out(self, node: ast.stmt, start: int, end: int, new: list[str]) -> str:
        """Statements in the place of one: each on a line, or beside others as that one was."""
        text = self.text
        line_start = start - len(self.lines[node.lineno - 1].encode()[: node.col_offset].decode())
        before = text[line_start:start]
        after = text[end : end + len(text[end:].split("\n", 1)[0])]
        if before.strip() or after.lstrip().startswith(";"):
            flat = [re.sub(r"\(\s*|,?\s*\)", "", line).replace("\n", " ") for line in new]
            return "; ".join(re.sub(r"\s+", " ", line) for line in flat if line[0] != "#")
        newline = "\r\n" if "\r\n" in self.lines[0] else "\n"
        return "\n".join(new).replace("\n", f"{newline}{before}")

    def comments(self, node: ast.stmt) -> list[str]:
        """Comments within a statement."""
        start, end = self.span(node)
        words = tokenize.generate_tokens(io.StringIO(self.text[start:end]).readline)
        return [word.string for word in words if word.type == tokenize.COMMENT]


def aliased(name: str, as_name: str | None) -> str:
    """`name`, or `name as as_name`."""
    return name if as_name is None else f"{name} as {as_name}"


def bound_import(home: str, local: str) -> str:
    """An import that binds a module to a name."""
    return f"import {home}" if home == local else f"import {home} as {local}"


def from_import(module: str, names: Iterable[str], indent: int) -> str:
    """An import of names, in one line or in one line for each name.

    Args:
        module: the module.
        names: with `as` where they have it; twice the same counts once.
        indent: characters before the statement.
    """
    listed = list(dict.fromkeys(names))
    line = f"from {module} import {', '.join(listed)}"
    if indent + len(line) <= _WIDTH or listed == ["*"]:
        return line
    inner = "".join(f"\n    {name}," for name in listed)
    return f"from {module} import ({inner}\n)"
