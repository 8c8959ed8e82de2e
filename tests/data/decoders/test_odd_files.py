"""Files that are unlike others: joined, cut, without times or key frames, images as videos."""

from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest

from vitascope.data.cache.timelines import store
from vitascope.data.check.examine import examine
from vitascope.data.decoder import open_video
from vitascope.data.decoders import stills
from vitascope.data.decoders.pyav import PyAVDecoder
from vitascope.data.render import numbered_frame, read_number, render_numbered
from vitascope.data.write import write_video
from vitascope.errors import DecodeError

GROUPS = {"preset": "veryfast", "crf": "20", "threads": "1", "g": "12", "bf": "2"}
MJPEG = {"codec": "mjpeg", "options": {"qscale": "2"}, "pix_fmt": "yuvj420p"}

STILLS = {
    ".png": {"codec": "png", "pix_fmt": "rgb24"},
    ".bmp": {"codec": "bmp", "pix_fmt": "bgr24"},
    ".tiff": {"codec": "tiff", "pix_fmt": "rgb24"},
    ".webp": {"codec": "libwebp", "options": {"quality": "90"}},
}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VITASCOPE_CACHE", str(tmp_path / "cache"))


def numbers(images) -> list[int | None]:
    return [read_number(image) for image in images.numpy()]


# --- images --------------------------------------------------------------------------------


