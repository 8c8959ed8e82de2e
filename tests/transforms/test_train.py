from __future__ import annotations

import math
import time

import numpy as np
import pytest
import torch

from vitascope.errors import ConfigError, InputError
from vitascope.spec import PixelSpec
from vitascope.transforms.preprocess import evaluation_transform
from vitascope.transforms.train import (
    CropWindow,
    TrainTransform,
    apply_color,
    color_matrix,
    erased_box,
    show,
)

PLAIN = {"mean": (0.0, 0.0, 0.0), "std": (1 / 255,) * 3}
PIXELS = PixelSpec(short_side=32, crop=(32, 32), **PLAIN)
NOTHING = {"hflip": 0.0, "scale": (1.0, 1.0), "ratio": (1.0, 1.0)}
ALL = {
    "brightness": 0.4,
    "contrast": 0.4,
    "saturation": 0.4,
    "hue": 0.1,
    "grayscale": 0.2,
    "erase": 0.5,
    "rotate": 15.0,
    "translate": 0.1,
}


def frames(t: int = 4, h: int = 36, w: int = 64, seed: int = 0) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.integers(0, 256, (t, h, w, 3), dtype=np.uint8))


def ramp(h: int, w: int) -> torch.Tensor:
    y, x = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
    return torch.stack([4 * x, 4 * y, 0 * x], -1)[None].to(torch.uint8)


def test_with_everything_off_a_squashed_frame_is_the_evaluation_transform():
    pixels = PixelSpec(short_side=32, crop=(32, 32), fit="squash")
    x = frames()
    clip = TrainTransform(pixels=pixels, **NOTHING)(x, np.random.default_rng(0))
    assert torch.equal(clip, evaluation_transform(pixels)(x)[0])


@pytest.mark.parametrize("fit", ["crop", "squash"])
def test_the_key_decides_and_threads_do_not(fit):
    pixels = PixelSpec(short_side=64, crop=(64, 64), fit=fit)
    transform = TrainTransform(pixels=pixels, **ALL)
    x = frames(12, 72, 128)
    before = torch.get_num_threads()
    try:
        for index in range(3):
            results = []
            for n in (1, 2):
                torch.set_num_threads(n)
                results.append(transform(x, np.random.default_rng((7, 1, index))))
            assert torch.equal(results[0], results[1])
            other = transform(x, np.random.default_rng((7, 2, index)))
            assert not torch.equal(results[0], other)
    finally:
        torch.set_num_threads(before)


def test_input_is_never_changed_and_all_frames_get_the_same():
    still = frames(1).expand(5, -1, -1, -1).contiguous()
    kept = still.clone()
    transform = TrainTransform(pixels=PIXELS, **ALL)
    for index in range(20):
        clip = transform(still, np.random.default_rng(index))
        assert clip.shape == (3, 5, 32, 32) and clip.isfinite().all()
        assert torch.equal(clip, clip[:, :1].expand_as(clip))
    assert torch.equal(still, kept)


def test_switching_one_item_on_leaves_the_draws_of_the_others_alone():
    x = ramp(36, 60)
    for index in range(10):
        plain = TrainTransform(pixels=PIXELS)(x, np.random.default_rng(index))
        erased = TrainTransform(pixels=PIXELS, erase=1.0)(x, np.random.default_rng(index))
        same = (plain == erased).all(0)[0]
        hidden = ~same
        assert 0.01 < hidden.float().mean() < 0.4
        ys, xs = torch.nonzero(hidden, as_tuple=True)
        box = erased[:, :, ys.min() : ys.max() + 1, xs.min() : xs.max() + 1]
        assert (box == 0).all(), "the hidden part is one box of the mean color"


def test_windows_have_the_asked_area_ratio_and_reach_every_place():
    transform = TrainTransform(pixels=PIXELS, scale=(0.2, 0.9), ratio=(0.75, 4 / 3), hflip=0.3)
    rng = np.random.default_rng(0)
    windows = [transform.window(240, 320, u) for u in rng.random((4000, 8))]
    # The result is a square, so the largest window of a frame of 320 x 240 is 240 x 240.
    area = np.array([w.height * w.width / (240 * 240) for w in windows])
    ratio = np.array([w.width / w.height for w in windows])
    assert 0.19 < area.min() < 0.21 and 0.88 < area.max() < 0.91
    assert abs(area.mean() - 0.55) < 0.02
    assert 0.74 < ratio.min() and ratio.max() < 1.35
    # Not too wide for the frame, and both ends of the range of places occur.
    rooms = [(w.top, 240 - w.height) for w in windows] + [(w.left, 320 - w.width) for w in windows]
    assert all(0 <= at <= room for at, room in rooms)
    assert any(at == 0 < room for at, room in rooms) and any(at == room > 0 for at, room in rooms)
    assert abs(np.mean([w.mirrored for w in windows]) - 0.3) < 0.03
    assert all(w.angle == 0 for w in windows)


def test_a_wide_frame_is_not_squeezed_into_a_square_window():
    transform = TrainTransform(pixels=PIXELS, scale=(1.0, 1.0), ratio=(0.5, 2.0))
    for u in np.random.default_rng(1).random((50, 8)):
        window = transform.window(90, 320, u)
        assert window.height == pytest.approx(90 * (90 / window.width), rel=0.02)
        assert window.height <= 90 and window.width <= 180


def test_place_keeps_the_window_near_the_middle():
    transform = TrainTransform(pixels=PIXELS, scale=(0.3, 0.6), crop_jitter=0.25)
    for u in np.random.default_rng(2).random((200, 8)):
        w = transform.window(200, 300, u)
        for at, size, whole in ((w.top, w.height, 200), (w.left, w.width, 300)):
            assert abs(at - (whole - size) / 2) <= 0.25 * (whole - size) / 2 + 0.5


