"""The whole way: a short form for every run of the tests, and the real one before a release."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from support.command_line import cli
from vitascope.cli import quickstart


def read(path: Path) -> dict:
    return json.loads(path.read_text())


def test_the_whole_way_in_small(tmp_path, monkeypatch):
    pytest.importorskip("onnxruntime")
    monkeypatch.setattr(quickstart, "VIDEOS", {"train": 4, "val": 1, "test": 2})
    words = ("quickstart", "--out", tmp_path / "q", "--videos", "4", "--json", tmp_path / "q.json")
    tiny = ("clip.num_frames=4", "pixels.crop=32", "pixels.short_side=32", "optim.epochs=1")
    quick = ("data.workers=0", "data.cache=false", "model.args.depth_factor=0.5", "run.threads=1")
    done = cli(*words, *tiny, *quick)
    assert done.code == 0, done
    found = read(tmp_path / "q.json")
    assert found["videos"] == 8 * 7 and found["test"]["n_evaluated"] == 16
    assert 0 <= found["top1"] <= 1 and 0 <= found["control_top1"] <= 1
    assert found["export_top1_agreement"] == 1 and found["export"]["ok"]
    assert found["prediction"]["top"][0]["label"] in found["classes"]
    assert Path(found["artifact"]).is_file()
    page = Path(found["report"]).read_text()
    assert "With shuffled frames" in page and "Exported models" in page
    parts = re.findall(r"^(\d)\. [A-Z]", done.out, re.MULTILINE)
    assert parts == ["1", "2", "3", "4", "5"]


def test_the_shipped_settings_are_judged(tmp_path):
    from vitascope.cli.output import Output

    good = {"top1": 0.97, "control_top1": 0.14, "export": {"ok": True}, "export_top1_agreement": 1}
    for change, failures in (
        ({}, 0),
        ({"top1": 0.9}, 1),
        ({"control_top1": 0.5}, 1),
        ({"export_top1_agreement": 0.9}, 1),
    ):
        out = Output("quickstart")
        out.data.update(good | change)
        quickstart._judge(out)
        assert len(out._failures) == failures


def test_a_folder_of_an_earlier_quickstart_is_used_again(tmp_path):
    quickstart.claim(tmp_path / "q")
    (tmp_path / "q" / "data").mkdir()
    assert quickstart.claim(tmp_path / "q") == tmp_path / "q"


@pytest.mark.slow
def test_the_whole_way(tmp_path):
    done = cli("quickstart", "--out", tmp_path / "q", "--json", tmp_path / "q.json")
    assert done.code == 0, done
    found = read(tmp_path / "q.json")
    assert found["top1"] >= 0.95 and found["control_top1"] <= 0.3
    assert found["export_top1_agreement"] == 1
    assert found["seconds"] <= 300
