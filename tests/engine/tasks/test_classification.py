from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from vitascope.engine.device import seed_step
from vitascope.engine.tasks.classification import Classification, Mixing
from vitascope.transforms.mix import CutMix, MixUp, MixVideo


class Linear(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 5)

    def forward(self, x):
        return self.layer(x.mean((2, 3, 4)))


def batch(count: int = 6) -> dict[str, torch.Tensor]:
    video = torch.randn(count, 3, 2, 8, 8)
    return {"video": video, "label": torch.arange(count) % 5}


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_unmixed_loss_is_cross_entropy(smoothing: float) -> None:
    model, data = Linear(), batch()
    task = Classification(mixing=Mixing(num_classes=5), smoothing=smoothing)
    loss = task.loss(model, data, np.random.default_rng(0))
    logs = model(data["video"]).log_softmax(-1)
    target = F.one_hot(data["label"], 5) * (1 - smoothing) + smoothing / 5
    torch.testing.assert_close(loss, -(target * logs).sum(1).mean())


@pytest.mark.parametrize("mixup", [0.0, 0.8])
def test_a_weighted_loss_counts_each_clip_by_its_class(mixup: float) -> None:
    model, data = Linear(), batch()
    weights = torch.tensor([0.5, 1.0, 2.0, 4.0, 0.25])
    mixing = Mixing(num_classes=5, mixup=mixup)
    task = Classification(mixing=mixing, weights=weights, smoothing=0.0)
    loss = task.loss(model, data, np.random.default_rng(3))
    mixed = mixing(data["video"], data["label"], np.random.default_rng(3))
    video, soft = mixed or (data["video"], F.one_hot(data["label"], 5).float())
    each = -(soft * model(video).log_softmax(-1)).sum(1)
    torch.testing.assert_close(loss, (each * (soft * weights).sum(1)).mean())
    # a batch of one class: the weight stays
    alone = {"video": data["video"], "label": torch.full((6,), 3)}
    plain = Classification(mixing=Mixing(num_classes=5))
    task = Classification(mixing=Mixing(num_classes=5), weights=weights)
    rng = np.random.default_rng(0)
    torch.testing.assert_close(task.loss(model, alone, rng), 4 * plain.loss(model, alone, rng))


@pytest.mark.parametrize("kind", ["mixup", "cutmix"])
def test_mixed_loss_is_that_of_the_mixed_labels(kind: str) -> None:
    model, data = Linear(), batch()
    mixing = Mixing(num_classes=5, **{kind: 0.8}, smoothing=0.1)
    task = Classification(mixing=mixing, smoothing=0.1)
    loss = task.loss(model, data, np.random.default_rng(3))
    mixed = mixing(data["video"], data["label"], np.random.default_rng(3))
    assert mixed is not None
    video, soft = mixed
    assert not torch.equal(video, data["video"])
    torch.testing.assert_close(soft.sum(1), torch.ones(6))
    torch.testing.assert_close(loss, -(soft * model(video).log_softmax(-1)).sum(1).mean())


def test_mixing_happens_as_often_as_asked() -> None:
    data = batch(4)

    def count(**options) -> int:
        mixing = Mixing(num_classes=5, **options)
        rngs = (np.random.default_rng(i) for i in range(200))
        return sum(mixing(data["video"], data["label"], rng) is not None for rng in rngs)

    assert count() == 0
    assert count(mixup=1.0) == 200
    assert 70 < count(mixup=1.0, cutmix=1.0, prob=0.5) < 130
    assert count(mixup=1.0, prob=0.0) == 0
    single = Mixing(num_classes=5, mixup=1.0)
    assert single(data["video"][:1], data["label"][:1], np.random.default_rng(0)) is None


@pytest.mark.parametrize("alphas", [(0.8, 0.0), (0.0, 1.0), (0.4, 0.9)])
def test_a_batch_is_mixed_as_the_single_transforms_mix_it(alphas: tuple[float, float]) -> None:
    """One number decides whether, with both kinds a second one which; then the kind draws."""
    mixup, cutmix = alphas
    options = {"label_smoothing": 0.1, "num_classes": 5}
    single: nn.Module = MixVideo(0.5, mixup or 1.0, cutmix or 1.0, **options)
    if not cutmix:
        single = MixUp(mixup, **options)
    elif not mixup:
        single = CutMix(cutmix, **options)
    mixing = Mixing(num_classes=5, mixup=mixup, cutmix=cutmix, prob=0.7, smoothing=0.1)
    data, left = batch(), 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        want = single(data["video"], data["label"], rng=rng) if rng.random() < 0.7 else None
        got = mixing(data["video"], data["label"], np.random.default_rng(seed))
        if want is None or got is None:
            assert want is got
            left += 1
        else:
            assert all(torch.equal(a, b) for a, b in zip(got, want, strict=True))
    assert 8 < left < 30


def test_both_kinds_are_drawn() -> None:
    mixing = Mixing(num_classes=5, mixup=1.0, cutmix=1.0)
    video = torch.arange(4.0).view(4, 1, 1, 1, 1).expand(4, 3, 2, 8, 8)
    kinds = set()
    for seed in range(40):
        mixed = mixing(video, torch.arange(4), np.random.default_rng(seed))
        assert mixed is not None
        whole = mixed[0].flatten(1).std(1).max() < 1e-6  # one value a clip: blended everywhere
        kinds.add("mixup" if whole else "cutmix")
    assert kinds == {"mixup", "cutmix"}


def test_a_step_draws_the_same_whatever_came_before() -> None:
    first = seed_step(3, 7).random(4), torch.rand(4)
    torch.rand(100)
    again = seed_step(3, 7).random(4), torch.rand(4)
    assert np.array_equal(first[0], again[0]) and torch.equal(first[1], again[1])
    for other in ((3, 8, 0), (4, 7, 0), (3, 7, 1)):
        assert not np.array_equal(seed_step(*other).random(4), first[0])
        assert not torch.equal(torch.rand(4), first[1])
