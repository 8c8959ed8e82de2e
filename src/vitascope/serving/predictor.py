"""A trained model and everything around it: video in, names with scores out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, NamedTuple, overload

import numpy as np
import torch
from torch import Tensor

from vitascope.accelerator.artifact import Forward, Inputs
from vitascope.accelerator.export import export_model
from vitascope.accelerator.verify import Verification
from vitascope.data.clips import Clip
from vitascope.data.dataset import ClipDataset
from vitascope.data.decoder import Image
from vitascope.data.records import VideoRecord
from vitascope.errors import ConfigError, DatasetError, DecodeError, WeightsError
from vitascope.metrics.views import combine_views
from vitascope.serving.given import Given, Video, given, listed, several
from vitascope.serving.loading import ModelSource, open_model
from vitascope.serving.windows import windows
from vitascope.spec import ClipSpec, PixelSpec, ViewProtocol
from vitascope.text import exact, shown
from vitascope.transforms.preprocess import evaluation_transform, evaluation_windows, normalize


class Score(NamedTuple):
    """A class and its probability."""

    label: str
    score: float


Top = tuple[Score, ...]
OnBad = Literal["error", "report"]


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a model says about one video.

    Attributes:
        path: the video.
        top: class names with probabilities, the most probable first.
        scores: probability of each class in the order of the model's classes, N.
        error: why the video could not be read; then `top` is empty.
    """

    path: str
    top: Top
    scores: Tensor
    error: str = ""

    @property
    def label(self) -> str:
        """The most probable class."""
        return self.top[0].label

    def to_json(self) -> dict[str, Any]:
        """Path and top classes as plain JSON values."""
        row: dict[str, Any] = {"path": self.path, "top": _top_json(self.top)}
        return {**row, "error": self.error} if self.error else row


@dataclass(frozen=True, eq=False)
class TimelineRow:
    """What a model says about one window of a video.

    Attributes:
        start: first instant of the window in seconds from the first frame.
        end: the instant after its last.
        top: class names with probabilities, the most probable first.
        scores: probability of each class, N.
    """

    start: Fraction
    end: Fraction
    top: Top
    scores: Tensor

    def to_json(self) -> dict[str, Any]:
        """Seconds and top classes as plain JSON values."""
        return {"start": float(self.start), "end": float(self.end), "top": _top_json(self.top)}


def _top_json(top: Top) -> list[dict[str, Any]]:
    return [entry._asdict() for entry in top]


