"""Two processes on the CPU (gloo) against one with the whole batch."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import toy

from vitascope.engine.checkpoint import load_checkpoint
from vitascope.engine.log import read_log
from vitascope.engine.tasks import TASKS

SCRIPT = """
import json, os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import toy
from vitascope.engine import overrides
from vitascope.engine.train import fit
recipe = overrides.apply_overrides(toy.toy_recipe(Path(sys.argv[2])), sys.argv[4:])
events = []
def listen(event):
    events.append(event.kind)
    if event.kind == "step" and event.step == int(os.environ["STOP_AT"]):
        signal.raise_signal(signal.SIGTERM)
result = fit(recipe, sys.argv[3], resume=True, on_event=listen)
if events:
    print("RESULT", json.dumps(result.to_json()), flush=True)
"""
# Statistics of a batch and random draws are those of each process, so they are switched off.
SAME = ("model.args.norm=false", "model.args.dropout=0", "augment.mixup=0", "augment.cutmix=0",
        "run.log_every=1", "optim.lr=0.02")  # fmt: skip


def train(films: Path, out: Path, processes: int, *settings: str, stop_at: int = 0) -> dict:
    script = out.parent / "script.py"
    script.write_text(SCRIPT)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    launch = [] if processes == 1 else ["-m", "torch.distributed.run", "--nproc-per-node",
                                        str(processes), "--master-port", str(port)]  # fmt: skip
    here = str(Path(__file__).parent)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "STOP_AT": str(stop_at)}
    done = subprocess.run(
        [sys.executable, *launch, str(script), here, str(films), str(out), *SAME, *settings],
        capture_output=True, text=True, check=False, env=environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    [line] = [x for x in done.stdout.splitlines() if x.startswith("RESULT")]
    return json.loads(line.removeprefix("RESULT"))


@pytest.mark.slow
@pytest.mark.parametrize("accumulate", [1, 2])
def test_two_processes_do_what_one_does(films: Path, tmp_path: Path, accumulate: int) -> None:
    compare(films, tmp_path, (), (f"optim.accumulate={accumulate}",))


@pytest.mark.slow
@pytest.mark.parametrize("task", sorted(set(TASKS) - {"classification"}))
def test_two_processes_do_what_one_does_in_every_task(
    films: Path, tmp_path: Path, task: str
) -> None:
    compare(films, tmp_path, (f"task={task}",), ())


def compare(films: Path, tmp_path: Path, both: tuple[str, ...], parallel: tuple[str, ...]) -> None:
    one = train(films, tmp_path / "one", 1, *both)
    two = train(films, tmp_path / "two", 2, *both, *parallel)
    assert two["steps"] == one["steps"] == 9
    assert two["best_top1"] == one["best_top1"]
    rows = [read_log(tmp_path / name / "log.jsonl") for name in ("one", "two")]
    assert len(rows[0]) == len(rows[1]) == 12
    for a, b in zip(*rows, strict=True):
        assert (a["kind"], a["step"]) == (b["kind"], b["step"])
        assert b["loss"] == pytest.approx(a["loss"], rel=1e-4)
        assert b.get("n_evaluated") == a.get("n_evaluated")
    weights = [load_checkpoint(tmp_path / n, "last").tensors for n in ("one", "two")]
    for name, tensor in weights[0].items():
        torch.testing.assert_close(weights[1][name], tensor, rtol=1e-3, atol=1e-5)


@pytest.mark.slow
def test_two_processes_stop_together_and_resume_to_the_same_bits(
    films: Path, tmp_path: Path
) -> None:
    train(films, tmp_path / "straight", 2)
    stopped = train(films, tmp_path / "parts", 2, stop_at=4)  # the signal reaches one of them
    assert stopped["interrupted"] and stopped["step"] == 4
    assert not train(films, tmp_path / "parts", 2)["interrupted"]
    whole, parts = (load_checkpoint(tmp_path / n, "last").tensors for n in ("straight", "parts"))
    assert whole.keys() == parts.keys()
    assert all(torch.equal(t, parts[n]) for n, t in whole.items())


@pytest.mark.slow
def test_faults_of_all_processes_are_in_the_report(tmp_path: Path) -> None:
    data = toy.render(tmp_path / "films", train=4, val=0, test=0)
    folder = data / "train" / "grow"
    for bad in sorted(folder.iterdir())[1:3]:
        bad.write_bytes(b"no video")
    settings = ("data.on_bad=substitute-black", "data.val_share=0", "optim.batch_size=4",
                "optim.epochs=2", "optim.warmup=0")  # fmt: skip
    reports = []
    for name, processes in (("one", 1), ("two", 2)):
        train(data, tmp_path / name, processes, *settings)
        rows = read_log(tmp_path / name / "log.jsonl")
        reports.append([r for r in rows if r["kind"] == "faults"])
    assert reports[0] == reports[1]
    assert [(r["clips"], r["clips_expected"], len(r["videos"])) for r in reports[1]] == [
        (2, 12, 2)
    ] * 2