def jpeg(path: Path, orientation: int | None = None) -> Path:
    picture = numbered_frame(7)
    write_video(path.with_suffix(".mjpeg"), [picture], 1, **MJPEG)
    content = path.with_suffix(".mjpeg").read_bytes()
    if orientation is not None:
        entry = struct.pack("<HHHIII", 1, 0x112, 3, 1, orientation, 0)
        exif = b"Exif\0\0II*\0" + struct.pack("<I", 8) + entry
        content = content[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + content[2:]
    path.write_bytes(content)
    path.with_suffix(".mjpeg").unlink()
    return path


@pytest.mark.parametrize("suffix", [".jpg", ".JPEG", ".png", ".bmp", ".webp", ".tiff", ".mp4"])
def test_pictures_and_folders_of_them(tmp_path: Path, suffix: str) -> None:
    folder = tmp_path / "frames"
    folder.mkdir()
    for number in range(3):
        path = folder / f"{number}{suffix}"
        if suffix in (".png", ".bmp", ".tiff"):
            kind = suffix[1:]
            write_video(
                path,
                [numbered_frame(number)],
                1,
                codec=kind,
                pix_fmt="rgb24" if kind != "bmp" else "bgr24",
            )
        elif suffix == ".webp":
            write_video(
                path, [numbered_frame(number)], 1, codec="libwebp", options={"quality": "90"}
            )
        else:
            jpeg(path)
    with open_video(path) as video:
        assert len(video.times) == 1
        assert numbers(video.read([0]).data) == [2 if suffix in STILLS else 7]
    if suffix != ".mp4":
        with open_video(folder) as video:
            assert len(video.times) == 3
            assert None not in numbers(video.read([2, 0, 1]).data)


def test_photographs_are_turned_upright(tmp_path: Path) -> None:
    with open_video(jpeg(tmp_path / "plain.jpg")) as video:
        plain = video.read([0]).data[0].numpy()
    # What each orientation of Exif says must be done to the stored image.
    upright = {
        1: plain,
        2: plain[:, ::-1],
        3: plain[::-1, ::-1],
        4: plain[::-1],
        5: plain.swapaxes(0, 1),
        6: np.rot90(plain, -1),
        7: np.rot90(plain, 2).swapaxes(0, 1),
        8: np.rot90(plain, 1),
    }
    for orientation, expected in upright.items():
        with open_video(jpeg(tmp_path / f"{orientation}.jpg", orientation)) as video:
            assert (video.height, video.width) == expected.shape[:2]
            assert (video.read([0]).data[0].numpy() == expected).all(), orientation


# --- size, key frames, times -----------------------------------------------------------------


def test_the_first_frame_has_the_size_of_all(tmp_path: Path) -> None:
    small = render_numbered(tmp_path / "a.h264", 24, size=(80, 128), options=GROUPS)
    large = render_numbered(tmp_path / "b.h264", 24, size=(160, 240), options=GROUPS)
    path = tmp_path / "both.h264"
    path.write_bytes(small.read_bytes() + large.read_bytes())
    for first in (3, 40):
        with open_video(path) as video:
            found = video.read([first]).data
            assert found.shape == (1, 80, 128, 3) and (video.height, video.width) == (80, 128)
            assert numbers(found) == [first % 24]
            assert numbers(video.read([47, 0]).data) == [23, 0]


def test_marks_of_key_frames_are_not_believed(tmp_path: Path) -> None:
    path = render_numbered(
        tmp_path / "a.avi", 30, size=(144, 176), codec="h263", options={"g": "10", "qscale": "3"}
    )
    with PyAVDecoder(path) as video:
        straight = video.read(range(30)).data
        assert len(video.timeline.key_pts) == 30  # each packet is marked
    for index in (7, 19, 25, 3):
        with open_video(path) as video:
            assert (video.read([index]).data[0] == straight[index]).all()
    report, timeline = examine(str(path))
    assert report.error is None and timeline is not None and len(timeline.key_pts) == 3
    store(path, timeline)
    with open_video(path) as video:
        assert (video.read([25, 3]).data == straight[[25, 3]]).all()


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="the ffmpeg program is not installed")
def test_colors_that_are_given_once_stay(tmp_path: Path) -> None:
    path = tmp_path / "a.mov"
    command = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc2=s=64x48:r=10:d=2"]
    subprocess.run([*command, "-c:v", "smc", "-g", "5", str(path)], check=True)
    command = ["ffmpeg", "-v", "error", "-i", str(path), "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    expected = subprocess.run(command, capture_output=True, check=True).stdout
    reference = np.frombuffer(expected, np.uint8).reshape(-1, 48, 64, 3)
    with open_video(path) as video:
        for wanted in ([0], [13], [4, 17], [2]):
            assert (video.read(wanted).data.numpy() == reference[wanted]).all()


@pytest.mark.parametrize("order", ["early late", "late early", "early early"])
def test_joined_files_are_read_in_the_order_of_the_file(tmp_path: Path, order: str) -> None:
    parts = {
        "early": render_numbered(tmp_path / "early.ts", 24, options=GROUPS),
        "late": render_numbered(
            tmp_path / "late.ts", 24, pts=[24 + n for n in range(24)], options=GROUPS
        ),
    }
    path = tmp_path / "joined.ts"
    path.write_bytes(b"".join(parts[name].read_bytes() for name in order.split()))
    with open_video(path) as video:
        assert len(video.times) == 48
        assert numbers(video.read(range(48)).data) == [*range(24), *range(24)]
        assert numbers(video.read([30, 3]).data) == [6, 3]
        assert set(video.durations) == {video.durations[0]}
    assert examine(str(path))[0].error is None


# --- cut files -------------------------------------------------------------------------------

CUT = {
    "a.mp4": {"options": GROUPS, "container_options": {"movflags": "+faststart"}},
    "fragmented.mp4": {
        "options": GROUPS,
        "container_options": {"movflags": "frag_keyframe+empty_moov"},
    },
    "a.mkv": {"options": GROUPS},
    "live.mkv": {"options": GROUPS, "container_options": {"live": "1"}},
    "a.webm": {"codec": "libvpx", "options": {"deadline": "realtime", "cpu-used": "8"}},
    "a.avi": {"codec": "mpeg4", "options": {"g": "12"}},
    "a.flv": {"options": GROUPS},
    "a.asf": {"codec": "wmv2", "options": {}},
    "a.gif": {"codec": "gif", "options": {}, "pix_fmt": "rgb8"},
    "a.apng": {"codec": "apng", "options": {}, "pix_fmt": "rgb24"},
    "a.mjpeg": MJPEG,
    "a.ivf": {"codec": "libvpx", "options": {"deadline": "realtime", "cpu-used": "8"}},
    "a.ogv": {"codec": "libvpx", "options": {"deadline": "realtime", "cpu-used": "8"}},
}


@pytest.mark.parametrize("name", CUT)
def test_cut_files_say_so_and_whole_ones_do_not(tmp_path: Path, name: str) -> None:
    path = render_numbered(tmp_path / name, 36, size=(160, 256), **CUT[name])
    report, _ = examine(str(path))
    assert (report.frames, report.error) == (36, None)
    with open_video(path) as video:
        assert video.cut_off() is None
        straight = dict(zip(video.times, video.read(range(36)).data, strict=True))
    content = path.read_bytes()
    for share in (0.6, 0.7, 0.85):
        path.write_bytes(content[: int(len(content) * share)])
        report, _ = examine(str(path))
        assert 0 < report.frames < 36 or name == "a.asf"  # its end is filled up
        assert report.error is not None and "cut off" in report.error
        with pytest.raises(DecodeError, match="cut off"):
            open_video(path, whole=True)
        with open_video(path) as video:
            good = 0
            for index, time in enumerate(video.times):
                try:
                    assert (video.read([index]).data[0] == straight[time]).all()
                    good += 1
                except DecodeError as error:
                    assert "damaged or missing" in str(error)
            assert good >= len(video.times) - 3


def test_what_may_be_missing_is_not_missed(tmp_path: Path) -> None:
    path = render_numbered(tmp_path / "a.avi", 24, **CUT["a.avi"])
    content = path.read_bytes()
    path.write_bytes(content[: content.rfind(b"idx1")])  # the index behind the frames
    report, _ = examine(str(path))
    assert (report.frames, report.error) == (24, None)
    path = render_numbered(tmp_path / "a.mp4", 24, **CUT["a.mp4"])
    path.write_bytes(path.read_bytes() + b"\0\0\0\x20free" + bytes(8))  # filling, cut
    assert examine(str(path))[0].error is None
    path.write_bytes(path.read_bytes() + bytes(range(1, 200)))  # no box at all
    assert examine(str(path))[0].error is None


def test_pictures_that_end_early() -> None:
    picture = b"\xff\xd8" + bytes(range(200)) + b"\xff\xd9"
    assert stills.is_whole(picture) and stills.is_whole(b"something else")
    assert stills.is_whole(picture + b"\0" * 50)
    assert not stills.is_whole(picture[:-1]) and not stills.is_whole(picture + picture[:-2])
    header = b"GIF89a" + struct.pack("<HHBBB", 4, 4, 0x80, 0, 0) + bytes(6)
    image = b"\x2c" + bytes(9) + b"\x02" + b"\x03abc" + b"\0"
    control = b"\x21\xf9\x04" + bytes(4) + b"\0"
    for whole in (header + control + image, control + image, image, header + image + b"\x3b"):
        assert stills.is_whole(whole)
    for end in range(len(header) + 1, len(header + control + image)):
        if end not in (len(header + control),):
            assert not stills.is_whole((header + control + image)[:end]), end
