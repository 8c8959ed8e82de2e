"""`vitascope predict`: what do these videos show?"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn

from vitascope.cli.options import JsonFile, Trust
from vitascope.cli.output import Output
from vitascope.engine.charts import percent
from vitascope.errors import ConfigError, DatasetError, DatasetNotFoundError
from vitascope.text import shown

if TYPE_CHECKING:
    from vitascope.serving.predictor import Predictor, Top

Model = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="Run folder, checkpoint, exported model (.onnx, ...), or the name of a published "
        "model; `vitascope models` lists them.",
    ),
]
Videos = Annotated[
    list[str],
    typer.Argument(metavar="VIDEO...", help="Video files, folders of videos, folders of frames."),
]
Every = Annotated[
    str | None,
    typer.Option(
        "--every", metavar="TIME", help="Print a time line with a row every so many seconds (1s)."
    ),
]
TopOption = Annotated[int, typer.Option("--top", metavar="N", help="How many classes to name.")]
Views = Annotated[
    str | None,
    typer.Option("--views", metavar="CLIPSxCROPS", help="Average more views, such as 10x3."),
]


def predict(
    run: Model,
    videos: Videos,
    every: Every = None,
    top: TopOption = 5,
    views: Views = None,
    trust: Trust = False,
    json_file: JsonFile = None,
) -> None:
    """Names what videos show, with scores.

    Preprocessing and class names come with the model, so nothing has to be configured. With
    --every a video is read once from start to end, in memory that does not grow with its length.

    Examples:
      vitascope predict x3d_s video.mp4
      vitascope predict run video.mp4
      vitascope predict run/model.onnx clips/ --top 1
      vitascope predict run film.mp4 --every 1s --json timeline.json
    """
    with Output("predict", json_file) as out:
        from vitascope.serving.predictor import load

        paths = find_videos(videos)
        if every is not None and views is not None:
            raise ConfigError("--views does not go with --every: each row is one view")
        predictor = load(run, trust=trust)
        out.data.update(model=run, classes=predictor.classes, files=[])
        if every is None:
            _predict_files(out, predictor, paths, top, views)
        else:
            for path in paths:
                _print_timeline(out, predictor, path, every, top)


def find_videos(given: Sequence[str]) -> list[str]:
    """The videos that are meant; a folder stands for all videos in it.

    Raises:
        DatasetNotFoundError: some do not exist.
        DatasetError: a folder without videos.
    """
    from vitascope.data.listing import list_videos

    given = [os.path.expanduser(path) if path.startswith("~") else path for path in given]
    missing = [path for path in given if not os.path.exists(path)]
    if missing:
        many = f" {len(missing)} of {len(given)} are missing." if len(given) > 1 else ""
        raise DatasetNotFoundError(
            f"{shown(missing[0][:1000])}: no such file or folder.{many} Check the path"
        )
    found: list[str] = []
    for path in given:
        inside = list_videos(path) if os.path.isdir(path) else [path]
        if not inside:
            raise DatasetError(f"{path}: no videos in this folder")
        found += inside
    return found


def _predict_files(
    out: Output, predictor: Predictor, paths: Sequence[str], top: int, views: str | None
) -> None:
    errors: list[str] = []
    columns = TextColumn("predicting"), BarColumn(), MofNCompleteColumn()
    with out.progress(*columns) as progress:
        bar = progress.add_task("", total=len(paths), visible=len(paths) > 1)
        for number, video in enumerate(
            predictor.predict_many(paths, top, views=views, on_bad="report"), start=1
        ):
            out.data["files"].append(video.to_json())
            if video.error:
                errors.append(video.error)
            elif top == 1:
                names = f"{shown(video.label)}   {shown(video.path)}"
                out.say(f"{percent(video.top[0][1]):>7}  {names}")
            else:
                out.say(shown(video.path), style="bold")
                _print_top(out, video.top)
            progress.update(bar, completed=number)
    if len(errors) == 1:
        raise DatasetError(errors[0])
    if errors:
        listed = "".join(f"\n  {error}" for error in errors)
        raise DatasetError(f"{len(errors)} of {len(paths)} videos cannot be read:{listed}")


def _print_top(out: Output, top: Top) -> None:
    for label, score in top:
        out.say(f"  {percent(score):>7}  {shown(label)}")


def _print_timeline(out: Output, predictor: Predictor, path: str, every: str, top: int) -> None:
    rows: list[dict[str, Any]] = []
    total: Any = None
    count = 0
    out.say(shown(path), style="bold")
    for row in predictor.timeline(path, every, top=top):
        named = ", ".join(f"{shown(label)} {percent(score)}" for label, score in row.top)
        out.say(f"  {float(row.start):8.2f} to {float(row.end):8.2f} s   {named}")
        total = row.scores if total is None else total + row.scores
        count += 1
        if out.json_file is not None:
            rows.append(row.to_json())
    mean = (total / count).tolist()
    best = sorted(range(len(mean)), key=lambda i: -mean[i])[:top]
    summary = [{"label": predictor.classes[i], "score": mean[i]} for i in best]
    out.data["files"].append({"path": path, "top": summary, "timeline": rows})
