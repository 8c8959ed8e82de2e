"""Every target: same scores, contract inside, batch free, nothing half-written, clear errors."""

from __future__ import annotations

import ctypes
import dataclasses
import json
import os
import pickle
import shutil
import sys
import zipfile
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from support.nodes import own_device
from vitascope.accelerator.export import (
    TARGETS,
    Artifact,
    artifact_path,
    export_model,
    open_artifact,
    require_target,
)
from vitascope.accelerator.export.onnx import quiet_exporter
from vitascope.accelerator.export.torch_export import TorchExportTarget
from vitascope.errors import (
    ConfigError,
    MissingExtraError,
    RunError,
    UnknownNameError,
    VerificationError,
    WeightsError,
)
from vitascope.models.base import is_capturing
from vitascope.spec import ClipSpec, Contract, LabelSpec, PixelSpec, ViewProtocol

NAMES = tuple(TARGETS)
# OpenVINO takes seconds to convert, and its files are written in the same way.
QUICK = tuple(
    pytest.param(name, marks=pytest.mark.slow) if name == "openvino" else name for name in TARGETS
)
needs = pytest.mark.export

CONTRACT = Contract(
    model="small",
    args={"depth": 2},
    labels=LabelSpec(names=("links & rechts", 'a "quoted" <b>', "日本")),
    clip=ClipSpec(num_frames=4, sampling_rate=2, fps=Fraction(30000, 1001), short="loop"),
    pixels=PixelSpec(short_side=20, crop=(16, 16), mean=(0.1, 0.2, 0.3), std=(0.5, 0.6, 0.7)),
    views=ViewProtocol(clips=3, crops=1),
)


class Small(nn.Module):
    """The operations of a mobile video net: depthwise, swish, squeeze-excitation, both pools."""

    def __init__(self, classes: int = 3) -> None:
        super().__init__()
        self.stem = nn.Conv3d(3, 8, 3, (1, 2, 2), 1, bias=False)
        self.norm = nn.BatchNorm3d(8)
        self.depthwise = nn.Conv3d(8, 8, (3, 3, 3), padding=1, groups=8)
        self.squeeze = nn.Conv3d(8, 8, 1)
        self.pool = nn.AvgPool3d((4, 4, 4), 1)
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(8, classes)
        self.norm.running_mean.uniform_(-0.5, 0.5)
        self.norm.running_var.uniform_(0.5, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = F.silu(self.norm(self.stem(x)))
        y = self.depthwise(x)
        x = x + y * torch.sigmoid(self.squeeze(F.adaptive_avg_pool3d(y, 1)))
        x = self.drop(self.pool(x).permute(0, 2, 3, 4, 1))
        return self.head(x).mean((1, 2, 3)) * 5


class TwoPathways(nn.Module):
    """A slow and a fast pathway, as a list."""

    def __init__(self) -> None:
        super().__init__()
        self.slow, self.fast = nn.Conv3d(3, 4, 1), nn.Conv3d(3, 4, 1)

    def forward(self, videos: list[Tensor]) -> Tensor:
        slow, fast = videos
        return self.slow(slow).mean((2, 3, 4)) + F.relu(self.fast(fast)).mean((2, 3, 4))


def _clips(count: int = 5, size: int = 16) -> list[Tensor]:
    return [torch.randn(3, 4, size, size) for _ in range(count)]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Path], Path]:
    """Copies one artifact of each target, written once, into a folder."""
    folder = tmp_path_factory.mktemp("written")

    def copy(to: str, into: Path) -> Path:
        if not (folder / to).is_dir():
            torch.manual_seed(0)
            _write(folder / to / "m", to)
        shutil.copytree(folder / to / "m", into)
        return into / f"model{TARGETS[to].suffix}"

    return copy


def _write(path: Path, to: str, model: nn.Module | None = None) -> tuple[nn.Module, Path]:
    model = model or Small()
    written, checked = export_model(model, CONTRACT, _clips(), path, to=to, repeats=1)
    assert checked.ok
    return model, written


