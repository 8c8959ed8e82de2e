"""Output as Unix programs have it: closed, full and narrow streams, and names that give orders."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from support.command_line import TINY, cli
from vitascope.cli.output import BAD_INPUT, BROKEN_PIPE

VITASCOPE = f"{sys.executable} -m vitascope"
LONG = "models list"


def shell(line: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", line], capture_output=True, text=True, timeout=300, check=False,
        env={**os.environ, **env}, errors="surrogateescape",
    )  # fmt: skip


@pytest.mark.parametrize("command", [LONG, "--help", "data list"])
def test_a_reader_that_leaves(command: str) -> None:
    done = shell(f"{VITASCOPE} {command} | head -1; exit ${{PIPESTATUS[0]}}")
    # A short output fits into the pipe before the reader leaves.
    assert done.returncode in (0, BROKEN_PIPE) and done.stderr == ""
    assert done.stdout.count("\n") == 1


@pytest.mark.slow
@pytest.mark.parametrize("command", [LONG, "--help"])
@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_closed_streams(command: str, closed: str) -> None:
    done = shell(f"{VITASCOPE} {command} {closed}")
    assert done.returncode == 0 and done.stderr == ""


@pytest.mark.slow
@pytest.mark.parametrize("closed", ["2>&-", ">&- 2>&-"])
def test_errors_that_nobody_hears(closed: str) -> None:
    done = shell(f"{VITASCOPE} check /nowhere {closed}")
    assert (done.returncode, done.stderr) == (BAD_INPUT, "")


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
@pytest.mark.parametrize("command", [LONG, "--help", "--version", "data info kinetics400",
                                     f"{LONG} --json -"])  # fmt: skip
def test_a_full_disk_behind_the_output(command: str) -> None:
    done = shell(f"{VITASCOPE} {command} > /dev/full")
    assert done.returncode == BAD_INPUT
    # With --json - people read on standard error.
    assert done.stderr.count("\n") == 1 or "--json" in command
    assert "No space left on device" in done.stderr.splitlines()[-1]
    assert "fault of vitascope" not in done.stderr and "Traceback" not in done.stderr
    quiet = shell(f"{VITASCOPE} {command} > /dev/full 2> /dev/full")
    assert (quiet.returncode, quiet.stderr) == (BAD_INPUT, "")


@pytest.mark.parametrize("columns", ["0", "1", "-5", "²", "", "x", "9" * 30, "100000000"])
@pytest.mark.parametrize("command", [["models", "list"], ["--help"], ["data", "info", "ucf101"]])
def test_terminals_of_no_width(
    columns: str, command: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = "".join(cli(*command).out.split())
    for name in ("COLUMNS", "LINES"):
        monkeypatch.setenv(name, columns)
        done = cli(*command)
        assert done.code == 0 and done.err == ""
        assert len("".join(done.out.split())) >= 0.9 * len(plain)
        assert max(map(len, done.out.splitlines())) <= 1000
        monkeypatch.delenv(name)


# --- names ---------------------------------------------------------------------------------------

NAMES = ["a\x1b[2J\x07b", "tab\tline\nend ", "# \u202etxt", "<b>&'\"", "caf\udce9"]


@pytest.fixture(scope="module")
def odd(films: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The videos of the two classes under names of every kind."""
    root = tmp_path_factory.mktemp("odd") / "data\x1b[31m"
    sources = sorted(films.rglob("*.mp4"))
    for number, name in enumerate(NAMES):
        for count in range(6):
            place = root / name / f"v{count} {name}.mp4"
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(sources[(number + count) % len(sources)], place)
    return root


def clean(text: str) -> None:
    assert not set(text) & set(map(chr, [*range(9), *range(11, 32), *range(127, 160), 0x202E]))


@pytest.mark.slow
def test_training_test_stage_json_and_terminal_agree(odd: Path, tmp_path: Path) -> None:
    run, file = tmp_path / "run\x1b[31m ", tmp_path / "train.json"
    done = cli("train", odd, "--out", run, "--json", file, *TINY, "data.fractions=0.5,0.25,0.25")
    assert done.code == 0, done.err
    clean(done.out + done.err)
    assert r"a\x1b[2J\x07b" in done.out and r"caf\xe9" in done.out
    document = json.loads(file.read_bytes())
    assert set(document["test"]["classes"]) == set(NAMES)
    clean((run / "split.csv").read_text())
    page = (run / "report.html").read_text()
    clean(page)
    assert "&lt;b&gt;&amp;" in page and "<b>&'" not in page

    again = tmp_path / "eval.json"
    done = cli("eval", run, "--json", again)
    assert done.code == 0, done.err
    clean(done.out)
    scores = json.loads(again.read_bytes())
    assert scores["top1"] == document["test"]["top1"]
    assert scores["confusion"] == document["test"]["confusion"]
    with open(run / "scores.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    names = [name.replace("\udce9", r"\udce9") for name in scores["classes"]]
    assert {row["label"] for row in rows} == set(names)

    done = cli("train", odd, "--out", run, *TINY, "data.fractions=0.5,0.25,0.25", "--resume")
    assert done.code in (0, 2) and "has changed" not in done.err
    clean(done.out + done.err)

    film = next((odd / NAMES[0]).iterdir())
    done = cli("predict", run, film, "--json", "-")
    assert done.code == 0
    clean(done.out + done.err)
    assert json.loads(done.out)["files"][0]["path"] == str(film)


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_messages_are_clean(name: str, tmp_path: Path) -> None:
    for words in (
        ("train", tmp_path / name), ("predict", tmp_path / name, "a.mp4"), ("check", name),
        ("eval", name), ("data", "info", name), ("models", "show", name), (name,),
        ("train", tmp_path, f"{name}=1"), ("train", tmp_path, f"optim.lr={name}"),
        ("check", tmp_path, "--json", f"/nowhere/{name}"),
    ):  # fmt: skip
        done = cli(*words)
        assert done.code == BAD_INPUT, done
        clean(done.err + done.out)


def test_long_input_is_not_printed() -> None:
    done = cli("predict", "run", "x" * 100_000)
    assert done.code == BAD_INPUT and len(done.err) < 10_000
