"""Figures as people read them, and charts whose geometry is known."""

from __future__ import annotations

import math
import re
from html import unescape
from itertools import pairwise

import pytest

from vitascope.engine.charts import (
    Chart,
    Curve,
    bars,
    breakable,
    line_chart,
    matrix,
    number,
    percent,
    table,
    ticks,
)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (1, "1"),
        (0.0005, "0.0005"),
        (0.28937, "0.289"),
        (1234.5, "1230"),
        (99999, "100000"),
        (7.2e-6, "7.2e-6"),
        (-1.25e-9, "-1.25e-9"),
        (3e12, "3e12"),
        (math.nan, "not finite"),
        (math.inf, "not finite"),
    ],
)
def test_number(value: float, text: str) -> None:
    assert number(value) == text


def test_percent() -> None:
    assert percent(0.87333) == "87.3 %"


@pytest.mark.parametrize(
    ("low", "high"), [(0, 1), (0, 2.7), (1, 20), (-3, 5), (0, 1e-4), (5, 5), (0, 0), (990, 1010)]
)
def test_ticks_enclose_and_are_round(low: float, high: float) -> None:
    found = ticks(low, high)
    assert found[0] <= low + 1e-12 and found[-1] >= high - 1e-12
    assert 3 <= len(found) <= 8
    steps = [b - a for a, b in pairwise(found)]
    assert max(steps) == pytest.approx(min(steps))
    assert float(f"{steps[0]:.1e}") == pytest.approx(steps[0])  # 1, 2, 2.5 or 5 times a power


def test_curve_runs_from_corner_to_corner() -> None:
    html = line_chart(Chart(title="T", curves=[Curve(name="a", points=[(0, 0), (10, 1)])]))
    found = re.search(r'points="([\d.]+),([\d.]+) ([\d.]+),([\d.]+)"', html)
    assert found is not None
    x0, y0, x1, y1 = map(float, found.groups())
    assert (x0, x1) == (46, 348)
    assert (y0, y1) == (166, 10)
    assert "a: last 1" in html


def test_gaps_single_points_and_nothing() -> None:
    points = [(1, 0.5), (2, math.nan), (3, 0.2), (4, 0.1)]
    html = line_chart(Chart(title="T", curves=[Curve(name="a", points=points)], percent=True))
    assert html.count("<circle") == 1 and html.count("<polyline") == 1
    assert "nan" not in html and "10.0 %" in html
    one = line_chart(Chart(title="T", curves=[Curve(name="a", points=[(3, 7.0)])]))
    assert one.count("<circle") == 1 and "nan" not in one
    empty = line_chart(Chart(title="A < B", curves=[Curve(name="a", points=[])]))
    assert "No values" in empty and "A &lt; B" in empty


def test_matrix_counts_shades_and_escapes() -> None:
    html = matrix(["<a>", "b"], [[3, 1], [0, 0]])
    assert "<a>" not in html and "&lt;a&gt;" in html
    assert "rgb(var(--good) / 0.750)" in html and "rgb(var(--bad) / 0.250)" in html
    assert html.count("background") == 2  # a class without clips has no shade
    assert "taken for b: 1 of 4" in html


def test_bars_and_tables_escape() -> None:
    assert "width:25.0%" in bars([("x", 0.25, "1 of 4")])
    html = table(("a", "n"), [("<script>", "1")], numbers=(1,))
    assert "&lt;script&gt;" in html and html.count('class="n"') == 2


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("Eating_With_Sticks", "Eating_<wbr>With_<wbr>Sticks"),
        ("/data/a-b/c.mp4", "/data/<wbr>a-<wbr>b/<wbr>c.mp4"),
        ("2026-11-29", "2026-11-29"),
        ("-0.5 to 33.3 %", "-0.5 to 33.3 %"),
        ("<i>_x's", "&lt;i&gt;_x&#x27;s"),
    ],
)
def test_long_names_go_on_between_their_parts(text: str, html: str) -> None:
    assert breakable(text) == html
    assert unescape(html.replace("<wbr>", "")) == text
    assert html in table(("name",), [(text,)]) and html in bars([(text, 0.5, "")])
