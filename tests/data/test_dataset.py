"""Samples: the right frames, from the key alone, and a clear answer where there are none."""

from __future__ import annotations

import pickle
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from support.videos import film, films, numbers, times
from vitascope.data import clips, frames
from vitascope.data.cache.frames import FrameCache
from vitascope.data.clips import Clip
from vitascope.data.collate import collate
from vitascope.data.dataset import ClipDataset
from vitascope.data.packed import PackedRecords, Strings
from vitascope.data.records import VideoRecord
from vitascope.data.scale import Scale
from vitascope.errors import ConfigError, DatasetError, DecodeError, InputError
from vitascope.spec import ClipSpec, PixelSpec, ViewProtocol

WINDOW = ClipSpec(num_frames=4, sampling_rate=2, fps=12)
VIDEO = ClipSpec(num_frames=6, coverage="video")


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> list[VideoRecord]:
    return films(tmp_path_factory.mktemp("films"), 3)


def test_training_clips_are_those_planned_from_the_key(records: list[VideoRecord]) -> None:
    data = ClipDataset(records, WINDOW, train=True)
    for video, key in [(0, (5, 0, 0)), (1, (5, 1, 1)), (2, (9, 9, 2))]:
        count = 24 + video
        rng = np.random.default_rng(key)
        within = Clip(Fraction(0), Fraction(count, 12))
        clip = clips.random(within, Fraction(8, 12), rng)
        wanted = frames.select(times(count), clip, WINDOW, within=within, rng=rng).indices
        sample = data[video, key]
        assert numbers(sample["video"]) == [100 * video + i for i in wanted]
        assert (sample["label"], sample["index"], sample["valid"]) == (video % 2, video, True)


def test_every_frame_can_come_and_keys_decide(records: list[VideoRecord]) -> None:
    data = ClipDataset(records, WINDOW, train=True, seed=3)
    drawn = [numbers(data[0, (0, epoch, 0)]["video"]) for epoch in range(60)]
    firsts = {numbers_[0] for numbers_ in drawn}
    assert min(firsts) == 0 + 1 or min(firsts) == 0
    assert max(firsts) == 17 or max(firsts) == 16  # 24 frames, a clip of 8
    assert all(np.diff(numbers_).tolist() == [2, 2, 2] for numbers_ in drawn)
    assert torch.equal(data[1]["video"], data[1, (3, 0, 1)]["video"])


