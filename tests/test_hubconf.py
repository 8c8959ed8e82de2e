"""torch.hub finds every published model in a checkout, installed or not."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from vitascope.models import hub

ROOT = Path(__file__).resolve().parents[1]
# The entry points of PyTorchVideo's hubconf.
OLD = (
    "c2d_r50 csn_r101 efficient_x3d_s efficient_x3d_xs i3d_r50 mvit_base_16 mvit_base_16x4 "
    "mvit_base_32x3 r2plus1d_r50 slow_r50 slow_r50_detection slowfast_16x8_r101_50_50 "
    "slowfast_r101 slowfast_r50 slowfast_r50_detection x3d_l x3d_m x3d_s x3d_xs"
).split()


def test_lists_every_name_and_nothing_else() -> None:
    # torch.hub.list can only look at GitHub; these are the names that it would show.
    spec = importlib.util.spec_from_file_location("hubconf", ROOT / "hubconf.py")
    assert spec is not None and spec.loader is not None
    hubconf = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(hubconf)
    names = {n for n, entry in vars(hubconf).items() if callable(entry) and n[0] != "_"}
    assert set(OLD) <= names
    assert names == set(hub.__all__)
    assert "13 frames" in (hubconf.x3d_s.__doc__ or "")


def test_loads_a_model_with_arguments() -> None:
    model = torch.hub.load(str(ROOT), "x3d_xs", source="local", model_num_class=7)
    assert model.num_classes == 7
    model.eval()
    with torch.no_grad():
        assert model(torch.zeros(1, 3, 4, 160, 160)).shape == (1, 7)


@pytest.mark.slow
def test_needs_no_installation(tmp_path: Path) -> None:
    code = (
        "import sys, torch; sys.modules['vitascope'] = None; del sys.modules['vitascope'];"
        f"sys.path = [p for p in sys.path if 'vitascope' not in p and not p.endswith('src')];"
        f"print(torch.hub.load({str(ROOT)!r}, 'x3d_s', source='local').num_classes)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert done.stdout.strip() == "400"
