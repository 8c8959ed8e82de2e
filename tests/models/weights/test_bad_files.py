"""Malicious, cut and foreign checkpoints: one message each, and nothing is run."""

from __future__ import annotations

import argparse
import io
import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from vitascope.errors import WeightsError
from vitascope.models.slowfast import create_slowfast
from vitascope.models.weights import convert_state_dict, load_into
from vitascope.models.weights.read import read_content
from vitascope.models.x3d import create_x3d


class Bomb:
    """Asks to make a file when it is unpickled."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> Any:
        return (Path.touch, (self.place,))


class System:
    """Asks for a shell command when it is unpickled."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> Any:
        import os

        return (os.system, (f"touch {self.place}",))


def by_build(place: Path) -> bytes:
    """A pickle without a function call: it gets one by way of the state of a known object."""
    return (
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
        b"cbuiltins\nexec\nU" + bytes([len(text := f"open('{place}','w')".encode())]) + text
        + b"\x85Rb."
    )  # fmt: skip


def malicious(folder: Path, ran: Path) -> dict[str, Path]:
    files = {}
    for name, thing in {"bomb": Bomb(ran), "system": System(ran)}.items():
        for protocol in (0, 2, 4):
            files[f"{name} {protocol}"] = path = folder / f"{name}{protocol}.pkl"
            path.write_bytes(pickle.dumps({"blobs": {"conv1_w": thing}}, protocol))
        files[f"{name} torch"] = path = folder / f"{name}.pyth"
        torch.save({"model_state": thing}, path)
        files[f"{name} old torch"] = path = folder / f"{name}.pth"
        torch.save({"model_state": thing}, path, _use_new_zipfile_serialization=False)
    files["build"] = path = folder / "build.pkl"
    path.write_bytes(by_build(ran))
    files["object array"] = path = folder / "object.pkl"
    path.write_bytes(pickle.dumps({"blobs": {"w": np.array([Bomb(ran)], dtype=object)}}, 2))
    files["suffix lies"] = path = folder / "bomb.safetensors"
    path.write_bytes(pickle.dumps(Bomb(ran), 2))
    return files


