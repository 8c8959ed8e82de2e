"""PyTorchVideo's iterable data set: documented samples, every video once, the key decides."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, DistributedSampler, SequentialSampler

from support.sound import film_with_sound, tone
from support.videos import film, numbers
from vitascope.compat.ptv.data import (
    Kinetics,
    LabeledVideoDataset,
    labeled_video_dataset,
    make_clip_sampler,
)
from vitascope.compat.ptv.data.labeled_video_paths import LabeledVideoPaths
from vitascope.errors import ConfigError, DatasetError, DecodeError

Sample = dict[str, Any]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes; video v has 24 + v frames at 12 a second and begins with the number 100 v."""
    root = tmp_path_factory.mktemp("films")
    for v in range(7):
        film(root / ("jump", "run")[v % 2] / f"{v}.mp4", 24 + v, first=100 * v)
    return root


def seen(sample: Sample) -> list[int | None]:
    assert sample["video"].dtype == torch.float32
    return numbers(sample["video"].to(torch.uint8).permute(1, 2, 3, 0))


def key_of(sample: Sample) -> tuple[Any, ...]:
    first = sample["video"][:, 0, ::8, ::8].double().flatten()
    content = float(first @ torch.arange(first.numel()).double())
    return (sample["video_index"], sample["clip_index"], sample["aug_index"],
            tuple(sample["video"].shape), content)  # fmt: skip


def noise(sample: Sample) -> Sample:
    """A transform of a user, with the global generators."""
    drawn = random.random() + float(np.random.rand()) + float(torch.rand(()))
    return {**sample, "video": sample["video"][:, :1] * 0 + drawn}


def test_samples_are_the_documented_dictionaries(folder: Path) -> None:
    data = labeled_video_dataset(
        str(folder), make_clip_sampler("uniform", 1), SequentialSampler, decode_audio=False
    )
    samples = list(data)
    # jump: 0 2 4 6, run: 1 3 5; every video has two whole seconds and no third
    assert [s["video_index"] for s in samples] == [i for i in range(7) for _ in range(2)]
    assert [s["clip_index"] for s in samples] == [0, 1] * 7
    assert [s["label"] for s in samples] == [0] * 8 + [1] * 6
    assert [s["video_name"] for s in samples[::2]] == [f"{v}.mp4" for v in (0, 2, 4, 6, 1, 3, 5)]
    assert set(samples[0]) == {
        "video", "video_name", "video_index", "clip_index", "aug_index", "label"
    }  # fmt: skip
    for sample, v in zip(samples[::2], (0, 2, 4, 6, 1, 3, 5), strict=True):
        assert seen(sample) == [100 * v + i for i in range(12)]
    assert data.num_videos == 7
    assert [key_of(s) for s in data] == [key_of(s) for s in samples]  # a second epoch is not empty