class Predictor:
    """A model with the preprocessing and the class names that belong to it.

    Scores are those of `vitascope eval` with the same views: the same frames, the same transform,
    probabilities averaged over the views.

    Args:
        source: the opened model; `load` makes it from a path.

    Attributes:
        classes: class names in the order of the scores.
        clip: which frames of a video the model sees.
        pixels: the size and scale of a frame.
        views: views averaged unless a call says otherwise.
    """

    def __init__(self, source: ModelSource) -> None:
        self.source = source
        contract = source.contract
        self.classes: tuple[str, ...] = contract.labels.names
        self.clip: ClipSpec = contract.clip
        self.pixels: PixelSpec = contract.pixels
        self.views: ViewProtocol = contract.views
        self._forward: Forward = source.forward

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_forward"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _forward=state["source"].forward)

    def __repr__(self) -> str:
        what = f"{self.source.contract.model}, {self.source.kind}, {len(self.classes)} classes"
        return f"Predictor({str(self.source.path)!r}: {what})"

    @overload
    def predict(
        self,
        video: list[str] | list[Path],
        top: int = 5,
        *,
        views: ViewProtocol | str | None = None,
        start: Fraction | None = None,
        end: Fraction | None = None,
        fps: Fraction | int | None = None,
    ) -> list[Prediction]: ...

    @overload
    def predict(
        self,
        video: Video,
        top: int = 5,
        *,
        views: ViewProtocol | str | None = None,
        start: Fraction | None = None,
        end: Fraction | None = None,
        fps: Fraction | int | None = None,
    ) -> Prediction: ...

    def predict(
        self,
        video: Video,
        top: int = 5,
        *,
        views: ViewProtocol | str | None = None,
        start: Fraction | None = None,
        end: Fraction | None = None,
        fps: Fraction | int | None = None,
    ) -> Prediction | list[Prediction]:
        """Names what one video shows.

        Args:
            video: a file, a folder of frames, an address, bytes, a file opened in binary mode,
                uint8 frames T H W C in RGB (array or tensor), or a list of images (arrays H W C,
                Pillow images, or paths of images). A list of videos gives a list of predictions.
            top: how many classes to name.
            views: clips in time and crops to average ("10x3"); None takes the model's own.
            start: only the part of the video from here on, in seconds from its first frame.
            end: and before here.
            fps: frames a second of frames that have no times of their own; None is 25.

        Raises:
            DecodeError: the file is missing, has no image or cannot be decoded.
            DatasetError: the video is shorter than a clip and the model's rule forbids that, or
                `start` lies after its end.
            ConfigError: nothing that a video can be read from, `top` is below 1, or `views` are
                none.
            InputError: frames of another type or shape.
            WeightsError: the model's scores are no numbers.
        """
        _check_top(top)
        paths = several(video)
        if paths is not None:
            return [self.predict(path, top, views=views, start=start, end=end) for path in paths]
        one = given(video, fps)
        scores = self._scores(self._views(one, views, start, end))
        return Prediction(one.name, self._top(scores, top), scores)

    def predict_many(
        self,
        videos: Iterable[Video] | str | Path,
        top: int = 5,
        *,
        views: ViewProtocol | str | None = None,
        on_bad: OnBad = "error",
    ) -> Iterator[Prediction]:
        """Names what each video shows, one after the other.

        Args:
            videos: what `predict` takes, each; or a folder, which stands for all videos in it.
            top: how many classes to name.
            views: clips in time and crops to average.
            on_bad: "error" raises at a video that cannot be read; "report" goes on and gives a
                prediction with `error` set.

        Raises:
            DecodeError: see `predict`; only with "error".
        """
        if on_bad not in ("error", "report"):
            raise ConfigError(f"on_bad = {on_bad!r}; legal values: error, report")
        _check_top(top)
        for video in listed(videos):
            one = given(video)
            try:
                scores = self._scores(self._views(one, views))
            except (DecodeError, DatasetError) as error:
                if on_bad == "error":
                    raise
                yield Prediction(one.name, (), torch.empty(0), str(error))
                continue
            yield Prediction(one.name, self._top(scores, top), scores)

    def timeline(
        self,
        video: Video,
        every: Fraction | float | str,
        *,
        window: Fraction | float | str | None = None,
        top: int = 5,
    ) -> Iterator[TimelineRow]:
        """Names what a video shows over time, in one pass and in memory for one window.

        A window starts every `every` seconds as long as it fits. The first that does not fit is
        moved back so that it ends with the video. A video shorter than a window gives one row.

        Args:
            video: one video, as `predict` takes it.
            every: seconds from one window to the next.
            window: seconds of a window; None takes the length of the model's clip.
            top: how many classes to name.

        Yields:
            One row for each window, as soon as it is decoded.

        Raises:
            DecodeError: the file is missing, has no image or cannot be decoded. Rows before the
                fault have been given then.
            ConfigError: `every` or `window` is not above 0, or `top` is below 1.
        """
        _check_top(top)
        return self._named(self.stream(video, every, window=window), top)

    def _named(self, stream: Iterator[tuple[Clip, Tensor]], top: int) -> Iterator[TimelineRow]:
        for clip, views in stream:
            scores = self._scores(views)
            yield TimelineRow(clip.start, clip.end, self._top(scores, top), scores)

    def stream(
        self,
        video: Video,
        every: Fraction | float | str,
        *,
        window: Fraction | float | str | None = None,
    ) -> Iterator[tuple[Clip, Tensor]]:
        """The input of the model for each window of `timeline`, with its place in the video.

        Yields:
            (window, V C T H W float32), V being the crops of the model's own views.
        """
        step = to_seconds("every", every)
        length = None if window is None else to_seconds("window", window)
        return self._stream(given(video), step, length)

    def _stream(
        self, film: Given, every: Fraction, length: Fraction | None
    ) -> Iterator[tuple[Clip, Tensor]]:
        cut = evaluation_windows(self.pixels, self.views.crops)

        def prepared(image: Image) -> Tensor:
            """V 1 h w C: one frame of uint8, small whatever the video's size."""
            return torch.stack(cut(torch.from_numpy(image)[None]))

        with film.open(True) as video:
            natural = self.clip.duration(video.fps)
            for window in windows(
                ((time, prepared(image)) for time, image in video.stream()),
                video.duration,
                self.clip,
                clip_length=natural,
                length=length or natural,
                every=every,
            ):
                frames = list(window.frames)
                if not all(window.valid):
                    black = prepared(np.zeros((video.height, video.width, 3), np.uint8))
                    frames = [
                        f if ok else black for f, ok in zip(frames, window.valid, strict=True)
                    ]
                views = torch.cat(frames, dim=1).permute(0, 4, 1, 2, 3)
                yield window.clip, torch.stack([normalize(view, self.pixels) for view in views])

    def clips(
        self,
        video: Video,
        *,
        views: ViewProtocol | str | None = None,
        start: Fraction | None = None,
        end: Fraction | None = None,
    ) -> Tensor:
        """The input of the model for one video: V C T H W float32; errors as in `predict`."""
        return self._views(given(video), views, start, end)

    def _views(
        self,
        video: Given,
        views: ViewProtocol | str | None = None,
        start: Fraction | None = None,
        end: Fraction | None = None,
    ) -> Tensor:
        protocol = ViewProtocol.parse(views) if isinstance(views, str) else views or self.views
        dataset = ClipDataset(
            [VideoRecord(path=video.name, start=start, end=end)],
            self.clip,
            transform=evaluation_transform(self.pixels, protocol.crops),
            train=False,
            views=protocol,
            opener=lambda record: video.open(record.end is None),
        )
        data: Tensor = dataset[0]["video"]
        return data

    def export(
        self,
        to: str,
        videos: Sequence[str | Path],
        path: str | Path,
        *,
        tolerance: float | None = None,
        repeats: int = 10,
    ) -> tuple[Path, Verification]:
        """Writes the model for another runtime and checks it on `videos`.

        Args:
            to: export target ("onnx", "openvino", "torch.export").
            videos: real videos; the first view of each is compared.
            path: file or folder to write to.
            tolerance: replaces the target's own.
            repeats: timed runs of each model.

        Returns:
            The artifact's path and the check; with `ok` False nothing was written.

        Raises:
            WeightsError: this model is an exported one already.
            DecodeError: a video cannot be read.
        """
        if self.source.module is None:
            raise WeightsError(
                f"{self.source.path} is exported already ({self.source.kind}); export the run that "
                f"it came from"
            )
        clips: list[Inputs] = [self.clips(video, views=ViewProtocol())[0] for video in videos]
        return export_model(
            self.source.module,
            self.source.contract,
            clips,
            path,
            to=to,
            tolerance=tolerance,
            repeats=repeats,
        )

    def _scores(self, views: Tensor) -> Tensor:
        """Probabilities N from the views V C T H W of one video.

        Views go through one by one, so that memory does not grow with their number.
        """
        rows = [self._forward(view[None]) for view in views]
        for row in rows:
            if row.dim() != 2 or (self.classes and row.shape[1] != len(self.classes)):
                raise WeightsError(
                    f"{self.source.path}: gives {'x'.join(map(str, row.shape))} scores, and names "
                    f"{len(self.classes)} classes. Use a file whose classes are its own"
                )
        scores = combine_views(torch.cat(rows).softmax(1)[None])[0]
        if not scores.isfinite().all():
            raise WeightsError(
                f"{self.source.path}: its scores are no numbers (NaN), so they say nothing. Its "
                f"weights are damaged or have exploded in training; use another checkpoint"
            )
        return scores

    def _top(self, scores: Tensor, count: int) -> Top:
        values, indices = scores.topk(min(count, len(scores)))
        names = self.classes or [f"class {i}" for i in range(len(scores))]
        pairs = zip(indices.tolist(), values.tolist(), strict=True)
        return tuple(Score(names[i], value) for i, value in pairs)


