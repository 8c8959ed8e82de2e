"""Bad files by policy and budget, and samples of several clips."""

from __future__ import annotations

import logging
from functools import partial

import numpy as np
import pytest
import torch

from support.videos import Noise, films
from vitascope.data.dataset import ClipDataset
from vitascope.data.loader import make_loader
from vitascope.data.records import VideoRecord
from vitascope.data.sampler import balanced, multi_clip, order, repeated
from vitascope.data.scale import Scale
from vitascope.errors import ConfigError, DatasetError, DecodeError
from vitascope.spec import ClipSpec, PixelSpec, ViewProtocol
from vitascope.transforms.preprocess import evaluation_transform

SPEC = ClipSpec(num_frames=4, sampling_rate=2, fps=12)
BAD = (1, 2, 4)


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> list[VideoRecord]:
    """Ten videos, of which 1, 2 and 4 cannot be read."""
    folder = tmp_path_factory.mktemp("films")
    found = films(folder, 10, frames=12)
    for video in BAD:
        (folder / f"bad {video}.mp4").write_bytes(b"no video")
        found[video] = VideoRecord(str(folder / f"bad {video}.mp4"), 1)
    return found


def dataset(records: list[VideoRecord], **options: object) -> ClipDataset:
    options = {"scale": Scale(short_side=40), "transform": Noise(), "train": True, **options}
    return ClipDataset(records, options.pop("clip", SPEC), **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("workers", [0, 2])
def test_every_step_has_a_batch_and_every_pass_a_report(
    records: list[VideoRecord], workers: int, caplog: pytest.LogCaptureFixture
) -> None:
    loader = make_loader(dataset(records, on_bad="skip"), 1, workers=workers)
    for _ in range(2):
        with caplog.at_level(logging.INFO):
            caplog.clear()
            batches = list(loader)
        assert [b["index"].tolist() for b in batches] == [
            [] if i in BAD else [i] for i in range(10)
        ]
        assert ["video" in b for b in batches] == [i not in BAD for i in range(10)]
        assert loader.faults.clips == 3  # of this pass, not of all
        assert [video for video, _ in loader.faults.videos] == list(BAD)
        [message] = caplog.messages
        assert message.startswith("epoch 0: 3 clips of 3 videos were left out: ")
    assert loader.dataset.fault_report().clips == 6


def test_ranks_count_the_same_steps_whatever_is_bad(records: list[VideoRecord]) -> None:
    data = dataset(records, on_bad="skip")
    ranks = [
        list(make_loader(data, 1, rank=r, world=2, shuffle=True, drop_last=True)) for r in (0, 1)
    ]
    assert len(ranks[0]) == len(ranks[1]) == 5
    assert sum(len(b["label"]) for rank in ranks for b in rank) == 7


def test_black_frames_stand_in_under_the_same_label(records: list[VideoRecord]) -> None:
    pixels = PixelSpec(short_side=40, crop=40, mean=(0.5,) * 3, std=(0.25,) * 3)
    want = {}
    for batch in make_loader(dataset(records, on_bad="skip"), 4):
        want |= dict(zip(batch["index"].tolist(), batch.get("video", ()), strict=True))
    loader = make_loader(
        dataset(records, on_bad="substitute-black", transform=_Crop(pixels)), 4, workers=1
    )
    batches = list(loader)
    valid = torch.cat([b["valid"] for b in batches]).tolist()
    assert valid == [i not in BAD for i in range(10)]
    labels = torch.cat([b["label"] for b in batches]).tolist()
    assert labels == [r.label for r in records]
    videos = torch.cat([b["video"] for b in batches])
    for video in BAD:
        assert torch.equal(videos[video], torch.full((3, 4, 40, 40), -2.0))  # (0 - mean) / std
    assert all(videos[i].std() > 0.1 for i in want)
    assert "3 clips of 3 videos were replaced by black frames" in str(loader.faults)


class _Crop:
    """An evaluation transform in the place of one for training."""

    def __init__(self, pixels: PixelSpec) -> None:
        self.transform = evaluation_transform(pixels)

    def __call__(self, frames: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
        return self.transform(frames)[0]


def test_black_views_and_masks(records: list[VideoRecord]) -> None:
    pixels = PixelSpec(short_side=40, crop=40, mean=(0.5,) * 3, std=(0.25,) * 3)
    clip = ClipSpec(num_frames=4, sampling_rate=2, fps=12, short="pad")
    data = dataset(
        records, clip=clip, on_bad="substitute-black", train=False,
        views=ViewProtocol(clips=2, crops=3), transform=evaluation_transform(pixels, 3),
    )  # fmt: skip
    good, bad = data[0], data[1]
    assert good["video"].shape == bad["video"].shape == (6, 3, 4, 40, 40)
    assert good["mask"].shape == bad["mask"].shape == (6, 4)
    assert good["mask"].all() and not bad["mask"].any()
    assert bad["label"] == 1 and not bad["valid"] and "bad 1.mp4" in bad["fault"]


@pytest.mark.parametrize("policy", ["skip", "substitute-black"])
@pytest.mark.parametrize("workers", [0, 1])
def test_the_budget(records: list[VideoRecord], policy: str, workers: int) -> None:
    transform = _Crop(PixelSpec(short_side=40, crop=40, mean=(0.5,) * 3, std=(0.25,) * 3))
    enough = dataset(records, on_bad=policy, budget=0.3, transform=transform)
    assert len(list(make_loader(enough, 2, workers=workers))) == 5
    # A video that comes again counts once.
    twice = partial(_twice, count=10)
    assert len(list(make_loader(enough, 4, workers=workers, shuffle=twice))) == 5
    tight = dataset(records, on_bad=policy, budget=0.2, transform=transform)
    seen = []
    with pytest.raises(
        DatasetError, match=r"3 of 10 videos .* more than the budget of 20 %.*bad 4"
    ):
        for batch in make_loader(tight, 2, workers=workers):
            seen.append(batch["index"].tolist())
    assert seen == [[0], [3]] if policy == "skip" else [[0, 1], [2, 3]]


def _twice(seed: int, epoch: int, count: int):
    return repeated(order(seed, epoch, count, shuffle=False), 2)


def test_bad_settings(records: list[VideoRecord]) -> None:
    with pytest.raises(ConfigError, match="legal values: error, skip, substitute-black"):
        dataset(records, on_bad="replace")
    for options in ({"budget": 1.5}, {"clips": 0}, {"clips": 2, "train": False}):
        with pytest.raises(ConfigError):
            dataset(records, **options)
    with pytest.raises(DecodeError):
        list(make_loader(dataset(records), 4))


def test_several_clips_of_a_sample(records: list[VideoRecord]) -> None:
    one, three = dataset(records), dataset(records, clips=3)
    for key in ((0, 2, 7), (0, 2, 7, 1)):
        many = three[7, key]["video"]
        assert many.shape[0] == 3
        for clip, own in zip(many, multi_clip(key, 3), strict=True):
            assert torch.equal(clip, one[7, own]["video"])
        assert torch.equal(many[0], one[7, key]["video"])  # the first is that of a single clip
        assert not torch.equal(many[0], many[1]) and not torch.equal(many[1], many[2])
    batch = next(iter(make_loader(dataset(records[5:], clips=2), 3)))
    assert batch["video"].shape[:2] == (3, 2) and len(batch["label"]) == 3
    keys = {k for v in range(9) for r in range(3) for k in multi_clip((1, 2, v, r), 4)}
    assert len(keys) == 9 * 3 * 4
    draws = {tuple(np.random.default_rng(k).random(2)) for k in keys}
    assert len(draws) == len(keys)


def test_frames_of_several_clips_are_decoded_once(
    records: list[VideoRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
    from vitascope.data import dataset as module

    opened = []
    real = module.open_video

    def counting(*args: object, **kwargs: object):
        opened.append(args[0])
        return real(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "open_video", counting)
    assert dataset(records, clips=4)[0, (0, 0, 0)]["video"].shape[0] == 4
    assert len(opened) == 1


def test_plans_over_ranks(records: list[VideoRecord]) -> None:
    """Balanced and repeated epochs in the loader: no overlap, equal steps, the same over ranks."""
    good = [r for i, r in enumerate(records) if i not in BAD]
    data = dataset(good)
    labels = [0, 0, 0, 0, 0, 1, 1]
    for plan in (partial(balanced, labels=labels), partial(_twice, count=len(good))):
        alone = [b["index"].tolist() for b in make_loader(data, 4, shuffle=plan, drop_last=True)]
        pair = [
            [b["index"].tolist() for b in make_loader(
                data, 2, shuffle=plan, drop_last=True, rank=r, world=2)]
            for r in range(2)
        ]  # fmt: skip
        assert len(alone) == len(pair[0]) == len(pair[1]) > 0
        for whole, one, two in zip(alone, *pair, strict=True):
            assert whole == [v for both in zip(one, two, strict=True) for v in both]
    chosen = [v for b in make_loader(data, 7, shuffle=partial(balanced, labels=labels))
              for v in b["index"].tolist()]  # fmt: skip
    assert sorted(labels[v] for v in chosen) in ([0, 0, 0, 1, 1, 1, 1], [0, 0, 0, 0, 1, 1, 1])
