"""The command table, and the frame around every command: errors, pipes, exit codes."""

from __future__ import annotations

import contextlib
import inspect
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer

from vitascope import __version__
from vitascope.cli.bench import bench_data
from vitascope.cli.cache import cache
from vitascope.cli.check import check
from vitascope.cli.conformance import conformance
from vitascope.cli.convert import convert
from vitascope.cli.data import (
    list_datasets,
    prepare_dataset,
    shard_dataset,
    show_dataset,
    verify_dataset,
)
from vitascope.cli.doctor import doctor
from vitascope.cli.evaluate import evaluate
from vitascope.cli.export import export
from vitascope.cli.help import HelpCommand, HelpGroup, explain_usage_error
from vitascope.cli.migrate import migrate
from vitascope.cli.models import list_models, show_model
from vitascope.cli.options import JsonFile
from vitascope.cli.output import (
    BAD_INPUT,
    BROKEN_PIPE,
    CRASHED,
    DONE,
    INTERRUPTED,
    make_console,
    report_crash,
)
from vitascope.cli.predict import predict
from vitascope.cli.quickstart import quickstart
from vitascope.cli.recipes import show_recipe
from vitascope.cli.train import train
from vitascope.text import shown_text

Command = Callable[..., None]

COMMANDS: dict[str, Command | dict[str, Command]] = {
    "quickstart": quickstart,
    "train": train,
    "eval": evaluate,
    "predict": predict,
    "export": export,
    "convert": convert,
    "migrate": migrate,
    "check": check,
    "cache": cache,
    "conformance": conformance,
    "doctor": doctor,
    "data": {
        "list": list_datasets,
        "info": show_dataset,
        "verify": verify_dataset,
        "prepare": prepare_dataset,
        "shard": shard_dataset,
    },
    "bench": {"data": bench_data},
    "models": {"list": list_models, "show": show_model},
    "recipes": {"show": show_recipe},
}
"""Name -> function, or a group of them, in the order in which the help lists them, groups last.

A group without a command does what its first one does, or shows its help where that one needs to
be told what to work on.
"""

# typer brings its own copy of click in some versions and uses the package in others; either way
# this is the class of everything that is wrong with a command line.
ClickError: Any = typer.BadParameter.__mro__[2]

GROUPS = {
    "bench": "Measures how fast your data can be loaded.",
    "data": "Public data sets; preparing and packing your own.",
    "models": "Lists the models, or shows one.",
    "recipes": "Shows every setting of a training.",
}

SETTINGS: dict[str, Any] = {
    "cls": HelpGroup,
    "add_completion": False,
    "pretty_exceptions_enable": False,
    "context_settings": {"help_option_names": ["--help", "-h"]},
}
app = typer.Typer(**SETTINGS)


def _add_group(name: str, members: dict[str, Command]) -> None:
    group = typer.Typer(**SETTINGS)

    def first(ctx: typer.Context, json_file: JsonFile = None) -> None:
        if ctx.invoked_subcommand is None:
            function = next(iter(members.values()))
            if any(p.default is p.empty for p in inspect.signature(function).parameters.values()):
                ctx.get_help()  # prints it
                return
            function(json_file=json_file)
        elif json_file is not None:
            raise typer.BadParameter(f"give --json after the command {ctx.invoked_subcommand!r}")

    group.callback(invoke_without_command=True, help=GROUPS[name])(first)
    for member, function in members.items():
        group.command(member, cls=HelpCommand)(function)
    app.add_typer(group, name=name)


for _name, _entry in COMMANDS.items():
    if isinstance(_entry, dict):
        _add_group(_name, _entry)
    else:
        app.command(_name, cls=HelpCommand)(_entry)


def _show_version(wanted: bool) -> None:
    if wanted:
        make_console().print(f"vitascope {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def root(
    ctx: typer.Context,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """Video understanding: a folder of clips becomes a trained, tested, exported model.

    Examples:
      vitascope quickstart                   see the whole way on a small data set, 5 minutes
      vitascope train clips/ --out run       train on clips/<class>/*.mp4
      vitascope predict run video.mp4        name what happens in a video
      vitascope COMMAND --help               explain one command
    """
    if ctx.invoked_subcommand is None:
        ctx.get_help()  # prints it


def command_lines() -> list[str]:
    """Every command as it is typed, such as "doctor" and "models show"."""
    lines = []
    for name, entry in COMMANDS.items():
        lines.append(name)
        if isinstance(entry, dict):
            lines += [f"{name} {member}" for member in entry]
    return lines


def run(args: Sequence[str] | None = None) -> int:
    """Carries out a command line (None: that of the process) and returns its exit code."""
    try:
        code = app(args=args, prog_name="vitascope", standalone_mode=False)
    except ClickError as error:
        console = make_console(stderr=True)
        console.print("error: ", style="bold red", end="")
        console.print(
            explain_usage_error(error, sys.argv[1:] if args is None else args), soft_wrap=True
        )
        return BAD_INPUT
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except BrokenPipeError:
        return BROKEN_PIPE
    except OSError as error:  # a help page or a table that cannot be printed
        with contextlib.suppress(OSError):
            sys.stderr.write(f"error: cannot write: {error.strerror or error}.\n")
        return BAD_INPUT
    except Exception as error:
        # The last resort: a person is told in a sentence, and the traceback goes into a file.
        with contextlib.suppress(OSError):
            sys.stderr.write(f"error: {shown_text(report_crash(error, 'vitascope'))}\n")
        raise SystemExit(CRASHED) from error
    return code or DONE


def main() -> None:
    """Entry point of the command `vitascope`."""
    _open_streams()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a terminal without Unicode gets "?", not an error
            stream.reconfigure(errors="replace")
    if not sys.warnoptions:  # what libraries tell programmers is noise to people
        warnings.simplefilter("ignore")
    code = run()
    for stream, name in ((sys.stdout, "standard output"), (sys.stderr, "")):
        try:
            stream.flush()
        except OSError as error:
            # Python would complain once more while it shuts down.
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
            if isinstance(error, BrokenPipeError):
                code = BROKEN_PIPE
            elif name and not code:
                with contextlib.suppress(OSError):
                    sys.stderr.write(f"error: {name}: {error.strerror}.\n")
                code = BAD_INPUT
    sys.exit(code)


def _open_streams() -> None:
    """Closed streams become ones that swallow everything; else the next file opened takes over."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this one
    sys.stdout = sys.stdout or open(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = sys.stderr or open(2, "w", encoding="utf-8", closefd=False)
