"""Narrow terminals: lines that go on stay indented, and no word or number is broken."""

from __future__ import annotations

import io

import pytest
import torch

from vitascope.cli.evaluate import show_result
from vitascope.cli.output import PIPED_WIDTH, Output, PlainConsole, least_width
from vitascope.engine.scoring import EvalResult

LONG = ("Eating_With_Chopsticks_In_A_Restaurant", "going_out_without_saying_goodbye", "hi")


@pytest.fixture(params=[40, 60, 80, 120])
def screen(request, monkeypatch) -> Output:
    """An output on a terminal of some width."""
    out = Output("eval")
    out.console = PlainConsole(
        file=io.StringIO(), width=request.param, force_terminal=True, color_system=None,
        markup=False, highlight=False,
    )  # fmt: skip
    return out


def printed(out: Output) -> list[str]:
    assert isinstance(out.console.file, io.StringIO)
    lines = out.console.file.getvalue().splitlines()
    assert all(len(line.rstrip()) <= out.width for line in lines)
    return lines


def test_lines_that_go_on_stand_below_the_first(screen) -> None:
    screen.say("    " + "words that go on and on " * 10)
    lines = [line for line in printed(screen) if line.strip()]
    assert len(lines) > 1 and all(line.startswith("    w") or line[4] != " " for line in lines)
    assert all(line.startswith("    ") for line in lines)
    assert " ".join(" ".join(lines).split()) == ("words that go on and on " * 10).strip()


@pytest.mark.parametrize("count", [3, 20, 30])
def test_scores_with_long_names_break_no_word(screen, count: int) -> None:
    classes = tuple(f"{LONG[i % 3]}_{i}" for i in range(count))
    labels = torch.arange(count).repeat_interleave(3)
    scores = torch.rand(len(labels), count, generator=torch.Generator().manual_seed(0))
    show_result(
        screen,
        EvalResult(
            classes=classes, videos=tuple(f"{i}.mp4" for i in range(len(labels))), labels=labels,
            scores=scores.softmax(1), n_expected=len(labels), split="test",
        ),
    )  # fmt: skip
    lines = printed(screen)
    whole = [word.strip("():,") for word in " ".join(lines).split()]
    parts = {n for n in whole if any(c in ("_", "-") for c in n) or n in LONG}
    if screen.width >= 60:
        assert parts <= {*classes, "top-1", "top-5"}


def test_a_table_that_does_not_fit_is_shown_row_by_row(screen) -> None:
    rows = [(f"{'a' * 30}.mp4", 12345, f"{'b' * 30} is wrong")]
    header = ("file", "frames", "fault")
    needed = least_width(header, [[str(c) for c in r] for r in rows], (1,), 3)
    assert needed == 30 + 4 + 6 + 30 + 2 * 3
    screen.table(header, rows, numbers=(1,))
    lines = [line.rstrip() for line in printed(screen)]
    if screen.width < needed:
        assert lines[:2] == [f"{'a' * 30}.mp4", "  frames: 12345"]
        assert " ".join(" ".join(lines[2:]).split()) == f"fault: {'b' * 30} is wrong"
    else:
        assert lines[0].split() == ["file", "frames", "fault"]


def test_where_nobody_looks_a_table_stays_a_table(capsys) -> None:
    out = Output("eval")
    out.table(("name", "n"), [("x" * 500, 1)], numbers=(1,))
    assert "name" in capsys.readouterr().out.splitlines()[0]
    assert PIPED_WIDTH < 500