def load(path: str | Path, device: str | torch.device = "cpu", *, trust: bool = False) -> Predictor:
    """Opens a trained model for prediction.

    Args:
        path: a run folder, a checkpoint (.json or .safetensors), an exported model (.onnx,
            .xml, .pt2), or the name of a card ("x3d_s") for its published weights, which are
            fetched once.
        device: where the model of a run computes.
        trust: open an exported model even where it could run code of its maker, read other files
            or use operators that are not on the list (see docs/security.md). Checkpoints never
            run anything.

    Raises:
        WeightsError: there is no model, or it is cut, foreign, of another shape, or would have to
            be trusted.
        MissingExtraError: an exported model needs a package that is not installed.
    """
    return Predictor(open_model(path, device, trust=trust))


def _check_top(top: int) -> None:
    if top < 1:
        raise ConfigError(f"top = {top}; at least 1 class is named")


def to_seconds(name: str, value: Fraction | float | str) -> Fraction:
    """Reads 2, 0.5, "1/3", "1s" or "1 s" as an exact number of seconds above 0.

    Raises:
        ConfigError: it is not such a number; `name` is the setting's name in the message.
    """
    try:
        found = exact(value.strip().removesuffix("s") if isinstance(value, str) else value)
    except ValueError:
        said = shown(str(value)[:60])
        raise ConfigError(f"{name} = {said!r}; expected seconds, such as 1s or 0.5") from None
    if not Fraction(1, 10**6) <= found <= 10**9:
        raise ConfigError(f"{name} = {float(found):g}; it must be above 0 s, and at most 10^9 s")
    return found
