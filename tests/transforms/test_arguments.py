"""Fills, strengths, means and the arguments of the factory, by naive versions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from vitascope.errors import ConfigError, UnknownNameError, VitascopeError
from vitascope.transforms import (
    ApplyTransformToKey,
    AugMix,
    Normalize,
    RandAugment,
    create_video_transform,
)
from vitascope.transforms.augmentations import OPERATIONS, AugmentTransform, border_values
from vitascope.transforms.transforms import RandomResizedCrop

# The published strengths: base and range, and how a level from 0 to 10 becomes one.
EITHER_SIGN = {
    "AdjustBrightness": (1, 0.9), "AdjustContrast": (1, 0.9), "AdjustSaturation": (1, 0.9),
    "AdjustSharpness": (1, 0.9), "Rotate": (0, 30), "ShearX": (0, 0.3), "ShearY": (0, 0.3),
    "TranslateX": (0, 0.45), "TranslateY": (0, 0.45),
}  # fmt: skip


def clip(dtype: torch.dtype = torch.float32) -> Tensor:
    x = torch.rand(4, 3, 24, 30, generator=torch.Generator().manual_seed(5))
    return x if dtype == torch.float32 else (x * 255).to(dtype)


@pytest.mark.parametrize("name", list(OPERATIONS))
def test_a_name_alone_takes_the_published_strengths(name: str) -> None:
    x = clip()
    for seed in range(6):
        torch.manual_seed(seed)
        got = AugmentTransform(name, magnitude=7, prob=1.0)(x)
        torch.manual_seed(seed)
        torch.rand(1)  # whether it is applied
        level = min(max(torch.normal(7.0, 0.5, size=(1,)).item(), 0.0), 10.0)
        if name in EITHER_SIGN:
            base, span = EITHER_SIGN[name]
            change = level / 10 * span
            factor: Any = base + (change if torch.rand(1).item() > 0.5 else -change)
        else:
            factor = {"Posterize": 4 - int(level / 10 * 4), "Solarize": 1 - level / 10}.get(name)
        assert torch.equal(got, OPERATIONS[name](x, factor, [0.5] * 3)), (name, seed)


def test_functions_of_a_program_are_called_as_its_tables_say() -> None:
    seen: list[Any] = []

    def darken(video: Tensor, share: float, extra: float, **settings: Any) -> Tensor:
        seen.append((share, extra, settings))
        return video * share

    def strengths(level: float, paras: tuple[float, float]) -> tuple[float, float]:
        return paras[0] + float(torch.rand(1)), paras[1]

    augment = AugmentTransform(
        "Darken",
        prob=1.0,
        name_to_transform_func={"Darken": darken},
        level_to_arg={"Darken": strengths},
        transform_max_paras={"Darken": (0.25, 4.0)},
        transform_hparas={"fill": (128, 128, 128), "mode": "soft"},
    )
    x = clip()
    first = augment(x, rng=np.random.default_rng(3))
    assert torch.equal(first, augment(x, rng=np.random.default_rng(3)))  # the key decides
    assert not torch.equal(first, augment(x, rng=np.random.default_rng(4)))
    share, extra, settings = seen[0]
    assert torch.equal(first, x * share) and extra == 4.0 and settings["mode"] == "soft"
    assert settings["fill"] == pytest.approx([128 / 255] * 3)
    plain = AugmentTransform(
        "Copy", prob=1.0, name_to_transform_func={"Copy": lambda video, **_: video},
        level_to_arg={"Copy": None}, transform_max_paras={"Copy": None},
    )  # fmt: skip
    assert plain(x) is x
    with pytest.raises(UnknownNameError, match="level_to_arg"):
        AugmentTransform("Rotate", level_to_arg={"Shear": None})
    with pytest.raises(ConfigError, match="fill"):
        AugmentTransform("Rotate", transform_hparas={"mode": "soft"})
    with pytest.raises(ConfigError, match="sampling_min"):
        AugmentTransform("Rotate", sampling_type="uniform", sampling_hparas={"sampling_min": 0.5})


FILLS = [
    ((0.5, 0.5, 0.5), 0.5),
    ((128, 128, 128), 128 / 255),
    (0.5, 0.5),
    (128, 128 / 255),
    ([0.0, 0.0, 0.0], 0.0),
    ((1.0, 1.0, 1.0), 1.0),
    (255, 1.0),
]


@pytest.mark.parametrize("dtype", [torch.float32, torch.uint8])
@pytest.mark.parametrize(("fill", "share"), FILLS)
def test_borders_are_as_bright_as_asked_on_either_scale(
    fill: Any, share: float, dtype: torch.dtype
) -> None:
    white = 255 if dtype == torch.uint8 else 1
    inside = torch.full((2, 3, 20, 20), 40 if dtype == torch.uint8 else 40 / 255).to(dtype)
    for build in (
        lambda: AugmentTransform("TranslateX", prob=1.0, transform_hparas={"fill": fill}),
        lambda: RandAugment(10, 14, prob=1.0, transform_hparas={"fill": fill}),
    ):
        augment = build()
        if isinstance(augment, RandAugment):
            rows = augment.randaug_fn.transforms_list
            augment = next(t for t in rows if t.transform_name == "TranslateX")
        moved = augment(inside, rng=np.random.default_rng(0))
        edges = (moved[..., 0], moved[..., -1])  # one of them came from outside
        border = next(edge for edge in edges if not torch.allclose(edge, inside[..., 0]))
        assert (border.float() - share * white).abs().max() <= (0.51 if white == 255 else 1e-6)
        middle = slice(10, 11)
        assert torch.allclose(moved[..., middle].float(), inside[..., middle].float())
    assert border_values((2, 4, 6), inside) == pytest.approx([v * white / 255 for v in (2, 4, 6)])


def test_whole_numbers_and_floats_are_mixed_alike() -> None:
    whole = torch.randint(0, 256, (4, 3, 40, 40), dtype=torch.uint8)
    as_whole = AugMix(width=1, depth=1, transform_hparas={"fill": (128, 128, 128)})
    as_float = AugMix(width=1, depth=1)
    for seed in range(30):
        torch.manual_seed(seed)
        one = as_whole(whole)
        torch.manual_seed(seed)
        two = as_float(whole / 255)
        assert one.dtype == torch.uint8
        assert (one / 255 - two).abs().mean() < 0.01


@pytest.mark.parametrize(
    ("mean", "std"),
    [
        (0.4, 0.2),
        ([0.4], [0.2]),
        (torch.tensor(0.4), torch.tensor(0.2)),
        (torch.tensor([0.4]), 0.2),
        ((0.4,), (0.2, 0.2, 0.2)),
        ([torch.tensor(0.4)] * 3, np.array([0.2, 0.2, 0.2])),
        (0.4, [0.1, 0.2, 0.5]),
    ],
)
def test_one_mean_is_for_all_channels(mean: Any, std: Any) -> None:
    x = torch.rand(3, 2, 5, 6)
    scale = torch.tensor(std if isinstance(std, list) and len(std) == 3 else [0.2] * 3)
    naive = (x - 0.4) / scale[:, None, None, None]
    assert torch.allclose(Normalize(mean, std)(x), naive, atol=1e-6)
    kept = x.clone()
    assert Normalize(mean, std, inplace=True)(x) is x and torch.allclose(x, naive, atol=1e-6)
    if len(scale.unique()) == 1 and np.size(std) == 1:  # any count of channels
        assert torch.allclose(Normalize(mean, std)(kept[:1]), naive[:1], atol=1e-6)


def test_means_that_do_not_fit_are_refused() -> None:
    for mean, std in (([0.1] * 3, [0.1] * 2), (0.5, 0.0), ([0.5, 0.5], [0.1, -0.1]), ([], [])):
        with pytest.raises(ConfigError, match="one number a channel"):
            Normalize(mean, std)
    with pytest.raises(RuntimeError, match="3 channels"):
        Normalize([0.5] * 3, 0.1)(torch.rand(1, 2, 4, 4))


CONTRADICTIONS: list[tuple[type[Exception], str, dict[str, Any]]] = [
    (AssertionError, "does not fit", {"mode": "val", "crop_size": 30, "min_size": 10}),
    (AssertionError, "does not fit", {"mode": "train", "crop_size": (30, 40), "min_size": 35}),
    (AssertionError, "video_key", {"mode": "val", "remove_key": "audio"}),
    (AssertionError, "needs an augmentation", {"mode": "val", "aug_paras": {"magnitude": 10}}),
    (AssertionError, "target_height = 8", {
        "mode": "train", "random_resized_crop_paras": {"target_height": 8},
    }),
    (NotImplementedError, "aug_type = 'xyz'", {"mode": "train", "aug_type": "xyz"}),
    (TypeError, "crop_size = 's'", {"mode": "val", "crop_size": "s"}),
    (TypeError, "aug_paras has width", {
        "mode": "train", "aug_type": "randaug", "aug_paras": {"width": 3},
    }),
    (TypeError, "has size", {"mode": "train", "random_resized_crop_paras": {"size": 3}}),
    (ValueError, "legal values: train, val", {"mode": "test"}),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "message", "arguments"), CONTRADICTIONS)
def test_arguments_that_contradict_are_one_error(
    kind: type[Exception], message: str, arguments: dict[str, Any]
) -> None:
    with pytest.raises(kind, match=message) as caught:
        create_video_transform(**arguments)
    assert isinstance(caught.value, VitascopeError)


def test_a_crop_may_be_larger_than_a_short_side_that_is_not_used() -> None:
    transform = create_video_transform(
        "train", crop_size=40, min_size=10, random_resized_crop_paras={"target_height": 40}
    )
    (crop,) = (t for t in transform.transforms if isinstance(t, RandomResizedCrop))
    assert crop(torch.rand(3, 2, 20, 20)).shape == (3, 2, 40, 40)


def test_a_float_clip_is_not_divided_twice() -> None:
    x = torch.randint(0, 256, (3, 10, 30, 40), dtype=torch.uint8)
    arguments: dict[str, Any] = {"num_samples": 4, "min_size": 15, "crop_size": 10}
    whole = create_video_transform("val", **arguments)
    given = create_video_transform("val", convert_to_float=False, **arguments)
    assert torch.equal(whole(x), given(x / 255))
    with pytest.raises(AssertionError, match="expected uint8"):
        whole(x.float())
    sample = {"video": x, "audio": 1, "label": 2}
    keyed = create_video_transform("val", video_key="video", remove_key="audio", **arguments)
    assert list(keyed(sample)) == ["video", "label"]


def test_a_key_that_a_sample_has_not() -> None:
    with pytest.raises(KeyError, match="Did you mean 'video'"):
        ApplyTransformToKey("vidoe", Normalize(0.5, 0.5))({"video": torch.rand(3, 1, 2, 2)})
