"""Which stream is read, interlaced images, what PyAV raises, threads, files of other kinds."""

from __future__ import annotations

import struct
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from support.packets import X264, write_packets
from vitascope.data.cache.frames import FrameCache
from vitascope.data.check.examine import examine
from vitascope.data.decoder import open_video
from vitascope.data.decoders import source as source_module
from vitascope.data.decoders.opencv import _OpenCV
from vitascope.data.decoders.pixels import scale_image
from vitascope.data.decoders.pyav import PyAVDecoder
from vitascope.data.render import numbered_frame, read_number, render_numbered
from vitascope.data.write import write_video
from vitascope.errors import DecodeError, MissingExtraError
from vitascope.optional import require

Disposition = av.stream.Disposition


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VITASCOPE_CACHE", str(tmp_path / "cache"))


# --- which stream ----------------------------------------------------------------------------


def several(path: Path, streams: list[tuple[str, tuple[int, int], int, Any]]) -> Path:
    """A file with video streams (encoder, height and width, frames, marks)."""
    with av.open(str(path), "w") as out:
        made = []
        for codec, (height, width), _, marks in streams:
            stream: Any = out.add_stream(codec, rate=25)
            stream.height, stream.width = height, width
            stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
            stream.disposition = marks
            made.append(stream)
        packets = []
        for stream, (_, size, count, _) in zip(made, streams, strict=True):
            for number in range(count):
                frame = av.VideoFrame.from_ndarray(numbered_frame(number, size), format="rgb24")
                frame.pts = number
                packets += stream.encode(frame)
            packets += stream.encode(None)
        for packet in packets:
            out.mux(packet)
    return path


SMALL, LARGE = (48, 64), (80, 128)
DEFAULT, COVER, NONE = Disposition.default, Disposition.attached_pic, 0
THUMB, THUMB_LARGE = ("mjpeg", SMALL, 1, NONE), ("mjpeg", LARGE, 1, NONE)
FILM, FILM_SMALL = ("libx264", LARGE, 24, DEFAULT), ("libx264", SMALL, 24, DEFAULT)
# name -> file, streams, height and number of frames of the one to be read.
STREAMS: dict[str, tuple[str, list[tuple[str, tuple[int, int], int, Any]], tuple[int, int]]] = {
    "thumbnail_first": ("a.mkv", [THUMB, FILM], (80, 24)),
    "large_thumbnail_first": ("a.mp4", [THUMB_LARGE, FILM_SMALL], (48, 24)),
    "thumbnail_last": ("a.mp4", [FILM, THUMB], (80, 24)),
    "default_second": ("a.mkv", [("mpeg4", LARGE, 24, NONE), FILM_SMALL], (48, 24)),
    "none_is_marked": ("a.nut", [THUMB, ("mpeg4", LARGE, 24, NONE)], (80, 24)),
    "cover_first": ("a.mp4", [("mjpeg", LARGE, 1, COVER), ("libx264", SMALL, 24, NONE)], (48, 24)),
    "asf": ("a.wmv", [THUMB, ("wmv2", LARGE, 24, DEFAULT)], (80, 24)),
    "two_first": ("a.mov", [THUMB, THUMB_LARGE, FILM], (80, 24)),
    "around": ("a.mkv", [THUMB, FILM, THUMB_LARGE], (80, 24)),
    "large_last": ("a.mov", [("libx264", SMALL, 24, NONE), THUMB_LARGE], (48, 24)),
    "large_first_unmarked": ("a.mkv", [THUMB_LARGE, ("libx264", SMALL, 24, NONE)], (48, 24)),
    "one_frame_of_the_same_codec": ("a.ts", [("libx264", LARGE, 1, NONE), FILM_SMALL], (48, 24)),
    "preview_of_three": ("a.mov", [("mjpeg", SMALL, 3, NONE), FILM], (80, 24)),
    "cover_last": ("a.mkv", [FILM_SMALL, ("mjpeg", LARGE, 1, COVER)], (48, 24)),
}


