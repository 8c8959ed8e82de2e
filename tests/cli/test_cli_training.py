"""What people see of a training: bad videos after each epoch, and how many were validated."""

from __future__ import annotations

import pytest

from vitascope.cli.output import Output
from vitascope.cli.training import TrainingDisplay
from vitascope.engine.log import Event


def event(kind: str, step: int, **values: object) -> Event:
    return Event(kind=kind, step=step, steps=20, epoch=step / 10, values=values)


def scored(step: int, evaluated: int) -> Event:
    return event("eval", step, top1=0.5, loss=1.0, best=True, n_evaluated=evaluated, n_expected=9)


def test_bad_videos_of_an_epoch_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    with TrainingDisplay(Output("train")) as display:
        videos = [{"path": f"{n}.mp4", "error": f"{n}.mp4: cannot be read"} for n in range(5)]
        facts = {"policy": "skip", "clips_expected": 40}
        display(event("faults", 10, clips=6, videos=videos, **facts))
        display(event("faults", 20, clips=0, videos=[], **facts))
        facts["policy"] = "substitute-black"
        display(event("faults", 20, clips=1, videos=videos[:1], **facts))
    assert capsys.readouterr().out.splitlines() == [
        "note: epoch 1: 6 of 40 clips left out, of 5 videos: 0.mp4: cannot be read; 1.mp4: cannot "
        "be read; 2.mp4: cannot be read; and 2 more. log.jsonl names them all",
        "note: epoch 2: 1 of 40 clips replaced by black frames, of 1 video: 0.mp4: cannot be "
        "read. log.jsonl names them all",
    ]


def test_how_many_were_validated_is_always_said(capsys: pytest.CaptureFixture[str]) -> None:
    with TrainingDisplay(Output("train")) as display:
        for step, evaluated in ((5, 9), (10, 9), (15, 8), (20, 8)):
            display(scored(step, evaluated))
    lines = [line for line in capsys.readouterr().out.splitlines() if "validation" in line]
    assert lines == [
        "9 of 9 validation videos evaluated", "note: 8 of 9 validation videos evaluated",
    ]  # fmt: skip
