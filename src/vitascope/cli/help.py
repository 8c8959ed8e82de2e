"""Help pages and usage errors of the command line: plain words, examples, suggestions."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Iterable, Sequence
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


SAID_AS = {
    "learning_rate": "optim.lr",
    "frames": "clip.num_frames",
    "size": "pixels.crop",
    "resolution": "pixels.crop",
    "device": "run.accelerator",
    "gpus": "run.devices",
    "optimizer": "optim.name",
    "scheduler": "optim.schedule",
}
"""What other programs call a setting."""


def settings_like(option: str) -> list[str]:
    """Paths of the settings that an option such as --epochs can mean."""
    from vitascope.engine.config import ModelConfig, Recipe
    from vitascope.spec import ClipSpec, PixelSpec

    name = option.lstrip("-").replace("-", "_").lower()
    if name in SAID_AS:
        return [SAID_AS[name]]
    recipe = Recipe(
        model=ModelConfig(name="any"),
        clip=ClipSpec(num_frames=1),
        pixels=PixelSpec(short_side=1, crop=(1, 1)),
    )
    paths = [field.path for field in recipe.fields()]
    last = {path: path.rpartition(".")[2] for path in paths}
    same = [path for path in paths if name in (path, path.replace(".", "_"), last[path])]
    if not same and len(name) > 2:
        same = [path for path in paths if last[path].startswith(name)]
    near = difflib.get_close_matches(name, set(last.values()), n=1, cutoff=0.75)
    return same or [path for path in paths if last[path] in near]


def _as_setting(error: Any, args: Sequence[str]) -> str:
    """What to write in place of an option that is a setting; empty where it is none."""
    command = getattr(getattr(error, "ctx", None), "command", None)
    option = getattr(error, "option_name", None)
    takes = any("PATH=VALUE" in str(p.metavar) for p in getattr(command, "params", ()))
    if not takes or option is None:
        return ""
    paths = settings_like(option)
    value = "VALUE"
    for word, following in zip(args, [*args[1:], "-"], strict=True):
        if word == option and not following.startswith("-"):
            value = following
        elif word.startswith(f"{option}="):
            value = word.partition("=")[2]
    if not paths:
        return ""
    return f"{option} is a setting: write {' or '.join(f'{path}={value}' for path in paths)}"


def explain_usage_error(error: Any, args: Sequence[str] = ()) -> str:
    """The message of a command line that cannot be read, with suggestions and what to do.

    Args:
        error: what is wrong.
        args: the words of the command line.
    """
    text: str = error.format_message().strip().rstrip(".")
    near = getattr(error, "possibilities", None)
    if setting := _as_setting(error, args):
        ctx = error.ctx
        return f"{setting}\nUsage: {usage(ctx, ctx.command)}\nHelp:  {ctx.command_path} --help"
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