@pytest.mark.parametrize("name", STREAMS)
def test_the_stream_that_ffmpeg_chooses(tmp_path: Path, name: str) -> None:
    file, streams, expected = STREAMS[name]
    path = several(tmp_path / file, streams)
    with av.open(str(path)) as container:
        best = container.streams.best("video")
        assert best is not None and best.height == expected[0]
    with open_video(path) as video:
        assert (video.height, len(video.times)) == expected
        assert [read_number(i) for i in video.read([23, 0]).data.numpy()] == [23, 0]
    report, _ = examine(str(path))
    assert (report.height, report.frames, report.error) == (*expected, None)
    try:
        with open_video(path, "opencv") as video:
            other = video.read([20]).data[0].numpy()
    except (DecodeError, MissingExtraError):
        return
    assert read_number(other) == 20


def test_a_stream_without_decoder_leaves_the_others(tmp_path: Path) -> None:
    streams = [("mpeg4", SMALL, 24, DEFAULT), ("mpeg4", LARGE, 24, NONE)]
    path = several(tmp_path / "a.mkv", streams)
    content = path.read_bytes()
    name = b"V_MPEG4/ISO/ASP"
    place = content.find(name)
    assert content.count(name) == 2
    path.write_bytes(content[:place] + b"V_UNKNOWN/NOSUC" + content[place + len(name) :])
    with open_video(path) as video:
        assert (video.height, len(video.times)) == (80, 24)


# --- interlaced ------------------------------------------------------------------------------

MPEG2 = {"flags": "+ilme+ildct", "qscale": "2", "b": "20M"}
FIELDS: dict[str, tuple[str, str, dict[str, str]]] = {
    "a.mp4": ("libx264", "yuv420p", {"flags": "+ilme+ildct", "x264opts": "tff=1:crf=8"}),
    "bottom.mkv": ("libx264", "yuv420p", {"flags": "+ilme+ildct", "x264opts": "bff=1:crf=8"}),
    "wide.mp4": ("libx264", "yuv422p", {"flags": "+ilme+ildct", "x264opts": "tff=1:crf=8"}),
    "ten.mp4": ("libx264", "yuv420p10le", {"flags": "+ilme+ildct", "x264opts": "tff=1:crf=8"}),
    "a.ts": ("mpeg2video", "yuv420p", {"flags": "+ilme+ildct", "qscale": "2", "b": "8M"}),
    "bottom.vob": ("mpeg2video", "yuv420p", MPEG2 | {"top": "0"}),
    "wide.mov": ("mpeg2video", "yuv422p", MPEG2),
    "a.avi": ("mpeg4", "yuv420p", {"flags": "+ilme+ildct", "qscale": "2"}),
    "full.mkv": ("libx264", "yuv444p", {"flags": "+ilme+ildct", "x264opts": "tff=1:crf=8"}),
    "a.mov": ("prores_ks", "yuv422p10le", {"flags": "+ildct"}),
}


def woven(count: int = 6, height: int = 288, width: int = 352) -> np.ndarray:
    """A bar that moves between the two fields of a frame."""
    frames = np.full((count, height, width, 3), 30, np.uint8)
    for number in range(count):
        for field in (0, 1):
            x = 20 + 24 * number + 12 * field
            frames[number, field::2, x : x + 40] = 220
    return frames


def comb(picture: np.ndarray) -> float:
    rows = picture.astype(float)
    return float(np.abs(rows[1:-1] - (rows[:-2] + rows[2:]) / 2).mean())


@pytest.mark.parametrize("name", FIELDS)
@pytest.mark.parametrize("decoder", ["pyav", "opencv"])
def test_interlaced_pictures_shrink_without_a_comb(tmp_path: Path, name: str, decoder: str) -> None:
    if decoder == "opencv":
        try:
            require("cv2", extra="opencv")
        except MissingExtraError as error:
            pytest.skip(str(error))
    codec, pix_fmt, options = FIELDS[name]
    path = write_video(tmp_path / name, woven(), 25, codec=codec, pix_fmt=pix_fmt, options=options)
    with av.open(str(path)) as container:
        assert next(container.decode(video=0)).interlaced_frame
    with open_video(path) as video:
        full = video.read([3]).data[0].numpy()
    expected = scale_image(full, (112, 136))
    assert comb(full) > 8 and comb(expected) < 2
    try:
        with open_video(path, decoder) as video:
            small = video.read([3], (112, 136)).data[0].numpy()
            streamed = next(video.stream(video.times[3], size=(112, 136)))[1]
            stored = video.read([3]).data[0].numpy()
    except DecodeError as error:
        assert decoder == "opencv" and "memory" in str(error)
        return
    assert np.abs(stored.astype(int) - full).mean() < (1 if decoder == "pyav" else 12)
    if decoder == "pyav":
        assert np.array_equal(small, expected)
        with open_video(path) as video:  # narrower only, higher only, and larger
            for size in ((288, 100), (100, 352), (53, 67), (400, 500)):
                found = video.read([3], size).data[0].numpy()
                assert np.array_equal(found, scale_image(full, size)), size
    assert np.array_equal(small, streamed) and comb(small) < 2


