"""What all commands share: one place to print, the JSON file, errors and exit codes."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import math
import os
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import typer
from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.progress import Progress, ProgressColumn
from rich.table import Table
from rich.text import Text

from vitascope import __version__
from vitascope.data.limits import system_limit
from vitascope.errors import RunError, VerificationError, VitascopeError
from vitascope.text import format_json, is_count, shown, shown_text

DONE, CHECK_FAILED, BAD_INPUT, CRASHED = 0, 1, 2, 3
INTERRUPTED, BROKEN_PIPE = 130, 141  # 128 + the number of the signal, as shells have it

PIPED_WIDTH = 200
"""Columns when nobody looks: tables in files and pipes are not cut to the 80 of a terminal."""


NARROWEST, WIDEST = 20, 1000
"""Columns that tables are laid out for, whatever the terminal says."""

LONGEST = 8000
"""Characters of a message; what is longer has been put into it by mistake."""


class PlainConsole(Console):
    """A console that reports a closed pipe instead of ending the process with status 1."""

    def on_broken_pipe(self) -> None:
        """Hands the event to the frame of the command, which knows what it means."""
        raise BrokenPipeError

    def render_str(self, text: str, **options: Any) -> Text:
        """Text of names and messages, in which nothing gives orders to a terminal."""
        return super().render_str(shown_text(text), **options)


def make_console(*, stderr: bool = False, silent: bool = False) -> Console:
    """A console that prints text as it is: no markup in file names, no color in a pipe.

    Args:
        stderr: print to standard error.
        silent: print nothing at all.
    """
    stream = sys.stderr if stderr else sys.stdout
    watched = stream.isatty()
    width, height = None, None
    if not watched or {"COLUMNS", "LINES"} & set(os.environ):
        # rich takes 0 for a width and fails at words; the standard library takes neither.
        place = shutil.get_terminal_size((0, 25))
        fallback = place.columns if watched and "COLUMNS" not in os.environ else 0
        given = place.columns if is_count(os.environ.get("COLUMNS", "")) else fallback
        given = given if given >= NARROWEST else 0  # 0 and 1 mean that nobody knows
        unset = 80 if watched else PIPED_WIDTH
        width = min(given, WIDEST) if given else unset
        height = max(place.lines, 1)
    return PlainConsole(
        stderr=stderr,
        width=width,
        height=height,
        markup=False,
        highlight=False,
        emoji=False,
        quiet=silent,
    )


def print_tidy(console: Console, what: RenderableType) -> None:
    """Prints a table, without the spaces that fill its lines where nobody looks."""
    if console.is_terminal:
        console.print(what)
        return
    with console.capture() as capture:
        console.print(what)
    lines = (line.rstrip() for line in capture.get().rstrip("\n").split("\n"))
    console.print("\n".join(lines), soft_wrap=True)


def least_width(
    header: Sequence[str], rows: Sequence[Sequence[str]], numbers: Sequence[int], padding: int
) -> int:
    """Columns that a table needs so that no word and no number is broken."""
    total = padding * (len(header) - 1)
    for index, cells in enumerate(zip(header, *rows, strict=True)):
        parts = cells if index in numbers else [word for cell in cells for word in cell.split()]
        total += max((cell_len(part) for part in parts), default=0)
    return total


def length(seconds: float) -> str:
    """Seconds as 1 h 02 min, 3 min 05 s or 7.2 s."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


def plain(value: Any) -> Any:
    """Turns what a command knows into plain JSON values; numbers that are not finite become null.

    Raises:
        TypeError: a value that has no form in JSON.
    """
    if value is None or (isinstance(value, bool | int | str) and not isinstance(value, Enum)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Enum):
        return plain(value.value)
    if isinstance(value, Fraction):
        return float(value)
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, Mapping):
        return {str(plain(k)): plain(v) for k, v in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Sequence | set | frozenset):
        return [plain(v) for v in value]
    if hasattr(value, "tolist"):  # NumPy and torch, without importing either
        return plain(value.tolist())
    raise TypeError(f"{type(value).__name__} has no form in JSON")


class _Bars(Progress):
    """Bars that print nothing at all where they are disabled.

    Before version 15 rich ends such bars with a blank line.
    """

    def stop(self) -> None:
        """Ends the display, if there is one."""
        if not self.disable:
            super().stop()


