"""`check`: every file decoded, faults named, crashes and hangs survived, times kept."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vitascope.data.cache.timelines import entry, lookup, store
from vitascope.data.check import check as index
from vitascope.data.check import examine as examine_module
from vitascope.data.check.check import check_files
from vitascope.data.check.examine import examine
from vitascope.data.decoder import open_video
from vitascope.data.decoders import pyav
from vitascope.data.decoders.source import Source
from vitascope.data.render import numbered_frame, read_number, render_numbered
from vitascope.data.write import write_video
from vitascope.errors import ConfigError, DatasetNotFoundError, DecodeError
from vitascope.files import cache_folder

GROUPS = {"preset": "veryfast", "crf": "20", "threads": "1", "g": "12", "bf": "2"}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VITASCOPE_CACHE", str(tmp_path / "cache"))


def damage(path: Path, number: int) -> None:
    """Overwrites the data of one packet."""
    with pyav.PyAVDecoder(path) as video:
        packets = [(p.pos, p.size) for p in video._source.packets() if p.size]
    first, size = packets[number]
    content = bytearray(path.read_bytes())
    content[first + 4 : first + size] = bytes(size - 4)
    path.write_bytes(content)


def test_check_reports_each_file_and_keeps_its_times(tmp_path: Path) -> None:
    data = tmp_path / "data"
    for name, frames in (("a/one.mp4", 30), ("a/two.mp4", 24), ("b/three.mkv", 40)):
        render_numbered(data / name, frames, options=GROUPS)
    damage(render_numbered(data / "b/torn.mp4", 36, options=GROUPS | {"bf": "0"}), 14)
    (data / "b/empty.mp4").touch()
    seen = []
    report = check_files(data, jobs=2, progress=lambda done, total, row: seen.append((done, total)))
    assert [(Path(row.path).name, row.frames) for row in report.files] == [
        ("one.mp4", 30),
        ("two.mp4", 24),
        ("empty.mp4", 0),
        ("three.mkv", 40),
        ("torn.mp4", 26),
    ]
    assert seen == [(n, 5) for n in range(1, 6)]
    one = report.files[0]
    assert one.error is None and one.announced == 30 and one.codec == "h264"
    assert (one.width, one.height, one.fps, one.duration) == (128, 80, 25.0, 1.2)
    empty, torn = report.faults
    assert empty.error == "the file has no content (0 bytes)"
    assert torn.error is not None and torn.error.startswith(
        "26 of 36 frames come out; the first fault is at 0.560 s"
    )
    for row in report.files:
        known = lookup(row.path)
        assert (known is None) == (row.frames == 0)
        if known is not None:
            with pyav.PyAVDecoder(row.path) as video:
                assert known.times == video.times and known.size == (80, 128)
                assert (known.key_pts == video.timeline.key_pts).all()
    known = lookup(torn.path)
    assert known is not None and known.faults == ((14, 24),)


def test_open_video_reads_no_packet_for_times_that_are_known(tmp_path: Path, monkeypatch) -> None:
    path = render_numbered(tmp_path / "film.mp4", 30, options=GROUPS)
    check_files(path)

    def refuse(source: object) -> None:
        raise AssertionError("scanned")

    monkeypatch.setattr(pyav, "scan", refuse)
    with open_video(path) as video:
        assert len(video.times) == 30 and (video.height, video.width) == (80, 128)
        assert [read_number(f) for f in video.read([29, 13]).data.numpy()] == [29, 13]
    os.utime(path, ns=(0, 0))  # the file may have changed: nothing that was known holds
    with open_video(path) as video, pytest.raises(AssertionError, match="scanned"):
        assert video.times


def test_known_faults_are_refused_without_decoding(tmp_path: Path) -> None:
    path = render_numbered(tmp_path / "film.mp4", 36, options=GROUPS | {"bf": "0"})
    damage(path, 14)
    check_files(path)
    with open_video(path) as video:
        with pytest.raises(DecodeError, match=r"frame 20 .*0\.800 s"):
            video.read([20])
        assert video._running is None  # type: ignore[attr-defined]
        assert [read_number(f) for f in video.read([13, 24]).data.numpy()] == [13, 24]


def test_what_packets_say_is_corrected_by_what_comes_out(tmp_path: Path) -> None:
    path = render_numbered(tmp_path / "film.mp4", 30, options=GROUPS)
    report, timeline = examine(str(path))
    assert report.error is None and timeline is not None and timeline.how == "packets"
    # A timeline with a frame that the stream does not hold, as packets that are never shown give.
    false = replace(timeline, pts=np.sort(np.append(timeline.pts, timeline.pts[7] + 1)))
    with pyav.PyAVDecoder(path, timeline=false) as video:  # what is on the screen then
        assert [read_number(f) for f in video.read([8, 9]).data.numpy()] == [7, 8]
    seen = examine_module._Seen(timeline.pts.tolist(), [False] * 30, [])
    source = Source(str(path))
    settled = examine_module._settle(source, false, seen)
    source.close()
    assert settled.how == "decoded" and settled.times == timeline.times and not settled.faults


def test_store_and_lookup_lose_nothing(tmp_path: Path) -> None:
    path = render_numbered(tmp_path / "film.mkv", 30, fps=30, options=GROUPS)
    _, timeline = examine(str(path))
    assert timeline is not None
    timeline = replace(timeline, faults=((3, 5), (9, 10)))
    assert store(path, timeline) and store(path, timeline)
    again = lookup(path)
    assert again is not None
    for name in ("time_base", "last", "how", "faults", "size", "times", "durations", "duration"):
        assert getattr(again, name) == getattr(timeline, name)
    for name in ("pts", "key_pts", "key_dts"):
        assert (getattr(again, name) == getattr(timeline, name)).all()
    held = entry(path)
    assert held.is_relative_to(tmp_path / "cache")
    content = held.read_bytes()
    for cut in (0, 1, 100, len(content) - 1):
        held.write_bytes(content[:cut])
        assert lookup(path) is None
    held.write_bytes(content)
    assert lookup(path) is not None
    path.write_bytes(path.read_bytes() + b" ")
    assert lookup(path) is None


def test_a_cache_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    path = render_numbered(tmp_path / "film.mp4", 12, options=GROUPS)
    blocked = tmp_path / "file"
    blocked.touch()
    assert check_files(path, folder=blocked / "index").faults == ()
    assert lookup(path, blocked / "index") is None
    assert check_files(path, index=False).index is None
    assert not cache_folder("index").exists()


def test_a_folder_of_frames_is_checked_picture_by_picture(tmp_path: Path) -> None:
    for number in range(4):
        picture = tmp_path / f"clips/a/{number}.png"
        write_video(picture, [numbered_frame(number)], 1, codec="png", pix_fmt="rgb24")
    (tmp_path / "clips/a/2.png").write_bytes(b"no picture")
    (row,) = check_files(tmp_path / "clips/a").files
    assert (row.frames, row.announced) == (3, 4)
    assert row.error is not None and row.error.startswith("2.png: not a video file")


WORKER = """
import json, os, sys, time
print(json.dumps({"alive": 0}), flush=True)
for line in sys.stdin:
    path = os.path.basename(json.loads(line)["path"])
    if "crash" in path: os.abort()
    if "hang" in path: time.sleep(600)
    if "slow" in path:
        for _ in range(15):
            time.sleep(0.1)
            print(json.dumps({"alive": 1}), flush=True)
    print(json.dumps({"report": {"path": path, "frames": 7}}), flush=True)
