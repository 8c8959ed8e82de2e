"""`vitascope conformance`: proof that decoders give exactly the frames that were planned."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

from vitascope.cli.options import JsonFile
from vitascope.cli.output import Output

if TYPE_CHECKING:
    from vitascope.data.check.conformance import Matrix

Decoders = Annotated[
    list[str] | None,
    typer.Option("--decoder", metavar="NAME", help="Only this decoder. May be given again."),
]
Videos = Annotated[
    str | None,
    typer.Option("--videos", metavar="DIR", help="Keep the videos in this folder."),
]
Only = Annotated[
    list[str] | None,
    typer.Option("--only", metavar="TEXT", help="Only videos with this in their name."),
]


def conformance(
    decoder: Decoders = None, videos: Videos = None, only: Only = None, json_file: JsonFile = None
) -> None:
    """Proves, video by video, that each decoder returns exactly the planned frames.

    Videos are drawn whose every frame says its number, over codecs, containers, rates, key frames,
    B-frames, varying rates and start times. "refused" means that a decoder says it cannot read
    a video: no wrong frame came. Ends with status 1 if a wrong frame or time came out.

    Examples:
      vitascope conformance
      vitascope conformance --decoder torchcodec --only h264
    """
    with Output("conformance", json_file) as out:
        from vitascope.data.check.conformance import run_conformance as run
        from vitascope.data.check.conformance_videos import CONFORMANCE_VIDEOS
        from vitascope.errors import UnknownNameError

        chosen = [f for f in CONFORMANCE_VIDEOS if not only or any(text in f.name for text in only)]
        if not chosen:
            raise UnknownNameError(
                "video", ", ".join(only or ()), [f.name for f in CONFORMANCE_VIDEOS]
            )
        columns = TextColumn("decoding"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
        with out.progress(*columns) as progress:
            bar = progress.add_task("decoding", total=None)
            matrix = run(
                decoder or None, chosen, folder=videos,
                progress=lambda done, of, _: progress.update(bar, completed=done, total=of),
            )  # fmt: skip
        names = list(dict.fromkeys(v.decoder for v in matrix.verdicts))
        out.data.update(
            verdicts=matrix.verdicts,
            missing=dict(matrix.missing),
            passed={name: matrix.passed(name) for name in names},
            counts={name: matrix.counts(name) for name in names},
        )
        _show(out, matrix, names)
        for name in names:
            if not matrix.passed(name):
                out.fail(f"{name}: {matrix.counts(name)['fail']} of {len(chosen)} videos failed.")


def _show(out: Output, matrix: Matrix, names: list[str]) -> None:
    found = {(v.video, v.decoder): v for v in matrix.verdicts}
    videos = list(dict.fromkeys(v.video for v in matrix.verdicts))
    out.table(("video", *names), [(f, *(found[f, name].status for name in names)) for f in videos])
    out.say()
    for name in names:
        counts = matrix.counts(name)
        said = ", ".join(f"{count} {status}" for status, count in counts.items() if count)
        out.say(f"{name}: {said} (of {len(videos)})")
    wrong = [v for v in matrix.verdicts if v.status in ("fail", "refused")]
    if wrong:
        out.heading("Reasons")
        out.table(
            ("video", "decoder", "status", "reason"),
            [(v.video, v.decoder, v.status, v.reason) for v in wrong],
        )
    for name, reason in matrix.missing:
        out.note(f"{name} was not tried: {reason}")
