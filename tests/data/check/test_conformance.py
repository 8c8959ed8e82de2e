"""The conformance suite finds wrong decoders wrong, and the decoders of this package right."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from vitascope.data.check import conformance as suite
from vitascope.data.check.conformance import CONFORMANCE_VIDEOS, judge, run_conformance
from vitascope.data.check.conformance_videos import ConformanceVideo, render_videos
from vitascope.data.decoder import Decoder, Frames
from vitascope.data.decoders.pyav import PyAVDecoder
from vitascope.errors import ConfigError, DecodeError, MissingExtraError, UnknownNameError

SOME = [
    film
    for film in CONFORMANCE_VIDEOS
    if film.name
    in (
        "h264_gop12_b3_variable.mp4",
        "h264_long_b7_late.mkv",
        "h264_open_b2_ntsc.ts",
        "h264_raw.h264",
        "h264_variable.avi",
        "h264_b0.avi",
        "mpeg2.mpg",
        "vp9_variable.mp4",
        "mjpeg.mov",
    )
]


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("conformance")


def test_the_default_decoder_conforms(films: Path) -> None:
    seen = []
    matrix = run_conformance(
        ["pyav"], SOME, folder=films, progress=lambda done, total, _: seen.append((done, total))
    )
    assert len(SOME) == 9 and seen == [(n, 9) for n in range(1, 10)]
    assert [v for v in matrix.verdicts if v.status != "pass"] == []
    assert matrix.passed("pyav") and matrix.counts("pyav")["pass"] == 9
    assert all(v.difference is not None and v.difference < 5 for v in matrix.verdicts)


@pytest.mark.parametrize("name", ["torchcodec", "opencv", "decord"])
def test_other_decoders_give_no_wrong_frame(films: Path, name: str) -> None:
    known = [f for f in SOME if not (name == "decord" and f.name.endswith("ts"))]
    try:
        matrix = run_conformance([name], known, folder=films)
    except MissingExtraError as error:
        pytest.skip(str(error))
    assert [v for v in matrix.verdicts if v.status == "fail"] == []
    assert matrix.counts(name)["pass"] >= 3


@pytest.mark.slow
def test_all_films_through_all_decoders(films: Path) -> None:
    matrix = run_conformance(folder=films)
    assert matrix.passed("pyav") and matrix.counts("pyav")["pass"] == len(CONFORMANCE_VIDEOS)
    for name in {v.decoder for v in matrix.verdicts} - {"decord"}:
        assert matrix.passed(name), [v for v in matrix.verdicts if v.status == "fail"]


class _Wrong:
    """A decoder with one fault, chosen by name."""

    def __init__(self, inner: Decoder, fault: str) -> None:
        self._inner, self._fault = inner, fault

    def __getattr__(self, name: str) -> object:
        return getattr(self._inner, name)

    @property
    def times(self) -> tuple[Fraction, ...]:
        times = self._inner.times
        if self._fault == "times":
            return (*times[:5], times[5] + Fraction(1, 500), *times[6:])
        return times[:-1] if self._fault == "short" else times

    def read(self, indices, size=None) -> Frames:
        wanted = list(indices)
        if self._fault == "neighbor" and 30 in wanted and len(wanted) < 10:
            wanted[wanted.index(30)] = 29
        if self._fault == "order":
            wanted = sorted(wanted)
        found = self._inner.read(wanted, size)
        if self._fault == "colors":
            return replace(found, data=found.data.flip(-1))
        if self._fault == "dark":
            return replace(found, data=found.data // 8 * 7)
        return found

    def stream(self, start=Fraction(0), end=None, size=None) -> Iterator[tuple[Fraction, object]]:
        if self._fault == "stream":
            start += Fraction(1, 10)
        return self._inner.stream(start, end, size)

    def __enter__(self) -> _Wrong:
        return self

    def __exit__(self, *error: object) -> None:
        self._inner.close()


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("times", "times are off by up to 0.002000 s"),
        ("short", "47 frames instead of 48"),
        ("neighbor", "frame 29 came instead of 30"),
        ("order", "in any order"),
        ("colors", "frame None came instead of 0"),
        ("dark", "differ"),
        ("stream", "as a stream"),
    ],
)
def test_a_wrong_decoder_is_found_out(films: Path, monkeypatch, fault: str, reason: str) -> None:
    film = SOME[0]
    path = render_videos(film, films)
    monkeypatch.setattr(suite, "open_video", lambda p, d: _Wrong(PyAVDecoder(p), fault))
    verdict = judge(film, path, "pyav")
    assert verdict.status == "fail" and reason in verdict.reason


def test_a_decoder_that_refuses_fails_nothing(films: Path, monkeypatch) -> None:
    def refuse(path: Path, decoder: str) -> Decoder:
        raise DecodeError(str(path), "not today")

    path = render_videos(SOME[0], films)
    monkeypatch.setattr(suite, "open_video", refuse)
    verdict = judge(SOME[0], path, "pyav")
    assert (verdict.status, verdict.reason) == ("refused", "not today")


def test_a_film_without_encoder_is_absent_and_passes_nobody(tmp_path: Path) -> None:
    film = ConformanceVideo(name="odd.mp4", codec="nonsense")
    matrix = run_conformance(["pyav"], [film], folder=tmp_path)
    assert matrix.verdicts[0].status == "absent" and "nonsense" in matrix.verdicts[0].reason
    assert not matrix.passed("pyav")


def test_names_that_are_no_decoders_of_films() -> None:
    with pytest.raises(UnknownNameError):
        run_conformance(["pyaf"])
    with pytest.raises(ConfigError, match="folders of frames"):
        run_conformance(["images"])


def test_missing_decoders_are_named(monkeypatch) -> None:
    def absent(name: str):
        def opener(path: object) -> Decoder:
            raise MissingExtraError(f"{name} is not installed")

        return PyAVDecoder if name == "pyav" else opener

    monkeypatch.setattr(suite, "backend", absent)
    matrix = run_conformance(samples=[])
    assert {name for name, _ in matrix.missing} == {"torchcodec", "opencv", "decord"}
    with pytest.raises(MissingExtraError):
        run_conformance(["opencv"], samples=[])


def test_film_times_are_those_that_were_drawn() -> None:
    assert len({film.name for film in CONFORMANCE_VIDEOS}) == len(CONFORMANCE_VIDEOS) > 80
    for film in CONFORMANCE_VIDEOS:
        assert film.times[0] == 0 and len(film.times) == 48
        assert np.all(np.diff([float(t) for t in film.times]) > 0)
