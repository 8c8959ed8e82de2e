"""Fine-tuning on real clips from a small "pre-trained" file in every dialect: one command each."""

from __future__ import annotations

import csv
import pickle
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from models.weights.test_torchvision import image_net
from support.command_line import cli
from vitascope.engine.build import load_model
from vitascope.models.base import VideoModel
from vitascope.models.registry import create_model, get_card
from vitascope.models.weights import DIALECTS, convert_state_dict, export_state_dict

pytestmark = pytest.mark.slow

PER_CLASS = {"train": 2, "val": 1}
SLOW = {
    "stem_dim_out": 8, "stage_depths": [1, 1, 1, 1], "head_pool_kernel_size": [4, 2, 2],
    "stem_conv_kernel_size": [1, 7, 7],
}  # fmt: skip
INFLATED = {"stem_dim_out": 8, "stage_depths": [2, 2, 2, 2], "head_pool_kernel_size": [4, 2, 2]}
MVIT = {
    "depth": 3, "patch_embed_dim": 16, "num_heads": 2, "embed_dim_mul": [[1, 2.0]],
    "atten_head_mul": [[1, 2.0]], "pool_q_stride_size": [[1, 1, 2, 2]],
}  # fmt: skip
VIDEOMAE = {
    "image_size": 32, "patch_size": 8, "num_frames": 4, "hidden_size": 24, "num_hidden_layers": 2,
    "num_attention_heads": 2, "intermediate_size": 48,
}  # fmt: skip
Entries = dict[str, Tensor]
Write = Callable[[Path, Entries], None]


