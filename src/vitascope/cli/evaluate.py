"""`vitascope eval`: how good is a trained model on a split?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

from vitascope.cli.options import JsonFile, Root
from vitascope.cli.output import Output, least_width
from vitascope.engine.charts import percent
from vitascope.errors import ConfigError
from vitascope.text import shown

if TYPE_CHECKING:
    from vitascope.data.dataset import OnBad as Policy
    from vitascope.engine.scoring import EvalResult

POLICIES = ("error", "skip", "substitute-black")
MATRIX_CLASSES = 20
"""Above this number of classes the matrix does not fit a terminal, and a list says more."""

Run = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="Run folder, checkpoint, or the name of a published model (then with --data).",
    ),
]
Data = Annotated[
    str | None,
    typer.Option("--data", metavar="DATA", help="Folder or list. Default: the data of the run."),
]
Split = Annotated[
    str,
    typer.Option("--split", metavar="NAME", help="train, val, test, or all for everything."),
]
Views = Annotated[
    str | None,
    typer.Option(
        "--views", metavar="CLIPSxCROPS", help="Views of a video to average. Default: 1x1."
    ),
]
OnBad = Annotated[
    str,
    typer.Option(
        "--on-bad",
        metavar="POLICY",
        help="Unreadable videos: error stops; skip and substitute-black leave them out.",
    ),
]
BadBudget = Annotated[
    float | None,
    typer.Option(
        "--bad-budget",
        metavar="SHARE",
        help="Share of the videos that may be unreadable, 0 to 1. Default: the run's.",
    ),
]
CsvFile = Annotated[
    str | None,
    typer.Option(
        "--csv",
        metavar="FILE",
        help="Scores of each video. Default: RUN/scores.csv for the test split of the run, else a "
        "file named after data, split and views.",
    ),
]


def evaluate(
    run: Run,
    data: Data = None,
    split: Split = "test",
    views: Views = None,
    on_bad: OnBad = "error",
    bad_budget: BadBudget = None,
    root: Root = None,
    csv_file: CsvFile = None,
    json_file: JsonFile = None,
) -> None:
    """Scores a trained model on a split of a data set.

    Prints accuracy with its 95 % interval and the confusion matrix, and writes the scores of
    every video into a CSV file. Videos that cannot be read are named and never scored: the
    output says how many of how many were evaluated.

    Examples:
      vitascope eval run
      vitascope eval run --data clips/ --split test --views 10x3
      vitascope eval run --data new_clips/ --split all --json scores.json
      vitascope eval x3d_s --data kinetics/val --split all --views 10x3
    """
    with Output("eval", json_file) as out:
        if on_bad not in POLICIES:
            raise ConfigError(f"--on-bad {on_bad}; legal values: {', '.join(POLICIES)}")
        if csv_file is not None and (Path(csv_file).is_dir() or not Path(csv_file).name):
            raise ConfigError(f"--csv {csv_file}: is a folder. Give the name of a file")
        from vitascope.engine.evaluate import evaluate as score
        from vitascope.engine.evaluate import rooted
        from vitascope.serving.history import note_evaluation, scores_file

        columns = (
            TextColumn("scoring"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
        )
        with out.progress(*columns) as progress:
            bar = progress.add_task("", total=None)
            result = score(
                run,
                data if data is None or root is None else rooted(run, data, root),
                split=None if split == "all" else split,
                views=views,
                on_bad=cast("Policy", on_bad),
                bad_budget=bad_budget,
                on_progress=lambda done, total: progress.update(bar, completed=done, total=total),
            )
        scores = Path(csv_file) if csv_file else scores_file(run, result, data)
        out.data.update(run=run, **result.to_json(), csv=scores)
        show_result(out, result)
        result.write_csv(scores)
        report = note_evaluation(run, result, scores, data)
        out.data["report"] = report
        out.say(f"Scores of each video: {scores}")
        if report is not None:
            out.say(f"Added to {report}")


def show_result(out: Output, result: EvalResult) -> None:
    """Prints figures, faults and confusions."""
    low, high = result.interval
    chance = 1 / len(result.classes)
    label, guess = result.majority
    pairs: list[tuple[str, str]] = [
        (
            "top-1",
            f"{percent(result.top1)}  (95 % interval {percent(low)} to {percent(high)}, "
            f"chance {percent(chance)})",
        ),
        ("majority guess", f"{percent(guess)}  (always saying {label})"),
        *([("top-5", percent(result.top5))] if len(result.classes) > 5 else []),
        ("mean class accuracy", percent(result.mean_class_accuracy)),
        ("evaluated", f"{result.n_evaluated} of {result.n_expected} videos"),
        ("views", f"{result.views}, {result.seconds:.1f} s"),
    ]
    out.heading(f"Scores on {result.split or 'all videos'}")
    out.facts(pairs)
    for path, reason in result.faults:
        out.note(shown(f"left out: {path}: {reason}"))
    counts: list[list[int]] = result.confusion.tolist()
    header, rows = _matrix(result.classes, counts)
    numbers = [0, *range(2, len(header))]
    fits = not out.console.is_terminal or least_width(header, rows, numbers, 1) <= out.width
    if len(result.classes) <= MATRIX_CLASSES and fits:
        out.heading("Confusion matrix (rows: true class, columns: what the model said)")
        out.table(header, rows, numbers=numbers, padding=1)
    else:
        _confusions(out, result.classes, counts)
    _each_class(out, result)
    out.say()


def _matrix(
    classes: Sequence[str], counts: Sequence[Sequence[int]]
) -> tuple[list[str], list[list[str]]]:
    """Header and rows of the confusion matrix."""
    header = ["", "", *(str(i) for i in range(1, len(classes) + 1)), "right"]
    rows = []
    for i, (name, row) in enumerate(zip(classes, counts, strict=True)):
        total = sum(row)
        right = percent(row[i] / total) if total else "none"
        rows.append([str(i + 1), name, *(str(n or "·") for n in row), right])
    return header, rows


def _each_class(out: Output, result: EvalResult) -> None:
    """Precision, recall and F1; of many classes those with the lowest F1."""
    rows = [
        (name, *(percent(v) if math.isfinite(v) else "none" for v in values), str(count), values[2])
        for name, values, count in zip(
            result.classes, result.per_class.tolist(), result.confusion.sum(1).tolist(), strict=True
        )
    ]
    title = "Each class"
    if len(rows) > MATRIX_CLASSES:
        known = sorted((row for row in rows if math.isfinite(row[5])), key=lambda row: row[5])
        rows, title = known[:10], "Classes with the lowest F1"
    out.heading(title)
    header = ("class", "precision", "recall", "F1", "videos")
    out.table(header, [row[:5] for row in rows], numbers=(1, 2, 3, 4))


def _confusions(out: Output, classes: Sequence[str], counts: Sequence[Sequence[int]]) -> None:
    pairs = [
        (n, classes[i], classes[j], sum(row))
        for i, row in enumerate(counts)
        for j, n in enumerate(row)
        if i != j and n
    ]
    pairs.sort(key=lambda pair: -pair[0])
    if not pairs:
        return
    out.heading("Most frequent confusions")
    rows = [(truth, said, f"{n} of {total}") for n, truth, said, total in pairs[:10]]
    out.table(("true class", "taken for", "videos"), rows, numbers=(2,))
