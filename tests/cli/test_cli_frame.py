"""The frame around every command: help, usage errors, exit codes, JSON, pipes, crashes."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest
import torch

import vitascope
from support.command_line import cli, refused
from vitascope.cli.app import COMMANDS, command_lines
from vitascope.cli.output import Output, length, plain
from vitascope.engine.charts import size

ANSI = re.compile(r"\x1b\[")


def spawn(*words: str, env: dict[str, str] | None = None, **more) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "vitascope", *words],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **(env or {})},
        timeout=600,
        **more,
    )


@pytest.mark.parametrize("command", command_lines())
def test_help_explains_a_command_with_an_example(command):
    done = cli(*command.split(), "--help")
    assert done.code == 0 and done.err == ""
    assert f"Usage: vitascope {command} [OPTIONS]" in done.out
    assert "--json FILE" in done.out
    if not isinstance(COMMANDS.get(command), dict):
        examples = done.out.partition("Examples\n")[2]
        assert f"  vitascope {command.split()[0]}" in examples
    assert max(map(len, done.out.splitlines())) <= 100
    assert not any(line.endswith(" ") for line in done.out.splitlines())


def test_without_arguments_all_commands_are_shown():
    done = cli()
    assert done.code == 0
    listed = re.findall(r"^  (\w+)  +[A-Z]", done.out, re.MULTILINE)
    assert listed == list(COMMANDS)


def test_version():
    assert cli("--version").out == f"vitascope {vitascope.__version__}\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["trian", "clips"], "No such command 'trian'. Did you mean 'train'?"),
        (["train", "clips", "--modle", "x"], "No such option: --modle. Did you mean --model?"),
        (["train"], "Missing argument 'DATA'."),
        (["predict", "run"], "Missing argument"),
        (["export", "run"], "Missing option '--to'."),
        (["predict", "run", "a.mp4", "--top", "five"], "Invalid value for '--top'"),
        (["models", "--json", "x.json", "list"], "give --json after the command 'list'"),
        (["check", "clips", "--json"], "--json"),
    ],
)
def test_a_wrong_command_line_is_explained(words, message):
    error = refused(*words)
    assert message in error
    if "requires an argument" not in error:
        assert "Help:  vitascope" in error and "Usage: vitascope" in error


def test_help_is_quick_and_loads_nothing_heavy():
    code = (
        "import sys, time; begin = time.process_time(); from vitascope.cli.app import run;"
        "run(['--help']); spent = time.process_time() - begin;"
        "heavy = {'torch', 'numpy', 'av', 'matplotlib'} & set(sys.modules);"
        "sys.exit(f'{spent:.2f} s, {heavy}' if spent > 0.5 or heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_pipe_gets_no_colors():
    done = spawn("train", "--help")
    assert done.returncode == 0 and not ANSI.search(done.stdout + done.stderr)
    assert "[PATH=VALUE]..." in done.stdout


@pytest.mark.parametrize("words", [["--help"], ["recipes", "--help"], ["--version"]])
def test_a_closed_pipe_is_no_error(words):
    read, write = os.pipe()
    os.close(read)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "vitascope", *words],
            stdout=write,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            timeout=600,
        )
    finally:
        os.close(write)
    assert (done.returncode, done.stderr) == (141, "")


def test_a_terminal_without_unicode_is_no_error():
    done = spawn(
        "models", "--json", "/nowhere/ö/x", env={"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    )
    assert done.returncode == 2
    assert done.stderr.endswith("/x: there is no folder /nowhere/?. Make it first\n")


# --- Output --------------------------------------------------------------------------------------


def use(error: BaseException | None, json_file: str | None = None, fail: str = "") -> None:
    """Runs a command that raises `error`, through the real frame."""
    from vitascope.cli import app

    def command() -> None:
        with Output("probe", json_file) as out:
            out.data["seen"] = 1
            if fail:
                out.fail(fail)
            if error is not None:
                raise error

    app.app.command("probe")(command)
    try:
        return cli("probe")
    finally:
        app.app.registered_commands.pop()


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (None, 0, ""),
        (vitascope.errors.ConfigError("x = 1; too small"), 2, "error: x = 1; too small\n"),
        (vitascope.errors.VerificationError("differs"), 1, "error: differs\n"),
        (PermissionError(13, "Permission denied", "/x"), 2, "error: /x: Permission denied.\n"),
        (BrokenPipeError(), 141, ""),
        (KeyboardInterrupt(), 130, "\ninterrupted\n"),
        (MemoryError(), 2, "error: out of memory"),
    ],
)
def test_every_end_has_its_code_and_its_message(error, code, message, tmp_path):
    file = tmp_path / "x.json"
    done = use(error, str(file))
    assert done.code == code
    assert done.err.startswith(message) and bool(done.err) == bool(message)
    found = json.loads(file.read_text())
    assert (found["exit_code"], found["seen"]) == (code, 1)
    assert found["error"] == (
        None if error is None else {"kind": type(error).__name__, "message": str(error)}
    )


def test_a_failed_check_ends_with_1(tmp_path):
    done = use(None, str(tmp_path / "x.json"), fail="3 of 4 differ.")
    assert (done.code, done.err) == (1, "failed: 3 of 4 differ.\n")
    assert json.loads((tmp_path / "x.json").read_text())["failures"] == ["3 of 4 differ."]


def test_a_crash_is_a_sentence_and_its_traceback_goes_into_a_file():
    done = use(ZeroDivisionError("division by zero"))
    assert done.code == 3
    assert "unexpected ZeroDivisionError: division by zero" in done.err
    assert "Traceback" not in done.err
    with open(re.search(r"\S+vitascope-error-\S+\.log", done.err).group()) as log:
        text = log.read()
    os.unlink(log.name)
    assert "Traceback" in text and "ZeroDivisionError" in text and "command probe" in text


def test_a_json_file_that_cannot_be_written_is_refused_before_the_work(tmp_path):
    missing = tmp_path / "missing" / "x.json"
    assert f"there is no folder {missing.parent}" in refused("models", "list", "--json", missing)
    assert "is a folder" in refused("models", "list", "--json", tmp_path)


def test_json_on_standard_output_leaves_the_text_to_standard_error():
    done = cli("models", "list", "--json", "-")
    assert [m["name"] for m in json.loads(done.out)["models"]]
    assert "M params" in done.err


def test_plain_keeps_values_and_has_null_for_what_json_lacks():
    value = {
        "a": Fraction(1, 4),
        "b": float("nan"),
        "c": torch.tensor([1, 2]),
        "d": np.float32(0.5),
        "e": (True, None, "x"),
    }
    assert plain(value) == {"a": 0.25, "b": None, "c": [1, 2], "d": 0.5, "e": [True, None, "x"]}
    with pytest.raises(TypeError, match="object has no form"):
        plain(object())


def test_numbers_for_reading():
    assert [size(n) for n in (0, 999, 1234, 12_100_000)] == ["0 B", "999 B", "1.23 kB", "12.1 MB"]
    assert [length(s) for s in (7.24, 65, 3725)] == ["7.2 s", "1 min 05 s", "1 h 02 min"]