@needs
@pytest.mark.parametrize("to", NAMES)
def test_artifact_computes_the_same_and_carries_its_contract(to: str, tmp_path: Path) -> None:
    model = Small().train()
    path, checked = export_model(model, CONTRACT, _clips(), tmp_path / "out", to=to, repeats=3)
    assert path == tmp_path / "out" / f"model{TARGETS[to].suffix}"
    assert checked.ok and checked.top1_agreement == 1.0 and checked.n_clips == 5
    assert checked.max_abs_diff <= 1e-4
    assert checked.latency_ms > 0 and checked.latency_ms_before > 0
    assert checked.size_bytes == sum(f.stat().st_size for f in path.parent.iterdir())
    assert checked.size_bytes_before == sum(
        t.numel() * t.element_size() for t in model.state_dict().values()
    )
    json.dumps(checked.to_json())
    assert model.training and model.head.weight.requires_grad, "the caller's model was changed"

    opened = open_artifact(path, threads=1)
    assert opened.contract == CONTRACT
    assert opened.target == to
    model.eval()
    for batch in (1, 3, 7):  # the batch dimension is free
        x = torch.randn(batch, 3, 4, 16, 16)
        torch.testing.assert_close(opened(x), model(x).detach(), atol=1e-5, rtol=1e-4)


@needs
@pytest.mark.parametrize("to", NAMES)
def test_pathways_become_separate_inputs(to: str, tmp_path: Path) -> None:
    model = TwoPathways()
    clips = [[torch.randn(3, 2, 8, 8), torch.randn(3, 8, 8, 8)] for _ in range(3)]
    path, checked = export_model(model, CONTRACT, clips, tmp_path, to=to, repeats=1)
    assert checked.ok
    batch = [torch.randn(5, 3, 2, 8, 8), torch.randn(5, 3, 8, 8, 8)]
    torch.testing.assert_close(open_artifact(path)(batch), model(batch).detach())


@needs
@pytest.mark.parametrize("to", NAMES)
def test_pathways_of_the_contract_are_packed_inside(to: str, tmp_path: Path) -> None:
    model = TwoPathways()
    clip = ClipSpec(num_frames=8, pathways=(4, 1))
    clips = [torch.randn(3, 8, 8, 8) for _ in range(3)]
    contract = dataclasses.replace(CONTRACT, clip=clip)
    path, checked = export_model(model, contract, clips, tmp_path, to=to, repeats=1)
    assert checked.ok
    batch = torch.randn(5, 3, 8, 8, 8)
    expected = model([batch[:, :, [0, 7]], batch]).detach()  # first and last frame
    torch.testing.assert_close(open_artifact(path)(batch), expected)


@needs
@pytest.mark.parametrize("to", QUICK)
def test_beyond_tolerance_no_file_is_kept(
    to: str, tmp_path: Path, written: Callable[[str, Path], Path]
) -> None:
    class Moody(Small):
        """Computes something else when it is traced."""

        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) + (0.5 if is_capturing() else 0.0)

    old = written(to, tmp_path / "m")
    before = {file.name: file.read_bytes() for file in old.parent.iterdir()}
    path, checked = export_model(Moody(), CONTRACT, _clips(), tmp_path / "m", to=to, repeats=1)
    assert not checked.ok
    assert checked.max_abs_diff == pytest.approx(0.5, abs=1e-4)
    # The older artifact under that name is untouched, and no temporary file remains.
    assert {file.name: file.read_bytes() for file in path.parent.iterdir()} == before


@needs
@pytest.mark.parametrize("to", QUICK)
def test_exporting_again_replaces_the_artifact(
    to: str, tmp_path: Path, written: Callable[[str, Path], Path]
) -> None:
    written(to, tmp_path / "m")
    model, path = _write(tmp_path / "m", to, Small(4))
    x = torch.randn(1, 3, 4, 16, 16)
    torch.testing.assert_close(open_artifact(path)(x), model.eval()(x).detach())


