"""The doctor survives whatever libraries do, and names the command that mends them."""

from __future__ import annotations

import json
import os
import sys
from importlib import metadata
from pathlib import Path

import pytest

from support.command_line import cli
from vitascope import optional
from vitascope.cli import doctor
from vitascope.cli.doctor import Trial, attempt

AV, TORCH = metadata.version("av"), metadata.version("torch")
BROKEN = {
    "crashes": ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "SIGSEGV"),
    "cannot load": ("raise ImportError('wrong ELF class')", "wrong ELF class"),
    "is wrong": ("raise KeyError('nobody expects this')", "nobody expects this"),
}


def first_on_path(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Other processes import from `folder` before all else."""
    rest = os.environ.get("PYTHONPATH")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(folder), *([rest] if rest else [])]))


@pytest.mark.slow
@pytest.mark.parametrize("what", BROKEN)
def test_a_library_that_breaks_is_a_row_with_a_remedy(what, tmp_path, monkeypatch):
    source, reason = BROKEN[what]
    (tmp_path / "openvino.py").write_text(source)
    first_on_path(monkeypatch, tmp_path)
    trial = attempt("target", "openvino", "openvino")
    assert not trial.works
    assert reason in trial.detail
    version = metadata.version("openvino")
    anew = f'{sys.executable} -m pip install --force-reinstall --no-deps "openvino=={version}"'
    assert trial.mend == anew


def test_a_library_that_hangs_is_given_up(tmp_path, monkeypatch):
    (tmp_path / "av.py").write_text("import time; time.sleep(600)")
    first_on_path(monkeypatch, tmp_path)
    monkeypatch.setattr(doctor, "TIME_LIMIT", 1)
    trial = attempt("decoder", "pyav")
    assert (trial.works, trial.detail) == (False, "no answer within 1 s")
    assert trial.mend.endswith(f'-m pip install --force-reinstall --no-deps "av=={AV}"')


def installed(folder: Path, **modules: str) -> Path:
    """A folder of installed packages; `module="source"`."""
    site = folder / "lib" / "site-packages"
    for module, source in modules.items():
        (site / module).mkdir(parents=True)
        (site / module / "__init__.py").write_text(source)
    return site


@pytest.mark.parametrize(
    "source",
    ["import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "raise RuntimeError('old numpy')"],
)
@pytest.mark.parametrize(
    ("kind", "name", "fails"), [("torch", "torch", "numpy"), ("decoder", "opencv", "av")]
)
def test_the_package_that_fails_is_blamed_and_not_what_needs_it(
    kind, name, fails, source, tmp_path, monkeypatch
):
    """A broken numpy or PyAV is mended by itself, and torch is left alone."""
    first_on_path(monkeypatch, installed(tmp_path, **{fails: source}))
    trial = attempt(kind, name)
    assert not trial.works
    anew = f'pip install --force-reinstall --no-deps "{fails}=={metadata.version(fails)}"'
    assert trial.mend.endswith(anew)


def test_a_package_that_is_missing_is_named(tmp_path, monkeypatch):
    source = "import surely_not_installed"
    first_on_path(monkeypatch, installed(tmp_path, av=source))
    trial = attempt("decoder", "pyav")
    assert f'pip install surely_not_installed "torch=={TORCH}"' in trial.mend


@pytest.mark.parametrize(
    ("source", "brought"),
    [
        ("import os; os._exit(3)", ("opencv-python-headless",)),
        pytest.param("import os; os._exit(3)", ("opencv-python",), marks=pytest.mark.slow),
        ("import os; os._exit(3)", ("opencv-python", "opencv-python-headless")),
        pytest.param(
            "raise ImportError('libGL.so.1: absent')",
            ("opencv-python", "opencv-python-headless"),
            marks=pytest.mark.slow,
        ),
    ],
)
def test_opencv_that_fails_is_mended_by_opencv(source, brought, tmp_path, monkeypatch):
    first_on_path(monkeypatch, installed(tmp_path, cv2=source))
    site = tmp_path / "lib" / "site-packages"
    for package in brought:
        info = site / f"{package.replace('-', '_')}-9.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 9.0\n")
        (info / "top_level.txt").write_text("cv2\n")
    real = metadata.packages_distributions()
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setattr(metadata, "packages_distributions", lambda: {**real, "cv2": list(brought)})
    told = attempt("decoder", "opencv").mend
    assert "torchcodec" not in told and "-deps torch" not in told and '-deps "torch' not in told
    if brought == ("opencv-python-headless",):
        assert told.endswith(
            '-m pip install --force-reinstall --no-deps "opencv-python-headless==9.0"'
        )
    else:
        first, _, second = told.partition(" && ")
        assert first.endswith(f"-m pip uninstall -y {' '.join(brought)}")
        assert second.endswith(f'-m pip install "vitascope[opencv]" "torch=={TORCH}"')


def test_what_needs_a_broken_decoder_is_mended_with_it(monkeypatch):
    torch = Trial(kind="torch", name="torch", works=True, detail="",
                  found={"decoders": ["pyav", "opencv"], "targets": {"onnx": "onnx"}})  # fmt: skip

    def attempt(kind: str, name: str, extra: str = "") -> Trial:
        return Trial(kind=kind, name=name, works=False, detail="", mend=f"mend {name}")

    monkeypatch.setattr(doctor, "attempt", attempt)
    mends = {t.name: t.mend for t in doctor._attempt_all(torch)}
    assert mends == {"pyav": "mend pyav", "opencv": "mend pyav", "onnx": "mend onnx"}


@pytest.mark.parametrize(
    ("build", "index"),
    [
        ("2.13.0+cpu", " --extra-index-url https://download.pytorch.org/whl/cpu"),
        ("2.13.0+cu128", " --extra-index-url https://download.pytorch.org/whl/cu128"),
        ("2.13.0+vendor", ""),
        ("2.13.0", ""),
    ],
)
def test_every_command_keeps_the_torch_that_is_installed(build, index, monkeypatch):
    monkeypatch.setattr(optional, "_version", {"torch": build, "timm": "1.0"}.get)
    keep = f'"torch=={build}"'
    assert optional.install_command("onnx") == f'pip install "vitascope[onnx]" {keep}'
    assert optional.install_command("timm") == f'pip install "vitascope[timm]" {keep}{index}'
    anew = "pip install --force-reinstall --no-deps"
    assert optional.reinstall_command("torch") == f"{anew} {keep}{index}"
    monkeypatch.setattr(optional, "_version", lambda package: None)
    assert optional.install_command("onnx") == 'pip install "vitascope[onnx]"'


def test_no_other_place_writes_such_a_command():
    """All go through `optional`, so that all keep what is installed."""
    for file in Path(optional.__file__).parent.rglob("*.py"):
        if "pip install" in file.read_text(encoding="utf-8"):
            assert file.name in ("optional.py", "doctor.py"), file


def test_a_decoder_that_works():
    trial = attempt("decoder", "pyav")
    assert trial.works and trial.versions.keys() == {"PyAV", "FFmpeg"}


def fake(works: set[str]):
    def attempt(kind: str, name: str, extra: str = "") -> Trial:
        found = {"decoders": ["pyav"], "targets": {"onnx": "onnx"}} if kind == "torch" else {}
        return Trial(
            kind=kind,
            name=name,
            works=name in works,
            detail="as told",
            mend="" if name in works else f"pip install {name}",
            found=found if name in works else {},
        )

    return attempt


@pytest.mark.parametrize(
    ("works", "code"),
    [({"torch", "pyav", "onnx"}, 0), ({"torch", "pyav"}, 0), ({"torch", "onnx"}, 1), (set(), 1)],
)
def test_exit_code_and_remedies(works, code, monkeypatch, tmp_path):
    monkeypatch.setattr(doctor, "attempt", fake(works))
    done = cli("doctor", "--json", tmp_path / "d.json")
    assert done.code == code
    found = json.loads((tmp_path / "d.json").read_text())
    assert found["torch"]["works"] == ("torch" in works)
    tried = {"torch", "pyav", "onnx"} if "torch" in works else {"torch"}
    for name in tried:
        assert (f"  pip install {name}" in done.out) == (name not in works)


@pytest.mark.slow
def test_the_doctor_tries_everything(tmp_path):
    done = cli("doctor", "--json", tmp_path / "d.json")
    assert done.code == 0
    found = json.loads((tmp_path / "d.json").read_text())
    assert {d["name"] for d in found["decoders"]} >= {"pyav", "images"}
    assert {t["name"] for t in found["targets"]} >= {"onnx", "openvino", "torch.export"}
    absent = [d["name"] for d in found["decoders"] if "is not installed" in d["detail"]]
    assert all(d["works"] for d in found["decoders"] if d["name"] not in absent)
    assert not {"pyav", "images"} & set(absent)
    assert all(t["works"] or t["mend"] in done.out for t in found["targets"])