class Output:
    """Prints for people, collects for programs, and ends the command with its exit code.

    Use as `with Output("check", json_file) as out:`. Leaving the block writes the JSON file, also
    after an error, and raises `typer.Exit`: 0 done, 1 a check failed, 2 bad input, 3 a bug,
    130 interrupted, 141 nobody reads the output any more.

    Args:
        command: name of the command.
        json_file: where everything goes in machine-readable form; "-" is standard output, and
            what people read then goes to standard error; None for nowhere.
        silent: print nothing but errors.

    Attributes:
        data: what the JSON file will hold.
        console: where people read.
        chief: this is the first of several processes that do the same, or the only one. Only
            that one prints and writes.
        code: exit code of a command that went well otherwise; None follows from its checks.
    """

    def __init__(self, command: str, json_file: str | None = None, *, silent: bool = False) -> None:
        self.command, self.json_file = command, json_file
        self.code: int | None = None
        self.data: dict[str, Any] = {}
        self._failures: list[str] = []
        self._notes: list[str] = []
        self.chief = int(os.environ.get("RANK") or 0) == 0
        self.console = make_console(stderr=json_file == "-", silent=silent or not self.chief)
        self._errors = make_console(stderr=True)

    def say(self, text: str = "", style: str | None = None, *, whole: bool = False) -> None:
        """Prints a line, wrapped between words where a person reads.

        Args:
            text: the line.
            style: of rich.
            whole: never wrap it, because it is meant to be copied, such as a command.
        """
        indent = len(text) - len(text.lstrip(" "))
        if whole or not indent or not self.console.is_terminal:
            self.console.print(text, style=style, soft_wrap=whole or not self.console.is_terminal)
        else:  # the lines that follow stand below the first
            body = Text(text.lstrip(" "), style=style or "")
            self.console.print(Padding(body, (0, 0, 0, indent), expand=False))

    def heading(self, text: str) -> None:
        """Prints a heading with an empty line above."""
        self.say()
        self.say(text, style="bold")

    def note(self, text: str) -> None:
        """Prints something to know that is no fault."""
        self._notes.append(text)
        self.say(f"note: {text}", style="yellow")

    def fail(self, text: str) -> None:
        """Records that a check failed: the command ends with status 1."""
        self._failures.append(text)
        self.console.file.flush()
        self._errors.print(
            f"failed: {text}", style="bold red", soft_wrap=not self._errors.is_terminal
        )

    def table(
        self,
        header: Sequence[str],
        rows: Iterable[Sequence[object]],
        numbers: Sequence[int] = (),
        padding: int = 3,
    ) -> None:
        """Prints a table; row by row where a terminal is too narrow for it without breaking words.

        Args:
            header: names of the columns.
            rows: one value for each column.
            numbers: indices of the columns that hold numbers, aligned to the right.
            padding: spaces between columns.
        """
        cells = [[shown(str(cell)) for cell in row] for row in rows]
        if self.console.is_terminal and least_width(header, cells, numbers, padding) > self.width:
            self._records(header, cells)
            return
        table = Table(box=None, pad_edge=False, padding=(0, padding, 0, 0), header_style="dim")
        for index, name in enumerate(header):
            right = index in numbers
            table.add_column(
                name, justify="right" if right else "left", no_wrap=right, overflow="fold"
            )
        for row in cells:
            table.add_row(*row)
        print_tidy(self.console, table)

    def _records(self, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        for first, *others in rows:
            self.say(first)
            for name, text in zip(header[1:], others, strict=True):
                self.say(f"  {name}: {text}" if name else f"  {text}")

    @property
    def width(self) -> int:
        """Columns of the terminal."""
        return self.console.width

    def facts(self, pairs: Iterable[tuple[str, object]]) -> None:
        """Prints names with values, one a line, the values in one column where they fit."""
        rows = [[name, str(value)] for name, value in pairs]
        if self.console.is_terminal and least_width(("", ""), rows, (0,), 3) > self.width:
            self._records(("", ""), rows)
            return
        grid = Table.grid(padding=(0, 3, 0, 0))
        grid.add_column(style="dim", no_wrap=True)
        grid.add_column(overflow="fold")
        for row in rows:
            grid.add_row(*row)
        print_tidy(self.console, grid)

    def progress(self, *columns: ProgressColumn | str, expand: bool = False) -> Progress:
        """A progress display that leaves no trace, and shows nothing where nobody looks."""
        console = self.console if self.console.is_terminal or self.console.quiet else self._errors
        return _Bars(
            *columns,
            console=console,
            transient=True,
            expand=expand,
            disable=not console.is_terminal or console.is_dumb_terminal or console.quiet,
        )

    @property
    def interactive(self) -> bool:
        """A person watches the output."""
        return self.console.is_terminal

    def __enter__(self) -> Self:
        try:
            self._check_json_file()
        except VitascopeError as error:
            self._error(str(error))
            raise typer.Exit(BAD_INPUT) from error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if isinstance(error, typer.Exit | typer.BadParameter | SystemExit):
            return
        code = self._code(error)
        try:
            self._write_json(code, error)
        except BrokenPipeError:
            code = BROKEN_PIPE
        except OSError as fault:
            self._error(f"{self.json_file}: cannot be written ({fault.strerror or fault}).")
            code = code or BAD_INPUT
        raise typer.Exit(code) from error

    def _code(self, error: BaseException | None) -> int:
        """Tells a person what happened and gives the exit code."""
        if error is None:
            return self.code or (CHECK_FAILED if self._failures else DONE)
        if isinstance(error, VerificationError):
            self._error(str(error))
            return CHECK_FAILED
        if isinstance(error, VitascopeError):
            self._error(str(error))
            return BAD_INPUT
        if isinstance(error, BrokenPipeError):
            return BROKEN_PIPE
        if isinstance(error, KeyboardInterrupt):
            if self.chief:
                with contextlib.suppress(OSError):
                    self._errors.print("\ninterrupted", style="yellow")
            return INTERRUPTED
        limit = system_limit(error)
        if limit is not None:
            self._error(limit)
            return BAD_INPUT
        if isinstance(error, OSError) and error.strerror:
            # Without a name it is what is being written: this output, or a file on a full disk.
            place = "cannot write" if error.filename is None else os.fsdecode(error.filename)
            self._error(f"{place}: {error.strerror}.")
            return BAD_INPUT
        self._error(report_crash(error, self.command))
        return CRASHED

    def _error(self, text: str) -> None:
        if not first_to_say(text):
            return
        text = text if len(text) <= LONGEST else f"{text[:LONGEST]} ..."
        message = Text.assemble(("error: ", "bold red"), shown_text(text))
        with contextlib.suppress(OSError):  # who cannot be told is not told
            if self.console.file is not self._errors.file:
                self.console.file.flush()
        with contextlib.suppress(OSError):
            self._errors.print(message, soft_wrap=not self._errors.is_terminal)

    def _check_json_file(self) -> None:
        """Refuses a place that cannot be written to before the work, not after it."""
        if self.json_file in (None, "-") or not self.chief:
            return
        path = Path(str(self.json_file))
        if path.is_dir():
            raise RunError(f"--json {path}: is a folder. Give the name of a file")
        if not path.absolute().parent.is_dir():
            raise RunError(f"--json {path}: there is no folder {path.parent}. Make it first")

    def _write_json(self, code: int, error: BaseException | None) -> None:
        if self.json_file is None or not self.chief:
            return
        document = {
            "command": self.command,
            "vitascope": __version__,
            "exit_code": code,
            **plain(self.data),
            "notes": self._notes,
            "failures": self._failures,
            "error": None
            if error is None
            else {"kind": type(error).__name__, "message": str(error)},
        }
        text = format_json(document, indent=1) + "\n"
        if self.json_file == "-":
            if "utf" not in (sys.stdout.encoding or "").lower():
                text = json.dumps(document, indent=1) + "\n"
            sys.stdout.write(text)
            sys.stdout.flush()
            return
        from vitascope.files import write_atomically

        sys.stdout.flush()  # the file may be /dev/stdout
        write_atomically(self.json_file, [text.encode()])


def first_to_say(text: str) -> bool:
    """Whether no other process that torchrun started beside this one says the same error.

    The first process says its own, so the others wait a moment for it.
    """
    place = os.environ.get("TORCHELASTIC_ERROR_FILE")
    if not place:
        return True
    digest = hashlib.sha256(text.encode(errors="replace")).hexdigest()[:16]
    marker = Path(place).parent.parent / f"said-{digest}"
    if int(os.environ.get("RANK") or 0):
        time.sleep(1.0)
    try:
        os.close(os.open(marker, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    except OSError:  # better twice than never
        return True
    return True


def report_crash(error: BaseException, command: str) -> str:
    """Saves the traceback of an error nobody foresaw; returns the message for the user."""
    text = "".join(traceback.format_exception(error))
    first = f"vitascope {__version__}, command {command}, Python {sys.version}\n"
    what = f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error) else ''}"
    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix="vitascope-error-", suffix=".log", delete=False, encoding="utf-8"
        ) as file:
            file.write(f"{first}{' '.join(sys.argv)}\n\n{text}")
    except OSError:  # a full disk is no reason to lose the message
        return f"unexpected {what}\nThis is a fault of vitascope; please report it."
    return (
        f"unexpected {what}\nThis is a fault of vitascope; please report it with the file "
        f"{file.name}, which holds the details."
    )
