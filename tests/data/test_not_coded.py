"""An image that is not coded is no frame, before `check` and after it."""

from __future__ import annotations

import shutil
import struct
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from support.packets import X264, like, write_packets
from vitascope.data.cache.timelines import store
from vitascope.data.check.examine import examine
from vitascope.data.decoder import open_video
from vitascope.data.decoders import packets as packets_module
from vitascope.data.decoders.hidden import hidden
from vitascope.data.decoders.pyav import PyAVDecoder
from vitascope.data.render import read_number, render_numbered

COUNT = 40
MIDDLE = {7, 8, 20, 21, 22}
END = set(range(30, COUNT))
TIMES = [40 * n for n in range(COUNT)]
VOP = b"\0\0\1\xb6"
H264_FILLING = b"\x0c\xff\xff\x80"
H264_DELIMITER = b"\x09\xf0"


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VITASCOPE_CACHE", str(tmp_path / "cache"))


def not_coded(picture: bytes, width: int) -> bytes:
    """The header of an MPEG-4 image up to its flag "coded", which becomes 0; no key image.

    Args:
        picture: with its start code.
        width: bits of the part of a second.
    """
    head = picture.find(VOP) + 4
    bits = "".join(f"{byte:08b}" for byte in picture[head : head + 12])
    place = 2
    while bits[place] == "1":
        place += 1
    place += 2 + width + 1
    bits = bits[:2].replace("00", "01") + bits[2:place] + "00"
    bits += "1" * (-len(bits) % 8)
    return picture[:head] + int(bits, 2).to_bytes(len(bits) // 8, "big")


def still(numbers: set[int]) -> Callable[[list[Any]], list[Any]]:
    """MPEG-4 at 1/1000 s: 10 bits of a second."""

    def change(packets: list[Any]) -> list[Any]:
        by_time = {TIMES[n] for n in numbers}
        return [like(p, not_coded(bytes(p), 10)) if p.pts in by_time else p for p in packets]

    return change


def messages(unit: bytes) -> Callable[[list[Any]], list[Any]]:
    """Behind some packets a packet of its own that holds only a message."""

    def change(packets: list[Any]) -> list[Any]:
        found = []
        for number, packet in enumerate(packets):
            found.append(packet)
            if number in MIDDLE:
                made = like(packet, b"\0\0\0\1" + unit)
                made.pts, made.dts = packet.pts + 17, packet.dts + 17
                found.append(made)
        return found

    return change


def avc(path: Path, unit: bytes) -> Path:
    return write_packets(path, "libx264", TIMES, messages(unit), options=X264 | {"bf": "0"})


def mpeg4(path: Path, numbers: set[int], **options: str) -> Path:
    plain = {"g": "50", "bf": "0", "qscale": "3"}
    drawn = []  # nothing moves while nothing is coded
    for number in range(COUNT):
        drawn.append(drawn[-1] if number in numbers else number)
    return write_packets(path, "mpeg4", TIMES, still(numbers), options=plain | options, drawn=drawn)


# name -> how it is made, and the numbers of the frames that come.
MADE: dict[str, tuple[Callable[[Path], Path], list[int]]] = {
    "middle.mkv": (lambda p: mpeg4(p, MIDDLE), [n for n in range(COUNT) if n not in MIDDLE]),
    "middle.mov": (lambda p: mpeg4(p, MIDDLE), [n for n in range(COUNT) if n not in MIDDLE]),
    "middle.nut": (lambda p: mpeg4(p, MIDDLE), [n for n in range(COUNT) if n not in MIDDLE]),
    # FFmpeg shows the last image once more where a stream ends so.
    "end.mp4": (lambda p: mpeg4(p, END), [*range(30), 29]),
    "end.mkv": (lambda p: mpeg4(p, END), [*range(30), 29]),
    "one_group.mp4": (lambda p: mpeg4(p, {1, 2, 3}), [0, *range(4, COUNT)]),
    "many.avi": (lambda p: mpeg4(p, set(range(1, 12))), [0, *range(12, COUNT)]),
    "every_third.ts": (
        lambda p: mpeg4(p, set(range(1, 39, 3))), [n for n in range(COUNT) if n % 3 != 1 or n == 39]
    ),
    "middle.asf": (lambda p: mpeg4(p, MIDDLE), [n for n in range(COUNT) if n not in MIDDLE]),
    "end_by_one.avi": (lambda p: mpeg4(p, {39}), [*range(39), 38]),
    "filling.mkv": (
        lambda p: avc(p, H264_FILLING),
        list(range(COUNT)),
    ),
    "delimiter.mp4": (
        lambda p: avc(p, H264_DELIMITER),
        list(range(COUNT)),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MADE)
def test_what_is_not_coded_is_no_frame(tmp_path: Path, name: str, monkeypatch) -> None:
    make, expected = MADE[name]
    path = make(tmp_path / name)
    with monkeypatch.context() as patched:  # the headers of packets tell; nothing is decoded
        patched.setattr(packets_module, "come_out", None)
        with open_video(path, whole=True) as video:
            before = list(video.times)
            assert [read_number(i) for i in video.read(range(len(before))).data.numpy()] == expected
            assert [read_number(i) for i in video.read([25, 2, 9]).data.numpy()] == [
                expected[n] for n in (25, 2, 9)
            ]
            # The last image stays on the screen through those that are not coded.
            assert float(video.duration) == pytest.approx(1.6, abs=0.03)
    stored = [TIMES[n] / 1000 for n in expected]
    if name.startswith("end"):
        stored[-1] = TIMES[-1] / 1000
    assert [float(t) for t in before] == pytest.approx(stored)
    with av.open(str(path)) as container:
        if container.streams.video[0].codec_context.name == "mpeg4":
            assert sum(1 for _ in container.decode(video=0)) == len(expected)
    report, timeline = examine(str(path))
    assert (report.frames, report.error) == (len(expected), None) and timeline is not None
    assert report.duration == pytest.approx(1.6, abs=0.03)
    store(path, timeline)
    with open_video(path) as video:
        assert list(video.times) == before
        assert [read_number(i) for i in video.read([25, 2, 9]).data.numpy()] == [
            expected[n] for n in (25, 2, 9)
        ]


# name -> numbers that are not coded.
B_FRAMES = {
    "b.mp4": {7, 8},
    "b.avi": {4, 5, 6, 7, 8, 9},
    "b.mkv": {20},
    "b_end.mp4": {37, 38, 39},
    "b_end.mkv": {38},
    "b_end.avi": {37, 38},
    "b_still.mov": set(range(7, 40)),
}


@pytest.mark.parametrize("name", B_FRAMES)
def test_not_coded_among_b_frames(tmp_path: Path, name: str) -> None:
    """FFmpeg shows no image twice here, and the last one at the time of the last packet."""
    path = mpeg4(tmp_path / name, B_FRAMES[name], bf="2")
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        images = [(f.pts, f.to_ndarray(format="rgb24")) for f in container.decode(stream)]
        times = [float((pts - images[0][0]) * stream.time_base) for pts, _ in images]
    assert len(images) == COUNT - len(B_FRAMES[name])
    for _ in range(2):
        with open_video(path, whole=True) as video:
            found = video.read(range(len(video.times))).data.numpy()
            if path.suffix != ".avi":  # has no times
                assert [float(t) for t in video.times] == pytest.approx(times, abs=0.001)
            assert len(found) == len(images)
            assert all(np.array_equal(f, i) for f, (_, i) in zip(found, images, strict=True))
            last = len(found) - 1
            assert np.array_equal(video.read([last, 3]).data.numpy(), found[[last, 3]])
            assert float(video.duration) == pytest.approx(1.6, abs=0.05)
        report, timeline = examine(str(path))
        assert (report.frames, report.error) == (len(images), None) and timeline is not None
        store(path, timeline)


def test_empty_chunks_of_avi_keep_the_picture(tmp_path: Path) -> None:
    """What VirtualDub calls dropped frames: chunks of no bytes, here put in behind the last."""
    path = render_numbered(
        tmp_path / "a.avi", 24, codec="mpeg4", options={"g": "12", "bf": "0", "qscale": "3"}
    )
    content = bytearray(path.read_bytes())
    movi = content.find(b"movi") - 8
    index = content.rfind(b"idx1")
    extra = (b"00dc" + bytes(4)) * 6
    content[index:index] = extra
    length = struct.unpack("<I", content[movi + 4 : movi + 8])[0] + len(extra)
    content[movi + 4 : movi + 8] = struct.pack("<I", length)
    content[4:8] = struct.pack("<I", len(content) - 8)
    index += len(extra)
    place, entries = length - len(extra) + 4, b""
    for n in range(6):
        entries += b"00dc" + struct.pack("<III", 0, place + 8 * n, 0)
    size = struct.unpack("<I", content[index + 4 : index + 8])[0] + len(entries)
    content[index + 4 : index + 8] = struct.pack("<I", size)
    path.write_bytes(bytes(content) + entries)
    with open_video(path) as video:
        assert len(video.times) == 24
        assert [read_number(i) for i in video.read(range(24)).data.numpy()] == list(range(24))
    report, _ = examine(str(path))
    assert (report.frames, report.error) == (24, None)


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="the ffmpeg program is not installed")
def test_hidden_pictures_of_vp9_that_travel_alone(tmp_path: Path) -> None:
    source = render_numbered(
        tmp_path / "a.webm", COUNT, codec="libvpx-vp9",
        options={"deadline": "good", "cpu-used": "5", "auto-alt-ref": "1", "lag-in-frames": "16"},
    )  # fmt: skip
    path = tmp_path / "a.mkv"
    command = ["ffmpeg", "-v", "error", "-i", str(source), "-c", "copy", "-bsf:v",
               "vp9_superframe_split", str(path)]  # fmt: skip
    subprocess.run(command, check=True)
    with open_video(path) as video:
        found = [read_number(i) for i in video.read(range(len(video.times))).data.numpy()]
        assert found == list(range(COUNT))


def test_the_headers_of_mpeg4() -> None:
    # A setup with a resolution of 25 (5 bits), one with a shape and control parameters.
    plain = "1" + "00000001" + "0" + "0001" + "0" + "00" + "1" + f"{25:016b}" + "1" + "0"
    rich = ("0" + "00000001" + "1" + "0010" + "001" + "1111" + "00000001" * 2 + "1" + "01" + "0"
            + "1" + "0" * 79 + "00" + "1" + f"{30000:016b}" + "1" + "0")  # fmt: skip
    for bits, width in ((plain, 5), (rich, 15)):
        bits += "0" * (-len(bits) % 8 + 16)
        setup = b"\0\0\1\x20" + int(bits, 2).to_bytes(len(bits) // 8, "big")
        for coded in (0, 1):
            for seconds in (0, 1, 3):
                text = "01" + "1" * seconds + "0" + "1" + "0" * width + "1" + str(coded)
                text += "1" * (-len(text) % 8)
                picture = VOP + int(text, 2).to_bytes(len(text) // 8, "big")
                rule, _ = hidden("mpeg4", setup)
                assert rule is not None and rule(picture) is (coded == 0)
                inside, _ = hidden("mpeg4", None)
                assert inside is not None and inside(setup + picture) is (coded == 0)
                assert not inside(b"no start code") and not rule(picture + picture)
    unknown, _ = hidden("mpeg4", None)
    assert unknown is not None and not unknown(VOP + b"\x40\x00\x00\x00")
    assert hidden("mjpeg", None) == (None, 0)


def test_messages_of_h264_and_hevc() -> None:
    h264, _ = hidden("h264", bytes([1, 100, 0, 31, 0xFF]))
    assert h264 is not None

    def boxed(*units: bytes) -> bytes:
        return b"".join(len(u).to_bytes(4, "big") + u for u in units)

    assert h264(boxed(b"\x09\xf0")) and h264(boxed(b"\x06\x05\x01", b"\x67abc", b"\x68d"))
    for picture in (boxed(b"\x41\x9a"), boxed(b"\x09\xf0", b"\x65\x88"), boxed(b"\0\0\0\0"),
                    boxed(b"\x06\x05")[:-1], boxed(b"\x86\x05"), b"\0\0\0\0"):  # fmt: skip
        assert not h264(picture)
    hevc, _ = hidden("hevc", None)
    assert hevc is not None and hevc(b"\0\0\1\x46\x01\x10") and not hevc(b"\0\0\1\x02\x01\xd0")


def test_an_unknown_codec_shows_the_picture_before(tmp_path: Path) -> None:
    """Where only decoding can tell that a packet gives no frame, the last one is shown."""
    path = render_numbered(tmp_path / "a.mkv", 30, codec="libvpx", options={"g": "10"})
    with PyAVDecoder(path) as video:
        timeline = video.timeline
    false = np.sort(np.append(timeline.pts, [timeline.pts[7] + 1, timeline.pts[-1] + 5]))
    with PyAVDecoder(path, timeline=replace(timeline, pts=false)) as video:
        expected = [*range(8), 7, *range(8, 30), 29]
        assert [read_number(i) for i in video.read(range(32)).data.numpy()] == expected
        assert [read_number(i) for i in video.read([31, 8, 12]).data.numpy()] == [29, 7, 11]
