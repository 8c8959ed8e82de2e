"""`vitascope check`: decode everything once, list what is wrong."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

from vitascope.cli.options import JsonFile, Root
from vitascope.cli.output import Output, length

if TYPE_CHECKING:
    from vitascope.data.check.examine import FileReport

Data = Annotated[
    list[str],
    typer.Argument(metavar="DATA...", help="Folder of clips, list of videos, or single videos."),
]
Jobs = Annotated[
    int | None, typer.Option("--jobs", "-j", metavar="N", help="Processes. Default: all cores.")
]


def check(data: Data, jobs: Jobs = None, root: Root = None, json_file: JsonFile = None) -> None:
    """Decodes every video once and lists what is wrong.

    Broken, cut and silent files come out here and not in the middle of a training. The times of
    all frames are kept in a cache, so that training starts faster. Ends with status 1 if a file
    has a fault.

    Examples:
      vitascope check clips/
      vitascope check train.csv --jobs 8 --json faults.json
    """
    with Output("check", json_file) as out:
        from vitascope.data.check.check import check_files as check_files

        columns = (
            TextColumn("decoding"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[faults]}"),
            TimeRemainingColumn(),
        )
        faults = 0
        with out.progress(*columns) as progress:
            bar = progress.add_task("decoding", total=None, faults="")

            def on_file(done: int, total: int, report: FileReport) -> None:
                nonlocal faults
                faults += report.error is not None
                said = f"{faults} with faults" if faults else ""
                progress.update(bar, completed=done, total=total, faults=said)

            report = check_files(*data, jobs=jobs, root=root, progress=on_file)
        out.data.update(
            files=report.files, warnings=report.warnings, index=report.index, n_faults=faults
        )
        _show(out, report.files, report.faults)
        for warning in report.warnings:
            out.note(warning)
        if report.faults:
            out.fail(f"{len(report.faults)} of {len(report.files)} files have faults.")


def _show(out: Output, files: Sequence[FileReport], faults: Sequence[FileReport]) -> None:
    good = [file for file in files if file.error is None]
    seconds = sum(file.duration or 0 for file in good)
    frames = sum(file.frames for file in good)
    out.say(
        f"{len(good)} of {len(files)} video{'s' * (len(files) != 1)} decode without fault: "
        f"{frames:,} frame{'s' * (frames != 1)}, "
        f"{length(seconds)} of video."
    )
    if not faults:
        return
    root = os.path.commonpath([os.path.dirname(file.path) for file in files])
    out.heading(f"Faults in {root}" if root else "Faults")
    out.table(
        ("file", "frames", "fault"),
        [(os.path.relpath(f.path, root or "."), f.frames, f.error) for f in faults],
        numbers=(1,),
    )
