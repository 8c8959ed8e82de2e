"""`--force` replaces a run, and never one that is going on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from vitascope.engine.config import ModelConfig, Recipe
from vitascope.engine.folder import LOCK, RunFolder
from vitascope.errors import RunError
from vitascope.spec import ClipSpec, PixelSpec

RECIPE = Recipe(
    model=ModelConfig(name="x3d_xs"),
    clip=ClipSpec(num_frames=4),
    pixels=PixelSpec(short_side=32, crop=32),
)
HOLD = """
import sys, time
from pathlib import Path
from vitascope.engine.folder import RunFolder
with RunFolder(path=Path(sys.argv[1])).held():
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def run(tmp_path: Path) -> Path:
    RunFolder(path=tmp_path / "run").begin(RECIPE, ("a", "b"), {}, 1)
    for name in ("best.json", "last.json", "best-1.safetensors", "split.csv", "log.jsonl"):
        (tmp_path / "run" / name).write_text(name)
    return tmp_path / "run"


def content(run: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in run.iterdir() if p.name != LOCK}


def test_a_run_that_is_going_on_is_not_emptied(run: Path) -> None:
    before = content(run)
    process = subprocess.Popen([sys.executable, "-c", HOLD, run], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None and process.stdout.readline() == "held\n"
        for _ in range(2):
            with pytest.raises(RunError, match=r"another process is training in .* at this moment"):
                RunFolder(path=run, empty=True).begin(RECIPE, ("c",), {}, 1)
            assert content(run) == before
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
    RunFolder(path=run, empty=True).begin(RECIPE, ("c", "d"), {}, 1)
    assert set(content(run)) == {"run.json"} and content(run) != before


def test_what_is_the_users_own_stays(run: Path) -> None:
    (run / "notes.txt").write_text("mine")
    RunFolder(path=run, empty=True).begin(RECIPE, ("c", "d"), {}, 1)
    assert set(content(run)) == {"run.json", "notes.txt"}
