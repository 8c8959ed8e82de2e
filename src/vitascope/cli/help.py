"""Help pages and usage errors of the command line: plain words, examples, suggestions."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from typer.core import TyperCommand, TyperGroup

from vitascope.cli.output import make_console, print_tidy

WIDEST = 100
"""Columns of a help page at most; longer lines are hard to read."""


class HelpCommand(TyperCommand):
    """A command whose help is laid out by `print_help`."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Prints the page."""
        print_help(ctx, self)


class HelpGroup(TyperGroup):
    """A group of commands whose help is laid out by `print_help`, in the order of its table."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Prints the page."""
        print_help(ctx, self)

    def list_commands(self, ctx: Any) -> list[str]:
        """Names in the order in which a newcomer meets them."""
        return list(self.commands)


def print_help(ctx: Any, command: Any) -> None:
    """Prints usage, text, commands, arguments and options of a command."""
    console = make_console()
    if not console.is_terminal or console.width > WIDEST:
        console.width = min(console.width, WIDEST)
    console.print(f"Usage: {usage(ctx, command)}\n", soft_wrap=True)
    _print_text(console, command.help or "")
    commands = getattr(command, "commands", {})
    _print_rows(
        console,
        "Commands",
        ((name, first_line(c.help)) for name, c in commands.items() if not c.hidden),
    )
    params = command.get_params(ctx)
    arguments = [p for p in params if p.param_type_name == "argument"]
    options = [p for p in params if p.param_type_name == "option"]
    _print_rows(console, "Arguments", ((p.metavar or p.name.upper(), p.help) for p in arguments))
    _print_rows(console, "Options", (_option(p) for p in options if not p.hidden))


def usage(ctx: Any, command: Any) -> str:
    """The line that shows how a command is called."""
    params = command.get_params(ctx)
    words = [ctx.command_path, "[OPTIONS]"]
    if hasattr(command, "commands"):
        words.append("COMMAND ...")
    words += [p.metavar or p.name.upper() for p in params if p.param_type_name == "argument"]
    return " ".join(words)


def first_line(text: str | None) -> str:
    """The first line of a help text, without its full stop."""
    return (text or "").strip().partition("\n")[0].rstrip(".")


def _print_text(console: Console, text: str) -> None:
    """Paragraphs; indented lines (examples) stay as they are."""
    for paragraph in inspect.cleandoc(text).split("\n\n"):
        lines = paragraph.splitlines()
        if any(line.startswith(" ") for line in lines):
            for line in lines:
                heading = not line.startswith(" ")
                style = "bold" if heading else None
                console.print(line.rstrip(":") if heading else line, style=style, soft_wrap=True)
        else:
            print_tidy(console, " ".join(lines))
        console.print()


def _print_rows(console: Console, title: str, rows: Iterable[tuple[str, str]]) -> None:
    rows = list(rows)
    if not rows:
        return
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(style="cyan", overflow="fold", no_wrap=console.width >= 60)
    grid.add_column(overflow="fold", ratio=1)
    for row in rows:
        grid.add_row(*row)
    console.print(title, style="bold")
    print_tidy(console, Padding(grid, (0, 0, 1, 2)))


def _option(param: Any) -> tuple[str, str]:
    names = ", ".join(sorted(param.opts, key=len, reverse=True))
    value = "" if param.is_flag or param.metavar is None else f" {param.metavar}"
    text = param.help or ""
    default = param.default
    if default not in (None, False, "", ()) and not callable(default) and not param.is_flag:
        text += f" Default: {default}."
    return f"{names}{value}", text


def explain_usage_error(error: Any) -> str:
    """The message of a command line that cannot be read, with suggestions and what to do."""
    text: str = error.format_message().strip().rstrip(".")
    near = getattr(error, "possibilities", None)
    if hasattr(error, "option_name") and hasattr(error, "possibilities"):
        text = f"No such option: {error.option_name}"
    if near:
        text += f". Did you mean {' or '.join(sorted(near))}"
    text += "?" if near else "" if text.endswith("?") else "."
    ctx = getattr(error, "ctx", None)
    if ctx is None:
        return text
    line = usage(ctx, ctx.command)
    return f"{text}\nUsage: {line}\nHelp:  {ctx.command_path} --help"
