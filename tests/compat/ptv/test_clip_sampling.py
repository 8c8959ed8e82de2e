"""The samplers of PyTorchVideo and PySlowFast against their recorded clips and frames."""

from __future__ import annotations

import json
import random
from collections import Counter
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from vitascope.compat.ptv.data.ava import TimeStampClipSampler
from vitascope.compat.ptv.data.clip_sampling import (
    ClipSampler,
    ConstantClipsPerVideoSampler,
    RandomClipSampler,
    RandomMultiClipSampler,
    RandomMultiClipSamplerTruncateFromStart,
    UniformClipSampler,
    make_clip_sampler,
)
from vitascope.compat.pyslowfast import sampling as slowfast
from vitascope.errors import ConfigError, UnknownNameError

Case = dict[str, Any]


def cases(shared: Path, name: str) -> list[Case]:
    return json.loads((shared / "reference" / "misc" / f"{name}.json").read_text())["cases"]


def number(value: str | None) -> Fraction | None:
    return None if value is None else Fraction(value)


def lengths_of(value: str) -> list[Fraction | float]:
    """A video's length as it may have been given: as a Fraction, or as a float if that is exact."""
    exact = Fraction(value)
    return [exact, *([float(exact)] if Fraction(float(exact)) == exact else [])]


def walk(sampler: ClipSampler, duration: Fraction | float) -> list[list[Any]]:
    clips: list[list[Any]] = []
    end = None
    while not (clips and clips[-1][-1]):
        info = sampler(end, duration, {})
        end = info.clip_end_sec
        clips.append([str(info[0]), str(info[1]), *info[2:]])
        assert len(clips) < 10_000
    return clips


def expect_clips(case: Case, sampler: ClipSampler) -> None:
    found = []
    for duration in lengths_of(case["duration"]):
        clips = walk(sampler, duration)
        assert clips == walk(sampler, duration)  # a second video begins anew
        assert len(clips) == case["n"]
        shown = case["clips"]  # long lists are given by their ends
        half = len(shown) // 2
        found.append(clips if len(shown) == len(clips) else clips[:half] + clips[-half:])
    assert case["clips"] in found


def test_every_pytorchvideo_case(shared: Path) -> None:
    seen: Counter[str] = Counter()
    for case in cases(shared, "clip_sampling"):
        seen[case["kind"]] += 1
        length = number(case["clip"])
        if case["kind"] == "uniform":
            sampler = UniformClipSampler(length, number(case["stride"]), case["backpad_last"])
            expect_clips(case, sampler)
        elif case["kind"] == "uniform_truncate_from_start":
            sampler = make_clip_sampler(
                case["kind"], length, None, False, 1e-6, number(case["truncation"])
            )
            expect_clips(case, sampler)
        elif case["kind"] == "constant_clips_per_video":
            sampler = make_clip_sampler(
                case["kind"], length, case["clips_per_video"], case["augs_per_clip"]
            )
            expect_clips(case, sampler)
        elif case["kind"] in ("random", "random_multi"):
            expect_random(case, length, Fraction(case["duration"]))
        else:
            assert case["kind"] == "timestamp"
            info = TimeStampClipSampler(UniformClipSampler(length))(
                None, None, {"clip_index": float(Fraction(case["clip_index_sec"]))}
            )
            assert [str(Fraction(t)) for t in info[:2]] == [case["start"], case["end"]]
            assert info.is_last_clip is case["is_last"]
    assert seen == {
        "uniform": 380, "constant_clips_per_video": 570, "random": 57, "random_multi": 57,
        "uniform_truncate_from_start": 57, "timestamp": 6,
    }  # fmt: skip


