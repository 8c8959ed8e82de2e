"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# Before torch: threads that wait by spinning make tests on a busy machine several times as slow.
os.environ.setdefault("GOMP_SPINCOUNT", "5000")
# Nothing is fetched from the network: published weights are looked for in a folder that is not
# there. Tests of fetching name their own server.
os.environ["VITASCOPE_MIRROR"] = str(Path(__file__).parent / "no-published-weights")

import torch

if "PYTEST_XDIST_WORKER" in os.environ:
    torch.set_num_threads(1)  # a process of tests for each core: more threads would only wait

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of reference numbers and sample data beside the checkout."""
    if not SHARED.is_dir():
        pytest.skip(f"reference data not present: {SHARED}")
    return SHARED


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)