def test_a_squashed_window_keeps_the_proportions_of_the_frame():
    pixels = PixelSpec(short_side=32, crop=(32, 32), fit="squash")
    transform = TrainTransform(pixels=pixels, scale=(0.25, 0.25), ratio=(1.0, 1.0))
    window = transform.window(90, 160, np.full(8, 0.5))
    assert (window.height, window.width) == (45, 80)


def test_show_cuts_mirrors_and_turns():
    x = ramp(40, 60)
    cut = show(x, CropWindow(4, 10, 32, 32), (32, 32))
    assert cut.dtype == torch.uint8
    assert torch.equal(cut[:, 0], x[0, 4:36, 10:42].permute(2, 0, 1))
    assert torch.equal(show(x, CropWindow(4, 10, 32, 32, 0.0, True), (32, 32)), cut.flip(3))
    # A quarter turn samples at pixel centers, so it gives the very pixels.
    turned = show(x, CropWindow(4, 10, 32, 32, math.pi / 2), (32, 32))
    assert torch.allclose(turned[:, 0], torch.rot90(cut[:, 0], 1, (1, 2)).float(), atol=1e-3)
    tiny = show(x, CropWindow(4, 10, 32, 32, 1e-7), (32, 32))
    assert torch.allclose(tiny, cut.float(), atol=1e-3)


def test_outside_of_the_frame_the_edge_goes_on():
    x = ramp(20, 30)
    clip = show(x, CropWindow(-5, -7, 20, 30), (20, 30))
    assert torch.allclose(clip[0, 0, 10], 4.0 * (torch.arange(30) - 7).clamp(min=0), atol=1e-3)
    assert torch.allclose(clip[1, 0, :, 10], 4.0 * (torch.arange(20) - 5).clamp(min=0), atol=1e-3)


def test_a_turned_window_of_a_large_frame_is_not_aliased():
    # Stripes of one pixel must average to gray at an eighth of the size.
    x = (torch.arange(320) % 2 * 255).to(torch.uint8).view(1, 1, 320, 1)
    clip = show(x.expand(1, 240, 320, 3), CropWindow(0, 0, 240, 320, math.radians(3)), (30, 40))
    assert (clip[:, :, 3:-3, 3:-3] - 127.5).abs().max() < 10


def test_color_matrix_against_the_steps_one_by_one():
    x = torch.from_numpy(np.random.default_rng(3).uniform(90, 150, (3, 2, 5, 6))).float()
    luma = torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1, 1)
    mean = float((x * luma).sum(0).mean())
    step = x * 1.1
    step = (step - 1.1 * mean) * 0.8 + 1.1 * mean
    gray = (step * luma).sum(0, keepdim=True)
    step = gray + (step - gray) * 1.3
    assert torch.allclose(apply_color(x, *color_matrix(1.1, 0.8, 1.3, 0.0, mean)), step, atol=0.01)
    gray = apply_color(x, *color_matrix(1, 1, 0, 0.2, mean))
    assert torch.allclose(gray[0], gray[2], atol=0.05)
    assert torch.allclose(gray[0], (x * luma).sum(0), atol=0.05)
    # A full turn is nothing; a third of a turn keeps the brightness and swaps the colors.
    assert torch.allclose(apply_color(x, *color_matrix(1, 1, 1, 1.0, mean)), x, atol=0.01)
    turned = apply_color(x, *color_matrix(1, 1, 1, 1 / 3, mean))
    assert torch.allclose((turned * luma).sum(0), (x * luma).sum(0), atol=0.2)
    assert (turned - x).abs().max() > 5
    assert apply_color(x, *color_matrix(9, 1, 1, 0, mean)).max() == 255


def test_erased_boxes_lie_inside_and_have_the_stated_area():
    rng = np.random.default_rng(1)
    boxes = [erased_box(64, 48, u) for u in rng.random((3000, 4))]
    assert all(t >= 0 and x >= 0 and t + h <= 64 and x + w <= 48 for t, x, h, w in boxes)
    shares = np.array([h * w / (64 * 48) for _, _, h, w in boxes])
    assert 0.015 < shares.min() < 0.03 and 0.28 < shares.max() < 0.35
    assert any(t + h == 64 for t, _, h, _ in boxes), "the last place is reached"


@pytest.mark.parametrize(
    "bad",
    [
        {"hflip": 1.5},
        {"hue": 0.6},
        {"scale": (0.0, 1.0)},
        {"scale": (0.8, 0.5)},
        {"ratio": (2.0, 1.0)},
        {"rotate": -1.0},
    ],
)
def test_values_out_of_range_are_refused(bad):
    with pytest.raises(ConfigError, match=next(iter(bad))):
        TrainTransform(pixels=PIXELS, **bad)


def test_float_frames_are_refused():
    with pytest.raises(InputError, match="uint8"):
        TrainTransform(pixels=PIXELS)(frames().float(), np.random.default_rng(0))


@pytest.mark.slow
def test_everything_together_costs_milliseconds():
    transform = TrainTransform(pixels=PixelSpec(short_side=64, crop=(64, 64)), **ALL)
    x = frames(12, 72, 128)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        times = []
        for index in range(100):
            start = time.perf_counter()
            transform(x, np.random.default_rng(index))
            times.append(time.perf_counter() - start)
    finally:
        torch.set_num_threads(before)
    assert sorted(times)[20] < 0.006