def test_the_cache_keeps_interlaced_pictures_without_a_comb(tmp_path: Path) -> None:
    codec, pix_fmt, options = FIELDS["a.ts"]
    path = write_video(
        tmp_path / "a.ts", woven(), 25, codec=codec, pix_fmt=pix_fmt, options=options
    )
    with open_video(path) as video:
        full = video.read([3]).data[0].numpy()
    store = FrameCache(tmp_path / "store", 112)
    for _ in range(2):
        with store.open(str(path)) as video:
            found = video.read([3], (112, 137)).data[0].numpy()
            assert np.array_equal(found, scale_image(full, (112, 137))) and comb(found) < 2
    assert store.report().hits == 1


def test_old_memory_is_found_out_whenever_it_comes(tmp_path: Path, monkeypatch) -> None:
    try:
        require("cv2", extra="opencv")
    except MissingExtraError as error:
        pytest.skip(str(error))
    path = render_numbered(tmp_path / "a.mp4", 12, options=X264)
    real = _OpenCV._restart

    class Stuck:
        """A capture that converts no image from the sixth on."""

        def __init__(self, capture: Any) -> None:
            self._capture, self._reads, self._held = capture, 0, None

        def __getattr__(self, name: str) -> Any:
            return getattr(self._capture, name)

        def read(self) -> tuple[bool, Any]:
            found, image = self._capture.read()
            self._reads += 1
            self._held = image if self._reads <= 5 else self._held
            return found, self._held

    def restart(self: _OpenCV) -> Any:
        capture = real(self)
        self._capture = Stuck(capture)
        return capture

    monkeypatch.setattr(_OpenCV, "_restart", restart)
    with open_video(path, "opencv") as video:
        assert [read_number(i) for i in video.read(range(5)).data.numpy()] == list(range(5))
        with pytest.raises(DecodeError, match="frame 5, only what was in memory"):
            video.read([5])


@pytest.mark.parametrize("index", [0, 3, 7])
def test_old_memory_that_is_the_right_image_is_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, index: int
) -> None:
    """Another reader of the same video may have left it there."""
    try:
        require("cv2", extra="opencv")
    except MissingExtraError as error:
        pytest.skip(str(error))
    path = render_numbered(tmp_path / "a.mp4", 12, options=X264)
    with open_video(path) as video:
        held = np.ascontiguousarray(video.read([index]).data[0].numpy()[:, :, ::-1])
    real = _OpenCV._restart

    class Left:
        """A capture that converts no image at all."""

        def __init__(self, capture: Any) -> None:
            self._capture = capture

        def __getattr__(self, name: str) -> Any:
            return getattr(self._capture, name)

        def read(self) -> tuple[bool, Any]:
            return self._capture.read()[0], held.copy()

    def restart(self: _OpenCV) -> Any:
        capture = real(self)
        self._capture = Left(capture)
        return capture

    monkeypatch.setattr(_OpenCV, "_restart", restart)
    with (
        open_video(path, "opencv") as video,
        pytest.raises(DecodeError, match="only what was in memory"),
    ):
        video.read([index])


