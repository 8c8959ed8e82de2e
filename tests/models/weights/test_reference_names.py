"""Every recorded table of names, in both directions: PySlowFast's and Caffe2's."""

from __future__ import annotations

import gzip
import json
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from support.model_reference import FOLDER, old_names
from vitascope.models.registry import get_card
from vitascope.models.weights import convert_state_dict, export_state_dict

SHORTCUT_NORM = "s2.pathway0_res0.branch1_bn."
# Of the third stage only the first six blocks of the slow pathway see more than one frame.
_SIX = ((3, 1, 1),) * 6 + ((1, 1, 1),) * 17
_KERNELS = {
    "stage_conv_a_kernel_sizes": (
        ((1, 1, 1), (1, 1, 1), _SIX, (3, 1, 1)),
        ((3, 1, 1), (3, 1, 1), (3, 1, 1), (3, 1, 1)),
    )
}
_NONLOCAL = {"nonlocal_locations": (((), (), (6, 13, 20), ()), ((), (), (), ()))}
CHANGES = {"SLOWFAST_8x8_R101_50_101": _KERNELS, "SLOWFAST_NLN_16x8_R101_50_50": _NONLOCAL}
BLOBS = {
    "C2D_NOPOOL_8x8_R50": "c2d_nopool_r50",
    "I3D_8x8_R50": "i3d_r50",
    "I3D_NLN_8x8_R50": "i3d_nln_r50",
    "SLOW_4x16_R50": "slow_r50.k400_4x16",
    "SLOW_8x8_R50": "slow_r50",
    "SLOWFAST_4x16_R50": "slowfast_r50.k400_4x16",
    "SLOWFAST_8x8_R50": "slowfast_r50",
    "SLOWFAST_8x8_R101_50_50": "slowfast_16x8_r101_50_50",
    "SLOWFAST_8x8_R101_50_101": "slowfast_r101",
    "SLOWFAST_8x8_R101_101_101": "slowfast_r101",
    "SLOWFAST_16x8_R101_50_50": "slowfast_16x8_r101_50_50",
    "SLOWFAST_NLN_16x8_R101_50_50": "slowfast_16x8_r101_50_50",
    "AVA_SLOW_8x8_R50": "slow_r50_detection",
    "AVA_SLOWFAST_32x2_R101_50_50": "slowfast_r101_detection",
    "X3D_M": "x3d_m.k400_16x5_pyslowfast",
}


QUICK = (
    "i3d_r50", "slow_detection", "slowfast_8x8_r50", "x3d_xs", "efficient_x3d_xs", "mvit_b_16x4",
    "mvit_b_16_image", "absent", "I3D_NLN_8x8_R50", "SLOWFAST_4x16_R50", "X3D_M",
)  # fmt: skip


def each(names: Any) -> list[Any]:
    """Names as parameters, most of them for the slow tests."""
    return [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in names]


def record(file: str) -> Any:
    path = FOLDER / file
    if not path.is_file():
        return {}
    return json.loads(gzip.open(path).read() if file.endswith("gz") else path.read_text())


@cache
def pairs() -> Any:
    return record("name_pairs.json.gz")


MAPS = {row["id"]: row for row in record("name_maps.json").get("maps", [])} or {"absent": None}


def meta_model(build: Any) -> nn.Module:
    """A model without memory for its values: names and shapes only."""
    with torch.device("meta"):
        return build()


def constant(index: int, shape: Any) -> Tensor:
    """A tensor that differs from that of any other index and takes no memory."""
    return torch.tensor(float(index)).expand(tuple(shape))


def same(one: Tensor, other: Tensor) -> bool:
    """Equality; quick where both repeat one number."""
    if not any(one.stride()) and not any(other.stride()) and one.shape == other.shape:
        return one[(0,) * one.dim()] == other[(0,) * other.dim()]
    return torch.equal(one, other)


def rows(first: int, shape: Any, dim: int) -> Tensor:
    """A tensor whose entries along `dim` count from `first`."""
    count = torch.arange(first, first + shape[dim], dtype=torch.float32)
    view = [1] * len(shape)
    view[dim] = -1
    return count.reshape(view).expand(tuple(shape))


def native_state(table: Any, own: dict[str, Tensor]) -> dict[str, Tensor]:
    """A file under native names, every entry recognizable."""
    state: dict[str, Tensor] = {}
    for index, (native, ours) in enumerate(table):
        if isinstance(ours, list):
            shapes = [list(own[name].shape) for name in ours]
            dim = 0 if ".qkv." in native else 1
            shapes[0][dim] = sum(shape[dim] for shape in shapes)
            state[native] = rows(10_000 * index, shapes[0], dim)
        else:
            shape = own[ours].shape if ours in own else (24,)
            state[native] = constant(index, shape)
    return state


@pytest.mark.parametrize("name", each(MAPS))
def test_native_names(name: str) -> None:
    """Each native entry arrives under the recorded name, and the way back is exact."""
    if name == "absent":
        pytest.skip(f"reference data not present: {FOLDER}")
    table = pairs()[name]
    model = meta_model(lambda: eval(MAPS[name]["ptv"], dict(old_names())))
    own = model.state_dict()
    state = native_state(table, own)
    mine, report = convert_state_dict(state, model)
    assert report.dialect == "pyslowfast"
    for native, ours in table:
        if isinstance(ours, list):
            dim = 0 if ".qkv." in native else 1
            assert torch.equal(torch.cat([mine[n] for n in ours], dim), state[native])
        elif ours in own:
            assert same(mine[ours], state[native]), (native, ours)
        else:
            assert native.startswith(SHORTCUT_NORM) and native in report.unexpected
    assert not report.missing and not report.other_shape
    lost = [native for native, ours in table if isinstance(ours, str) and ours not in own]
    assert sorted(report.unexpected) == sorted(lost)
    assert len(lost) == len(MAPS[name]["only_native"])

    back = export_state_dict(mine, model, "pyslowfast")
    assert set(back) == set(state) - set(lost)
    assert all(same(back[n], state[n]) for n in back)
    again, report = convert_state_dict(back, model)
    assert report.fits
    assert all(same(again[n], mine[n]) for n in mine)
    print(f"{name}: {len(table)} names there and back, {len(lost)} without a place")


@pytest.mark.parametrize("net", each(BLOBS))
def test_caffe2_blobs(net: str) -> None:
    """Each blob arrives where the table says, and the way back is exact."""
    table = record("caffe2_names.json.gz")
    if not table:
        pytest.skip(f"reference data not present: {FOLDER}")
    model = meta_model(lambda: get_card(BLOBS[net]).build(**CHANGES.get(net, {})))
    native = {blob: constant(i, shape) for i, (name, blob, shape) in enumerate(table[net])}
    through = {name: native[blob] for name, blob, _ in table[net]}
    state = {**native, "lr": constant(1, ()), "model_iter": constant(2, ())}
    state["pred_w_momentum"] = constant(3, (1,))
    mine, report = convert_state_dict({"blobs": state}, model)
    other, _ = convert_state_dict(through, model)
    assert report.dialect == "caffe2" and report.container == "blobs"
    assert report.fits
    assert set(report.ignored) == {"lr", "model_iter", "pred_w_momentum"}
    counters = [name for name in mine if name.endswith("num_batches_tracked")]
    assert list(report.kept) == counters
    assert all(same(mine[n], other[n]) for n in mine if n not in counters)

    back = export_state_dict(mine, model, "caffe2")
    assert set(back) == set(native)
    assert all(same(value, native[blob]) for blob, value in back.items())
    print(f"{net}: {len(table[net])} blobs there and back")
