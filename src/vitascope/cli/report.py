"""What goes into a run's report.html: curves, confusions, clips, data, exports, environment."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from datetime import datetime
from fractions import Fraction
from pathlib import Path
from typing import Any

from vitascope.data.check.describe import Summary
from vitascope.data.decoder import open_video
from vitascope.engine.charts import learning_charts, percent
from vitascope.engine.checkpoint import versions
from vitascope.engine.log import read_log
from vitascope.engine.scoring import EvalResult
from vitascope.engine.selection import choosing
from vitascope.errors import DecodeError
from vitascope.recipes.folder import Trained
from vitascope.recipes.start import PRETRAINED
from vitascope.serving.draw import Image, webm
from vitascope.serving.history import read_history
from vitascope.serving.report import Example, Figure, ReportTable, RunReport, write_report
from vitascope.transforms.functional import uniform_indices
from vitascope.transforms.spatial import short_side_size

EXAMPLES, WORST = 12, 8
HEIGHT = 96  # of a clip's film strip, and of the clip itself
PLAYED, LONGEST = 64, 8  # most frames of a clip that is played, and most seconds it takes


def write_run_report(
    trained: Trained,
    command: str,
    *,
    control: EvalResult | None = None,
) -> Path:
    """Writes RUN/report.html.

    Args:
        trained: the run.
        command: how it was made.
        control: scores of the same videos with shuffled frames.
    """
    recipe, result, test = trained.plan.recipe, trained.result, trained.test
    run = Path(result.run)
    counts = trained.plan.summary.counts
    videos = sum(counts.get("train", {}).values())
    init = "published weights" if recipe.model.init == PRETRAINED else recipe.model.init
    start = f"started from {init}" if init else "trained from scratch"
    rows, history = read_log(run / "log.jsonl"), read_history(run)
    report = RunReport(
        title=f"{run.resolve().name}: {recipe.model.name} on {Path(recipe.data.path).name}",
        lead=f"{recipe.model.name}, {start} on {videos} videos of "
        f"{len(trained.plan.table.classes)} classes in {_minutes(result.seconds)}.",
        created=datetime.now().strftime("%Y-%m-%d %H:%M"),
        command=command,
        figures=_figures(trained, control),
        charts=learning_charts(rows),
        classes=() if test is None else test.classes,
        confusion=() if test is None else test.confusion.tolist(),
        split="test" if test is None else test.split,
        examples=() if test is None else _examples(test, _spread(test)),
        worst=() if test is None else _examples(test, _worst(test)),
        data=_data_tables(trained.plan.summary),
        evaluations=history.evaluations,
        exports=history.exports,
        environment=_environment(rows),
        recipe=json.dumps(recipe.to_json(), indent=1),
    )
    return write_report(report, run / "report.html")


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.1f} minutes" if seconds >= 60 else f"{seconds:.0f} seconds"


def _figures(trained: Trained, control: EvalResult | None) -> list[Figure]:
    test, best = trained.test, trained.result.best_top1
    recipe = trained.plan.recipe
    figures = []
    if test is not None:
        low, high = test.interval
        figures += [
            Figure(
                name="Test top-1",
                value=percent(test.top1),
                note=f"95 % interval {percent(low)} to {percent(high)}; "
                f"{test.n_evaluated} of {test.n_expected} videos; always saying "
                f"{test.majority[0]} gives {percent(test.majority[1])}",
            ),
            Figure(
                name="Mean class accuracy",
                value=percent(test.mean_class_accuracy),
                note=f"chance is {percent(1 / len(test.classes))}",
            ),
        ]
    if control is not None:
        figures.append(
            Figure(
                name="With shuffled frames",
                value=percent(control.top1),
                note="a control: what is left does not need motion",
            )
        )
    if best is not None:
        rule = choosing(recipe.run, len(trained.plan.table.of("val")))
        note = f"step {trained.result.best_step} of {trained.result.steps}: {rule}"
        figures.append(Figure(name="Validation top-1", value=percent(best), note=note))
    return figures


def _spread(test: EvalResult) -> list[int]:
    """Videos of as many classes as possible, in the order of the classes."""
    by_class: dict[int, list[int]] = {}
    for index, label in enumerate(test.labels.tolist()):
        by_class.setdefault(label, []).append(index)
    chosen: list[int] = []
    turn = 0
    while len(chosen) < min(EXAMPLES, test.n_evaluated):
        chosen += [
            by_class[label][turn] for label in sorted(by_class) if turn < len(by_class[label])
        ]
        turn += 1
    return sorted(chosen[:EXAMPLES], key=lambda i: int(test.labels[i]))


def _losses(test: EvalResult) -> Any:
    right = test.scores[range(test.n_evaluated), test.labels]
    return -right.clamp_min(1e-12).log()


def _worst(test: EvalResult) -> list[int]:
    order: list[int] = _losses(test).argsort(descending=True).tolist()
    return order[:WORST]


def _examples(test: EvalResult, chosen: Sequence[int]) -> list[Example]:
    losses = _losses(test)
    root = os.path.commonpath([os.path.dirname(path) for path in test.videos])
    examples = []
    for index in chosen:
        path = test.videos[index]
        frames, video = _played(path)
        scores, labels = test.scores[index].topk(min(3, len(test.classes)))
        examples.append(
            Example(
                path=os.path.relpath(path, root) if root else path,
                truth=test.classes[int(test.labels[index])],
                top=[
                    (test.classes[label], score)
                    for label, score in zip(labels.tolist(), scores.tolist(), strict=True)
                ],
                frames=frames,
                loss=float(losses[index]),
                video=video,
            )
        )
    return examples


def _played(path: str) -> tuple[list[Image], bytes]:
    """Frames from first to last, and the same as a video; none where they cannot be read.

    The video takes as long as the clip does, at most 8 seconds: a longer one plays faster.
    """
    try:
        with open_video(path) as video:
            size = short_side_size(video.height, video.width, min(HEIGHT, video.height), "nearest")
            count = min(PLAYED, len(video.times))
            wanted = uniform_indices(len(video.times), count)
            frames = list(video.read(wanted, size=size).data.numpy())
            seconds = min(max(video.duration, Fraction(count, 60)), Fraction(LONGEST))
    except DecodeError:  # the score stands; an image of a damaged place is not to be had
        return [], b""
    fps = (count / seconds).limit_denominator(1000)
    return frames, webm(frames, fps) if min(size) > 1 else b""


def _data_tables(summary: Summary) -> list[ReportTable]:
    splits = list(summary.counts)
    rows = [
        (name, *(str(summary.counts[split].get(name, 0)) for split in splits))
        for name in summary.classes
    ]
    total = ("all", *(str(sum(summary.counts[split].values())) for split in splits))
    facts = [line.strip() for line in summary.lines()[1:] if ": " in line or line.strip()]
    return [
        ReportTable(
            header=("Class", *splits),
            rows=[*rows, total],
            numbers=tuple(range(1, len(splits) + 1)),
            note=f"{summary.root}: {summary.videos} videos ({summary.layout}).",
        ),
        ReportTable(header=("What was understood",), rows=[(fact,) for fact in facts]),
    ]


def _environment(rows: Sequence[dict[str, Any]]) -> dict[str, str]:
    import torch

    from vitascope.distributed import cores

    speeds = [row["clips_per_second"] for row in rows if row["kind"] == "log"]
    waits = [row["data_wait"] for row in rows if row["kind"] == "log"]
    found = {
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "CPU cores, threads": f"{cores()}, {torch.get_num_threads()}",
        **versions(),
    }
    if torch.cuda.is_available():
        found["GPU"] = torch.cuda.get_device_name()
    if speeds:
        found["clips a second in training"] = f"{sum(speeds) / len(speeds):.1f}"
        found["share of time waiting for data"] = percent(sum(waits) / len(waits))
    return found


def _processor() -> str:
    """The processor's name where the system tells it."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or "unknown"
