"""The default decoder: the right frame for every number, whatever the file looks like."""

from __future__ import annotations

import bisect
import gc
import itertools
import json
import pickle
import random
import shutil
import subprocess
import weakref
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from vitascope.data.decoder import (
    BACKENDS,
    Decoder,
    DecoderType,
    open_video,
)
from vitascope.data.decoders import pyav
from vitascope.data.render import numbered_frame, read_number, render_numbered
from vitascope.data.write import write_video
from vitascope.errors import ConfigError, DecodeError, UnknownNameError

X264 = {"preset": "veryfast", "crf": "20", "threads": "1"}
LONG_GOP = X264 | {"g": "500", "bf": "0"}
B_FRAMES = X264 | {"g": "12", "bf": "3", "b_strategy": "0"}
PYRAMID = X264 | {"g": "30", "bf": "7", "b_strategy": "0", "x264-params": "b-pyramid=normal"}
OPEN_GOP = X264 | {"g": "10", "bf": "2", "b_strategy": "0", "x264-params": "open-gop=1"}
INTRA_REFRESH = X264 | {"g": "20", "bf": "0", "x264-params": "intra-refresh=1"}

VARIABLE = [3 * n + n % 3 + (40 if n > 20 else 0) for n in range(48)]
GAPS = [2 * n + (40 if n > 20 else 0) for n in range(48)]
LATE = [90 + n for n in range(48)]

FILMS: dict[str, dict] = {
    "intra.mp4": {"options": X264 | {"g": "1"}},
    "long_gop.mp4": {"options": LONG_GOP},
    "b_frames.mp4": {"options": B_FRAMES},
    "pyramid.mkv": {"options": PYRAMID},
    "open_gop.mp4": {"options": OPEN_GOP},
    "open_gop.ts": {"options": OPEN_GOP},
    "intra_refresh.mp4": {"options": INTRA_REFRESH},
    "variable.mp4": {"options": B_FRAMES, "pts": VARIABLE, "fps": 100},
    "variable.mkv": {"options": B_FRAMES, "pts": VARIABLE, "fps": 100},
    "late.mp4": {"options": B_FRAMES, "pts": LATE},
    "late.mkv": {"options": B_FRAMES, "pts": LATE},
    "late.ts": {"options": B_FRAMES, "pts": LATE},
    "fragmented.mp4": {
        "options": B_FRAMES,
        "container_options": {"movflags": "frag_keyframe+empty_moov"},
    },
    "ntsc.mp4": {"options": B_FRAMES, "fps": Fraction(30000, 1001)},
    "reordered.avi": {"codec": "mpeg4", "options": {"g": "12", "bf": "2", "qscale": "3"}},
    "h264.avi": {"options": B_FRAMES},
    "pyramid.avi": {"options": PYRAMID},
    "straight.avi": {"options": LONG_GOP},
    "gaps.avi": {"options": B_FRAMES, "pts": GAPS, "fps": 100},
    "mpeg2.ts": {"codec": "mpeg2video", "options": {"g": "12", "bf": "2", "qscale": "3"}},
    "mpeg2.mpg": {"codec": "mpeg2video", "options": {"g": "12", "bf": "2", "qscale": "3"}},
    "raw.h264": {"options": B_FRAMES},
    "vp9.webm": {"codec": "libvpx-vp9", "options": {"deadline": "realtime", "cpu-used": "8"}},
    "hidden.webm": {
        "codec": "libvpx",
        "options": {"auto-alt-ref": "1", "lag-in-frames": "16", "g": "24", "deadline": "good"},
    },
    "hevc.mp4": {
        "codec": "libx265",
        "options": {"preset": "ultrafast", "x265-params": "log-level=none:keyint=12:pools=none"},
    },
    "mjpeg.avi": {"codec": "mjpeg", "options": {"qscale": "2"}, "pix_fmt": "yuvj420p"},
}


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    folder = tmp_path_factory.mktemp("films")

    def make(name: str) -> Path:
        path = folder / name
        if not path.exists():
            render_numbered(path, 48, **FILMS[name])
        return path

    return make


def numbers(frames) -> list[int | None]:
    return [read_number(frame) for frame in frames.numpy()]


