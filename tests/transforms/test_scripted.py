"""Compiled transforms give what the plain ones give, under the same seed."""

from __future__ import annotations

import io
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from vitascope.errors import ConfigError
from vitascope.transforms import transforms as T

FLOAT = torch.rand(3, 8, 20, 27, generator=torch.Generator().manual_seed(0))
WHOLE = (FLOAT * 255).to(torch.uint8)
CASES: dict[str, tuple[nn.Module, Any]] = {
    "subsample": (T.UniformTemporalSubsample(5), FLOAT),
    "subsample repeated": (T.UniformTemporalSubsampleRepeated((1, 4)), FLOAT),
    "short side": (T.ShortSideScale(11), FLOAT),
    "short side of a tall clip": (T.ShortSideScale(11), FLOAT.transpose(2, 3)),
    "short side, whole numbers": (T.ShortSideScale(11, "bicubic"), WHOLE),
    "short side, area": (T.ShortSideScale(9, "area"), FLOAT),
    "short side, nearest": (T.ShortSideScale(9, "nearest"), WHOLE),
    "random short side": (T.RandomShortSideScale(8, 19), FLOAT),
    "resized crop": (T.RandomResizedCrop(8, 9, (0.08, 1.0), (3 / 4, 4 / 3)), FLOAT),
    "resized crop, no window fits": (T.RandomResizedCrop(8, 9, (1, 1), (3, 4), num_tries=2), FLOAT),
    "resized crop, tall": (T.RandomResizedCrop(8, 9, (1, 1), (0.2, 0.3), num_tries=2), FLOAT),
    "resized crop that moves": (
        T.RandomResizedCrop(8, 9, (0.4, 0.1), (2, 0.5), shift=True, log_uniform_ratio=False),
        WHOLE,
    ),
    "uniform crop, left": (T.UniformCropVideo(13), {"video": FLOAT, "aug_index": torch.tensor(0)}),
    "uniform crop, middle": (
        T.UniformCropVideo(12),
        {"video": WHOLE, "aug_index": torch.tensor(1)},
    ),
    "uniform crop, bottom": (
        T.UniformCropVideo(13, "clip", "place"),
        {"clip": FLOAT.transpose(2, 3), "place": torch.tensor(2)},
    ),
    "center crop": (T.CenterCrop(13), FLOAT),
    "random crop": (T.RandomCrop((13, 27)), FLOAT),
    "mirror": (T.RandomHorizontalFlip(), FLOAT),
    "normalize": (T.Normalize([0.1, 0.2, 0.3], 0.5), FLOAT),
    "to float": (T.ConvertUint8ToFloat(), WHOLE),
    "to whole numbers": (T.ConvertFloatToUint8(), FLOAT),
    "divide": (T.Div255(), WHOLE),
    "permute": (T.Permute((1, 0, 2, 3)), FLOAT),
    "channels last": (T.MoveChannelRear(), FLOAT),
    "channels first": (T.MoveChannelFront(), FLOAT),
}


def tensors(result: Any) -> list[Tensor]:
    if isinstance(result, Tensor):
        return [result]
    return list(result.values() if isinstance(result, dict) else result)


def fresh(x: Any) -> Any:
    return dict(x) if isinstance(x, dict) else x.clone()


@pytest.mark.parametrize("name", CASES)
def test_compiled_and_plain_agree_under_a_seed(name: str) -> None:
    plain, x = CASES[name]
    compiled = torch.jit.script(plain)
    assert isinstance(compiled, torch.jit.ScriptModule)
    file = io.BytesIO()
    torch.jit.save(compiled, file)
    file.seek(0)
    stored = torch.jit.load(file)
    results = []
    for seed in range(25):
        given = []
        for transform in (plain, compiled, stored):
            torch.manual_seed(seed)
            given.append(tensors(transform(fresh(x))))
        for other in given[1:]:
            for one, two in zip(given[0], other, strict=True):
                assert one.dtype == two.dtype and torch.equal(one, two)
        results.append(given[0][0])
    if "random" in name or name in ("mirror", "resized crop", "resized crop that moves"):
        assert any(r.shape != results[0].shape or not torch.equal(r, results[0]) for r in results)


def test_a_row_of_transforms_is_compiled_as_one() -> None:
    row = nn.Sequential(T.RandomShortSideScale(14, 18), T.RandomCrop(12), T.Normalize(0.45, 0.225))
    compiled = torch.jit.script(row)
    torch.manual_seed(3)
    plain = row(FLOAT)
    torch.manual_seed(3)
    assert torch.equal(compiled(FLOAT), plain) and plain.shape == (3, 8, 12, 12)


def test_what_cannot_be_compiled_says_so() -> None:
    with pytest.raises(ConfigError, match="backend = 'opencv' cannot be compiled"):
        torch.jit.script(T.ShortSideScale(8, backend="opencv"))
    with pytest.raises(ConfigError, match="interpolation = 'cubic'"):
        torch.jit.script(T.RandomShortSideScale(8, 9, "cubic"))
    with pytest.raises(ConfigError, match="two numbers above 0"):
        torch.jit.script(T.RandomResizedCrop(8, 8, (0, 1), (1, 1)))
    with pytest.raises(Exception, match="crop does not fit"):
        torch.jit.script(T.CenterCrop(30))(FLOAT)
