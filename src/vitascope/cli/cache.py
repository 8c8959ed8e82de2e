"""`vitascope cache`: what the frame cache holds, and how it is emptied."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from vitascope.cli.options import JsonFile
from vitascope.cli.output import Output

Folder = Annotated[
    str | None,
    typer.Option(
        "--dir", metavar="DIR", help="Another cache: what data.cache_dir named. Default: your own."
    ),
]
Empty = Annotated[bool, typer.Option("--empty", help="Remove all that is in it.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Remove without asking.")]

SHOWN = 20
"""Data sets that are listed, the largest first."""


def cache(
    folder: Folder = None, empty: Empty = False, yes: Yes = False, json_file: JsonFile = None
) -> None:
    """Shows the frame cache: place, size, limit, and which videos it holds; or empties it.

    A training decodes each video once and keeps its frames there. Nothing in it is needed: what is
    missing is decoded again. Only files that the cache wrote are counted and removed.

    Examples:
      vitascope cache
      vitascope cache --empty --yes
    """
    with Output("cache", json_file) as out:
        from vitascope.data.cache.contents import cache_contents, empty_cache
        from vitascope.engine.charts import size
        from vitascope.errors import ConfigError
        from vitascope.files import cache_folder

        place = folder or str(cache_folder("frames"))
        found = cache_contents(place)
        out.data["cache"] = found
        limit = f"{size(found.limit)}, a tenth of the free disk (data.cache_gb=GB sets another)"
        out.facts(
            [
                ("place", found.folder),
                ("size", f"{size(found.used)} in {_videos(found.entries)}"),
                ("limit", limit),
                ("free", size(found.free)),
            ]
        )
        if found.data:
            out.heading("Videos below")
            rows = [(home, count, size(used)) for home, count, used in found.data[:SHOWN]]
            out.table(("folder", "entries", "size"), rows, numbers=(1, 2))
            if len(found.data) > SHOWN:
                out.say(f"and {len(found.data) - SHOWN} more")
        if not empty:
            return
        if not yes and not (sys.stdin and sys.stdin.isatty()):
            raise ConfigError("--empty asks before it removes, and nobody is there: add --yes")
        if not yes and not typer.confirm(f"Remove {_videos(found.entries)}?"):
            out.data["removed"] = {"entries": 0, "bytes": 0}
            out.say("Nothing was removed")
            return
        removed, freed = empty_cache(place)
        out.data["removed"] = {"entries": removed, "bytes": freed}
        out.say()
        out.say(f"Removed {_videos(removed)}, {size(freed)}")


def _videos(count: int) -> str:
    return f"{count} entr{'y' if count == 1 else 'ies'}"