@pytest.mark.parametrize("name", FILMS)
def test_every_frame_has_its_number(film: Callable[[str], Path], name: str) -> None:
    with open_video(film(name)) as video:
        assert len(video.times) == 48
        assert numbers(video.read(range(48)).data) == list(range(48))
        assert (video.height, video.width) == (80, 128)


@pytest.mark.parametrize("name", FILMS)
def test_any_order_gives_the_same_pixels_as_reading_on(
    film: Callable[[str], Path], name: str
) -> None:
    with open_video(film(name)) as video:
        straight = video.read(range(48)).data
    rng = random.Random(name)
    with open_video(film(name)) as video:
        for _ in range(12):
            wanted = [rng.randrange(48) for _ in range(rng.choice([1, 1, 4]))]
            found = video.read(wanted)
            assert numbers(found.data) == wanted
            assert (found.data == straight[wanted]).all()
            assert found.pts == tuple(video.times[i] for i in wanted)
            assert found.durations == tuple(video.durations[i] for i in wanted)


@pytest.mark.parametrize(
    ("name", "start", "times"),
    [
        ("b_frames.mp4", 0, [Fraction(n, 25) for n in range(48)]),
        ("variable.mp4", 0, [Fraction(t, 100) for t in VARIABLE]),
        ("variable.mkv", 0, [Fraction(t, 100) for t in VARIABLE]),
        ("late.mp4", Fraction(90, 25), [Fraction(n, 25) for n in range(48)]),
        ("late.mkv", Fraction(90, 25), [Fraction(n, 25) for n in range(48)]),
        ("late.ts", None, [Fraction(n, 25) for n in range(48)]),
        ("ntsc.mp4", 0, [n * Fraction(1001, 30000) for n in range(48)]),
        ("raw.h264", 0, [Fraction(n, 25) for n in range(48)]),
        ("reordered.avi", None, [Fraction(n, 25) for n in range(48)]),
        ("h264.avi", None, [Fraction(n, 25) for n in range(48)]),
        ("straight.avi", 0, [Fraction(n, 25) for n in range(48)]),
        ("gaps.avi", None, [Fraction(t, 100) for t in GAPS]),
    ],
)
def test_times_are_exact(film: Callable[[str], Path], name: str, start, times) -> None:
    with open_video(film(name)) as video:
        assert list(video.times) == times
        assert start is None or video.start == start
        steps = [b - a for a, b in itertools.pairwise(times)]
        assert list(video.durations[:-1]) == steps
        assert video.durations[-1] > 0
        assert video.duration == times[-1] + video.durations[-1]
        assert video.fps == 48 / video.duration
    if name not in ("variable.mp4", "variable.mkv", "gaps.avi"):
        assert video.duration == 48 * steps[0]


def test_times_are_a_sequence_of_fractions(film: Callable[[str], Path]) -> None:
    with open_video(film("variable.mkv")) as video:
        times, drawn = video.times, tuple(Fraction(t, 100) for t in VARIABLE)
        assert times == drawn and drawn == times and times == list(drawn)
        assert times != drawn[:-1] and times != (*drawn[:-1], Fraction(99)) and times != "times"
        assert (times[-1], times[2:4], len(times)) == (drawn[-1], drawn[2:4], 48)
        assert all(type(t) is Fraction for t in (times[3], *times[5:7], *times))
        assert bisect.bisect_right(times, drawn[9]) == 10
        assert pickle.loads(pickle.dumps(times)) == drawn and hash(times) == hash(drawn)
        assert times == video.times[:] and Fraction(0) in times
        with pytest.raises(IndexError):
            times[48]


def test_only_what_is_asked_for_is_decoded(film: Callable[[str], Path], monkeypatch) -> None:
    decoded = []
    inner = pyav.decode

    def counting(*args, **options):
        for item in inner(*args, **options):
            decoded.append(item)
            yield item

    monkeypatch.setattr(pyav, "decode", counting)
    with open_video(film("b_frames.mp4")) as video:
        video.read([40])
        assert len(decoded) <= 40 - 36 + 1  # key frames every 12
        decoded.clear()
        video.read([41, 43])
        assert len(decoded) <= 3  # goes on where it was
        decoded.clear()
        video.read([2, 3])
        assert len(decoded) <= 4
        decoded.clear()
        video.read([25, 1])
        assert len(decoded) <= 4  # two key frames, not everything in between


