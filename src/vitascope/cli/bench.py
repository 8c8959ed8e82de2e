"""`vitascope bench`: speed on the user's own data and machine."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.progress import SpinnerColumn, TextColumn

from vitascope.cli.options import JsonFile, Root
from vitascope.cli.output import Output
from vitascope.engine.charts import percent

Data = Annotated[str, typer.Argument(metavar="DATA", help="Folder of clips, list, or shards.")]


def bench_data(
    data: Data,
    model: Annotated[
        str, typer.Option("--model", metavar="NAME", help="The model that is to be fed.")
    ] = "x3d_s",
    decoder: Annotated[
        list[str] | None,
        typer.Option("--decoder", metavar="NAME", help="Decoder. May be given again."),
    ] = None,
    clips: Annotated[
        int, typer.Option("--clips", metavar="N", help="Clips to load with each decoder.")
    ] = 64,
    root: Root = None,
    json_file: JsonFile = None,
) -> None:
    """Measures where the time of loading goes, and how many workers a model needs.

    One process loads training clips as `train` does: reading, decoding, augmenting. Then a few
    training steps of the model are timed on this machine's GPU, or on its CPU without one.

    Examples:
      vitascope bench data clips/
      vitascope bench data train.csv --model slowfast_r50 --decoder pyav --decoder torchcodec
    """
    with Output("bench data", json_file) as out:
        from vitascope.data.tables.read import read_table
        from vitascope.distributed import cores
        from vitascope.engine.bench import measure_data, measure_model, workers_needed

        table = read_table(data, root=root, labeled=False)
        columns = SpinnerColumn(), TextColumn("{task.description}")
        with out.progress(*columns) as progress:
            task = progress.add_task("loading clips", total=None)
            speeds = [measure_data(table, model, name, clips) for name in decoder or ("pyav",)]
            progress.update(task, description=f"training {model}")
            rate, device = measure_model(model)
        rows, results, most = [], [], 0
        for speed in speeds:
            need = workers_needed(speed, rate)
            most = max(most, need)
            shares = [part / speed.seconds for part in (speed.read, speed.decode, speed.transform)]
            rows.append((speed.decoder, f"{speed.clips_per_second:.1f}",
                         *(percent(share) for share in shares), need))  # fmt: skip
            results.append({
                "decoder": speed.decoder, "clips": speed.clips, "failed": speed.failed,
                "clips_per_second": speed.clips_per_second, "workers": need,
                "seconds": {"read": speed.read, "decode": speed.decode,
                            "transform": speed.transform},
            })  # fmt: skip
        usable = cores()
        out.data.update(model=model, device=device, model_clips_per_second=rate, cores=usable,
                        decoders=results)  # fmt: skip
        header = ("decoder", "clips/s of a process", "read", "decode", "transform", "workers")
        out.table(header, rows, numbers=(1, 2, 3, 4, 5))
        out.say()
        out.say(
            f"{model} trains on {rate:.1f} clips/s on {device}; this machine has {usable} cores."
        )
        if most > usable:
            out.note(
                "decoding cannot keep up; prepare smaller videos with `vitascope data prepare`"
            )
        for speed in speeds:
            if speed.failed:
                out.note(f"{speed.failed} clips could not be read; `vitascope check` tells why.")
