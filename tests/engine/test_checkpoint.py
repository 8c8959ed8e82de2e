from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path

import pytest
import torch

from vitascope.engine import checkpoint
from vitascope.engine.checkpoint import load_checkpoint, load_weights, save_checkpoint
from vitascope.errors import RunError, WeightsError
from vitascope.models.weights.read import read_safetensors
from vitascope.spec import ClipSpec, Contract, LabelSpec, PixelSpec, ViewProtocol

CONTRACT = Contract(
    model="toy",
    args={"width": 4},
    labels=LabelSpec(names=("wave", "klatschen äöü")),
    clip=ClipSpec(num_frames=4, coverage="video"),
    pixels=PixelSpec(short_side=16, crop=(16, 16)),
    views=ViewProtocol(clips=2, crops=3),
)


def tensors(value: float = 1.0) -> dict[str, torch.Tensor]:
    weight = torch.full((2, 3, 1, 2, 2), value).contiguous(memory_format=torch.channels_last_3d)
    tied = torch.arange(6.0)
    return {
        "conv.weight": weight + torch.arange(12.0).view(3, 1, 2, 2),
        "norm.num_batches_tracked": torch.tensor(7),
        "a": tied,
        "b": tied[2:],
        "half": torch.tensor([1.5, value], dtype=torch.bfloat16),
        "optim.conv.weight.exp_avg": weight * 3,
        "optim.conv.weight.step": torch.tensor(5.0),
    }


def save(folder: Path, step: int = 5, value: float = 1.0, name: str = "last", **more) -> Path:
    return save_checkpoint(
        folder,
        name,
        tensors={**tensors(value), **more},
        contract=CONTRACT,
        recipe={"optim": {"lr": 0.1}},
        state={"step": step, "best": 0.25},
    )


def assert_same(found, expected) -> None:
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor), name


@pytest.mark.skipif(sys.platform != "linux", reason="names of files are text elsewhere")
@pytest.mark.parametrize("name", [b"caf\xe9", b"\xff \n#", b" \x1b[31m "], ids=ascii)
def test_folders_whose_names_are_no_text(tmp_path: Path, name: bytes) -> None:
    """The library that reads safetensors takes names in UTF-8 only."""
    folder = tmp_path / os.fsdecode(name)
    save(folder)
    assert_same(load_checkpoint(folder, "last").tensors, tensors())
    [file] = folder.glob("*.safetensors")
    assert_same(read_safetensors(file), tensors())
    assert os.listdir(os.fsencode(tmp_path)) == [name]
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(WeightsError, match="safetensors"):
        load_checkpoint(folder, "last")


def test_round_trip_keeps_every_bit_and_the_contract(tmp_path: Path) -> None:
    save(tmp_path / "run")
    back = load_checkpoint(tmp_path / "run", "last")
    assert_same(back.tensors, tensors())
    assert back.contract == CONTRACT
    assert back.recipe == {"optim": {"lr": 0.1}}
    assert back.state == {"step": 5, "best": 0.25}
    assert back.versions["torch"] == metadata.version("torch")
    record = json.loads((tmp_path / "run/last.json").read_text())
    assert record["contract"]["labels"]["names"][0] == "wave"
    assert record["tensors"]["file"] == "last-5.safetensors"
    assert sorted(os.listdir(tmp_path / "run")) == ["last-5.safetensors", "last.json"]


def test_weights_are_the_average_where_there_is_one(tmp_path: Path) -> None:
    save(tmp_path / "plain")
    found = load_weights(tmp_path / "plain").weights()
    assert_same(found, {k: v for k, v in tensors().items() if not k.startswith("optim.")})
    save(tmp_path / "ema", **{"ema.a": torch.zeros(2)})
    assert_same(load_weights(tmp_path / "ema").weights(), {"a": torch.zeros(2)})


def test_weights_from_folder_record_and_file(tmp_path: Path) -> None:
    save(tmp_path, 5, 1.0, "last")
    assert load_weights(tmp_path).state["step"] == 5
    save(tmp_path, 3, 2.0, "best")
    expected = {k: v for k, v in tensors(2.0).items() if not k.startswith("optim.")}
    for path in (tmp_path, tmp_path / "best.json", tmp_path / "best-3.safetensors"):
        found = load_weights(str(path))
        assert found.contract == CONTRACT
        assert_same(found.weights(), expected)
    alone = tmp_path / "mailed" / "model.safetensors"
    alone.parent.mkdir()
    (tmp_path / "best-3.safetensors").rename(alone)
    found = load_weights(alone)
    assert found.contract == CONTRACT
    assert found.recipe == {}
    assert_same(found.weights(), expected)


def test_a_newer_checkpoint_replaces_the_older_one(tmp_path: Path) -> None:
    for step in (1, 2, 2, 2, 9):
        save(tmp_path, step, float(step))
        assert len(list(tmp_path.iterdir())) == 2
        assert_same(load_checkpoint(tmp_path, "last").tensors, tensors(float(step)))
    save(tmp_path, 9, name="best")
    assert len(list(tmp_path.iterdir())) == 4


@pytest.mark.parametrize("keep", [0, 7, 100, 400, -1])
def test_a_cut_file_is_named_with_both_sizes(tmp_path: Path, keep: int) -> None:
    save(tmp_path)
    file = tmp_path / "last-5.safetensors"
    whole = file.read_bytes()
    file.write_bytes(whole[:keep])
    with pytest.raises(WeightsError, match=r"last-5.safetensors is cut: \d+ bytes of \d+") as info:
        load_checkpoint(tmp_path, "last")
    assert str(len(whole)) in str(info.value)
    (tmp_path / "last.json").unlink()  # alone, the file itself must tell
    with pytest.raises(WeightsError, match=r"last-5.safetensors is cut or not"):
        load_weights(file)