def expect_random(case: Case, length: Fraction, duration: Fraction) -> None:
    low, high = map(Fraction, case["start_range"])
    many = case["kind"] == "random_multi"
    sampler = make_clip_sampler(case["kind"], length, *([case["num_clips"]] if many else []))
    starts: list[Fraction] = []
    for _ in range(20):
        info = sampler(None, duration, {})
        assert [info.clip_index, info.aug_index, info.is_last_clip] == [
            case["clip_index"], case["aug_index"], case["is_last"]
        ]  # fmt: skip
        begins = info.clip_start_sec if many else [info.clip_start_sec]
        ends = info.clip_end_sec if many else [info.clip_end_sec]
        assert all(end - start == length for start, end in zip(begins, ends, strict=True))
        starts += begins
    assert all(low <= start <= high + Fraction(1, 10**12) for start in starts)
    if high > low:  # 20 draws or more fill the range: 1 in 10**6 leaves a half empty
        assert min(starts) < (low + high) / 2 < max(starts)


def test_truncation_and_bad_arguments() -> None:
    sampler = RandomMultiClipSamplerTruncateFromStart(1, 50, 3)
    assert max(sampler(None, 100, {}).clip_end_sec) <= 3
    assert max(RandomMultiClipSampler(1, 50)(None, 100, {}).clip_end_sec) > 50
    for make in (
        lambda: RandomClipSampler(0),
        lambda: UniformClipSampler(1, 0),
        lambda: ConstantClipsPerVideoSampler(1, 0),
        lambda: RandomMultiClipSampler(1, 0),
    ):
        with pytest.raises(ConfigError):
            make()
    with pytest.raises(UnknownNameError, match="Did you mean 'uniform'"):
        make_clip_sampler("unifrom", 2)


def test_a_video_left_in_the_middle_does_not_matter() -> None:
    for sampler in (UniformClipSampler(1), ConstantClipsPerVideoSampler(1, 4)):
        first = sampler(None, 10, {})
        sampler(first.clip_end_sec, 10, {})
        assert sampler(None, 10, {}) == first


def test_every_slowfast_case_in_time(shared: Path) -> None:
    seen: Counter[str] = Counter()
    for case in cases(shared, "test_sampling"):
        check = SLOWFAST.get(case["kind"])
        if check is not None:
            seen[case["kind"]] += 1
            check(case)
    spatial = Counter(
        c["kind"] for c in cases(shared, "test_sampling") if c["kind"] not in SLOWFAST
    )
    assert spatial == {"uniform_crop": 19, "short_side_scale_size": 28}  # in tests/transforms
    assert seen == {
        "get_start_end_idx": 720, "clip_frames": 420, "temporal_sampling": 6, "view_order": 5,
        "charades_test_frames": 36, "ssv2_test_frames": 36, "ava_get_sequence": 5,
        "pack_pathway": 20,
    }  # fmt: skip


def check_start_end(case: Case) -> None:
    count = case["num_clips_uniform"]
    for i, want in enumerate(case["start_end_frac"]):
        got = slowfast.start_end(
            case["video_size"], case["clip_size"], i, count, case["use_offset"]
        )
        assert list(got) == want


def check_clip_frames(case: Case) -> None:
    size = slowfast.clip_size(
        case["num_frames"], case["sampling_rate"], case["fps"], case["target_fps"]
    )
    assert size == case["clip_size"]
    for view, start, end, indices in case["rows_view_start_end_indices"]:
        got = slowfast.start_end(case["video_size"], size, view, case["views"], case["use_offset"])
        assert got[:2] == (start, end)
        assert slowfast.frames_between(start, end, case["video_size"], case["num_frames"]) == (
            indices
        )


def check_between(case: Case) -> None:
    got = slowfast.frames_between(
        case["start"], case["end"], case["video_size"], case["num_samples"]
    )
    assert got == case["indices"]


def check_views(case: Case) -> None:
    got = slowfast.view_order(case["num_ensemble_views"], case["num_spatial_crops"])
    assert [list(v) for v in got] == case["kinetics"]
    # Charades and SSv2 name the center 0 where there is only one crop.
    crops = [0 if case["num_spatial_crops"] == 1 else crop for _, crop in got]
    assert crops == case["charades_ssv2_spatial"]


