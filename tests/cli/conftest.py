"""One small data set and one tiny trained run for all tests of the command line."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from support.command_line import TINY, Done, cli
from vitascope.data.render import render_motion_dataset

CLASSES = ("move_left", "grow")


@pytest.fixture(scope="session", autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory):
    """Indices and frames go into a folder of the test, not into the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VITASCOPE_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.delenv("COLUMNS", raising=False)
        yield


@pytest.fixture(scope="session")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two motions with three splits."""
    return render_motion_dataset(
        tmp_path_factory.mktemp("cli") / "films",
        CLASSES,
        {"train": 4, "val": 2, "test": 2},
        frames=8,
        size=(32, 40),
    )


@dataclass(frozen=True)
class Trained:
    """A run, what the training printed, and its JSON."""

    folder: Path
    films: Path
    done: Done
    json: dict


@pytest.fixture(scope="session")
def trained(films: Path) -> Trained:
    folder, file = films.parent / "run", films.parent / "train.json"
    done = cli("train", films, "--out", folder, "--json", file, *TINY)
    assert done.code == 0, done
    return Trained(folder, films, done, json.loads(file.read_text()))