def test_a_still_scene_is_no_old_memory(tmp_path: Path) -> None:
    try:
        require("cv2", extra="opencv")
    except MissingExtraError as error:
        pytest.skip(str(error))
    pictures = [numbered_frame(n // 4) for n in range(12)]
    path = write_video(tmp_path / "a.avi", pictures, 25, codec="ffv1", pix_fmt="bgr0")
    with open_video(path, "opencv") as video:
        found = [read_number(i) for i in video.read(range(12)).data.numpy()]
    assert found == [n // 4 for n in range(12)]


# --- what PyAV raises ------------------------------------------------------------------------


def late_flv(path: Path, kind: int, body: bytes, at: int) -> Path:
    """An FLV in which a stream appears that the header does not know."""
    data = render_numbered(path, 60, options=X264 | {"bf": "0"}).read_bytes()
    out, place, number = bytearray(data[:13]), 13, 0
    while place + 11 < len(data):
        size = int.from_bytes(data[place + 1 : place + 4], "big")
        out += data[place : place + 11 + size + 4]
        number += 1
        if number == at:
            head = bytes([kind]) + len(body).to_bytes(3, "big") + data[place + 4 : place + 8]
            out += head + b"\0\0\0" + body + struct.pack(">I", 11 + len(body))
        place += 11 + size + 4
    path.write_bytes(out)
    return path


LATE = {
    "sound": (8, b"\x3e" + bytes(range(60))),
    "mp3": (8, b"\x2f" + bytes(200)),
    "text": (18, b"\x02\x00\x0aonTextData\x08\0\0\0\1\0\4text\2\0\2hi\0\0\x09"),
    "video": (9, b"\x12" + bytes(40)),
}


@pytest.mark.parametrize("kind", LATE)
@pytest.mark.parametrize("at", [30, 60])
def test_a_stream_that_appears_late_harms_nothing(tmp_path: Path, kind: str, at: int) -> None:
    path = late_flv(tmp_path / "a.flv", *LATE[kind], at)
    for _ in range(5):  # PyAV looks at memory that is not its own; what is there varies
        with open_video(path) as video:
            count = len(video.times)
            assert count == 60 or kind == "video"
            if kind != "video":
                numbers = [read_number(i) for i in video.read(range(60)).data.numpy()]
                assert numbers == list(range(60))


def test_the_error_at_the_end_loses_no_frame(tmp_path: Path, monkeypatch) -> None:
    path = render_numbered(tmp_path / "a.mp4", 30, options=X264 | {"bf": "2"})

    class Failing:
        """A container whose reading ends in the error that PyAV makes for unknown streams."""

        def __init__(self, inner: Any) -> None:
            self._inner = inner

        def __getattr__(self, name: str) -> Any:
            return getattr(self._inner, name)

        def demux(self, *streams: Any) -> Any:
            for packet in self._inner.demux(*streams):
                if packet.size == 0:
                    raise IndexError("list index out of range")
                yield packet

    real = av.open
    monkeypatch.setattr(av, "open", lambda *a, **k: Failing(real(*a, **k)))
    with open_video(path) as video:
        numbers = [read_number(i) for i in video.read(range(30)).data.numpy()]
    assert numbers == list(range(30))


ERRORS = [IndexError("x"), TypeError("x"), KeyError("x"), RuntimeError("x"), AttributeError("x"),
          UnicodeDecodeError("utf-8", b"x", 0, 1, "x"), NotImplementedError("x"), MemoryError(),
          OverflowError()]  # fmt: skip


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("where", ["open", "demux", "decode", "reformat"])
def test_whatever_is_raised_is_one_kind_of_error(
    tmp_path: Path, monkeypatch, error: Exception, where: str
) -> None:
    path = render_numbered(tmp_path / "a.mp4", 12, options=X264)

    def fail(*_: Any, **__: Any) -> Any:
        raise error

    if where == "open":
        monkeypatch.setattr(source_module.av, "open", fail)
    elif where == "demux":
        real: Callable[..., Any] = source_module.Source._demux

        def broken(self: Any) -> Any:
            for number, packet in enumerate(real(self)):
                if number == 5:
                    raise error
                yield packet

        monkeypatch.setattr(source_module.Source, "_demux", broken)
    elif where == "decode":
        monkeypatch.setattr("vitascope.data.decoders.packets._decoded", fail)
    else:
        monkeypatch.setattr("vitascope.data.decoders.pixels.Converter._rgb", fail)
    if where == "demux":  # what was read before the damage can be had
        with open_video(path) as video:
            assert len(video.times) == 5
            assert [read_number(i) for i in video.read(range(4)).data.numpy()] == list(range(4))
        report, _ = examine(str(path))
        assert report.error is not None
        return
    with pytest.raises(DecodeError) as caught, open_video(path) as video:
        video.read([11])
    assert caught.value.path == str(path) and caught.value.reason


# --- threads ---------------------------------------------------------------------------------


@pytest.mark.parametrize("decoder", ["pyav", "opencv"])
def test_threads_may_share_a_decoder(tmp_path: Path, decoder: str) -> None:
    try:
        require({"pyav": "av", "opencv": "cv2"}[decoder], extra=decoder)
    except MissingExtraError as error:
        pytest.skip(str(error))
    path = render_numbered(tmp_path / "a.mp4", 48, options=X264 | {"bf": "2"})
    rng = np.random.default_rng(0)
    wanted = [rng.integers(0, 48, 3).tolist() for _ in range(40)]
    with open_video(path, decoder) as video, ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda w: video.read(w).data.numpy(), wanted))
        streams = list(pool.map(lambda _: [read_number(i) for _, i in video.stream()], range(3)))
    for numbers, images in zip(wanted, found, strict=True):
        assert [read_number(image) for image in images] == numbers
    assert streams == [list(range(48))] * 3


# --- files of other kinds --------------------------------------------------------------------


def animated_webp(path: Path) -> Path:
    """Three images in one WebP."""
    size = (127).to_bytes(3, "little") + (79).to_bytes(3, "little")
    body = b"VP8X" + struct.pack("<I", 10) + bytes([2, 0, 0, 0]) + size
    body += b"ANIM" + struct.pack("<I", 6) + bytes(6)
    for number in range(3):
        part = path.with_name(f"{number}.webp")
        write_video(part, [numbered_frame(number)], 1, codec="libwebp")
        picture = bytes(6) + size + (100).to_bytes(3, "little") + b"\0" + part.read_bytes()[12:]
        body += b"ANMF" + struct.pack("<I", len(picture)) + picture
    path.write_bytes(b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body)
    return path


def test_an_animated_webp_is_named(tmp_path: Path) -> None:
    path = animated_webp(tmp_path / "a.webp")
    for source in (path, path.read_bytes()):
        with pytest.raises(DecodeError, match=r"cannot decode an animated WebP.*Convert it"):
            open_video(source)
    with open_video(tmp_path / "1.webp") as video:  # one image is read
        assert read_number(video.read([0]).data[0].numpy()) == 1


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (b"PK\x03\x04" + bytes(600), "a ZIP archive"),
        (b"\x1f\x8b\x08" + bytes(600), "a gzip file"),
        (b"  <!DOCTYPE html><title>404</title>" + bytes(600), "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "Git LFS"),
        (b"%PDF-1.7\n" + bytes(600), "a PDF"),
        (b"list.txt".ljust(257, b"\0") + b"ustar\0" + bytes(600), "a tar archive"),
        (b"\x00\x00\x00\x0cJXL \x0d\x0a\x87\x0a" + bytes(600), "a JPEG XL image"),
        (b"\x89HDF\r\n\x1a\n" + bytes(600), "an HDF5 file"),
    ],
)
def test_what_is_no_video_is_named(tmp_path: Path, content: bytes, name: str) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(content)
    with pytest.raises(DecodeError, match=name):
        open_video(path)


def test_a_file_that_is_replaced_while_it_is_read(tmp_path: Path) -> None:
    path = render_numbered(tmp_path / "a.mp4", 30, options=X264)
    other = render_numbered(tmp_path / "b.mp4", 30, options=X264 | {"crf": "30"})
    with PyAVDecoder(path) as video:
        video.read([29])
        other.replace(path)
        video._source._fresh = False
        with pytest.raises(DecodeError, match="replaced or written to"):
            video._source.rewind()


def test_frames_of_changing_times_are_written(tmp_path: Path) -> None:
    """The helper of these tests writes what it is told."""
    path = write_packets(tmp_path / "a.mkv", "libx264", [0, 40, 90, 130])
    with open_video(path) as video:
        assert [round(float(t) * 1000) for t in video.times] == [0, 40, 90, 130]
