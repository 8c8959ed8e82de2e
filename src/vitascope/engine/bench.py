"""How fast a data set can be loaded, where the time goes, and how many workers a model needs."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from vitascope.data.dataset import ClipDataset
from vitascope.data.listing import is_remote
from vitascope.data.records import Table
from vitascope.data.sampler import order
from vitascope.data.scale import Scale
from vitascope.data.shards.remote import parse_part
from vitascope.engine.config import AugmentConfig
from vitascope.errors import ConfigError, DatasetError, DecodeError
from vitascope.models.registry import create_model, get_card
from vitascope.transforms.pathways import pack_pathways
from vitascope.transforms.train import TrainTransform

_SCALE = 1.25  # as `data.scale`: frames for training are a little larger than the crop


@dataclass(frozen=True, kw_only=True)
class DataSpeed:
    """Mean time of a training clip in one process, by what it is spent on.

    Attributes:
        decoder: backend.
        clips: number of clips that were measured.
        read: seconds to read the whole file (an upper bound: a decoder may need a part).
        decode: seconds to open the video, which is then in memory, and decode the frames.
        transform: seconds to augment, crop and normalize.
        failed: videos that could not be read; they are left out.
    """

    decoder: str
    clips: int
    read: float
    decode: float
    transform: float
    failed: int = 0

    @property
    def seconds(self) -> float:
        """Seconds a clip."""
        return self.read + self.decode + self.transform

    @property
    def clips_per_second(self) -> float:
        """Clips a second of one process."""
        return 1 / self.seconds


def measure_data(
    table: Table, model: str, decoder: str = "pyav", clips: int = 64, seed: int = 0
) -> DataSpeed:
    """Loads training clips as the model's recipe does and takes the time of each part.

    Args:
        table: the data set; the training split where it has one.
        model: a model by name; its card says how many frames and pixels a clip has.
        decoder: backend by name.
        clips: how many; videos are drawn at random and come again if there are fewer.
        seed: decides which videos and clips.

    Raises:
        ConfigError: fewer than one clip.
        DatasetError: not one video can be read.
        UnknownNameError: no such model or decoder.
    """
    if clips < 1:
        raise ConfigError(f"clips = {clips}; it must be at least 1")
    card = get_card(model)
    records = table.of("train") if "train" in table.splits else table.records
    scale = Scale(short_side=math.ceil(card.pixels.short_side * _SCALE))
    data = ClipDataset(records, card.clip, train=True, seed=seed, decoder=decoder, scale=scale)
    transform = TrainTransform(pixels=card.pixels, **AugmentConfig().single_clip)
    spent, done, failed, reason = [0.0, 0.0, 0.0], 0, 0, ""
    rounds = range(-(-clips // len(records)))
    items = [item for epoch in rounds for item in order(seed, epoch, len(records))]
    for video, key in items[:clips]:
        begin = time.perf_counter()
        try:
            _read(data.records[video].path)
            read = time.perf_counter()
            frames: Tensor = data[video, key]["video"]
        except (DecodeError, DatasetError) as error:
            failed, reason = failed + 1, str(error)
            continue
        decoded = time.perf_counter()
        transform(frames, np.random.default_rng(key))
        end = time.perf_counter()
        done += 1
        for part, seconds in enumerate((read - begin, decoded - read, end - decoded)):
            spent[part] += seconds
    if not done:
        raise DatasetError(f"not one of {failed} videos could be read, the last: {reason}")
    read, decode, change = (seconds / done for seconds in spent)
    return DataSpeed(
        decoder=decoder, clips=done, read=read, decode=decode, transform=change, failed=failed
    )


def _read(path: str) -> None:
    """Reads a file, or all of a folder, so that decoding finds it in memory."""
    if is_remote(path) or parse_part(path) is not None:
        return  # fetched while it is opened: counted as decoding
    names = [path]
    if os.path.isdir(path):
        names = [entry.path for entry in os.scandir(path) if entry.is_file()]
    for name in names:
        try:
            with open(name, "rb") as file:
                while file.read(2**20):
                    pass
        except OSError as error:
            raise DecodeError(name, f"cannot be read ({error.strerror})") from error


def measure_model(
    model: str, batch: int = 2, steps: int = 3, device: str | None = None
) -> tuple[float, str]:
    """Training clips that a model takes in a second: forward and backward, without the update.

    Args:
        model: a model by name, with random weights.
        batch: clips of a step.
        steps: steps that are timed, after one that is not.
        device: where; None takes a GPU if there is one.

    Returns:
        Clips a second, and the device.
    """
    where = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    card = get_card(model)
    net = create_model(model).train().to(where)
    video = torch.zeros(batch, 3, card.clip.num_frames, *card.pixels.crop, device=where)
    packed = pack_pathways(video, card.clip.pathways)

    def step() -> None:
        net.zero_grad(set_to_none=True)
        output = net(packed)
        output.float().square().mean().backward()

    return batch / _timed(step, steps, where), str(where)


def _timed(step: Callable[[], None], steps: int, device: torch.device) -> float:
    """Seconds of a step, of several after a first one."""
    step()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    begin = time.perf_counter()
    for _ in range(steps):
        step()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return (time.perf_counter() - begin) / steps


def workers_needed(speed: DataSpeed, model_clips_per_second: float) -> int:
    """Worker processes that keep a model busy, if each has a core of its own."""
    return math.ceil(model_clips_per_second * speed.seconds)
