"""A plain DataLoader: each pass is an epoch, for any number and kind of workers."""

from __future__ import annotations

import copy
import logging
import pickle
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch.utils.data import DataLoader, RandomSampler, Subset

from support.videos import Noise, films
from vitascope.data.collate import collate
from vitascope.data.dataset import ClipDataset
from vitascope.data.loader import make_loader
from vitascope.data.passes import Passes
from vitascope.data.records import VideoRecord
from vitascope.errors import ConfigError
from vitascope.spec import ClipSpec

CLIP = ClipSpec(num_frames=3, sampling_rate=2, fps=12)


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> list[VideoRecord]:
    return films(tmp_path_factory.mktemp("films"), 5)


def data_set(records: list[VideoRecord], seed: int = 1) -> ClipDataset:
    return ClipDataset(records, CLIP, transform=Noise(), train=True, seed=seed)


def by_video(batches: Iterator[dict]) -> dict[int, torch.Tensor]:
    return {
        int(number): video
        for batch in batches
        for number, video in zip(batch["index"], batch["video"], strict=True)
    }


def same(one: dict[int, torch.Tensor], two: dict[int, torch.Tensor]) -> list[bool]:
    assert one.keys() == two.keys()
    return [torch.equal(one[number], two[number]) for number in sorted(one)]


def expected(records: list[VideoRecord], epoch: int) -> dict[int, torch.Tensor]:
    data = data_set(records)
    return {v: data[v, (1, epoch, v)]["video"] for v in range(len(records))}


@pytest.mark.parametrize(
    ("workers", "stay", "method"),
    [(0, False, None), (2, False, "fork"), (3, True, "fork"), (2, True, "spawn")],
)
def test_each_pass_is_the_next_epoch(records, workers, stay, method) -> None:
    data = data_set(records)
    loader = DataLoader(
        data, 2, shuffle=True, num_workers=workers, persistent_workers=stay,
        multiprocessing_context=method, collate_fn=collate,
    )  # fmt: skip
    for epoch in range(3):
        assert all(same(by_video(loader), expected(records, epoch)))
    assert not any(same(expected(records, 0), expected(records, 1)))
    assert not any(same(expected(records, 1), expected(records, 2)))


def test_what_a_pass_leaves_out_is_not_ahead(records) -> None:
    data = data_set(records)
    list(DataLoader(data, 2, drop_last=True))  # videos 0 to 3
    second = by_video(DataLoader(data, 5))
    first, later = expected(records, 0), expected(records, 1)
    assert all(torch.equal(second[v], later[v]) for v in range(4))
    assert torch.equal(second[4], first[4])


def test_set_epoch_pins_and_none_moves_on_again(records, caplog) -> None:
    data = data_set(records)
    part = Subset(data, [3, 1])
    loader = DataLoader(part, 2, num_workers=1, persistent_workers=True)
    wanted = expected(records, 7)
    for _ in range(2):
        data.set_epoch(7)
        got = by_video(loader)
        assert sorted(got) == [1, 3] and all(torch.equal(got[v], wanted[v]) for v in got)
    assert not caplog.records
    data.set_epoch(None)
    assert torch.equal(by_video(loader)[3], expected(records, 0)[3])
    assert torch.equal(by_video(loader)[3], expected(records, 1)[3])
    with pytest.raises(ConfigError, match="epoch = -1"):
        data.set_epoch(-1)


def test_the_same_clips_again_are_said_once(records, caplog) -> None:
    data = data_set(records)
    data.set_epoch(2)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert torch.equal(data[1]["video"], expected(records, 2)[1])
    (said,) = caplog.records
    assert "set_epoch(n) before each pass" in said.getMessage()


def test_a_video_drawn_twice_in_a_pass_differs(records) -> None:
    sampler = RandomSampler(records, replacement=True, num_samples=30)
    clips: dict[int, list[torch.Tensor]] = {}
    for batch in DataLoader(data_set(records), 3, sampler=sampler):
        for number, video in zip(batch["index"].tolist(), batch["video"], strict=True):
            clips.setdefault(number, []).append(video)
    assert sum(map(len, clips.values())) == 30
    for seen in clips.values():
        assert all(not torch.equal(a, b) for i, a in enumerate(seen) for b in seen[:i])


def test_seeds_differ_and_keys_of_the_loop_are_untouched(records) -> None:
    data = data_set(records)
    assert not torch.equal(data[0]["video"], data_set(records, seed=2)[0]["video"])
    before = by_video(iter(make_loader(data, 2, seed=1, epoch=0)))
    list(DataLoader(data, 5))
    assert all(same(before, by_video(iter(make_loader(data, 2, seed=1, epoch=0)))))
    assert all(same(before, expected(records, 0)))


def test_numbers_from_the_end(records) -> None:
    sample = data_set(records)[-1]
    assert sample["index"] == 4 and torch.equal(sample["video"], expected(records, 0)[4])
    for outside in (5, -6):
        with pytest.raises(IndexError, match=f"video {outside} of 5"):
            data_set(records)[outside]


def test_evaluation_draws_nothing(records, caplog) -> None:
    data = ClipDataset(records, CLIP, train=False)
    data.set_epoch(3)
    assert torch.equal(data[0]["video"], data[0]["video"]) and not caplog.records


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda d: pickle.loads(pickle.dumps(d))])
def test_a_copy_counts_for_itself(records, copied) -> None:
    data = data_set(records)
    list(DataLoader(data, 5))
    other = copied(data)
    for epoch in (1, 2):  # with workers that share the counts
        got = by_video(DataLoader(other, 5, num_workers=1))
        assert all(same(got, expected(records, epoch)))
    assert torch.equal(data[0]["video"], expected(records, 1)[0])


def test_processes_of_one_training_draw_different_clips(monkeypatch) -> None:
    keys = set()
    for rank in range(3):
        monkeypatch.setattr("vitascope.data.passes.get_rank", lambda rank=rank: rank)
        passes = Passes(1)
        worker = pickle.loads(pickle.dumps(passes))
        monkeypatch.setattr("vitascope.data.passes.get_rank", lambda: 0)
        keys |= {worker.key(5, 0), worker.key(5, 0)}
    assert keys == {(5, 0, 0), (5, 1, 0), (5, 0, 0, 1), (5, 1, 0, 1), (5, 0, 0, 2), (5, 1, 0, 2)}


def test_a_data_set_prints_as_a_line(records, tmp_path: Path) -> None:
    many = [VideoRecord(str(tmp_path / f"{i}.mp4"), i % 7) for i in range(1000)]
    text = repr(ClipDataset(many, CLIP, train=True, seed=4))
    assert text.startswith("ClipDataset(1000 videos, ") and "seed=4" in text
    assert "\n" not in text and len(text) < 200