@needs
@pytest.mark.parametrize("to", NAMES)
@pytest.mark.parametrize("fault", ["cut", "empty", "foreign", "absent"])
def test_unusable_files_are_named(
    to: str, fault: str, tmp_path: Path, written: Callable[[str, Path], Path]
) -> None:
    path = written(to, tmp_path / "m")
    if fault == "cut":
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    elif fault == "empty":
        path.write_bytes(b"")
    elif fault == "foreign":
        path.write_bytes(b"this is a text\n" * 40)
    else:
        path.unlink()
    with pytest.raises(WeightsError, match=path.name):
        open_artifact(path)


@needs
def test_files_of_other_programs_have_no_contract(tmp_path: Path) -> None:
    import openvino

    model, x = Small().eval(), torch.randn(2, 3, 4, 16, 16)
    onnx, xml, pt2 = (tmp_path / f"foreign{suffix}" for suffix in (".onnx", ".xml", ".pt2"))
    with quiet_exporter():
        program = torch.export.export(model, (x,))
        torch.onnx.export(program, f=onnx, dynamo=True, verbose=False, external_data=False)
        openvino.save_model(openvino.convert_model(program), xml)
        torch.export.save(program, pt2)
    for path in (onnx, xml, pt2):
        with pytest.raises(WeightsError, match=r"foreign.*no vitascope contract"):
            open_artifact(path)


@needs
def test_openvino_needs_its_pair(tmp_path: Path, written: Callable[[str, Path], Path]) -> None:
    path = written("openvino", tmp_path / "m")
    weights = path.with_suffix(".bin")
    weights.write_bytes(weights.read_bytes()[:64])
    with pytest.raises(WeightsError, match=r"model\.xml"):
        open_artifact(path)
    weights.unlink()
    with pytest.raises(WeightsError, match=r"model\.bin must lie beside it"):
        open_artifact(path)


class _Bomb:
    def __reduce__(self) -> tuple[object, ...]:
        return (os.mkdir, ("ran",))


@needs
@pytest.mark.parametrize("where", ["sample", "constant", "weight", "call", "size", "spec", "part"])
def test_pt2_that_could_run_code_is_refused(
    where: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    written: Callable[[str, Path], Path],
) -> None:
    monkeypatch.chdir(tmp_path)
    path = written("torch.export", tmp_path / "good")
    bad = tmp_path / "bad.pt2"
    bomb = pickle.dumps(_Bomb())
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(bad, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            if where == "sample" and name.endswith("sample_inputs/model.pt"):
                data = bomb
            elif where in ("constant", "weight") and name.endswith(f"model_{where}s_config.json"):
                entry = {"path_name": "opaque_obj_0", "use_pickle": where == "weight"}
                data = json.dumps({"config": {"x": entry}}).encode()
            elif name.endswith("models/model.json"):
                text = data.decode()
                if where == "call":
                    text = text.replace("torch.ops.aten.conv3d.default", "torch.load", 1)
                elif where == "size":
                    text = text.replace("Symbol('", "__import__('os').mkdir('ran') or Symbol('", 1)
                elif where == "spec":
                    text = text.replace("builtins.tuple", "collections.defaultdict", 1)
                data = text.encode()
            new.writestr(name, data)
        if where == "part":
            new.writestr("good/data/constants/opaque_obj_0", bomb)
    with pytest.raises(WeightsError, match=r"bad\.pt2"):
        TorchExportTarget().open(bad)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("to", "hidden"),
    [("onnx", "onnx"), ("onnx", "onnxscript"), ("onnx", "onnxruntime"), ("openvino", "openvino")],
)
def test_missing_package_names_the_extra(
    to: str, hidden: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, hidden, None)
    with pytest.raises(MissingExtraError, match=rf"{hidden}.*vitascope\[{to}\]"):
        export_model(Small(), CONTRACT, _clips(), tmp_path / "x", to=to)
    assert not (tmp_path / "x").exists()


def test_torch_export_needs_no_extra() -> None:
    assert require_target("torch.export").modules == ()


def test_unknown_target_lists_the_known(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="onnx"):
        export_model(Small(), CONTRACT, _clips(), tmp_path, to="onxx")


