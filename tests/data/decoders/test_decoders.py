"""TorchCodec, OpenCV and decord: the same numbers, times and (nearly) pixels, or a refusal."""

from __future__ import annotations

import builtins
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from vitascope.data.decoder import BACKENDS, Decoder, DecoderType, open_video
from vitascope.data.decoders import non_reference as disposable
from vitascope.data.decoders.pyav import PyAVDecoder
from vitascope.data.render import read_number, render_numbered
from vitascope.errors import DecodeError, MissingExtraError
from vitascope.optional import require

PARTS = [part for part in (*vars(Decoder), "path") if part[0] != "_"]
GROUPS = {"preset": "veryfast", "crf": "20", "threads": "1", "g": "12", "bf": "3"}
MODULES = {"torchcodec": "torchcodec.decoders", "opencv": "cv2", "decord": "decord"}
# What reads videos besides the reference.
NAMES = [name for name in BACKENDS if name not in (DecoderType.PYAV, DecoderType.IMAGES)]


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("films")
    pts = [3 * n + n % 3 for n in range(40)]
    return render_numbered(folder / "film.mp4", 40, fps=100, pts=pts, options=GROUPS)


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest, film: Path) -> str:
    try:
        if request.param in MODULES:
            require(MODULES[request.param], extra=request.param)
        else:
            open_video(film, request.param).close()
    except MissingExtraError as error:
        pytest.skip(str(error))
    return str(request.param)


def test_the_same_frames_times_and_pixels(film: Path, name: str) -> None:
    with open_video(film) as reference, open_video(film, name) as video:
        missing = [part for part in PARTS if not hasattr(video, part)]
        assert not missing, f"the decoder {name} has no {', '.join(missing)}; see Decoder"
        assert isinstance(video, Decoder)
        assert video.times == reference.times and video.durations == reference.durations
        assert (video.duration, video.fps, video.start) == (
            reference.duration,
            reference.fps,
            reference.start,
        )
        assert (video.height, video.width, video.pixel_aspect) == (80, 128, 1)
        wanted = [39, 0, 17, 17, 5]
        ours, theirs = reference.read(wanted), video.read(wanted)
        assert [read_number(image) for image in theirs.data.numpy()] == wanted
        assert (theirs.pts, theirs.durations) == (ours.pts, ours.durations)
        difference = (ours.data.float() - theirs.data.float()).abs()
        assert difference.mean() < 1.5
        small = video.read([3], size=(40, 64))
        assert small.data.shape == (1, 40, 64, 3)
        assert (small.data.float() - reference.read([3], size=(40, 64)).data).abs().mean() < 2.5
        assert video.read([]).data.shape == (0, 80, 128, 3)
        with pytest.raises(IndexError):
            video.read([40])


def test_streams_are_the_same(film: Path, name: str) -> None:
    with open_video(film) as reference, open_video(film, name, size=(40, 64)) as video:
        for start, end in (
            (Fraction(0), None),
            (Fraction(31, 100), Fraction(62, 100)),
            (Fraction(32, 100), Fraction(60, 100)),
            (Fraction(5), None),
            (Fraction(0), Fraction(1, 1000)),
        ):
            ours = [(t, read_number(i)) for t, i in reference.stream(start, end)]
            theirs = [(t, read_number(i)) for t, i in video.stream(start, end)]
            assert theirs == ours
        assert next(video.stream())[1].shape == (40, 64, 3)
        assert next(video.stream(size=(20, 32)))[1].shape == (20, 32, 3)


def test_a_closed_video_says_so(film: Path, name: str) -> None:
    video = open_video(film, name)
    video.close()
    video.close()
    with pytest.raises(DecodeError, match="closed"):
        video.read([0])


def test_a_film_without_times_is_refused(tmp_path: Path, name: str) -> None:
    path = render_numbered(tmp_path / "raw.h264", 12, options=GROUPS)
    with pytest.raises(DecodeError, match="Use the decoder pyav"):
        open_video(path, name)


def test_damage_is_an_error(tmp_path: Path, name: str) -> None:
    options = GROUPS | {"bf": "0"}
    path = render_numbered(tmp_path / "film.mp4", 40, options=options)
    with PyAVDecoder(path) as video:
        packets = [(p.pos, p.size) for p in video._source.packets() if p.size]
    first, _ = packets[14]
    path.write_bytes(path.read_bytes()[: first + 5])  # the index of the video goes with it
    with pytest.raises(DecodeError):
        open_video(path, name)
    with pytest.raises(DecodeError, match="no such file"):
        open_video(tmp_path / "absent.mp4", name)
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(DecodeError):
        open_video(tmp_path / "text.mp4", name)