@pytest.mark.parametrize("name", ["pyramid.mkv", "b_frames.mp4", "hevc.mp4", "mpeg2.ts"])
def test_frames_nobody_needs_are_passed_over_and_still_to_be_had(
    film: Callable[[str], Path], name: str, monkeypatch
) -> None:
    decoded = []
    inner = pyav.decode

    def counting(*args, **options):
        for item in inner(*args, **options):
            decoded.append(item)
            yield item

    with open_video(film(name)) as video:
        straight = video.read(range(48)).data
    monkeypatch.setattr(pyav, "decode", counting)
    with open_video(film(name)) as video:
        assert (video.read([9, 11]).data == straight[[9, 11]]).all()
        assert len(decoded) < 10
        for index in (10, 12, 13, 8, 14, 15, 16, 20, 21, 47):
            assert (video.read([index]).data[0] == straight[index]).all()


def test_read_takes_any_order_and_repeats(film: Callable[[str], Path]) -> None:
    with open_video(film("b_frames.mp4")) as video:
        assert numbers(video.read([30, 2, 30, 47, 0, 2]).data) == [30, 2, 30, 47, 0, 2]
        assert video.read([]).data.shape == (0, 80, 128, 3)
        for wrong in (-1, 48):
            with pytest.raises(IndexError, match="of a video of 48 frames"):
                video.read([0, wrong])


def test_stream_reads_on_from_the_frame_on_the_screen(film: Callable[[str], Path]) -> None:
    with open_video(film("variable.mp4")) as video:
        times = video.times
        everything = list(video.stream())
        assert [t for t, _ in everything] == list(times)
        assert [read_number(image) for _, image in everything] == list(range(48))
        part = list(video.stream((times[9] + times[10]) / 2, times[20]))
        assert [read_number(image) for _, image in part] == list(range(9, 20))
        assert next(video.stream(times[30], size=(40, 64)))[1].shape == (40, 64, 3)


def test_scaling_is_the_same_whenever_it_is_asked_for(film: Callable[[str], Path]) -> None:
    path = film("b_frames.mp4")
    with open_video(path) as video:
        small = video.read([5, 40], size=(40, 64)).data
        assert small.shape == (2, 40, 64, 3) and numbers(small) == [5, 40]
        stored = video.read([5, 40]).data.float()
    with open_video(path, size=(40, 64)) as video:
        assert (video.read([40, 5]).data == small[[1, 0]]).all()
        assert (next(video.stream(video.times[5]))[1] == small[0].numpy()).all()
    # Shrinking by two averages two by two: nothing aliases, nothing is shifted.
    mean = stored.reshape(2, 40, 2, 64, 2, 3).mean(dim=(2, 4))
    assert (mean - small.float()).abs().mean() < 2


