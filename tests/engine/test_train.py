from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
import torch
import toy

from vitascope.data.render import render_motion_dataset
from vitascope.data.write import write_video
from vitascope.engine import overrides
from vitascope.engine.checkpoint import load_checkpoint, load_weights
from vitascope.engine.evaluate import evaluate
from vitascope.engine.log import Event, read_log
from vitascope.engine.tasks import TASKS
from vitascope.engine.train import TrainResult, fit
from vitascope.errors import (
    ConfigError,
    DatasetError,
    DecodeError,
    RunError,
    UnknownNameError,
    WeightsError,
)


def digests(run: Path) -> dict[str, str]:
    """sha256 of the final tensors, as the records name them."""
    found = {}
    for name in ("last", "best"):
        file = run / json.loads((run / f"{name}.json").read_text())["tensors"]["file"]
        found[name] = hashlib.sha256(file.read_bytes()).hexdigest()
    return found


@pytest.fixture(scope="module")
def straight(films: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, TrainResult]:
    """A run that was never stopped."""
    out = tmp_path_factory.mktemp("straight") / "run"
    return out, fit(toy.toy_recipe(films), out)


def test_a_run_writes_what_it_promises(films: Path, straight) -> None:
    run, result = straight
    assert result.to_json() == {
        "run": str(run), "best_top1": result.best_top1, "best_step": result.best_step,
        "step": 9, "steps": 9, "seconds": result.seconds, "interrupted": False,
    }  # fmt: skip
    names = {p.name for p in run.iterdir()}
    best = f"best-{result.best_step}.safetensors"
    assert names == {"run.json", "split.csv", "log.jsonl", "curves.html", "best.json", best,
                     "last.json", "last-9.safetensors", ".lock"}  # fmt: skip
    rows = read_log(run / "log.jsonl")
    assert [(r["kind"], r["step"]) for r in rows] == [
        ("log", 2), ("eval", 3), ("log", 4), ("log", 6), ("eval", 6), ("log", 8), ("log", 9),
        ("eval", 9),
    ]  # fmt: skip
    best_row = [r for r in rows if r.get("best")][-1]
    assert (best_row["step"], best_row["top1"]) == (result.best_step, result.best_top1)
    for row in rows:
        if row["kind"] == "log":
            assert {"loss", "lr", "clips_per_second", "data_wait"} <= row.keys()
    held = json.loads((run / "run.json").read_text())
    assert held["classes"] == ["grow", "move_left", "move_right"]
    assert held["recipe"]["optim"]["epochs"] == 3
    contract = load_weights(run).contract
    assert contract.labels.names == tuple(held["classes"])
    assert contract.pixels == toy.PIXELS
    assert not any(n.startswith("optim.") for n in load_checkpoint(run, "best").tensors)


def test_the_same_recipe_gives_the_same_bits_for_any_number_of_workers(
    films: Path, straight, tmp_path: Path
) -> None:
    other = toy.toy_recipe(films)
    other = overrides.apply_overrides(
        other, ["data.workers=2", "data.cache=true", f"data.cache_dir={tmp_path}/c"]
    )
    fit(other, tmp_path / "run")
    weights = load_checkpoint(tmp_path / "run", "last").tensors
    for name, tensor in load_checkpoint(straight[0], "last").tensors.items():
        assert torch.equal(weights[name], tensor), name
    changed = dataclasses.replace(other, run=dataclasses.replace(other.run, seed=1))
    fit(changed, tmp_path / "seed")
    moved = load_checkpoint(tmp_path / "seed", "last").tensors
    assert not torch.equal(moved["conv.weight"], weights["conv.weight"])


class Killed(BaseException):
    """Stands in for SIGKILL: no handler of the program runs."""


def fit_until(recipe, out: Path, count: int, kind: str | None = None) -> TrainResult | None:
    """Trains on until `count` events (of a kind) have happened in this call."""
    seen = 0

    def listen(event: Event) -> None:
        nonlocal seen
        seen += kind in (None, event.kind)
        if seen == count:
            raise Killed

    try:
        return fit(recipe, out, resume=True, on_event=listen)
    except Killed:
        return None


