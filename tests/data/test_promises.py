"""The table of frames is the proof; a tag or the length in a header is a hint."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from support.packets import VP8, X264, write_packets
from vitascope.data.check.examine import examine
from vitascope.data.decoder import open_video
from vitascope.data.render import read_number, render_numbered
from vitascope.errors import DecodeError

TIMES = [40 * n for n in range(50)]
PLAIN, B_FRAMES = X264 | {"bf": "0"}, X264 | {"bf": "3", "b_strategy": "0"}
VP9 = {"deadline": "realtime", "cpu-used": "8"}
HEVC = {"preset": "ultrafast", "x265-params": "log-level=none:keyint=12:pools=none:bframes=3"}
FFMPEG = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="no ffmpeg program")


def hold(packets: list[Any]) -> list[Any]:
    packets[-1].duration = 5000
    return packets


def held(codec: str, **options: Any) -> Callable[[Path], Path]:
    return lambda path: write_packets(path, codec, TIMES, hold, **options)


FRAGMENTS = {"movflags": "frag_keyframe+empty_moov"}
HELD: dict[str, Callable[[Path], Path]] = {
    "plain.mp4": held("libx264", options=PLAIN),
    "b.mp4": held("libx264", options=B_FRAMES),
    "b.mov": held("libx264", options=B_FRAMES, container={"movflags": "+faststart"}),
    "plain_fragments.mp4": held("libx264", options=PLAIN, container=FRAGMENTS),
    "vp8.mkv": held("libvpx", options=VP8),
    "plain.mkv": held("libx264", options=PLAIN),
    "b.mkv": held("libx264", options=B_FRAMES),
    "vp8.webm": held("libvpx", options=VP8),
    "vp9.mp4": held("libvpx-vp9", options=VP9),
    "vp9.webm": held("libvpx-vp9", options=VP9),
    "b_fragments.mp4": held("libx264", options=B_FRAMES, container=FRAGMENTS),
    "b_negative.mp4": held(
        "libx264", options=B_FRAMES, container={"movflags": "negative_cts_offsets"}
    ),
    "b_no_edits.mp4": held("libx264", options=B_FRAMES, container={"use_editlist": "0"}),
    "mpeg4_b.m4v": held("mpeg4", options={"bf": "2"}),
    "hevc.mkv": held("libx265", options=HEVC),
    "live.mkv": held("libx264", options=B_FRAMES, container={"live": "1"}),
    "a.gif": held("gif", options={}, pix_fmt="rgb8"),
    "mjpeg.mov": held("mjpeg", options={"qscale": "3"}, pix_fmt="yuvj420p"),
}


@pytest.mark.parametrize("name", HELD)
def test_a_last_picture_that_stays_is_no_cut(tmp_path: Path, name: str) -> None:
    path = HELD[name](tmp_path / name)
    with open_video(path, whole=True) as video:
        assert len(video.times) == 50
        assert float(video.duration) == pytest.approx(6.96, abs=0.1)
        assert read_number(video.read([49]).data[0].numpy()) == 49
    report, _ = examine(str(path))
    assert (report.frames, report.error) == (50, None)
    assert report.duration == pytest.approx(6.96, abs=0.1)


@pytest.mark.parametrize("name", ["plain.mp4", "vp9.mp4"])
def test_a_header_longer_than_its_table_promises_nothing(tmp_path: Path, name: str) -> None:
    codec, options = ("libvpx-vp9", VP9) if name.startswith("vp9") else ("libx264", PLAIN)
    path = write_packets(tmp_path / name, codec, TIMES, options=options)
    content = bytearray(path.read_bytes())
    place = content.find(b"mdhd") + 20
    length = int.from_bytes(content[place : place + 4], "big")
    content[place : place + 4] = (5 * length).to_bytes(4, "big")
    path.write_bytes(content)
    with open_video(path, whole=True) as video:
        assert (len(video.times), video.duration) == (50, 2)
    assert examine(str(path))[0].error is None


@pytest.mark.parametrize("name", ["b.mkv", "vp8.webm", "b.mp4"])
def test_a_file_that_is_cut_still_says_so(tmp_path: Path, name: str) -> None:
    path = HELD[name](tmp_path / name)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * 0.7)])
    with pytest.raises(DecodeError):
        open_video(path, whole=True)


def test_frames_lost_inside_a_matroska_file_are_no_last_picture_that_stays(tmp_path: Path) -> None:
    path = write_packets(tmp_path / "a.mkv", "libvpx", TIMES, options=VP8,
                         container={"cluster_time_limit": "400"})  # fmt: skip
    content = bytearray(path.read_bytes())
    places = [i for i in range(len(content)) if content[i : i + 4] == b"\x1f\x43\xb6\x75"]
    assert len(places) > 3
    end = content.find(b"\x1c\x53\xbb\x6b", places[-1])
    content[places[-2] : end] = bytes(end - places[-2])
    path.write_bytes(bytes(content))
    report, _ = examine(str(path))
    assert 0 < report.frames < 45
    assert report.error is not None and "cut off: its header promises" in report.error


STALE = {
    "a.nut": "mpeg4", "a.ogv": "libvpx", "a.avi": "mpeg4", "a.flv": "flv", "a.mp4": "mpeg4",
    "a.mov": "mjpeg", "a.asf": "wmv2", "a.wmv": "wmv2", "a.ts": "mpeg2video", "a.mkv": "libvpx",
}  # fmt: skip


@pytest.mark.parametrize("name", STALE)
def test_a_copied_tag_promises_nothing(tmp_path: Path, name: str) -> None:
    import av

    path, codec = tmp_path / name, STALE[name]
    pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    with av.open(str(path), "w") as out:
        stream: Any = out.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, pix_fmt
        stream.metadata["DURATION"] = "00:00:10.000000000"
        for number in range(25):
            frame = av.VideoFrame(64, 48, pix_fmt)
            for plane in frame.planes:
                plane.update(bytes([number * 8]) * plane.buffer_size)
            frame.pts = number
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    with open_video(path, whole=True) as video:
        assert len(video.times) == 25 and float(video.duration) == pytest.approx(1, abs=0.05)
    assert examine(str(path))[0].error is None


def test_a_tag_longer_than_the_matroska_file_says_of_itself(tmp_path: Path) -> None:
    path = write_packets(tmp_path / "a.mkv", "libvpx", TIMES, options=VP8)
    content = path.read_bytes()
    assert content.count(b"00:00:02.000000000") == 1
    path.write_bytes(content.replace(b"00:00:02.000000000", b"00:01:02.000000000"))
    with open_video(path, whole=True) as video:
        assert video.duration == 2
    assert examine(str(path))[0].error is None


@FFMPEG
@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv"])
@pytest.mark.parametrize("options", [["-ss", "0.7"], ["-t", "1.1"], ["-ss", "0.7", "-t", "0.9"]])
def test_trimmed_copies_are_whole(tmp_path: Path, suffix: str, options: list[str]) -> None:
    source = render_numbered(tmp_path / f"a.{suffix}", 50, options=B_FRAMES)
    path = tmp_path / f"part.{suffix}"
    command = ["ffmpeg", "-v", "error", *options, "-i", str(source), "-c", "copy", str(path)]
    subprocess.run(command, check=True)
    with open_video(path, whole=True) as video:
        shown, duration, times = len(video.times), video.duration, list(video.times)
        found = [read_number(i) for i in video.read(range(shown)).data.numpy()]
        assert None not in found and found == sorted(n for n in found if n is not None)
    report, _ = examine(str(path))
    assert (report.frames, report.error) == (shown, None)
    command = ["ffprobe", "-v", "error", "-select_streams", "v", "-count_frames"]
    command += ["-show_entries", "stream=nb_read_frames", "-of", "csv=p=0", str(path)]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert shown == int(said)
    assert 0 < duration - times[-1] <= Fraction(8, 100)  # two frames at most


@FFMPEG
@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
def test_late_starts_are_whole(tmp_path: Path, suffix: str) -> None:
    source = render_numbered(tmp_path / "a.mp4", 50, options=B_FRAMES)
    path = tmp_path / f"late.{suffix}"
    command = ["ffmpeg", "-v", "error", "-itsoffset", "3", "-i", str(source)]
    command += ["-f", "lavfi", "-i", "sine=d=6", "-map", "0:v", "-map", "1:a"]
    subprocess.run([*command, "-c:v", "copy", "-c:a", "aac", str(path)], check=True)
    with open_video(path, whole=True) as video:
        assert (len(video.times), video.duration) == (50, Fraction(2))
        assert float(video.start) == pytest.approx(3 if suffix != "ts" else 4.4, abs=0.2)
    assert examine(str(path))[0].error is None