def test_whole_video_coverage_takes_one_frame_of_each_part(records: list[VideoRecord]) -> None:
    data = ClipDataset(records, VIDEO, train=True)
    drawn = np.array([numbers(data[0, (0, epoch, 0)]["video"]) for epoch in range(40)])
    assert ((drawn // 4) == np.arange(6)).all()  # 24 frames in 6 parts of 4
    assert [len(set(column)) for column in drawn.T] == [4] * 6


def test_views_of_an_evaluation(records: list[VideoRecord]) -> None:
    views = ViewProtocol(clips=3, crops=1)
    window = ClipDataset(records, WINDOW, train=False, views=views)[0]["video"]
    assert window.shape == (3, 4, 80, 128, 3)
    assert [numbers(v) for v in window] == [[1, 3, 5, 7], [9, 11, 13, 15], [17, 19, 21, 23]]
    whole = ClipDataset(records, VIDEO, train=False, views=views)[0]["video"]
    # Centers of 18 parts of 24 frames, dealt out to three clips.
    dense = [int((k + 0.5) * 24 / 18) for k in range(18)]
    assert [numbers(v) for v in whole] == [dense[0::3], dense[1::3], dense[2::3]]
    one = ClipDataset(records, VIDEO, train=False)[0]["video"]
    assert one.shape[0] == 1 and numbers(one[0]) == [2, 6, 10, 14, 18, 22]


def test_crops_come_clip_by_clip(records: list[VideoRecord]) -> None:
    def crops(data: torch.Tensor) -> list[torch.Tensor]:
        return [data[:, :, x : x + 80].permute(3, 0, 1, 2).float() for x in (0, 24, 48)]

    views = ViewProtocol(clips=2, crops=3)
    data = ClipDataset(records, WINDOW, train=False, views=views, transform=crops)
    raw = ClipDataset(records, WINDOW, train=False, views=views)[0]["video"]
    got = data[0]["video"]
    assert got.shape == (6, 3, 4, 80, 80)
    for v in range(6):
        assert torch.equal(got[v], crops(raw[v // 3])[v % 3])


def test_the_transform_draws_from_the_same_key(records: list[VideoRecord]) -> None:
    def noisy(data: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
        return data.float() + float(rng.random())

    data = ClipDataset(records, WINDOW, train=True, transform=noisy)
    assert torch.equal(data[0, (1, 2, 0)]["video"], data[0, (1, 2, 0)]["video"])
    other = data[0, (1, 3, 0)]["video"]
    assert not torch.equal(data[0, (1, 2, 0)]["video"] % 1, other % 1)


def test_trimmed_videos_show_nothing_outside(records: list[VideoRecord]) -> None:
    trimmed = replace(records[0], start=Fraction(5, 12), end=Fraction(15, 12))
    for spec in (WINDOW, VIDEO):
        seen = set()
        data = ClipDataset([trimmed], spec, train=True)
        for epoch in range(30):
            seen |= set(numbers(data[0, (0, epoch, 0)]["video"]))
        assert min(seen) in (5, 6) and max(seen) in (13, 14)
        assert set(numbers(ClipDataset([trimmed], spec, train=False)[0]["video"][0])) <= set(
            range(5, 15)
        )
    late = replace(records[0], start=Fraction(3))
    with pytest.raises(DatasetError, match=r"0.mp4 \(list.csv, row 1\): the labeled part starts "
                       "at 3 s and the video ends at 2 s"):  # fmt: skip
        ClipDataset([late], WINDOW, train=True)[0]


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("repeat", [1, 3, 5, 5]),
        ("loop", [1, 3, 5, 1]),
        ("pad", [1, 3, 5, None]),
    ],
)
def test_short_videos(tmp_path: Path, rule: str, expected: list[int | None]) -> None:
    record = VideoRecord(str(film(tmp_path / "short.mp4", 6)), 0)
    spec = replace(WINDOW, short=rule)
    for train in (True, False):
        sample = ClipDataset([record], spec, train=train)[0]
        data = sample["video"] if train else sample["video"][0]
        assert numbers(data) == expected
        assert ("mask" in sample) == (rule == "pad")
        if rule == "pad":
            assert sample["mask"].reshape(-1).tolist() == [True, True, True, False]
            assert data[3].max() == 0


def test_short_videos_as_errors(tmp_path: Path) -> None:
    record = VideoRecord(str(film(tmp_path / "short.mp4", 6)), 0, where="l.csv, row 3")
    spec = replace(WINDOW, short="error")
    text = r"short.mp4 \(l.csv, row 3\): .*0.667 s.*clip.short=repeat"
    with pytest.raises(DatasetError, match=text):
        ClipDataset([record], spec, train=False)[0]
    sample = ClipDataset([record], spec, train=False, on_bad="skip")[0]
    assert not sample["valid"] and "0.667" in sample["fault"]


def test_unreadable_videos_are_errors_or_counted_gaps(tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").write_bytes(b"")
    (tmp_path / "text.mp4").write_text("no video at all, but some text")
    good = film(tmp_path / "good.mp4")
    (tmp_path / "cut.mp4").write_bytes(good.read_bytes()[: good.stat().st_size // 2])
    names = ["empty.mp4", "text.mp4", "cut.mp4", "absent.mp4"]
    reasons = [r"no content \(0 bytes\)", "not a video file", "not a video file", "no such file"]
    for name, reason in zip(names, reasons, strict=True):
        record = VideoRecord(str(tmp_path / name), 1)
        with pytest.raises(DecodeError, match=rf"{name}: .*{reason}"):
            ClipDataset([record], VIDEO, train=True)[0]
        sample = ClipDataset([record], VIDEO, train=True, on_bad="skip")[0]
        assert not sample["valid"] and "video" not in sample and name in sample["fault"]
    data = ClipDataset(
        [VideoRecord(str(tmp_path / n), i) for i, n in enumerate([*names, "good.mp4"])],
        VIDEO, train=True, on_bad="skip",
    )  # fmt: skip
    batch = collate([data[i] for i in range(5)])
    assert batch["index"].tolist() == [4] and batch["video"].shape[0] == 1
    assert [video for video, _ in batch["faults"]] == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("empty.mp4", "no content"),
        ("truncated_no_moov.mp4", "cut before its index"),
        ("truncated_faststart.mp4", "cut off: its table leads to byte 27322"),
        ("truncated.mkv", "cut off: its header promises 3.017 s"),
        ("audio_only.mp4", "no video stream in the file, only audio"),
        ("audio_only.m4a", "no video stream in the file, only audio"),
        ("text.mp4", "not a video file"),
    ],
)
def test_real_files_without_a_picture(shared: Path, name: str, reason: str) -> None:
    record = VideoRecord(str(shared / "data" / "codecs" / name), 0)
    with pytest.raises(DecodeError, match=reason):
        ClipDataset([record], VIDEO, train=True)[0]


def test_scale_is_applied_while_decoding(records: list[VideoRecord]) -> None:
    small = ClipDataset(records, VIDEO, train=True, scale=Scale(short_side=40))[0]["video"]
    assert small.shape == (6, 40, 64, 3)
    full = ClipDataset(records, VIDEO, train=True)[0]["video"]
    assert numbers(small) == numbers(full)
    squashed = ClipDataset(records, VIDEO, train=True, scale=Scale(size=(40, 40)))[0]["video"]
    assert squashed.shape == (6, 40, 40, 3) and numbers(squashed) == numbers(full)
    pixels = PixelSpec(short_side=40, crop=32)
    assert Scale.from_pixels(pixels) == Scale(short_side=40)
    assert Scale.from_pixels(replace(pixels, fit="squash")) == Scale(size=(32, 32))


def test_settings_that_contradict(records: list[VideoRecord], tmp_path: Path) -> None:
    store = FrameCache(tmp_path, 40)
    with pytest.raises(ConfigError, match=r"holds Scale\(short_side=40.*short_side=80"):
        ClipDataset(records, VIDEO, train=True, store=store, scale=Scale(short_side=80))
    with pytest.raises(ConfigError, match="decodes with pyav, not images"):
        ClipDataset(records, VIDEO, train=True, store=store, decoder="images")
    with pytest.raises(ConfigError, match="on_bad = 'ignore'; legal values: error, skip"):
        ClipDataset(records, VIDEO, train=True, on_bad="ignore")
    with pytest.raises(ConfigError, match="a short side or a size"):
        Scale(short_side=3, size=(2, 2))


def test_batches_need_one_shape(records: list[VideoRecord]) -> None:
    samples = [ClipDataset(records, VIDEO, train=True, scale=Scale(short_side=s))[i]
               for i, s in enumerate((40, 48))]  # fmt: skip
    with pytest.raises(InputError, match=r"video of video 1 is \(6, 48, 77, 3\) and that of video"):
        collate(samples)
    for sample in samples:
        sample["video"] = [torch.zeros(3, 2, 4, 4), torch.zeros(3, 8, 4, 4)]
    slow, fast = collate(samples)["video"]
    assert slow.shape == (2, 3, 2, 4, 4) and fast.shape == (2, 3, 8, 4, 4)


def test_packed_records_are_the_records() -> None:
    records = [
        VideoRecord("/a/ä \udcff.mp4", 3, where="l.csv, row 1"),
        VideoRecord("", None, start=Fraction(1001, 30000)),
        VideoRecord("/b" * 500, 0, end=Fraction(7)),
    ]
    packed = PackedRecords(iter(records))
    assert list(packed) == records and packed[-1] == records[2] and packed[1:] == records[1:]
    assert list(pickle.loads(pickle.dumps(packed))) == records
    with pytest.raises(IndexError):
        packed[3]
    assert list(PackedRecords([])) == []
    assert list(Strings(["", "x", ""])) == ["", "x", ""]


def test_a_clip_covers_a_part_of_the_video(records: list[VideoRecord]) -> None:
    """Frames of each clip lie in a part of the drawn length; the parts lie anywhere."""
    data = ClipDataset(records, VIDEO, train=True, span=(0.5, 0.5))
    count = 24
    seen = [numbers(data[0, (0, epoch, 0)]["video"]) for epoch in range(60)]
    assert all(shown[-1] - shown[0] <= count / 2 + 1 for shown in seen)
    assert min(shown[0] for shown in seen) <= 1 and max(shown[-1] for shown in seen) >= count - 2
    with pytest.raises(ConfigError, match="span"):
        ClipDataset(records, VIDEO, train=True, span=(0.0, 1.0))