@pytest.mark.parametrize(
    ("count", "kind"),
    [(1, "start"), (3, "step"), (1, "save"), (2, "eval"), (7, "step"), (1, "done")],
)
def test_stopped_at_an_event_and_resumed_gives_the_same_bits(
    films: Path, straight, tmp_path: Path, count: int, kind: str
) -> None:
    run = tmp_path / "run"
    recipe = toy.toy_recipe(films)
    assert fit_until(recipe, run, count, kind) is None
    result = fit(recipe, run, resume=True)
    assert digests(run) == digests(straight[0])
    reference = straight[1]
    assert (result.best_top1, result.best_step) == (reference.best_top1, reference.best_step)
    steps = [(r["kind"], r["step"]) for r in read_log(run / "log.jsonl")]
    assert steps == [(r["kind"], r["step"]) for r in read_log(straight[0] / "log.jsonl")]


@pytest.mark.parametrize("task", sorted(TASKS))
def test_every_task_resumes_to_the_same_bits(films: Path, tmp_path: Path, task: str) -> None:
    recipe = overrides.apply_overrides(toy.toy_recipe(films), [f"task={task}"])
    straight = fit(recipe, tmp_path / "straight")
    assert straight.step == 9
    assert fit_until(recipe, tmp_path / "run", 5, "step") is None
    fit(recipe, tmp_path / "run", resume=True)
    assert digests(tmp_path / "run") == digests(tmp_path / "straight"), (
        f"task {task!r}: something besides weights, optimizer and step decides its loss"
    )


def test_stopped_again_and_again(films: Path, straight, tmp_path: Path) -> None:
    """Stopped every seven events until it ends: each part begins somewhere else in an epoch."""
    recipe = overrides.apply_overrides(toy.toy_recipe(films), ["run.save_every=1"])
    setup = 1
    while fit_until(recipe, tmp_path / "run", 7) is None:
        setup += 1
    assert setup >= 5
    assert digests(tmp_path / "run") == digests(straight[0])
    again = fit(recipe, tmp_path / "run", resume=True)  # a finished run: nothing happens
    assert (again.step, again.interrupted) == (9, False)
    assert digests(tmp_path / "run") == digests(straight[0])


SCRIPT = """
import signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import toy
from vitascope.engine.train import fit
recipe = toy.toy_recipe(Path(sys.argv[2]))
if len(sys.argv) > 4:
    from vitascope.engine import overrides
    recipe = overrides.apply_overrides(recipe, sys.argv[4:])
def listen(event):
    if event.kind != "log":
        print(event.kind, event.step, event.values.get("text", ""), flush=True)
result = fit(recipe, sys.argv[3], resume=True, on_event=listen)
print("result", result.step, result.interrupted, flush=True)
"""


def spawn(films: Path, run: Path, *settings: str) -> subprocess.Popen[str]:
    here = str(Path(__file__).parent)
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, here, str(films), str(run), *settings],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
    )  # fmt: skip


def wait_for(process: subprocess.Popen[str], begin: str) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith(begin):
            return
    raise AssertionError(f"ended without {begin!r}")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_finishes_the_step_and_saves(
    films: Path, straight, tmp_path: Path, number: signal.Signals
) -> None:
    events: list[Event] = []

    def listen(event: Event) -> None:
        events.append(event)
        if event.kind == "step" and event.step == 4:
            signal.raise_signal(number)

    before = signal.getsignal(number)
    result = fit(toy.toy_recipe(films), tmp_path / "run", on_event=listen)
    assert signal.getsignal(number) is before
    assert (result.step, result.interrupted) == (4, True)
    assert [e.kind for e in events[-3:]] == ["log", "save", "interrupt"]
    assert "step 4 of 9" in events[-1].values["text"]
    assert not fit(toy.toy_recipe(films), tmp_path / "run", resume=True).interrupted
    assert digests(tmp_path / "run") == digests(straight[0])


def test_a_signal_in_the_last_step_changes_nothing(films: Path, straight, tmp_path: Path) -> None:
    def listen(event: Event) -> None:
        if event.kind == "step" and event.step == 9:
            signal.raise_signal(signal.SIGINT)

    result = fit(toy.toy_recipe(films), tmp_path / "run", on_event=listen)
    assert not result.interrupted
    assert result.best_step == straight[1].best_step
    assert digests(tmp_path / "run") == digests(straight[0])