@pytest.mark.parametrize("sampler", [("random", 1), ("constant_clips_per_video", 0.5, 2, 2)])
def test_any_number_of_workers_gives_the_same_samples(folder: Path, sampler: Any) -> None:
    def epoch(workers: int, number: int, **options: Any) -> list[tuple[Any, ...]]:
        data = Kinetics(str(folder), make_clip_sampler(*sampler), seed=5, transform=noise)
        data.set_epoch(number)
        loader = DataLoader(data, batch_size=None, num_workers=workers, collate_fn=None, **options)
        found = [key_of(s) for s in loader]
        assert len(found) == data.num_samples
        return found

    alone = epoch(0, 0)
    assert Counter(k[0] for k in alone) == dict.fromkeys(range(7), len(alone) // 7)
    assert sorted(epoch(2, 0)) == sorted(alone)
    assert epoch(0, 0) == alone and epoch(0, 1) != alone
    assert [k[0] for k in epoch(0, 1)] != [k[0] for k in alone]


def test_epochs_of_workers_that_stay_alive(folder: Path) -> None:
    data = Kinetics(str(folder), make_clip_sampler("random", 1), seed=5, decode_audio=False)
    loader = DataLoader(data, batch_size=None, num_workers=2, persistent_workers=True)
    epochs = []
    for number in range(2):
        data.set_epoch(number)
        epochs.append([key_of(s) for s in loader])
        assert sorted(k[0] for k in epochs[-1]) == list(range(7))
    assert sorted(epochs[0]) != sorted(epochs[1])


def test_without_a_seed_torchs_generator_decides(folder: Path) -> None:
    def order(seed: int, workers: int) -> list[int]:
        torch.manual_seed(seed)
        data = Kinetics(str(folder), make_clip_sampler("random", 0.2), decode_audio=False)
        loader = DataLoader(data, batch_size=None, num_workers=workers)
        found = [s["video_index"] for _ in range(2) for s in loader]
        assert sorted(found[:7]) == sorted(found[7:]) == list(range(7))
        return found

    for workers in (0, 2):
        one = order(1, workers)
        assert one[:7] != one[7:] and order(1, workers) == one and order(2, workers) != one


def test_reading_leaves_the_generators_as_they_were(folder: Path) -> None:
    data = Kinetics(str(folder), make_clip_sampler("random", 1), seed=0, transform=noise)
    torch.manual_seed(3)
    wanted = torch.rand(3)
    torch.manual_seed(3)
    next(iter(data))
    assert torch.equal(torch.rand(3), wanted)


def test_a_restart_begins_with_a_new_video(folder: Path) -> None:
    data = labeled_video_dataset(str(folder), make_clip_sampler("uniform", 1), SequentialSampler)
    assert next(data)["clip_index"] == 0  # before any iter()
    assert next(data)["clip_index"] == 1
    iter(data)
    again = next(data)
    assert (again["video_index"], again["clip_index"]) == (0, 0)


def test_ranks_share_the_videos(folder: Path) -> None:
    def share(rank: int) -> list[int]:
        class Sampler(DistributedSampler[Any]):
            def __init__(self, data: Any) -> None:
                super().__init__(data, num_replicas=2, rank=rank, seed=4)

        data = Kinetics(str(folder), make_clip_sampler("random", 1), Sampler, decode_audio=False)
        data.set_epoch(1)
        assert data.video_sampler.epoch == 1
        return [s["video_index"] for s in DataLoader(data, batch_size=None, num_workers=2)]

    both = share(0) + share(1)
    assert set(both) == set(range(7)) and len(both) == 8  # the sampler fills up with one


def test_repeats_of_a_clip_and_several_clips_at_once(folder: Path) -> None:
    def in_place(sample: Sample) -> Sample:
        before = sample["video"].clone()
        sample["video"].zero_()
        return {**sample, "video": before}

    data = labeled_video_dataset(
        str(folder), make_clip_sampler("constant_clips_per_video", 1, 2, 3), SequentialSampler,
        in_place, decode_audio=False,
    )  # fmt: skip
    first = [s for s in data if s["video_index"] == 0]
    assert [(s["clip_index"], s["aug_index"]) for s in first] == [
        (c, a) for c in range(2) for a in range(3)
    ]
    for sample in first:
        assert seen(sample) == [12 * sample["clip_index"] + i for i in range(12)]
    assert data.num_samples == 7 * 6
    many = next(labeled_video_dataset(str(folder), make_clip_sampler("random_multi", 0.5, 3)))
    assert isinstance(many["video"], list) and len(many["video"]) == 3
    assert many["clip_index"] == [0, 0, 0] and "audio" not in many
    uniform = labeled_video_dataset(str(folder), make_clip_sampler("uniform", 1))
    assert uniform.num_samples is None  # depends on the lengths of the videos


def test_sound_where_there_is_sound(tmp_path: Path) -> None:
    loud = film_with_sound(tmp_path / "loud.mov", tone(2, 16000), 16000)
    mute = film(tmp_path / "mute.mp4", 24)
    paths = [(str(loud), {"label": 3}), (str(mute), {"label": 4})]
    data = LabeledVideoDataset(paths, make_clip_sampler("uniform", 2), SequentialSampler)
    first, second = list(data)
    assert first["audio"].shape == (32000,) and "audio" not in second
    assert (first["label"], second["label"]) == (3, 4)
    sound = LabeledVideoDataset(
        paths[:1], make_clip_sampler("uniform", 2), SequentialSampler, decode_video=False
    )
    [only] = list(sound)
    assert only["video"] is None and torch.equal(only["audio"], first["audio"])


def test_bad_videos_are_errors_or_counted(folder: Path, tmp_path: Path) -> None:
    good = [(str(p), {"label": 0}) for p in sorted(folder.rglob("*.mp4"))[:3]]
    (tmp_path / "bad.mp4").write_bytes(b"nothing")
    paths = [good[0], (str(tmp_path / "bad.mp4"), {"label": 1}), *good[1:]]
    sampler = make_clip_sampler("constant_clips_per_video", 1, 2)
    data = LabeledVideoDataset(
        paths, sampler, SequentialSampler, decode_audio=False, on_bad="error"
    )
    with pytest.raises(DecodeError, match=r"bad\.mp4"):
        list(data)
    # 40 in a row are no more of a problem than one: PyTorchVideo gave up after ten.
    many = [good[0], *[paths[1]] * 40, *good[1:]]
    data = LabeledVideoDataset(many, sampler, SequentialSampler, decode_audio=False, on_bad="skip")
    assert [s["video_index"] for s in data] == [0, 0, 41, 41, 42, 42]
    report = data.fault_report()
    assert report.clips == 40 and "bad.mp4" in str(report)
    with pytest.raises(ConfigError, match="on_bad"):
        LabeledVideoDataset(paths, sampler, on_bad="random")  # type: ignore[arg-type]
    short = LabeledVideoDataset(
        good, make_clip_sampler("uniform", 0.05), SequentialSampler, on_bad="error"
    )
    with pytest.raises(DatasetError, match=r"no frame begins between 0\.100"):
        list(short)


def test_names_of_the_package() -> None:
    import importlib

    import vitascope.compat.ptv.data as package

    module = importlib.import_module("vitascope.compat.ptv.data.labeled_video_dataset")
    assert package.labeled_video_dataset is module.labeled_video_dataset
    assert package.LabeledVideoDataset is module.LabeledVideoDataset
    with pytest.raises(AttributeError, match="nothing"):
        _ = package.nothing
    assert "Kinetics" in dir(package)
    assert LabeledVideoPaths.__module__ == "vitascope.compat.ptv.data.labeled_video_paths"