"""


def test_a_crash_and_a_hang_are_rows_and_nothing_more(tmp_path: Path, monkeypatch) -> None:
    def start() -> subprocess.Popen[str]:
        command = [sys.executable, "-c", WORKER]
        pipe = subprocess.PIPE
        return subprocess.Popen(
            command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True
        )

    monkeypatch.setattr(index, "_start", start)
    monkeypatch.setattr(index, "_GRACE", 0.0)
    names = ["a.mp4", "b_crash.mp4", "c_hang.mp4", "d_slow.mp4", "e.mp4", "f_crash.mp4", "g.mp4"]
    for name in names:
        (tmp_path / name).touch()
    report = check_files(*(tmp_path / n for n in names), jobs=2, time_limit=1)
    assert [Path(row.path).name for row in report.files] == names
    errors = {Path(row.path).name: row.error for row in report.faults}
    assert set(errors) == {"b_crash.mp4", "c_hang.mp4", "f_crash.mp4"}
    assert errors["b_crash.mp4"] == "the decoder crashed (exit status -6)"
    assert errors["c_hang.mp4"] == "the decoder hung; given up after 1 s"


def test_bad_arguments(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="jobs = 0"):
        check_files(tmp_path, jobs=0)
    with pytest.raises(DatasetNotFoundError):
        check_files(tmp_path / "absent")
    with pytest.raises(DatasetNotFoundError, match="nothing to check"):
        check_files()


def test_every_file_of_the_codec_matrix(shared: Path, tmp_path: Path) -> None:
    folder = shared / "data" / "codecs"
    rows = {row["file"]: row for row in json.loads((folder / "manifest.json").read_text())}
    found = {Path(f.path).name: f for f in check_files(folder, folder=tmp_path / "index").files}
    assert set(found) == set(rows)
    for name, row in rows.items():
        report = found[name]
        if row["expected"] == "decodes":
            # The manifest counts the first stream; its README has the count of the best one.
            frames = 390 if name == "nasa_multistream.mp4" else row["frames"]
            assert (report.frames, report.error) == (frames, None), name
        elif row["expected"] == "error":
            assert report.frames == 0 and report.error, name
        else:
            counts = [row["decoders"][k] for k in ("pyav_frames", "torchcodec_frames")]
            assert min(counts) <= report.frames <= row["frames"], name
            assert report.error, name
    assert "cut off: its header promises 3.017 s" in str(found["truncated.mkv"].error)
