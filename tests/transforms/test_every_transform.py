"""What holds for every exported transform: a key decides it, and nothing else is touched."""

from __future__ import annotations

import copy
import inspect
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from vitascope import transforms as T
from vitascope.spec import PixelSpec
from vitascope.transforms.apply import apply_transform, takes_rng


def clip(*lead: int, dtype: torch.dtype = torch.float32) -> Tensor:
    values = torch.randint(0, 256, (*lead, 3, 8, 24, 32), generator=torch.manual_seed(3))
    return values.to(torch.uint8) if dtype == torch.uint8 else values / 255


def batch() -> tuple[Tensor, Tensor]:
    return clip(4), torch.tensor([0, 1, 2, 0])


def frames() -> Tensor:
    return clip().transpose(0, 1)


def sample() -> dict[str, Any]:
    return {"video": clip(), "label": 1}


Make = Callable[[], Any]
# name -> transform and input; a class that needs no arguments and takes a clip C T H W needs no row
CASES: dict[str, tuple[Make, Make]] = {
    "ApplyTransformToKey": (lambda: T.ApplyTransformToKey("video", T.RandomCrop(12)), sample),
    "AugMix": (T.AugMix, frames),
    "AugmentTransform": (lambda: T.AugmentTransform("Equalize", 5, 0.5), frames),
    "CenterCrop": (lambda: T.CenterCrop(12), clip),
    "Compose": (lambda: T.Compose([T.RandomShortSideScale(14, 20), T.RandomCrop(12)]), clip),
    "ConvertUint8ToFloat": (T.ConvertUint8ToFloat, lambda: clip(dtype=torch.uint8)),
    "CutMix": (lambda: T.CutMix(num_classes=3), lambda: batch()),
    "MixUp": (lambda: T.MixUp(num_classes=3), lambda: batch()),
    "MixVideo": (lambda: T.MixVideo(num_classes=3), lambda: batch()),
    "MoveChannelFront": (T.MoveChannelFront, lambda: clip().permute(1, 2, 3, 0)),
    "Normalize": (lambda: T.Normalize((0.4, 0.5, 0.6), (0.2, 0.3, 0.2)), clip),
    "OpSampler": (lambda: T.OpSampler([T.RandomCrop(12), T.CenterCrop(12)]), clip),
    "PackPathway": (lambda: T.PackPathway((4, 1)), clip),
    "Permute": (lambda: T.Permute((1, 0, 2, 3)), clip),
    "RandAugment": (T.RandAugment, frames),
    "RandomCrop": (lambda: T.RandomCrop(12), clip),
    "RandomMix": (lambda: T.RandomMix(0.4, 0.4, 0.9, num_classes=3), lambda: batch()),
    "RandomResizedCrop": (lambda: T.RandomResizedCrop(16, 16, (0.3, 1), (0.8, 1.2)), clip),
    "RandomShortSideScale": (lambda: T.RandomShortSideScale(14, 20), clip),
    "RemoveKey": (lambda: T.RemoveKey("label"), sample),
    "ShortSideScale": (lambda: T.ShortSideScale(16), clip),
    "TrainTransform": (
        lambda: T.TrainTransform(pixels=PixelSpec(short_side=16, crop=(16, 16))),
        lambda: clip(dtype=torch.uint8).permute(1, 2, 3, 0),
    ),
    "UniformCropVideo": (
        lambda: T.UniformCropVideo(16), lambda: {**sample(), "aug_index": 1}
    ),
    "UniformTemporalSubsample": (lambda: T.UniformTemporalSubsample(4), clip),
    "UniformTemporalSubsampleRepeated": (
        lambda: T.UniformTemporalSubsampleRepeated((1, 4)), clip
    ),
}  # fmt: skip
NAMES = [name for name in T.__all__ if inspect.isclass(getattr(T, name))]


def case(name: str) -> tuple[Any, Any]:
    if name in CASES:
        make, given = CASES[name]
        return make(), given()
    kind = getattr(T, name)
    needed = [
        p.name
        for p in inspect.signature(kind).parameters.values()
        if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    ]
    if needed:
        pytest.fail(
            f"{name} needs {', '.join(needed)}: add a row to CASES in "
            f"tests/transforms/test_every_transform.py that says with what it is made and called"
        )
    return kind(), clip()


def tensors(nest: Any) -> list[Tensor]:
    if isinstance(nest, Tensor):
        return [nest]
    parts = (
        nest.values() if isinstance(nest, dict) else nest if isinstance(nest, list | tuple) else ()
    )
    return [tensor for part in parts for tensor in tensors(part)]


def same(a: Any, b: Any) -> bool:
    ours, theirs = tensors(a), tensors(b)
    return len(ours) == len(theirs) and all(
        x.shape == y.shape and torch.equal(x, y) for x, y in zip(ours, theirs, strict=True)
    )


@pytest.mark.parametrize("name", NAMES)
def test_the_key_decides(name: str) -> None:
    """Same key, same result; no other generator moves; the clip that was given stays as it was."""
    transform, given = case(name)

    def call(key: int) -> Any:
        x = copy.deepcopy(given)
        before = [tensor.clone() for tensor in tensors(x)]
        rng = np.random.default_rng((7, key))
        held = tensors(x)
        if isinstance(x, tuple):  # clips and labels
            result = transform(*x, rng=rng)
        else:
            result = apply_transform(transform, x, rng)
        assert all(torch.equal(a, b) for a, b in zip(held, before, strict=True)), (
            f"{name} changes the clip that it is given"
        )
        return result

    states = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()
    first = call(0)
    assert tensors(first) and all(bool(torch.isfinite(t).all()) for t in tensors(first))
    assert same(first, call(0)), f"{name} gives another result for the same key"
    others = [call(key) for key in range(1, 25)]
    assert torch.equal(states[0], torch.get_rng_state()), f"{name} draws from torch's generator"
    assert np.array_equal(states[1], np.random.get_state()[1]), f"{name} draws from numpy's"
    assert states[2] == random.getstate(), f"{name} draws from Python's generator"
    assert takes_rng(transform) == any(not same(first, other) for other in others), (
        f"{name}: what is random takes `rng`, and nothing else does"
    )
