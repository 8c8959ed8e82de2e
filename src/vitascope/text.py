"""Text from outside: numbers and JSON read within limits, names shown and written safely."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from fractions import Fraction
from typing import Any

# As people and programs write numbers. The exponent has two digits: an exact Fraction of
# "1e99999999" would fill the memory.
_NUMBER = re.compile(r"[+-]?(\d+/\d+|(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,2})?)", re.ASCII)
_LONGEST = 100  # characters of a number
# What a terminal obeys (C0, C1), what turns the direction of text, what ends a line elsewhere, and
# the stand-ins of bytes that are no UTF-8.
_UNSHOWN = "\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff"
_ODD = re.compile(f"[{_UNSHOWN}]")
_ODD_IN_TEXT = re.compile(f"(?![\n\t])[{_UNSHOWN}]")
_SPECIAL = re.compile(rf"[\\{_UNSHOWN}]|^[\s#]|\s$")
_ESCAPE = re.compile(r"\\(x[0-9a-f]{2}|u[0-9a-f]{4}|B[0-9a-f]{2}|\\)")
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def exact(value: Fraction | float | str) -> Fraction:
    """A number as an exact Fraction: "12.5", "1001/30", "2e-3", 0.5, 7.

    Raises:
        ValueError: it is none, is not finite, or is too long to be meant.
    """
    if isinstance(value, str):
        text = value.strip()
        if len(text) > _LONGEST or not _NUMBER.fullmatch(text):
            raise ValueError(f"{shown(text[:_LONGEST])!r} is no number")
        value = text
    try:
        return Fraction(value)
    except (ZeroDivisionError, OverflowError):
        raise ValueError(f"{value!r} is no finite number") from None


def is_count(text: str, digits: int = 18) -> bool:
    """Whether the text is a whole number from 0 in at most so many of the digits 0 to 9."""
    return text.isascii() and text.isdigit() and len(text) <= digits


def decode_json(text: str | bytes, *, parse_float: Callable[[str], Any] = float) -> Any:
    """A JSON document; NaN, which is no JSON but often written, is read as null.

    Raises:
        json.JSONDecodeError: it is no JSON.
        ValueError: it is no UTF-8, is nested too deeply, or holds a number without end.
    """
    try:
        return json.loads(text, parse_float=parse_float, parse_constant=_constant)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def format_json(value: Any, *, indent: int | None = None) -> str:
    """A JSON document that is UTF-8 text and holds no control character, and reads back the same.

    Letters of any script stay as they are.

    Raises:
        TypeError: a value that has no form in JSON.
    """
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    # Outside of strings there is nothing of these but line ends.
    return _ODD_IN_TEXT.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def _constant(word: str) -> None:
    if word != "NaN":
        raise ValueError(f"{word} is no number of JSON")


def shown(text: str) -> str:
    r"""A name in one line that a terminal can print: control characters as \n, \x1b, bytes as \xff.

    Letters of any script stay. Bytes of file names that are no UTF-8 are those that Python keeps
    as surrogates.
    """
    return _ODD.sub(_written, text)


def shown_text(text: str) -> str:
    """The same for text of several lines: line ends and tabs stay."""
    return _ODD_IN_TEXT.sub(_written, text)


def _written(match: re.Match[str]) -> str:
    char = match[0]
    code = ord(char)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is no UTF-8
        code -= 0xDC00
    return _SHORT.get(char) or (f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}")


def escape(text: str) -> str:
    """A name as plain text in one line, from which `unescape` makes the same name again.

    Nothing stays that a list could take for something else: control characters, bytes that are no
    UTF-8, blanks and "#" at the ends. Names without these (and without a backslash) stay.
    """
    return _SPECIAL.sub(_escaped, text)


def _escaped(match: re.Match[str]) -> str:
    code = ord(match[0])
    if match[0] == "\\":
        return "\\\\"
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\B{code - 0xDC00:02x}"
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"


def unescape(text: str) -> str:
    """The name that `escape` wrote."""
    return _ESCAPE.sub(_unescaped, text)


def _unescaped(match: re.Match[str]) -> str:
    kind, digits = match[1][0], match[1][1:]
    if kind == "\\":
        return "\\"
    return chr(int(digits, 16) + (0xDC00 if kind == "B" else 0))