def test_threads_do_not_change_pixels(film: Callable[[str], Path]) -> None:
    for name in ("pyramid.mkv", "hevc.mp4"):
        with open_video(film(name)) as one, open_video(film(name), threads=4) as four:
            assert (one.read(range(48)).data == four.read(range(48)).data).all()
            assert (one.read([44, 7]).data == four.read([44, 7]).data).all()


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="the ffmpeg program is not installed")
@pytest.mark.parametrize(
    "name", [n for n in FILMS if n not in ("raw.h264", "intra_refresh.mp4", "hevc.mp4")]
)
def test_pixels_are_those_of_ffmpeg(film: Callable[[str], Path], name: str) -> None:
    command = ["ffmpeg", "-v", "error", "-i", str(film(name)), "-fps_mode", "passthrough"]
    command += ["-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    expected = subprocess.run(command, capture_output=True, check=True).stdout
    with open_video(film(name)) as video:
        found = video.read(range(48)).data.numpy()
    assert found.tobytes() == expected


def test_orientation_of_turned_films(tmp_path: Path, shared: Path) -> None:
    if shutil.which("ffmpeg") is None:
        pytest.skip("the ffmpeg program is not installed")
    for name in ("nasa_rotated90.mp4", "rot90.mov", "rot180.mov"):
        path = shared / "data" / "codecs" / name
        command = ["ffmpeg", "-v", "error", "-i", str(path), "-f", "rawvideo", "-pix_fmt", "rgb24"]
        expected = subprocess.run([*command, "-"], capture_output=True, check=True).stdout
        with open_video(path) as video:
            found = video.read(range(len(video.times)))
            assert found.data.numpy().tobytes() == expected
            assert found.data.shape[1:3] == (video.height, video.width)
            small = video.read([0], size=(video.height // 4, video.width // 4)).data[0]
            big = found.data[0].float()
            blocks = big[: small.shape[0] * 4, : small.shape[1] * 4]
            mean = blocks.reshape(small.shape[0], 4, small.shape[1], 4, 3).mean(dim=(1, 3))
            assert (mean - small.float()).abs().mean() < 4


def test_a_file_without_key_flags_is_counted(tmp_path: Path) -> None:
    path = render_numbered(tmp_path / "raw.h264", 20, options=X264 | {"g": "5", "bf": "2"})
    with pyav.PyAVDecoder(path) as video:
        assert video.timeline.how == "counted"
        assert numbers(video.read([19, 3, 11, 4]).data) == [19, 3, 11, 4]


def test_times_of_another_order_are_found_out(tmp_path: Path, film) -> None:
    """Packets copied out of AVI carry the times of the file's order into a container with times."""
    path = tmp_path / "copied.mp4"
    source = film("h264.avi")
    with pyav.PyAVDecoder(source) as inner, av.open(str(path), "w") as output:
        stream = output.add_stream_from_template(inner._source.stream)
        for packet in inner._source.packets():
            if packet.size:
                packet.stream = stream
                output.mux(packet)
    with pyav.PyAVDecoder(path) as video:
        assert video.timeline.how == "counted"
        assert numbers(video.read(range(48)).data) == list(range(48))
        assert numbers(video.read([40, 3]).data) == [40, 3]
        assert list(video.times) == [Fraction(n, 25) for n in range(48)]


def test_a_stream_cut_at_its_beginning_starts_at_the_first_key_frame(tmp_path: Path) -> None:
    whole = render_numbered(tmp_path / "whole.ts", 48, options=OPEN_GOP).read_bytes()
    packets = [whole[i : i + 188] for i in range(0, len(whole), 188)]
    tables = [p for p in packets if ((p[1] & 0x1F) << 8 | p[2]) < 0x100 or p[2] == 0x00][:3]
    cut = tmp_path / "cut.ts"
    cut.write_bytes(b"".join(tables + packets[len(packets) // 3 :]))
    with open_video(cut) as video:
        found = numbers(video.read(range(len(video.times))).data)
    assert None not in found
    assert found == list(range(found[0], 48))
    assert found[0] > 0


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "0 bytes"),
        (b"not a video at all\n" * 100, "not a video file"),
        (b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{other}\n#EXT-X-ENDLIST\n", "not a video"),
        (b"ffconcat version 1.0\nfile {other}\n", "not a video"),
    ],
)
def test_what_is_no_video_is_one_clear_error(
    tmp_path: Path, content: bytes, reason: str, film: Callable[[str], Path]
) -> None:
    # The playlists name a good video that stands beside them: it must not be opened.
    shutil.copy(film("long_gop.mp4"), tmp_path / "other.mp4")
    for suffix in (".mp4", ".m3u8", ".ts"):
        path = tmp_path / f"bad{suffix}"
        path.write_bytes(content.replace(b"{other}", b"other.mp4"))
        with pytest.raises(DecodeError) as caught:
            open_video(path)
        assert caught.value.path == str(path)
        assert reason in caught.value.reason


def test_names_are_names_and_no_addresses(tmp_path: Path, film, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    odd = Path("concat:a|b.mp4")
    shutil.copy(film("long_gop.mp4"), odd)
    with open_video(odd) as video:
        assert numbers(video.read([7]).data) == [7]
    for name in ("nothing.mp4", "pipe:0", "concat:x", "data:text/plain,x"):
        with pytest.raises(DecodeError, match="no such file"):
            open_video(name)


def test_a_damaged_file_gives_what_is_whole_and_names_the_rest(tmp_path: Path) -> None:
    path = render_numbered(tmp_path / "film.mp4", 48, options=X264 | {"g": "12", "bf": "0"})
    content = bytearray(path.read_bytes())
    with pyav.PyAVDecoder(path) as video:
        packets = [(p.pos, p.size) for p in video._source.packets() if p.size]
    first, size = packets[14]
    content[first + 4 : first + size] = bytes(size - 4)  # frame 14, in the second of four groups
    path.write_bytes(content)
    with open_video(path) as video:
        assert len(video.times) == 48
        good = [*range(14), *range(24, 48)]
        assert numbers(video.read(good).data) == good
        for index in (14, 15, 23):
            with pytest.raises(DecodeError) as caught:
                video.read([2, index, 40])
            assert caught.value.time == video.times[index]
            assert f"frame {index} is damaged" in str(caught.value)
        assert numbers(video.read([47, 3]).data) == [47, 3]
        received = []
        with pytest.raises(DecodeError):
            for _, image in video.stream():
                received.append(read_number(image))
        assert received == list(range(14))


def test_errors_cross_process_borders(tmp_path: Path) -> None:
    with pytest.raises(DecodeError) as caught:
        open_video(tmp_path / "absent.mp4")
    copy = pickle.loads(pickle.dumps(caught.value))
    assert str(copy) == str(caught.value) and copy.path == caught.value.path


def test_a_closed_video_is_freed_without_the_garbage_collector(film) -> None:
    gc.collect()
    gc.disable()
    try:
        for wanted in ([3, 9], [20], [40, 2]):
            video = pyav.PyAVDecoder(film("b_frames.mp4"))
            video.read(wanted)
            video.read([wanted[0]])
            next(video.stream(video.times[7]))
            held = weakref.ref(video._source)
            video.close()
            del video
            assert held() is None
    finally:
        gc.enable()


def test_a_closed_video_says_so(film: Callable[[str], Path]) -> None:
    video = open_video(film("b_frames.mp4"))
    assert isinstance(video, Decoder)
    video.close()
    video.close()
    with pytest.raises(DecodeError, match="closed"):
        video.read([0])


def test_the_time_limit_ends_a_read(film: Callable[[str], Path], monkeypatch) -> None:
    with open_video(film("b_frames.mp4"), time_limit=30) as video:
        assert numbers(video.read([40]).data) == [40]
    with pytest.raises(DecodeError, match="gave up after"):
        open_video(film("b_frames.mp4"), time_limit=1e-9)
    with open_video(film("b_frames.mp4"), time_limit=30) as video:
        assert video.times
        monkeypatch.setattr(pyav.Source, "start_clock", lambda self: setattr(self, "_deadline", 0))
        with pytest.raises(DecodeError, match="gave up after 30 s"):
            video.read([40])


def test_bad_arguments(film: Callable[[str], Path]) -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'pyav'"):
        open_video(film("b_frames.mp4"), decoder="pyaw")
    with pytest.raises(ConfigError, match="height, width"):
        open_video(film("b_frames.mp4"), size=(0, 4))
    with pytest.raises(ConfigError, match="own times"):
        open_video(film("b_frames.mp4"), fps=25)
    assert set(BACKENDS) >= set(DecoderType), "a name that PyTorchVideo's programs give is gone"


# --- folders of frames -----------------------------------------------------------------------


def make_folder(folder: Path, names: list[str]) -> Path:
    for number, name in enumerate(names):
        write_video(folder / name, [numbered_frame(number)], 1, codec="png", pix_fmt="rgb24")
    return folder


def test_a_folder_of_frames_is_a_video(tmp_path: Path) -> None:
    names = [f"img_{n}.png" for n in range(1, 13)]  # 10 comes after 9, not after 1
    folder = make_folder(tmp_path / "clip", names)
    (folder / "notes.txt").write_text("no image")
    (folder / ".hidden.png").write_bytes(b"no picture either")
    with open_video(folder, fps=Fraction(10)) as video:
        assert isinstance(video, Decoder)
        assert video.times == tuple(Fraction(n, 10) for n in range(12))
        assert (video.duration, video.fps, video.start) == (Fraction(12, 10), 10, 0)
        assert (video.height, video.width) == (80, 128)
        assert numbers(video.read([11, 0, 11, 5]).data) == [11, 0, 11, 5]
        assert [read_number(i) for _, i in video.stream(Fraction(35, 100), Fraction(6, 10))] == [
            3,
            4,
            5,
        ]
        assert video.read([2], size=(40, 64)).data.shape == (1, 40, 64, 3)
        with pytest.raises(IndexError):
            video.read([12])


def test_a_bad_picture_is_named(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "clip", ["1.png", "2.png", "3.png"])
    content = (folder / "2.png").read_bytes()
    (folder / "2.png").write_bytes(content[: len(content) // 2])
    with open_video(folder) as video, pytest.raises(DecodeError, match=r"2\.png"):
        video.read([0, 1])
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(DecodeError, match="no image"):
        open_video(empty)


# --- files of all kinds ----------------------------------------------------------------------


# The manifest counts the first video stream; as its README says, the best one has 390 frames.
BEST = {"nasa_multistream.mp4": {"frames": 390, "size": [480, 270], "fps": 29.97, "best": 1}}


def _codec_files() -> list[dict]:
    path = Path(__file__).resolve().parents[3] / "shared" / "data" / "codecs" / "manifest.json"
    rows = json.loads(path.read_text()) if path.exists() else []
    return [row | BEST.get(row["file"], {"best": 0}) for row in rows]


@pytest.mark.parametrize(
    "row",
    [r for r in _codec_files() if r["expected"] == "decodes"],
    ids=lambda row: row["file"],
)
def test_files_of_all_kinds_decode_completely(row: dict, shared: Path) -> None:
    with open_video(shared / "data" / "codecs" / row["file"], size=(24, 32)) as video:
        assert len(video.times) == row["frames"]
        assert sum(1 for _ in video.stream()) == row["frames"]
        width, height = row["size"]
        assert {video.width, video.height} == {width, height}
        if "vfr" not in row["file"]:
            # The header's average rate counts gaps in some files and frames in others.
            assert float(video.fps) == pytest.approx(row["fps"], rel=2 / row["frames"] + 0.01)
        if "vfr" not in row["file"] and row["file"] != "mpeg4_mp3.avi":  # has one empty frame
            mean = float(video.duration) / row["frames"]
            assert max(abs(float(d) - mean) for d in video.durations) < 0.1 * mean + 0.002


@pytest.mark.parametrize(
    "row",
    [r for r in _codec_files() if r["expected"] == "error"],
    ids=lambda row: row["file"],
)
def test_files_without_a_picture_give_one_error(row: dict, shared: Path) -> None:
    path = shared / "data" / "codecs" / row["file"]
    with pytest.raises(DecodeError) as caught:
        open_video(path).read([0])
    assert caught.value.path == str(path) and len(caught.value.reason) > 10


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="the ffmpeg program is not installed")
@pytest.mark.parametrize(
    "row",
    [r for r in _codec_files() if r["expected"] == "decodes" and r["size"][0] < 1000],
    ids=lambda row: row["file"],
)
def test_files_of_all_kinds_have_the_pixels_of_ffmpeg(row: dict, shared: Path) -> None:
    path = shared / "data" / "codecs" / row["file"]
    wanted = sorted({0, row["frames"] // 2, row["frames"] - 1})
    select = "+".join(f"eq(n\\,{n})" for n in wanted)
    command = ["ffmpeg", "-v", "error", "-i", str(path), "-map", f"0:v:{row['best']}", "-vf"]
    command += [f"select='{select}'", "-fps_mode", "passthrough", "-f", "rawvideo"]
    command += ["-pix_fmt", "rgb24", "-"]
    expected = subprocess.run(command, capture_output=True, check=True).stdout
    with open_video(path) as video:
        found = video.read(wanted[::-1]).data.flip(0).numpy()
    reference = np.frombuffer(expected, np.uint8).reshape(found.shape)
    difference = np.abs(reference.astype(int) - found)
    if "10" in row["pix_fmt"] or "interlaced" in row["file"]:
        # FFmpeg versions differ in how they bring 10 bits to 8 and in chroma between fields.
        assert difference.mean() < 3
    else:
        assert difference.max() == 0
