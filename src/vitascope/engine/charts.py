"""Charts as inline SVG and HTML, and the page around them, which has light and dark colors."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from typing import Any

from vitascope import __version__

Point = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Curve:
    """A named line.

    Attributes:
        name: what it shows ("training").
        points: (x, y) in ascending x; a y that is not finite leaves a gap.
    """

    name: str
    points: Sequence[Point]


@dataclass(frozen=True, kw_only=True)
class Chart:
    """Curves over one axis.

    Attributes:
        title: what is on the y axis.
        curves: up to three.
        x: what is on the x axis.
        percent: y runs from 0 to 1 and is shown in percent.
    """

    title: str
    curves: Sequence[Curve]
    x: str = "epoch"
    percent: bool = False


WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 360, 200, 46, 12, 10, 34


def number(value: float, digits: int = 3) -> str:
    """A number for reading: `digits` significant digits, an exponent only far from 1."""
    if not math.isfinite(value):
        return "not finite"
    if value == 0 or 1e-4 <= abs(value) < 1e5:
        rounded = float(f"{value:.{digits}g}")
        return f"{rounded:g}" if abs(rounded) < 1e5 else f"{rounded:.0f}"
    mantissa, _, exponent = f"{value:.{digits - 1}e}".partition("e")
    return f"{float(mantissa):g}e{int(exponent)}"


def percent(share: float) -> str:
    """A share of 0 to 1 as percent with one decimal."""
    return f"{100 * share:.1f} %"


def duration(seconds: float) -> str:
    """A time that was estimated, as exact as such a time is: "about 25 minutes"."""
    if seconds < 55:
        return f"about {max(10, 10 * round(seconds / 10))} seconds"
    if seconds < 90 * 60:
        shown, name = f"{seconds / 60:.0f}", "minute"
    else:
        short = seconds < 48 * 3600
        count, name = seconds / (3600 if short else 86400), "hour" if short else "day"
        shown = f"{count:.0f}" if count >= 9.5 else f"{count:.1f}".removesuffix(".0")
    return f"about {shown} {name}{'s' * (shown != '1')}"


def size(count: int) -> str:
    """A number of bytes for reading."""
    value, unit = float(count), "B"
    for larger in ("kB", "MB", "GB"):
        if value < 1000:
            break
        value, unit = value / 1000, larger
    return f"{number(value)} {unit}"


def ticks(low: float, high: float, count: int = 4) -> list[float]:
    """Round numbers from at most `low` to at least `high`, about `count` steps apart."""
    if high <= low:
        high = low + (abs(low) or 1.0)
    raw = (high - low) / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [i * step for i in range(first, last + 1)]


def line_chart(chart: Chart) -> str:
    """One chart with its title and legend, as HTML."""
    title = escape(chart.title)
    finite = [p for curve in chart.curves for p in curve.points if math.isfinite(p[1])]
    if not finite:
        return f"<h3>{title}</h3><p class='soft'>No values were recorded.</p>"
    xs, ys = [p[0] for p in finite], [p[1] for p in finite]
    rows = ticks(0.0, 1.0) if chart.percent else ticks(min(0.0, *ys), max(ys))
    columns = [t for t in ticks(min(xs), max(xs), 5) if min(xs) <= t <= max(xs)]
    left, right = min(xs), max(max(xs), min(xs) + 1e-9)

    def at(x: float, y: float) -> Point:
        across = (x - left) / (right - left) * (WIDTH - LEFT - RIGHT)
        up = (y - rows[0]) / (rows[-1] - rows[0]) * (HEIGHT - TOP - BOTTOM)
        return LEFT + across, HEIGHT - BOTTOM - up

    parts = []
    for row in rows:
        y = at(left, row)[1]
        label = f"{100 * row:.0f} %" if chart.percent else number(row)
        parts.append(
            f'<line class="axis" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        )
        parts.append(f'<text x="{LEFT - 7}" y="{y + 4:.1f}" text-anchor="end">{label}</text>')
    for column in columns:
        x = at(column, rows[0])[0]
        parts.append(
            f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">'
            f"{number(column, 6)}</text>"
        )
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(
        f'<text x="{middle}" y="{HEIGHT - 3}" text-anchor="middle">{escape(chart.x)}</text>'
    )
    for index, curve in enumerate(chart.curves):
        parts += _curve(curve, index, at)
    label = f"{chart.title} by {chart.x}"
    return (
        f'<h3>{title}</h3><svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{escape(label)}">{"".join(parts)}</svg>{_legend(chart)}'
    )


def line_charts(charts: Sequence[Chart]) -> str:
    """Charts beside each other, each on a card; empty without any."""
    cards = "".join(f'<div class="card">{line_chart(chart)}</div>' for chart in charts)
    kind = "two" if len(charts) in (2, 4) else "charts"
    return f'<div class="grid {kind}">{cards}</div>' if charts else ""


def learning_charts(rows: Iterable[Mapping[str, Any]]) -> list[Chart]:
    """Loss, validation score, learning rate and speed of a training.

    Args:
        rows: what a run logged (`log.read_log`); charts without a value are left out.
    """
    rows = list(rows)
    logs = [row for row in rows if row["kind"] == "log"]
    scores = [row for row in rows if row["kind"] == "eval"]

    def curve(name: str, source: Sequence[Mapping[str, Any]], key: str) -> Curve:
        points = [(r["epoch"], r[key]) for r in source if r.get(key) is not None]
        return Curve(name=name, points=points)

    charts = [
        Chart(
            title="Loss",
            curves=[curve("training", logs, "loss"), curve("validation", scores, "loss")],
        ),
        Chart(
            title="Validation score",
            curves=[
                curve("top-1", scores, "top1"),
                curve("mean class accuracy", scores, "mean_class_accuracy"),
            ],
            percent=True,
        ),
        Chart(title="Learning rate", curves=[curve("learning rate", logs, "lr")]),
        Chart(title="Clips a second", curves=[curve("training", logs, "clips_per_second")]),
    ]
    return [chart for chart in charts if any(c.points for c in chart.curves)]


def page(title: str, body: str, *, refresh: int | None = None) -> str:
    """A whole page in one file, which loads nothing from elsewhere.

    Args:
        title: text of the browser's tab.
        body: HTML.
        refresh: seconds after which the browser reads the file again; None never.
    """
    style = files("vitascope.engine").joinpath("page.css").read_text(encoding="utf-8")
    again = "" if refresh is None else f'<meta http-equiv="refresh" content="{refresh}">'
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">{again}'
        f"<title>{escape(title)}</title><style>{style}</style></head>\n<body><main>"
        f"{body}<footer>Written by vitascope {__version__}. This page is one file; it loads "
        "nothing from elsewhere.</footer></main></body></html>\n"
    )


def _curve(curve: Curve, index: int, at: Callable[[float, float], Point]) -> list[str]:
    runs: list[list[Point]] = [[]]
    for x, y in curve.points:
        if math.isfinite(y):
            runs[-1].append(at(x, y))
        elif runs[-1]:
            runs.append([])
    drawn = []
    for run in runs:
        if len(run) == 1:
            drawn.append(
                f'<circle class="c{index}" cx="{run[0][0]:.1f}" cy="{run[0][1]:.1f}" r="3"/>'
            )
        elif run:
            line = " ".join(f"{x:.1f},{y:.1f}" for x, y in run)
            drawn.append(f'<polyline class="curve c{index}" points="{line}"/>')
    return drawn


def _legend(chart: Chart) -> str:
    items = []
    for index, curve in enumerate(chart.curves):
        values = [y for _, y in curve.points if math.isfinite(y)]
        last = "no values"
        if values:
            last = f"last {percent(values[-1]) if chart.percent else number(values[-1])}"
        line = f'<line class="curve c{index}" x1="1" x2="25" y1="4" y2="4"/>'
        sample = f'<svg viewBox="0 0 26 8">{line}</svg>'
        items.append(f"<span>{sample}{escape(curve.name)}: {last}</span>")
    return f'<div class="legend">{"".join(items)}</div>'


def breakable(text: str) -> str:
    """Text for HTML whose long names and paths go on in the next line after _, - and /."""
    return re.sub(r"(?<=\w)([_/]+|(?<=[a-zA-Z])-)(?=\w)", r"\1<wbr>", escape(text))


def bars(rows: Iterable[tuple[str, float, str]]) -> str:
    """Horizontal bars of (name, share of 0 to 1, text at the end)."""
    cells = [
        f'<span class="name" title="{escape(name)}">{breakable(name)}</span>'
        f'<span class="track"><span class="fill" style="width:{100 * share:.1f}%"></span></span>'
        f'<span class="n">{escape(text)}</span>'
        for name, share, text in rows
    ]
    return f'<div class="bars">{"".join(cells)}</div>'


def matrix(classes: Sequence[str], counts: Sequence[Sequence[int]]) -> str:
    """A confusion matrix as a table: rows are the truth, columns the prediction.

    The shade of a cell is its share of the row: green on the diagonal, red beside it. Up to 25
    classes the counts are printed; above that they appear under the pointer.
    """
    size = "s" if len(classes) <= 12 else "m" if len(classes) <= 25 else "l"
    head = "".join(
        f'<th scope="col" title="{escape(name)}"><span>{escape(name)}</span></th>'
        for name in classes
    )
    body = []
    for i, (name, row) in enumerate(zip(classes, counts, strict=True)):
        total = sum(row)
        cells = []
        for j, count in enumerate(row):
            share = count / total if total else 0.0
            said = f"{name} taken for {classes[j]}: {count} of {total}"
            color = "--good" if i == j else "--bad"
            style = f' style="background:rgb(var({color}) / {share:.3f})"' if count else ""
            over = ' class="over"' if share > 0.6 else ""
            cells.append(f'<td{over}{style} title="{escape(said)}">{count or ""}</td>')
        body.append(
            f'<tr><th scope="row" title="{escape(name)}">{escape(name)}</th>{"".join(cells)}</tr>'
        )
    return (
        f'<div class="scroll"><table class="matrix {size}"><thead><tr><td style="border:0"></td>'
        f"{head}</tr></thead><tbody>{''.join(body)}</tbody></table></div>"
    )


def table(header: Sequence[str], rows: Iterable[Sequence[str]], numbers: Sequence[int] = ()) -> str:
    """A plain table; columns whose index is in `numbers` are aligned to the right."""
    kinds = [' class="n"' if i in numbers else "" for i in range(len(header))]
    head = "".join(f"<th{k}>{escape(h)}</th>" for k, h in zip(kinds, header, strict=True))
    body = "".join(
        "<tr>"
        + "".join(f"<td{k}>{breakable(c)}</td>" for k, c in zip(kinds, row, strict=True))
        + "</tr>"
        for row in rows
    )
    return (
        f'<div class="scroll"><table class="plain"><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )
