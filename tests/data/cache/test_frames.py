"""The cache of decoded frames: the same pixels, whole files only, and never in the way."""

from __future__ import annotations

import errno
import logging
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from support.videos import film, films, numbers
from vitascope.data.cache import frames as store_module
from vitascope.data.cache.frames import FrameCache, visible
from vitascope.data.cache.video import CachedVideo
from vitascope.data.dataset import ClipDataset
from vitascope.data.decoder import open_video
from vitascope.data.records import VideoRecord
from vitascope.data.scale import Scale
from vitascope.errors import ConfigError, DecodeError
from vitascope.spec import ClipSpec, PixelSpec, ViewProtocol
from vitascope.transforms.preprocess import evaluation_transform, scaled_size

SPECS = (
    ClipSpec(num_frames=4, sampling_rate=2, fps=12),
    ClipSpec(num_frames=4, sampling_rate=3),
    ClipSpec(num_frames=6, coverage="video"),
)


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> list[VideoRecord]:
    found = films(tmp_path_factory.mktemp("films"), 2)
    found.append(replace(found[0], start=Fraction(9, 24), end=Fraction(31, 24)))
    found.append(replace(found[1], end=Fraction(1, 100)))
    found.append(replace(found[1], start=Fraction(2)))
    return found


def files(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.rglob("*") if p.is_file() and p.name != ".used")


@pytest.mark.parametrize("scale", [Scale(short_side=40), Scale(size=(40, 48)), Scale()])
def test_same_samples_cold_warm_and_without(
    records: list[VideoRecord], tmp_path: Path, scale: Scale
) -> None:
    store = FrameCache(tmp_path, scale.short_side, size=scale.size)
    for spec in SPECS:
        for train in (True, False):
            views = ViewProtocol(clips=1 if train else 2)
            cached = ClipDataset(records, spec, train=train, views=views, store=store)
            plain = ClipDataset(records, spec, train=train, views=views, scale=scale)
            for i in range(len(records)):
                item = (i, (0, 0, i))
                want = plain[item]["video"]
                assert torch.equal(cached[item]["video"], want)
                assert torch.equal(cached[item]["video"], want)
    report = store.report()
    assert report.written == len(records) and report.decoded == 0
    assert report.hits == 2 * 6 * len(records) - len(records)
    assert report.used == sum(p.stat().st_size for p in tmp_path.rglob("*.npy"))


@pytest.mark.parametrize("fit", ["crop", "squash"])
def test_an_evaluation_sees_the_same_pixels_through_a_cache_of_its_size(
    records: list[VideoRecord], tmp_path: Path, fit: str
) -> None:
    pixels = PixelSpec(short_side=20, crop=(18, 26), fit=fit)  # type: ignore[arg-type]
    crops = 3 if fit == "crop" else 1
    store = FrameCache(tmp_path / "all", pixels=pixels)
    none = FrameCache(tmp_path / "none", pixels=pixels, budget=0)
    short = FrameCache(tmp_path / "short", 20)
    differ = 0
    for spec in SPECS:
        options = {
            "train": False, "views": ViewProtocol(clips=2, crops=crops),
            "transform": evaluation_transform(pixels, crops),
        }  # fmt: skip
        plain, cached, uncached, other = (
            ClipDataset(records, spec, store=s, **options)  # type: ignore[arg-type]
            for s in (None, store, none, short)
        )
        for i in range(len(records)):
            want = plain[i]["video"]
            assert torch.equal(cached[i]["video"], want)
            assert torch.equal(cached[i]["video"], want)
            assert torch.equal(uncached[i]["video"], want)
            differ += not torch.equal(other[i]["video"], want)
    assert differ  # scaling while decoding gives other pixels, so the cache is needed
    assert store.report().written == len(records) and not none.report().written
    video = store.open(records[0].path)
    assert isinstance(video, CachedVideo)
    height, width = scaled_size(video.height, video.width, pixels)
    assert video.read([0, 3]).data.shape == (2, height, width, 3)


def test_frames_beside_a_cached_part_come_whole(tmp_path: Path) -> None:
    path = str(film(tmp_path / "a.mp4", 24, 24))
    pixels = PixelSpec(short_side=20, crop=(20, 20))
    part = FrameCache(tmp_path / "store", pixels=pixels).open(path, end=Fraction(1, 2))
    with part, open_video(path) as whole:
        assert isinstance(part, CachedVideo)
        assert part.read([3]).data.shape[1] == 20
        assert torch.equal(part.read([3, 20]).data, whole.read([3, 20]).data)
    with pytest.raises(ConfigError, match="or has a short side"):
        FrameCache(tmp_path / "both", 20, pixels=pixels)


def test_facts_of_the_video_survive(tmp_path: Path) -> None:
    ticks = [0, 1, 2, 5, 9, 10]
    path = str(film(tmp_path / "vfr.mp4", 6, 12, pts=[t + 7 for t in ticks]))
    store = FrameCache(tmp_path / "store", 40)
    with open_video(path) as video, store.open(path) as cold, store.open(path) as warm:
        assert isinstance(cold, CachedVideo) and isinstance(warm, CachedVideo)
        for name in ("path", "start", "times", "durations", "duration", "fps", "width", "height",
                     "pixel_aspect"):  # fmt: skip
            assert getattr(warm, name) == getattr(video, name), name
        assert warm.times == tuple(Fraction(t, 12) for t in ticks)
        order = [3, 0, 3, 5]
        want, got = video.read(order, size=(40, 64)), warm.read(order)
        assert torch.equal(got.data, want.data)
        assert (got.pts, got.durations) == (want.pts, want.durations)
        assert torch.equal(warm.read([2], size=(80, 128)).data, video.read([2]).data)
        streams = zip(warm.stream(size=(40, 64)), video.stream(size=(40, 64)), strict=True)
        assert all(a == b and np.array_equal(x, y) for (a, x), (b, y) in streams)
        with pytest.raises(IndexError):
            warm.read([6])
        kept = warm.read([1]).data
    assert numbers(kept) == [1]  # a copy, which outlives the file


def test_only_the_trimmed_part_is_kept(records: list[VideoRecord], tmp_path: Path) -> None:
    store = FrameCache(tmp_path, 40)
    with store.open(records[2].path, records[2].start, records[2].end) as video:
        assert len(video.times) == 24
        inside = video.read([4, 15]).data  # on the screen at 9/24 s and before 31/24 s
        assert np.load(next(tmp_path.rglob("*.npy")), mmap_mode="r").shape == (12, 40, 64, 3)
        outside = video.read([3, 16]).data  # from the file
    with open_video(records[2].path) as video:
        assert torch.equal(inside, video.read([4, 15], size=(40, 64)).data)
        assert torch.equal(outside, video.read([3, 16], size=(40, 64)).data)


def test_visible_frames() -> None:
    times = tuple(Fraction(i) for i in range(5))
    half = Fraction(1, 2)
    assert visible(times, None, None) == range(5)
    assert visible(times, Fraction(1), Fraction(3)) == range(1, 3)
    assert visible(times, half, 3 + half) == range(0, 4)
    assert visible(times, 2 + half, 2 + 2 * half / 3) == range(2, 3)
    assert visible(times, Fraction(4), None) == range(4, 5)


def test_a_changed_file_is_decoded_anew(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mp4", 6)
    store = FrameCache(tmp_path / "store", 40)
    with store.open(str(path)) as video:
        assert numbers(video.read([0]).data) == [0]
    film(path, 6, first=50)
    os.utime(path, ns=(1, 1))
    with store.open(str(path)) as video:
        assert numbers(video.read([0]).data) == [50]
    other = FrameCache(tmp_path / "store", 48)
    with other.open(str(path)) as video:
        assert video.read([0]).data.shape == (1, 48, 77, 3)
    assert store.report().written == 2 and other.report().written == 1


def test_folders_of_frames(tmp_path: Path) -> None:
    with open_video(film(tmp_path / "a.mp4", 4)) as video:
        frames = video.read(range(4)).data.numpy()
    folder = tmp_path / "frames"
    folder.mkdir()
    for i, frame in enumerate(frames):
        av.VideoFrame.from_ndarray(frame, format="rgb24").save(str(folder / f"{i:03}.png"))
    store = FrameCache(tmp_path / "store")
    for _ in range(2):
        with store.open(str(folder)) as video:
            assert numbers(video.read([2, 0]).data) == [2, 0]
    assert store.report().hits == 1


def test_budget_and_long_videos(records: list[VideoRecord], tmp_path: Path) -> None:
    plain = ClipDataset(records[:2], SPECS[2], train=True, scale=Scale(short_side=40))
    one = 24 * 40 * 64 * 3
    store = FrameCache(tmp_path / "a", 40, budget=one + 2000)
    data = ClipDataset(records[:2], SPECS[2], train=True, store=store)
    for _ in range(3):
        for i in range(2):
            assert torch.equal(data[i]["video"], plain[i]["video"])
    report = store.report()
    assert (report.written, report.hits, report.decoded) == (1, 2, 3)
    assert one < report.used <= one + 2000 and not report.problem
    again = FrameCache(tmp_path / "a", 40, budget=one + 2000)  # counts what is there
    assert again.report().used == report.used
    short = FrameCache(tmp_path / "b", 40, max_frames=24)
    data = ClipDataset(records[:2], SPECS[2], train=True, store=short)
    plain.set_epoch(None)
    for i in range(2):
        assert torch.equal(data[i]["video"], plain[i]["video"])
    assert (short.report().written, short.report().decoded) == (1, 1)


def test_a_full_disk_is_said_once_and_costs_time_only(
    records: list[VideoRecord],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    real, calls = store_module.write_atomically, []

    def fail(path: Path, chunks: object) -> int:
        def cut() -> object:
            for number, chunk in enumerate(chunks):
                if number == 1:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                yield chunk

        calls.append(path)
        return real(path, cut())

    monkeypatch.setattr(store_module, "write_atomically", fail)
    store = FrameCache(tmp_path, 40)
    data = ClipDataset(records, SPECS[2], train=True, store=store)
    plain = ClipDataset(records, SPECS[2], train=True, scale=store.scale)
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            for i in range(len(records)):
                assert torch.equal(data[i]["video"], plain[i]["video"])
    assert [r.message for r in caplog.records] == [
        f"{tmp_path}: No space left on device. No further frames are kept there; videos are "
        f"decoded each time instead."
    ]
    assert len(calls) == 1 and files(tmp_path) == []
    report = store.report()
    assert report.used == 0 and report.decoded == 2 * len(records)
    assert report.problem == f"{tmp_path}: No space left on device"


LIMITED = """
import resource, signal, sys
from fractions import Fraction
from vitascope.data.cache.frames import FrameCache
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
store = FrameCache(sys.argv[2], 40)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
with store.open(sys.argv[1]) as video:
    print(len(video.times), video.read([5], size=(40, 64)).data.shape)
print(store.report())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits of file sizes are those of Linux")
def test_a_write_that_really_fails_leaves_nothing(
    records: list[VideoRecord], tmp_path: Path
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, records[0].path, str(tmp_path)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "24 torch.Size([1, 40, 64, 3])" in done.stdout
    assert "decoded=1" in done.stdout and "File too large" in done.stdout
    assert done.stderr.count("No further frames are kept") == 1
    assert files(tmp_path) == []


def test_damaged_and_abandoned_cache_files(records: list[VideoRecord], tmp_path: Path) -> None:
    store = FrameCache(tmp_path, 40)
    store.open(records[0].path).close()
    [file] = tmp_path.rglob("*.npy")
    whole = file.read_bytes()
    for content in (b"", whole[:100], whole[:-1], bytes(len(whole)), whole[:-17] + b"x" * 17):
        file.write_bytes(content)
        with store.open(records[0].path) as video:
            assert numbers(video.read([7]).data) == [7]
        assert file.read_bytes() == whole
    part = file.with_name(".abc.npy.123-0.part")
    part.mkdir()
    (part / "abc.npy").write_bytes(b"half")
    FrameCache(tmp_path, 40)
    assert part.is_dir()  # it may be another process's work
    os.utime(part, (time.time() - 7200,) * 2)
    FrameCache(tmp_path, 40)
    assert files(tmp_path) == [file.name]


def test_damaged_videos_are_not_kept(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mp4", 24)
    with av.open(str(path)) as file:
        packets = [(p.pos, p.size) for p in file.demux(video=0) if p.size]
    raw = bytearray(path.read_bytes())
    for position, size in packets[12:]:
        raw[position + 4 : position + size] = bytes(size - 4)
    path.write_bytes(raw)
    store = FrameCache(tmp_path / "store", 40)
    with pytest.raises(DecodeError), store.open(str(path)) as video:
        video.read(range(24), size=(40, 64))
    assert files(tmp_path / "store") == [] and store.report().decoded == 1
    with store.open(str(path)) as video:  # frames before the damage are there
        assert numbers(video.read([0], size=(40, 64)).data) == [0]


def test_several_writers_of_one_video(records: list[VideoRecord], tmp_path: Path) -> None:
    stores = [FrameCache(tmp_path, 40) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        videos = list(pool.map(lambda s: s.open(records[0].path), stores))
    data = [video.read(range(24)).data for video in videos]
    assert all(torch.equal(d, data[0]) for d in data)
    assert len(files(tmp_path)) == 1


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    report = FrameCache(tmp_path / "file" / "cache", 40).report()
    assert report.problem == f"{tmp_path}/file/cache: Not a directory" and report.used == 0
