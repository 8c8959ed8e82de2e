"""`vitascope convert`, and training that starts from a file of every dialect."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import vitascope
from support.command_line import TINY, cli, refused
from vitascope.engine.checkpoint import load_weights
from vitascope.models.registry import create_model
from vitascope.models.weights import export_state_dict


def random_weights(name: str) -> Any:
    """A model that stands for a pre-trained one: no entry has its start value."""
    torch.manual_seed(5)
    model = create_model(name)
    with torch.no_grad():
        for value in model.state_dict().values():
            if value.is_floating_point():
                value.add_(0.05 * torch.rand(value.shape))
    return model


def write(path: Path, model: Any, dialect: str, container: str) -> Path:
    """The model's entries as programs of a dialect store them."""
    state = export_state_dict(model.state_dict(), model, dialect)
    if container == "blobs":
        blobs = {name: value.numpy() for name, value in state.items()}
        path.write_bytes(pickle.dumps({"blobs": {**blobs, "lr": 0.1}}, 2))
    elif container == "safetensors":
        save_file({n: v.clone() for n, v in state.items()}, path)
    elif container == "lightning":
        named = {f"model.{name}": value for name, value in state.items()}
        torch.save({"epoch": 3, "state_dict": named, "pytorch-lightning_version": "2.0"}, path)
    elif container == "ddp":
        torch.save({f"module.{name}": value for name, value in state.items()}, path)
    elif container == "wrapped":
        torch.save({"model_state": {f"model.{n}": v for n, v in state.items()}}, path)
    else:
        torch.save(state if container == "bare" else {container: state}, path)
    return path


KINDS = {
    "X3D_XS.pyth": ("x3d_xs", "pytorchvideo", "model_state"),
    "wrapped.pyth": ("x3d_xs", "pytorchvideo", "wrapped"),
    "bare.pth": ("x3d_xs", "pytorchvideo", "bare"),
    "ddp.pth": ("x3d_xs", "pytorchvideo", "ddp"),
    "lightning.ckpt": ("x3d_xs", "pytorchvideo", "lightning"),
    "x.safetensors": ("x3d_xs", "pytorchvideo", "safetensors"),
    "x3d_xs.pyth": ("x3d_xs.k400_4x12_pyslowfast", "pyslowfast", "model_state"),
    "x3d_xs.pkl": ("x3d_xs.k400_4x12_pyslowfast", "caffe2", "blobs"),
}


QUICK = ("x3d_xs.pkl",)
FILES = [file if file in QUICK else pytest.param(file, marks=pytest.mark.slow) for file in KINDS]


@pytest.mark.parametrize("file", FILES)
def test_every_dialect_becomes_a_checkpoint(tmp_path: Path, file: str) -> None:
    name, dialect, container = KINDS[file]
    model = random_weights(name)
    source = write(tmp_path / file, model, dialect, container)
    report = tmp_path / "report.json"
    done = cli("convert", source, tmp_path / "out.json", "--model", name, "--json", report)
    assert done.code == 0, done
    assert f"dialect: {dialect}" in done.out and "Wrote" in done.out
    said = json.loads(report.read_text())
    assert said["report"]["fits"] and said["report"]["dialect"] == dialect
    checkpoint = load_weights(tmp_path / "out.json")
    assert checkpoint.contract.clip.num_frames == 4
    state = model.state_dict()
    assert set(checkpoint.weights()) == set(state)
    assert all(torch.equal(v, state[n]) for n, v in checkpoint.weights().items())
    classes = vitascope.load(tmp_path / "out.json").classes
    assert len(classes) == 400 and classes[5] == "archery"

    back = tmp_path / "back.safetensors"
    assert cli("convert", tmp_path / "out.json", back, "--to", dialect).code == 0
    again = export_state_dict(state, model, dialect)
    assert all(torch.equal(v, again[n]) for n, v in load_file(back).items())


def test_foreign_files_open_without_converting(tmp_path: Path) -> None:
    model = random_weights("x3d_xs")
    source = write(tmp_path / "X3D_XS.pyth", model, "pytorchvideo", "model_state")
    predictor = vitascope.load(source)
    assert predictor.source.contract.model == "x3d_xs.k400_4x12"


def test_what_is_refused(tmp_path: Path) -> None:
    model = random_weights("x3d_xs")
    source = write(tmp_path / "mine.pth", model, "pytorchvideo", "bare")
    out = tmp_path / "out.json"
    assert "fits several" in refused("convert", source, out)
    assert "does not fit" in refused("convert", source, out, "--model", "slow_r50")
    assert "Did you mean 'x3d_xs'" in refused("convert", source, out, "--model", "x3d_xss")
    assert "Did you mean 'caffe2'" in refused("convert", source, out, "--to", "caffe")
    assert "no such" in refused("convert", tmp_path / "gone", out)
    for file, target in (("m.onnx", "onnx"), ("m.xml", "openvino"), ("m.pt2", "torch.export")):
        said = refused("convert", source, tmp_path / file)
        assert f"vitascope export {source} --to {target} --out {tmp_path / file}" in said
        assert not (tmp_path / file).exists()
    assert cli("convert", source, out, "--model", "x3d_xs").code == 0
    assert "--force" in refused("convert", source, out, "--model", "x3d_xs")
    assert cli("convert", source, out, "--model", "x3d_xs", "--force").code == 0
    bomb = tmp_path / "bomb.pyth"
    bomb.write_bytes(pickle.dumps({"blobs": print}, 2))
    assert "nothing was run" in refused("convert", bomb, tmp_path / "b.json")


@pytest.mark.parametrize("file", FILES)
def test_training_starts_from_every_dialect(films: Path, tmp_path: Path, file: str) -> None:
    """One command, another class count: everything but the head is what the file has."""
    name, dialect, container = KINDS[file]
    model = random_weights(name)
    source = write(tmp_path / file, model, dialect, container)
    out = tmp_path / "run"
    settings = [word for word in TINY if not word.startswith("model.")]
    done = cli(
        "train", films, "--init", source, "--model", name, "--out", out, *settings,
        "optim.lr=1e-9", "optim.weight_decay=0",
    )  # fmt: skip
    assert done.code == 0, done
    assert "a new classifying layer for 2 classes" in done.out + done.err
    trained = load_weights(out).weights()
    before = model.state_dict()
    moving = ("running_mean", "running_var", "num_batches_tracked", "proj.weight", "proj.bias")
    compared = [n for n in before if not n.endswith(moving)]
    assert len(compared) > 100
    for entry in compared:
        torch.testing.assert_close(trained[entry], before[entry], rtol=0, atol=1e-5)
    assert trained["blocks.5.proj.weight"].shape[0] == 2
