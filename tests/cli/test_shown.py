"""What people see of a training, from the command and from Python, alone and with torchrun."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import pytest

import vitascope
from support.command_line import TINY, cli, refused
from vitascope.cli import shown
from vitascope.cli.help import settings_like

NUMBERS = re.compile(r"\d+(\.\d+)?")


def words(text: str) -> str:
    """What was printed, without figures that differ from run to run."""
    return " ".join(NUMBERS.sub("#", text).split())


def test_python_shows_what_the_command_shows(films, tmp_path, capsys) -> None:
    done = cli("train", films, "--out", tmp_path / "a", "--init", "none", *TINY)
    assert done.code == 0, done
    trained = vitascope.train(films, out=tmp_path / "b", init="none", overrides=TINY)
    printed = capsys.readouterr().out
    assert trained.test is not None and trained.test.n_evaluated == 4
    here, there = words(printed), words(done.out.replace(str(tmp_path / "a"), str(tmp_path / "b")))
    assert "Data" in here and "val loss" in here and "Confusion matrix" in here
    assert here == there
    assert {p.name for p in (tmp_path / "b").iterdir()} == {
        p.name for p in (tmp_path / "a").iterdir()
    }


def test_show_false_is_silent(films, tmp_path, capfd) -> None:
    kinds = []
    trained = vitascope.train(
        films, out=tmp_path / "run", init="none", overrides=TINY, show=False,
        on_event=lambda event: kinds.append(event.kind),
    )  # fmt: skip
    printed = capfd.readouterr()
    assert printed.out == printed.err == ""
    assert kinds[0] == "start" and kinds[-1] == "done"
    assert (tmp_path / "run" / "report.html").is_file() and trained.test is not None


@pytest.mark.parametrize(
    ("command", "again"),
    [
        ("vitascope train clips --out run", "vitascope train clips --out run --resume"),
        ("vitascope.train('a', out='b')", "vitascope.train('a', out='b', resume=True)"),
    ],
)
def test_how_to_go_on(command: str, again: str) -> None:
    assert shown.resuming(command) == again


def test_the_thread_setting_is_made_where_the_package_is_imported() -> None:
    """Python programs are as fast as the command, which sets it for itself."""
    code = (
        "import os, sys; {first}import vitascope; "
        "print(os.environ.get('GOMP_SPINCOUNT'), 'torch' in sys.modules, vitascope.THREADS_SET)"
    )
    plain = {k: v for k, v in os.environ.items() if k != "GOMP_SPINCOUNT"}

    def said(first: str = "", **env: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", code.format(first=first)], env=plain | env,
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        return done.stdout.strip()

    assert said() == "5000 False True"
    assert said(GOMP_SPINCOUNT="7") == "7 False True"
    assert said("import torch; ") == "None True False"


@pytest.mark.slow
def test_torchrun_prints_once(films, tmp_path) -> None:
    run, file = tmp_path / "run", tmp_path / "run.json"
    done = torchrun("train", films, "--out", run, "--init", "none", "--json", file, *TINY)
    assert done.returncode == 0, done.stderr
    for line in ("Data", "Settings", "Training", "Confusion matrix (rows: true class"):
        assert done.stdout.count(f"\n{line}") + done.stdout.startswith(line) == 1, line
    assert len(re.findall(r"^ +1 +\d", done.stdout, re.MULTILINE)) == 2  # the epoch, and a class
    assert json.loads(file.read_text())["test"]["n_evaluated"] == 4


@pytest.mark.slow
def test_torchrun_says_an_error_once(tmp_path) -> None:
    done = torchrun("train", tmp_path / "nothing", "--out", tmp_path / "run", *TINY)
    assert done.returncode != 0
    assert done.stderr.count("error: ") == 1 and "Traceback" not in done.stderr.split("error: ")[0]
    assert not (tmp_path / "run").exists()


def torchrun(*arguments: object) -> subprocess.CompletedProcess[str]:
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    return subprocess.run(
        [*launcher, "-m", "vitascope", *map(str, arguments)],
        env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=240,
        check=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("option", "paths"),
    [
        ("--epochs", ["optim.epochs"]),
        ("--batch-size", ["optim.batch_size"]),
        ("--lr", ["optim.lr"]),
        ("--learning-rate", ["optim.lr"]),
        ("--seed", ["run.seed"]),
        ("--epoch", ["optim.epochs"]),
        ("--optim.lr", ["optim.lr"]),
        ("--nonsense", []),
    ],
)
def test_options_of_other_programs_are_settings(option: str, paths: list[str]) -> None:
    assert settings_like(option) == paths


@pytest.mark.parametrize(
    ("given", "written"),
    [
        (["--epochs", "3"], "optim.epochs=3"),
        (["--epochs=3"], "optim.epochs=3"),
        (["--lr", "1e-3"], "optim.lr=1e-3"),
        (["--epochs"], "optim.epochs=VALUE"),
    ],
)
def test_a_setting_given_as_an_option_is_written_right(given: list[str], written: str) -> None:
    option = given[0].partition("=")[0]
    error = refused("train", "clips", *given)
    assert error.startswith(f"error: {option} is a setting: write {written}\n")


def test_a_command_without_settings_does_not_speak_of_them() -> None:
    assert "is a setting" not in refused("eval", "run", "--epochs", "3")
