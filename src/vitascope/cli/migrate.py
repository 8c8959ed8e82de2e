"""`vitascope migrate`: programs written for PyTorchVideo or decord change their imports."""

from __future__ import annotations

from typing import Annotated

import typer

from vitascope.cli.options import JsonFile
from vitascope.cli.output import Output

Programs = Annotated[
    list[str],
    typer.Argument(metavar="FILE_OR_DIR...", help="Programs (.py), notebooks, or their folders."),
]
Write = Annotated[bool, typer.Option("--write", help="Change the files; else they stay.")]


def migrate(programs: Programs, write: Write = False, json_file: JsonFile = None) -> None:
    """Turns the imports of programs for PyTorchVideo or decord into those of vitascope.

    Prints the changes as a diff, and what is left to you: names in strings, downloads through
    torch.hub, and what there is no name for. Comments and layout stay. If one file is no Python,
    none is changed.

    Examples:
      vitascope migrate train.py
      vitascope migrate project/ --write
    """
    with Output("migrate", json_file) as out:
        from vitascope.compat.migrate import migrate_files, write_migrated

        files = migrate_files(programs)
        for file in files:
            if file.changes:
                out.say(file.diff(), whole=True)
        left = [(f"{file.path}:{where}", said) for file in files for where, said in file.left]
        if left:
            out.heading("Left to you")
            for where, said in left:
                out.say(f"{where}: {said}")
        changed = [file for file in files if file.changes]
        places = sum(file.changes for file in changed)
        out.data.update(
            files=[
                {"path": file.path, "changes": file.changes, "diff": file.diff(),
                 "left": [{"where": where, "text": said} for where, said in file.left]}
                for file in files
            ],
            changes=places, left=len(left), written=write,
        )  # fmt: skip
        if write:
            write_migrated(files)
        out.say()
        verb = "changed" if write else "would change"
        hint = "" if write or not changed else " With --write they do."
        out.say(f"{places} places in {len(changed)} files {verb}, {len(left)} left to you.{hint}")