def test_turned_films_are_turned_or_refused(name: str, shared: Path) -> None:
    for file in ("nasa_rotated90.mp4", "rot90.mov", "rot180.mov"):
        path = shared / "data" / "codecs" / file
        with open_video(path) as video:
            expected = video.read([0, 2]).data.numpy().astype(int)
        try:
            with open_video(path, name) as video:
                found = video.read([0, 2]).data.numpy()
                assert (video.height, video.width) == expected.shape[1:3]
        except DecodeError:
            assert name not in ("torchcodec", "opencv"), f"{name} turns videos"
            continue
        assert np.abs(found - expected).mean() < 2


@pytest.mark.parametrize("extra", MODULES)
def test_an_absent_decoder_names_its_extra(film: Path, monkeypatch, extra: str) -> None:
    module = MODULES[extra].partition(".")[0]
    original = builtins.__import__

    def without(name: str, *args: object) -> object:
        if name.partition(".")[0] == module:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return original(name, *args)

    for loaded in [m for m in sys.modules if m.partition(".")[0] == module]:
        monkeypatch.delitem(sys.modules, loaded)
    monkeypatch.setattr(builtins, "__import__", without)
    monkeypatch.setattr("importlib.import_module", lambda n: without(n))
    with pytest.raises(MissingExtraError, match=rf"vitascope\[{extra}\]"):
        from vitascope.data.decoders import decord, opencv, torchcodec

        openers = {
            "torchcodec": torchcodec.open_torchcodec,
            "opencv": opencv.open_opencv,
            "decord": decord.open_decord,
        }
        openers[extra](film)


# --- which packets may be passed over --------------------------------------------------------


def boxed(*units: bytes) -> bytes:
    return b"".join(len(unit).to_bytes(4, "big") + unit for unit in units)


def test_h264_packets() -> None:
    setup = bytes([1, 100, 0, 31, 0xFF, 0xE1])
    test = disposable.rule("h264", setup)
    assert test is not None
    plain, reference, fresh = b"\x01\x9a\x00", b"\x41\x9a\x00", b"\x65\x88\x00"
    message, parameters = b"\x06\x01\x02", b"\x67\x01\x02"
    assert test(boxed(plain)) and test(boxed(message, plain, plain))
    for wrong in (
        boxed(reference),
        boxed(plain, reference),
        boxed(fresh),
        boxed(parameters, plain),
        boxed(message),
        b"",
        boxed(plain)[:-1],
        boxed(plain) + b"\0",
        boxed(b"\x00\x00\x00"),
        boxed(b"\x81\x9a\x00"),
        boxed(b"\x01"),
    ):
        assert not test(wrong)
    stream = disposable.rule("h264", None)
    assert stream is not None
    assert stream(b"\0\0\0\1\x09\xf0\0\0\0\1" + plain)
    assert not stream(b"\0\0\1" + plain + b"\0\0\1" + reference)
    assert not stream(bytes(50))


def test_hevc_packets_of_one_temporal_layer() -> None:
    setup = bytearray(23)
    setup[0], setup[21] = 1, 1 << 3 | 3
    test = disposable.rule("hevc", bytes(setup))
    assert test is not None
    plain, reference, message = b"\x00\x01\xd0", b"\x02\x01\xd0", b"\x4e\x01\x05"
    assert test(boxed(plain)) and test(boxed(message, plain))
    assert not test(boxed(reference)) and not test(boxed(plain, reference))
    assert not test(boxed(b"\x00\x02\xd0"))  # another temporal layer after all
    setup[21] = 2 << 3 | 3
    assert disposable.rule("hevc", bytes(setup)) is None
    assert disposable.rule("hevc", b"") is None


def test_mpeg_packets() -> None:
    test = disposable.rule("mpeg2video", b"")
    assert test is not None
    b_picture, p_picture = b"\0\0\1\0\x00\x1f\xff", b"\0\0\1\0\x00\x17\xff"
    assert test(b_picture) and test(b_picture + b_picture)
    assert not test(p_picture) and not test(b_picture + p_picture) and not test(b"\0" * 40)
    assert not test(b"\0\0\1\xb8\0\0\0\0" + b_picture)
    four = disposable.rule("mpeg4", b"")
    assert four is not None
    assert four(b"\0\0\1\xb6\x90") and not four(b"\0\0\1\xb6\x50")
    assert not four(b"\0\0\1\xb6\x90\0\0\1\xb6\x50")
    assert disposable.rule("vp9", b"") is None
