from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from vitascope.errors import ConfigError, InputError
from vitascope.spec import PixelSpec
from vitascope.transforms.preprocess import (
    evaluation_transform,
    normalize,
    resize,
    scaled_size,
    view_windows,
)
from vitascope.transforms.spatial import scale_to, short_side_size


def frames(t: int = 3, h: int = 36, w: int = 64, seed: int = 0) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.integers(0, 256, (t, h, w, 3), dtype=np.uint8))


def ramp(h: int, w: int) -> torch.Tensor:
    """Red is 4 x the column, green 4 x the row: a place in the frame can be read off a pixel."""
    y, x = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
    return torch.stack([4 * x, 4 * y, 0 * x], -1)[None].to(torch.uint8)


PLAIN = {"mean": (0.0, 0.0, 0.0), "std": (1 / 255,) * 3}


def test_normalize_is_the_definition_and_leaves_its_input_alone():
    pixels = PixelSpec(short_side=8, crop=(8, 8), mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6))
    x = frames().permute(3, 0, 1, 2)
    kept = x.clone()
    expected = (
        x.double() / 255 - torch.tensor([0.1, 0.2, 0.3]).double().view(3, 1, 1, 1)
    ) / torch.tensor([0.4, 0.5, 0.6]).double().view(3, 1, 1, 1)
    assert torch.allclose(normalize(x, pixels).double(), expected, atol=1e-6)
    assert torch.equal(x, kept)
    whole = x.float()
    assert torch.allclose(normalize(whole, pixels).double(), expected, atol=1e-6)
    assert torch.equal(whole, kept.float())


@pytest.mark.parametrize("kind", [torch.uint8, torch.float32])
@pytest.mark.parametrize("count", [1, 2, 5, 8])
def test_without_background_only_what_moves_is_left(count: int, kind: torch.dtype) -> None:
    pixels = PixelSpec(short_side=8, crop=(8, 8), std=(0.4, 0.5, 0.6), background="remove")
    x = torch.randint(256, (3, count, 4, 5), dtype=torch.uint8)
    x[:, :, 0] = x[:, :1, 0]  # the first row stays as it is
    middle = np.sort(x.numpy(), axis=1)[:, (count - 1) // 2][:, None].astype(float)
    expected = (x.numpy() - middle) / 255 / np.reshape(pixels.std, (3, 1, 1, 1))
    kept, found = x.clone(), normalize(x.to(kind), pixels)
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-6)
    assert found.dtype == torch.float32 and torch.equal(x, kept)
    assert not found[:, :, 0].any() and (count < 3 or found[:, :, 1:].any())


def test_without_background_light_and_place_of_a_still_camera_are_gone() -> None:
    """The same motion before two walls of one color each gives the same clip."""
    pixels = PixelSpec(short_side=8, crop=(8, 8), background="remove")
    clips = []
    for wall in (40, 90):
        video = torch.full((6, 8, 8, 3), wall, dtype=torch.uint8)
        for t in range(6):
            video[t, 2:4, t] += 30
        clips.append(evaluation_transform(pixels)(video)[0])
    assert torch.equal(*clips) and clips[0].any()


@pytest.mark.parametrize(
    ("size", "pixels", "expected"),
    [
        ((360, 640), PixelSpec(short_side=256, crop=(224, 224)), (256, 455)),
        ((640, 360), PixelSpec(short_side=256, crop=(224, 224)), (455, 256)),
        # 128 / 72 * 72 in floating point is just below 128 and loses a column.
        ((72, 128), PixelSpec(short_side=72, crop=(64, 64)), (72, 128)),
        # A crop wider than the scaled frame makes the frame larger, until it is filled.
        ((48, 64), PixelSpec(short_side=48, crop=(48, 96)), (72, 96)),
        ((48, 64), PixelSpec(short_side=48, crop=(30, 40), fit="squash"), (30, 40)),
    ],
)
def test_scaled_size(size, pixels, expected):
    assert scaled_size(*size, pixels) == expected


def test_crops_cover_the_long_side_from_left_to_right():
    assert view_windows(8, 15, (8, 8), 1) == [(0, 4, 8, 8)]
    assert view_windows(8, 15, (8, 8), 3) == [(0, 0, 8, 8), (0, 4, 8, 8), (0, 7, 8, 8)]
    assert view_windows(15, 8, (8, 8), 3) == [(0, 0, 8, 8), (4, 0, 8, 8), (7, 0, 8, 8)]
    five = view_windows(10, 12, (8, 8), 5)
    assert five == [(0, 0, 8, 8), (0, 4, 8, 8), (2, 0, 8, 8), (2, 4, 8, 8), (1, 2, 8, 8)]
    with pytest.raises(ConfigError, match="1, 3, 5"):
        view_windows(8, 8, (8, 8), 2)


