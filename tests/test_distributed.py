"""The cores that a process may use, by its binding and by its container."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

from vitascope import distributed
from vitascope.distributed import cores


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system binds no processes")
def test_a_process_bound_to_one_core_uses_one() -> None:
    code = (
        "import os; os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])\n"
        "from vitascope.distributed import cores; print(cores())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "1\n"
    assert 1 <= cores() <= len(os.sched_getaffinity(0))


def put(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_limits_of_control_groups(tmp_path: Path) -> None:
    quota = distributed._quota
    assert quota("0::/a/b\n", tmp_path) == math.inf
    put(tmp_path / "a/b/cpu.max", "max 100000\n")
    assert quota("0::/a/b\n", tmp_path) == math.inf
    put(tmp_path / "a/cpu.max", "250000 100000\n")  # of a group above
    assert quota("0::/a/b\n", tmp_path) == 2.5
    put(tmp_path / "a/b/cpu.max", "50000 100000\n")
    assert quota("0::/a/b\n", tmp_path) == 0.5
    put(tmp_path / "cpu.max", "150000 100000\n")  # what a container sees of itself
    assert quota("0::/elsewhere/of/the/host\n", tmp_path) == 1.5


def test_limits_of_control_groups_of_the_first_version(tmp_path: Path) -> None:
    lines = "7:blkio:/x\n4:cpu,cpuacct:/x\n3:cpuset:/x\n0::/x\n"
    put(tmp_path / "cpu,cpuacct/x/cpu.cfs_quota_us", "-1\n")
    put(tmp_path / "cpu,cpuacct/x/cpu.cfs_period_us", "100000\n")
    put(tmp_path / "cpuset/x/cpu.cfs_quota_us", "1\n")  # not a group for CPU time
    assert distributed._quota(lines, tmp_path) == math.inf
    put(tmp_path / "cpu,cpuacct/x/cpu.cfs_quota_us", "300000\n")
    assert distributed._quota(lines, tmp_path) == 3


@pytest.mark.parametrize(("quota", "expected"), [(math.inf, 8), (0.2, 1), (1.5, 2), (64.0, 8)])
def test_part_of_a_core_counts_as_one(
    monkeypatch: pytest.MonkeyPatch, quota: float, expected: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.setattr(distributed, "_quota", lambda *_: quota)
    assert cores() == expected
