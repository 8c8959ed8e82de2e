"""Every recorded case of PySlowFast's transforms."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
import torch

from support.reference import Reference, Replay, array
from vitascope.compat.pyslowfast.transforms import color, frame_lists
from vitascope.compat.pyslowfast.transforms.erasing import RandomErasing
from vitascope.compat.pyslowfast.transforms.image_augment import (
    OPERATIONS,
    AugmentSettings,
    ImageAugment,
    rand_augment_transform,
)
from vitascope.compat.pyslowfast.transforms.masking import MaskingGenerator, MaskingGenerator3D
from vitascope.compat.pyslowfast.transforms.spatial_sampling import (
    SpatialSampling,
    random_sized_crop_img,
    resized_crop,
)
from vitascope.transforms import boxes
from vitascope.transforms.mix import RandomMix
from vitascope.transforms.spatial import random_resized_box, short_side_size, uniform_crop_box

# Where clips start is walked in tests/data/test_clip_sampling.py.
ELSEWHERE = {"get_start_end_idx", "get_multiple_start_end_idx"}
BGR = {"channels": "bgr"}
GIVEN_BOXES = {
    "random_short_side_scale_jitter": {},
    "random_crop": {"legacy_offsets": True},
    "uniform_crop": {"legacy_boxes": True},
    "random_short_side_scale_jitter_list": {},
    "spatial_shift_crop_list": {},
    "horizontal_flip_list": {"legacy_width": True},
    "random_crop_list": {"legacy_offsets": True},
}
RENAMED = {"uniform_crop": "scaled_uniform_crop"}


class PythonRandom:
    """Draws from Python's generator, as the recorded program did where no draws are listed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def uniform(self, low: float = 0.0, high: float = 1.0) -> float:
        return self.random.uniform(low, high)

    def integer(self, low: int, high: int) -> int:
        return self.random.randint(low, high - 1)


def close(got: object, expected: object, case: dict) -> None:
    got, expected = np.asarray(got), np.asarray(expected)
    assert got.shape == expected.shape, case["id"]
    np.testing.assert_allclose(
        got.astype(np.float64), expected.astype(np.float64), rtol=0, atol=1e-5, err_msg=case["id"]
    )


def images(case: dict) -> list[np.ndarray]:
    return list(array(case["x"]).numpy())


def with_boxes(name: str, case: dict, reference: Reference) -> None:
    draws = Replay(case.get("draws", []))
    module = frame_lists if name.endswith("_list") else boxes
    function = getattr(module, RENAMED.get(name, name))
    x = images(case) if module is frame_lists else array(case["x"])
    given = np.array(case["boxes"])
    kept = given.copy()
    rng = {"rng": draws} if case.get("draws") else {}
    got, moved = function(
        **({"images": x}), boxes=given, **case["args"], **GIVEN_BOXES[name], **rng
    )
    expected = reference.output(case["out"])
    close(np.stack(got), expected[0], case)
    close(moved, expected[1], case)
    assert draws.finished() and np.array_equal(given, kept), case["id"]


def flip(name: str, case: dict, reference: Reference) -> None:
    x = array(case["x"])
    got, moved = boxes.horizontal_flip(
        **case["args"], images=x, boxes=np.array(case["boxes"]), rng=Replay(case["draws"])
    )
    close(got, x.flip(-1) if case["flipped"] else x, case)
    close(moved, case["out_boxes"], case)


def box_arithmetic(name: str, case: dict, reference: Reference) -> None:
    module = frame_lists if name == "scale_boxes" else boxes
    close(
        getattr(module, name)(boxes=np.array(case["boxes"]), **case["args"]),
        case["out_boxes"],
        case,
    )


def colors(name: str, case: dict, reference: Reference) -> None:
    draws = Replay(case.get("draws", []))
    rng = {"rng": draws} if "draws" in case else {}
    args = dict(case["args"])
    lists = "cv2_transform" in case["fn"]
    if lists and name in ("color_jitter_list", "lighting_list"):
        got = np.stack(getattr(frame_lists, name)(images(case), **args, **rng))
    elif lists and name in ("color_normalization", "pad_image"):
        got = np.stack([getattr(frame_lists, name)(i, **args) for i in images(case)])
    elif lists:
        got = np.stack([frame_lists.scale(image=i, **args) for i in images(case)])
    elif name in ("temporal_difference",):
        got = color.temporal_difference(array(case["x"]), **args, **BGR)
    elif name == "tensor_normalize":
        got = color.tensor_normalize(array(case["x"]), **args)
    else:
        order = {} if name in ("brightness_jitter", "color_normalization") else BGR
        got = getattr(color, name)(images=array(case["x"]), **args, **order, **rng)
    close(got, reference.output(case["out"]), case)
    assert draws.finished(), case["id"]