def test_crop_transform_shows_the_right_pixels():
    pixels = PixelSpec(short_side=36, crop=(36, 36), **PLAIN)
    left, middle, right = evaluation_transform(pixels, 3)(ramp(36, 60))
    for clip, start in ((left, 0), (middle, 12), (right, 24)):
        assert clip.shape == (3, 1, 36, 36) and clip.dtype == torch.float32
        assert torch.allclose(clip[0, 0, 0], 4.0 * torch.arange(start, start + 36))
        assert torch.allclose(clip[1, 0, :, 0], 4.0 * torch.arange(36))


def test_squash_keeps_the_whole_frame():
    pixels = PixelSpec(short_side=30, crop=(30, 30), fit="squash", **PLAIN)
    (clip,) = evaluation_transform(pixels)(ramp(30, 60))
    # Each result column averages around source column 2 i + 0.5.
    inner = clip[0, 0, 5, 2:-2]
    assert torch.allclose(inner, 4 * (2 * torch.arange(2, 28) + 0.5), atol=1.0)
    views = evaluation_transform(pixels, 3)(ramp(30, 60))
    starts = [float(v[0, 0, 5, 0]) for v in views]
    ends = [float(v[0, 0, 5, -1]) for v in views]
    assert starts[0] < 4 and ends[2] > 4 * 58 and starts == sorted(starts)
    assert all(end - start > 0.8 * 4 * 60 for start, end in zip(starts, ends, strict=True))
    assert len(evaluation_transform(pixels, 5)(ramp(30, 60))) == 5


def test_resize_agrees_with_exact_area_means():
    x = frames(2, 40, 60)
    exact = x.float().permute(0, 3, 1, 2)
    exact = torch.nn.functional.interpolate(exact, (20, 30), mode="bilinear", antialias=True)
    assert (resize(x, 20, 30).permute(0, 3, 1, 2).float() - exact).abs().max() <= 1
    plain = x.float().permute(0, 3, 1, 2)
    plain = torch.nn.functional.interpolate(plain, (20, 30), mode="bilinear")
    assert torch.equal(resize(x, 20, 30, antialias=False).permute(0, 3, 1, 2), plain.round())


def test_the_number_of_threads_changes_nothing():
    pixels = PixelSpec(short_side=48, crop=(44, 44))
    x = frames(16, 72, 128)
    before = torch.get_num_threads()
    try:
        results = []
        for n in (1, 2):
            torch.set_num_threads(n)
            results.append(evaluation_transform(pixels, 3)(x))
    finally:
        torch.set_num_threads(before)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


@pytest.mark.parametrize(
    "bad",
    [
        torch.zeros(3, 36, 64, 3),
        torch.zeros(3, 3, 36, 64, dtype=torch.uint8),
        torch.zeros(36, 64, 3, dtype=torch.uint8),
        torch.zeros(0, 36, 64, 3, dtype=torch.uint8),
    ],
)
def test_anything_but_decoded_frames_is_refused(bad):
    with pytest.raises(InputError):
        evaluation_transform(PixelSpec(short_side=32, crop=(32, 32)))(bad)


def test_short_side_size() -> None:
    assert short_side_size(360, 640, 256, "nearest") == (256, 455)  # 455.1
    assert short_side_size(640, 360, 256, "nearest") == (455, 256)
    assert short_side_size(100, 100, 7, "nearest") == short_side_size(100, 100, 7, "down") == (7, 7)
    assert short_side_size(2, 5, 1, "nearest") == (1, 3)  # 2.5: halves go up
    assert short_side_size(2, 5, 1, "down") == (1, 2)
    assert short_side_size(1000, 1, 3, "nearest") == (3000, 3)
    for height, width, size in itertools.product(range(1, 12), range(1, 12), range(1, 9)):
        long = Fraction(max(height, width) * size, min(height, width))
        for rounding, side in (("down", int(long)), ("nearest", int(long + Fraction(1, 2)))):
            found = short_side_size(height, width, size, rounding)
            assert found == ((side, size) if width < height else (size, side))


def test_both_scalers_give_the_same_pixels_without_antialiasing() -> None:
    generator = torch.Generator().manual_seed(0)
    for height, width, new in ((48, 64, (32, 43)), (31, 17, (40, 29)), (90, 120, (7, 200))):
        frames = torch.randint(
            0, 256, (3, height, width, 3), dtype=torch.uint8, generator=generator
        )
        planes = frames.permute(0, 3, 1, 2)
        exact = F.interpolate(planes.double(), new, mode="bilinear")
        scaled = scale_to(planes, *new)
        assert float((scaled - exact).abs().max()) <= 0.5 + 1e-4
        assert torch.equal(resize(frames, *new, antialias=False).permute(0, 3, 1, 2), scaled)