def test_names_of_artifacts(tmp_path: Path) -> None:
    onnx = TARGETS["onnx"]
    assert artifact_path(tmp_path, onnx) == tmp_path / "model.onnx"
    assert artifact_path(tmp_path / "a.onnx", onnx) == tmp_path / "a.onnx"
    with pytest.raises(ConfigError, match=r"a\.onnx"):
        artifact_path(tmp_path / "a.xml", onnx)
    with pytest.raises(WeightsError, match=r"\.onnx \(onnx\)"):
        open_artifact(tmp_path / "model.tflite")


def test_no_clips_no_export(tmp_path: Path) -> None:
    with pytest.raises(VerificationError, match="real clips"):
        export_model(Small(), CONTRACT, [], tmp_path / "x", to="torch.export")
    assert not (tmp_path / "x").exists()


@needs
def test_model_that_cannot_be_expressed(tmp_path: Path) -> None:
    class Branching(Small):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) if x.sum() > 0 else x.mean((2, 3, 4))

    with pytest.raises(VerificationError, match=r"Branching \(small\) cannot be converted"):
        export_model(Branching(), CONTRACT, _clips(), tmp_path, to="torch.export")
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(sys.platform != "linux", reason="names of files are text elsewhere")
@pytest.mark.parametrize("to", NAMES)
def test_places_whose_names_are_no_text(to: str, tmp_path: Path) -> None:
    """No runtime takes them, each with a message of its own about something else."""
    place = tmp_path / os.fsdecode(b"caf\xe9")
    with pytest.raises(ConfigError, match=r"the name is not UTF-8.*--out"):
        export_model(Small(), CONTRACT, _clips(1), place, to=to)
    assert not list(tmp_path.iterdir())
    with pytest.raises(WeightsError, match=r"its name is not UTF-8.*Rename it"):
        open_artifact(place.with_suffix(TARGETS[to].suffix))


def test_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(RunError, match="cannot be written"):
        export_model(Small(), CONTRACT, _clips(), tmp_path / "file" / "m", to="torch.export")


def test_an_artifact_is_called_like_a_model() -> None:
    artifact = Artifact(Path("x"), "onnx", CONTRACT, lambda x: torch.as_tensor(x) * 2)
    assert artifact(torch.ones(1, 1)).item() == 2


@pytest.mark.skipif(sys.platform != "linux", reason="the fault is one of Linux")
@pytest.mark.parametrize("to", NAMES)
def test_the_stack_of_signal_handlers_is_left_alone(
    to: str, written: Callable[[str, Path], Path], tmp_path: Path
) -> None:
    """A runtime that takes it along when it closes makes the next signal kill the process."""
    call = ctypes.CDLL(None).sigaltstack
    before, after = (ctypes.create_string_buffer(3 * 8) for _ in range(2))  # stack_t
    call(None, before)
    artifact = open_artifact(written(to, tmp_path / "model"))
    artifact(_clips()[0][None])
    call(None, after)
    assert before.raw == after.raw


@needs
@pytest.mark.parametrize("to", QUICK)
def test_a_device_in_the_place_of_an_artifact_stays_one(to: str, tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    node = own_device(tmp_path / "m" / f"model{TARGETS[to].suffix}")
    before = node.lstat()
    try:
        _write(tmp_path / "m", to)  # a single file goes into it
    except RunError as error:
        assert str(node) in str(error) and "Give another path" in str(error)
    after = node.lstat()
    assert (after.st_mode, after.st_ino, after.st_rdev) == (
        before.st_mode, before.st_ino, before.st_rdev,
    )  # fmt: skip
    assert [p.name for p in (tmp_path / "m").iterdir()] == [node.name]


@needs
@pytest.mark.parametrize("to", QUICK)
def test_a_link_in_the_place_of_an_artifact_stays_one(to: str, tmp_path: Path) -> None:
    suffix = TARGETS[to].suffix
    (tmp_path / "m").mkdir()
    real = tmp_path / f"real{suffix}"
    real.write_bytes(b"old")
    (tmp_path / "m" / f"model{suffix}").symlink_to(real)
    _write(tmp_path / "m", to)
    assert (tmp_path / "m" / f"model{suffix}").is_symlink()
    assert real.read_bytes() != b"old" and len(real.read_bytes()) > 100
