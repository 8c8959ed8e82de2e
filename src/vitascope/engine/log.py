"""What a run tells while it goes on: events for a listener, rows in log.jsonl, curves.html."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from vitascope.engine.charts import learning_charts, line_charts
from vitascope.engine.charts import page as html_page
from vitascope.engine.checkpoint import writing
from vitascope.files import replacing
from vitascope.text import shown_text

if TYPE_CHECKING:
    from lightning_fabric import Fabric

    from vitascope.engine.setup import Setup
    from vitascope.engine.state import State

CURVES_EVERY = 30.0  # seconds

Kind = Literal[
    "start",
    "resume",
    "step",
    "estimate",
    "log",
    "eval",
    "faults",
    "save",
    "note",
    "interrupt",
    "done",
]
_ROWS = ("log", "eval", "faults")


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something that happened in a run.

    Attributes:
        kind: "start" and "resume" (values: facts of the run), "step" (each update; loss only
            when it was read), "estimate" (seconds that are left, after the first steps, and again
            after the first evaluation where that changes it), "log" (loss, lr, clips_per_second,
            data_wait), "eval" (scores),
            "faults" (after each epoch, where bad videos are no error: policy, clips that could
            not be read, clips_expected, path and error of the videos), "save" (path), "note"
            (text), "interrupt" (text: how to go on), "done" (best scores).
        step: updates done.
        steps: updates in the whole run.
        epoch: epochs done, with the fraction of the current one.
        values: what the kind promises.
    """

    kind: Kind
    step: int
    steps: int
    epoch: float
    values: Mapping[str, Any] = field(default_factory=dict)


Listener = Callable[[Event], None]


def ignore(event: Event) -> None:
    """A listener that does nothing."""


class RunLog:
    """Rows of JSON, one a line, written at once so that a killed run keeps them.

    Args:
        path: the file; made when absent.
        after: rows beyond this step are dropped first: a resumed run writes them again.
        evaluated: the same for rows of evaluations.
        reported: the same for rows of faults.
    """

    def __init__(
        self,
        path: Path,
        after: int = 0,
        evaluated: int | None = None,
        reported: int | None = None,
    ) -> None:
        self.path = path
        last = {
            "log": after,
            "eval": after if evaluated is None else evaluated,
            "faults": after if reported is None else reported,
        }
        rows = [row for row in read_log(path) if row["step"] <= last[row["kind"]]]
        with writing(path), replacing(path) as draft:
            draft.write_text("".join(f"{json.dumps(r)}\n" for r in rows), encoding="utf-8")

    def write(self, event: Event) -> None:
        """Appends an event of kind "log", "eval" or "faults" as one row.

        Raises:
            RunError: the disk is full.
        """
        row = {"kind": event.kind, "step": event.step, "epoch": round(event.epoch, 6)}
        text = json.dumps(row | dict(event.values)) + "\n"
        with writing(self.path), self.path.open("a", encoding="utf-8") as stream:
            stream.write(text)


def read_log(path: Path) -> list[dict[str, Any]]:
    """Rows of a log.jsonl; a last line cut by a crash is left out, a missing file has none."""
    if not path.is_file():
        return []
    rows: list[dict[str, Any]] = []
    lines = path.read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines):
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            if number != len(lines) - 1:
                raise
    return rows


class Meter:
    """Mean loss, speed and share of waiting since the last reading.

    Args:
        fabric: the processes whose clips and losses count together.
    """

    def __init__(self, fabric: Fabric) -> None:
        self._fabric = fabric
        self._restart()

    def _restart(self) -> None:
        self._losses: list[Tensor] = []
        self._clips = 0
        self._waited = 0.0
        self._begin = time.perf_counter()

    def timed(self, batches: Iterator[Any]) -> Iterator[Any]:
        """Passes batches through and counts the time that each had to be waited for."""
        while True:
            begin = time.perf_counter()
            batch = next(batches, None)
            self._waited += time.perf_counter() - begin
            if batch is None:
                return
            yield batch

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Leaves out the time of what is done inside."""
        begin = time.perf_counter()
        yield
        self._begin += time.perf_counter() - begin

    def add(self, loss: Tensor, clips: int) -> None:
        """Takes in one update; the loss stays on its device, so nothing waits for it."""
        self._losses.append(loss.detach())
        self._clips += clips

    def read(self) -> dict[str, float]:
        """Mean loss, clips a second and share of waiting since the last call, then restarts."""
        seconds = max(time.perf_counter() - self._begin, 1e-9)
        loss: Any = torch.stack(self._losses).mean() if self._losses else torch.tensor(0.0)
        if self._fabric.world_size > 1:
            loss = self._fabric.all_reduce(loss, reduce_op="mean")
        values = {
            "loss": float(loss),
            "clips_per_second": round(self._clips * self._fabric.world_size / seconds, 3),
            "data_wait": round(min(self._waited / seconds, 1.0), 4),
        }
        self._restart()
        return values


class Reporter:
    """Hands events to the listener and the log; in the first process only.

    Args:
        setup: the run.
        state: where it is; read anew for each event.
        listener: called with every event.
    """

    def __init__(self, setup: Setup, state: State, listener: Listener) -> None:
        self.setup, self.state, self.listener = setup, state, listener
        self.chief = setup.fabric.is_global_zero
        self._drawn = time.monotonic()
        self._warned = False
        if self.chief:
            path = setup.folder / "log.jsonl"
            self.log = RunLog(path, state.step, state.evaluated, state.reported)

    def __call__(self, kind: Kind, **values: Any) -> None:
        """Tells that something happened."""
        if not self.chief:
            return
        state = self.state
        if kind == "log" and not self._warned:
            faults = state.faults.joined(self.setup.data.train.fault_report())
            if faults.clips:  # an epoch may be long: people hear of the first ones at once
                self._warned = True
                self("note", text=f"{faults}. The end of each epoch will say how many it had")
        epoch = state.step / self.setup.steps_per_epoch
        event = Event(kind=kind, step=state.step, steps=state.steps, epoch=epoch, values=values)
        if kind in _ROWS:
            self.log.write(event)
        if kind in ("eval", "save") and time.monotonic() - self._drawn > CURVES_EVERY:
            self.curves(live=True)
        self.listener(event)

    def estimate(self, seconds: float | None) -> None:
        """Tells how long the run will go on; nothing at None."""
        if seconds is not None and self.state.step < self.state.steps:
            self("estimate", seconds=round(seconds, 1))

    def curves(self, *, live: bool = False) -> None:
        """Draws the curves so far; an open page follows a `live` run."""
        if self.chief:
            draw_curves(self.log.path, self.setup.folder / "curves.html", live=live)
            self._drawn = time.monotonic()


def draw_curves(log: Path, page: Path, *, live: bool = False) -> None:
    """Draws loss, scores, learning rate and speed of a log.jsonl into a page of HTML.

    Args:
        log: the log.
        page: the file to write.
        live: the browser reads the page again once in a while.

    Raises:
        RunError: the disk is full.
    """
    charts = line_charts(learning_charts(read_log(log)))
    body = f"<header><h1>{escape(log.parent.name)}</h1></header>{charts}"
    again = round(CURVES_EVERY) if live else None
    with writing(page), replacing(page) as draft:
        text = html_page(log.parent.name, body, refresh=again)
        draft.write_text(shown_text(text), encoding="utf-8")
