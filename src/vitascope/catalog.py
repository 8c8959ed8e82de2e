"""A table of names that refuses surprises: exact lookup, suggestions, no second registration."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Generic, TypeVar

from vitascope.errors import UnknownNameError

T = TypeVar("T")


class Catalog(Mapping[str, T], Generic[T]):
    """Names of one kind of thing, such as models or decoders.

    Args:
        kind: the word used in messages ("model").
        hint: appended to the message of a failed lookup, such as the command that lists all names.
    """

    def __init__(self, kind: str, hint: str = "") -> None:
        self.kind, self.hint = kind, hint
        self._entries: dict[str, T] = {}

    def add(self, name: str, value: T) -> T:
        """Registers `value` and returns it.

        Raises:
            ValueError: the name is taken. Silent replacement would make the meaning of a name
                depend on the order of imports.
        """
        if name in self._entries:
            raise ValueError(f"{self.kind} {name!r} is registered already")
        self._entries[name] = value
        return value

    def __getitem__(self, name: str) -> T:
        try:
            return self._entries[name]
        except KeyError:
            raise UnknownNameError(self.kind, name, self._entries, self.hint) from None

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)
