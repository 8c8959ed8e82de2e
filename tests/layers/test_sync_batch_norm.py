"""Batch norms over processes and over parts of a batch, against recorded numbers and torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from support.processes import run
from vitascope import distributed
from vitascope.errors import ConfigError, InputError
from vitascope.layers.batch_norm import (
    NaiveSyncBatchNorm1d,
    NaiveSyncBatchNorm3d,
    SubBatchNorm3d,
)

CLASSES = {
    "NaiveSyncBatchNorm3d": NaiveSyncBatchNorm3d,
    "NaiveSyncBatchNorm1d": NaiveSyncBatchNorm1d,
}


def array(rule: dict[str, Any]) -> torch.Tensor:
    rs = np.random.RandomState(rule["seed"])
    draw = rs.randn if rule["rule"] == "randn" else rs.rand
    return torch.from_numpy(draw(*rule["shape"]).astype(np.float32))


@pytest.fixture(scope="module")
def recorded(shared: Path) -> tuple[list[dict[str, Any]], Any]:
    folder = shared / "reference" / "misc"
    cases = json.loads((folder / "batch_norm.json").read_text())["cases"]
    return cases, np.load(folder / "batch_norm.npz")


def sync_case(rank: int, case: dict[str, Any]) -> list[np.ndarray]:
    norm = CLASSES[case["kind"]](
        num_sync_devices=case["num_sync_devices"],
        global_sync=case["global_sync"],
        num_features=3,
        eps=case["eps"],
        momentum=case["momentum"],
    )
    with torch.no_grad():
        norm.weight.copy_(array(case["weight"]))
        norm.bias.copy_(array(case["bias"]))
    x = (array(case["inputs"][rank]) * (1 + rank)).requires_grad_()
    y = norm(x)
    (y * array(case["g"][rank])).sum().backward()
    norm.eval()
    found = [
        y, x.grad, norm.weight.grad, norm.running_mean, norm.running_var, norm(x.detach()),
    ]  # fmt: skip
    return [value.detach().numpy() for value in found]


def sync_cases(rank: int, cases: list[dict[str, Any]]) -> list[list[np.ndarray]]:
    return [sync_case(rank, case) for case in cases]


@pytest.mark.parametrize("world", [2, 4])
def test_synchronised_norms_are_the_recorded_ones(recorded: Any, world: int) -> None:
    cases, arrays = recorded
    chosen = [case for case in cases if case.get("world") == world]
    assert len(chosen) == {2: 2, 4: 4}[world]
    by_rank = run(world, sync_cases, chosen)
    for index, case in enumerate(chosen):
        for rank, keys in enumerate(case["out"]):
            for key, got in zip(keys, by_rank[rank][index], strict=True):
                np.testing.assert_allclose(got, arrays[key], atol=1e-5, rtol=1e-5, err_msg=key)


def large_mean(rank: int) -> list[np.ndarray]:
    torch.manual_seed(rank)
    x = torch.randn(64, 2) + 3000
    norm = NaiveSyncBatchNorm1d(num_features=2)
    return [x.numpy(), norm(x).detach().numpy()]


def groups_of_a_machine(rank: int) -> list[Any]:
    assert distributed.get_local_size() == 2  # no machines told apart: everything is local
    distributed.init_distributed_training(num_gpus=1, shard_id=0)
    with pytest.raises(ConfigError, match="shard_id = 1"):
        distributed.init_distributed_training(num_gpus=2, shard_id=1)
    distributed.init_distributed_training(num_gpus=2, shard_id=0)
    x = torch.tensor([[1.0 + rank]], requires_grad=True)
    joined = distributed.gather_with_gradient(x)
    (joined * torch.tensor([[1.0 + rank], [10.0]])).sum().backward()
    group = torch.tensor([2.0 + rank], requires_grad=True)
    total = distributed.GroupGather.apply(group, 1, 2)
    (total * 3).sum().backward()
    both = distributed.cat_all_gather(torch.tensor([float(rank)]), local=True)
    norm = NaiveSyncBatchNorm1d(num_sync_devices=3, global_sync=False, num_features=1)
    with pytest.raises(ConfigError, match="does not divide the 2 processes"):
        norm(torch.zeros(2, 1))
    return [
        *(t.detach().numpy() for t in (joined, x.grad, total, group.grad, both)),
        distributed.get_local_rank(),
    ]


def two_ranks(rank: int) -> list[list[Any]]:
    return [large_mean(rank), groups_of_a_machine(rank)]


def test_two_ranks() -> None:
    results = run(2, two_ranks)
    x = np.concatenate([r[0][0] for r in results]).astype(np.float64)
    y = np.concatenate([r[0][1] for r in results])
    # A variance of 1 beside a mean of 3000: E[x^2] - E[x]^2 in float32 is off by up to 1.
    np.testing.assert_allclose(y, (x - x.mean(0)) / np.sqrt(x.var(0) + 1e-5), atol=2e-3)
    for rank, (_, found) in enumerate(results):
        joined, x_grad, total, group_grad, both, local_rank = found
        np.testing.assert_array_equal(joined, [[1.0], [2.0]])
        np.testing.assert_array_equal(x_grad, [[1.0 + 2.0]] if rank == 0 else [[20.0]])
        np.testing.assert_array_equal(total, [2.0 + rank])
        np.testing.assert_array_equal(group_grad, [3.0])
        np.testing.assert_array_equal(both, [0.0, 1.0])
        assert local_rank == rank


def test_one_process_is_plain_batch_norm_and_any_group_size_builds() -> None:
    x = torch.randn(4, 3, 2, 3, 3)
    norm = NaiveSyncBatchNorm3d(num_sync_devices=8, global_sync=False, num_features=3)
    plain = nn.BatchNorm3d(3)
    torch.testing.assert_close(norm(x), plain(x))
    torch.testing.assert_close(norm.running_var, plain.running_var)
    assert isinstance(norm, nn.BatchNorm3d)
    assert distributed.gather_with_gradient(x) is x
    assert distributed.cat_all_gather(x) is x
    assert distributed.get_world_size() == 1 and distributed.get_rank() == 0
    assert distributed.get_local_size() == 1 and distributed.get_local_rank() == 0


@pytest.mark.parametrize("args", [{"num_sync_devices": 2}, {"global_sync": False}])
def test_contradictory_groups(args: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="give num_sync_devices with global_sync=False"):
        NaiveSyncBatchNorm3d(num_features=3, **args)


@pytest.mark.parametrize("splits", [1, 2, 4])
def test_sub_batch_norm_is_the_recorded_one(recorded: Any, splits: int) -> None:
    cases, arrays = recorded
    case = next(c for c in cases if c.get("num_splits") == splits)
    norm = SubBatchNorm3d(
        splits, automatic=False, num_features=3, eps=case["eps"], momentum=case["momentum"]
    )
    with torch.no_grad():
        norm.weight.copy_(array(case["weight"]))
        norm.bias.copy_(array(case["bias"]))

    def close(got: torch.Tensor, want: Any) -> None:
        np.testing.assert_allclose(got.detach().numpy(), want, atol=1e-5, rtol=1e-5)

    for rule, key in zip(case["train_inputs"], case["out"], strict=True):
        close(norm(2 * array(rule) + 1), arrays[key])
    close(norm.split_bn.running_mean, case["split_running_mean"])
    close(norm.split_bn.running_var, case["split_running_var"])
    norm.eval()
    x = array(case["eval_input"])
    close(norm(x), arrays[case["eval_before_aggregate"]])
    norm.aggregate_stats()
    close(norm(x), arrays[case["eval_after_aggregate"]])
    close(norm.bn.running_mean, case["running_mean"])
    close(norm.bn.running_var, case["running_var"])


def test_sub_batch_norm_does_not_forget_to_aggregate() -> None:
    norm = SubBatchNorm3d(2, num_features=3)
    x = 2 * torch.randn(8, 3, 2, 4, 3) + 1
    for _ in range(200):
        norm(x)
    saved = {k: v.clone() for k, v in norm.state_dict().items()}
    torch.testing.assert_close(saved["bn.running_mean"], x.mean((0, 2, 3, 4)))
    norm.eval()
    want = nn.functional.batch_norm(x, x.mean((0, 2, 3, 4)), x.var((0, 2, 3, 4)))
    torch.testing.assert_close(norm(x), want, atol=2e-2, rtol=0)
    assert list(saved) == [
        "weight", "bias",
        "bn.running_mean", "bn.running_var", "bn.num_batches_tracked",
        "split_bn.running_mean", "split_bn.running_var", "split_bn.num_batches_tracked",
    ]  # fmt: skip


def test_loaded_statistics_are_not_aggregated_over() -> None:
    norm = SubBatchNorm3d(2, num_features=3)
    with torch.no_grad():
        norm.bn.running_mean.fill_(5.0)
    norm.eval()
    assert float(norm.bn.running_mean[0]) == 5.0


def test_a_batch_that_cannot_be_split() -> None:
    with pytest.raises(InputError, match="a batch of 3 cannot be split into 2"):
        SubBatchNorm3d(2, num_features=3)(torch.zeros(3, 3, 1, 2, 2))
