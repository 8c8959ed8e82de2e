"""Weight files of Transformers and timm: recognized, loaded, computing what the originals do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

import vitascope
from models.foreign.test_foreign import CLASSES, NAMES, _clip, _config, _original
from vitascope.errors import WeightsError
from vitascope.models.foreign.base import ForeignModel
from vitascope.models.registry import create_model
from vitascope.models.weights import convert_state_dict, export_state_dict, load_into
from vitascope.models.weights.identify import open_foreign
from vitascope.serving.converting import convert_checkpoint
from vitascope.serving.loading import open_model

transformers = pytest.importorskip("transformers")


def _written(folder: Path, family: str, form: str, **changes: Any) -> tuple[Path, Any]:
    """A checkpoint of Transformers in one of the forms that exist, and the original."""
    original = _original(family, **changes)
    original.config.id2label = {i: f"action {i}" for i in range(CLASSES)}
    many = {"max_shard_size": "20KB"} if form == "shards" else {}
    original.save_pretrained(folder, **many)
    file = folder / "model.safetensors"
    if form in ("bin", "lightning"):
        state = load_file(file)
        file.unlink()
        if form == "bin":
            file = folder / "pytorch_model.bin"
            torch.save(state, file)
        else:
            file = folder / "last.ckpt"
            torch.save({"state_dict": {f"model.{n}": v for n, v in state.items()}}, file)
    elif form == "folder":
        file = folder
    elif form == "shards":
        assert len(list(folder.glob("model-*.safetensors"))) > 1
        file = folder
    elif form == "memory names":  # what `torch.save(model.state_dict())` writes
        file.unlink()
        file = folder / "mine.pth"
        torch.save(original.state_dict(), file)
    return file, original


def _scores(original: Any) -> Tensor:
    with torch.no_grad():
        scores: Tensor = original(_clip().transpose(1, 2)).logits
    return scores


FORMS = ("folder", "file", "bin", "shards", "memory names", "lightning")


@pytest.mark.parametrize(
    ("family", "form"),
    [*((name, "file") for name in NAMES), *(("vivit", form) for form in FORMS if form != "file"),
     ("videomae", "memory names"), ("videomae", "folder")],
)  # fmt: skip
def test_the_originals_scores_come_back(family: str, form: str, tmp_path: Path) -> None:
    path, original = _written(tmp_path / "net", family, form)
    opened = open_foreign(path)
    assert isinstance(opened.model, ForeignModel) and opened.report.fits
    assert opened.report.dialect == (
        "pytorchvideo" if not opened.report.renamed else "transformers"
    )
    assert opened.contract.labels.names == tuple(f"action {i}" for i in range(CLASSES))
    with torch.no_grad():
        torch.testing.assert_close(opened.model(_clip()), _scores(original), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("form", ["folder", "file", "bin"])
def test_load_and_convert_take_them(form: str, tmp_path: Path) -> None:
    path, original = _written(tmp_path / "net", "videomae", form)
    expected = _scores(original)
    torch.testing.assert_close(open_model(path).forward(_clip()), expected, rtol=1e-4, atol=1e-5)
    assert vitascope.load(path).classes[2] == "action 2"
    done = convert_checkpoint(path, tmp_path / "ours.json")
    assert done.contract.args["config"]["hidden_size"] == 24 and done.report is not None
    for file in (tmp_path / "net").iterdir():
        file.unlink()  # the converted one needs its folder no more
    found = open_model(done.path).forward(_clip())
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    back = convert_checkpoint(done.path, tmp_path / "theirs.safetensors", to="transformers")
    names = load_file(back.path)
    assert "videomae.encoder.layer.0.attention.attention.q_bias" in names
    again = transformers.VideoMAEForVideoClassification.from_pretrained(
        None, config=original.config, state_dict=names
    ).eval()  # fmt: skip
    torch.testing.assert_close(_scores(again), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("family", NAMES)
def test_names_there_and_back(family: str) -> None:
    model = create_model(f"hf:{family}", config=_config(family), num_classes=3)
    state = model.state_dict()
    theirs = export_state_dict(state, model, "transformers")
    assert not any(name.startswith("network.") for name in theirs)
    assert family != "vivit" or "vivit.encoder.layer.0.intermediate.dense.bias" in theirs
    mine, report = convert_state_dict(theirs, model)
    assert report.fits and report.dialect == "transformers"
    assert all(torch.equal(mine[n], v) for n, v in state.items())


@pytest.mark.parametrize("family", NAMES)
def test_encoders_alone_start_a_fine_tuning(family: str) -> None:
    """As published after pre-training: no head, other parts that are not needed, no outer name."""
    entries = {
        name.removeprefix(f"{family}."): value
        for name, value in _original(family).state_dict().items()
        if name.startswith(f"{family}.")
    }
    if family == "videomae":
        entries |= {"mask_token": torch.zeros(1), "decoder.norm.weight": torch.zeros(3)}
    model = create_model(f"hf:{family}", config=_config(family), num_classes=3)
    head = {n: v.clone() for n, v in model.state_dict().items() if n in model.head_entries()}
    with pytest.raises(WeightsError, match="no classifying layer of this model"):
        load_into(model, entries)
    report = load_into(model, entries, new_head=True)
    assert set(report.new_head) == set(head)
    state = model.state_dict()
    assert all(torch.equal(state[n], v) for n, v in head.items())
    assert bool(report.ignored) == (family in ("videomae", "vjepa2"))
    used = {n: v for n, v in state.items() if n not in head}
    assert len(used) == len(entries) - len(report.ignored)
    first = next(n for n in used if n.endswith("projection.weight") or n.endswith("proj.weight"))
    assert torch.equal(used[first], entries[first.removeprefix(f"network.{family}.")])


def test_a_file_without_its_configuration(tmp_path: Path) -> None:
    path, _ = _written(tmp_path / "net", "timesformer", "file")
    (tmp_path / "net" / "config.json").unlink()
    with pytest.raises(WeightsError, match=r"a timesformer model of Transformers.*config\.json"):
        open_foreign(path)
    with pytest.raises(WeightsError, match=r"a folder without config\.json"):
        load_into(create_model("hf:vivit", config=_config("vivit")), tmp_path / "net")
    small = {**_config("timesformer"), "num_frames": 8}
    with pytest.raises(WeightsError, match=r"time_embeddings, 1x4x24 in the file and 1x8x24 here"):
        load_into(create_model("hf:timesformer", config=small), path, new_head=True)
    (tmp_path / "net" / "config.json").write_text("{")
    with pytest.raises(WeightsError, match="no readable configuration"):
        open_foreign(path)


class TestTimm:
    """Encoders of timm, whose classifying layer has another name in each."""

    timm = None

    @pytest.fixture(autouse=True)
    def _timm(self) -> None:
        self.timm = pytest.importorskip("timm", exc_type=ImportError)  # timm needs torchvision

    @pytest.mark.parametrize(
        ("name", "side"), [("resnet10t", 32), ("convnext_atto", 32), ("vit_tiny_patch16_224", 224)]
    )
    @pytest.mark.parametrize("form", ["folder", "named file"])
    def test_the_mean_of_the_originals_scores(
        self, name: str, side: int, form: str, tmp_path: Path
    ) -> None:
        torch.manual_seed(1)
        original = self.timm.create_model(name, num_classes=CLASSES).eval()
        if form == "folder":
            path = tmp_path
            save_file(original.state_dict(), tmp_path / "model.safetensors")
            described = {
                "architecture": name,
                "num_classes": CLASSES,
                "label_names": [f"thing {i}" for i in range(CLASSES)],
                "pretrained_cfg": {"mean": [0.1, 0.2, 0.3], "std": [1, 1, 1]},
            }
            (tmp_path / "config.json").write_text(json.dumps(described))
        else:
            path = tmp_path / f"{name}.mine.pth"
            torch.save(original.state_dict(), path)
        opened = open_foreign(path)
        assert opened.report.dialect == "timm" and opened.report.fits
        assert opened.contract.model == f"timm:{name}" and opened.model.num_classes == CLASSES
        if form == "folder":
            assert opened.contract.labels.names[1] == "thing 1"
            assert opened.contract.pixels.mean == (0.1, 0.2, 0.3)
        clip = torch.randn(2, 3, 2, side, side)
        with torch.no_grad():
            expected = torch.stack([original(clip[:, :, t]) for t in range(2)]).mean(0)
            torch.testing.assert_close(opened.model(clip), expected, rtol=1e-4, atol=1e-4)
        theirs = export_state_dict(opened.model.state_dict(), opened.model, "timm")
        assert set(theirs) == set(original.state_dict())
        assert all(torch.equal(theirs[n], v) for n, v in original.state_dict().items())
        fine = create_model(f"timm:{name}", num_classes=9)
        assert len(load_into(fine, path, new_head=True).new_head) == 2
