"""Images survive their encoding; strips hold the frames that they claim to."""

from __future__ import annotations

import base64
import io

import av
import numpy as np
import pytest

from vitascope.serving.draw import Image, data_uri, jpeg, png, scale_to_height, strip


def _decode(data: bytes) -> Image:
    with av.open(io.BytesIO(data)) as container:
        return next(container.decode(video=0)).to_ndarray(format="rgb24")


def _gradient(height: int, width: int) -> Image:
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([255 * x / width, 255 * y / height, 90 + 0 * x], -1).astype(np.uint8)


@pytest.mark.parametrize("size", [(1, 1), (7, 13), (64, 48)])
def test_png_is_lossless(size: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    np.testing.assert_array_equal(_decode(png(image)), image)
    gray = image[..., 0]
    np.testing.assert_array_equal(_decode(png(gray))[..., 1], gray)


@pytest.mark.parametrize("size", [(2, 2), (31, 45), (120, 90)])
def test_jpeg_is_close_and_small(size: tuple[int, int]) -> None:
    image = _gradient(*size)
    data = jpeg(image)
    decoded = _decode(data)
    assert decoded.shape == image.shape
    if min(size) > 8:
        assert np.abs(decoded.astype(int) - image).mean() < 4
        assert len(data) < image.size / 3


def test_colors_keep_their_places() -> None:
    image = np.zeros((32, 96, 3), np.uint8)
    image[:, :32, 0] = image[:, 32:64, 1] = image[:, 64:, 2] = 255
    decoded = _decode(jpeg(image, step=2)).astype(int)
    for block in range(3):
        middle = decoded[16, 32 * block + 16]
        assert middle.argmax() == block
        assert middle[block] > 235 and np.delete(middle, block).max() < 20


def test_data_uri_names_its_kind() -> None:
    image = _gradient(8, 8)
    for data, kind in ((png(image), "png"), (jpeg(image), "jpeg")):
        head, _, body = data_uri(data).partition(",")
        assert head == f"data:image/{kind};base64"
        assert base64.b64decode(body) == data


def test_strip_shows_first_to_last() -> None:
    frames = [np.full((20, 30, 3), 10 * i, np.uint8) for i in range(9)]
    joined = strip(frames, height=10, count=3, gap=2)
    assert joined.shape == (10, 15 * 3 + 2 * 2, 3)
    assert [int(joined[5, x, 0]) for x in (7, 15 + 2 + 7, 2 * 17 + 7)] == [0, 40, 80]
    assert strip(frames[:2], height=10, count=3).shape[1] == 15 * 2 + 2


def test_scale_keeps_ratio_and_mean() -> None:
    scaled = scale_to_height(_gradient(100, 200), 25)
    assert scaled.shape == (25, 50, 3)
    assert abs(float(scaled.mean()) - float(_gradient(100, 200).mean())) < 1
