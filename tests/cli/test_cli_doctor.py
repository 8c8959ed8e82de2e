"""The doctor survives whatever libraries do, and names the command that mends them."""

from __future__ import annotations

import json
import sys

import pytest

from support.command_line import cli
from vitascope.cli import doctor
from vitascope.cli.doctor import Trial, attempt

BROKEN = {
    "crashes": ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "SIGSEGV"),
    "cannot load": ("raise ImportError('wrong ELF class')", "wrong ELF class"),
    "is wrong": ("raise KeyError('nobody expects this')", "nobody expects this"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_library_that_breaks_is_a_row_with_a_remedy(what, tmp_path, monkeypatch):
    source, reason = BROKEN[what]
    (tmp_path / "openvino.py").write_text(source)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    trial = attempt("target", "openvino", "openvino")
    assert not trial.works
    assert reason in trial.detail
    assert trial.mend.startswith(f"{sys.executable} -m pip install")
    assert trial.mend.endswith('"vitascope[openvino]"')


def test_a_library_that_hangs_is_given_up(tmp_path, monkeypatch):
    (tmp_path / "av.py").write_text("import time; time.sleep(600)")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(doctor, "TIME_LIMIT", 5)
    trial = attempt("decoder", "pyav")
    assert (trial.works, trial.detail) == (False, "no answer within 5 s")
    assert trial.mend.endswith("pip install --force-reinstall --no-deps av")


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
    assert all(d["works"] for d in found["decoders"])
    assert all(t["works"] or t["mend"] in done.out for t in found["targets"])
