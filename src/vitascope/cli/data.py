"""`vitascope data`: public data sets, held against their lists, made smaller, put into shards."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

from vitascope.cli.options import JsonFile, Root
from vitascope.cli.output import Output
from vitascope.engine.charts import size
from vitascope.errors import ConfigError

if TYPE_CHECKING:
    from vitascope.data.sets.verify import VerifyReport

Name = Annotated[str, typer.Argument(metavar="NAME", help="A name that `data list` shows.")]
Videos = Annotated[str, typer.Argument(metavar="ROOT", help="Folder of the videos.")]
Data = Annotated[str, typer.Argument(metavar="DATA", help="Folder of clips, or list of them.")]
Out = Annotated[str, typer.Argument(metavar="OUT", help="Folder to write to.")]
Place = Annotated[str, typer.Argument(metavar="OUT", help="Folder, or address such as s3://...")]
Lists = Annotated[
    str | None,
    typer.Option("--lists", metavar="DIR", help="Folder of the lists. Default: below ROOT."),
]
Jobs = Annotated[
    int | None, typer.Option("--jobs", "-j", metavar="N", help="Processes. Default: all cores.")
]
BAR = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
SHOWN = 20  # rows of a table of faults; all are in the JSON


def list_datasets(json_file: JsonFile = None) -> None:
    """Lists the public data sets that can be read by name.

    Examples:
      vitascope data list
    """
    with Output("data list", json_file) as out:
        from vitascope.data.sets import DATASETS
        from vitascope.data.sets.card import get_dataset

        cards = [get_dataset(name) for name in DATASETS]
        out.data["datasets"] = cards
        rows = [
            (card.name, card.title, card.task, card.num_classes,
             ", ".join(f"{split} {count:,}" for split, count in card.splits.items()))
            for card in cards
        ]  # fmt: skip
        out.table(("name", "title", "task", "classes", "clips"), rows)
        out.say()
        out.say("One of them in full: vitascope data info NAME")


def show_dataset(name: Name, json_file: JsonFile = None) -> None:
    """Shows what is known about a public data set, and how its files are laid out.

    Examples:
      vitascope data info kinetics400
    """
    with Output("data info", json_file) as out:
        from vitascope.data.sets.card import get_dataset

        card = get_dataset(name)
        out.data["dataset"] = card
        out.facts(
            [
                ("name", f"{card.name} ({card.title})"),
                ("task", card.task),
                ("classes", f"{card.num_classes} ({card.sources['classes']})"),
                *(
                    (f"clips, {split}", f"{count:,} ({card.sources[split]})")
                    for split, count in card.splits.items()
                ),
                ("lists", card.annotations),
                ("videos", card.files),
                ("reader", f"vitascope.data.sets.{card.reader.replace(':', '.')}"),
                ("paper", card.paper),
                ("homepage", card.homepage),
                ("terms", card.terms),
            ]
        )


def verify_dataset(
    name: Name, root: Videos, lists: Lists = None, jobs: Jobs = None, json_file: JsonFile = None
) -> None:
    """Counts which videos of a published list are there, missing or unreadable.

    The lists are found by the names that their authors use. Of each video the header is read;
    `vitascope check` decodes everything. Ends with status 1 if a video is missing or unreadable.

    Examples:
      vitascope data verify ucf101 UCF-101 --lists ucfTrainTestlist
      vitascope data verify kinetics400 k400 --json missing.json
    """
    with Output("data verify", json_file) as out:
        from vitascope.data.sets.card import get_dataset
        from vitascope.data.sets.locate import official_files
        from vitascope.data.sets.verify import verify_files

        card = get_dataset(name)
        table = official_files(name, root, lists)
        with out.progress(TextColumn("looking"), *BAR) as progress:
            bar = progress.add_task("looking", total=len(table))
            report = verify_files(
                table, jobs=jobs, progress=lambda done, _: progress.update(bar, completed=done)
            )
        out.data.update(dataset=card.name, published=card.splits, **report.to_json())
        rows = [
            (split, present, listed, _published(card.splits.get(split)))
            for split, (present, listed) in report.by_split.items()
        ]
        out.table(("split", "present", "listed", "published"), rows, numbers=(1, 2, 3))
        _show_faults(out, report)
        gone = len(report.missing) + len(report.unreadable)
        if gone:
            out.fail(
                f"{report.present} of {report.listed} videos are there; {len(report.missing)} are "
                f"missing, {len(report.unreadable)} unreadable."
            )


def _published(count: int | None) -> str:
    return "" if count is None else f"{count:,}"


def _show_faults(out: Output, report: VerifyReport) -> None:
    for title, faults in (("Missing", report.missing), ("Unreadable", report.unreadable)):
        if not faults:
            continue
        out.heading(f"{title}: {len(faults)}")
        rows = [(f.where, f.path, f.reason) for f in faults[:SHOWN]]
        out.table(("list", "file", "reason"), rows)
        if len(faults) > SHOWN:
            out.say(f"and {len(faults) - SHOWN} more; --json FILE lists all of them")


def prepare_dataset(
    data: Data,
    out_folder: Out,
    short_side: Annotated[
        int, typer.Option("--short-side", metavar="PIXELS", help="Short side of the videos.")
    ] = 256,
    crf: Annotated[
        int, typer.Option("--crf", metavar="N", help="x264 quality, 0 (lossless) to 51.")
    ] = 20,
    keyframes: Annotated[
        int, typer.Option("--keyframes", metavar="N", help="Most frames between key frames.")
    ] = 16,
    jobs: Jobs = None,
    root: Root = None,
    json_file: JsonFile = None,
) -> None:
    """Re-encodes every video to a short side, with key frames close together.

    Training then decodes less. Times of frames stay exact; sound is not copied. Called again it
    goes on where it was interrupted. Ends with status 1 if a video could not be read.

    Examples:
      vitascope data prepare clips/ small/
      vitascope data prepare train.csv small/ --short-side 320 --jobs 8
    """
    with Output("data prepare", json_file) as out:
        from vitascope.data.cache.prepare import Settings, prepare
        from vitascope.data.tables.read import read_table

        settings = Settings(short_side=short_side, crf=crf, keyframes=keyframes)
        table = read_table(data, root=root, labeled=False)
        with out.progress(TextColumn("encoding"), *BAR) as progress:
            bar = progress.add_task("encoding", total=None)
            report = prepare(
                table, out_folder, settings, jobs=jobs,
                progress=lambda done, of: progress.update(bar, completed=done, total=of),
            )  # fmt: skip
        out.data.update(data=report.data, files=report.files)
        out.say(
            f"{report.count('written')} of {len(report.files)} videos written, "
            f"{report.count('there')} were there already. The data set is {report.data}"
        )
        sound = sum(file.sound for file in report.files)
        if sound:
            out.note(f"{sound} videos have sound, which was not copied.")
        failed = [file for file in report.files if file.outcome == "failed"]
        if failed:
            out.heading("Not prepared")
            out.table(("file", "fault"), [(f.path, f.error) for f in failed[:SHOWN]])
            out.fail(f"{len(failed)} of {len(report.files)} videos could not be prepared.")


def shard_dataset(
    data: Data,
    place: Place,
    shard_size: Annotated[
        float, typer.Option("--shard-size", metavar="MB", help="Size of a shard in megabytes.")
    ] = 500,
    samples: Annotated[
        int, typer.Option("--samples", metavar="N", help="Most videos in a shard.")
    ] = 10_000,
    jobs: Annotated[
        int, typer.Option("--jobs", "-j", metavar="N", help="Shards that are written at once.")
    ] = 4,
    root: Root = None,
    json_file: JsonFile = None,
) -> None:
    """Writes a data set as tar shards (WebDataset), to a folder or an object store.

    The result is a data set like any other: give it to `train` or `eval`. The videos of a split
    are mixed, always in the same way. Called again, it writes what is missing or has changed.

    Examples:
      vitascope data shard clips/ shards/
      vitascope data shard train.csv s3://bucket/k400 --shard-size 1000
    """
    with Output("data shard", json_file) as out:
        from vitascope.data.shards.write import write_shards
        from vitascope.data.tables.read import read_table

        if not 1e-3 <= shard_size <= 1e7:
            raise ConfigError(f"--shard-size {shard_size:g}; from 0.001 to 10000000 megabytes")
        table = read_table(data, root=root)
        with out.progress(TextColumn("writing"), *BAR) as progress:
            bar = progress.add_task("writing", total=None)
            report = write_shards(
                table, place, shard_bytes=round(shard_size * 1e6), shard_samples=samples,
                jobs=jobs,
                progress=lambda done, of: progress.update(bar, completed=done, total=of),
            )  # fmt: skip
        out.data.update(out=place, report=report)
        splits = ", ".join(f"{split} {count}" for split, count in report.splits.items())
        out.say(
            f"{report.samples} videos in {report.shards} shards ({splits}; {size(report.bytes)}) "
            f"in {place}; {report.written} were written now."
        )