def crops(name: str, case: dict, reference: Reference) -> None:
    args, draws = dict(case["args"]), Replay(case["draws"])
    x = array(case["x"])
    if name == "spatial_sampling":
        index = args.pop("spatial_idx")
        sampling = SpatialSampling(**args, legacy_offsets=True)
        # A view for testing has one size only, so nothing is drawn for it here.
        rng = Replay([]) if index >= 0 else draws
        got = sampling(x, index, rng=rng)
        assert rng.finished(), case["id"]
    elif name == "random_sized_crop_img":
        got = random_sized_crop_img(x, **args, rng=draws)
        assert draws.finished()
    else:
        shift = name == "random_resized_crop_with_shift"
        got = resized_crop(x, **args, shift=shift, rng=draws)
        assert draws.finished(), case["id"]
        if "box_top_left_height_width" in case:
            scale = args.get("scale", (0.8, 1.0))
            box = random_resized_box(
                *x.shape[-2:], scale, (3 / 4, 4 / 3), Replay(case["draws"]), swap_prob=0.0
            )
            assert list(box) == case["box_top_left_height_width"]
    close(got, reference.output(case["out"]), case)


def erasing(name: str, case: dict, reference: Reference) -> None:
    x = array(case["x"])
    kept = x.clone()
    noise = case["args"].get("mode") in ("rand", "pixel")
    filling = [["torch.randint", [0, 2**31], [7]]] if noise else []
    draws = Replay(case["draws"] + filling)
    got = RandomErasing(**case["args"])(x, rng=draws)
    assert draws.finished() and torch.equal(x, kept), case["id"]
    if "out" in case:
        close(got, reference.output(case["out"]), case)
        return
    changed = (got != x).all(1)
    for frame, rows, columns in zip(changed, case["erased_rows"], case["erased_cols"], strict=True):
        expected = torch.zeros_like(frame)
        expected[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = True
        assert torch.equal(frame, expected)
    top, left = case["erased_rows"][0][0], case["erased_cols"][0][0]
    patch = got[:, :, top : top + len(case["erased_rows"][0]), left : left + 3]
    assert (patch.flatten(2).std(2) == 0).all() == (case["args"]["mode"] == "rand")


def masks(name: str, case: dict, reference: Reference) -> None:
    kind = MaskingGenerator3D if name.endswith("3D") else MaskingGenerator
    got = kind(**case["args"])(rng=PythonRandom(case["seed"]))
    close(got, reference.output(case["out"]), case)
    assert int(got.sum()) == case["masked"]


def mixing(name: str, case: dict, reference: Reference) -> None:
    draws = Replay(case["draws"])
    x = array(case["x"])
    kept = x.clone()
    got = RandomMix(**case["args"])(x, torch.tensor(case["labels"]), rng=draws)
    for one, other in zip(got, reference.output(case["out"]), strict=True):
        close(one, other, case)
    assert draws.finished() and torch.equal(x, kept)


def pillow(name: str, case: dict, reference: Reference) -> None:
    args = case["args"]
    if "error" in case:  # Pillow refuses 0 bits; one bit is kept here
        frames = torch.arange(48, dtype=torch.uint8).view(1, 4, 4, 3) * 5
        got = ImageAugment(name, 1.0, args["magnitude"])(frames)
        assert set(got.unique().tolist()) == {0, 128}
        return
    draws = Replay(case["draws"])
    common = {"interpolation": args["interpolation"], "translate_const": args["translate_const"]}
    if name == "rand_augment_transform":
        augment = rand_augment_transform(args["config"], **common, legacy_inc=True)
    else:
        settings = AugmentSettings(fill=tuple(args["img_mean"]), **common)
        augment = ImageAugment(name, 1.0, args["magnitude"], 0.0, settings)
    x = array(case["x"])
    got = augment(x, rng=draws)
    assert got.dtype == torch.uint8 and torch.equal(got, reference.output(case["out"])), case["id"]
    assert draws.finished(), case["id"]


WALKS: dict[str, Callable[[str, dict, Reference], None]] = {
    **dict.fromkeys(GIVEN_BOXES, with_boxes),
    "horizontal_flip": flip,
    "clip_boxes_to_image": box_arithmetic,
    "scale_boxes": box_arithmetic,
    "RandomErasing": erasing,
    "MaskingGenerator": masks,
    "MaskingGenerator3D": masks,
    "MixUp": mixing,
    "rand_augment_transform": pillow,
    **dict.fromkeys(OPERATIONS, pillow),
    **dict.fromkeys(
        (
            "spatial_sampling",
            "random_resized_crop",
            "random_resized_crop_with_shift",
            "random_sized_crop_img",
        ),
        crops,
    ),
    **dict.fromkeys(
        (
            "color_jitter",
            "brightness_jitter",
            "contrast_jitter",
            "saturation_jitter",
            "grayscale",
            "lighting_jitter",
            "temporal_difference",
            "color_normalization",
            "tensor_normalize",
            "scale",
            "color_jitter_list",
            "lighting_list",
            "pad_image",
        ),
        colors,
    ),
}


def test_every_case(shared, capsys):
    reference = Reference(shared, "transforms_slowfast")
    seen: Counter[str] = Counter()
    elsewhere = 0
    for case in reference.cases:
        name = case["fn"].rsplit(".", 1)[1]
        if name in ELSEWHERE:
            elsewhere += 1
            continue
        WALKS[name](name, case, reference)
        seen[name] += 1
    with capsys.disabled():
        print(
            f"\ntransforms_slowfast: {sum(seen.values())} cases of {len(seen)} functions; "
            f"{elsewhere} of clip times belong to the data package"
        )
    assert sum(seen.values()) + elsewhere == len(reference.cases) == 217
    assert elsewhere == 2


def test_every_window_and_size_of_a_test(shared):
    """Windows of the three views of a test, and the sizes that they are cut from."""
    seen: Counter[str] = Counter()
    for case in Reference(shared, "test_sampling").cases:
        size = (case.get("h"), case.get("w"), case.get("size"))
        if case["kind"] == "uniform_crop":
            for view, *window in case["rows_idx_y_x_h_w"]:
                assert list(uniform_crop_box(*size, view)) == window, case
        elif case["kind"] == "short_side_scale_size":
            assert list(short_side_size(*size, "down")) == case["out"], case
        else:
            continue
        seen[case["kind"]] += 1
    assert seen == {"uniform_crop": 19, "short_side_scale_size": 28}


def test_boxes_are_scaled_with_their_frames():
    x = torch.rand(4, 3, 12, 16)
    given = np.array([[2.0, 4.0, 8.0, 10.0]])
    _, right = boxes.scaled_uniform_crop(x, 8, 1, given, scale_size=24)
    # 12 x 16 becomes 24 x 32; the crop starts at x = 12, y = 8.
    np.testing.assert_allclose(right, [[4 - 12, 8 - 8, 16 - 12, 20 - 8]])
    _, unscaled = boxes.scaled_uniform_crop(x, 8, 1, given, scale_size=24, legacy_boxes=True)
    np.testing.assert_allclose(unscaled, [[2 - 12, 4 - 8, 8 - 12, 10 - 8]])


def test_boxes_of_a_list_are_mirrored_at_the_width():
    wide = [np.zeros((3, 12, 16), dtype=np.float32)]
    given = np.array([[2.0, 1.0, 5.0, 4.0]])
    _, moved = frame_lists.horizontal_flip_list(1.0, wide, "CHW", given)
    np.testing.assert_allclose(moved, [[10.0, 1.0, 13.0, 4.0]])


def test_random_crops_reach_the_last_place():
    x = torch.zeros(1, 1, 4, 6)
    x[..., 3, 5] = 1
    found = {False: 0, True: 0}
    for legacy in found:
        for key in range(200):
            got, _ = boxes.random_crop(x, 3, legacy_offsets=legacy, rng=np.random.default_rng(key))
            found[legacy] += int(got.sum())
    assert found[True] == 0 and found[False] > 5


def test_inc0_is_not_inc1():
    names = [o.name for o in rand_augment_transform("rand-m5-n3-inc0").operations]
    assert "PosterizeIncreasing" not in names
    legacy = rand_augment_transform("rand-m5-n3-inc0", legacy_inc=True)
    increasing = rand_augment_transform("rand-m5-n3-inc1")
    assert [o.name for o in legacy.operations] == [o.name for o in increasing.operations]
    assert "PosterizeIncreasing" in [o.name for o in increasing.operations]


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic"])
def test_affine_maps_are_those_of_pillow(interpolation):
    image = pytest.importorskip("PIL.Image")
    from vitascope.compat.pyslowfast.transforms import image_ops

    rng = np.random.default_rng(5)
    frame = rng.integers(0, 256, (20, 28, 3), dtype=np.uint8)
    frames = torch.from_numpy(frame)[None]
    flag = {"nearest": 0, "bilinear": 2, "bicubic": 3}[interpolation]
    for _ in range(20):
        noise = rng.normal(0, 0.2, 6)
        matrix = tuple(float(v) for v in noise * (1, 1, 20, 1, 1, 20) + (1, 0, 0, 0, 1, 0))
        expected = image.fromarray(frame).transform(
            (28, 20), image.Transform.AFFINE, matrix, resample=flag, fillcolor=(9, 8, 7)
        )
        got = image_ops.affine(frames, matrix, (9, 8, 7), interpolation)
        assert np.array_equal(np.asarray(expected), got[0].numpy())
        degrees = float(rng.uniform(-180, 180))
        expected = image.fromarray(frame).rotate(degrees, resample=flag, fillcolor=(9, 8, 7))
        got = image_ops.rotate(frames, degrees, (9, 8, 7), interpolation)
        assert np.array_equal(np.asarray(expected), got[0].numpy())