def test_damage_and_loss_are_told(tmp_path: Path) -> None:
    record = save(tmp_path)
    file = tmp_path / "last-5.safetensors"
    whole = bytearray(file.read_bytes())
    whole[-1] ^= 1
    file.write_bytes(whole)
    with pytest.raises(WeightsError, match="damaged: its sha256"):
        load_weights(tmp_path)
    file.write_bytes(bytes(whole) + b"x")
    with pytest.raises(WeightsError, match="too long"):
        load_weights(tmp_path)
    file.unlink()
    with pytest.raises(WeightsError, match="not beside it"):
        load_weights(tmp_path)
    record.write_text('{"tensors": ')
    with pytest.raises(WeightsError, match="not a readable checkpoint record"):
        load_weights(tmp_path)
    record.write_text('{"tensors": {"file": 3}}')
    with pytest.raises(WeightsError, match="damaged"):
        load_weights(tmp_path)
    record.write_text("[]")
    with pytest.raises(WeightsError, match="not a checkpoint record"):
        load_weights(tmp_path)


def test_foreign_formats_are_refused_without_running_code(tmp_path: Path) -> None:
    ran = tmp_path / "ran"

    class Bomb:
        def __reduce__(self):
            return (ran.touch, ())

    torch.save(Bomb(), tmp_path / "model.pth")
    with pytest.raises(WeightsError, match="pickle"):
        load_weights(tmp_path / "model.pth")
    (tmp_path / "model.pth").rename(tmp_path / "model.safetensors")
    with pytest.raises(WeightsError, match="pickle"):
        load_weights(tmp_path / "model.safetensors")
    assert not ran.exists()
    from safetensors.torch import save_file

    save_file({"a": torch.zeros(1)}, tmp_path / "bare.safetensors")
    with pytest.raises(WeightsError, match="fits no published model"):
        load_weights(tmp_path / "bare.safetensors")
    with pytest.raises(WeightsError, match="no such"):
        load_weights(tmp_path / "absent")
    (tmp_path / "empty").mkdir()
    with pytest.raises(WeightsError, match="run folder"):
        load_weights(tmp_path / "empty")


def test_a_future_format_says_so(tmp_path: Path) -> None:
    record = save(tmp_path)
    plain = json.loads(record.read_text())
    plain["format"] = "vitascope.checkpoint/9"
    record.write_text(json.dumps(plain))
    with pytest.raises(WeightsError, match="checkpoint/9"):
        load_weights(tmp_path)


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
import torch
sys.path.insert(0, sys.argv[2])
from tests.engine.test_checkpoint import save
from vitascope.errors import RunError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # writes beyond the limit fail, as on a full disk
folder = Path(sys.argv[1])
save(folder, 1, 1.0)
for limit in (0, 10, 5000, 300_000):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        save(folder, 2, 2.0, big=torch.zeros(250_000))
    except RunError as error:
        message = str(error)
    else:
        sys.exit(f"no error at {limit}")
    assert "cannot write" in message and "last-1.safetensors is intact" in message, message
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
"""


def test_a_disk_that_fills_up_while_writing_costs_only_the_new_one(tmp_path: Path) -> None:
    root = str(Path(__file__).resolve().parents[2])
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path), root],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr + done.stdout
    assert sorted(os.listdir(tmp_path)) == ["last-1.safetensors", "last.json"]
    assert_same(load_checkpoint(tmp_path, "last").tensors, tensors(1.0))


@pytest.mark.parametrize("stage", ["tensors", "seal", "rename", "record"])
def test_no_space_at_any_stage(tmp_path: Path, monkeypatch, stage: str) -> None:
    save(tmp_path, 1, 1.0)
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    target = {
        "tensors": (checkpoint, "save_file"),
        "seal": (os, "fsync"),
        "rename": (os, "replace"),
        "record": (checkpoint, "_replace_text"),
    }[stage]
    with monkeypatch.context() as patch:
        patch.setattr(*target, full)
        with pytest.raises(RunError, match=r"the disk is full \(.* MB are free.*Free some space"):
            save(tmp_path, 2, 2.0)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before
    save(tmp_path, 2, 2.0)
    assert_same(load_checkpoint(tmp_path, "last").tensors, tensors(2.0))


FOREVER = """
import sys, torch
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from tests.engine.test_checkpoint import save
print("go", flush=True)
for step in range(1, 10**6):
    save(Path(sys.argv[1]), step, float(step), big=torch.full((300_000,), float(step)))
"""


@pytest.mark.parametrize(
    "delay", [0.05, *(pytest.param(d, marks=pytest.mark.slow) for d in (0.11, 0.16, 0.23))]
)
def test_sigkill_while_saving_never_tears_a_pair(tmp_path: Path, delay: float) -> None:
    root = str(Path(__file__).resolve().parents[2])
    child = subprocess.Popen(
        [sys.executable, "-c", FOREVER, str(tmp_path), root], stdout=subprocess.PIPE
    )
    assert child.stdout is not None
    assert child.stdout.readline() == b"go\n"
    while not (tmp_path / "last.json").exists():
        time.sleep(0.005)
    time.sleep(delay)
    child.kill()
    child.wait()
    child.stdout.close()
    found = load_checkpoint(tmp_path, "last")
    step = float(found.state["step"])
    assert torch.equal(found.tensors["big"], torch.full((300_000,), step))
    save(tmp_path, 10**7)  # and the next save leaves nothing of the killed one behind
    assert sorted(os.listdir(tmp_path)) == ["last-10000000.safetensors", "last.json"]
