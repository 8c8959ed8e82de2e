"""The interface of decord over our decoders: frames, errors, sound, and loaders of others."""

from __future__ import annotations

import io
import math
import pickle
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import vitascope.compat.decord as decord
from support.sound import film_with_sound, tone
from support.videos import film, numbers
from vitascope.compat.decord import AudioReader, AVReader, VideoReader, cpu, gpu
from vitascope.data.decoder import open_video
from vitascope.data.write import write_video
from vitascope.errors import ConfigError, DecodeError, VitascopeError


@pytest.fixture(autouse=True)
def _native() -> Iterator[None]:
    yield
    decord.bridge.reset_bridge()


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return film(tmp_path_factory.mktemp("decord") / "a.mp4", frames=40, fps=10)


def _read(frames: Any) -> list[int | None]:
    data = torch.from_numpy(frames.asnumpy())
    return numbers(data if data.dim() == 4 else data[None])


def test_frames_are_those_of_the_decoder_and_of_ffmpeg(clip: Path) -> None:
    reader = VideoReader(str(clip), ctx=cpu(0), num_threads=1)
    with open_video(clip) as video:
        want = video.read(range(40)).data.numpy()
    got = reader.get_batch(range(len(reader)))
    assert (got.shape, got.dtype, len(got)) == (want.shape, "uint8", want.size)
    assert np.array_equal(got.asnumpy(), want)
    assert np.array_equal(np.stack([frame.asnumpy() for frame in reader]), want)
    assert np.array_equal(np.asarray(got), want)
    if shutil.which("ffmpeg") is None:
        pytest.skip("the ffmpeg program is not installed")
    command = ["ffmpeg", "-v", "error", "-i", str(clip), "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    raw = subprocess.run(command, capture_output=True, check=True).stdout
    assert np.array_equal(np.frombuffer(raw, np.uint8).reshape(want.shape), want)


@pytest.mark.parametrize(
    ("index", "want"),
    [
        (0, [0]), (-1, [39]), (np.int64(7), [7]), (torch.tensor(7), [7]), (slice(3, 6), [3, 4, 5]),
        (slice(None, None, -13), [39, 26, 13, 0]), ([5, 5, -40], [5, 5, 0]),
        (np.array([[2, 1]]), [2, 1]), (torch.tensor([9]), [9]), (range(2), [0, 1]),
    ],
)  # fmt: skip
def test_every_kind_of_index(clip: Path, index: Any, want: list[int]) -> None:
    reader = VideoReader(clip)
    assert _read(reader[index]) == want
    stamps = reader.get_frame_timestamp(index)
    assert stamps.dtype == np.float32
    assert np.allclose(stamps.reshape(-1, 2), [[n / 10, (n + 1) / 10] for n in want], atol=1e-6)
    assert stamps.ndim == (1 if np.ndim(index) == 0 and not isinstance(index, slice) else 2)


def test_batches_cut_off_fractions_and_may_be_empty(clip: Path) -> None:
    reader = VideoReader(clip)
    assert _read(reader.get_batch(np.linspace(0, 39, 5))) == [0, 9, 19, 29, 39]
    assert reader.get_batch([]).shape == reader[5:2].shape == (0, 80, 128, 3)
    assert reader.get_frame_timestamp([]).shape == (0, 2)


def test_places_to_read_on_from(clip: Path) -> None:
    reader = VideoReader(clip)
    keys = reader.get_key_indices()
    with open_video(clip) as video:
        line = video.timeline  # type: ignore[attr-defined]
        assert [line.pts[k] for k in keys] == list(line.key_pts)
    assert _read(reader.next()) == [0] and _read(reader.next()) == [1]
    reader[20]
    assert _read(reader.next()) == [21], "an index goes on from there"
    reader.skip_frames(5)
    assert _read(reader.next()) == [27]
    reader.seek_accurate(38)
    assert [_read(reader.next()) for _ in range(2)] == [[38], [39]]
    with pytest.raises(StopIteration):
        reader.next()
    for wanted in (0, 13, 39):
        reader.seek(wanted)
        assert _read(reader.next()) == [max(k for k in keys if k <= wanted)]


def test_key_frames_and_rate(tmp_path: Path) -> None:
    path = tmp_path / "keys.mp4"
    frames = (np.full((32, 48, 3), 5 * n, np.uint8) for n in range(30))
    write_video(path, frames, 12, options={"g": "8", "sc_threshold": "0"})
    reader = VideoReader(str(path))
    assert reader.get_key_indices() == [0, 8, 16, 24]
    assert reader.get_avg_fps() == 12.0 and type(reader.get_avg_fps()) is float
    # Time stamps that are not even: the rate is frames by duration, times are those of the file.
    odd = film(tmp_path / "odd.mp4", frames=3, fps=10, pts=[0, 1, 5])
    stamps = VideoReader(str(odd)).get_frame_timestamp(range(3))
    assert np.allclose(stamps[:, 0], [0, 0.1, 0.5]) and np.allclose(stamps[:2, 1], stamps[1:, 0])


@pytest.mark.parametrize(
    ("size", "want"),
    [((-1, -1), (80, 128)), ((64, -1), (80, 64)), ((-1, 40), (40, 128)), ((50, 30), (30, 50))],
)
def test_scaled_frames(clip: Path, size: tuple[int, int], want: tuple[int, int]) -> None:
    reader = VideoReader(str(clip), width=size[0], height=size[1])
    with open_video(clip) as video:
        scaled = video.read([3, 30], want).data.numpy()
    assert np.array_equal(reader.get_batch([3, 30]).asnumpy(), scaled)
    assert reader[3].shape == (*want, 3)


def test_open_files_and_bytes(clip: Path) -> None:
    with open(clip, "rb") as file:
        reader = VideoReader(file, num_threads=-1)
    assert _read(reader[17]) == [17], "the file may be closed"
    assert _read(VideoReader(io.BytesIO(clip.read_bytes()))[3]) == [3]
    assert _read(VideoReader(clip.read_bytes())[3]) == [3]


def test_bridges(clip: Path) -> None:
    reader = VideoReader(clip)
    decord.bridge.set_bridge("torch")
    batch = reader.get_batch([1, 2])
    assert isinstance(batch, torch.Tensor) and batch.dtype == torch.uint8
    assert numbers(batch) == [1, 2] and isinstance(reader[0], torch.Tensor)
    other: list[Any] = []
    thread = threading.Thread(
        target=lambda: other.append(decord.bridge.bridge_out(decord.nd.array([1])))
    )
    thread.start()
    thread.join()
    assert isinstance(other[0], torch.Tensor), "other threads follow the main one"
    decord.bridge.reset_bridge()
    with decord.bridge.use_torch():
        assert isinstance(reader[0], torch.Tensor)
    assert isinstance(reader[0], decord.nd.NDArray)
    array = decord.bridge.from_torch(torch.arange(3))
    assert torch.equal(decord.bridge.to_torch(array), torch.arange(3))
    assert decord.nd.from_dlpack(torch.arange(3.0)).asnumpy().tolist() == [0, 1, 2]
    for name in ("mxnet", "nothing", 3):
        with pytest.raises(AssertionError, match="legal values: native, torch") as caught:
            decord.bridge.set_bridge(name)  # type: ignore[arg-type]
        assert isinstance(caught.value, ConfigError)


def test_arrays() -> None:
    array = decord.nd.array([[1, 2], [3, 4]])
    values = array.asnumpy()
    values[0, 0] = 9
    assert array.asnumpy()[0, 0] == 1, "a copy"
    assert len(array) == 4 and array.ctx == cpu(0) == decord.nd.context("cpu", 0) != gpu(0)
    other = decord.nd.empty((2, 2), "int64")
    array.copyto(other)
    assert np.array_equal(other.asnumpy(), [[1, 2], [3, 4]]) and other != array == array
    with pytest.raises(ValueError, match="shape"):
        other.copyfrom(np.zeros(3))
    with pytest.raises(ValueError, match="legal"):
        decord.nd.context("abacus")


def test_bad_places(clip: Path) -> None:
    reader = VideoReader(clip)
    for bad in (40, -41, [0, 40], slice):
        with pytest.raises((IndexError, ConfigError)):
            reader[bad]  # type: ignore[index]
    for bad in ([40], [-41], range(39, 41)):
        with pytest.raises(IndexError, match="of 40"):
            reader.get_batch(bad)
        with pytest.raises(IndexError, match="of 40"):
            reader.get_frame_timestamp(bad)
    for call in (
        lambda: reader.seek(40), lambda: reader.seek(-1), lambda: reader.seek_accurate(40),
        lambda: reader.skip_frames(0), lambda: VideoReader(clip, ctx=0), lambda: reader[1.5],  # type: ignore
    ):  # fmt: skip
        with pytest.raises(AssertionError) as caught:
            call()
        assert isinstance(caught.value, VitascopeError) and str(caught.value)


def test_files_that_are_no_videos(tmp_path: Path, clip: Path) -> None:
    junk = tmp_path / "junk.mp4"
    junk.write_bytes(bytes(range(256)) * 40)
    for source in (str(tmp_path / "none.mp4"), str(junk), io.BytesIO(b"")):
        with pytest.raises(decord.DECORDError) as caught:
            VideoReader(source)
        assert isinstance(caught.value, RuntimeError) and isinstance(caught.value, DecodeError)
        again = pickle.loads(pickle.dumps(caught.value))
        assert type(again) is decord.DECORDError and str(again) == str(caught.value)
    with pytest.raises(decord.DECORDError, match="Use cpu"):
        VideoReader(str(clip), ctx=gpu(0))


@pytest.fixture(scope="module")
def damaged(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, set[int]]:
    """A video of which some frames do not come out whole, and their numbers."""
    path = tmp_path_factory.mktemp("damaged") / "d.mp4"
    noise = np.random.default_rng(0).integers(0, 255, (30, 48, 64, 3), np.uint8)
    write_video(path, noise, 10, options={"g": "1"})  # damage stays in its frame
    content = bytearray(path.read_bytes())
    third = len(content) // 3
    size = len(content) // 20
    content[third : third + size] = bytes(size)
    path.write_bytes(content)
    bad = set()
    with open_video(path) as video:
        for index in range(30):
            try:
                video.read([index])
            except DecodeError:
                bad.add(index)
    assert 0 < len(bad) < 15 and 0 not in bad  # the cut covers one frame or two
    return path, bad


def test_damaged_frames(damaged: tuple[Path, set[int]]) -> None:
    path, bad = damaged
    first = min(bad)
    with pytest.raises(decord.DECORDError, match=f"frame {first} is damaged"):
        VideoReader(path).get_batch(range(30))
    with pytest.raises(decord.DECORDLimitReachedError, match="more than 0 frames of 30"):
        VideoReader(path, num_threads=1, fault_tol=0).get_batch(range(30))
    with pytest.raises(decord.DECORDLimitReachedError):
        VideoReader(path, num_threads=1, fault_tol=(len(bad) - 0.5) / 30).get_batch(range(30))
    whole = [max(i for i in range(index + 1) if i not in bad) for index in range(30)]
    with open_video(path) as video:
        want = video.read(whole).data.numpy()
    for tolerance in (max(len(bad), 1), (len(bad) + 0.5) / 30):
        reader = VideoReader(path, num_threads=1, fault_tol=tolerance)
        assert np.array_equal(reader.get_batch(range(30)).asnumpy(), want)
        assert np.array_equal(reader[first].asnumpy(), want[first - 1])


def test_sound(tmp_path: Path) -> None:
    wave = tone(2, 8000)
    path = film_with_sound(tmp_path / "s.mkv", wave, 8000, delay=Fraction(1, 2))
    reader = AudioReader(str(path))
    assert reader.shape == (1, 16000) and reader.sample_rate == 8000 and len(reader) == 1
    assert reader.duration() == 2.0
    want = np.round(wave * 32767) / 32768
    assert np.abs(reader[:].asnumpy() - want).max() < 1e-6
    assert np.array_equal(reader[-3].asnumpy(), reader[15997].asnumpy())
    assert np.array_equal(reader.get_batch([5, 2]).asnumpy(), reader[:].asnumpy()[:, [5, 2]])
    assert reader.add_padding() == 4000 and reader.shape == (1, 20000)
    assert not reader[:4000].asnumpy().any() and reader.add_padding() == 0
    with pytest.raises(IndexError):
        reader[20000]
    half = AudioReader(str(path), sample_rate=4000)
    assert half.shape == (1, 8000) and "4000" in half.get_info()
    silent = film(tmp_path / "silent.mp4")
    for kind in (AudioReader, AVReader):
        with pytest.raises(decord.DECORDError, match="no sound"):
            kind(str(silent))


@pytest.mark.parametrize("delay", [Fraction(0), Fraction(1, 2)])
def test_sound_of_frames(tmp_path: Path, delay: Fraction) -> None:
    """The parts of neighboring frames touch, also where frames and samples do not go together."""
    wave = tone(2, 8000)
    path = film_with_sound(tmp_path / "s.mov", wave, 8000, fps=30, frames=60, delay=delay)
    reader = AVReader(str(path), width=64)
    sound, frames = reader[:]
    assert frames.shape == (60, 80, 64, 3) and len(sound) == len(reader) == 60
    joined = np.concatenate([part.asnumpy() for part in sound], axis=1)
    want = np.concatenate(
        [np.zeros((1, int(delay * 8000))), np.round(wave * 32767) / 32768], axis=1
    )
    assert joined.shape == (1, 16000) and np.abs(joined - want[:, :16000]).max() < 1e-6
    alone, picture = reader[31]
    assert np.array_equal(alone.asnumpy(), sound[31].asnumpy())
    assert np.array_equal(picture.asnumpy(), frames.asnumpy()[31])
    assert alone.shape == (1, math.ceil(32 * 8000 / 30) - math.ceil(31 * 8000 / 30))


VIDEOMAE = """
import numpy as np
from decord import VideoReader, cpu
def load(path, segments, length, step, width, height):
    reader = VideoReader(path, width=width, height=height, num_threads=1, ctx=cpu(0))
    span, per = length * step, len(reader) // segments
    chosen = []
    for segment in range(segments):
        if per <= span:
            index = np.linspace(0, per, num=per // step)
            index = np.concatenate((index, np.full(length - per // step, per)))
            index = np.clip(index, 0, per - 1).astype(np.int64)
        else:
            end = (span + per) // 2
            index = np.clip(np.linspace(end - span, end, num=length), 0, end - 1).astype(np.int64)
        chosen += list(index + segment * per)
    reader.seek(0)
    return chosen, reader.get_batch(chosen).asnumpy()
"""
VJEPA = """
import math
import numpy as np
from decord import VideoReader, cpu
def load(path, length, fps):
    try:
        reader = VideoReader(path, num_threads=-1, ctx=cpu(0))
    except Exception:
        return None
    step = int(math.ceil(reader.get_avg_fps()) // fps)
    reader.seek(0)
    index = np.clip(np.linspace(0, length * step, num=length), 0, len(reader) - 1).astype(np.int64)
    return list(index), reader.get_batch(index).asnumpy()
"""
INTERNVIDEO = """
import io
import decord
import numpy as np
from decord import VideoReader
decord.bridge.set_bridge("torch")
def load(path, count):
    with open(path, "rb") as file:
        reader = VideoReader(io.BytesIO(file.read()), num_threads=1)
    seconds = len(reader) / float(reader.get_avg_fps())
    edges = np.linspace(0, len(reader), count + 1).astype(int)
    index = [int(a + b) // 2 for a, b in zip(edges[:-1], edges[1:])]
    return index, seconds, reader.get_batch(index).permute(0, 3, 1, 2)
"""
INSTALLED = f"""
import importlib, importlib.util, sys
import numpy as np
import vitascope.compat.decord as mine
assert "decord" not in sys.modules
mine.install(); mine.install()
import decord, decord.bridge, decord.logging
from decord.base import DECORDError
from decord._ffi.base import DECORDError as deep
assert decord is mine and DECORDError is deep is mine.DECORDError and decord.bridge is mine.bridge
assert importlib.util.find_spec("decord") is not None
decord.logging.set_level(decord.logging.QUIET)
try:
    import decord.nothing
except ModuleNotFoundError:
    pass
else:
    raise AssertionError
from vitascope.data.decoder import open_video
from vitascope.data.render import read_number
def run(program, *args):
    space = {{}}
    exec(program, space)
    return space["load"](*args)
path, junk = sys.argv[1:]
numbers = lambda frames: [read_number(np.asarray(frame)) for frame in frames]
for segments, length, step in ((1, 16, 2), (2, 8, 2), (1, 16, 4)):
    index, frames = run({VIDEOMAE!r}, path, segments, length, step, 128, 80)
    assert len(index) == segments * length and numbers(frames) == index, index
    assert frames.flags.writeable
_, frames = run({VIDEOMAE!r}, path, 1, 16, 2, 64, 40)
assert frames.shape == (16, 40, 64, 3) and frames.dtype == np.uint8
index, frames = run({VJEPA!r}, path, 8, 5)
assert numbers(frames) == index and run({VJEPA!r}, junk, 8, 5) is None
index, seconds, frames = run({INTERNVIDEO!r}, path, 4)
assert numbers(frames.permute(0, 2, 3, 1)) == index and seconds == 4.0
"""


def test_loaders_of_others_run_unchanged(clip: Path, tmp_path: Path) -> None:
    """The ways in which VideoMAE, V-JEPA 2 and InternVideo read, through `import decord`."""
    junk = tmp_path / "junk.mp4"
    junk.write_bytes(b"no video" * 100)
    done = subprocess.run(
        [sys.executable, "-c", INSTALLED, str(clip), str(junk)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_the_original_that_is_imported_already_is_refused(tmp_path: Path) -> None:
    (tmp_path / "decord.py").write_text("")
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import decord\n"
        "from vitascope.compat.decord import install\n"
        "try:\n    install()\n"
        "except ImportError as error:\n    assert 'imported already' in str(error)\n"
        "else:\n    raise AssertionError\n"
        "assert not hasattr(decord, 'VideoReader')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


ORIGINAL = """
import sys, numpy as np, pickle
import decord
reader = decord.VideoReader(sys.argv[1], num_threads=1)
reader.seek(15); first = reader.next().asnumpy()
out = dict(
    frames=reader.get_batch(range(len(reader))).asnumpy(), first=first, fps=reader.get_avg_fps(),
    keys=reader.get_key_indices(), stamps=reader.get_frame_timestamp(range(len(reader))),
)
sys.stdout.buffer.write(pickle.dumps(out))
"""


def test_the_original_gives_the_same_where_it_is_installed(clip: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", ORIGINAL, str(clip)], capture_output=True, check=False
    )
    if b"No module named 'decord'" in done.stderr:
        pytest.skip("decord is not installed")
    want = pickle.loads(done.stdout)
    reader = VideoReader(str(clip))
    assert np.array_equal(reader.get_batch(range(40)).asnumpy(), want["frames"])
    assert np.array_equal(reader.get_frame_timestamp(range(40)), want["stamps"])
    assert (reader.get_avg_fps(), reader.get_key_indices()) == (want["fps"], want["keys"])
    reader.seek(15)
    assert np.array_equal(reader.next().asnumpy(), want["first"])
