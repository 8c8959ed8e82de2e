"""Weights of another shape: the recorded values, from images to video and to other sizes."""

from __future__ import annotations

import gzip
import hashlib
import json
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from support.model_reference import FOLDER, filled
from vitascope.compat.pyslowfast import build_model
from vitascope.models.weights import convert_state_dict, load_into

HEAVY = ("resize", "image_init", "clear", "inflate_4d_to_c2d", "inflate_5d")


@cache
def tables() -> dict[str, Any]:
    path = FOLDER / "inflation.json.gz"
    if not path.is_file():
        return {}
    return {row["id"]: row for row in json.loads(gzip.open(path).read())}


def target(record: Any) -> nn.Module:
    known = json.loads((FOLDER.parent / "api" / "pyslowfast_config.json").read_text())["yamls"]
    keys = dict(known[f"configs/{record['target']}.yaml"])
    changes = record["overrides"]
    keys |= dict(zip(changes[::2], changes[1::2], strict=True))
    with torch.device("meta"):
        return build_model(keys)


def source(record: Any) -> dict[str, Tensor]:
    """The file that was loaded, filled by the rule; its gain is that of the other records."""
    prefix = "backbone." if record["load"].get("clear_name_pattern") else ""
    state = {}
    for name, shape, *_ in record["table"]:
        if shape is not None:
            # The rule saw the model that was saved: 5-d kernels, cut to 4-d afterwards.
            whole = (
                (*shape[:2], 1, *shape[2:])
                if record["id"].startswith("inflate_4d") and len(shape) == 4
                else tuple(shape)
            )
            value = filled(name, whole, record["salt"], 1.0).astype(np.float32)
            state[prefix + name] = torch.from_numpy(np.asarray(value).reshape(shape))
    return state


def digest(value: Tensor) -> str:
    raw = value.detach().contiguous().numpy().astype("<f4").tobytes()
    return hashlib.sha256(raw).hexdigest()[:16]


def ours(model: nn.Module, name: str) -> str:
    from vitascope.models.weights import DIALECTS

    naming = DIALECTS["pyslowfast"].naming([*model.state_dict()])
    assert naming is not None
    return naming.to_ours(name)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(n, marks=pytest.mark.slow) if n.startswith(HEAVY) else n
        for n in tables()
    ] or ["absent"],
)  # fmt: skip
def test_recorded_values(name: str) -> None:
    """Every entry has the recorded bytes, or is one that keeps the model's own value."""
    if name == "absent":
        pytest.skip(f"reference data not present: {FOLDER}")
    record = tables()[name]
    model = target(record)
    state = source(record)
    mine, report = convert_state_dict(state, model)
    if record["load"].get("clear_name_pattern"):
        assert report.prefix == "backbone."
    equal = kept = inflated = 0
    for native, _, shape, how, want, total in record["table"]:
        entry = ours(model, native)
        if how == "own start value kept":
            if name == "inflate_5d_to_i3d" and len(shape) == 5:
                # The original leaves these at random; they are inflated here as 4-d ones are.
                value = state[native].repeat(1, 1, shape[2], 1, 1) / shape[2]
                assert torch.equal(mine[entry], value)
                inflated += 1
                continue
            assert entry in report.other_shape or entry in report.kept, entry
            kept += 1
            continue
        got = mine[entry]
        assert list(got.shape) == shape
        assert abs(float(got.double().sum()) - total) <= 1e-5 * max(1.0, float(got.abs().sum()))
        if how != "resampled":  # whose last bits depend on the version of torch
            assert digest(got) == want, (native, how)
        equal += 1
    assert not report.unexpected
    print(f"{name}: {equal} equal, {kept} keep their own, {inflated} inflated where it did not")


def test_a_still_picture_means_the_same_after_inflation() -> None:
    """What inflation is for: a video of one image gives what the image gave."""
    from vitascope.models.resnet import create_resnet

    small: dict[str, Any] = {
        "stem_dim_out": 8,
        "stage_depths": (1, 1, 1, 1),
        "model_num_class": 5,
        "stem_pool": None,
        "stem_conv_kernel_size": (1, 7, 7),
    }
    flat = ((1, 1, 1),) * 4
    image = create_resnet(
        **small, stage_conv_a_kernel_size=flat, head_pool_kernel_size=(1, 2, 2)
    ).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for value in image.state_dict().values():
            if value.is_floating_point():
                value.add_(0.3 * torch.rand(value.shape, generator=generator))
    video = create_resnet(
        **small, stage_conv_a_kernel_size=((3, 1, 1),) * 4, head_pool_kernel_size=(1, 2, 2)
    ).eval()
    file = {
        name: value[:, :, 0] if value.dim() == 5 else value
        for name, value in image.state_dict().items()
    }
    report = load_into(video, file)
    assert sum("inflated to 3 frames" in how for how in report.changed.values()) == 4
    picture = torch.randn(2, 3, 1, 64, 64, generator=generator)
    with torch.no_grad():
        x, y = picture.repeat(1, 1, 9, 1, 1), picture
        for block in list(video.blocks)[:-1]:
            x = block(x)
        for block in list(image.blocks)[:-1]:
            y = block(y)
    # The middle frame sees no border.
    torch.testing.assert_close(x[:, :, 4], y[:, :, 0], rtol=1e-4, atol=1e-4)


def test_kernels_of_video_are_never_inflated() -> None:
    """A kernel of one frame in a model of video is no kernel of an image."""
    from vitascope.models.resnet import create_resnet

    small: dict[str, Any] = {"stem_dim_out": 8, "stage_depths": (1, 1, 1, 1)}
    kernels = ((1, 1, 1), (1, 1, 1), (3, 1, 1), (3, 1, 1))
    slow = create_resnet(**small, stage_conv_a_kernel_size=kernels)
    other = create_resnet(**small, stage_conv_a_kernel_size=((3, 1, 1),) * 4)
    _, report = convert_state_dict(slow.state_dict(), other)
    assert len(report.other_shape) == 2 and not report.changed
