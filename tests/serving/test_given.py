"""Whatever a model is given to look at: the scores of the same frames in a file or folder."""

from __future__ import annotations

import array
import collections
import io
import mmap
import os
import tempfile
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from support.videos import film
from vitascope.data.decoder import open_video
from vitascope.data.decoders.arrays import ArrayDecoder
from vitascope.errors import ConfigError, InputError, VitascopeError
from vitascope.models.registry import create_model
from vitascope.serving.given import given
from vitascope.serving.loading import ModelSource
from vitascope.serving.predictor import Predictor
from vitascope.spec import ClipSpec, Contract, LabelSpec, PixelSpec

NAMES = ("a", "b", "c", "d")


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    torch.manual_seed(3)
    args = {"input_clip_length": 4, "input_crop_size": 32, "depth_factor": 0.3}
    model = create_model("x3d_xs", num_classes=4, **args)
    model.train()
    with torch.no_grad():
        model(torch.randn(4, 3, 4, 32, 32))
        owner, name = model.head_linear()
        getattr(owner, name).weight.mul_(100)
    model.eval()

    def forward(video: Any) -> Tensor:
        with torch.inference_mode():
            return model(video)

    contract = Contract(
        model="x3d_xs", args=args, labels=LabelSpec(names=NAMES),
        clip=ClipSpec(num_frames=4, sampling_rate=2, fps=Fraction(12)),
        pixels=PixelSpec(short_side=36, crop=(32, 32)),
    )  # fmt: skip
    return Predictor(ModelSource(Path("x"), "checkpoint", contract, forward, model))


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return film(tmp_path_factory.mktemp("films") / "film.mp4", frames=30, fps=12)


@pytest.fixture(scope="module")
def frames(video: Path) -> np.ndarray:
    with open_video(video) as opened:
        return opened.read(range(30)).data.numpy()


