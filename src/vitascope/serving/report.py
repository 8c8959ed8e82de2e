"""One HTML page about a training run that needs nothing but a browser: no network, no script."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

import torch

from vitascope.accelerator.verify import Verification
from vitascope.engine import charts
from vitascope.engine.charts import Chart, breakable, number, percent, size
from vitascope.engine.checkpoint import writing
from vitascope.files import replacing
from vitascope.metrics.accuracy import precision_recall_f1
from vitascope.serving.draw import Image, data_uri, jpeg, strip
from vitascope.text import shown_text

MATRIX_CLASSES = 50
"""With more classes the matrix is too large to read, and the list of confusions says more."""

BESIDE_CLASSES = 12
"""Up to here the matrix leaves room for another card beside it."""


LATER, LATER_END = "<!-- what came after the training -->", "<!-- end of what came after -->"
"""Around what is written anew when an evaluation or export comes later."""


@dataclass(frozen=True, kw_only=True)
class LaterScores:
    """Scores of a run on some data.

    Attributes:
        data: the data set where it is not that of the run; else empty.
        split: its split; "all" for everything.
        views: views of each video, "clips x crops".
        top1: share of videos whose best class is right.
        low: lower end of its 95 % interval.
        high: upper end of it.
        mean_class_accuracy: mean over the classes of the share that is right.
        majority: top-1 of always saying the most frequent class.
        videos: videos that were scored.
        expected: videos that should have been.
        scores: file with the scores of each video.
        created: date and time.
    """

    data: str
    split: str
    views: str
    top1: float
    low: float
    high: float
    mean_class_accuracy: float
    majority: float
    videos: int
    expected: int
    scores: str
    created: str

    @property
    def what(self) -> tuple[str, str, str]:
        """What was evaluated: data, split and views."""
        return self.data, self.split, self.views


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A headline number.

    Attributes:
        name: what it is ("Top-1").
        value: as it is to be read ("87.2 %").
        note: a line below ("95 % interval 83.0 to 90.7 %").
    """

    name: str
    value: str
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Example:
    """A clip with what the model said about it.

    Attributes:
        path: the file as the user knows it.
        truth: its label; None if it has none.
        top: (label, probability) with the most probable first.
        frames: uint8 H W 3 images from the first frame to the last.
        loss: cross-entropy of the clip.
        video: the clip as a WebM file to be played; empty without one.
    """

    path: str
    truth: str | None
    top: Sequence[tuple[str, float]]
    frames: Sequence[Image]
    loss: float | None = None
    video: bytes = b""


@dataclass(frozen=True, kw_only=True)
class ReportTable:
    """Rows of text under a header.

    Attributes:
        header: names of the columns.
        rows: one text for each column.
        numbers: indices of the columns that hold numbers.
        note: a sentence above.
    """

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    numbers: Sequence[int] = ()
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class RunReport:
    """What a report shows; a section without content is left out.

    Attributes:
        title: name of the run.
        lead: one or two sentences about it.
        created: date and time.
        command: the command that made the run.
        figures: headline numbers.
        charts: learning curves.
        classes: class names in the order of `confusion`.
        confusion: how often (row) a class was taken for (column) a class.
        split: name of the data that `confusion`, `examples` and `worst` come from.
        examples: clips with predictions.
        worst: clips with the highest loss, the worst first.
        data: tables about the data set.
        evaluations: scores on other data, splits and views.
        exports: file and check of each exported artifact.
        environment: versions, processor, threads and the like.
        recipe: the complete recipe as text.
    """

    title: str
    lead: str = ""
    created: str = ""
    command: str = ""
    figures: Sequence[Figure] = ()
    charts: Sequence[Chart] = ()
    classes: Sequence[str] = ()
    confusion: Sequence[Sequence[int]] = ()
    split: str = "test"
    examples: Sequence[Example] = ()
    worst: Sequence[Example] = ()
    data: Sequence[ReportTable] = ()
    evaluations: Sequence[LaterScores] = ()
    exports: Sequence[tuple[str, Verification]] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    recipe: str = ""

    def __post_init__(self) -> None:
        n = len(self.classes)
        if self.confusion and [len(row) for row in self.confusion] != [n] * n:
            raise ValueError(f"a confusion matrix of {n} classes has {n} rows of {n} counts")


def render_report(report: RunReport) -> str:
    """The page as text."""
    sections = [
        _head(report),
        _section("Learning curves", _curves(report)),
        _section("Classes", _classes(report)),
        _section(
            "What it says about clips",
            _clips(report.examples, "clips", shown=4),
            f"Frames from first to last of clips of the {report.split} split.",
        ),
        _section(
            "The worst clips",
            _clips(report.worst, "two", shown=6),
            f"Clips of the {report.split} split with the highest loss: wrong labels and odd "
            "videos end up here.",
        ),
        _section("Data", "".join(_card(_table(t)) for t in report.data)),
        render_later(report.evaluations, report.exports),
        _section("Environment", _environment(report)),
    ]
    return charts.page(report.title, "".join(sections))


