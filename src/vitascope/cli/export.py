"""`vitascope export`: write a trained model for another runtime, and prove that it agrees."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vitascope.cli.options import JsonFile
from vitascope.cli.output import Output, size
from vitascope.errors import ConfigError, DatasetError

if TYPE_CHECKING:
    from vitascope.accelerator.verify import Verification

CLIPS = 16
"""Real clips that go through both models; taken from the test videos, evenly over the list."""

Run = Annotated[str, typer.Argument(metavar="RUN", help="Run folder or checkpoint.")]
To = Annotated[
    str, typer.Option("--to", metavar="TARGET", help="Format: onnx, openvino or torch.export.")
]
Out = Annotated[
    str | None,
    typer.Option("--out", metavar="FILE", help="File or folder to write. Default: into RUN."),
]
Data = Annotated[
    str | None,
    typer.Option("--data", metavar="DATA", help="Videos to compare on. Default: those of the run."),
]
Tolerance = Annotated[
    float | None,
    typer.Option("--tolerance", metavar="X", help="Largest difference, as a share of the scores."),
]


def export(
    run: Run,
    to: To,
    path: Out = None,
    data: Data = None,
    tolerance: Tolerance = None,
    json_file: JsonFile = None,
) -> None:
    """Writes a trained model for another runtime and checks it on real clips.

    The file carries class names, clip and pixels, and `vitascope predict` takes it in place of
    the run. Original and export see the same clips; if they differ beyond tolerance, nothing is
    kept and the command ends with status 1.

    Examples:
      vitascope export run --to onnx
      vitascope export run --to openvino --out model.xml --json check.json
    """
    with Output("export", json_file) as out:
        from vitascope.accelerator.export import require_target
        from vitascope.serving.predictor import load

        require_target(to)
        predictor = load(run)
        videos = find_clips(run, data)
        place = path or (run if os.path.isdir(run) else os.path.dirname(run) or ".")
        out.say(f"Exporting {run} to {to}, comparing on {len(videos)} clips")
        written, checked = predictor.export(to, videos, place, tolerance=tolerance)
        out.data.update(
            run=run, to=to, path=written if checked.ok else None, **checked.to_json(), clips=videos
        )
        show_verification(out, checked)
        if checked.ok:
            out.say(f"Wrote {written}")
        else:
            out.fail(
                f"the {to} model differs by {checked.max_abs_diff:.3g}, and {checked.allowed:.3g} "
                f"is allowed; nothing was written."
            )


def find_clips(run: str, data: str | None) -> list[str]:
    """Up to `CLIPS` videos to compare on: of `data`, else of the run's test or validation split.

    Raises:
        VitascopeError: there are none, or they are no longer where they were.
    """
    from vitascope.data.records import read_table

    folder = Path(run) if os.path.isdir(run) else Path(run).parent
    if data is None and not (folder / "split.csv").is_file():
        raise ConfigError(f"{folder} does not say on which videos it was trained; give --data")
    try:
        table = read_table(data or folder / "split.csv", labelled=False)
    except DatasetError as error:
        if data is not None:
            raise
        raise DatasetError(f"{error}. Or give other videos with --data") from error
    for split in ("test", "val", "train"):
        if split in table.splits:
            paths = [record.path for record in table.of(split)]
            break
    else:
        paths = [record.path for record in table.records]
    paths = list(dict.fromkeys(paths))
    step = max(len(paths) / CLIPS, 1)
    return [paths[int(i * step)] for i in range(min(CLIPS, len(paths)))]


def show_verification(out: Output, checked: Verification) -> None:
    """Prints what comparing two models showed."""
    agree = round(checked.top1_agreement * checked.n_clips)
    threads = f"{checked.threads} thread{'s' * (checked.threads != 1)}"
    out.facts(
        [
            (
                "largest difference",
                f"{checked.max_abs_diff:.3g} of a score before softmax "
                f"({checked.allowed:.3g} is allowed)",
            ),
            ("same top-1", f"{agree} of {checked.n_clips} clips"),
            ("size", f"{size(checked.size_bytes_before)} before, {size(checked.size_bytes)} after"),
            (
                "time of a clip",
                f"{checked.latency_ms_before:.1f} ms before, {checked.latency_ms:.1f} ms after "
                f"({threads})",
            ),
        ]
    )
