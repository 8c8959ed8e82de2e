"""Damaged videos: a frame does not depend on what else is read. Damaged caches: rebuilt."""

from __future__ import annotations

import os
import random
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from support.broken import SEEDS, mutate
from support.videos import film, numbers
from vitascope.data.cache.frames import FrameCache
from vitascope.data.cache.timelines import entry, lookup, store
from vitascope.data.cache.video import CachedVideo
from vitascope.data.check.examine import examine
from vitascope.data.decoder import open_video
from vitascope.data.decoders.pyav import PyAVDecoder
from vitascope.data.render import read_number, render_numbered
from vitascope.errors import DecodeError

GROUPS = {"preset": "veryfast", "crf": "20", "threads": "1", "g": "10", "bf": "2"}
OPEN = GROUPS | {"x264-params": "open-gop=1"}
PYRAMID = GROUPS | {"g": "16", "bf": "7", "b_strategy": "0", "x264-params": "b-pyramid=normal"}
KINDS: dict[str, dict] = {
    "a.mp4": {"options": GROUPS},
    "a.mkv": {"options": OPEN},
    "pyramid.mp4": {"options": PYRAMID},
    "a.ts": {"options": GROUPS},
    "a.avi": {"codec": "mpeg4", "options": {"g": "10", "bf": "2", "qscale": "3"}},
    "a.mpg": {"codec": "mpeg2video", "options": {"g": "10", "bf": "2", "qscale": "3"}},
    "hevc.mp4": {
        "codec": "libx265",
        "options": {"preset": "ultrafast", "x265-params": "log-level=none:keyint=10:pools=none"},
    },
    "a.webm": {"codec": "libvpx-vp9", "options": {"deadline": "realtime", "g": "10"}},
}
COUNT = 40
# Kinds in which FFmpeg notices a packet of zeros; in others it may show what it makes of them.
NOTICED = ("a.mp4", "a.mkv", "pyramid.mp4", "a.ts", "a.webm")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VITASCOPE_CACHE", str(tmp_path / "cache"))


def read(path: Path, requests: list[list[int]]) -> dict[int, np.ndarray | None]:
    """The frames of some requests to one decoder; None for those that were refused."""
    found: dict[int, np.ndarray | None] = {}
    with open_video(path, time_limit=20) as video:
        for wanted in requests:
            try:
                images = video.read(wanted).data.numpy()
                found.update(zip(wanted, images, strict=True))
            except DecodeError:
                found.update({n: found.get(n) for n in wanted})
    return found


def same(a: np.ndarray | None, b: np.ndarray | None) -> bool:
    return (a is None) == (b is None) and (a is None or b is None or np.array_equal(a, b))


def compare(path: Path, seed: int) -> tuple[int, int, int]:
    """Frames given alone, frames that come out otherwise in company, frames with other pixels."""
    rng = random.Random(seed)
    with open_video(path, time_limit=20) as video:
        count = min(len(video.times), 100)
    alone = {n: read(path, [[n]])[n] for n in range(count)}
    ways = [
        read(path, [[n] for n in range(count)]),
        read(path, [[n] for n in rng.sample(range(count), count)]),
    ]
    timeline = examine(str(path))[1]
    if timeline is not None:
        store(path, timeline)
        with open_video(path, time_limit=20) as video:
            if len(video.times) == count:
                ways.append(read(path, [[n] for n in rng.sample(range(count), count)]))
        entry(path).unlink(missing_ok=True)
    other = sum(not same(alone[n], way[n]) for way in ways for n in range(count))
    pixels = sum(
        not np.array_equal(alone[n], way[n])  # type: ignore[arg-type]
        for way in ways
        for n in range(count)
        if alone[n] is not None and way[n] is not None
    )
    return sum(a is not None for a in alone.values()), other, pixels


