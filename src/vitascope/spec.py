"""Frozen facts that data, models and serving share: what a clip, a pixel and a label are.

Everything here is immutable, comparable and goes to JSON and back without loss, because it is
stored in every checkpoint and every exported artefact.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal, Self

from vitascope.errors import ConfigError

Coverage = Literal["window", "video"]
ShortClip = Literal["repeat", "loop", "pad", "error"]
Fit = Literal["crop", "squash"]


def to_json(value: Any) -> Any:
    """Turns a spec (or a nest of specs, tuples and Fractions) into plain JSON values."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_json(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Fraction):
        return str(value)
    if isinstance(value, tuple | list):
        return [to_json(v) for v in value]
    if isinstance(value, Mapping):
        return {str(k): to_json(v) for k, v in value.items()}
    return value


def _choice(where: str, value: str, legal: tuple[str, ...]) -> None:
    if value not in legal:
        raise ConfigError(f"{where} = {value!r}; legal values: {', '.join(legal)}")


@dataclass(frozen=True, kw_only=True)
class ClipSpec:
    """Which frames of a video a model sees.

    Attributes:
        num_frames: frames T that enter the model.
        sampling_rate: frames from one sample to the next, counted at `fps` ("8x8" is
            num_frames x sampling_rate).
        fps: rate in frames a second at which `sampling_rate` counts; None takes the rate of
            each file.
        pathways: stride in time of each pathway, slowest first, such as (4, 1) for SlowFast with
            alpha 4; empty for a single pathway.
        coverage: "window" cuts num_frames x sampling_rate / fps seconds out of the video; "video"
            spreads num_frames evenly over the whole video (trimmed clips).
        seconds: with coverage "video": length in seconds of the window to use when a video is
            much longer than those seen in training (time lines).
        short: what happens when the video ends before the clip does: "repeat" the last frame,
            "loop" from the start, "pad" with black and a mask, or "error".
    """

    num_frames: int
    sampling_rate: int = 1
    fps: Fraction | None = None
    pathways: tuple[int, ...] = ()
    coverage: Coverage = "window"
    seconds: Fraction | None = None
    short: ShortClip = "repeat"

    def __post_init__(self) -> None:
        if self.num_frames < 1 or self.sampling_rate < 1:
            raise ConfigError(
                f"a clip needs at least one frame and a rate of at least 1, got "
                f"num_frames = {self.num_frames}, sampling_rate = {self.sampling_rate}"
            )
        for name in ("fps", "seconds"):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, Fraction(value))
                if Fraction(value) <= 0:
                    raise ConfigError(f"clip.{name} = {value}; it must be above 0")
        object.__setattr__(self, "pathways", tuple(self.pathways))
        _choice("clip.coverage", self.coverage, ("window", "video"))
        _choice("clip.short", self.short, ("repeat", "loop", "pad", "error"))

    def duration(self, native_fps: Fraction | None = None) -> Fraction:
        """Length of one clip in seconds; `native_fps` is the rate of the file.

        Raises:
            ConfigError: neither the spec nor the caller gives a rate or a length.
        """
        if self.coverage == "video" and self.seconds is not None:
            return self.seconds
        fps = self.fps or native_fps
        if fps is None:
            raise ConfigError("a clip without fps needs the frame rate of the file")
        return Fraction(self.num_frames * self.sampling_rate) / fps

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Reads what `to_json` wrote."""
        return cls(**{**data, "pathways": tuple(data.get("pathways", ()))})


@dataclass(frozen=True, kw_only=True)
class PixelSpec:
    """What a pixel means to a model, and how a frame is brought to its size.

    Attributes:
        short_side: the short side of the frame in pixels after scaling (fit "crop").
        crop: height and width (h, w) in pixels of what enters the model; one number is a square.
        mean: mean of each channel, R G B, on a scale of 0 to 1.
        std: standard deviation of each channel on the same scale.
        fit: "crop" keeps the aspect ratio and cuts the centre; "squash" scales the whole frame to
            `crop`, so that nothing is cut off and the aspect ratio is lost.
    """

    short_side: int
    crop: tuple[int, int]
    mean: tuple[float, ...] = (0.45, 0.45, 0.45)
    std: tuple[float, ...] = (0.225, 0.225, 0.225)
    fit: Fit = "crop"

    def __post_init__(self) -> None:
        crop = (self.crop, self.crop) if isinstance(self.crop, int) else tuple(self.crop)
        object.__setattr__(self, "crop", crop)
        object.__setattr__(self, "mean", tuple(float(m) for m in self.mean))
        object.__setattr__(self, "std", tuple(float(s) for s in self.std))
        _choice("pixels.fit", self.fit, ("crop", "squash"))
        if min(crop) < 1 or (self.fit == "crop" and self.short_side < min(crop)):
            raise ConfigError(
                f"pixels.crop = {crop} does not fit into short_side = {self.short_side}"
            )
        if len(self.mean) != len(self.std) or min(self.std) <= 0:
            raise ConfigError("pixels.mean and pixels.std need one number a channel, std above 0")

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Reads what `to_json` wrote."""
        values: dict[str, Any] = dict(data)
        for name in ("crop", "mean", "std"):
            if name in values:
                values[name] = tuple(values[name])
        return cls(**values)


