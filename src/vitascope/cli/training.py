"""What a training shows while it runs: a bar, and a row for each epoch that stays."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from rich.progress import (
    BarColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from vitascope.cli.output import Output, length
from vitascope.data.check.describe import counted
from vitascope.engine.charts import duration, percent

if TYPE_CHECKING:
    from vitascope.engine.log import Event

SHOWN = 3  # bad videos of an epoch that are named; all are in the log
SOON = 30.0  # seconds; a run that ends sooner need not say when
ROW = "{epoch:>7}  {loss:>10}  {val_loss:>10}  {top1:>8}  {speed:>8}  {wait:>5}  {time:>9}  {mark}"


class TrainingDisplay:
    """Listens to a run and prints what happens; use it around the training as a context.

    Args:
        out: where to print.

    Attributes:
        notes: what the run wanted people to know.
    """

    def __init__(self, out: Output) -> None:
        self.out = out
        self.notes: list[str] = []
        self._begin = time.monotonic()
        self._losses: list[float] = []
        self._speed = self._wait = float("nan")
        self._validated = True
        self._scored: tuple[int, int] | None = None
        self._wide = out.console.width >= 100
        steps = (TextColumn("{task.completed}/{task.total}"),) if self._wide else ()
        self._bar: Progress = out.progress(
            TextColumn("epoch {task.fields[epoch]:.1f}"),
            BarColumn(bar_width=None),
            *steps,
            TextColumn("{task.fields[said]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            expand=True,
        )
        self._task: TaskID | None = None

    def __enter__(self) -> TrainingDisplay:
        return (
            self  # the bar comes with the first event: others are shown while weights are fetched
        )

    def __exit__(self, *error: object) -> None:
        self._bar.stop()

    def __call__(self, event: Event) -> None:
        """Takes in an event of the run."""
        handler = getattr(self, f"_on_{event.kind}", None)
        if handler is not None:
            handler(event, event.values)

    def _on_start(self, event: Event, values: Any) -> None:
        counts = ", ".join(f"{n} {split}" for split, n in values["videos"].items())
        self.out.say(
            f"{values['parameters'] / 1e6:.2f} M parameters, videos: {counts}, "
            f"{counted(values['steps_per_epoch'], 'step')} an epoch on {values['device']}, "
            f"{counted(values['threads'], 'thread')}"
        )
        self._validated = bool(values["videos"].get("val"))
        if event.kind == "resume":
            self.out.say(f"Going on at step {event.step} of {event.steps}")
        self.out.say()
        self.out.say(
            ROW.format(
                epoch="epoch",
                loss="loss",
                val_loss="val loss",
                top1="val top-1",
                speed="clips/s",
                wait="wait",
                time="time",
                mark="",
            ).rstrip(),
            style="dim",
        )
        self._begin = time.monotonic()
        self._bar.start()
        self._task = self._bar.add_task(
            "", total=event.steps, completed=event.step, epoch=event.epoch, said=""
        )

    _on_resume = _on_start

    def _on_step(self, event: Event, values: Any) -> None:
        if self._task is not None:
            self._bar.update(self._task, completed=event.step, epoch=event.epoch)
        if not self._validated and event.epoch == int(event.epoch):
            losses, self._losses = self._losses, []
            self._row(event, losses, val_loss="", top1="", mark="")

    def _on_log(self, event: Event, values: Any) -> None:
        self._losses.append(values["loss"])
        self._speed, self._wait = values["clips_per_second"], values["data_wait"]
        if self._task is not None:
            wait = f"{100 * self._wait:.0f} %" + (" for data" if self._wide else "")
            said = f"loss {values['loss']:.3f}, {self._speed:.1f} clips/s, wait {wait}"
            self._bar.update(self._task, said=said)

    def _on_estimate(self, event: Event, values: Any) -> None:
        if values["seconds"] >= SOON:
            self.out.say(
                f"{duration(values['seconds'])} left, by the first {event.step} of {event.steps} "
                "updates",
                style="dim",
            )

    def _on_eval(self, event: Event, values: Any) -> None:
        losses, self._losses = self._losses, []
        self._row(
            event,
            losses,
            val_loss=f"{values['loss']:.3f}",
            top1=percent(values["top1"]),
            mark="best" if values["best"] else "",
        )
        scored = values["n_evaluated"], values["n_expected"]
        if scored != self._scored:  # always said, and again only when it changes
            self._scored = scored
            say = self.out.say if scored[0] == scored[1] else self._tell
            say(f"{scored[0]} of {scored[1]} validation videos evaluated")

    def _on_faults(self, event: Event, values: Any) -> None:
        if not values["clips"]:
            return
        done = "left out" if values["policy"] == "skip" else "replaced by black frames"
        videos = values["videos"]
        some = "; ".join(video["error"] for video in videos[:SHOWN])
        more = f"; and {len(videos) - SHOWN} more" if len(videos) > SHOWN else ""
        self._tell(
            f"epoch {event.epoch:g}: {values['clips']} of {values['clips_expected']} clips {done}, "
            f"of {len(videos)} video{'s' * (len(videos) != 1)}: {some}{more}. log.jsonl names "
            "them all"
        )

    def _row(self, event: Event, losses: list[float], **values: str) -> None:
        seconds = time.monotonic() - self._begin
        text = ROW.format(
            epoch=f"{event.epoch:g}",
            loss=f"{sum(losses) / len(losses):.3f}" if losses else "",
            speed=f"{self._speed:.1f}" if self._speed == self._speed else "",
            wait=f"{100 * self._wait:.0f} %" if self._wait == self._wait else "",
            time=length(seconds),
            **values,
        )
        # Through the bar's console, which prints above the bar.
        self.out.say(text.rstrip())

    def _on_note(self, event: Event, values: Any) -> None:
        self._tell(values["text"])

    def _tell(self, text: str) -> None:
        self.notes.append(text)
        self.out.note(text)