@pytest.fixture(scope="module")
def clips(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Links to a few clips of each class, signers of the training and validation kept apart."""
    actions = shared / "data" / "actions"
    folder = tmp_path_factory.mktemp("clips")
    with (actions / "train.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    for label in sorted({row["label"] for row in rows}):
        files = [row["path"] for row in rows if row["label"] == label]
        chosen = {"train": files[: PER_CLASS["train"]], "val": files[-PER_CLASS["val"] :]}
        for split, paths in chosen.items():
            place = folder / split / label
            place.mkdir(parents=True)
            for path in paths:
                (place / Path(path).name).symlink_to((actions / path).resolve())
    return folder


def _archive(path: Path, entries: Entries) -> None:
    torch.save({"model_state": entries, "epoch": 3}, path)


def _wrapped(path: Path, entries: Entries) -> None:
    _archive(path, {f"model.{name}": value for name, value in entries.items()})


def _blobs(path: Path, entries: Entries) -> None:
    blobs = {name: value.numpy() for name, value in entries.items()}
    path.write_bytes(pickle.dumps({"blobs": {**blobs, "lr": 0.1, "model_iter": 7}}, 2))


def _lightning(path: Path, entries: Entries) -> None:
    named = {f"model.{name}": value for name, value in entries.items()}
    torch.save({"epoch": 3, "state_dict": named, "hyper_parameters": {"lr": 0.1}}, path)


def _safetensors(path: Path, entries: Entries) -> None:
    save_file({name: value.clone() for name, value in entries.items()}, path)


def _bare(path: Path, entries: Entries) -> None:
    torch.save(entries, path)


@dataclass(frozen=True)
class Case:
    """A file.

    Attributes:
        file: its name.
        model: card of the model.
        dialect: whose names its entries have.
        write: puts the entries into the file.
        args: arguments of the model.
        size: frames, and height and width.
    """

    file: str
    model: str
    dialect: str
    write: Write
    args: dict[str, Any]
    size: tuple[int, int] = (4, 64)


CASES = {
    "PyTorchVideo .pyth": Case("X3D.pyth", "x3d_xs", "pytorchvideo", _archive, {}),
    "PyTorchVideo .pyth, Slow": Case("SLOW.pyth", "slow_r50", "pytorchvideo", _archive, SLOW),
    "PySlowFast model. wrapper": Case("wrapped.pyth", "slow_r50", "pytorchvideo", _wrapped, SLOW),
    "PySlowFast native, X3D": Case(
        "x3d.pyth", "x3d_xs.k400_4x12_pyslowfast", "pyslowfast", _archive, {}
    ),
    "PySlowFast native, Slow": Case("slow.pyth", "slow_r50", "pyslowfast", _archive, SLOW),
    "PySlowFast native, MViT": Case(
        "mvit.pyth", "mvit_base_16x4.psf_k400_16x4", "pyslowfast", _archive, MVIT
    ),
    "Caffe2 .pkl": Case("slow.pkl", "slow_r50", "caffe2", _blobs, SLOW),
    "Lightning .ckpt": Case("last.ckpt", "x3d_xs", "pytorchvideo", _lightning, {}),
    "bare state dict": Case("bare.pth", "x3d_xs", "pytorchvideo", _bare, {}),
    "safetensors": Case("x3d.safetensors", "x3d_xs", "pytorchvideo", _safetensors, {}),
    "2-D ImageNet, inflated": Case(
        "resnet.pth", "i3d_r50", "torchvision", _bare, INFLATED, (8, 64)
    ),
    "Transformers folder": Case("folder", "hf:", "transformers", _bare, {}, (4, 32)),
    "Transformers file": Case("model.safetensors", "hf:", "transformers", _bare, {}, (4, 32)),
    "timm .pth": Case("resnet10t.pth", "timm:resnet10t", "timm", _bare, {}, (4, 64)),
}


# A dialect without a row: the first of these models that it has names for.
for _name in sorted(set(DIALECTS) - {case.dialect for case in CASES.values()}):
    for _model, _args in (("x3d_xs", {}), ("slow_r50", SLOW), ("mvit_base_16x4", MVIT)):
        with torch.device("meta"):
            _known = DIALECTS[_name].table(create_model(_model, **_args))
        if _known is not None:
            CASES[_name] = Case(f"{_name}.pth", _model, _name, _bare, _args)
            break


def _pretrained(case: Case, folder: Path) -> tuple[str, Path, VideoModel]:
    """Writes the file; also the model's name, and a model that the file's values belong to."""
    torch.manual_seed(5)
    folder.mkdir()
    path = folder / case.file
    if case.model == "hf:":
        transformers = pytest.importorskip("transformers")
        config = transformers.VideoMAEConfig(**VIDEOMAE, num_labels=7)
        transformers.VideoMAEForVideoClassification(config).save_pretrained(folder)
        name = f"hf:{folder}"
        return name, folder if case.file == "folder" else path, create_model(name, pretrained=True)
    if case.dialect == "timm":
        pytest.importorskip("timm", exc_type=ImportError)  # timm itself needs torchvision
    model = create_model(case.model, **case.args)
    if case.dialect == "torchvision":
        entries = image_net(8).state_dict()
    else:
        entries = export_state_dict(model.state_dict(), model, case.dialect)
    for value in entries.values():
        if value.is_floating_point():
            value.add_(0.05 * torch.rand(value.shape))
    case.write(path, {name: value.clone() for name, value in entries.items()})
    state, report = convert_state_dict(entries, model)
    assert report.fits or report.only_head_differs
    model.load_state_dict({**model.state_dict(), **state})
    return case.model, path, model


def _settings(case: Case) -> list[str]:
    frames, side = case.size
    card_sizes = case.model.startswith(("hf:", "timm:"))
    size = [f"clip.num_frames={frames}", f"pixels.crop={side},{side}", f"pixels.short_side={side}"]
    args = [f"model.args.{name}={value}" for name, value in case.args.items()]
    return [
        *([] if case.model == "hf:" else size), *args, "clip.coverage=video",
        *(["clip.sampling_rate=1"] if not card_sizes else []),
        "optim.epochs=1", "optim.batch_size=5", "optim.lr=1e-9", "optim.weight_decay=0",
        "data.workers=0", "data.cache=false", "run.accelerator=cpu", "run.threads=1",
        "run.views=1x1",
    ]  # fmt: skip


@pytest.mark.parametrize("title", CASES)
def test_one_command(
    title: str, clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Everything but the head is what the file has; the head is for the ten classes."""
    case = CASES[title]
    name, path, expected = _pretrained(case, tmp_path / "zoo")
    out = tmp_path / "run"
    done = cli("train", clips, "--model", name, "--init", path, "--out", out, *_settings(case))
    assert done.code == 0, done
    said = done.out + done.err
    (line,) = [row.strip() for row in said.splitlines() if f": {case.dialect}, " in row]
    assert "a new classifying layer for 10 classes" in said
    assert ("inflated to 3 frames" in said) == (case.dialect == "torchvision")
    model, checkpoint = load_model(out)
    assert model.num_classes == 10 and len(checkpoint.contract.labels.names) == 10
    assert checkpoint.contract.labels.names[0] == "arabic"
    state, head = model.state_dict(), set(model.head_entries())
    moving = ("running_mean", "running_var", "num_batches_tracked")
    compared = 0
    # Tables of positions for another size of clip are resampled.
    fitting, _ = convert_state_dict(expected.state_dict(), model)
    for entry, value in expected.state_dict().items():
        if entry not in head and not entry.endswith(moving):
            value = value if value.shape == state[entry].shape else fitting[entry]
            torch.testing.assert_close(state[entry], value, rtol=0, atol=1e-5, msg=entry)
            compared += 1
    score = float(checkpoint.state["best_score"])
    line = line.rpartition("/")[2]
    with capsys.disabled():
        sys.stdout.write(
            f"\n{title:27}| {line} | {compared} entries as in the file | top-1 {score:.0%}\n"
        )
    assert compared > 20


def test_every_dialect_is_among_them() -> None:
    missing = set(DIALECTS) - {case.dialect for case in CASES.values()}
    assert not missing, f"{sorted(missing)}: add a row to CASES with a model that they name"
    assert all(get_card(c.model) for c in CASES.values() if ":" not in c.model)