def write_report(report: RunReport, path: str | Path) -> Path:
    """Writes the page to `path`, replacing an older one in one step.

    Raises:
        RunError: the disk is full or not writable; an older page is intact.
    """
    path = Path(path)
    with writing(path), replacing(path) as draft:
        draft.write_text(shown_text(render_report(report)), encoding="utf-8")
    return path


def _section(title: str, body: str, note: str = "") -> str:
    if not body:
        return ""
    lead = f'<p class="lead">{escape(note)}</p>' if note else '<p class="lead"></p>'
    return f"<section><h2>{escape(title)}</h2>{lead}{body}</section>\n"


def _card(body: str, kind: str = "wide") -> str:
    return f'<div class="card {kind}">{body}</div>'


def _grid(cards: Sequence[str], kind: str) -> str:
    return f'<div class="grid {kind}">{"".join(cards)}</div>' if cards else ""


def _head(report: RunReport) -> str:
    figures = [
        _card(
            f'<div class="name">{escape(f.name)}</div><div class="value">{escape(f.value)}</div>'
            f'<div class="note">{escape(f.note)}</div>',
            "figure",
        )
        for f in report.figures
    ]
    lead = " ".join(text for text in (report.lead, report.created) if text)
    command = f'<code class="command">{escape(report.command)}</code>' if report.command else ""
    return (
        f'<header><h1>{escape(report.title)}</h1><p class="lead">{escape(lead)}</p>{command}'
        f"{_grid(figures, 'figures')}</header>\n"
    )


def _curves(report: RunReport) -> str:
    return charts.line_charts(report.charts)


def _classes(report: RunReport) -> str:
    if not report.confusion:
        return ""
    names, counts = report.classes, report.confusion
    matrix = []
    if len(names) <= MATRIX_CLASSES:
        matrix.append(
            _card(
                "<h3>Confusion matrix</h3><p class='soft'>Rows: the true class. Columns: what the "
                "model said. The stronger the color, the larger the share of the row.</p>"
                + charts.matrix(names, counts)
            )
        )
    accuracy = [
        (name, row[i] / sum(row), f"{percent(row[i] / sum(row))}  ({row[i]} of {sum(row)})")
        for i, (name, row) in enumerate(zip(names, counts, strict=True))
        if sum(row)
    ]
    accuracy.sort(key=lambda row: row[1])
    shown = accuracy[:MATRIX_CLASSES]
    cut = f": {len(shown)} of {len(accuracy)}" if len(shown) < len(accuracy) else ""
    by_class = _card(f"<h3>Accuracy of each class, lowest first{cut}</h3>" + charts.bars(shown), "")
    each = _card(_each_class(names, counts))
    limit = 6 if len(names) <= BESIDE_CLASSES else 12
    mistakes = worst_confusions(names, counts, limit)
    text = "<p class='soft'>None: every clip was named correctly.</p>"
    if mistakes:
        rows = [(a, b, f"{n} of {total}") for a, b, n, total in mistakes]
        text = charts.table(("True class", "Taken for", "Clips"), rows, numbers=(2,))
    confused = _card("<h3>Most frequent confusions</h3>" + text, "")
    if len(names) <= BESIDE_CLASSES:
        return _grid([*matrix, _grid([by_class, confused], "stack")], "two") + each
    return "".join(matrix) + _grid([by_class, confused], "two") + each


def _each_class(names: Sequence[str], counts: Sequence[Sequence[int]]) -> str:
    """Precision, recall and F1; of many classes those with the lowest F1."""
    figures = precision_recall_f1(torch.tensor(counts)).tolist()
    rows = [
        (name, *(percent(v) if math.isfinite(v) else "none" for v in values), str(sum(row)))
        for name, values, row in zip(names, figures, counts, strict=True)
    ]
    order, cut = list(range(len(rows))), ""
    if len(rows) > MATRIX_CLASSES:
        known = sorted((v[2], i) for i, v in enumerate(figures) if math.isfinite(v[2]))
        order, cut = [i for _, i in known[:MATRIX_CLASSES]], ", lowest F1 first"
    title = f"<h3>Precision, recall and F1 of each class{cut}</h3>"
    note = (
        "<p class='soft'>Precision: the right share of the clips that were given the class. "
        "Recall: the right share of the clips of the class. F1: their harmonic mean.</p>"
    )
    header = ("Class", "Precision", "Recall", "F1", "Clips")
    return title + note + charts.table(header, [rows[i] for i in order], numbers=(1, 2, 3, 4))


