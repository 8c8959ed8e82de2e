"""PyTorchVideo's Ego4dMomentsDataset: frames, sound and motion around each labeled moment."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torch.utils.data import SequentialSampler

from vitascope.compat.ptv.data.clip_sampling import ClipInfo, ClipInfoList, ClipSampler
from vitascope.compat.ptv.data.ego4d.audio import MelSpectrogram, Mfcc, Spectrogram
from vitascope.compat.ptv.data.ego4d.imu import Ego4dImuData, Ego4dImuDataBase
from vitascope.compat.ptv.data.ego4d.utils import MomentsClipSampler, get_label_id_map
from vitascope.compat.ptv.data.encoded_video import EncodedVideo
from vitascope.compat.ptv.data.labeled_video_dataset import (
    LabeledVideoDataset,
    OnBad,
    Sample,
    Transform,
)
from vitascope.compat.ptv.data.video import VideoPathHandler
from vitascope.compat.ptv.data.video_base import Video
from vitascope.data.clips import exact_seconds
from vitascope.data.listing import is_remote
from vitascope.data.modalities.audio import SoundReader
from vitascope.data.sets.ego4d_moments import Moment, read_moments
from vitascope.errors import ConfigError, DatasetError, UnknownNameError
from vitascope.transforms.apply import apply_transform
from vitascope.transforms.random_source import RandomSource
from vitascope.transforms.transforms import (
    ApplyTransformToKey,
    CenterCrop,
    Compose,
    Div255,
    Normalize,
    RandomCrop,
    RandomHorizontalFlip,
    RandomShortSideScale,
    ShortSideScale,
)

__all__ = ["Ego4dImuData", "Ego4dMomentsDataset"]

_LEAST_READINGS = 200
_log = logging.getLogger(__name__)


class Ego4dMomentsDataset(LabeledVideoDataset):
    """Windows around labeled moments.

    A sample has, beside what the annotation says of the moment (`clip_uid`, `video_uid`,
    `labels`, `labels_id`, ...) and the indices of `LabeledVideoDataset`:

    - `video` float32 3 T 224 224, scaled to [0, 1] and normalized; randomly scaled, cropped and
      mirrored in the split "train", the middle otherwise;
    - `clip_start` and `clip_end` in seconds, `labels_onehot`, a list of 0 and 1;
    - with `decode_audio`: `audio`, a dictionary of `signal` 1 S at 48 kHz, `spectrogram` and
      `sampling_rate`; `spectrogram` again; and `has_audio`, False where a video has no sound and
      the signal is zero;
    - with `imu`: `imu`; see `Ego4dImuData.get_imu_sample`.

    A moment that cannot be shown so (other than 30 frames a second, fewer than 200 readings of
    motion) is treated as `on_bad` says; PyTorchVideo gave None.

    Args:
        annotation_path: the moments file.
        metadata_path: `ego4d.json`.
        split: "train", "val" or "test"; there is no default.
        decode_audio: whether samples have sound.
        imu: whether samples have readings of motion; videos without are left out.
        clip_sampler: where the clip of a moment lies; None is `MomentsClipSampler(window_sec)`.
        video_sampler: class of the sampler of moments.
        transform: called with each sample; its result is the sample.
        decoder: backend by name.
        filtered_labels: labels to keep; None keeps all.
        window_sec: seconds of a clip.
        audio_transform_type: see `signal_transform`.
        imu_path: folder of the tables of motion.
        label_id_map: label -> number from 0 on; other labels are left out.
        label_id_map_path: the same as a JSON file; one of both is needed.
        video_path_override: video id -> path, instead of the path in the metadata.
        video_path_handler: opens a path; its videos keep the sampling rate of their sound.
        eligible_video_uids: videos to keep; None keeps all.
        seed: see `LabeledVideoDataset`.
        on_bad: see `LabeledVideoDataset`.

    Attributes:
        left_out: why how many labels are not used.

    Raises:
        ConfigError: an illegal value.
        DatasetError: see `read_moments`.
    """

    VIDEO_FPS = 30
    AUDIO_FPS = 48000

    def __init__(
        self,
        annotation_path: str | Path,
        metadata_path: str | Path,
        split: str | None = None,
        decode_audio: bool = True,
        imu: bool = False,
        clip_sampler: ClipSampler | None = None,
        video_sampler: Any = SequentialSampler,
        transform: Transform | None = None,
        decoder: str = "pyav",
        filtered_labels: Sequence[str] | None = None,
        window_sec: int = 10,
        audio_transform_type: str = "melspectrogram",
        imu_path: str | Path | None = None,
        label_id_map: Mapping[str, int] | None = None,
        label_id_map_path: str | Path | None = None,
        video_path_override: Callable[[str], str] | None = None,
        video_path_handler: VideoPathHandler | None = None,
        eligible_video_uids: Collection[str] | None = None,
        *,
        seed: int | None = None,
        on_bad: OnBad = "retry",
    ) -> None:
        self.label_name_id_map = _label_map(label_id_map, label_id_map_path)
        self.num_classes = len(self.label_name_id_map)
        self.imu_data: Ego4dImuDataBase | None = None
        if imu:
            if imu_path is None:
                raise ConfigError("imu = True needs imu_path, the folder of the tables of motion")
            self.imu_data = Ego4dImuData(imu_path)
        self.signal_transform(audio_transform_type)  # refuses an unknown name at once
        self.split, self.training = str(split), split == "train"
        self.window_sec, self.audio_transform_type = window_sec, audio_transform_type
        self.video_means, self.video_stds = (0.45,) * 3, (0.225,) * 3
        self.video_min_short_side_scale, self.video_max_short_side_scale = 256, 320
        self.video_crop_size = 224
        self._transform_source = transform
        found = read_moments(
            annotation_path, metadata_path, self.split, self.label_name_id_map,
            only=filtered_labels or None, skip=_Skip(eligible_video_uids, self.imu_data),
        )  # fmt: skip
        moments, pathless = _with_paths(found.moments, video_path_override)
        self.left_out = {**found.left_out, **pathless}
        if not moments:
            raise DatasetError(f"{metadata_path}: no moment has a path of its video")
        _log.info("%d moments; labels left out: %s", len(moments), self.left_out)
        super().__init__(
            moments, clip_sampler or MomentsClipSampler(window_sec), video_sampler,
            self._transform_mm,
            decode_audio=decode_audio, decoder=decoder, seed=seed, on_bad=on_bad,
        )  # fmt: skip
        self._own_handler = video_path_handler is not None
        if video_path_handler is not None:
            self.video_path_handler = video_path_handler

    @property
    def cnt_samples(self) -> int:
        """Number of moments."""
        return len(self._labeled_videos)

    def convert_one_hot(self, label_list: Sequence[str]) -> list[int]:
        """A list of `num_classes` numbers, 1 at the labels and 0 elsewhere.

        Raises:
            UnknownNameError: a label that the map does not have.
        """
        hot = [0] * self.num_classes
        for label in label_list:
            if label not in self.label_name_id_map:
                raise UnknownNameError("label", label, self.label_name_id_map)
            hot[self.label_name_id_map[label]] = 1
        return hot

    def check_IMU(self, input_dict: dict[str, Any]) -> bool:
        """Whether the motion of a sample is not usable: other than N x 6 with N of at least 200."""
        shape = input_dict["imu"]["signal"].shape
        return len(shape) != 2 or shape[0] < _LEAST_READINGS or shape[1] != 6

    def signal_transform(self, type: str = "spectrogram", sample_rate: int = 48000) -> nn.Module:
        """What makes an image of sound: "spectrogram", "melspectrogram" or "mfcc".

        Raises:
            UnknownNameError: another name.
        """
        if type == "spectrogram":
            return Spectrogram(1024)
        if type == "melspectrogram":
            return MelSpectrogram(sample_rate, 1024, 64)
        if type == "mfcc":
            return Mfcc(sample_rate, 256, 256, 2048)
        legal = ("spectrogram", "melspectrogram", "mfcc")
        raise UnknownNameError("audio_transform_type", type, legal)

    def _open(self, index: int) -> tuple[Video, dict[str, Any], str]:
        path, info = self._labeled_videos[index]
        if self._own_handler or (not is_remote(path) and os.path.isdir(path)):
            return super()._open(index)
        video = EncodedVideo(
            path, decode_audio=self._decode_audio, decoder=self._decoder,
            sample_rate=self.AUDIO_FPS,
        )  # fmt: skip
        return video, dict(info), path

    def _load(self, video: Video, where: ClipInfo | ClipInfoList, path: str) -> dict[str, Any]:
        if isinstance(where.clip_start_sec, list):
            raise ConfigError("clip_sampler gives several clips at once; a moment has one")
        return super()._load(video, where, path)

    def _sample(
        self, index: int, video: Video, info: dict[str, Any], loaded: dict[str, Any]
    ) -> Sample:
        sample = super()._sample(index, video, info, loaded)
        start, end = (exact_seconds(loaded["where"][i]) for i in (0, 1))
        sample["clip_start"], sample["clip_end"] = float(start), float(end)
        expected = -(-end * self.VIDEO_FPS // 1) - -(-start * self.VIDEO_FPS // 1)
        if sample["video"].shape[1] != expected:
            raise DatasetError(
                f"{info['video_path']}: {sample['video'].shape[1]} frames from {float(start):g} s "
                f"to {float(end):g} s, and {expected} are expected at {self.VIDEO_FPS} a second"
            )
        if self._decode_audio:
            rate = getattr(video, "audio_rate", None) or self.AUDIO_FPS
            signal = sample.get("audio")
            sample["has_audio"] = signal is not None
            heard = SoundReader.silence(end - start, rate) if signal is None else signal
            sample["audio"] = self._preproc_audio(heard, rate)
            sample["spectrogram"] = sample["audio"]["spectrogram"]
        return sample

    def _preproc_audio(self, audio: Tensor, audio_fps: int) -> dict[str, Any]:
        """Sound S as signal 1 S with the image of it."""
        mono = audio.reshape(1, -1)
        picture = self.signal_transform(self.audio_transform_type, audio_fps)(mono)
        return {"signal": mono, "spectrogram": picture, "sampling_rate": audio_fps}

    def _transform_mm(self, sample: Sample, rng: RandomSource = None) -> Any:
        """The sample with motion, its frames as a model takes them, and labels by number."""
        if self.imu_data is not None:
            sample["imu"] = self.imu_data.get_imu_sample(
                sample["video_uid"], sample["clip_start"], sample["clip_end"]
            )
            if self.check_IMU(sample):
                raise DatasetError(
                    f"{sample['video_uid']}: {len(sample['imu']['signal'])} readings of motion "
                    f"from {sample['clip_start']:g} s to {sample['clip_end']:g} s; at least "
                    f"{_LEAST_READINGS} are needed"
                )
        sample = apply_transform(self._video_transform(), sample, rng)
        sample["labels_onehot"] = self.convert_one_hot(sample["labels"])
        source = self._transform_source
        return sample if source is None else apply_transform(source, sample, rng)

    def _video_transform(self) -> Callable[..., Any]:
        """What scales, crops and normalizes `video` of a sample; a subclass may do otherwise."""
        scaled = [Div255(), Normalize(self.video_means, self.video_stds)]
        if self.training:
            shortest, longest = self.video_min_short_side_scale, self.video_max_short_side_scale
            steps = [
                *scaled, RandomShortSideScale(shortest, longest),
                RandomCrop(self.video_crop_size), RandomHorizontalFlip(0.5),
            ]  # fmt: skip
        else:
            steps = [
                *scaled, ShortSideScale(self.video_min_short_side_scale),
                CenterCrop(self.video_crop_size),
            ]  # fmt: skip
        return ApplyTransformToKey("video", Compose(steps))


class _Skip:
    """Why the labels of a video are left out; None if they are not."""

    def __init__(self, eligible: Collection[str] | None, imu: Ego4dImuDataBase | None) -> None:
        self._eligible, self._imu = eligible, imu

    def __call__(self, uid: str) -> str | None:
        if self._imu is not None and not self._imu.has_imu(uid):
            return "no motion of the video"
        if self._eligible and uid not in self._eligible:
            return "video not asked for"
        return None


def _label_map(given: Mapping[str, int] | None, path: str | Path | None) -> dict[str, int]:
    if (given is None) == (path is None):
        raise ConfigError("give either label_id_map or label_id_map_path, one of the two")
    found = get_label_id_map(path) if path is not None else dict(given or {})
    if found and not 0 <= min(found.values()) <= max(found.values()) < len(found):
        raise ConfigError(
            f"the map of {len(found)} labels has numbers from {min(found.values())} to "
            f"{max(found.values())}; expected 0 to {len(found) - 1}"
        )
    return found


def _with_paths(
    moments: Sequence[Moment], override: Callable[[str], str] | None
) -> tuple[list[tuple[str, dict[str, Any]]], dict[str, int]]:
    """(path, what is known) of each moment whose video has a path, and the count of the others."""
    if override is not None:
        moments = [replace(m, path=override(m.video_uid)) for m in moments]
    left_out = Counter("no path of the video" for m in moments if not m.path)
    known = [
        (m.path, {
            "clip_uid": m.clip_uid, "video_uid": m.video_uid, "duration": float(m.duration),
            "clip_video_start_sec": float(m.clip.start), "clip_video_end_sec": float(m.clip.end),
            "labels": [m.label], "label_video_start_sec": float(m.interval.start),
            "label_video_end_sec": float(m.interval.end), "video_path": m.path,
            "labels_id": m.label_id,
        })
        for m in moments if m.path
    ]  # fmt: skip
    return known, dict(left_out)
