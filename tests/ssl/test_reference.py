"""Self-supervised objectives against recorded numbers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vitascope.losses.contrastive import (
    contrast_logits,
    contrastive_loss,
    nt_xent,
    similarity_loss,
    sinkhorn,
    swav_loss,
)
from vitascope.ssl.byol import BYOL
from vitascope.ssl.memory_bank import Memory, MemoryBank
from vitascope.ssl.moco import MoCo
from vitascope.ssl.momentum import momentum_schedule
from vitascope.ssl.simclr import SimCLR

Case = dict[str, Any]


def array(rule: Case) -> Tensor:
    rs = np.random.RandomState(rule["seed"])
    draw = rs.randn if rule["rule"] == "randn" else rs.rand
    return torch.from_numpy(draw(*rule["shape"]).astype(np.float32)) * rule.get("times", 1.0)


@pytest.fixture(scope="module")
def recorded(shared: Path) -> tuple[list[Case], Any]:
    folder = shared / "reference" / "misc"
    return json.loads((folder / "ssl.json").read_text())["cases"], np.load(folder / "ssl.npz")


def chosen(recorded: Any, name: str) -> list[Case]:
    found = [case for case in recorded[0] if case["fn"] == name]
    assert found
    return found


def weigh(module: nn.Module, case: Case) -> None:
    parameters = dict(module.named_parameters())
    assert sorted(parameters) == [name for name, _ in case["weights"]]
    with torch.no_grad():
        for name, rule in case["weights"]:
            parameters[name].copy_(array(rule))


def close(got: Any, want: Any, atol: float = 1e-5) -> None:
    got = got.detach().numpy() if isinstance(got, Tensor) else got
    np.testing.assert_allclose(got, want, atol=atol, rtol=1e-5)


def test_simclr(recorded: Any) -> None:
    for case in chosen(recorded, "pytorchvideo.models.simclr.SimCLR"):
        model = SimCLR(mlp=nn.Linear(6, 4), backbone=nn.Linear(6, 6), **case["args"])
        weigh(model, case)
        loss = model(array(case["x1"]), array(case["x2"]))
        close(loss, case["value"])
        loss.backward()
        close(model.mlp.weight.grad, recorded[1][case["grad_mlp_weight"]])


def test_byol(recorded: Any) -> None:
    for case in chosen(recorded, "pytorchvideo.models.byol.BYOL"):
        model = BYOL(backbone=nn.Linear(6, 4), norm=nn.BatchNorm1d, **case["args"])
        weigh(model, case)
        close(model(array(case["x1"]), array(case["x2"])), case["value"])
        close(model.backbone_mmt.weight, case["backbone_mmt_weight_after"])


def test_byol_runs_without_a_gpu() -> None:
    model = BYOL(backbone=nn.Linear(6, 4), feature_dim=4, predictor_inner=8)
    model(torch.randn(5, 6), torch.randn(5, 6)).backward()
    assert model.predictor[0].weight.grad is not None
    assert all(p.grad is None for p in model.backbone_mmt.parameters())


def test_memory_bank(recorded: Any) -> None:
    for case in chosen(recorded, "pytorchvideo.models.memory_bank.MemoryBank"):
        model = MemoryBank(backbone=nn.Linear(6, 4), **case["args"])
        weigh(model, case)
        model.memory.copy_(array(case["memory"]))
        torch.manual_seed(case["seed"])
        close(model(array(case["x"]), torch.tensor(case["index"])), case["value"])
        close(model.memory, case["memory_after"])


def test_moco_logits(recorded: Any) -> None:
    (case,) = chosen(recorded, "slowfast moco")
    query, key, queue = (
        F.normalize(array(case["features"][name]), dim=1) for name in ("query", "key", "queue")
    )
    logits = contrast_logits(query, key, queue, case["temperature"])
    close(logits, case["logits"], atol=1e-4)
    close(contrastive_loss(logits), case["value"])


def test_moco_queue(recorded: Any) -> None:
    (case,) = chosen(recorded, "slowfast moco queue")
    model = MoCo(nn.Linear(2, 4), dim=4, queue_len=8)
    model.queue_x.copy_(F.normalize(array(case["queue"]), dim=1))
    model.ptr.fill_(case["ptr_start"])
    for rule, after in zip(case["keys"], case["ptr_after"], strict=True):
        model.enqueue(array(rule))
        assert int(model.ptr) == after
    close(model.queue_x, case["queue_after"])


def test_nt_xent(recorded: Any) -> None:
    (case,) = chosen(recorded, "slowfast simclr")
    first, second = (F.normalize(array(case[name]), dim=1) for name in ("x1", "x2"))
    close(nt_xent(first, second, case["temperature"]), case["value"])


def test_similarity(recorded: Any) -> None:
    for case in chosen(recorded, "slowfast byol sim_loss"):
        q, k = (F.normalize(array(case[name]), dim=1) for name in ("q", "k"))
        close(similarity_loss(q, k, case["temperature"]), case["value"])


def test_momentum_schedule(recorded: Any) -> None:
    for case in chosen(recorded, "slowfast momentum_anneal_cosine"):
        got = momentum_schedule(case["base"], case["epoch"] / case["max_epoch"])
        assert got == pytest.approx(case["value"], abs=1e-12)


def test_sinkhorn(recorded: Any) -> None:
    for case in chosen(recorded, "slowfast sinkhorn"):
        close(sinkhorn(torch.exp(array(case["q"])), case["iterations"]), case["value"])


def test_swav(recorded: Any) -> None:
    for case in chosen(recorded, "slowfast swav"):
        prototypes = F.normalize(array(case["prototypes"]), dim=1)
        crops = [F.normalize(array(rule), dim=1) for rule in case["crops"]]
        scores = [crop @ prototypes.t() for crop in crops]
        codes = [sinkhorn(torch.exp(s / case["epsilon"]), case["iterations"]) for s in scores[:2]]
        close(swav_loss(scores, codes, case["temperature"]), case["value"])


def test_memory(recorded: Any) -> None:
    for name, duration in (("slowfast Memory1D.update", None), ("slowfast Memory.update", 3)):
        (case,) = chosen(recorded, name)
        memory = Memory(9, 4, duration)
        memory.memory.copy_(array(case["memory"]))
        memory.update(
            array(case["features"]),
            case["momentum"],
            torch.tensor(case["index"]),
            torch.tensor(case["time"]),
        )
        close(memory.memory, case["memory_after"])


def test_every_recorded_case_is_tested(recorded: Any) -> None:
    tested = {
        "pytorchvideo.models.simclr.SimCLR", "pytorchvideo.models.byol.BYOL",
        "pytorchvideo.models.memory_bank.MemoryBank", "slowfast moco", "slowfast moco queue",
        "slowfast simclr", "slowfast byol sim_loss", "slowfast momentum_anneal_cosine",
        "slowfast sinkhorn", "slowfast swav", "slowfast Memory1D.update", "slowfast Memory.update",
    }  # fmt: skip
    assert {case["fn"] for case in recorded[0]} == tested
