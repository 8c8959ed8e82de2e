"""`vitascope quickstart`: the whole way on a small data set that is rendered on the spot."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn

from vitascope.cli.options import JsonFile
from vitascope.cli.output import INTERRUPTED, Output, length
from vitascope.engine.charts import percent
from vitascope.errors import RunError

if TYPE_CHECKING:
    from vitascope.engine.scoring import EvalResult
    from vitascope.recipes.folder import Trained

MODEL = "x3d_xs"
VIDEOS = {"train": 150, "val": 10, "test": 30}
"""Videos of each motion in each split."""
FRAMES = 8
"""Frames of a video, which lasts a second; the model sees all of them."""
SETTINGS = (
    "model.args.depth_factor=1",
    "model.args.dropout_rate=0.2",
    f"clip.num_frames={FRAMES}",
    "pixels.short_side=48",
    "pixels.crop=48",
    "augment.scale=0.9,1",
    "augment.ratio=1,1",
    "optim.epochs=15",
    "optim.batch_size=16",
    "optim.lr=0.003",
)
"""What differs from the settings that `vitascope train` chooses: a run of a few minutes."""
ENOUGH, NEAR_CHANCE = 0.95, 0.35
"""Least accuracy of a sound installation, and most with shuffled frames.

Chance is 0.125; frames without their order can show along which axis things move, though not which
way, so 0.5 is possible without any sense of time. Seen are 0.2 to 0.3.
"""
MARKER = "quickstart.json"

OutOption = Annotated[
    str, typer.Option("--out", "-o", metavar="FOLDER", help="Folder for data, run and report.")
]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(metavar="[PATH=VALUE]...", help="Settings to change, as in `vitascope train`."),
]
To = Annotated[str, typer.Option("--to", metavar="TARGET", help="Export target.")]
Videos = Annotated[
    int, typer.Option("--videos", metavar="N", min=4, help="Training videos of each motion.")
]


def quickstart(
    overrides: Overrides = None,
    out: OutOption = "quickstart",
    to: To = "onnx",
    videos: Videos = VIDEOS["train"],
    json_file: JsonFile = None,
) -> None:
    """Goes the whole way on a small data set, in about five minutes on two CPU cores.

    Renders videos of eight motions in which no single frame gives the motion away, trains X3D on
    them, tests it on other videos, once more with shuffled frames as a control, exports it,
    predicts a video with the exported model, and writes report.html.

    Examples:
      vitascope quickstart
      vitascope quickstart --out /tmp/demo --json demo.json
    """
    with Output("quickstart", json_file) as screen:
        from vitascope.accelerator.export import require_target

        begin = time.monotonic()
        require_target(to)  # a missing extra shows now, not after the training
        folder = claim(Path(out))
        _render(screen, folder / "data", videos)
        trained = _train(screen, folder, overrides or ())
        if trained is None:
            return
        _finish(screen, folder, trained, to, begin)
        if not overrides and videos == VIDEOS["train"]:
            _judge(screen)


def claim(folder: Path) -> Path:
    """Makes the folder, or takes one of an earlier quickstart.

    Raises:
        RunError: the folder holds something else, or cannot be made.
    """
    if folder.exists() and not folder.is_dir():
        raise RunError(f"{folder} is a file; give a folder with --out")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / MARKER).is_file():
        raise RunError(
            f"{folder} is not empty and is not of an earlier quickstart. Give a new folder with "
            "--out, so that nothing of yours is overwritten"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / MARKER).write_text(json.dumps({"model": MODEL, "settings": SETTINGS}) + "\n")
    except OSError as error:
        raise RunError(f"{folder}: cannot be written ({error.strerror}).") from error
    return folder


@contextmanager
def _part(out: Output, title: str) -> Iterator[None]:
    """A part of the way, with its time at the end."""
    out.heading(title)
    begin = time.monotonic()
    yield
    out.data.setdefault("parts", {})[title] = round(time.monotonic() - begin, 2)


def _render(out: Output, folder: Path, videos: int) -> None:
    from vitascope.data.render import MOTIONS, render_motion_dataset

    counts = {**VIDEOS, "train": videos}
    with _part(out, "1. Videos"):
        columns = TextColumn("rendering"), BarColumn(), MofNCompleteColumn()
        with out.progress(*columns) as progress:
            bar = progress.add_task("", total=None)
            render_motion_dataset(
                folder,
                clips_per_class=counts,
                frames=FRAMES,
                fps=FRAMES,
                on_clip=lambda done, total: progress.update(bar, completed=done, total=total),
            )
        total = len(MOTIONS) * sum(counts.values())
        out.say(f"{total:,} videos (H.264) of {len(MOTIONS)} motions in {folder}:")
        out.say(f"  {', '.join(MOTIONS)}")
        out.data.update(videos=total, classes=MOTIONS)


def _train(out: Output, folder: Path, overrides: Sequence[str]) -> Trained | None:
    from vitascope.cli.training import TrainingDisplay
    from vitascope.recipes.folder import train

    settings = (*SETTINGS, *overrides)
    run = folder / "run"
    command = f"vitascope train {folder / 'data'} --model {MODEL} --init none --out {run}"
    with _part(out, "2. Training"):
        out.say(f"{command} {' '.join(settings)}", style="dim", whole=True)
        with TrainingDisplay(out) as display:
            trained = train(
                (folder / "data").resolve(),
                MODEL,
                out=run,
                init="none",
                overrides=settings,
                force=(run / "run.json").is_file(),
                on_event=display,
            )
    if trained.test is None:
        out.say("Stopped before the end. The same command begins anew.")
        out.code = INTERRUPTED
        return None
    return trained


def _finish(out: Output, folder: Path, trained: Trained, to: str, begin: float) -> None:
    from vitascope.cli.report import write_run_report
    from vitascope.engine.evaluate import evaluate

    assert trained.test is not None
    run = folder / "run"
    with _part(out, "3. Test on other videos"):
        control = evaluate(run, split="test", shuffle_frames=True)
        _show_scores(out, trained.test, control)
        trained.test.write_csv(run / "scores.csv")
    with _part(out, f"4. Export to {to}"):
        path = _export(out, run, to)
    with _part(out, "5. Prediction with the exported model"):
        if path is not None:
            _predict(out, path, trained.test.videos[0])
    command = f"vitascope quickstart --out {folder}"
    report = write_run_report(trained, command, control=control)
    seconds = round(time.monotonic() - begin, 2)
    out.data.update(report=report, run=run, seconds=seconds)
    out.heading(f"Done in {length(seconds)}")
    out.facts(
        [
            ("report", f"{report} (open it in a browser)"),
            (f"vitascope predict {run} VIDEO", "try it on another video"),
            ("vitascope train clips/", "do the same with your own clips"),
        ]
    )


def _show_scores(out: Output, test: EvalResult, control: EvalResult) -> None:
    low, high = test.interval
    chance = 1 / len(test.classes)
    out.facts(
        [
            (
                "top-1",
                f"{percent(test.top1)}  ({test.n_evaluated} videos, 95 % interval {percent(low)} "
                f"to {percent(high)})",
            ),
            (
                "frames shuffled",
                f"{percent(control.top1)}  (chance is {percent(chance)}; frames without order show "
                "at most along which axis things move, not which way)",
            ),
        ]
    )
    out.data.update(top1=test.top1, control_top1=control.top1, chance=chance, test=test.to_json())


def _export(out: Output, run: Path, to: str) -> Path | None:
    from vitascope.cli.export import show_verification
    from vitascope.serving.exporting import export

    exported = export(run, to)
    checked = exported.verification
    show_verification(out, checked)
    out.data.update(
        export=checked.to_json(),
        export_top1_agreement=checked.top1_agreement,
        artifact=exported.path,
    )
    return exported.path


def _predict(out: Output, artifact: Path, video: str) -> None:
    from vitascope.serving.predictor import load

    prediction = load(artifact).predict(video, top=3)
    out.say(f"vitascope predict {artifact} {video} --top 3", style="dim", whole=True)
    for label, score in prediction.top:
        out.say(f"  {percent(score):>7}  {label}")
    out.data["prediction"] = prediction.to_json()


def _judge(out: Output) -> None:
    """Fails if the shipped settings did not give what they give on a sound installation."""
    data = out.data
    if data["top1"] < ENOUGH:
        out.fail(f"top-1 is {percent(data['top1'])}; at least {percent(ENOUGH)} was expected.")
    if data["control_top1"] > NEAR_CHANCE:
        out.fail(
            f"with shuffled frames top-1 is {percent(data['control_top1'])}, far above chance."
        )
    if not data["export"]["ok"] or data["export_top1_agreement"] < 1:
        out.fail("the exported model does not agree with the original.")
