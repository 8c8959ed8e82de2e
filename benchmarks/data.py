"""Clips a second of random training clips: vitascope beside the decoders that people call directly.

Every way gives the same clip: 8 frames spread over 2 s at a random place, short side 256, centre
crop 224. The ways take turns clip by clip, in another order in each round, so that whatever else
the machine does hits all of them alike. Run it on an idle machine:

    python benchmarks/data.py --clips 40 --repeats 5
"""

from __future__ import annotations

import argparse
import importlib
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import torch
import torch.nn.functional as F

from vitascope.data.decoder import open_video, short_side_size
from vitascope.data.frames import at
from vitascope.data.index import check
from vitascope.data.render import numbered_frame
from vitascope.data.write import write_video
from vitascope.errors import ConfigError

FRAMES, SECONDS, SHORT, CROP, FPS = 8, 2, 256, 224, 25
CODECS = {
    "h264": ("libx264", ".mp4", {"preset": "veryfast", "crf": "23", "g": "250"}),
    "hevc": ("libx265", ".mp4", {"preset": "ultrafast", "x265-params": "keyint=250:log-level=0"}),
    "vp9": ("libvpx-vp9", ".webm", {"deadline": "realtime", "cpu-used": "8", "g": "250"}),
    "av1": ("libsvtav1", ".mp4", {"preset": "12", "g": "250"}),
}
Way = Callable[[Path, list[int]], torch.Tensor]


def render(path: Path, seconds: int, codec: str, options: dict[str, str]) -> None:
    """A film of a moving texture over numbered frames, so that it does not compress to nothing."""
    rng = np.random.default_rng((0, seconds))
    texture = rng.integers(0, 60, (360, 1280, 3), dtype=np.uint8)

    def frames() -> Iterator[np.ndarray]:
        for number in range(seconds * FPS):
            shift = 3 * number % 640
            yield numbered_frame(number, (360, 640)) // 2 + texture[:, shift : shift + 640]

    write_video(path, frames(), FPS, codec=codec, options=options)


