"""A full disk costs one line: exit code 2, nothing half-written, and no process that aborts."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from support.hostile import small_model

COMMANDS = {
    "torch.export": "export {run} --to torch.export --data {data} --out {out}/m.pt2",
    "onnx": "export {run} --to onnx --data {data} --out {out}/m.onnx",
    "openvino": "export {run} --to openvino --data {data} --out {out}/m.xml",
    "convert": "convert {run} {out}/c.json",
    "pyslowfast": "convert {run} {out}/c.pyth --to pyslowfast",
    "caffe2": "convert {run} {out}/c.pkl --to caffe2",
    "safetensors": "convert {run} {out}/c.safetensors --to pytorchvideo",
    "prepare": "data prepare {data} {out}/p --jobs 2",
    "shard": "data shard {data} {out}/s",
    "json": "predict {run} {data}/a/0.mp4 --json {out}/p.json",
    "csv": "eval {run} --data {data} --split all --csv {out}/s.csv",
    "train": "train {data} --out {out}/run --model x3d_xs clip.num_frames=4 pixels.crop=32 "
    "pixels.short_side=32 optim.epochs=1 optim.batch_size=2 data.fractions=0.5,0.25,0.25",
}
# Files of a megabyte or more: with room for less the disk fills up in their middle.
LARGE = ("torch.export", "onnx", "openvino", "convert", "pyslowfast", "caffe2", "safetensors")
NEEDS = {"onnx": "onnxscript", "openvino": "openvino"}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return small_model(tmp_path_factory.mktemp("model"))


def refused(
    name: str, model: tuple[Path, Path], out: Path, before: str, shell: tuple[str, ...] = ()
) -> None:
    pytest.importorskip(NEEDS.get(name, "torch"))
    out.mkdir()
    words = COMMANDS[name].format(data=model[0], run=model[1], out=out)
    find = f"find {out} -type f ! -name full"
    line = f"{before}; {sys.executable} -m vitascope {words}; code=$?; {find}; exit $code"
    done = subprocess.run(
        [*shell, "bash", "-c", line],
        capture_output=True, text=True, timeout=300, check=False,
        env={**os.environ, "VITASCOPE_CACHE": f"{model[0]}/a/0.mp4/no", "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    if done.returncode == 77:
        pytest.skip("cannot mount here")
    assert done.returncode == 2, done.stderr[-2000:]
    assert done.stderr.count("\n") == 1 and done.stderr.startswith("error: "), done.stderr
    assert "cannot" in done.stderr
    assert name == "train" or "--resume" not in done.stderr
    assert not [path for path in done.stdout.splitlines() if path.startswith(str(out))]


@pytest.mark.parametrize(
    "name", [pytest.param("torch.export", marks=pytest.mark.slow), "pyslowfast"]
)
def test_files_that_cannot_grow(name: str, model: tuple[Path, Path], tmp_path: Path) -> None:
    refused(name, model, tmp_path / "out", "ulimit -f 100")


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("unshare") is None or os.geteuid() != 0, reason="needs root")
@pytest.mark.parametrize(("name", "room"), [*((n, 0) for n in COMMANDS), *((n, 40) for n in LARGE)])
def test_a_full_disk(name: str, room: int, model: tuple[Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "out"
    # Filled to the last byte, then given back what is to be free.
    before = (
        f"mount -t tmpfs -o size=1m tmpfs {out} || exit 77; "
        f"head -c 100M /dev/zero > {out}/full 2> /dev/null; truncate -s -{room}k {out}/full"
    )
    refused(name, model, out, before, ("unshare", "-m"))