def worst_confusions(
    classes: Sequence[str], counts: Sequence[Sequence[int]], limit: int
) -> list[tuple[str, str, int, int]]:
    """(truth, prediction, clips, clips of the truth), the most frequent mistakes first."""
    found = [
        (classes[i], classes[j], count, sum(row))
        for i, row in enumerate(counts)
        for j, count in enumerate(row)
        if i != j and count
    ]
    return sorted(found, key=lambda m: (-m[2], -m[2] / m[3]))[:limit]


def _clips(examples: Sequence[Example], grid: str, shown: int) -> str:
    return _grid([_clip(example, shown) for example in examples], grid)


def _clip(example: Example, shown: int) -> str:
    label, score = example.top[0]
    right = example.truth is None or label == example.truth
    kind, mark = ("right", "✓") if right else ("wrong", "✗")
    if example.truth is None:
        said = f"says <b>{breakable(label)}</b> ({percent(score)})"
    elif right:
        said = (
            f'<span class="mark">{mark} right:</span> <b>{breakable(label)}</b> ({percent(score)})'
        )
    else:
        said = (
            f'<span class="mark">{mark} wrong:</span> says <b>{breakable(label)}</b> '
            f"({percent(score)}), is <b>{breakable(example.truth)}</b>"
        )
    others = ", ".join(f"{breakable(name)} {percent(p)}" for name, p in example.top[1:3])
    details = [f"then {others}"] if others else []
    if example.loss is not None:
        details.append(f"loss {number(example.loss)}")
    picture = ""
    if len(example.frames):
        source = data_uri(jpeg(strip(example.frames, height=120, count=shown)))
        picture = f'<img src="{source}" alt="frames of {escape(example.path)}">'
    if example.video:
        source = data_uri(example.video)
        picture += (
            "<details class='play'><summary>Play</summary><video controls loop muted playsinline "
            f'preload="metadata" aria-label="{escape(example.path)}" src="{source}"></video>'
            "</details>"
        )
    return (
        f'<div class="card clip {kind}">{picture}<div class="text">{said}<br>'
        f'<span class="soft">{"; ".join(details)}</span>'
        f'<div class="path">{escape(example.path)}</div></div></div>'
    )


def _table(table: ReportTable) -> str:
    note = f"<p class='soft'>{escape(table.note)}</p>" if table.note else ""
    return note + charts.table(table.header, table.rows, table.numbers)


def render_later(
    evaluations: Sequence[LaterScores], exports: Sequence[tuple[str, Verification]]
) -> str:
    """The sections on what came after the training, between marks by which they are found."""
    shown = (
        _section("Evaluations", _evaluations(evaluations)),
        _section("Exported models", _exports(exports)),
    )
    return f"{LATER}{''.join(shown)}{LATER_END}"


def _evaluations(evaluations: Sequence[LaterScores]) -> str:
    if not evaluations:
        return ""
    rows = [
        (
            f"{e.data or 'data of the run'}: {e.split}",
            e.views,
            f"{percent(e.top1)} ({percent(e.low)} to {percent(e.high)})",
            percent(e.majority),
            percent(e.mean_class_accuracy),
            f"{e.videos} of {e.expected}",
            e.scores,
            e.created,
        )
        for e in evaluations
    ]
    header = ("Data: split", "Views", "Top-1 (95 % interval)", "Majority guess",
              "Mean class accuracy", "Videos", "Scores of each video", "When")  # fmt: skip
    return _card(charts.table(header, rows, numbers=(2, 3, 4, 5)))


def _exports(exports: Sequence[tuple[str, Verification]]) -> str:
    if not exports:
        return ""
    rows = []
    for path, c in exports:
        verdict = "✓ within tolerance" if c.ok else "✗ beyond tolerance"
        rows.append(
            (
                path,
                verdict,
                f"{number(c.max_abs_diff)} (allowed {number(c.allowed)})",
                f"{percent(c.top1_agreement)} of {c.n_clips}",
                f"{size(c.size_bytes_before)} → {size(c.size_bytes)}",
                f"{number(c.latency_ms_before)} → {number(c.latency_ms)} ms",
            )
        )
    threads = exports[0][1].threads
    note = (
        f"Both models ran on the same real clips; times are the median of one clip on {threads} "
        f"thread{'s' * (threads != 1)}."
    )
    header = ("File", "Check", "Largest difference", "Same top-1", "Size", "Time of a clip")
    return _card(f"<p class='soft'>{note}</p>" + charts.table(header, rows, numbers=(2, 3, 4, 5)))


def _environment(report: RunReport) -> str:
    body = ""
    if report.environment:
        body = _card(charts.table(("What", "Value"), list(report.environment.items())))
    if report.recipe:
        body += (
            "<details><summary>The complete recipe</summary>"
            f"<pre>{escape(report.recipe)}</pre></details>"
        )
    return body
