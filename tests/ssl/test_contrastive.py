"""Contrastive models: what they learn from, what they remember, several processes, bad input."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from support.processes import run
from vitascope.errors import InputError
from vitascope.losses.contrastive import nt_xent, sinkhorn
from vitascope.ssl.contrastive import ContrastiveModel, MemoryModel, SimCLRModel
from vitascope.ssl.memory_bank import Memory, MemoryBank
from vitascope.ssl.moco import MoCo, MomentumBYOL
from vitascope.ssl.projection import create_contrastive_head
from vitascope.ssl.simclr import SimCLR
from vitascope.ssl.swav import SwAV

DIM = 8


class Backbone(nn.Module):
    """A convolution and a projecting head."""

    def __init__(self, **head: Any) -> None:
        super().__init__()
        self.conv = nn.Conv3d(3, 6, (1, 3, 3))
        self.head = create_contrastive_head(
            in_features=6, out_features=DIM, mlp_dim=16, num_layers=2, norm=nn.BatchNorm1d, **head
        )

    def forward(self, x: Tensor) -> Any:
        return self.head(F.relu(self.conv(x)))


def views(count: int = 2, batch: int = 4) -> list[Tensor]:
    return [torch.randn(batch, 3, 2, 6, 6) for _ in range(count)]


def models() -> list[ContrastiveModel]:
    return [
        SimCLRModel(Backbone(), dim=DIM, length=10),
        MemoryModel(Backbone(), dim=DIM, length=10, negatives=5),
        MemoryModel(Backbone(), dim=DIM, length=10, negatives=5, duration=3, interpolate=True),
        MoCo(Backbone(), dim=DIM, length=10, queue_len=16),
        MoCo(Backbone(), dim=DIM, length=10, queue_len=16, symmetric=True, multi_view_queue=True),
        MomentumBYOL(Backbone(predictor_depths=[2]), dim=DIM, length=10, queue_len=16),
        SwAV(Backbone(), dim=DIM, length=10, num_prototypes=7, queue_len=8),
    ]


@pytest.mark.parametrize("index", range(7))
def test_training_lowers_the_loss_and_remembers_features(index: int) -> None:
    torch.manual_seed(1)
    model = models()[index]
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=0.3)
    clips, positions = views(3), torch.tensor([7, 0, 3, 9])
    losses = []
    for _ in range(25):
        contrast = model(clips, positions)
        optimizer.zero_grad()
        contrast.loss.backward()
        optimizer.step()
        losses.append(float(contrast.loss.detach()))
    assert np.mean(losses[-5:]) < np.mean(losses[:5])
    assert all(p.grad is not None for p in trained)
    model.eval()
    features = model(clips[0])
    torch.testing.assert_close(features.norm(dim=1), torch.ones(4))
    similarity, nearest = model.nearest(features, k=3)
    assert similarity.shape == nearest.shape == (4, 3)
    assert model.knn_mem is not None
    kept = model.knn_mem.memory[positions, 0]
    torch.testing.assert_close(kept.norm(dim=1), torch.ones(4))


def test_the_slow_copy_starts_as_the_network_and_follows_it() -> None:
    model = MoCo(Backbone(), dim=DIM, queue_len=16, momentum=0.75)
    with torch.no_grad():
        for parameter in model.backbone_hist.parameters():
            parameter.add_(1.0)
    model.keys(views(1))
    for slow, fast in zip(
        model.backbone_hist.parameters(), model.backbone.parameters(), strict=True
    ):
        assert torch.equal(slow, fast)
    with torch.no_grad():
        for parameter in model.backbone.parameters():
            parameter.add_(1.0)
    model.keys(views(1))
    slow, fast = model.backbone_hist.conv.weight, model.backbone.conv.weight
    torch.testing.assert_close(fast - slow, torch.full_like(slow, 0.75))
    model.anneal(1.0)
    assert model.momentum == 1.0


def test_interpolated_memory_is_the_nearer_moment() -> None:
    memory = Memory(4, 2, duration=3)
    memory.memory[1] = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    index, time = torch.tensor([1, 1]), torch.tensor([0.25, 2.0])
    got = memory.get(index, time, interpolate=True)
    torch.testing.assert_close(got, torch.tensor([[0.75, 0.25], [-1.0, 0.0]]))
    memory.update(torch.tensor([[-1.0, 0.0]]), 1.0, index[:1], torch.tensor([0.25]), True)
    # three quarters of the new feature at moment 0, one quarter at moment 1
    torch.testing.assert_close(memory.memory[1, 0], torch.tensor([-1.0, 0.0]))
    want = F.normalize(torch.tensor([-0.25, 0.75]), dim=0)
    torch.testing.assert_close(memory.memory[1, 1], want)


def test_swav_queue_joins_once_it_is_full() -> None:
    model = SwAV(Backbone(), dim=DIM, num_prototypes=7, queue_len=8)
    model.use_queue = True
    assert model.queue_swav is not None
    for step in range(3):
        full = bool(model.queue_swav[0, -1].any())
        assert full == (step == 2)
        model(views())
    torch.testing.assert_close(model.queue_swav.norm(dim=2), torch.ones(2, 8))
    torch.testing.assert_close(model.swav_prototypes.weight.norm(dim=1), torch.ones(7))


def test_bad_input() -> None:
    with pytest.raises(InputError, match="list of 2 or more clips"):
        MoCo(Backbone(), dim=DIM, queue_len=16)(views(1))
    with pytest.raises(InputError, match="queue of 6 cannot be filled with 4 keys"):
        MoCo(Backbone(), dim=DIM, queue_len=6)(views())
    with pytest.raises(InputError, match="predictor_depths"):
        MomentumBYOL(Backbone(), dim=DIM, queue_len=16)(views())
    with pytest.raises(InputError, match="length > 0"):
        SwAV(Backbone(), dim=DIM).nearest(torch.zeros(1, DIM))
    bank = MemoryBank(nn.Linear(2, 4), bank_size=5, neg_size=2, dim=4)
    with pytest.raises(InputError, match="indices from 3 to 5 do not fit a memory of 5 clips"):
        bank(torch.zeros(2, 2), torch.tensor([3, 5]))
    with pytest.raises(InputError, match="positions of the videos"):
        MemoryModel(Backbone(), dim=DIM, length=10, negatives=5)(views(1))


def two_ranks(rank: int) -> list[np.ndarray]:
    torch.manual_seed(0)  # the same model and the same clips on both
    model, clips = SimCLR(nn.Linear(6, 4)), torch.randn(2, 4, 6)
    mine = clips[:, 2 * rank : 2 * rank + 2]
    model(mine[0], mine[1]).backward()
    assert model.mlp.weight.grad is not None
    share = sinkhorn(torch.rand(4, 3)[2 * rank : 2 * rank + 2] + 0.1)
    moco = MoCo(nn.Linear(6, 4), dim=4, queue_len=8)
    moco([mine[0], mine[1]])
    bank = MemoryBank(nn.Linear(6, 4), bank_size=4, neg_size=2, dim=4, mmt=0.0)
    bank(mine[0], torch.arange(2 * rank, 2 * rank + 2))
    found = (model.mlp.weight.grad, share, moco.queue_x, bank.memory)
    return [value.detach().numpy() for value in found]


def test_two_processes_compare_with_the_clips_of_both() -> None:
    results = run(2, two_ranks)
    torch.manual_seed(0)
    model, clips = SimCLR(nn.Linear(6, 4)), torch.randn(2, 4, 6)
    model(clips[0], clips[1]).backward()
    assert model.mlp.weight.grad is not None
    mean = (results[0][0] + results[1][0]) / 2
    np.testing.assert_allclose(mean, model.mlp.weight.grad.numpy(), atol=1e-6)
    share = sinkhorn(torch.rand(4, 3) + 0.1)
    np.testing.assert_allclose(np.concatenate([r[1] for r in results]), share.numpy(), atol=1e-6)
    np.testing.assert_array_equal(results[0][2], results[1][2])
    moco = MoCo(nn.Linear(6, 4), dim=4, queue_len=8)
    moco([clips[0], clips[1]])
    np.testing.assert_allclose(results[0][2], moco.queue_x.numpy(), atol=1e-6)
    np.testing.assert_array_equal(results[0][3], results[1][3])
    np.testing.assert_allclose(np.linalg.norm(results[0][3], axis=1), np.ones(4), atol=1e-6)


def test_nt_xent_by_hand() -> None:
    first, second = (F.normalize(torch.randn(3, 5), dim=1) for _ in range(2))
    rows = torch.cat([first, second])
    total = 0.0
    for i in range(6):
        weights = [float(torch.exp(rows[i] @ rows[j] / 0.2)) for j in range(6)]
        total -= np.log(weights[(i + 3) % 6] / (sum(weights) - weights[i]))
    assert float(nt_xent(first, second, 0.2)) == pytest.approx(total / 6, rel=1e-5)