@pytest.mark.parametrize("name", KINDS)
def test_frames_of_a_damaged_video_do_not_depend_on_others(tmp_path: Path, name: str) -> None:
    path = render_numbered(tmp_path / name, COUNT, size=(80, 128), **KINDS[name])
    with PyAVDecoder(path) as video:
        packets = [(p.pos, p.size) for p in video._source.packets() if p.size and p.pos]
    whole, lost = path.read_bytes(), 0
    if len(packets) < COUNT:  # MPEG-PS has no place for most
        packets = [(len(whole) * n // COUNT, 150) for n in range(COUNT)]
    for number in (3, 14, 15, len(packets) - 14):  # key frames are 0, 10, 20, 30, or near
        content = bytearray(whole)
        place, size = packets[number]
        content[place + 4 : place + size] = bytes(max(size - 4, 0))
        path.write_bytes(content)
        given, other, pixels = compare(path, number)
        assert (other, pixels) == (0, 0), number
        assert given >= COUNT // 2 - 8
        lost += given < COUNT
        with open_video(path) as video:
            for index in range(len(video.times)):
                try:
                    image = video.read([index]).data[0].numpy()
                except DecodeError as error:
                    assert error.path == str(path)
                    continue
                assert name not in NOTICED or read_number(image) is not None, (number, index)
    assert lost or name not in NOTICED


def test_a_damaged_picture_that_no_other_leans_on_costs_only_itself(tmp_path: Path) -> None:
    path = render_numbered(tmp_path / "a.mp4", COUNT, **KINDS["a.mp4"])
    with PyAVDecoder(path) as video:
        rule = video._source.disposable
        assert rule is not None
        packets = [
            (p.pos, p.size, p.pts, rule(bytes(p))) for p in video._source.packets() if p.size
        ]
        place, size, pts, _ = next(p for p in packets[12:] if p[3])
        index = video.timeline.pts.tolist().index(pts)
    content = bytearray(path.read_bytes())
    content[place + 6 : place + size] = bytes([0x55]) * (size - 6)
    path.write_bytes(content)
    with open_video(path) as video:
        given = [n for n in range(COUNT) if read(path, [[n]])[n] is not None]
        assert set(range(COUNT)) - set(given) <= {index}
        assert [read_number(i) for i in video.read(given).data.numpy()] == given
    _, timeline = examine(str(path))
    assert timeline is not None and timeline.faults in ((), ((index, index + 1),))


@pytest.mark.slow
def test_a_thousand_broken_files_give_the_same_frames_in_any_order(tmp_path: Path) -> None:
    """Only damage that FFmpeg does not notice may show: it leaves what was in memory."""
    folder = tmp_path / "seeds"
    seeds = {
        name: render_numbered(folder / name, 16, **{"size": (40, 64)} | settings).read_bytes()
        for name, settings in SEEDS.items()
    }
    rng, total = random.Random(11), np.zeros(3, np.int64)
    refused, names = 0, sorted(seeds)
    for number in range(1000):
        name = names[number % len(names)]
        path = tmp_path / f"broken_{name}"
        path.write_bytes(mutate(rng, seeds[name], seeds[rng.choice(names)]))
        try:
            total += compare(path, number)
        except DecodeError:
            refused += 1
    given, other, pixels = total.tolist()
    print(f"1,000 broken files, {refused} refused, {given} frames; in any order {other} differ, "
          f"{pixels} of them in their pixels")  # fmt: skip
    assert given > 8000 and other < given / 100 and pixels < given / 400


# --- caches ----------------------------------------------------------------------------------


def flipped(content: bytes, place: int) -> bytes:
    changed = bytearray(content)
    changed[place] ^= 1 << place % 8
    return bytes(changed)


def test_a_damaged_entry_of_the_index_is_none(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mp4")
    _, timeline = examine(str(path))
    assert timeline is not None and store(path, timeline)
    held = entry(path)
    content = held.read_bytes()
    rng = random.Random(2)
    for place in [*range(0, len(content), 31), len(content) - 1]:
        held.write_bytes(flipped(content, place))
        assert lookup(path) is None, place
    for _ in range(60):
        held.write_bytes(mutate(rng, content, content[::-1]))
        found = lookup(path)
        assert found is None or held.read_bytes() == content
        with open_video(path) as video:
            assert len(video.times) == 24
    held.write_bytes(content)
    assert lookup(path) is not None
    assert store(path, timeline) and lookup(path) is not None


def test_damaged_pixels_of_the_cache_are_found_and_rebuilt(tmp_path: Path) -> None:
    path = str(film(tmp_path / "a.mp4", 12))
    frames = FrameCache(tmp_path / "store", 40)
    frames.open(path).close()
    [file] = (tmp_path / "store").rglob("*.npy")
    content = file.read_bytes()
    with open_video(path) as video:
        expected = video.read(range(12), size=(40, 64)).data
    rng = random.Random(3)
    for place in [200, 128 + 40 * 64 * 3 * 7 + 11, *rng.sample(range(len(content)), 60)]:
        file.write_bytes(flipped(content, place))
        for _ in range(2):
            with frames.open(path) as video:
                assert torch.equal(video.read(range(12), size=(40, 64)).data, expected), place
        with frames.open(path) as video:
            assert isinstance(video, CachedVideo)
        assert file.read_bytes() == content, place
    for _ in range(60):
        file.write_bytes(mutate(rng, content, content[::-1]))
        with frames.open(path) as video:
            assert torch.equal(video.read([3, 11], size=(40, 64)).data, expected[[3, 11]])


def test_pixels_damaged_while_a_video_is_open(tmp_path: Path) -> None:
    path = str(film(tmp_path / "a.mp4", 12))
    frames = FrameCache(tmp_path / "store", 40)
    frames.open(path).close()
    [file] = (tmp_path / "store").rglob("*.npy")
    with frames.open(path) as video:
        expected = video.read(range(12)).data
        with open(file, "r+b") as damaged:
            damaged.seek(5000)
            damaged.write(bytes(9000))
        assert torch.equal(video.read(range(12)).data, expected)
        os.truncate(file, 3000) if file.exists() else None
        assert torch.equal(video.read([2, 9]).data, expected[[2, 9]])


@pytest.mark.parametrize("content", [b"", b"x", b"9" * 50, b"\xff\xfe\0", b"-5"])
def test_a_damaged_count_of_bytes_is_counted_anew(tmp_path: Path, content: bytes) -> None:
    path = str(film(tmp_path / "a.mp4", 6))
    frames = FrameCache(tmp_path / "store", 40, budget=10**6)
    (tmp_path / "store" / ".used").write_bytes(content)
    with frames.open(path) as video:
        assert numbers(video.read([4]).data) == [4]
    assert 0 <= frames.report().used <= 10**6


def replace_with_equal_facts(path: Path, other: Path, in_place: bool) -> None:
    """Another video under the name, with the same size and time of change."""
    facts = path.stat()
    length = max(facts.st_size, other.stat().st_size)
    assert facts.st_size == length
    content = other.read_bytes().ljust(length, b"\0")
    if in_place:
        with open(path, "r+b") as file:
            file.write(content)
    else:
        fresh = path.with_name("fresh.mp4")
        fresh.write_bytes(content)
        fresh.replace(path)
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (facts.st_size, facts.st_mtime_ns)


@pytest.mark.parametrize("in_place", [True, False])
def test_a_file_replaced_by_one_of_equal_size_and_time(tmp_path: Path, in_place: bool) -> None:
    path = film(tmp_path / "a.mp4", 24)
    other = film(tmp_path / "b.mp4", 12, first=50)
    with open(path, "ab") as file:
        file.write(bytes(max(0, other.stat().st_size - path.stat().st_size)))
    frames = FrameCache(tmp_path / "store", 40)
    with frames.open(str(path)) as video:
        assert numbers(video.read([5]).data) == [5]
    _, timeline = examine(str(path))
    assert timeline is not None and store(path, timeline) and lookup(path) is not None
    replace_with_equal_facts(path, other, in_place)
    assert lookup(path) is None
    with frames.open(str(path)) as video:
        assert len(video.times) == 12 and numbers(video.read([5]).data) == [55]
    with open_video(path) as plain:
        assert len(plain.times) == 12


def test_a_touched_or_copied_file_is_known_again(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mp4", 24)
    frames = FrameCache(tmp_path / "store", 40)
    frames.open(str(path)).close()
    _, timeline = examine(str(path))
    assert timeline is not None and store(path, timeline)
    os.chmod(path, 0o600)
    assert lookup(path) is not None and isinstance(frames.open(str(path)), CachedVideo)
    shutil.copy2(path, tmp_path / "copy.mp4")
    (tmp_path / "copy.mp4").replace(path)
    assert lookup(path) is not None and isinstance(frames.open(str(path)), CachedVideo)
    held = entry(path).read_bytes()
    assert lookup(path) is not None and entry(path).read_bytes() == held  # compared only once
    report = frames.report()
    assert (report.written, report.hits) == (1, 2)