def crop(frames: torch.Tensor) -> torch.Tensor:
    """The centre of frames T H W C, as float C T H W."""
    top, left = ((side - CROP) // 2 for side in frames.shape[1:3])
    return frames[:, top : top + CROP, left : left + CROP].permute(3, 0, 1, 2).float() / 255


def scaled(frames: torch.Tensor) -> torch.Tensor:
    """Frames T H W C brought to the short side."""
    size = short_side_size(*frames.shape[1:3], SHORT)
    small = F.interpolate(frames.permute(0, 3, 1, 2).float(), size=size, mode="bilinear")
    return small.permute(0, 2, 3, 1)


def vitascope(path: Path, wanted: list[int]) -> torch.Tensor:
    with open_video(path) as video:
        size = short_side_size(video.height, video.width, SHORT)
        return crop(video.read(wanted, size=size).data)


def raw_pyav(path: Path, wanted: list[int]) -> torch.Tensor:
    with av.open(str(path)) as film:
        stream = film.streams.video[0]
        step = 1 / (stream.average_rate * stream.time_base)
        first = stream.start_time or 0
        film.seek(int(first + wanted[0] * step), stream=stream)
        left, found = list(wanted), []
        for frame in film.decode(stream):
            while left and round((frame.pts - first) / step) >= left[0]:
                left.pop(0)
                found.append(torch.from_numpy(frame.to_ndarray(format="rgb24")))
            if not left:
                break
    return crop(scaled(torch.stack(found)))


def raw_torchcodec(path: Path, wanted: list[int]) -> torch.Tensor:
    decoders = importlib.import_module("torchcodec.decoders")
    video = decoders.VideoDecoder(str(path), dimension_order="NHWC", num_ffmpeg_threads=1)
    return crop(scaled(video.get_frames_at(wanted).data))


def raw_decord(path: Path, wanted: list[int]) -> torch.Tensor:
    decord = importlib.import_module("decord")
    video = decord.VideoReader(str(path), num_threads=1)
    return crop(scaled(torch.from_numpy(video.get_batch(wanted).asnumpy())))


def whole_clip(path: Path, wanted: list[int]) -> torch.Tensor:
    """PyTorchVideo's way: decode and convert every frame of the clip, keep every n-th, scale."""
    every = list(range(wanted[0], wanted[0] + SECONDS * FPS))
    with av.open(str(path)) as film:
        stream = film.streams.video[0]
        step = 1 / (stream.average_rate * stream.time_base)
        first = stream.start_time or 0
        film.seek(int(first + every[0] * step), stream=stream)
        found = []
        for frame in film.decode(stream):
            number = round((frame.pts - first) / step)
            if number >= every[0]:
                found.append(torch.from_numpy(frame.to_ndarray(format="rgb24")))
            if number >= every[-1]:
                break
    frames = torch.stack(found)
    return crop(scaled(frames[[i - wanted[0] for i in wanted]]))


WAYS: dict[str, Way] = {
    "vitascope": vitascope,
    "PyAV": raw_pyav,
    "TorchCodec": raw_torchcodec,
    "decord": raw_decord,
    "whole clip": whole_clip,
}


def working(path: Path) -> dict[str, Way]:
    """The ways that read this film, and read the same frames."""
    wanted, found = clip_frames(0, 5), {}
    want = vitascope(path, wanted)
    for name, way in WAYS.items():
        try:
            got = way(path, wanted)
        except (ImportError, RuntimeError, OSError) as error:
            print(f"  {name}: not tried ({str(error).splitlines()[0][:90]})")
            continue
        off = float((got - want).abs().mean())
        if got.shape != want.shape or off > 0.05:
            print(f"  {name}: other frames (difference {off:.3f}); left out")
            continue
        found[name] = way
    return found


def clip_frames(number: int, seconds: int) -> list[int]:
    """The frames of a random clip, by number."""
    rng = np.random.default_rng((number, seconds))
    start = Fraction(int(rng.integers(0, (seconds - SECONDS) * 1000 + 1)), 1000)
    times = [Fraction(i, FPS) for i in range(seconds * FPS)]
    return at(times, [start + Fraction(SECONDS * k, FRAMES) for k in range(FRAMES)])


def measure(path: Path, seconds: int, clips: int, repeats: int) -> dict[str, list[float]]:
    """Clips a second of each way, one number a round."""
    ways = working(path)
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for repeat in range(repeats):
        spent = dict.fromkeys(ways, 0.0)
        for number in range(clips):
            wanted = clip_frames(number, seconds)
            for name in np.random.default_rng((repeat, number)).permutation(list(ways)):
                begin = time.perf_counter()
                ways[str(name)](path, wanted)
                spent[str(name)] += time.perf_counter() - begin
        for name, total in spent.items():
            rates[name].append(clips / total)
    return rates


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=40)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seconds", type=int, nargs="+", default=[10, 300])
    parser.add_argument("--codecs", nargs="+", choices=CODECS, default=list(CODECS))
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{platform.processor() or platform.machine()}, Python {platform.python_version()}, "
          f"torch {torch.__version__}, PyAV {av.__version__}")  # fmt: skip
    print("| film | way | clips/s (median) | least | most | ratio to the fastest other |")
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for codec in options.codecs:
            encoder, suffix, settings = CODECS[codec]
            for seconds in options.seconds:
                path = Path(folder) / f"{codec}_{seconds}{suffix}"
                try:
                    render(path, seconds, encoder, settings)
                except ConfigError as error:
                    print(f"  {codec}: no such encoder here ({error})")
                    continue
                check(path, jobs=1, folder=None)
                rates = measure(path, seconds, options.clips, options.repeats)
                middle = {name: statistics.median(found) for name, found in rates.items()}
                for name, found in rates.items():
                    others = [rate for other, rate in middle.items() if other != name]
                    ratio = middle[name] / max(others) if others else float("nan")
                    print(f"| {codec} {seconds} s | {name} | {middle[name]:.1f} | "
                          f"{min(found):.1f} | {max(found):.1f} | {ratio:.2f} |")  # fmt: skip


if __name__ == "__main__":
    main()
