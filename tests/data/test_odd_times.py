"""One odd time never throws away the others, whatever the container and the codec."""

from __future__ import annotations

import random
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from support.packets import X264, change_flv, write_packets
from vitascope.data.cache.timelines import store
from vitascope.data.check.examine import examine
from vitascope.data.decoder import open_video
from vitascope.data.decoders.pyav import PyAVDecoder
from vitascope.data.decoders.repair import descents, repair
from vitascope.data.render import read_number

TIMES = [100 * k for k in range(15)] + [1500 + 33 * k for k in range(25)]
B_FRAMES = X264 | {"bf": "2", "b_strategy": "0"}
PLAIN = X264 | {"bf": "0"}
FRAGMENTS = {"movflags": "frag_keyframe+empty_moov"}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VITASCOPE_CACHE", str(tmp_path / "cache"))


def shift(number: int, by: int) -> Callable[[list[Any]], list[Any]]:
    """Moves the time on the screen of the packet that shows frame `number`."""

    def change(packets: list[Any]) -> list[Any]:
        found = [p for p in packets if p.pts == TIMES[number]]
        assert len(found) == 1
        found[0].pts += by
        for packet in packets:  # writers want no image shown before it is decoded
            packet.dts += min(by, 0)
        return packets

    return change


def flv(number: int, by: int) -> Callable[[Path], Path]:
    def make(path: Path) -> Path:
        write_packets(path, "flv", TIMES, options={"g": "10"})
        return change_flv(path, lambda n, t: t + by if n == number else t)

    return make


def muxed(codec: str, number: int, by: int, **options: Any) -> Callable[[Path], Path]:
    return lambda path: write_packets(path, codec, TIMES, shift(number, by), **options)


