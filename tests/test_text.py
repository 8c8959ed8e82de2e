"""Numbers, JSON and names from outside: exact within limits, shown safely, written one to one."""

from __future__ import annotations

import json
import time
import unicodedata
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitascope.text import decode_json, escape, exact, is_count, shown, shown_text, unescape

NAMES = st.text(
    st.one_of(
        st.characters(), st.sampled_from("\n\t\r\x1b\x7f\x9b \\#,\"';\u202e\udc80\udcff\u3000")
    ),
    max_size=12,
)


@given(NAMES)
def test_escaping_is_one_to_one_and_leaves_nothing_odd(name: str) -> None:
    written = escape(name)
    assert unescape(written) == name
    assert written == written.strip() and not written.startswith("#")
    assert shown(written) == written and "\n" not in written
    written.encode("utf-8")


@given(NAMES)
def test_what_is_shown_can_be_printed(name: str) -> None:
    text = shown(name)
    text.encode("utf-8")
    assert not {unicodedata.category(c) for c in text} & {"Cc", "Cs", "Zl", "Zp"}
    assert not set(text) & set("\n\t\r\x1b\x7f\x9b\u202e")
    assert shown_text(name).replace("\n", "\\n").replace("\t", "\\t") == text


def test_shown_names() -> None:
    assert shown("a\x1b[2Jb\nc\td\udcff") == r"a\x1b[2Jb\nc\td\xff"
    assert shown("переход 跳 é a-b_c #1") == "переход 跳 é a-b_c #1"
    assert shown_text("a\n\tb\x07") == "a\n\tb\\x07"


@pytest.mark.parametrize(
    ("text", "value"),
    [("12.5", Fraction(25, 2)), (" 1001/30 ", Fraction(1001, 30)), ("2e-3", Fraction(1, 500)),
     (".5", Fraction(1, 2)), ("3.", Fraction(3)), ("-7", Fraction(-7)), (0.5, Fraction(1, 2))],
)  # fmt: skip
def test_numbers(text: str | float, value: Fraction) -> None:
    assert exact(text) == value


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "1e99999999",
        "1e-99999999",
        "10**9",
        "²",
        "½",
        "1_000",
        "nan",
        "inf",
        "1/0",
        "1" * 200,
        "0x10",
        "1 2",
        "١",
        float("nan"),
        float("inf"),
    ],
)
def test_what_is_no_number_is_refused_at_once(text: str | float) -> None:
    begin = time.monotonic()
    with pytest.raises(ValueError):
        exact(text)
    assert time.monotonic() - begin < 0.5


def test_counts() -> None:
    assert is_count("0") and is_count("007") and is_count("9" * 18)
    assert not any(map(is_count, ["", "-1", "²", "1.0", "١", "9" * 19, " 1"]))


def test_json_within_limits() -> None:
    assert decode_json('{"a": [1, 2.5, NaN]}') == {"a": [1, 2.5, None]}
    assert decode_json("1.50", parse_float=str) == "1.50"
    with pytest.raises(json.JSONDecodeError):
        decode_json("{")
    for text in ("[" * 100_000, '{"a":' * 100_000, "9" * 5000, "Infinity", b"\xff"):
        with pytest.raises(ValueError):
            decode_json(text)
