"""PyTorchVideo's LabeledVideoDataset: clips of many videos, one after the other.

The interface is PyTorchVideo's; order and every random choice follow from a key, so that any
number of workers gives the same clips, no video twice and none missing. New programs use
`dataset.ClipDataset`, which is map-style and can resume.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch.utils.data import IterableDataset, RandomSampler, get_worker_info

from vitascope.compat.ptv.data.clip_sampling import (
    ClipInfo,
    ClipInfoList,
    ConstantClipsPerVideoSampler,
    RandomClipSampler,
    RandomMultiClipSampler,
    RandomMultiClipSamplerTruncateFromStart,
)
from vitascope.compat.ptv.data.clip_sampling import ClipSampler as ClipSampler
from vitascope.compat.ptv.data.labeled_video_paths import LabeledVideoPaths
from vitascope.compat.ptv.data.utils import MultiProcessSampler
from vitascope.compat.ptv.data.video import VideoPathHandler
from vitascope.compat.ptv.data.video_base import Video
from vitascope.compat.ptv.errors import TooManyFailuresError
from vitascope.data.decoders.inputs import decode_error
from vitascope.data.unreadable import UnreadableCounter, UnreadableReport
from vitascope.errors import ConfigError, DatasetError, DecodeError
from vitascope.transforms.apply import apply_transform, global_seed

logger = logging.getLogger(__name__)

Sample = dict[str, Any]
Transform = Callable[[Sample], Any]
OnBad = Literal["retry", "skip", "error"]


class WorkerShares(IterableDataset[Any]):
    """The order of an epoch and its division among loader workers; see `LabeledVideoDataset`.

    Every worker draws the same order of the whole epoch and takes its contiguous share of it.

    Args:
        count_of: what the sampler samples from.
        video_sampler: class of the sampler, called with `count_of`.
        seed: first number of every key; None takes what torch's generator gives.
        on_bad: what to do about a video that cannot be read.

    Attributes:
        skipped: samples in whose place the transform gave None, in this process.
    """

    _MAX_CONSECUTIVE_FAILURES = 10

    def __init__(
        self, count_of: Sequence[Any], video_sampler: Any, seed: int | None, on_bad: OnBad
    ) -> None:
        if on_bad not in get_args(OnBad):
            legal = ", ".join(get_args(OnBad))
            raise ConfigError(f"on_bad = {on_bad!r}; legal values: {legal}")
        if seed is not None and seed < 0:
            raise ConfigError(f"seed = {seed}; it must be at least 0")
        self._video_sampler = video_sampler(count_of)
        self._seed, self._on_bad = seed, on_bad
        # Shared, so that workers that live on see what `set_epoch` writes.
        self._epoch = torch.zeros(1, dtype=torch.int64)
        self._epoch.share_memory_()  # type: ignore[no-untyped-call]
        self.faults = UnreadableCounter()
        self.skipped = 0
        self._running: Iterator[Any] | None = None

    @property
    def video_sampler(self) -> Any:
        """The sampler of videos."""
        return self._video_sampler

    def set_epoch(self, epoch: int) -> None:
        """Chooses the order and the clips of the next epoch, where the data set has a seed."""
        self._epoch[0] = epoch
        if hasattr(self._video_sampler, "set_epoch"):
            self._video_sampler.set_epoch(epoch)

    def fault_report(self) -> UnreadableReport:
        """Which videos were left out so far in this process."""
        return self.faults.report()

    def __iter__(self) -> Iterator[Any]:
        """Begins a new epoch."""
        self._running = self._generate()
        return self

    def __next__(self) -> Any:
        """The next sample; see the class. After the end of an epoch the next one begins."""
        if self._running is None:
            self._running = self._generate()
        try:
            return next(self._running)
        except StopIteration:
            self._running = None
            raise

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_running": None}  # a generator cannot go to another process

    def _generate(self) -> Iterator[Any]:
        key = self._epoch_key()
        with global_seed(key):
            order: Any = [int(i) for i in self._video_sampler]
        bad, skipped, in_a_row = 0, 0, 0
        for index in MultiProcessSampler(order):
            try:
                for sample in self._of_video(index, (key, index)):
                    in_a_row = 0
                    if sample is None:
                        skipped += 1
                        self.skipped += 1
                    else:
                        yield sample
            except (DecodeError, DatasetError) as error:
                if self._on_bad == "error":
                    raise
                bad, in_a_row = bad + 1, in_a_row + 1
                self.faults.add(index, str(error))
                logger.warning("video %d is left out: %s", index, error)
                if self._on_bad == "retry" and in_a_row >= self._MAX_CONSECUTIVE_FAILURES:
                    raise TooManyFailuresError(
                        f"{in_a_row} videos in a row could not be read; the last: {error}"
                    ) from error
        if bad or skipped:
            logger.warning(
                "this epoch %d of %d videos were left out, and %d samples by the transform",
                bad, len(order), skipped,
            )  # fmt: skip

    def _of_video(self, index: int, key: tuple[int, int]) -> Iterator[Any]:
        """The samples of one video; randomness from (*key, number of the sample)."""
        raise NotImplementedError

    def _epoch_key(self) -> int:
        """A number that is the same in every worker, and another one in every epoch."""
        if self._seed is not None:
            state = np.random.SeedSequence((self._seed, int(self._epoch[0])))
            return int(state.generate_state(1, np.uint32)[0] >> 1)
        worker = get_worker_info()
        if worker is not None:
            return (worker.seed - worker.id) % 2**31
        return int(torch.randint(2**31, ()))


class ClipsOfVideos(WorkerShares):
    """Clips of one video after the other; see `LabeledVideoDataset`."""

    def __init__(
        self,
        videos: Any,
        clip_sampler: Any,
        video_sampler: Any,
        transform: Transform | None,
        seed: int | None,
        on_bad: OnBad,
    ) -> None:
        super().__init__(videos, video_sampler, seed, on_bad)
        self._clip_sampler, self._transform = clip_sampler, transform

    @property
    def num_videos(self) -> int:
        """Number of videos of an epoch."""
        return len(self._video_sampler)

    @property
    def num_samples(self) -> int | None:
        """Samples of an epoch over all workers; None if it depends on the lengths of the videos.

        It is no `len`: PyTorchVideo has none, and training loops that find one stop after so many
        batches, though each loader worker ends with a batch that is not full.
        """
        each = samples_per_video(self._clip_sampler)
        return None if each is None else self.num_videos * each

    def _open(self, index: int) -> tuple[Video, dict[str, Any], str]:
        """A video, what is known of it, and its path for messages."""
        raise NotImplementedError

    def _sample(
        self, index: int, video: Video, info: dict[str, Any], loaded: dict[str, Any]
    ) -> Sample:
        """The sample of a clip; `loaded["where"]` says which one it is."""
        raise NotImplementedError

    def _of_video(self, index: int, key: tuple[int, int]) -> Iterator[Sample]:
        video, info, path = self._open(index)
        try:
            self._clip_sampler.reset()
            for number, loaded in enumerate(self._clips(video, info, key, path)):
                sample = self._sample(index, video, info, loaded)
                if self._transform is not None:
                    # Ends otherwise than the key of the clip sampler, so that draws differ.
                    rng = np.random.default_rng((*key, number, 1))
                    sample = apply_transform(self._transform, sample, rng)
                yield sample
        finally:
            video.close()

    @property
    def _needs_frames(self) -> bool:
        return True

    def _clips(
        self, video: Video, info: dict[str, Any], key: tuple[int, int], path: str
    ) -> Iterator[dict[str, Any]]:
        """Each clip, with what the sampler said of it as `where`; repeats are decoded once."""
        end: Any = None
        repeats = getattr(self._clip_sampler, "_augs_per_clip", 1) > 1
        # Clips lie where there are frames, also where the sound is longer.
        length = getattr(video, "shown", video.duration) if self._needs_frames else video.duration
        held: dict[str, Any] | None = None
        number, last = 0, False
        while not last:
            with global_seed(_number((*key, number, 0))):
                where = self._clip_sampler(end, length, info)
                repeat: Any = where.aug_index
                first = (repeat[0] if isinstance(repeat, list) else repeat) == 0
                if held is None or first:
                    held = self._load(video, where, path)
            # Copies, because a transform may work in place and the next repeat begins anew.
            yield {**(deepcopy(held) if repeats else held), "where": where}
            held = held if repeats else None
            end, number = where.clip_end_sec, number + 1
            flag: Any = where.is_last_clip
            last = flag[-1] if isinstance(flag, list) else flag

    def _load(self, video: Video, where: ClipInfo | ClipInfoList, path: str) -> dict[str, Any]:
        starts: Any = where.clip_start_sec
        ends: Any = where.clip_end_sec
        if not isinstance(starts, list):
            return self._one(video, starts, ends, path)
        parts = [self._one(video, a, b, path) for a, b in zip(starts, ends, strict=True)]
        found: dict[str, Any] = {name: [part[name] for part in parts] for name in parts[0]}
        if any(sound is None for sound in found["audio"]):
            found["audio"] = None
        return found

    def _one(self, video: Video, start: Any, end: Any, path: str) -> dict[str, Any]:
        found = video.get_clip(start, end) or {"video": None, "audio": None}
        if found["video"] is None and self._needs_frames:
            raise DatasetError(
                f"{path}: no frame begins between {float(start):.3f} s and {float(end):.3f} s of "
                f"{float(video.duration):.3f} s. Use longer clips or a sampler that stays inside"
            )
        return found


class LabeledVideoDataset(ClipsOfVideos):
    """Clips of videos with labels.

    A sample is a dictionary: `video` float32 C T H W from 0 to 255, `audio` float32 S in [-1, 1]
    (absent where there is no sound), `video_name`, `video_index`, `clip_index`, `aug_index`, and
    what `labeled_video_paths` says of the video (`label`). With a sampler of several clips,
    `video`, `audio` and the indices are lists.

    A video that cannot be read is passed over with a line in the log, ten in a row are an error,
    as in PyTorchVideo; `fault_report()` has the count, and the log says it after each epoch. A
    sample for which the transform gives None is left out and counted in `skipped`. Samplers that
    repeat or drop videos by design (`DistributedSampler` on uneven shares, sampling with
    replacement) do so here too.

    The share of a loader worker is contiguous: the first worker has the first videos.

    Args:
        labeled_video_paths: (path, dictionary) of each video.
        clip_sampler: where the clips of a video lie.
        video_sampler: class of the sampler of videos, called with `labeled_video_paths`.
        transform: called with each sample; its result is the sample.
        decode_audio: whether samples have sound.
        decode_video: whether samples have frames.
        decoder: backend by name.
        seed: order and random choices follow from it and the epoch, for any number of workers;
            None takes what torch's generator gives, another order in each epoch.
        on_bad: "retry" leaves the remaining clips of a video that cannot be read out, logs it,
            counts it in `fault_report()` of the worker, and raises after ten such in a row;
            "skip" never raises; "error" raises at once.

    Raises:
        ConfigError: an illegal value.
    """

    def __init__(
        self,
        labeled_video_paths: Any,
        clip_sampler: Any,
        video_sampler: Any = RandomSampler,
        transform: Transform | None = None,
        decode_audio: bool = True,
        decode_video: bool = True,
        decoder: str = "pyav",
        *,
        seed: int | None = None,
        on_bad: OnBad = "retry",
    ) -> None:
        super().__init__(labeled_video_paths, clip_sampler, video_sampler, transform, seed, on_bad)
        self._labeled_videos, self._decoder = labeled_video_paths, decoder
        self._decode_audio, self._decode_video = decode_audio, decode_video
        self.video_path_handler = VideoPathHandler()

    @property
    def _needs_frames(self) -> bool:
        return self._decode_video

    def _open(self, index: int) -> tuple[Video, dict[str, Any], str]:
        path, info = self._labeled_videos[index]
        try:
            video = self.video_path_handler.video_from_path(
                path,
                decode_video=self._decode_video,
                decode_audio=self._decode_audio,
                decoder=self._decoder,
            )
        except DecodeError:
            raise
        except OSError as error:  # of a handler that is not ours
            raise decode_error(error)(str(path), f"cannot be opened ({error})") from error
        return video, dict(info or {}), str(path)

    def _sample(
        self, index: int, video: Video, info: dict[str, Any], loaded: dict[str, Any]
    ) -> Sample:
        sample: Sample = {
            "video": loaded["video"],
            "video_name": getattr(video, "name", ""),
            "video_index": index,
            "clip_index": loaded["where"].clip_index,
            "aug_index": loaded["where"].aug_index,
            **info,
        }
        if loaded["audio"] is not None:
            sample["audio"] = loaded["audio"]
        return sample


def labeled_video_dataset(
    data_path: str,
    clip_sampler: Any,
    video_sampler: Any = RandomSampler,
    transform: Transform | None = None,
    video_path_prefix: str = "",
    decode_audio: bool = True,
    decoder: str = "pyav",
    *,
    seed: int | None = None,
    on_bad: OnBad = "retry",
) -> LabeledVideoDataset:
    """Clips of the videos of a folder of class folders, or of a list `path label`.

    Args:
        data_path: the folder or the list.
        clip_sampler: where the clips of a video lie.
        video_sampler: class of the sampler of videos.
        transform: called with each sample; see `LabeledVideoDataset`.
        video_path_prefix: folder that the paths of a list start from.
        decode_audio: whether samples have sound.
        decoder: backend by name.
        seed: see `LabeledVideoDataset`.
        on_bad: see `LabeledVideoDataset`.

    Raises:
        DatasetNotFoundError: neither a folder nor a list.
        DatasetError: nothing usable in it.
    """
    paths = LabeledVideoPaths.from_path(data_path)
    paths.path_prefix = video_path_prefix
    return LabeledVideoDataset(
        paths, clip_sampler, video_sampler, transform, decode_audio=decode_audio, decoder=decoder,
        seed=seed, on_bad=on_bad,
    )  # fmt: skip


def samples_per_video(clip_sampler: Any) -> int | None:
    """How many samples of each video a sampler gives; None if that depends on the video."""
    known = getattr(clip_sampler, "samples_per_video", None)
    if known is not None:
        return int(known)
    # Exact types: a subclass may do otherwise.
    if type(clip_sampler) is ConstantClipsPerVideoSampler:
        return clip_sampler._clips_per_video * clip_sampler._augs_per_clip
    one = (RandomClipSampler, RandomMultiClipSampler, RandomMultiClipSamplerTruncateFromStart)
    return 1 if type(clip_sampler) in one else None


def _number(key: Sequence[int]) -> int:
    """A seed of 31 bits made of a key."""
    return int(np.random.SeedSequence(key).generate_state(1, np.uint32)[0] >> 1)