# name -> how it is made, and the frame whose time is odd.
FILES: dict[str, tuple[Callable[[Path], Path], int]] = {
    "back.mkv": (muxed("libvpx", 20, -300), 20),
    "far_back.mkv": (muxed("libvpx", 30, -1900), 30),
    "ahead.mkv": (muxed("libvpx", 20, 9000), 20),
    "a_little_ahead.mkv": (muxed("libvpx", 20, 40), 20),
    "repeated.mkv": (muxed("libvpx", 20, -33), 20),
    "back_plain.mkv": (muxed("libx264", 25, -700, options=PLAIN), 25),
    "repeated_b.mkv": (muxed("libx264", 22, -33, options=B_FRAMES), 22),
    "ahead_b.mp4": (muxed("libx264", 22, 5000, options=B_FRAMES), 22),
    "repeated_b.mp4": (muxed("libx264", 22, 33, options=B_FRAMES), 22),
    "back.flv": (flv(25, -800), 25),
    "ahead.flv": (flv(25, 70000), 25),
    "first.flv": (flv(0, 5000), 0),
    "last.flv": (flv(39, -200), 39),
    "repeated.nut": (muxed("mpeg4", 20, -33, options={"g": "10", "bf": "0"}), 20),
    "first_like_second.webm": (muxed("libvpx", 0, 100), 0),
    "first_like_second.ts": (muxed("libx264", 0, 100, options=B_FRAMES), 0),
    "first_a_little_ahead.mkv": (muxed("libvpx", 0, 150), 0),
    "last_a_little_back.mkv": (muxed("libx264", 39, -50, options=PLAIN), 39),
    "first_ahead.ts": (muxed("libx264", 0, 4000, options=PLAIN), 0),
    "last_but_one_like_last.mkv": (muxed("libvpx", 38, 33), 38),
    "last_back_b.mp4": (muxed("libx264", 39, -200, options=B_FRAMES), 39),
    "last_back_b.ts": (muxed("libx264", 39, -200, options=B_FRAMES), 39),
    "back_b.mov": (muxed("libx264", 22, -700, options=B_FRAMES), 22),
    "back.mov": (muxed("mjpeg", 25, -700, options={}, pix_fmt="yuvj420p"), 25),
    "repeated.wmv": (muxed("wmv2", 20, -33, options={"g": "10"}), 20),
    "first_like_second_fragments.mp4": (
        muxed("libx264", 0, 100, options=B_FRAMES, container=FRAGMENTS), 0
    ),
    "back_fragments.mp4": (
        muxed("libx264", 25, -700, options=PLAIN, container=FRAGMENTS), 25
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_all_other_times_stay_and_every_frame_is_read(tmp_path: Path, name: str) -> None:
    make, odd = FILES[name]
    path = make(tmp_path / name)
    with open_video(path, whole=True) as video:
        times, start = list(video.times), video.start
        assert len(times) == 40
        file_times = [float(t + start) * 1000 for t in times]
        offset = file_times[10] - TIMES[10]  # MP4 may begin later, by the delay of decoding
        for number, time in enumerate(TIMES):
            if number == odd:
                before = file_times[number - 1] if number else -1e9
                after = file_times[number + 1] if number < 39 else 1e9
                assert before < file_times[number] < after
                close = 2 if number == 0 else 110  # the first as far away as the next one
                assert abs(file_times[number] - offset - time) < close
            elif number != 39 or odd != 39:
                assert file_times[number] - offset == pytest.approx(time, abs=1.1), number
        wanted = random.Random(name).sample(range(40), 40)
        found = [read_number(image) for image in video.read(wanted).data.numpy()]
        assert found == wanted
        assert [read_number(video.read([n]).data[0].numpy()) for n in (38, 5, odd)] == [38, 5, odd]
    report, timeline = examine(str(path))
    assert (report.frames, report.error) == (40, None) and timeline is not None
    store(path, timeline)
    with open_video(path) as video:
        assert list(video.times) == times


# name -> encoder, its options, and by how much the times of some frames are moved.
SEVERAL: dict[str, tuple[str, dict[str, str] | None, dict[int, int]]] = {
    "far_apart.mkv": ("libx264", B_FRAMES, {5: -100, 30: -500}),
    "far_apart.mov": ("libx264", PLAIN, {5: 300, 30: -500}),
    "in_a_row.mp4": ("libx264", B_FRAMES, {20: -33, 21: -66, 22: -99}),
    "in_a_row.webm": ("libvpx", None, {20: -33, 21: -66, 22: -99}),
    "every_third.ts": ("libx264", B_FRAMES, {n: -33 for n in range(17, 39, 3)}),
    "every_third.flv": ("libx264", B_FRAMES, {n: -33 for n in range(17, 39, 3)}),
    "first_and_last.webm": ("libvpx", None, {0: 5000, 39: -200}),
}


@pytest.mark.parametrize("name", SEVERAL)
def test_several_odd_times_in_a_file(tmp_path: Path, name: str) -> None:
    codec, options, moved = SEVERAL[name]

    def change(packets: list[Any]) -> list[Any]:
        shifts = [(p, moved[TIMES.index(p.pts)]) for p in packets if TIMES.index(p.pts) in moved]
        for packet, by in shifts:
            packet.pts += by
        for packet in packets:
            packet.dts += min(moved.values())
        return packets

    path = write_packets(tmp_path / name, codec, TIMES, change, options=options)
    with open_video(path, whole=True) as video:
        assert [read_number(i) for i in video.read(range(40)).data.numpy()] == list(range(40))
        times = [float(t + video.start) * 1000 for t in video.times]
    offset = times[10] - TIMES[10]
    for number, time in enumerate(TIMES):
        assert times[number] - offset == pytest.approx(time, abs=100 if number in moved else 1.1)


def test_a_time_that_may_be_true_is_kept_and_the_frame_is_found(tmp_path: Path) -> None:
    # Only decoding tells that this frame comes before the two whose times are before its own.
    path = write_packets(tmp_path / "a.mp4", "libx264", TIMES, shift(22, 70), options=B_FRAMES)
    for checked in (False, True):
        with open_video(path) as video:
            by_time = {round(float(t + video.start - video.times[10]) * 1000): n
                       for n, t in enumerate(video.times)}  # fmt: skip
            found = [read_number(i) for i in video.read(range(40)).data.numpy()]
        assert sorted(n for n in found if n is not None) == list(range(40)), checked
        assert len(by_time) == 40 and found.index(22) > 22
        report, timeline = examine(str(path))
        assert report.error is None and timeline is not None
        store(path, timeline)


def test_ordinary_files_are_not_decoded_for_their_times(tmp_path: Path, monkeypatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("decoded")

    monkeypatch.setattr("vitascope.data.decoders.packets.come_out", refuse)
    for name, codec, options in (
        ("a.mp4", "libx264", B_FRAMES), ("a.mkv", "libx264", B_FRAMES),
        ("b.mkv", "libvpx", None), ("a.ts", "libx264", B_FRAMES), ("a.flv", "flv", {}),
        ("p.mp4", "libx264", X264 | {"bf": "7", "x264-params": "b-pyramid=normal"}),
    ):  # fmt: skip
        with PyAVDecoder(write_packets(tmp_path / name, codec, TIMES, options=options)) as video:
            assert len(video.times) == 40 and video.timeline.how == "packets"


def test_frames_without_a_time_are_put_between_their_neighbors() -> None:
    times: list[int | None] = [40 * k for k in range(12)]
    times[3] = times[7] = times[8] = None
    assert repair(times, 40) == ([40 * k for k in range(12)], 1)


def test_joined_clocks_keep_their_distances() -> None:
    first, second = [0, 40, 90, 120, 160, 220], [10, 50, 130, 140, 200, 260]
    found = repair(first + second, 40)
    assert found is not None and found[1] == 1
    assert found[0][:6] == first and found[0][6] > 220
    assert [b - found[0][6] for b in found[0][6:]] == [t - 10 for t in second]


def test_which_of_two_with_one_time_is_odd() -> None:
    even = [40 * n for n in range(10)]
    for odd, like in ((0, 1), (1, 0), (8, 9), (9, 8), (4, 5), (5, 4)):
        times = list(even)
        times[odd] = even[like]
        assert repair(times, 40) == (even, 1), (odd, like)
    assert repair([100, 100, 200, 150, 300, 400, 500, 600], 100) is not None
    assert repair([100, 100], 100) is None


@pytest.mark.parametrize("by", [50, 60, 75, 90, 130, 5000])
def test_odd_times_at_the_ends_move_no_neighbor(by: int) -> None:
    even = [40 * n + 1000 for n in range(20)]
    for odd, moved in ((0, by), (19, -by)):
        times = list(even)
        times[odd] += moved
        found = repair(times, 40)
        assert found == (even, 1), (odd, moved)
    for odd in (1, 18):  # as far between their neighbors as there is room
        for moved in (-by, by):
            times = list(even)
            times[odd] += moved
            found = repair(times, 40)
            assert found is not None and found[1] == 1
            assert [t for n, t in enumerate(found[0]) if n != odd] == [
                t for n, t in enumerate(even) if n != odd
            ], (odd, moved)


def test_no_room_makes_finer_ticks() -> None:
    found = repair([0, 1, 2, 2, 2, 3, 4, 5, 6], 1)
    assert found is not None
    times, finer = found
    assert finer > 1 and descents(times) == 0
    assert [times[n] for n in (0, 1, 5, 8)] == [n * finer for n in (0, 1, 3, 6)]
    assert 2 * finer in times[2:5]


def test_times_that_say_nothing_are_refused() -> None:
    assert repair([None] * 9, 40) is None
    assert repair([7] * 9, 40) is None
    rng = random.Random(1)
    assert repair([rng.randrange(1 << 40) for _ in range(2000)], 40) is None


def test_any_few_odd_times_among_many() -> None:
    for seed in range(200):
        rng = random.Random(seed)
        good = [0]
        for _ in range(150):
            good.append(good[-1] + rng.choice((33, 33, 33, 34, 67)))
        odd = sorted(rng.sample(range(5, 145, 10), 5))
        times: list[int | None] = list(good)
        for number in odd:
            times[number] = rng.choice(
                (
                    None,
                    good[number - 1],
                    good[number + 1],
                    0,
                    good[number] + 10**6,
                    good[number] - rng.randrange(70, 2000),
                )
            )
        found = repair(times, 33)
        assert found is not None
        repaired = [Fraction(t, found[1]) for t in found[0]]
        assert descents(found[0]) == 0
        for number, time in enumerate(good):
            if number not in odd and number - 1 not in odd and number + 1 not in odd:
                assert repaired[number] == time, (seed, number)
            assert abs(repaired[number] - time) <= 67, (seed, number)
