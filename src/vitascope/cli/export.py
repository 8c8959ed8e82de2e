"""`vitascope export`: write a trained model for another runtime, and prove that it agrees."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from vitascope.cli.options import JsonFile
from vitascope.cli.output import Output
from vitascope.engine.charts import size

if TYPE_CHECKING:
    from vitascope.accelerator.verify import Verification

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
        from vitascope.serving.exporting import export as run_export

        exported = run_export(
            run,
            to,
            path=path,
            data=data,
            tolerance=tolerance,
            on_begin=lambda clips: out.say(
                f"Exporting {run} to {to}, comparing on {len(clips)} clips"
            ),
        )
        checked = exported.verification
        out.data.update(
            run=run, to=to, path=exported.path, **checked.to_json(), clips=exported.clips
        )
        show_verification(out, checked)
        if checked.ok:
            out.say(f"Wrote {exported.path}")
        else:
            out.fail(
                f"the {to} model differs by {checked.max_abs_diff:.3g}, and {checked.allowed:.3g} "
                f"is allowed; nothing was written."
            )


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
