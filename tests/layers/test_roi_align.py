"""RoIAlign and RoI pooling against recorded torchvision numbers and a naive version."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from vitascope.errors import InputError
from vitascope.layers.roi_align import RoIAlign, RoIPool, roi_align, roi_pool

CASES = [f"roi_align/{i}" for i in range(10)] + ["roi_pool/0", "roi_align/gradient"]


@pytest.fixture(scope="module")
def recorded(shared: Path) -> tuple[dict[str, Any], Any]:
    folder = shared / "reference" / "misc"
    cases = json.loads((folder / "roi_align.json").read_text())["cases"]
    assert [case["id"] for case in cases] == CASES
    return {case["id"]: case for case in cases}, np.load(folder / "roi_align.npz")


@pytest.mark.parametrize("name", CASES)
def test_recorded(recorded: Any, name: str) -> None:
    cases, arrays = recorded
    case = cases[name]
    x = torch.from_numpy(
        np.random.RandomState(case["x"]["seed"]).rand(*case["x"]["shape"]).astype(np.float32)
    ).requires_grad_()
    boxes = torch.tensor(case["boxes"], dtype=torch.float32)
    layer = (RoIPool if "pool" in name else RoIAlign)(**case["args"])
    got = layer(x, boxes)
    if name.endswith("gradient"):
        (got**2).sum().backward()
        assert x.grad is not None
        got = x.grad
    assert got.shape == arrays[case["out"]].shape
    np.testing.assert_allclose(got.detach().numpy(), arrays[case["out"]], atol=1e-5, rtol=1e-5)


def naive(x: np.ndarray, box: list[float], size: int, ratio: int, aligned: bool) -> np.ndarray:
    """One box, by loops over cells and samples."""
    height, width = x.shape[1:]
    shift = 0.5 if aligned else 0.0
    x1, y1, x2, y2 = (v - shift for v in box)
    wide, high = x2 - x1, y2 - y1
    if not aligned:
        wide, high = max(wide, 1.0), max(high, 1.0)
    rows, columns = (ratio or max(math.ceil(v / size), 0) for v in (high, wide))
    out = np.zeros((len(x), size, size))
    for i in range(size):
        for j in range(size):
            for a in range(rows):
                for b in range(columns):
                    y = y1 + (i + (a + 0.5) / rows) * high / size
                    z = x1 + (j + (b + 0.5) / columns) * wide / size
                    if not (-1 <= y <= height and -1 <= z <= width):
                        continue
                    y, z = min(max(y, 0), height - 1), min(max(z, 0), width - 1)
                    p, q = int(y), int(z)
                    r, s = min(p + 1, height - 1), min(q + 1, width - 1)
                    u, v = y - p, z - q
                    out[:, i, j] += (
                        (1 - u) * (1 - v) * x[:, p, q] + (1 - u) * v * x[:, p, s]
                        + u * (1 - v) * x[:, r, q] + u * v * x[:, r, s]
                    )  # fmt: skip
            out[:, i, j] /= max(rows * columns, 1)
    return out


def test_random_boxes_against_loops() -> None:
    rng = np.random.default_rng(3)
    x = rng.normal(size=(2, 3, 7, 10))
    for trial in range(24):
        index = int(rng.integers(2))
        corners = rng.uniform(-4, 14, 4)
        box = [*np.minimum(corners[:2], corners[2:]), *np.maximum(corners[:2], corners[2:])]
        size, ratio, aligned = 1 + trial % 4, (0, 2, 3)[trial % 3], bool(trial % 2)
        got = roi_align(
            torch.from_numpy(x), torch.tensor([[index, *box]]), size, 1.0, ratio, aligned
        )
        np.testing.assert_allclose(got[0].numpy(), naive(x[index], box, size, ratio, aligned))


def test_gradient_by_differences() -> None:
    x = torch.randn(1, 2, 4, 5, dtype=torch.float64, requires_grad=True)
    boxes = torch.tensor([[0.0, 0.3, 0.2, 3.9, 3.1], [0, -2, 1, 9, 2]], dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda m: roi_align(m, boxes, (2, 3), 1.0, 0, True), (x,))


def test_a_list_of_boxes_is_the_same_and_no_boxes_give_none() -> None:
    x = torch.randn(2, 3, 6, 6)
    first, second = torch.rand(2, 4) * 6, torch.rand(1, 4) * 6
    rows = torch.cat(
        [torch.cat([torch.zeros(2, 1), first], 1), torch.cat([torch.ones(1, 1), second], 1)]
    )
    assert torch.equal(roi_align(x, [first, second], 2), roi_align(x, rows, 2))
    assert torch.equal(roi_pool(x, [first, second], 2), roi_pool(x, rows, 2))
    for function in (roi_align, roi_pool):
        assert function(x, torch.zeros(0, 5), 7).shape == (0, 3, 7, 7)
    assert roi_align(x, [], 7).shape == (0, 3, 7, 7)


def test_captured_graph_serves_other_boxes() -> None:
    layer = RoIAlign(7, 1 / 16, 0, aligned=True)
    x = torch.randn(2, 3, 14, 14)
    boxes = torch.tensor([[0.0, 0, 0, 224, 224], [1, 30, 40, 100, 180]])
    batch = torch.export.Dim("boxes", min=2, max=64)
    program = torch.export.export(
        layer, (x, boxes), dynamic_shapes={"input": None, "rois": {0: batch}}
    ).module()
    other = torch.tensor([[1.0, 3, 5, 9, 12], [0, -20, -20, 260, 240], [1, 100, 0, 101, 223]])
    for rows in (boxes, other):
        torch.testing.assert_close(program(x, rows), layer(x, rows))


def test_half_precision_map_keeps_exact_boxes() -> None:
    x = torch.randn(1, 4, 14, 14)
    boxes = torch.tensor([[0, 3.0, 5.0, 200.25, 129.75]])
    low = roi_align(x.bfloat16(), boxes, 7, 1 / 16, 0, True)
    assert low.dtype == torch.bfloat16
    torch.testing.assert_close(
        low.float(), roi_align(x, boxes, 7, 1 / 16, 0, True), atol=0.03, rtol=0.03
    )


def test_wrong_shapes() -> None:
    with pytest.raises(InputError, match="index in the batch, x1, y1, x2, y2"):
        roi_align(torch.zeros(1, 3, 4, 4), torch.zeros(2, 4), 2)