@dataclass(frozen=True, kw_only=True)
class LabelSpec:
    """The classes of a model in the order of its outputs.

    Attributes:
        name: name of a public class list ("kinetics400"); empty for the user's own classes.
        names: class names by index; empty when only the list's name is known.
    """

    name: str = ""
    names: tuple[str, ...] = ()

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Reads what `to_json` wrote."""
        return cls(name=data.get("name", ""), names=tuple(data.get("names", ())))


@dataclass(frozen=True, kw_only=True)
class ViewProtocol:
    """How many views of a video are averaged: clips in time times crops in space."""

    clips: int = 1
    crops: int = 1

    def __post_init__(self) -> None:
        if self.clips < 1 or self.crops not in (1, 3, 5):
            raise ConfigError(
                f"views {self.clips}x{self.crops}: clips must be at least 1 and crops 1, 3 or 5"
            )

    def __str__(self) -> str:
        return f"{self.clips}x{self.crops}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads "10x3" as 10 clips of 3 crops.

        Raises:
            ConfigError: the text is not two positive whole numbers around an "x".
        """
        clips, x, crops = text.lower().partition("x")
        if not (x and clips.isdigit() and crops.isdigit()):
            raise ConfigError(f"views {text!r}; expected CLIPSxCROPS, such as 10x3")
        return cls(clips=int(clips), crops=int(crops))


@dataclass(frozen=True, kw_only=True)
class Result:
    """A score of a model with where it comes from.

    Attributes:
        metric: "top1", "top5" or "mAP", on a scale of 0 to 100 as published.
        value: the score.
        protocol: views that were averaged; None when the source does not say.
        dataset: the data and split that were scored, such as "kinetics400/val".
        source: a link for a published number, or the commit of a measured one.
        kind: "published" (nobody reproduced it here) or "measured".
    """

    metric: str
    value: float
    dataset: str
    source: str
    protocol: ViewProtocol | None = None
    kind: Literal["published", "measured"] = "published"


@dataclass(frozen=True, kw_only=True)
class Contract:
    """Everything that is needed to use a set of weights: stored in checkpoints and artefacts.

    Attributes:
        model: card name of the architecture ("x3d_s").
        args: arguments of its builder that differ from the card's, as plain JSON values.
        labels: classes in the order of the outputs.
        clip: frames that enter the model.
        pixels: size and scale of the frames.
        views: views averaged by default at prediction.
    """

    model: str
    args: Mapping[str, Any]
    labels: LabelSpec
    clip: ClipSpec
    pixels: PixelSpec
    views: ViewProtocol = ViewProtocol()

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Reads what `to_json` wrote; unknown keys are ignored, so newer files stay readable."""
        return cls(
            model=data["model"],
            args=dict(data.get("args", {})),
            labels=LabelSpec.from_json(data["labels"]),
            clip=ClipSpec.from_json(data["clip"]),
            pixels=PixelSpec.from_json(data["pixels"]),
            views=ViewProtocol(**data.get("views", {})),
        )


@dataclass(frozen=True, kw_only=True)
class Weights:
    """Where published weights lie.

    Attributes:
        url: the file.
        dialect: whose names the entries have ("pytorchvideo", "pyslowfast", "caffe2", ...).
        sha256: checksum of the file; None where the publisher gives none and nobody measured it.
        license: licence of the weights.
    """

    url: str
    dialect: str
    sha256: str | None = None
    license: str = ""


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Published size of a model.

    Attributes:
        gflops: 10^9 multiply-adds of one view; None where not published.
        parameters: millions of parameters; None where not published.
        source: link to the table.
        views: views of a video to which `gflops` applies once each.
        crop: height and width at which `gflops` was counted, where it is not the card's.
        note: why the network, as its authors' code builds it, has another size than published.
    """

    gflops: float | None
    parameters: float | None
    source: str
    views: ViewProtocol | None = None
    crop: int | None = None
    note: str = ""
