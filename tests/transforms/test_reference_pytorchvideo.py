"""Every recorded case of pytorchvideo.transforms and .functional."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch

from support.reference import Reference, Replay, array
from vitascope.transforms import functional, transforms
from vitascope.transforms.spatial import random_resized_box, short_side_size

BOXES = {
    "random_crop_with_boxes",
    "random_short_side_scale_with_boxes",
    "short_side_scale_with_boxes",
}


def close(got: object, expected: object, case: dict) -> None:
    opencv = case.get("args", {}).get("backend") == "opencv"
    bicubic = case.get("args", {}).get("interpolation") == "bicubic"
    tolerance = 1e-4 if opencv or bicubic else 1e-6
    got, expected = np.asarray(got, dtype=np.float64), np.asarray(expected, dtype=np.float64)
    assert got.shape == expected.shape, case["id"]
    np.testing.assert_allclose(got, expected, rtol=0, atol=tolerance, err_msg=case["id"])


def with_boxes(name: str, case: dict, reference: Reference) -> None:
    boxes = np.array(case["boxes"]) if "boxes" in case else None
    kept = None if boxes is None else boxes.copy()
    draws = Replay(case.get("draws", []))
    args = dict(case["args"])
    function = getattr(functional, name)
    if name in BOXES:
        if "random" in name:
            args["rng"] = draws
        if name == "random_crop_with_boxes":
            args["legacy_offsets"] = True
        images, moved = function(images=array(case["x"]), boxes=boxes, **args)
        expected = reference.output(case["out"])
        close(images, expected[0], case)
        close(moved, expected[1], case)
    elif name == "horizontal_flip_with_boxes":
        x = array(case["x"])
        images, moved = function(images=x, boxes=boxes, rng=draws, **args)
        close(images, x.flip(-1) if case["flipped"] else x, case)
        close(moved, case["out_boxes"], case)
    elif name == "uniform_crop_with_boxes":
        x = torch.zeros(case["x_shape"])
        images, moved = function(images=x, boxes=boxes, **args)
        assert images.shape[-2:] == (args["size"], args["size"])
        close(moved, case["out_boxes"], case)
        tensors = function(images=x, boxes=torch.from_numpy(boxes), **args)[1]
        assert isinstance(tensors, torch.Tensor)
        close(tensors, case["out_boxes"], case)
    else:
        close(function(boxes=boxes, **args), case["out_boxes"], case)
    assert draws.finished(), case["id"]
    assert np.array_equal(boxes, kept), "the caller's boxes were changed"


def op_sampler(case: dict) -> None:
    # They take `rng`, so that no draw is spent on seeding the global generators for them.
    ops = [lambda v, rng: v + 1, lambda v, rng: v * 2, lambda v, rng: v - 3]
    draws = Replay(case["draws"])
    sampler = transforms.OpSampler(ops, **case["args"])
    got = sampler(torch.tensor(case["x_value"], dtype=torch.float32), rng=draws)
    close(got, case["out_value"], case)
    assert draws.finished()


def rows(name: str, case: dict) -> None:
    for row in case["rows"]:
        if name == "uniform_temporal_subsample":
            frames, samples, expected = row
            assert functional.uniform_indices(frames, samples) == expected, row
        else:
            assert list(short_side_size(*row[:3], "down")) == row[3:], row


def keys(name: str, case: dict) -> None:
    sample = dict.fromkeys(case["keys_in"], 0)
    assert list(transforms.RemoveKey(case["args"]["key"])(sample)) == case["keys_out"]
    assert transforms.RemoveKey("absent")({"video": 0}) == {"video": 0}


def generic(name: str, case: dict, reference: Reference) -> None:
    draws = Replay(case.get("draws", []))
    args = {k: v for k, v in case["args"].items() if k != "note"}
    random = {"rng": draws} if case.get("draws") else {}
    if "box_top_left_height_width" in case:
        x = case["x"]["shape"]
        box = random_resized_box(
            *x[-2:],
            args["scale"],
            args["aspect_ratio"],
            Replay(case["draws"]),
            log_uniform_ratio=args.get("log_uniform_ratio", True),
            num_tries=args.get("num_tries", 10),
        )
        assert list(box) == case["box_top_left_height_width"], case["id"]
    if name == "convert_to_one_hot":
        got = functional.convert_to_one_hot(torch.tensor(args.pop("targets")), **args)
        close(got, case["out_value"], case)
        assert got.dtype == torch.float32
        return
    if name == "UniformCropVideo":
        sample = {"video": array(case["x"]), "aug_index": 2}
        got = transforms.UniformCropVideo(args["size"])(sample)["video"]
    elif name == "ApplyTransformToKey":
        inner = transforms.UniformTemporalSubsample(2)
        sample = {"video": array(case["x"]), "label": 3}
        changed = transforms.ApplyTransformToKey("video", inner)(sample)
        assert changed["label"] == 3
        got = changed["video"]
    elif hasattr(functional, name):
        got = getattr(functional, name)(array(case["x"]), **args, **random)
    else:
        got = getattr(transforms, name)(**args)(array(case["x"]), **random)
    expected = reference.output(case["out"])
    if random and name != "OpSampler":
        torch.manual_seed(case["seed"])
        owner = getattr(functional, name, None)
        x = array(case["x"])
        seeded = owner(x, **args) if owner else getattr(transforms, name)(**args)(x)
        close(seeded, expected, case)
    if isinstance(expected, list):
        assert len(got) == len(expected)
        for one, other in zip(got, expected, strict=True):
            close(one, other, case)
    else:
        close(got, expected, case)
    assert draws.finished(), case["id"]


def test_every_case(shared, capsys):
    reference = Reference(shared, "transforms_ptv")
    seen: Counter[str] = Counter()
    for case in reference.cases:
        name = case["fn"].rsplit(".", 1)[1]
        seen[name] += 1
        if "rows" in case:
            rows(name, case)
        elif name == "OpSampler":
            op_sampler(case)
        elif name == "RemoveKey":
            keys(name, case)
        elif name.endswith("_with_boxes") or name in ("clip_boxes_to_image", "crop_boxes"):
            with_boxes(name, case, reference)
        else:
            generic(name, case, reference)
    with capsys.disabled():
        print(f"\ntransforms_ptv: {sum(seen.values())} cases of {len(seen)} functions")
    assert sum(seen.values()) == len(reference.cases) == 185


@pytest.mark.parametrize(
    ("name", "args"),
    [("RandomShortSideScale", (6, 14)), ("RandomCrop", (7,)), ("RandomHorizontalFlip", (0.5,))],
)
def test_the_same_seed_of_torch_gives_the_same_result(name, args):
    transform = getattr(transforms, name)(*args)
    x = torch.rand(3, 4, 20, 26)
    torch.manual_seed(3)
    first = transform(x)
    torch.manual_seed(3)
    assert torch.equal(first, transform(x))