@pytest.mark.slow
def test_ctrl_c_in_a_terminal(films: Path, straight, tmp_path: Path) -> None:
    """SIGINT to the whole process group, workers included, as a terminal sends it."""
    run = tmp_path / "run"
    process = spawn(films, run, "data.workers=1", "optim.epochs=3")
    wait_for(process, "step 4")
    os.killpg(process.pid, signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    assert "stopping after this step" in output
    assert "interrupt" in output and "--resume" in output
    step = json.loads((run / "last.json").read_text())["state"]["step"]
    assert 4 <= step < 9
    assert f"result {step} True" in output
    assert "Traceback" not in output
    fit(toy.toy_recipe(films), run, resume=True)
    assert digests(run) == digests(straight[0])


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_sigkill_at_random_moments_gives_the_same_bits(
    films: Path, straight, tmp_path: Path, workers: int
) -> None:
    """Killed at moments spread over a run, hit or miss, also while it saves or evaluates."""
    run = tmp_path / "run"
    settings = [f"data.workers={workers}", "run.save_every=1"]
    random = torch.Generator().manual_seed(workers)
    kills = 0
    for attempt in range(40):
        process = spawn(films, run, *settings)
        if attempt < 8:
            wait_for(process, "start" if attempt == 0 else "res")
            time.sleep(float(torch.rand((), generator=random)) * 0.12)
            os.killpg(process.pid, signal.SIGKILL)
        output, _ = process.communicate()
        if process.returncode == 0:
            break
        kills += 1
        assert process.returncode == -signal.SIGKILL, output
    assert kills >= 5
    assert digests(run) == digests(straight[0])
    assert [path.name for path in run.glob(".*")] == [".lock"]


def test_a_second_sigint_aborts_at_once(films: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    before = signal.getsignal(signal.SIGINT)  # ignored, where a shell started us in the background

    def listen(event: Event) -> None:
        if event.kind == "step" and event.step == 3:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        fit(toy.toy_recipe(films), run, on_event=listen)
    assert json.loads((run / "last.json").read_text())["state"]["step"] == 2
    assert signal.getsignal(signal.SIGINT) is before


def test_accumulated_parts_give_the_update_of_the_whole_batch(films: Path, tmp_path: Path) -> None:
    weights = {}
    for setup in (1, 2, 4):
        recipe = overrides.apply_overrides(
            toy.toy_recipe(films),
            [f"optim.accumulate={setup}", "model.args.norm=false", "model.args.dropout=0",
             "augment.mixup=0", "augment.cutmix=0", "optim.name=sgd", "optim.lr=0.05",
             "optim.epochs=1"],
        )  # fmt: skip
        fit(recipe, tmp_path / str(setup))
        weights[setup] = load_checkpoint(tmp_path / str(setup), "last").tensors
    for setup in (2, 4):
        for name, tensor in weights[1].items():
            torch.testing.assert_close(weights[setup][name], tensor, rtol=1e-4, atol=1e-6)


def test_a_small_network_learns_which_way_things_move(tmp_path: Path) -> None:
    for split, count in (("train", 24), ("val", 8)):
        for number in range(count):
            for name, step in (("left", -3), ("right", 3)):
                frames = np.full((8, 32, 32, 3), 40, np.uint8)
                for t in range(8):
                    x = (4 + 5 * number + step * (t - 4)) % 32
                    frames[t, number % 20 : number % 20 + 10, x : x + 6] = 220
                write_video(tmp_path / "films" / split / name / f"{number}.mp4", frames, 8)
    recipe = overrides.apply_overrides(
        toy.toy_recipe(tmp_path / "films"),
        ["augment.mixup=0", "augment.cutmix=0", "augment.erase=0", "optim.epochs=10",
         "optim.lr=0.01", "model.args.dropout=0", "run.ema=0", "augment.scale=0.7,1",
         f"data.cache_dir={tmp_path}/cache", "data.cache=true", "run.eval_every=60"],
    )  # fmt: skip
    result = fit(recipe, tmp_path / "run")
    assert result.best_top1 is not None
    assert result.best_top1 >= 0.9
    tested = evaluate(tmp_path / "run", split="val")
    assert tested.top1 >= 0.9
    shuffled = evaluate(tmp_path / "run", split="val", shuffle_frames=True)
    assert shuffled.shuffled and shuffled.top1 <= 0.75 < tested.interval[0]


# --- bad input ---------------------------------------------------------------------------------


def refused(recipe, out: Path, error: type[Exception], **options: bool) -> str:
    before = sorted(p.name for p in out.iterdir()) if out.is_dir() else None
    with pytest.raises(error) as caught:
        fit(recipe, out, **options)
    assert (sorted(p.name for p in out.iterdir()) if out.is_dir() else None) == before
    return str(caught.value)


def test_a_folder_in_use_is_refused(films: Path, straight, tmp_path: Path) -> None:
    run, _ = straight
    recipe = toy.toy_recipe(films)
    text = refused(recipe, run, RunError)
    assert "finished" in text and "--force" in text
    other = overrides.apply_overrides(recipe, ["optim.lr=0.5", "optim.epochs=4", "run.log_every=3"])
    for resume in (False, True):
        text = refused(other, run, RunError, resume=resume)
        assert "another run" in text and "optim.lr = 0.5 (there 0.003)" in text
        assert "optim.epochs" in text and "log_every" not in text
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").write_text("x")
    for options in ({}, {"force": True}, {"resume": True}):
        assert "holds no run" in refused(recipe, mine, RunError, **options)
    (mine / "file").write_text("")
    assert "is a file" in refused(recipe, mine / "file", RunError)


def test_other_data_in_the_same_place_is_another_run(tmp_path: Path) -> None:
    data = toy.render(tmp_path / "films", train=4, val=1, test=0)
    recipe = overrides.apply_overrides(
        toy.toy_recipe(data), ["optim.epochs=1", "optim.batch_size=4"]
    )
    fit(recipe, tmp_path / "run")
    next((data / "train" / "grow").iterdir()).unlink()
    text = refused(recipe, tmp_path / "run", RunError, resume=True)
    assert "videos, labels or split" in text


def test_unfinished_runs_ask_for_resume_or_force(films: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    recipe = overrides.apply_overrides(toy.toy_recipe(films), ["optim.epochs=2"])
    fit_until(recipe, run, 1, "start")
    assert "before its first checkpoint" in refused(recipe, run, RunError)
    fit_until(recipe, run, 1, "save")
    text = refused(recipe, run, RunError)
    assert "step 2 of 6" in text and "--resume" in text
    (run / "notes.txt").write_text("keep me")
    other = overrides.apply_overrides(recipe, ["optim.epochs=1"])
    assert fit(other, run, force=True).steps == 3
    assert (run / "notes.txt").read_text() == "keep me"
    assert [r["step"] for r in read_log(run / "log.jsonl") if r["kind"] == "eval"] == [3]


def test_two_processes_cannot_train_in_one_folder(films: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from vitascope.engine.folder import RunFolder\n"
        "with RunFolder(path=Path(sys.argv[1])).held(): print('held', flush=True); sys.stdin.read()"
    )
    recipe = toy.toy_recipe(films)
    fit_until(recipe, tmp_path / "run", 1, "save")
    other = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "run")],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert other.stdout is not None and other.stdout.readline() == b"held\n"
    before = {p.name: p.read_bytes() for p in (tmp_path / "run").iterdir()}
    for how in ({"resume": True}, {"force": True}):  # force does not take a folder in use either
        text = refused(recipe, tmp_path / "run", RunError, **how)
        assert "another process is training" in text and f"process {other.pid} on" in text
    assert {p.name: p.read_bytes() for p in (tmp_path / "run").iterdir()} == before
    other.kill()
    other.communicate()
    assert fit(recipe, tmp_path / "run", resume=True).step == 9


def test_other_versions_are_told(films: Path, tmp_path: Path) -> None:
    recipe = toy.toy_recipe(films)
    fit_until(recipe, tmp_path / "run", 1, "save")
    file = tmp_path / "run" / "run.json"
    held = json.loads(file.read_text())
    held["versions"]["torch"] = "1.0"
    file.write_text(json.dumps(held))
    events: list[Event] = []
    fit(recipe, tmp_path / "run", resume=True, on_event=events.append)
    [note] = [e.values["text"] for e in events if e.kind == "note"]
    assert f"torch 1.0 (now {metadata.version('torch')})" in note


@pytest.mark.parametrize(
    ("setting", "error", "words"),
    [
        ("model.name=toyy", UnknownNameError, "Did you mean 'toy'"),
        ("model.args.widht=3", UnknownNameError, "Did you mean 'width'"),
        ("optim.batch_size=64", ConfigError, "64 is above the 24 training videos"),
        ("data.path=", ConfigError, "data.path is empty"),
        ("data.decoder=pyaw", UnknownNameError, "pyav"),
        ("model.init=/nowhere", Exception, "no such run folder"),
        ("task=classify", UnknownNameError, "classification"),
        ("run.accelerator=cuda", ConfigError, "not available"),
    ],
)
def test_bad_settings_stop_before_anything_is_written(
    films: Path, tmp_path: Path, setting: str, error, words: str
) -> None:
    if "cuda" in setting and torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    recipe = overrides.apply_overrides(toy.toy_recipe(films), [setting])
    assert words in refused(recipe, tmp_path / "run", error)


@pytest.mark.parametrize("save_every", [1, 100])
@pytest.mark.parametrize("clip", ["none", "1e9"])
def test_a_training_that_explodes_ends_and_saves_no_broken_weights(
    films: Path, tmp_path: Path, save_every: int, clip: str
) -> None:
    recipe = overrides.apply_overrides(
        toy.toy_recipe(films),
        ["optim.name=sgd", "optim.lr=1e6", "optim.warmup=0", f"optim.clip_grad={clip}",
         "augment.mixup=0", "augment.cutmix=0", f"run.save_every={save_every}"],
    )  # fmt: skip
    with pytest.raises((RunError, WeightsError), match=r"optim\.lr"):
        fit(recipe, tmp_path / "run")
    if (tmp_path / "run" / "last.json").exists():
        kept = load_checkpoint(tmp_path / "run", "last")
        for name, tensor in kept.tensors.items():
            assert not name.startswith("conv") or tensor.isfinite().all()


def test_bad_videos_stop_the_run_or_are_skipped_and_counted(tmp_path: Path) -> None:
    data = toy.render(tmp_path / "films", train=4, val=2, test=0)
    bad = sorted((data / "train" / "grow").iterdir())[1]
    bad.write_bytes(bad.read_bytes()[:300])
    recipe = overrides.apply_overrides(
        toy.toy_recipe(data), ["optim.batch_size=1", "optim.epochs=2", "run.save_every=1"]
    )
    with pytest.raises(DecodeError, match=bad.name):
        fit(recipe, tmp_path / "stops")
    recipe = overrides.apply_overrides(recipe, ["data.on_bad=skip"])
    events: list[Event] = []
    result = fit(recipe, tmp_path / "skips", on_event=events.append)
    assert result.step == result.steps == 24  # a batch without a clip still counts as a step
    [note] = [e.values["text"] for e in events if e.kind == "note"]
    assert "left out" in note and bad.name in note
    reports = [(e.step, e.values) for e in events if e.kind == "faults"]
    assert [step for step, _ in reports] == [12, 24]
    for _, report in reports:
        assert (report["policy"], report["clips"], report["clips_expected"]) == ("skip", 1, 12)
        assert [video["path"] for video in report["videos"]] == [str(bad)]
        assert bad.name in report["videos"][0]["error"]
    rows = read_log(tmp_path / "skips" / "log.jsonl")
    assert [r["clips"] for r in rows if r["kind"] == "faults"] == [1, 1]
    setup = 1
    while fit_until(recipe, tmp_path / "setup", 19) is None:
        setup += 1
    assert setup >= 4
    assert digests(tmp_path / "setup") == digests(tmp_path / "skips")
    # What a killed part of an epoch could not read is in the report of the whole.
    found = [r for r in read_log(tmp_path / "setup" / "log.jsonl") if r["kind"] == "faults"]
    assert found == [r for r in rows if r["kind"] == "faults"]


def test_the_budget_counts_what_was_bad_before_a_stop(tmp_path: Path) -> None:
    data = toy.render(tmp_path / "films", train=4, val=0, test=0)
    for bad in sorted((data / "train" / "grow").iterdir())[:2]:
        bad.write_bytes(b"no video")
    recipe = overrides.apply_overrides(
        toy.toy_recipe(data),
        ["data.on_bad=skip", "data.val_share=0", "optim.batch_size=1", "run.log_every=1",
         "optim.epochs=1", "optim.warmup=0"],
    )  # fmt: skip
    steps: list[int] = []

    def stop_after_one(event: Event) -> None:
        if event.kind == "note" and "left out" in event.values["text"]:
            steps.append(event.step)
            signal.raise_signal(signal.SIGINT)

    for budget, enough in (("0.2", True), ("0.1", False)):
        run = tmp_path / budget
        limited = overrides.apply_overrides(recipe, [f"data.bad_budget={budget}"])
        assert fit(limited, run, on_event=stop_after_one).interrupted
        if enough:
            assert fit(limited, run, resume=True).step == 12
            continue
        with pytest.raises(DatasetError, match=r"2 of 12 videos .* budget of 10 %"):
            fit(limited, run, resume=True)
    assert len(set(steps)) == 1 and 0 < steps[0] < 12


def test_every_epoch_is_reported_also_without_faults(films: Path, tmp_path: Path) -> None:
    for policy, want in (("error", []), ("substitute-black", [0])):
        recipe = overrides.apply_overrides(
            toy.toy_recipe(films), [f"data.on_bad={policy}", "optim.epochs=1", "optim.warmup=0"]
        )
        fit(recipe, tmp_path / policy)
        rows = [r for r in read_log(tmp_path / policy / "log.jsonl") if r["kind"] == "faults"]
        assert [r["clips"] for r in rows] == want
        assert all(r["videos"] == [] and r["clips_expected"] == 24 for r in rows)


def test_black_validation_videos_are_not_scored(tmp_path: Path) -> None:
    data = toy.render(tmp_path / "films", train=4, val=2, test=0)
    bad = sorted((data / "val" / "grow").iterdir())[1]
    bad.write_bytes(bad.read_bytes()[:300])
    scores = {}
    for policy in ("skip", "substitute-black"):
        recipe = overrides.apply_overrides(
            toy.toy_recipe(data), ["optim.batch_size=4", f"data.on_bad={policy}"]
        )
        fit(recipe, tmp_path / policy)
        rows = [r for r in read_log(tmp_path / policy / "log.jsonl") if r["kind"] == "eval"]
        assert [(r["n_evaluated"], r["n_expected"]) for r in rows] == [(5, 6)] * 3
        scores[policy] = [r["loss"] for r in rows]
    assert scores["skip"] == scores["substitute-black"]


def test_without_validation_the_last_weights_are_the_best(tmp_path: Path) -> None:
    data = toy.render(tmp_path / "films", train=4, val=0, test=0)
    recipe = overrides.apply_overrides(
        toy.toy_recipe(data), ["optim.batch_size=4", "optim.epochs=2", "data.val_share=0"]
    )
    result = fit(recipe, tmp_path / "run")
    assert result.best_top1 is None
    best = load_checkpoint(tmp_path / "run", "best")
    last = load_checkpoint(tmp_path / "run", "last").weights()
    assert best.state["step"] == result.step
    assert all(torch.equal(best.tensors[n], t) for n, t in last.items())


def test_fine_tuning_puts_a_new_head_on_other_classes(
    films: Path, straight, tmp_path: Path
) -> None:
    two = tmp_path / "two"
    render_motion_dataset(
        two, ("shrink", "grow"), {"train": 4, "val": 1}, size=(32, 32), frames=8, fps=8
    )
    recipe = overrides.apply_overrides(
        toy.toy_recipe(two),
        [f"model.init={straight[0]}", "optim.lr=0", "optim.epochs=1", "optim.batch_size=4"],
    )
    events: list[Event] = []
    fit(recipe, tmp_path / "run", on_event=events.append)
    [note] = [e.values["text"] for e in events if e.kind == "note"]
    assert "new classifying layer for 2 classes" in note and "trained on 3" in note
    start, new = load_weights(straight[0]).weights(), load_weights(tmp_path / "run").weights()
    assert new["head.weight"].shape == (2, 16)
    assert torch.equal(new["deep.weight"], start["deep.weight"])
    wider = overrides.apply_overrides(recipe, ["model.args.width=4"])
    with pytest.raises(Exception, match="does not fit this model"):
        fit(wider, tmp_path / "wide")
