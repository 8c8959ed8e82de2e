"""From a record and a random key to a sample: plan, decode, transform.

Nothing is random but what follows from the key. Only a loop that gives no key, such as a plain
DataLoader, has the draws of each video counted for it. A video that cannot be read is an error, or
counted and left out or black; it is never replaced by another one.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from vitascope.data import clips, frames
from vitascope.data.cache.frames import FrameCache
from vitascope.data.cache.video import TIME_LIMIT
from vitascope.data.clips import Clip
from vitascope.data.decoder import Decoder, Size, open_video
from vitascope.data.frames import Selection
from vitascope.data.limits import too_many_files
from vitascope.data.modalities import ClipContext, Modality, load_all
from vitascope.data.packed import PackedRecords
from vitascope.data.passes import Passes
from vitascope.data.records import VideoRecord
from vitascope.data.sampler import Item, Key, check_key, multi_clip
from vitascope.data.scale import Scale
from vitascope.data.unreadable import UnreadableCounter, UnreadableReport
from vitascope.errors import ConfigError, DatasetError, DecodeError
from vitascope.spec import ClipSpec, ViewProtocol

Sample = dict[str, Any]
OnBad = Literal["error", "skip", "substitute-black"]
_POLICIES = ("error", "skip", "substitute-black")
_BLACK: Size = (256, 256)  # where neither scale nor transform says how large frames are
ONE_VIEW = ViewProtocol()


class ClipDataset(Dataset[Sample]):
    """Clips of videos, by (video, random key), or by the number of the video alone.

    Asked by number in training, as a plain `DataLoader` asks, a video gives another clip each time:
    the n-th draw of video v has the key (seed, n, v), so each pass is an epoch, whatever the number
    of workers. `set_epoch` pins it. A pass that is left early with workers has drawn ahead; there,
    and after a restart, `set_epoch` says where the loop is.

    A sample is a dictionary:

    - `video`: in training what the transform returns, C T H W. In evaluation V C T H W with
      V = clips x crops, also for one view; the crops of the first clip come first. Without a
      transform uint8 T H W C in training and V T H W C in evaluation.
    - `label`: index of the class, -1 without one. `index`: number of the video.
      With several clips a sample, K C T H W in training.
    - `mask`: bool T (V T in evaluation, K T with several clips), False where there is no frame;
      only with the rule "pad".
    - `valid`: False if the video could not be read; then `fault` says why. There is no `video`
      with the policy "skip", and black frames with "substitute-black".
    - what `modalities` add, with the dimensions V or K of `video` in front.

    Args:
        records: the videos; kept in a few shared tensors.
        clip: which frames of a video a clip has.
        transform: in training called with (frames uint8 T H W C, rng), returning a tensor; in
            evaluation called with (frames), returning one tensor a crop.
        train: clips and frames drawn from the key; otherwise evenly spaced views.
        views: clips in time and crops of an evaluation.
        seed: first number of the key where a video is asked for by its number.
        on_bad: "error" raises for a video that cannot be read; "skip" leaves it out and counts;
            "substitute-black" puts black frames in its place, under its label, and counts.
        budget: share of the videos that may be bad before the loader raises after all; 1 is any.
        decoder: backend by name.
        store: cache of decoded frames; its scale is used.
        scale: size of the frames that reach the transform; None leaves them as stored.
        span: in training with coverage "video", least and greatest share of the video that the
            frames of a clip are spread over; where the part lies is drawn too.
        clips: in training, clips of each sample, drawn and transformed each by its own key; the
            video is opened and its frames are decoded once for all of them.
        modalities: what else is read for each clip: sound, optical flow, motion sensors.
        opener: opens the video of a record; None is the store, or `open_video` by its path.

    Raises:
        ConfigError: settings that contradict each other.
    """

    def __init__(
        self,
        records: Iterable[VideoRecord],
        clip: ClipSpec,
        *,
        transform: Callable[..., Any] | None = None,
        train: bool,
        views: ViewProtocol = ONE_VIEW,
        seed: int = 0,
        on_bad: OnBad = "error",
        decoder: str = "pyav",
        store: FrameCache | None = None,
        scale: Scale | None = None,
        span: tuple[float, float] = (1.0, 1.0),
        budget: float = 1.0,
        clips: int | None = None,
        modalities: Sequence[Modality] = (),
        opener: Callable[[VideoRecord], Decoder] | None = None,
    ) -> None:
        check_key(seed, 0)
        if on_bad not in _POLICIES:
            raise ConfigError(f"on_bad = {on_bad!r}; legal values: {', '.join(_POLICIES)}")
        if not 0 <= budget <= 1:
            raise ConfigError(f"budget = {budget}; a share of the videos, 0 to 1")
        if clips is not None and (clips < 1 or not train):
            raise ConfigError(f"clips = {clips}; at least 1, and only in training")
        if store is not None and scale not in (None, store.scale):
            raise ConfigError(f"the frame cache holds {store.scale}, and {scale} is asked for")
        if store is not None and store.decoder != decoder:
            raise ConfigError(f"the frame cache decodes with {store.decoder}, not {decoder}")
        if not 0 < span[0] <= span[1] <= 1:
            raise ConfigError(f"span = {span}; two shares of the video, above 0, at most 1")
        if modalities and on_bad == "substitute-black":
            raise ConfigError(
                "black frames have no sound; with modalities, on_bad is error or skip"
            )
        self.span, self.budget, self.clips, self.modalities = (
            span,
            budget,
            clips,
            tuple(modalities),
        )
        self.records = PackedRecords(records)
        self.clip, self.transform, self.train, self.views = clip, transform, train, views
        self.seed, self.on_bad, self.decoder, self.store = seed, on_bad, decoder, store
        self.opener = opener
        self.scale = store.scale if store is not None else scale or Scale()
        self.faults = UnreadableCounter(self.substitutes)
        self._passes = Passes(len(self.records) if train else 0)

    def __repr__(self) -> str:
        kind = "training" if self.train else f"{self.views} views"
        return f"ClipDataset({self.num_videos} videos, {self.clip}, {kind}, seed={self.seed})"

    def set_epoch(self, epoch: int | None) -> None:
        """Says which epoch videos asked for by number are in, until it is called again.

        Call it before each pass to have what any other run has in that epoch, after a restart too.

        Args:
            epoch: number of the epoch from 0; None counts the draws again, from 0.

        Raises:
            ConfigError: `epoch` is below 0.
        """
        self._passes.pin(epoch)

    @property
    def substitutes(self) -> bool:
        """Whether black frames stand in for videos that cannot be read."""
        return self.on_bad == "substitute-black"

    @property
    def num_videos(self) -> int:
        """Number of videos."""
        return len(self.records)

    def __len__(self) -> int:
        return len(self.records)

    def fault_report(self) -> UnreadableReport:
        """Which videos could not be read so far, as far as this process was told.

        UnreadableCounter of worker processes are told by the loader, with the batch they belong to.
        """
        return self.faults.report()

    def __getitem__(self, item: int | Item) -> Sample:
        """One sample; see the class.

        Raises:
            DecodeError: the video cannot be read, and the policy is "error".
            DatasetError: the labeled interval or the short-clip rule does not fit the video, and
                the policy is "error".
        """
        video, key = item if isinstance(item, tuple) else self._drawn_by_number(item)
        record = self.records[video]
        sample: Sample = {
            "label": -1 if record.label is None else record.label,
            "index": video,
            "valid": True,
        }
        try:
            sample.update(self._train(record, key) if self.train else self._evaluate(record))
        except (DecodeError, DatasetError) as error:
            # A process that may open no further file says nothing about this one.
            if self.on_bad == "error" or too_many_files(error) is not None:
                raise
            sample.update(valid=False, fault=str(error))
            if self.substitutes:
                sample.update(self._black(key))
        return sample

    def _drawn_by_number(self, item: int) -> Item:
        video, count = operator.index(item), len(self.records)
        if not -count <= video < count:
            raise IndexError(f"video {video} of {count}")
        video %= count
        return video, self._passes.key(self.seed, video) if self.train else (self.seed, 0, video)

    def _train(self, record: VideoRecord, key: Key) -> Sample:
        draws = [np.random.default_rng(k) for k in multi_clip(key, self.clips or 1)]
        with self._open(record) as video:
            within = _within(video, record)
            chosen = [self._drawn(video, within, record, rng) for rng in draws]
            parts = self._read(video, chosen)
            added = self._added(video, record, within, chosen)
        sample = self._transformed(parts, [c.valid for c in chosen], draws)
        for name in added[0]:
            values = [one[name] for one in added]
            sample[name] = values[0] if self.clips is None else torch.stack(values)
        return sample

    def _drawn(
        self, video: Decoder, within: Clip, record: VideoRecord, rng: np.random.Generator
    ) -> Selection:
        """The frames of one clip of a training."""
        if self.clip.coverage == "video":
            clip = self._covered(within, rng)
        else:
            clip = clips.random(within, self.clip.duration(video.fps), rng)
        return _select(video, clip, self.clip, within, record, rng)

    def _transformed(
        self,
        parts: Sequence[Tensor],
        valid: Sequence[Sequence[bool]],
        draws: Sequence[np.random.Generator],
    ) -> Sample:
        """A training sample of decoded clips."""
        seen = list(parts)
        if self.transform is not None:
            seen = [self.transform(part, rng) for part, rng in zip(parts, draws, strict=True)]
        masks = [torch.tensor(one) for one in valid]
        alone = self.clips is None
        sample: Sample = {"video": seen[0] if alone else _stacked(seen)}
        if self.clip.short == "pad":
            sample["mask"] = masks[0] if alone else torch.stack(masks)
        return sample

    def _black(self, key: Key) -> Sample:
        """A sample of black frames, transformed like any other."""
        scale, count = self.scale, self.clip.num_frames
        size = scale.size or ((scale.short_side,) * 2 if scale.short_side else _BLACK)
        black = torch.zeros(count, *size, 3, dtype=torch.uint8)
        if self.train:
            draws = [np.random.default_rng(k) for k in multi_clip(key, self.clips or 1)]
            return self._transformed([black] * len(draws), [(False,) * count] * len(draws), draws)
        return self._viewed([black] * self.views.clips, [(False,) * count] * self.views.clips)

    def _covered(self, within: Clip, rng: np.random.Generator) -> Clip:
        """The part of a video that its frames are spread over."""
        low, high = map(Fraction, self.span)
        if low == 1:
            return within
        share = low + (high - low) * Fraction(int(rng.integers(0, 2**32, endpoint=True)), 2**32)
        return clips.random(within, within.length * share, rng)

    def _evaluate(self, record: VideoRecord) -> Sample:
        with self._open(record) as video:
            chosen = self._views(video, record)
            parts = self._read(video, chosen)
            added = self._added(video, record, _within(video, record), chosen)
        sample = self._viewed(parts, [c.valid for c in chosen])
        crops = len(sample["video"]) // len(chosen)
        for name in added[0]:
            sample[name] = torch.stack([one[name] for one in added for _ in range(crops)])
        return sample

    def _added(
        self, video: Decoder, record: VideoRecord, within: Clip, chosen: Sequence[Selection]
    ) -> list[dict[str, Tensor]]:
        """What the modalities have of each clip."""
        contexts = [ClipContext(record, video, c.clip or within, within, c.indices) for c in chosen]
        return load_all(self.modalities, contexts)

    def _viewed(self, parts: Sequence[Tensor], valid: Sequence[Sequence[bool]]) -> Sample:
        """An evaluation sample of decoded clips."""
        if self.transform is None:
            seen = [[part] for part in parts]
        else:
            results = [self.transform(part) for part in parts]
            seen = [[r] if isinstance(r, Tensor) else list(r) for r in results]
        sample: Sample = {"video": torch.stack([crop for crops in seen for crop in crops])}
        if self.clip.short == "pad":
            crops = len(seen[0])
            sample["mask"] = torch.tensor([one for one in valid for _ in range(crops)])
        return sample

    def _views(self, video: Decoder, record: VideoRecord) -> list[Selection]:
        """The frames of each clip of an evaluation."""
        within, count = _within(video, record), self.views.clips
        if self.clip.coverage == "window":
            length = self.clip.duration(video.fps)
            planned = clips.evenly_spaced(within, length, count)
            return [_select(video, clip, self.clip, within, record) for clip in planned]
        one = _select(video, within, self.clip, within, record)
        if count == 1:
            return [one]
        # Every clip covers the whole video; the clips interleave their frames.
        dense = replace(self.clip, num_frames=self.clip.num_frames * count, short="repeat")
        many = _select(video, within, dense, within, record)
        return [Selection(many.indices[v::count], many.valid[v::count]) for v in range(count)]

    def _open(self, record: VideoRecord) -> Decoder:
        if self.opener is not None:
            return self.opener(record)
        if self.store is not None:
            return self.store.open(record.path, record.start, record.end)
        return open_video(
            record.path, self.decoder, time_limit=TIME_LIMIT, whole=record.end is None
        )

    def _read(self, video: Decoder, chosen: Sequence[Selection]) -> list[Tensor]:
        """The frames of each selection, uint8 T H W C; each frame is decoded once."""
        wanted = sorted({i for selection in chosen for i in selection.indices})
        plain = self.scale == Scale()
        size = None if plain else self.scale.of(video.height, video.width)
        data = video.read(wanted, size=size).data
        place = {index: i for i, index in enumerate(wanted)}
        parts = []
        for selection in chosen:
            places = [place[i] for i in selection.indices]
            part = data if places == list(range(len(wanted))) else data[places]
            if not all(selection.valid):
                part = part * torch.tensor(selection.valid, dtype=torch.uint8)[:, None, None, None]
            parts.append(part)
        return parts


def _stacked(clips: Sequence[Any]) -> Any:
    """Clips as one more dimension in front; for each pathway where there are several."""
    if isinstance(clips[0], Tensor):
        return torch.stack(list(clips))
    return [torch.stack(list(pathway)) for pathway in zip(*clips, strict=True)]


def _within(video: Decoder, record: VideoRecord) -> Clip:
    """The part of the video that belongs to the record."""
    start = record.start or Fraction(0)
    end = video.duration if record.end is None else min(record.end, video.duration)
    if start >= end:
        raise DatasetError(
            f"{record.path}{_origin(record)}: the labeled part starts at {float(start):g} s and "
            f"the video ends at {float(video.duration):g} s. Correct the times of the row"
        )
    return Clip(start, end)


def _select(
    video: Decoder,
    clip: Clip,
    spec: ClipSpec,
    within: Clip,
    record: VideoRecord,
    rng: np.random.Generator | None = None,
) -> Selection:
    try:
        found = frames.select(video.times, clip, spec, within=within, rng=rng)
        return replace(found, clip=clip)
    except DatasetError as error:
        raise DatasetError(f"{record.path}{_origin(record)}: {error}") from None


def _origin(record: VideoRecord) -> str:
    return f" ({record.where})" if record.where else ""
