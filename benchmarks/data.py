"""Clips a second of random training clips: vitascope beside the decoders that people call directly.

Every way gives the same clip: 8 frames spread over 2 s at a random place, short side 256, center
crop 224. The ways take turns clip by clip, in another order in each round, so that whatever else
the machine does hits all of them alike. Run it on an idle machine:

    python benchmarks/data.py --clips 40 --repeats 5

With --memory it measures memory instead: an epoch of small videos in worker processes, and what the
list of a data set costs; with --views it counts the frames that are decoded for a test on 10 x 3
views.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import importlib.metadata
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
import torch.nn.functional as F

from vitascope.data.cache.timelines import lookup
from vitascope.data.check.check import check_files
from vitascope.data.dataset import ClipDataset, Sample
from vitascope.data.decoder import open_video, short_side_size
from vitascope.data.decoders import pyav
from vitascope.data.frames import at
from vitascope.data.loader import ClipLoader, make_loader
from vitascope.data.records import VideoRecord
from vitascope.data.render import numbered_frame, render_numbered
from vitascope.data.sampler import Item, order
from vitascope.data.write import write_video
from vitascope.errors import ConfigError
from vitascope.spec import ClipSpec, ViewProtocol

FRAMES, SECONDS, SHORT, CROP, FPS = 8, 2, 256, 224, 25
CODECS = {
    "h264": ("libx264", ".mp4", {"preset": "veryfast", "crf": "23", "g": "250"}),
    "hevc": ("libx265", ".mp4", {"preset": "ultrafast", "x265-params": "keyint=250:log-level=0"}),
    "vp9": ("libvpx-vp9", ".webm", {"deadline": "realtime", "cpu-used": "8", "g": "250"}),
    "av1": ("libsvtav1", ".mp4", {"preset": "12", "g": "250"}),
}
Way = Callable[[Path, list[int]], torch.Tensor]


def render(path: Path, seconds: int, codec: str, options: dict[str, str]) -> None:
    """A video of a moving texture over numbered frames, so that it does not compress to nothing."""
    rng = np.random.default_rng((0, seconds))
    texture = rng.integers(0, 60, (360, 1280, 3), dtype=np.uint8)

    def frames() -> Iterator[np.ndarray]:
        for number in range(seconds * FPS):
            shift = 3 * number % 640
            yield numbered_frame(number, (360, 640)) // 2 + texture[:, shift : shift + 640]

    write_video(path, frames(), FPS, codec=codec, options=options)


def crop(frames: torch.Tensor) -> torch.Tensor:
    """The center of frames T H W C, as float C T H W."""
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


def raw_torchcodec(path: Path, wanted: list[int], mode: str = "exact") -> torch.Tensor:
    decoders = importlib.import_module("torchcodec.decoders")
    video = decoders.VideoDecoder(
        str(path), dimension_order="NHWC", num_ffmpeg_threads=1, seek_mode=mode
    )
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
    "TorchCodec exact": raw_torchcodec,
    "TorchCodec approximate": partial(raw_torchcodec, mode="approximate"),
    "decord": raw_decord,
    "whole clip": whole_clip,
}


def working(path: Path) -> dict[str, Way]:
    """The ways that read this video, and read the same frames."""
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


def measure(
    path: Path, seconds: int, clips: int, repeats: int
) -> tuple[dict[str, list[float]], dict[str, float]]:
    """Clips a second of each way, one number a round, and processor time of a clip in ms."""
    ways = working(path)
    rates: dict[str, list[float]] = {name: [] for name in ways}
    busy = dict.fromkeys(ways, 0.0)
    for repeat in range(repeats):
        spent = dict.fromkeys(ways, 0.0)
        for number in range(clips):
            wanted = clip_frames(number, seconds)
            for name in map(str, np.random.default_rng((repeat, number)).permutation(list(ways))):
                begin, work = time.perf_counter(), time.process_time()
                ways[name](path, wanted)
                spent[name] += time.perf_counter() - begin
                busy[name] += time.process_time() - work
        for name, total in spent.items():
            rates[name].append(clips / total)
    return rates, {name: 1000 * total / clips / repeats for name, total in busy.items()}


def versions() -> str:
    """Versions of the other decoders that are installed."""
    found = ""
    for name in ("torchcodec", "decord"):
        try:
            found += f", {name} {importlib.metadata.version(name)}"
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def resident() -> float:
    """Megabytes of this process and its children; what they share is counted once."""
    psutil = importlib.import_module("psutil")
    me = psutil.Process()
    return sum(p.memory_full_info().pss for p in (me, *me.children())) / 2**20


def epoch_memory(folder: Path, samples: int, workers: int) -> list[float]:
    """Memory after each hundredth of an epoch of small videos."""
    films = [folder / f"{number}.mp4" for number in range(100)]
    for film in films:
        render_numbered(film, 24, size=(40, 64), options={"preset": "ultrafast", "g": "12"})
    check_files(folder, jobs=1)
    records = (VideoRecord(str(films[i % len(films)]), i % 10) for i in range(samples))
    data = ClipDataset(records, ClipSpec(num_frames=4, fps=Fraction(12)), train=True)
    seen, batch = [], 20
    steps = samples // batch
    for step, _ in enumerate(make_loader(data, batch, workers=workers, shuffle=True)):
        if (step + 1) % max(steps // 100, 1) == 0:
            seen.append(resident())
    return seen


class Touching(ClipDataset):
    """Reads records all over the list for each sample, which is always the last video."""

    def __getitem__(self, item: Item | int) -> Sample:
        video, key = item if isinstance(item, tuple) else (item, (0, 0, item))
        for number in range(video, len(self.records), 1000):
            self.records[number]
        return super().__getitem__((len(self.records) - 1, key))


def list_memory(film: Path, count: int, workers: int) -> float:
    """Most memory while workers read all over a list of `count` paths."""

    def records() -> Iterator[VideoRecord]:
        for i in range(count - 1):
            name = f"/data/kinetics400/train/some class name {i % 400}/{i:011d}_000010_000020.mp4"
            yield VideoRecord(name, i % 400)
        yield VideoRecord(str(film), 0)

    data = Touching(records(), ClipSpec(num_frames=2), train=True)
    gc.collect()
    loader = ClipLoader(data, order(0, 0, 1000, shuffle=False), 50, workers=workers)
    return max(resident() for _ in loader)


def memory(samples: int, workers: int) -> None:
    """Prints what an epoch and a list cost."""
    print("| what | samples or paths | workers | MB | drift |")
    print("|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        begin = time.perf_counter()
        seen = epoch_memory(Path(folder), samples, workers)
        early, late = statistics.median(seen[9:20]), statistics.median(seen[-10:])
        took = time.perf_counter() - begin
        print(f"| an epoch, {took:.0f} s | {samples} | {workers} | {early:.0f} after a tenth, "
              f"{late:.0f} at the end | {100 * (late - early) / early:+.1f} % |")  # fmt: skip
        film = Path(folder) / "0.mp4"
        few = list_memory(film, 10_000, workers)
        many = list_memory(film, 1_000_000, workers)
        print(f"| a list | 1000000 | {workers} | {many:.0f}, with 10000 paths {few:.0f} "
              f"| {many - few:+.0f} MB |")  # fmt: skip


@contextmanager
def counting() -> Iterator[list[int]]:
    """Counts the frames that come out of the decoder: the list holds the number."""
    count, decode = [0], pyav.decode

    def counted(*args: Any, **options: Any) -> Iterator[Any]:
        for found in decode(*args, **options):
            count[0] += 1
            yield found

    pyav.decode = counted
    try:
        yield count
    finally:
        pyav.decode = decode


def views(folder: Path, codec: str, seconds: int) -> None:
    """Prints how many frames are decoded for 10 clips of 3 crops: a read for all, or one for each.

    A read for each view begins at the key frame before its clip, as the predecessors' tests do.
    """
    path = folder / f"{codec}_{seconds}{CODECS[codec][1]}"
    if not path.exists():
        render(path, seconds, CODECS[codec][0], CODECS[codec][2])
    clip = ClipSpec(num_frames=8, sampling_rate=8, fps=Fraction(FPS))
    protocol = ViewProtocol.parse("10x3")
    record = VideoRecord(str(path), 0)
    dataset = ClipDataset([record], clip, train=False, views=protocol)
    with counting() as once:
        dataset[0]
    with open_video(path, "pyav") as video:
        chosen = dataset._views(video, record)
    with counting() as apart:
        for selection in chosen * protocol.crops:
            with open_video(path, "pyav") as video:
                video.read(selection.indices)
    print(f"| {codec} {seconds} s | {once[0]} | {apart[0]} | {apart[0] / once[0]:.1f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=40)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seconds", type=int, nargs="+", default=[10, 300])
    parser.add_argument("--codecs", nargs="+", choices=CODECS, default=list(CODECS))
    parser.add_argument("--folder", help="where videos are kept; none renders them anew")
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--views", action="store_true")
    parser.add_argument("--samples", type=int, default=100_000)
    parser.add_argument("--workers", type=int, default=8)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{platform.processor() or platform.machine()}, Python {platform.python_version()}, "
          f"torch {torch.__version__}, PyAV {av.__version__}{versions()}")  # fmt: skip
    if options.memory:
        memory(options.samples, options.workers)
        return
    if options.views:
        print("| video | frames decoded for 10 x 3 views | a read for each view | times as many |")
        print("|---|--:|--:|--:|")
        with tempfile.TemporaryDirectory() as temporary:
            for codec in options.codecs:
                views(Path(options.folder or temporary), codec, min(options.seconds))
        return
    print("| video | way | clips/s (median) | least | most | CPU ms a clip "
          "| ratio to the fastest other | the same of CPU time |")  # fmt: skip
    print("|---|---|--:|--:|--:|--:|--:|--:|")
    with tempfile.TemporaryDirectory() as temporary:
        for codec in options.codecs:
            for seconds in options.seconds:
                compare(Path(options.folder or temporary), codec, seconds, options)


def compare(folder: Path, codec: str, seconds: int, options: argparse.Namespace) -> None:
    """Prints the rows of one video."""
    encoder, suffix, settings = CODECS[codec]
    path = folder / f"{codec}_{seconds}{suffix}"
    try:
        if not path.exists():
            render(path, seconds, encoder, settings)
    except ConfigError as error:
        print(f"  {codec} {seconds} s: not measured ({error})")
        return
    if lookup(path) is None:
        check_files(path, jobs=1)
    rates, busy = measure(path, seconds, options.clips, options.repeats)
    middle = {name: statistics.median(found) for name, found in rates.items()}
    for name, found in rates.items():
        others = [rate for other, rate in middle.items() if other != name]
        idle = [work for other, work in busy.items() if other != name]
        print(f"| {codec} {seconds} s | {name} | {middle[name]:.1f} | {min(found):.1f} | "
              f"{max(found):.1f} | {busy[name]:.0f} | {middle[name] / max(others):.2f} | "
              f"{min(idle) / busy[name]:.2f} |", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
