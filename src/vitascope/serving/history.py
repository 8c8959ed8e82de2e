"""What is done with a run after its training: evaluations and exports, for its report.

They stand in RUN/history.json, a row for each different one, so that an evaluation of one split
replaces an earlier one of the same split and never that of another.
"""

from __future__ import annotations

import csv
import itertools
import os
import re
from dataclasses import asdict, dataclass
from datetime import datetime
from json import dumps
from pathlib import Path
from typing import Any, TypeVar, cast

from vitascope.accelerator.verify import Verification
from vitascope.engine.checkpoint import writing
from vitascope.engine.config import Recipe
from vitascope.engine.folder import read_run
from vitascope.engine.scoring import EvalResult
from vitascope.engine.typed import hints, to_type
from vitascope.errors import RunError, VitascopeError
from vitascope.files import read_json, replacing, write_atomically
from vitascope.serving.report import LATER, LATER_END, LaterScores, render_later

FILE = "history.json"
SCORES = "scores.csv"
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class History:
    """What was done with a run.

    Attributes:
        evaluations: the latest of each data set, split and views.
        exports: file and check of each exported model.
    """

    evaluations: tuple[LaterScores, ...] = ()
    exports: tuple[tuple[str, Verification], ...] = ()


def run_of(model: str | Path) -> Path | None:
    """The run folder of a run or of a checkpoint in one; None for any other model."""
    path = Path(model)
    folder = path if path.is_dir() else path.parent
    return folder if path.exists() and (folder / "run.json").is_file() else None


def read_history(run: Path) -> History:
    """What was done with a run so far.

    Raises:
        RunError: the file is damaged.
    """
    file = run / FILE
    if not file.is_file():
        return History()
    try:
        held = read_json(file)
        evaluations = (_from(LaterScores, row) for row in held["evaluations"])
        exports = ((str(row["file"]), _from(Verification, row["check"])) for row in held["exports"])
        return History(evaluations=tuple(evaluations), exports=tuple(exports))
    except (OSError, ValueError, KeyError, TypeError, VitascopeError) as error:
        raise RunError(
            f"{file} is damaged or of another version ({error}). Remove it: it only holds what the "
            "report shows of later evaluations and exports"
        ) from error


def _from(cls: type[T], row: dict[str, Any]) -> T:
    known: dict[str, Any] = hints(cast("Any", cls))
    return cls(**{name: to_type(known[name], value, name) for name, value in row.items()})


def scores_file(model: str | Path, result: EvalResult, data: str | None) -> Path:
    """Where the scores of each video go: a file of its own for each data set, split and views.

    That of the run's test split on single views is RUN/scores.csv, which the training writes.

    Args:
        model: what was evaluated.
        result: its scores.
        data: the data set as it was given; None for that of the run.

    Raises:
        RunError: the run is damaged.
    """
    run, data = run_of(model), _other_data(model, data)
    split = result.split or "all"
    if run is not None and (data, split, result.views) == ("", "test", "1x1"):
        return run / SCORES
    views = "" if result.views == "1x1" else f"-{result.views}"
    part = f"{_plain(Path(data).stem or Path(data).name)}-" if data else ""
    if run is None:
        path = Path(model)
        if not path.exists():  # the name of a published model
            name = f"{_plain(str(model))}-{part}{split}{views}-scores"
            return _free(Path(), name, result)
        return _free(path if path.is_dir() else path.parent, f"scores-{part}{split}{views}", result)
    taken = {
        row.scores: (row.data, row.split, row.views)
        for row in read_history(run).evaluations
        if row.scores
    }
    number = 1
    while True:
        name = f"scores-{part}{split}{views}{'' if number == 1 else f'-{number}'}.csv"
        if taken.get(name, (data, split, result.views)) == (data, split, result.views):
            return run / name
        number += 1


def _free(folder: Path, stem: str, result: EvalResult) -> Path:
    """A file that is not there yet, or holds scores of the same videos."""
    number = 1
    while True:
        path = folder / f"{stem}{'' if number == 1 else f'-{number}'}.csv"
        if not path.exists() or _same_videos(path, result):
            return path
        number += 1


def _same_videos(path: Path, result: EvalResult) -> bool:
    """Whether a table of scores begins with the first of the videos."""
    try:
        with path.open(encoding="utf-8", newline="") as lines:
            row = next(itertools.islice(csv.reader(lines), 1, None), None)
    except (OSError, ValueError, csv.Error):
        return False
    first = result.videos[0].encode("utf-8", "backslashreplace").decode() if result.videos else None
    return (row[0] if row else None) == first


def note_evaluation(
    model: str | Path, result: EvalResult, scores: Path, data: str | None
) -> Path | None:
    """Keeps an evaluation with its run and shows it in the report.

    Args:
        model: what was evaluated.
        result: its scores.
        scores: where the scores of each video are.
        data: the data set as it was given; None for that of the run.

    Returns:
        The report; None where the model is no run with a report.

    Raises:
        RunError: the run is damaged, or cannot be written to.
    """
    run = run_of(model)
    if run is None:
        return None
    within = scores.resolve().parent == run.resolve()
    low, high = result.interval
    row = LaterScores(
        data=_other_data(model, data), split=result.split or "all", views=result.views,
        top1=result.top1, low=low, high=high, mean_class_accuracy=result.mean_class_accuracy,
        majority=result.majority[1], videos=result.n_evaluated, expected=result.n_expected,
        scores=scores.name if within else str(scores.resolve()), created=_now(),
    )  # fmt: skip
    held = read_history(run)
    others = [e for e in held.evaluations if e.what != row.what]
    return _keep(run, History(evaluations=(*others, row), exports=held.exports))


def note_export(model: str | Path, file: Path, check: Verification) -> Path | None:
    """Keeps an export with its run and shows it in the report; as `note_evaluation`."""
    run = run_of(model)
    if run is None:
        return None
    shown = file.name if file.resolve().parent == run.resolve() else str(file.resolve())
    held = read_history(run)
    others = [(name, old) for name, old in held.exports if name != shown]
    return _keep(run, History(evaluations=held.evaluations, exports=(*others, (shown, check))))


def _keep(run: Path, history: History) -> Path | None:
    document = {
        "evaluations": [asdict(row) for row in history.evaluations],
        "exports": [{"file": file, "check": asdict(check)} for file, check in history.exports],
    }
    with writing(run / FILE):
        write_atomically(run / FILE, [dumps(document, indent=1).encode()])
    report = run / "report.html"
    if not report.is_file():
        return None
    page = report.read_text(encoding="utf-8")
    before, mark, rest = page.partition(LATER)
    _, end, after = rest.partition(LATER_END)
    if not (mark and end):  # of an earlier version: it goes before the foot
        before, foot, after = page.partition("<footer>")
        after = foot + after
    later = render_later(history.evaluations, history.exports)
    with writing(report), replacing(report) as draft:
        draft.write_text(before + later + after, encoding="utf-8")
    return report


def _other_data(model: str | Path, data: str | None) -> str:
    """The data set where it is another than the run's; else empty."""
    run = run_of(model)
    if data is None:
        return ""
    place = os.path.abspath(data) if os.path.exists(data) else data
    own = None if run is None else Recipe.from_json(read_run(run)["recipe"]).data.path
    return "" if place == own else place


def _plain(name: str) -> str:
    return re.sub(r"[^\w.-]", "_", name)


def _now() -> str:
    return datetime.now().strftime("%Y-%m-%d %H:%M")