def test_nothing_in_a_malicious_file_runs(tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    files = malicious(tmp_path, ran)
    assert pickle.loads(pickle.dumps(Bomb(ran))) is None and ran.exists()  # the bomb works
    ran.unlink()
    for name, path in files.items():
        with pytest.raises(WeightsError) as caught:
            read_content(path)
        assert str(path) in str(caught.value), name
        assert "nothing was run" in str(caught.value), caught.value
        print(f"{name}: {caught.value}")
    assert not ran.exists()
    assert len(files) == 13


def broken(folder: Path) -> dict[str, tuple[Path, str]]:
    whole = folder / "whole.pyth"
    torch.save({"model_state": {"a.weight": torch.arange(5000.0)}}, whole)
    content = whole.read_bytes()
    save_file({"a.weight": torch.arange(5000.0)}, folder / "whole.safetensors")
    safe = (folder / "whole.safetensors").read_bytes()
    blobs = pickle.dumps({"blobs": {"conv1_w": np.arange(5000.0)}}, 2)
    other = io.BytesIO()
    with zipfile.ZipFile(other, "w") as archive:
        archive.writestr("word/document.xml", "<xml/>")
    flipped = bytearray(content)
    flipped[len(content) // 2] ^= 0xFF
    files = {
        "cut.pyth": (content[: len(content) // 2], "cut"),
        "cut.safetensors": (safe[:-100], "cut"),
        "cut.pkl": (blobs[:-200], "cut"),
        "empty.pyth": (b"", "is empty"),
        "page.pyth": (b"<!DOCTYPE html><html>404</html>", "is no checkpoint"),
        "flipped.pyth": (bytes(flipped), "is damaged"),
        "letter.docx": (other.getvalue(), "no checkpoint of torch"),
        "number.pkl": (pickle.dumps(3, 2), "no named tensors"),
        "list.pkl": (pickle.dumps([1, 2], 2), "no named tensors"),
        "words.pkl": (pickle.dumps({"cfg": "a"}, 2), "its keys are cfg"),
    }
    for name, (data, _) in files.items():
        (folder / name).write_bytes(data)
    return {name: (folder / name, word) for name, (_, word) in files.items()}


def test_broken_files_have_one_message_each(tmp_path: Path) -> None:
    model = create_x3d(**SMALL)
    before = {n: v.clone() for n, v in model.state_dict().items()}
    for name, (path, word) in broken(tmp_path).items():
        with pytest.raises(WeightsError, match=word) as caught:
            load_into(model, path)
        assert str(path) in str(caught.value) and "\n" not in str(caught.value), name
        print(f"{name}: {caught.value}")
    with pytest.raises(WeightsError, match="no such file"):
        load_into(model, tmp_path / "absent.pyth")
    with pytest.raises(WeightsError, match="a folder"):
        load_into(model, tmp_path)
    assert all(torch.equal(v, before[n]) for n, v in model.state_dict().items())


SMALL = {
    "input_clip_length": 4,
    "input_crop_size": 32,
    "depth_factor": 1.0,
    "width_factor": 1.0,
    "model_num_class": 7,
}


def test_wrong_networks_are_refused_and_nothing_changes() -> None:
    model = create_x3d(**SMALL)
    own = {n: v.clone() for n, v in model.state_dict().items()}
    slowfast = create_slowfast(stage_depths=(1, 1, 1, 1)).state_dict()
    with pytest.raises(WeightsError, match=r"does not fit this Net: .* missing .* unknown to it"):
        load_into(model, {**slowfast, "blocks.0.norm.weight": own["blocks.0.norm.weight"]})
    with pytest.raises(WeightsError, match="is no checkpoint of Net: in no known dialect"):
        load_into(model, {"layers.0.w": torch.zeros(3)})
    with pytest.raises(WeightsError, match="has no classifying layer of this model"):
        lacking = {n: v for n, v in own.items() if not n.startswith("blocks.5.proj.")}
        load_into(model, lacking)
    other = {**own, "blocks.0.norm.bias": torch.zeros(3)}
    with pytest.raises(WeightsError, match=r"1 of another shape .*3 in the file and 16 here"):
        load_into(model, other)
    assert all(torch.equal(v, own[n]) for n, v in model.state_dict().items())


def test_a_head_of_another_size_is_replaced_only_when_asked() -> None:
    model = create_x3d(**SMALL)
    file = {n: v + 1 for n, v in create_x3d(**{**SMALL, "model_num_class": 5}).state_dict().items()}
    mine = model.blocks[5].proj.weight.clone()
    with pytest.raises(WeightsError, match=r"for 5 classes, here are 7.*new_head=True"):
        load_into(model, file)
    assert torch.equal(model.blocks[5].proj.weight, mine)
    report = load_into(model, file, new_head=True)
    assert report.new_head == ("blocks.5.proj.weight", "blocks.5.proj.bias")
    assert torch.equal(model.blocks[5].proj.weight, mine)
    assert torch.equal(model.state_dict()["blocks.0.norm.bias"], file["blocks.0.norm.bias"])
    assert "new classifying layer: 2" in str(report)


def test_harmless_content_is_read(tmp_path: Path) -> None:
    """What training programs store beside weights: arguments, numbers of numpy, counters."""
    torch.save(
        {
            "model": OrderedDict(a=torch.ones(2)),
            "args": argparse.Namespace(lr=0.1),
            "best": np.float64(0.5),
            "epoch": 3,
        },
        tmp_path / "a.pth",
    )
    content = read_content(tmp_path / "a.pth")
    assert content["args"].lr == 0.1 and float(content["best"]) == 0.5


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_arrays_arrive_as_they_were(tmp_path: Path, protocol: int) -> None:
    arrays = {
        "a": np.arange(24, dtype=">f4").reshape(2, 3, 4),
        "b": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "c": np.float32(1.5),
        "d": np.arange(3, dtype=np.int64),
        "e": np.zeros((0, 3), np.float16),
    }
    path = tmp_path / "a.pkl"
    path.write_bytes(pickle.dumps({"blobs": arrays}, protocol))
    content = read_content(path)["blobs"]
    for name, value in arrays.items():
        assert np.array_equal(content[name], value) and content[name].shape == value.shape


def test_a_pickle_of_python_2_is_read(tmp_path: Path) -> None:
    """As Python 2 wrote it: strings of bytes, and the old place of numpy's function."""
    raw = np.array([1.5, -2.0], "<f4").tobytes()
    text = (
        b"\x80\x02}q\x01U\x05blobs}U\x06pred_b"
        b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
        b"(K\x01K\x02\x85cnumpy\ndtype\nU\x02f4K\x00K\x01\x87R"
        b"(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89U\x08" + raw + b"tbss."
    )
    path = tmp_path / "a.pkl"
    path.write_bytes(text)
    assert read_content(path)["blobs"]["pred_b"].tolist() == [1.5, -2.0]


def test_wrapped_names_are_unwrapped() -> None:
    model = create_x3d(**SMALL)
    own = model.state_dict()
    for container, prefix in [
        ("model_state", "model."), ("state_dict", "module."), ("model", "module.model."),
        ("state_dict", "classifier_net."), ("", "_orig_mod."),
    ]:  # fmt: skip
        renamed = {prefix + name: value for name, value in own.items()}
        state, report = convert_state_dict({container: renamed} if container else renamed, model)
        assert report.fits and (report.container, report.prefix) == (container, prefix)
        assert list(state) == list(own)
