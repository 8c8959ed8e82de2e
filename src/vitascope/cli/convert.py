"""`vitascope convert`: a checkpoint of any library becomes one of vitascope, or the reverse."""

from __future__ import annotations

from typing import Annotated

import typer

from vitascope.cli.options import JsonFile
from vitascope.cli.output import Output

Source = Annotated[str, typer.Argument(metavar="IN", help="Checkpoint of any library, or a run.")]
Out = Annotated[str, typer.Argument(metavar="OUT", help="Checkpoint to write, such as slow.json.")]
Model = Annotated[
    str | None,
    typer.Option(
        "--model", "-m", metavar="NAME", help="Model of IN. Default: told from its entries."
    ),
]
To = Annotated[
    str,
    typer.Option(
        "--to",
        metavar="DIALECT",
        help="Names to write: vitascope, pytorchvideo, pyslowfast, caffe2, torchvision, "
        "transformers or timm.",
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Replace OUT.")]


def convert(
    source: Source,
    out_path: Out,
    model: Model = None,
    to: To = "vitascope",
    force: Force = False,
    json_file: JsonFile = None,
) -> None:
    """Translates a checkpoint, and says what became of every entry.

    IN may come from PyTorchVideo, PySlowFast, Caffe2, Lightning, torchvision, Transformers or timm;
    which one, its content tells. OUT carries classes, clip and pixels, and `vitascope predict`
    takes it in place of a run. Nothing in a checkpoint is run.

    Examples:
      vitascope convert SLOW_8x8_R50.pyth slow.json
      vitascope convert I3D_8x8_R50.pkl i3d.json --model i3d_r50 --json report.json
      vitascope convert run slow.pyth --to pyslowfast
    """
    with Output("convert", json_file) as out:
        from vitascope.serving.converting import convert_checkpoint as run_convert

        done = run_convert(source, out_path, model=model, to=to, force=force)
        out.data.update(
            source=source,
            path=done.path,
            dialect=done.dialect,
            model=done.contract.model,
            entries=done.entries,
            report=None if done.report is None else done.report.to_json(),
        )
        out.facts([("network", done.contract.model)])
        for line in [] if done.report is None else done.report.lines():
            out.say(line)
        out.say(f"Wrote {done.path} ({done.entries} entries, {done.dialect} names)")
