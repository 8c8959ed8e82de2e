"""The frame cache is shown and emptied; nothing but its own files is ever touched."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from support.command_line import cli, refused
from support.videos import film
from vitascope.data.cache import frames
from vitascope.data.cache.contents import cache_contents, empty_cache
from vitascope.data.cache.frames import SHARE, FrameCache
from vitascope.engine.build import build_data, read_data
from vitascope.engine.config import DataConfig


@pytest.fixture
def videos(tmp_path: Path) -> list[Path]:
    places = ("set/train/a", "set/train/b", "set/val/a", "other/a")
    for place in places:
        (tmp_path / place).mkdir(parents=True)
    return [film(tmp_path / place / "1.mp4", 5 + i) for i, place in enumerate(places)]


@pytest.fixture
def filled(tmp_path: Path, videos: list[Path]) -> Path:
    cache = FrameCache(tmp_path / "frames", short_side=16)
    for path in videos:
        cache.open(str(path)).close()
    assert cache.report().written == 4
    return tmp_path / "frames"


def entries(folder: Path) -> list[Path]:
    return sorted(p for p in folder.rglob("*.npy"))


def test_what_is_there(filled: Path, tmp_path: Path) -> None:
    found = cache_contents(filled)
    sizes = [p.stat().st_size for p in entries(filled)]
    assert (found.entries, found.used) == (4, sum(sizes))
    assert {home: n for home, n, _ in found.data} == {f"{tmp_path}/set": 3, f"{tmp_path}/other": 1}
    assert sum(size for *_, size in found.data) == found.used
    assert found.data[0][2] >= found.data[1][2]
    free = shutil.disk_usage(filled).free
    assert found.limit == pytest.approx(SHARE * (free + found.used), rel=0.05)


def test_one_that_is_not_there_holds_nothing(tmp_path: Path) -> None:
    found = cache_contents(tmp_path / "none" / "at" / "all")
    assert (found.entries, found.used, found.data) == (0, 0, ()) and found.limit > 0
    assert empty_cache(tmp_path / "none") == (0, 0)
    assert not (tmp_path / "none").exists()


def test_emptied_it_is_filled_again(filled: Path, videos: list[Path]) -> None:
    used = cache_contents(filled).used
    assert empty_cache(filled) == (4, used)
    assert entries(filled) == [] and cache_contents(filled).entries == 0
    cache = FrameCache(filled, short_side=16)
    assert cache.report().used == 0
    cache.open(str(videos[0])).close()
    assert cache.report().written == 1 and cache.report().used > 0


def test_a_training_that_uses_it_goes_on(filled: Path, videos: list[Path]) -> None:
    cache = FrameCache(filled, short_side=16)
    video = cache.open(str(videos[0]))
    empty_cache(filled)
    assert len(video.read([0, 4], size=(16, 26)).data) == 2
    video.close()
    cache.open(str(videos[1])).close()
    assert cache.report().written == 1
    assert cache.report().used == sum(p.stat().st_size for p in entries(filled))


def test_what_is_not_its_own_stays(filled: Path, tmp_path: Path) -> None:
    own = entries(filled)
    outside = tmp_path / "outside"
    outside.mkdir()
    kept = shutil.copy(own[0], outside / own[0].name)
    letters = own[0].parent
    strangers = [
        letters / "notes.txt",
        letters / ("f" * 40 + ".npy"),  # not in its folder
        letters / (letters.name + "0" * 38 + ".npy"),  # without the mark
        filled / "thesis.npy",
        filled / "photos" / own[0].name,
    ]
    for path in strangers:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"mine")
    (letters / (letters.name + "1" * 38 + ".npy")).symlink_to(kept)
    linked = filled / ("00" if letters.name != "00" else "11")
    if linked.exists():
        shutil.rmtree(linked)
    (outside / f"{linked.name}{'2' * 38}.npy").write_bytes(own[0].read_bytes())
    linked.symlink_to(outside, target_is_directory=True)
    os.mkfifo(letters / (letters.name + "3" * 38 + ".npy"))
    before = sorted(p.name for p in outside.iterdir())
    assert cache_contents(filled).entries == len(own)
    assert empty_cache(filled)[0] == len(own)
    assert all(path.read_bytes() == b"mine" for path in strangers)
    assert sorted(p.name for p in outside.iterdir()) == before
    assert linked.is_symlink() and not any(path.exists() for path in own)


def test_an_older_version_can_only_be_removed(filled: Path) -> None:
    old = entries(filled)[0]
    old.write_bytes(old.read_bytes()[:-2] + b"01")
    assert "an older version" in {home for home, *_ in cache_contents(filled).data}
    assert empty_cache(filled)[0] == 4 and not old.exists()


def test_the_share_counts_what_the_cache_holds_itself(filled: Path, monkeypatch) -> None:
    used = cache_contents(filled).used
    monkeypatch.setattr(frames, "free_bytes", lambda folder: 10_000_000)
    cache = FrameCache(filled, short_side=16, share=0.25)
    assert cache.budget == int(0.25 * (10_000_000 + used))


def test_a_training_takes_the_share_unless_told(tmp_path: Path, monkeypatch) -> None:
    from engine.toy import render, toy_recipe

    monkeypatch.setattr(frames, "free_bytes", lambda folder: 10_000_000)
    data = render(tmp_path / "clips", 4, 1, 1)
    for given, budget in ((None, 1_000_000), (0.5, 500_000_000), (0.0, 0)):
        settings = DataConfig(path=str(data), cache_dir=str(tmp_path / "cache"), cache_gb=given)
        recipe = replace(toy_recipe(data), data=settings)
        built = build_data(recipe, read_data(recipe))
        assert built.train.store is not None and built.train.store.budget == budget


def test_the_command_shows_and_empties(filled: Path, tmp_path: Path) -> None:
    shown = cli("cache", "--dir", filled)
    assert shown.code == 0 and "4 entries" in shown.out and "a tenth of the free disk" in shown.out
    assert f"{tmp_path}/set" in "".join(shown.out.split()) and len(entries(filled)) == 4
    said = refused("cache", "--dir", filled, "--empty")
    assert "add --yes" in said and len(entries(filled)) == 4
    done = cli("cache", "--dir", filled, "--empty", "--yes", "--json", tmp_path / "done.json")
    assert done.code == 0 and "Removed 4 entries" in done.out and entries(filled) == []
    told = json.loads((tmp_path / "done.json").read_text())
    assert told["removed"]["entries"] == 4 and told["cache"]["entries"] == 4
    assert "0 B in 0 entries" in cli("cache", "--dir", filled).out


def test_the_users_own_cache_is_the_default(filled: Path, monkeypatch) -> None:
    monkeypatch.setenv("VITASCOPE_CACHE", str(filled.parent))
    # A long path goes on in the next line.
    assert f"place{filled}size" in "".join(cli("cache").out.split())


def test_a_file_is_no_cache(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "Not a directory" in refused("cache", "--dir", tmp_path / "file")
