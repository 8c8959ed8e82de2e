from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
import torch
from lightning_fabric import Fabric

from vitascope.engine.log import Event, Meter, RunLog, draw_curves, read_log
from vitascope.errors import RunError


def event(kind: str, step: int, **values) -> Event:
    return Event(kind=kind, step=step, steps=10, epoch=step / 4, values=values)


def test_rows_are_json_and_survive_a_cut_last_line(tmp_path: Path) -> None:
    log = RunLog(tmp_path / "log.jsonl")
    log.write(event("log", 1, loss=2.5, lr=0.1))
    log.write(event("eval", 2, top1=0.5))
    rows = read_log(log.path)
    assert rows == [
        {"kind": "log", "step": 1, "epoch": 0.25, "loss": 2.5, "lr": 0.1},
        {"kind": "eval", "step": 2, "epoch": 0.5, "top1": 0.5},
    ]
    with log.path.open("a") as stream:
        stream.write('{"kind": "log", "st')
    assert read_log(log.path) == rows
    log.path.write_text('{"kind"\n' + json.dumps(rows[0]) + "\n")
    with pytest.raises(json.JSONDecodeError):
        read_log(log.path)


def test_a_resumed_log_drops_what_will_be_written_again(tmp_path: Path) -> None:
    log = RunLog(tmp_path / "log.jsonl")
    for step in range(1, 7):
        log.write(event("log", step))
    again = RunLog(tmp_path / "log.jsonl", after=4)
    again.write(event("log", 5))
    assert [row["step"] for row in read_log(again.path)] == [1, 2, 3, 4, 5]
    again.write(event("eval", 4))
    held = RunLog(tmp_path / "log.jsonl", after=4, evaluated=3)  # stopped before it evaluated
    assert [row["step"] for row in read_log(held.path)] == [1, 2, 3, 4]
    again.write(event("faults", 4))
    held = RunLog(tmp_path / "log.jsonl", after=4, evaluated=4, reported=3)  # before it reported
    assert [row["kind"] for row in read_log(held.path)] == ["log"] * 4
    assert RunLog(tmp_path / "log.jsonl").path.read_text() == ""


def test_meter_tells_loss_speed_and_waiting() -> None:
    def slow():
        for i in range(4):
            time.sleep(0.05)
            yield i

    meter = Meter(Fabric(accelerator="cpu", devices=1))
    seen = []
    for item in meter.timed(slow()):
        seen.append(item)
        time.sleep(0.05)
        meter.add(torch.tensor(float(item)), clips=3)
    values = meter.read()
    assert seen == [0, 1, 2, 3]
    assert values["loss"] == 1.5
    assert 0.3 < values["data_wait"] < 0.7
    assert 15 < values["clips_per_second"] < 30
    assert meter.read()["clips_per_second"] == 0


def test_curves_are_drawn_from_any_log(tmp_path: Path) -> None:
    log = RunLog(tmp_path / "log.jsonl")
    draw_curves(log.path, tmp_path / "empty.html")
    for step in range(1, 9):
        log.write(event("log", step, loss=3 / step, lr=0.1, clips_per_second=3, data_wait=0))
    log.write(event("eval", 8, top1=0.5, mean_class_accuracy=0.4, loss=1.0))
    draw_curves(log.path, tmp_path / "curves.html", live=True)
    page = (tmp_path / "curves.html").read_text()
    for shown in ("training: last 0.375", "validation: last 1", "top-1: last 50.0 %", "refresh"):
        assert shown in page
    assert page.count("<polyline") == 3  # loss, rate and speed; an evaluation is a point
    assert "<svg" not in (tmp_path / "empty.html").read_text()
    draw_curves(log.path, tmp_path / "curves.html")
    assert "refresh" not in (tmp_path / "curves.html").read_text()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["curves.html", "empty.html", "log.jsonl"]


def test_an_unwritable_log_is_one_clear_error(tmp_path: Path) -> None:
    log = RunLog(tmp_path / "log.jsonl")
    log.path.unlink()
    log.path.mkdir()
    with pytest.raises(RunError, match=r"cannot write .*log\.jsonl"):
        log.write(event("log", 1))
