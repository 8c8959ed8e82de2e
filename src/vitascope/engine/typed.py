"""Values against type hints: from JSON and from text, with messages that name the field."""

from __future__ import annotations

import dataclasses
import functools
import math
import types
import typing
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any, Literal, Union, get_args, get_origin

from vitascope.errors import ConfigError, UnknownNameError
from vitascope.text import decode_json, exact, shown

TRUE, FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")
NONE = ("none", "null")


@functools.cache
def hints(cls: type) -> dict[str, Any]:
    """Resolved type hint of each field of a dataclass."""
    resolved = typing.get_type_hints(cls)
    return {f.name: resolved[f.name] for f in dataclasses.fields(cls)}


@functools.cache
def help_lines(cls: type) -> dict[str, str]:
    """One line about each field, read from the "Attributes:" section of the class docstring."""
    lines: dict[str, str] = {}
    name, inside = "", False
    for raw in (cls.__doc__ or "").splitlines():
        line = raw.strip()
        if line == "Attributes:":
            inside = True
        elif inside and line:
            head, colon, rest = line.partition(": ")
            if colon and head in hints(cls):
                name, line = head, rest
            lines[name] = f"{lines.get(name, '')} {line}".strip()
    return lines


def spell(hint: Any) -> str:
    """The type as a user reads it: "number", "text or none", "cosine | constant"."""
    origin, args = get_origin(hint), get_args(hint)
    if origin is Literal:
        return " | ".join(str(a) for a in args)
    if origin in (Union, types.UnionType):
        return " or ".join(spell(a) for a in args)
    if origin is tuple:
        if args[-1] is Ellipsis:
            return f"list of {spell(args[0])}"
        return "(" + ", ".join(spell(a) for a in args) + ")"
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return "name -> value"
    names = {bool: "true | false", int: "whole number", float: "number", str: "text",
             Fraction: "fraction", type(None): "none", Any: "any value"}  # fmt: skip
    return names.get(hint) or str(getattr(hint, "__name__", hint))


def _wrong(where: str, hint: Any, value: Any) -> ConfigError:
    try:
        said = repr(value)
    except (RecursionError, ValueError):  # nested without end, or digits without end
        said = f"a {type(value).__name__}"
    said = said if len(said) <= 200 else f"{said[:200]} ..."
    return ConfigError(f"{where} = {shown(said)}: expected {spell(hint)}")


def to_type(hint: Any, value: Any, where: str) -> Any:
    """Checks a JSON (or already typed) value against a hint and returns it in that type.

    A whole number passes as a number, a list as a tuple, text as a Fraction, a mapping as a
    dataclass; one number stands for a pair of equal ones. Nothing else is converted.

    A dataclass may have a class variable `RENAMED`, old name -> name: files hold old names.

    Args:
        hint: the resolved type hint.
        value: the value to check.
        where: path of the field, for messages.

    Raises:
        ConfigError: the value is of another type.
        UnknownNameError: a mapping names a field that the dataclass does not have.
    """
    origin, args = get_origin(hint), get_args(hint)
    if hint is Any:
        return value
    if origin is Literal:
        if not isinstance(value, str | int) or value not in args or isinstance(value, bool):
            raise _wrong(where, hint, value)
        return value
    if origin in (Union, types.UnionType):
        return _convert_union(args, hint, value, where)
    if origin is tuple:
        return _convert_tuple(args, hint, value, where)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        if not isinstance(value, Mapping) or not all(isinstance(k, str) for k in value):
            raise _wrong(where, hint, value)
        return {k: to_type(args[1], v, f"{where}.{k}") for k, v in value.items()}
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return _convert_dataclass(hint, value, where)
    return _convert_scalar(hint, value, where)


def _convert_scalar(hint: Any, value: Any, where: str) -> Any:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if hint is Fraction and (number or isinstance(value, Fraction | str)):
        try:
            return exact(value)
        except ValueError:
            raise _wrong(where, hint, value) from None
    if hint is float and number:
        try:
            value = float(value)
        except OverflowError:
            raise _wrong(where, hint, value) from None
        if math.isfinite(value):
            return value
    if hint in (bool, int, str, type(None)) and type(value) is hint:
        return value
    raise _wrong(where, hint, value)