def check_charades(case: Case) -> None:
    for view, indices in case["rows_view_indices"]:
        assert slowfast.charades_frames(
            case["video_size"], case["num_frames"], case["sampling_rate"], view, case["views"]
        ) == indices  # fmt: skip


def check_ssv2(case: Case) -> None:
    assert slowfast.ssv2_frames(case["video_size"], case["num_frames"]) == case["indices"]


def check_ava(case: Case) -> None:
    got = slowfast.ava_frames(
        case["center"], case["half_len"], case["sample_rate"], case["num_frames"]
    )
    assert got == case["indices"]


def check_pathway(case: Case) -> None:
    count = case["num_frames"]
    slow = slowfast.frames_between(0, count - 1, count, count // case["alpha"])
    assert slow == case["slow"] and case["fast_is_all"]


SLOWFAST = {
    "get_start_end_idx": check_start_end,
    "clip_frames": check_clip_frames,
    "temporal_sampling": check_between,
    "view_order": check_views,
    "charades_test_frames": check_charades,
    "ssv2_test_frames": check_ssv2,
    "ava_get_sequence": check_ava,
    "pack_pathway": check_pathway,
}


def drawn_cases(shared: Path) -> list[Case]:
    """The cases of drawn clips, which are recorded with the transforms."""
    return [c for c in cases(shared, "transforms_slowfast") if "start_end_idx" in c["fn"]]


def test_every_drawn_slowfast_case_in_time(shared: Path) -> None:
    """Both libraries' draws begin with `random.uniform`, so Python's generator gives the same."""
    single, several = drawn_cases(shared)
    for frames, size, seed, want in single["rows"]:
        rng: Any = random.Random(seed)
        assert list(slowfast.start_end(frames, size, -1, 1, rng=rng)) == want
    gaps = []
    for frames, sizes, least, most, seed, want in several["rows"]:
        rng = random.Random(seed)
        got = slowfast.separate_clips(frames, sizes, rng, least, most)
        assert [list(clip) for clip in got] == want
        gaps += [clip[2] < least for clip in got[1:]]
    assert len(single["rows"]) == 40 and len(several["rows"]) == 12
    assert 0 < sum(gaps) < len(gaps)  # videos that are too short are among them


def test_clips_are_apart_where_there_is_room() -> None:
    for seed in range(30):
        rng = np.random.default_rng(seed)
        clips = slowfast.separate_clips(200, [16, 32, 24], rng, 5, 60)
        assert all(5 <= gap <= 60 for _, _, gap in clips[1:])
        starts, ends = [c[0] for c in clips], [c[1] for c in clips]
        assert sorted(e - s + 1 for s, e in zip(starts, ends, strict=True)) == pytest.approx(
            [16, 24, 32]
        )
        assert [c[2] for c in clips] == [
            0,
            *(s - e for s, e in zip(starts[1:], ends, strict=False)),
        ]
    with pytest.raises(ConfigError, match="one of each"):
        slowfast.separate_clips(200, [], np.random.default_rng(0))


def test_slowfast_training_draws() -> None:
    rng = np.random.default_rng(0)
    starts = [slowfast.start_end(100, 40, -1, 10, rng=rng)[0] for _ in range(300)]
    assert 0 <= min(starts) < 3 and 57 < max(starts) <= 60
    drawn = np.array([slowfast.ssv2_frames(33, 8, rng) for _ in range(300)])
    for i in range(8):
        assert sorted(set(drawn[:, i])) == list(range(4 * i, 4 * i + 5))
    with pytest.raises(ConfigError, match="needs rng"):
        slowfast.start_end(100, 40, -1, 10)
    for call in (
        lambda: slowfast.start_end(100, 40, 10, 10),
        lambda: slowfast.charades_frames(100, 8, 2, 3, 3),
    ):
        with pytest.raises(ConfigError, match="count from 0"):
            call()
    assert slowfast.charades_frames(100, 8, 2, 0, 1)[0] == 42
    assert torch.equal(torch.tensor(slowfast.frames_between(0, 7, 8, 8)), torch.arange(8))