@pytest.fixture(scope="module")
def folder(frames: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("frames")
    for number, image in enumerate(frames):
        Image.fromarray(image).save(place / f"{number}.png")
    return place


FORMS: dict[str, Callable[[np.ndarray, Path], Any]] = {
    "array": lambda f, d: f,
    "array of a slice": lambda f, d: np.concatenate([f, f])[: len(f)],
    "mirrored view": lambda f, d: f[:, :, ::-1][:, :, ::-1],
    "tensor": lambda f, d: torch.from_numpy(f),
    "channels first in memory": lambda f, d: (
        torch.from_numpy(f).permute(0, 3, 1, 2).contiguous().permute(0, 2, 3, 1)
    ),
    "list of arrays": lambda f, d: list(f),
    "tuple of tensors": lambda f, d: tuple(torch.from_numpy(f)),
    "memoryview of an array": lambda f, d: memoryview(f),
    "read-only": lambda f, d: np.frombuffer(f.tobytes(), np.uint8).reshape(f.shape),
    "columns first in memory": lambda f, d: np.asfortranarray(f),
    "tuple of images with alpha": lambda f, d: tuple(Image.fromarray(i).convert("RGBA") for i in f),
    "list of Pillow images": lambda f, d: [Image.fromarray(i) for i in f],
    "folder": lambda f, d: d,
    "folder as text": lambda f, d: str(d),
    "list of image paths": lambda f, d: [d / f"{i}.png" for i in range(len(f))],
    "list of image names": lambda f, d: [str(d / f"{i}.png") for i in range(len(f))],
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("views", ["1x1", "3x3"])
def test_frames_in_every_form(
    predictor: Predictor, frames: np.ndarray, folder: Path, form: str, views: str
) -> None:
    expected = predictor.predict(folder, views=views)
    found = predictor.predict(FORMS[form](frames, folder), views=views)
    assert torch.equal(found.scores, expected.scores)
    assert len(found.path) < 200


def test_frames_at_the_rate_of_the_film_are_the_film(
    predictor: Predictor, frames: np.ndarray, video: Path
) -> None:
    expected, found = predictor.predict(video), predictor.predict(frames, fps=12)
    assert torch.equal(found.scores, expected.scores)
    assert not torch.equal(predictor.predict(frames, fps=6).scores, expected.scores)


@pytest.mark.parametrize(
    "form",
    ["bytes", "bytearray", "memoryview", "open", "unbuffered", "buffer", "spooled", "mmap", "~",
     "list", "np.str_", "fspath"],
)  # fmt: skip
def test_files_in_every_form(
    predictor: Predictor, video: Path, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = predictor.predict(video).scores
    content = video.read_bytes()
    monkeypatch.setenv("HOME", str(video.parent))
    with (
        open(video, "rb") as file,
        open(video, "rb", buffering=0) as plain,
        tempfile.SpooledTemporaryFile() as spooled,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped,
    ):
        spooled.write(content)
        file.read(100)
        value: Any = {
            "unbuffered": plain, "spooled": spooled, "mmap": mapped,
            "np.str_": np.str_(video), "fspath": os.fspath(video),
            "bytes": content, "bytearray": bytearray(content), "memoryview": memoryview(content),
            "open": file, "buffer": io.BytesIO(content), "~": "~/film.mp4",
            "list": [str(video), video],
        }[form]  # fmt: skip
        found = predictor.predict(value)
        if form == "list":
            assert len(found) == 2
            found = found[1]
        assert torch.equal(found.scores, expected)
        assert predictor.predict(value) is not None  # an open file can be given again


def test_many(predictor: Predictor, video: Path, frames: np.ndarray) -> None:
    expected = predictor.predict(video).scores
    for videos in (video.parent, str(video.parent), [video.read_bytes()], str(video)):
        (one,) = predictor.predict_many(videos)
        assert torch.equal(one.scores, expected)
    (one,) = predictor.predict_many([frames])
    assert one.path == "<30 frames of 80 x 128>"


def test_a_time_line_of_frames(predictor: Predictor, frames: np.ndarray, folder: Path) -> None:
    one, two = (list(predictor.timeline(v, "0.2")) for v in (frames, folder))
    assert len(one) == len(two) > 2
    assert all(torch.equal(a.scores, b.scores) for a, b in zip(one, two, strict=True))


BAD: dict[str, Any] = {
    "channels first": np.zeros((8, 3, 40, 40), np.uint8),
    "floats": np.zeros((8, 40, 40, 3), np.float32),
    "a clip of a batch": torch.zeros(1, 3, 8, 40, 40),
    "bfloat16": torch.zeros(8, 40, 40, 3, dtype=torch.bfloat16),
    "sparse": torch.zeros(8, 3).to_sparse(),
    "one image": np.zeros((40, 40, 3), np.uint8),
    "no frame": np.zeros((0, 40, 40, 3), np.uint8),
    "gray": np.zeros((8, 40, 40), np.uint8),
    "alpha": np.zeros((8, 40, 40, 4), np.uint8),
    "no values": torch.zeros(8, 40, 40, 3, dtype=torch.uint8, device="meta"),
    "8-bit floats": torch.zeros(8, 40, 40, 3).to(torch.float8_e5m2),
    "whole numbers": np.zeros((8, 40, 40, 3), np.int64),
    "a Pillow image": Image.new("RGB", (40, 40)),
    "images of several sizes": [Image.new("RGB", (40, 40)), Image.new("RGB", (41, 40))],
    "an array of paths": np.array(["a.mp4", "b.mp4"]),
    "objects that are frames": np.array([*np.zeros((3, 40, 40, 3), np.uint8), None], object),
    "a list of bytes": [b"x" * 10**6] * 3,
    "a list in a list": [["a.mp4"]],
    "a path of bytes": b"/tmp/gone.mp4",
    "a set": {"a.mp4"},
    "a deque": collections.deque([np.zeros((40, 40, 3), np.uint8)]),
    "a buffer of another kind": array.array("B", bytes(1000)),
    "a view of floats": memoryview(np.zeros((8, 40, 40, 3))),
    "a class": Path,
    "objects": np.array([[1, "a"]] * 100_000, object),
    "content as an array": np.zeros(10**6, np.uint8),
    "several sizes": [np.zeros((40, 40, 3), np.uint8), np.zeros((41, 40, 3), np.uint8)],
    "gray images": [np.zeros((40, 40), np.uint8)] * 3,
    "numbers": [1] * 100_000,
    "an empty list": [],
    "nothing": None,
    "a number": 7,
    "a dictionary": {i: "x" * 100 for i in range(1000)},
    "text of a file": "x" * 10**6,
    "text with a zero": "a\0b" * 1000,
    "half a character": "\ud800.mp4",
    "empty text": "",
    "text mode": io.StringIO("x" * 10**6),
    "no video": b"x" * 10**6,
    "no bytes": b"",
    "a missing file": "gone/clip.mp4",
    "a missing home": "~/gone/clip.mp4",
    "a generator": (i for i in range(3)),
    "a mix": ["a.mp4", np.zeros((4, 4, 3), np.uint8)],
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_video_is_refused_in_one_short_line(predictor: Predictor, name: str) -> None:
    with pytest.raises(VitascopeError) as info:
        predictor.predict(BAD[name])
    text = str(info.value)
    assert len(text) < 350 and "\n" not in text
    assert len(ascii(text)) < 600


def test_open_files_that_cannot_be_read(predictor: Predictor, video: Path) -> None:
    class Stream(io.RawIOBase):
        """As of a socket: without a way back."""

    class Broken(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise ConnectionError("gone\n" * 1000)

    with open(video, "rb") as closed:
        pass
    with open(video.parent / "w.bin", "wb") as file:
        for value, message in (
            (Stream(), "read it into bytes"), (closed, "read it into bytes"),
            (file, "cannot be read"), (Broken(), "cannot be read"),
        ):  # fmt: skip
            with pytest.raises(VitascopeError, match=message) as info:
                predictor.predict(value)
            assert len(str(info.value)) < 350 and "\n" not in str(info.value)
    (video.parent / "w.bin").unlink()


def test_files_that_cannot_be_read_so(predictor: Predictor, video: Path, tmp_path: Path) -> None:
    film(tmp_path / "b.mp4", frames=5)
    film(tmp_path / "a.mp4", frames=5)
    with pytest.raises(ConfigError, match=r"a folder of videos and not of frames.*predict_many"):
        predictor.predict(tmp_path)
    with open(video, encoding="latin-1") as file, pytest.raises(ConfigError, match="binary mode"):
        predictor.predict(file)
    with pytest.raises(ConfigError, match="a video file has its own times"):
        predictor.predict(video, fps=10)
    with pytest.raises(ConfigError, match="must be above 0"):
        predictor.predict(np.zeros((8, 40, 40, 3), np.uint8), fps=0)


def test_an_array_is_a_decoder_like_others(frames: np.ndarray, folder: Path) -> None:
    one, two = ArrayDecoder(frames), open_video(folder)
    assert (one.times, one.duration, one.fps, one.height, one.width) == (
        two.times, two.duration, two.fps, two.height, two.width
    )  # fmt: skip
    for size in (None, (20, 24), (100, 200)):
        a, b = (d.read([3, 0, 3, 29], size) for d in (one, two))
        assert torch.equal(a.data, b.data) and a.pts == b.pts
        a, b = (list(d.stream(Fraction(1, 4), Fraction(1, 2), size)) for d in (one, two))
        assert [t for t, _ in a] == [t for t, _ in b]
        assert all(np.array_equal(x, y) for (_, x), (_, y) in zip(a, b, strict=True))
    with pytest.raises(IndexError):
        one.read([30])
    with pytest.raises(InputError, match=r"shape \(2, 3\)"):
        ArrayDecoder(np.zeros((2, 3), np.uint8))


def test_names_stay_as_they_are() -> None:
    assert given("/a/\x1b b\udcff.mp4").name == "/a/\x1b b\udcff.mp4"