def _convert_union(args: tuple[Any, ...], hint: Any, value: Any, where: str) -> Any:
    errors = []
    for arg in args:
        try:
            return to_type(arg, value, where)
        except ConfigError as error:
            errors.append(error)
    raise _wrong(where, hint, value) from errors[0]


def _convert_tuple(args: tuple[Any, ...], hint: Any, value: Any, where: str) -> Any:
    if args[-1] is not Ellipsis and not isinstance(value, list | tuple):
        value = (value,) * len(args)
    if not isinstance(value, list | tuple):
        raise _wrong(where, hint, value)
    kinds = (args[0],) * len(value) if args[-1] is Ellipsis else args
    if len(kinds) != len(value):
        raise _wrong(where, hint, value)
    return tuple(
        to_type(k, v, f"{where}[{i}]") for i, (k, v) in enumerate(zip(kinds, value, strict=True))
    )


def _convert_dataclass(cls: type, value: Any, where: str) -> Any:
    if isinstance(value, cls):
        return value
    if isinstance(value, str) and hasattr(cls, "parse"):
        return cls.parse(value)
    if not isinstance(value, Mapping):
        raise _wrong(where, cls, value)
    known = hints(cls)
    renamed: Mapping[str, str] = getattr(cls, "RENAMED", {})
    value = {renamed.get(name, name): v for name, v in value.items()}
    for name in value:
        if name not in known:
            raise UnknownNameError(f"field of {where}", str(name), known)
    typed = {n: to_type(known[n], v, f"{where}.{n}".lstrip(".")) for n, v in value.items()}
    missing = [
        f.name
        for f in dataclasses.fields(cls)
        if f.name not in typed
        and f.default is dataclasses.MISSING
        and f.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise ConfigError(f"{where or 'recipe'} lacks {', '.join(missing)}")
    return cls(**typed)


def parse(hint: Any, text: str, where: str) -> Any:
    """Reads what a user typed after `path=` as a value of the hinted type.

    Raises:
        ConfigError: the text does not spell such a value.
    """
    origin, args = get_origin(hint), get_args(hint)
    word = text.strip()
    if hint is Any:
        return _parse_free(word)
    if origin in (Union, types.UnionType):
        if type(None) in args and word.lower() in NONE:
            return None
        return _parse_union([a for a in args if a is not type(None)], hint, word, where)
    if origin is Literal:
        for legal in args:
            if str(legal) == word:
                return legal
        raise _wrong(where, hint, word)
    if origin is tuple:
        items = [i for i in word.strip("()[] ").split(",") if i.strip()]
        if args[-1] is not Ellipsis and len(items) == 1:
            items *= len(args)
        kinds = (args[0],) * len(items) if args[-1] is Ellipsis else args
        if len(kinds) != len(items):
            raise _wrong(where, hint, word)
        return tuple(parse(k, i, where) for k, i in zip(kinds, items, strict=True))
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return to_type(hint, _parse_free(word), where)
    if dataclasses.is_dataclass(hint):
        return to_type(hint, word if hasattr(hint, "parse") else _parse_free(word), where)
    return _parse_scalar(hint, word, where)


def _parse_scalar(hint: Any, word: str, where: str) -> Any:
    if hint is str:
        quoted = len(word) > 1 and word[0] == word[-1] and word[0] in "'\""
        return word[1:-1] if quoted else word
    if hint is bool:
        if word.lower() not in TRUE + FALSE:
            raise _wrong(where, hint, word)
        return word.lower() in TRUE
    try:
        readers: dict[Any, Callable[[str], Any]] = {int: _whole, float: float, Fraction: exact}
        value = readers[hint](word)
    except ValueError:
        raise _wrong(where, hint, word) from None
    return to_type(hint, value, where)


def _whole(word: str) -> int:
    if not word.isascii() or len(word) > 100:
        raise ValueError(word)
    return int(word)


def _parse_union(args: list[Any], hint: Any, word: str, where: str) -> Any:
    for arg in args:
        try:
            return parse(arg, word, where)
        except ConfigError:
            if len(args) == 1:
                raise
    raise _wrong(where, hint, word)


def _parse_free(word: str) -> Any:
    """JSON where it is JSON; none, yes and no as usual; otherwise the text itself."""
    if word.lower() in NONE:
        return None
    if word.lower() in ("true", "false"):
        return word.lower() == "true"
    try:
        return decode_json(word)
    except ValueError:
        return word
