"""What else belongs to a clip: sound, optical flow, motion sensors, on its own [start, end)."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from vitascope.data.clips import Clip
from vitascope.data.decoder import Decoder
from vitascope.data.modalities.audio import SoundReader
from vitascope.data.modalities.audio_features import LogMel
from vitascope.data.modalities.imu import read_imu
from vitascope.data.modalities.optical_flow import compute_flow, open_flow
from vitascope.data.records import VideoRecord
from vitascope.errors import ConfigError, DatasetError

Values = dict[str, Tensor]


@dataclass(frozen=True)
class ClipContext:
    """A clip of an open video.

    Attributes:
        record: the video's record.
        video: the open video.
        clip: the interval of the clip; it may run beyond `within`.
        within: the part of the video that may be seen and heard.
        indices: numbers of the frames that were chosen.
    """

    record: VideoRecord
    video: Decoder
    clip: Clip
    within: Clip
    indices: tuple[int, ...]


class Modality(Protocol):
    """Something that is read for each clip; see `ClipDataset(modalities=...)`."""

    def load(self, context: ClipContext) -> Values:
        """Tensors by name; names and shapes are the same for every clip of one length.

        Raises:
            DatasetError: what belongs to the video is missing or does not fit to it.
            DecodeError: it cannot be read.
        """
        ...


@dataclass(frozen=True)
class Audio:
    """The sound of the video file.

    Gives `audio` float32 C S in [-1, 1] and `has_audio` (bool, no dimension): a clip without
    sound is zeros. With `log_mel` also `log_mel` float32 C T F.

    Args:
        rate: samples a second.
        mono: the mean of all channels; without, all files need the same number of channels.
        log_mel: spectrogram to compute; its rate must be `rate`.

    Raises:
        ConfigError: two rates.
    """

    rate: int = 16000
    mono: bool = True
    log_mel: LogMel | None = None

    def __post_init__(self) -> None:
        if self.log_mel is not None and self.log_mel.rate != self.rate:
            raise ConfigError(
                f"the sound has {self.rate} samples a second, and the spectrogram is for "
                f"{self.log_mel.rate}"
            )

    def load(self, context: ClipContext) -> Values:
        """The sound of the clip, zero outside the part that may be heard."""
        path = context.record.path
        if os.path.isdir(path):  # images have no sound
            samples, has_audio = SoundReader.silence(context.clip.length, self.rate), False
        else:
            sound = SoundReader(path, context.video.start).read(
                context.clip, self.rate, mono=self.mono
            )
            samples, has_audio = sound.samples, sound.has_audio
        samples = _only_within(samples, context, self.rate)
        found = {"audio": samples, "has_audio": torch.tensor(has_audio)}
        if self.log_mel is not None:
            found["log_mel"] = self.log_mel(samples)
        return found


@dataclass(frozen=True)
class BesideVideo:
    """Where the files that belong to a video lie: the same path below another folder.

    Args:
        folder: root/a/v.mp4 has its file at folder/a/v.SUFFIX, or its folder at folder/a/v.
        root: folder that the paths of the videos start from.
    """

    folder: str | Path
    root: str | Path

    def find(self, record: VideoRecord, suffixes: Sequence[str]) -> str:
        """The file or folder of a video.

        Raises:
            DatasetError: there is none, or the video lies outside the root.
        """
        relative = os.path.relpath(record.path, self.root)
        if relative.startswith(".."):
            raise DatasetError(f"{record.path} does not lie below {self.root}")
        stem = os.path.join(self.folder, os.path.splitext(relative)[0])
        for suffix in suffixes:
            if os.path.exists(stem + suffix):
                return stem + suffix
        raise DatasetError(
            f"{record.path}: nothing belongs to it at {stem} ({', '.join(filter(None, suffixes))})"
        )


@dataclass(frozen=True)
class StoredFlow:
    """Optical flow from files; see `optical_flow.open_flow`.

    Gives `flow` float32 2 T H W, in pixels from each chosen frame to the next frame of the video,
    and `flow_valid` bool T, False for the last frame of the video, whose flow is 0. It has the
    size of the stored flow: what the transform does to frames is not done to it.

    Args:
        place: where the files lie.
        bound: pixels at the ends of the scale of 8-bit images.
    """

    place: BesideVideo
    bound: float = 20.0

    def load(self, context: ClipContext) -> Values:
        """The flow at the chosen frames."""
        path = self.place.find(context.record, ("", ".npy", ".npz"))
        flow = open_flow(path, self.bound)
        count = len(context.video.times)
        if len(flow) not in (count, count - 1):
            raise DatasetError(
                f"{path}: {len(flow)} flows, and the video has {count} frames; {count - 1} or "
                f"{count} are expected. Compute them again from this file"
            )
        return _flow_values(context, lambda wanted: flow.read(wanted))


@dataclass(frozen=True)
class ComputedFlow:
    """Optical flow by OpenCV's DIS method (arXiv:1603.03590); values as `StoredFlow`.

    Args:
        preset: "ultrafast", "fast" or "medium".
        size: height and width of the frames it is computed on; None leaves them as stored.
    """

    preset: str = "medium"
    size: tuple[int, int] | None = None

    def load(self, context: ClipContext) -> Values:
        """The flow at the chosen frames."""

        def between(wanted: Sequence[int]) -> Tensor:
            needed = sorted({i + step for i in wanted for step in (0, 1)})
            frames = context.video.read(needed, self.size).data
            place = {index: i for i, index in enumerate(needed)}
            pairs = [(frames[place[i]], frames[place[i + 1]]) for i in wanted]
            return compute_flow(pairs, self.preset)

        return _flow_values(context, between)


@dataclass(frozen=True)
class Imu:
    """Motion sensors from a table with a clock of its own; see `imu.read_imu`.

    Gives `imu` float32 C S, values between the readings by linear interpolation at start + n /
    rate, and `imu_valid` bool S, False (and the values 0) where there are no readings around.

    Args:
        place: where the tables lie.
        rate: values a second.
        columns: columns to take; None takes all but the time.
        time: name of the column of the clock.
        unit: seconds of one step of the clock, such as Fraction(1, 1000) for milliseconds.
        origin: what the clock shows at the first frame of the video; None is its first reading.
        max_gap: seconds between two readings above which nothing is known between them.
    """

    place: BesideVideo
    rate: int
    columns: tuple[str, ...] | None = None
    time: str = "time"
    unit: Fraction = Fraction(1)
    origin: Fraction | None = None
    max_gap: float = field(default=float("inf"))

    def load(self, context: ClipContext) -> Values:
        """The readings of the clip."""
        path = self.place.find(context.record, (".csv", ".npz"))
        track = read_imu(path, self.columns, time=self.time, unit=self.unit, origin=self.origin)
        values, valid = track.resample(context.clip, self.rate, max_gap=self.max_gap)
        valid = _only_within(valid[None], context, self.rate)[0]
        return {"imu": values * valid, "imu_valid": valid}


def load_all(modalities: Iterable[Modality], contexts: Sequence[ClipContext]) -> list[Values]:
    """What all modalities have of each of several clips of one video.

    Raises:
        ConfigError: two modalities with one name.
    """
    found = []
    for context in contexts:
        values: Values = {}
        for modality in modalities:
            loaded = modality.load(context)
            twice = [name for name in loaded if name in values or name in _TAKEN]
            if twice:
                raise ConfigError(
                    f"two modalities, or the sample itself, call a value {twice[0]!r}"
                )
            values.update(loaded)
        found.append(values)
    return found


_TAKEN = frozenset({"video", "label", "index", "valid", "mask", "fault", "faults"})


def _only_within(samples: Tensor, context: ClipContext, rate: int) -> Tensor:
    """Zero (False) outside the part of the video that belongs to the record; C S."""
    places = torch.arange(samples.shape[-1])
    begin = (context.within.start - context.clip.start) * rate
    end = (context.within.end - context.clip.start) * rate
    return samples * ((places >= -(-begin // 1)) & (places < -(-end // 1)))


def _flow_values(context: ClipContext, read: Any) -> Values:
    last = len(context.video.times) - 1
    valid = torch.tensor([i < last for i in context.indices])
    wanted = sorted({i for i in context.indices if i < last} or {0})
    if last < 1:
        raise DatasetError(f"{context.record.path}: a video of one frame has no optical flow")
    flows = read(wanted)
    place = {index: i for i, index in enumerate(wanted)}
    chosen = flows[[place.get(i, 0) for i in context.indices]] * valid[:, None, None, None]
    return {"flow": chosen.permute(3, 0, 1, 2).contiguous(), "flow_valid": valid}
