"""Frozen facts that data, models and serving share: what a clip, a pixel and a label are.

Everything here is immutable, comparable and goes to JSON and back without loss, because it is
stored in every checkpoint and every exported artifact.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import re
import types
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal, Self, TypeVar, Union, get_args, get_origin, get_type_hints

from vitascope.errors import ConfigError
from vitascope.text import exact, is_count, shown

Coverage = Literal["window", "video"]
ShortClip = Literal["repeat", "loop", "pad", "error"]
Fit = Literal["crop", "squash"]
Background = Literal["keep", "remove"]


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


LARGEST = 1_000_000
"""Largest size, number of frames or rate in a file: beyond it a number is damage or malice."""
LARGEST_CLIP = 2**31
_FRACTION = re.compile(r"-?\d{1,12}(\.\d{1,12}|/0*[1-9]\d{0,11})?", re.ASCII)

Spec = TypeVar("Spec")


def read_spec(cls: type[Spec], data: Any, where: str) -> Spec:
    """Reads what `to_json` wrote of a spec, from a file that somebody else may have written.

    Entries that the spec does not have are ignored, so that newer files stay readable.

    Args:
        cls: the spec's class.
        data: JSON values.
        where: its place, for messages.

    Raises:
        ConfigError: an entry is missing, of another type, or out of range.
    """
    if not isinstance(data, Mapping):
        raise _mistyped(where, data, "an object")
    hints = _hints(cls)  # type: ignore[arg-type]
    for field in dataclasses.fields(cls):  # type: ignore[arg-type]
        if field.name not in data and field.default is dataclasses.MISSING:
            raise ConfigError(f"{where} lacks {field.name}")
    return cls(
        **{
            name: _typed(hint, data[name], f"{where}.{name}")
            for name, hint in hints.items()
            if name in data
        }
    )


@functools.cache
def _hints(cls: type) -> dict[str, Any]:
    return get_type_hints(cls)


def _mistyped(where: str, value: Any, expected: str) -> ConfigError:
    return ConfigError(f"{where} = {value!r:.100}; expected {expected}")


def _typed(hint: Any, value: Any, where: str) -> Any:
    """A JSON value in the type that a field of a spec has."""
    origin, args = get_origin(hint), get_args(hint)
    if dataclasses.is_dataclass(hint):
        return read_spec(hint, value, where)  # type: ignore[arg-type]
    if origin is Literal:
        if not isinstance(value, str) or value not in args:
            raise _mistyped(where, value, f"one of {', '.join(args)}")
        return value
    if origin in (Union, types.UnionType):  # something or nothing
        return None if value is None else _typed(args[0], value, where)
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise _mistyped(where, value, "a list")
        if args[-1] is not Ellipsis and len(value) != len(args):
            raise _mistyped(where, value, f"a list of {len(args)}")
        return tuple(_typed(args[0], item, f"{where}[{i}]") for i, item in enumerate(value))
    if origin is Mapping or hint is Mapping:
        if not isinstance(value, Mapping):
            raise _mistyped(where, value, "an object")
        return dict(value)
    return _typed_scalar(hint, value, where)


def _typed_scalar(hint: Any, value: Any, where: str) -> Any:
    number = type(value) is int or (type(value) is float and math.isfinite(value))
    if hint is Fraction:
        if isinstance(value, str) and _FRACTION.fullmatch(value):
            return _in_range(Fraction(value), where)
        if number:
            return Fraction(_in_range(value, where))
        raise _mistyped(where, value, "a fraction")
    if hint is int and type(value) is int:
        return _in_range(value, where)
    if hint is float and number:
        return float(_in_range(value, where))
    if hint is str and isinstance(value, str):
        return value
    names = {int: "a whole number", float: "a number", str: "text"}
    raise _mistyped(where, value, names.get(hint, str(hint)))


def _in_range(value: Any, where: str) -> Any:
    if abs(value) > LARGEST:
        raise ConfigError(f"{where} = {value!s:.50}; at most {LARGEST} is a sensible number")
    return value


def _fraction(where: str, value: Fraction | float | str) -> Fraction:
    try:
        return exact(value)
    except ValueError:
        said = shown(str(value)[:60])
        raise ConfigError(
            f"{where} = {said!r}; expected a number, such as 25 or 30000/1001"
        ) from None


def require_range(
    where: str, spec: Any, **ranges: tuple[Fraction | float, Fraction | float]
) -> None:
    """Refuses numbers outside of their range, both ends of which are allowed.

    Args:
        where: what the fields belong to, in the message.
        spec: holds them; a field may be a tuple of numbers, or None.
        ranges: name of the field -> least and largest value.

    Raises:
        ConfigError: a number is outside.
    """
    for name, limits in ranges.items():
        low, high = limits
        value = getattr(spec, name)
        for one in value if isinstance(value, tuple) else (value,):
            if one is not None and not low <= one <= high:
                # Whole bounds as they may be typed: 9223372036854775807.
                said = (str(n) if isinstance(n, int) else f"{float(n):g}" for n in limits)
                raise ConfigError(f"{where}.{name} = {value}; from {' to '.join(said)}")


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
        require_range("clip", self, num_frames=(1, 100_000), sampling_rate=(1, 100_000))
        for name in ("fps", "seconds"):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, _fraction(f"clip.{name}", value))
                if getattr(self, name) <= 0:
                    raise ConfigError(f"clip.{name} = {value}; it must be above 0")
        require_range(
            "clip", self, fps=(Fraction(1, 10**6), 10**6), seconds=(Fraction(1, 10**6), 10**9)
        )
        object.__setattr__(self, "pathways", tuple(self.pathways))
        if any(stride < 1 for stride in self.pathways):
            raise ConfigError(f"clip.pathways = {self.pathways}; a stride is at least 1")
        require_range("clip", self, pathways=(1, self.num_frames))
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
    def from_json(cls, data: Any) -> Self:
        """Reads what `to_json` wrote; `read_spec` says what is refused."""
        return read_spec(cls, data, "clip")


@dataclass(frozen=True, kw_only=True)
class PixelSpec:
    """What a pixel means to a model, and how a frame is brought to its size.

    Attributes:
        short_side: the short side of the frame in pixels after scaling (fit "crop").
        crop: height and width (h, w) in pixels of what enters the model; one number is a square.
        mean: mean of each channel, R G B, on a scale of 0 to 1.
        std: standard deviation of each channel on the same scale.
        fit: "crop" keeps the aspect ratio and cuts the center; "squash" scales the whole frame to
            `crop`, so that nothing is cut off and the aspect ratio is lost.
        background: "keep" shows frames as they are; "remove" takes from each pixel its median over
            the frames of the clip, in place of `mean`, so that only what moves is seen.
    """

    short_side: int
    crop: tuple[int, int]
    mean: tuple[float, ...] = (0.45, 0.45, 0.45)
    std: tuple[float, ...] = (0.225, 0.225, 0.225)
    fit: Fit = "crop"
    background: Background = "keep"

    def __post_init__(self) -> None:
        crop = (self.crop, self.crop) if isinstance(self.crop, int) else tuple(self.crop)
        object.__setattr__(self, "crop", crop)
        object.__setattr__(self, "mean", tuple(float(m) for m in self.mean))
        object.__setattr__(self, "std", tuple(float(s) for s in self.std))
        _choice("pixels.fit", self.fit, ("crop", "squash"))
        _choice("pixels.background", self.background, ("keep", "remove"))
        if min(crop) < 1 or (self.fit == "crop" and self.short_side < min(crop)):
            raise ConfigError(
                f"pixels.crop = {crop} does not fit into short_side = {self.short_side}"
            )
        require_range("pixels", self, short_side=(1, 16384), crop=(1, 16384), mean=(-1e6, 1e6),
               std=(-1e6, 1e6))  # fmt: skip
        if not 0 < len(self.mean) == len(self.std) or not min(self.std) > 0:
            raise ConfigError("pixels.mean and pixels.std need one number a channel, std above 0")

    @classmethod
    def from_json(cls, data: Any) -> Self:
        """Reads what `to_json` wrote; `read_spec` says what is refused."""
        return read_spec(cls, data, "pixels")


@dataclass(frozen=True, kw_only=True)
class LabelSpec:
    """The classes of a model in the order of its outputs.

    Attributes:
        name: name of a public class list ("kinetics400"); empty for the user's own classes.
        names: class names by index; empty when only the list's name is known.
    """

    name: str = ""
    names: tuple[str, ...] = ()

    def __repr__(self) -> str:
        public = f"{self.name!r}, " if self.name else ""
        shown = ", ".join(f"{name:.40}" for name in self.names[:3])
        more = ", ..." if len(self.names) > 3 else ""
        which = f": {shown}{more}" if shown else ""
        return f"LabelSpec({public}{len(self.names)} names{which})"

    @classmethod
    def from_json(cls, data: Any) -> Self:
        """Reads what `to_json` wrote; `read_spec` says what is refused."""
        return read_spec(cls, data, "labels")


@dataclass(frozen=True, kw_only=True)
class ViewProtocol:
    """How many views of a video are averaged: clips in time times crops in space."""

    clips: int = 1
    crops: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.clips <= 10_000 or self.crops not in (1, 3, 5):
            raise ConfigError(
                f"views {self.clips}x{self.crops}: clips must be at least 1, at most 10000, and "
                f"crops 1, 3 or 5"
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
        if not (x and is_count(clips) and is_count(crops)):
            said = shown(text[:60])
            raise ConfigError(f"views {said!r}; expected CLIPSxCROPS, such as 10x3")
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
    """Everything that is needed to use a set of weights: stored in checkpoints and artifacts.

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
    def from_json(cls, data: Any) -> Self:
        """Reads what `to_json` wrote; `read_spec` says what is refused."""
        found = read_spec(cls, {"args": {}, **data} if isinstance(data, dict) else data, "contract")
        numbers = found.clip.num_frames * found.pixels.crop[0] * found.pixels.crop[1]
        if numbers > LARGEST_CLIP:
            raise ConfigError(f"a clip of {numbers} pixels, more than any model can take in")
        return found


@dataclass(frozen=True, kw_only=True)
class Weights:
    """Where published weights lie.

    Attributes:
        url: the file.
        dialect: whose names the entries have ("pytorchvideo", "pyslowfast", "caffe2", ...).
        sha256: checksum of the file; None where the publisher gives none and nobody measured it.
        license: license of the weights.
        size: bytes of the file; None where nobody measured them.
    """

    url: str
    dialect: str
    sha256: str | None = None
    license: str = ""
    size: int | None = None


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Published size of a model.

    Attributes:
        gflops: 10^9 multiply-adds of one view; None where not published.
        parameters: millions of parameters; None where not published.
        source: link to the table.
        views: views of a video to which `gflops` applies once each.
        crop: height and width at which `gflops` was counted, where it is not the card's.
        note: why the model, as its authors' code builds it, has another size than published.
    """

    gflops: float | None
    parameters: float | None
    source: str
    views: ViewProtocol | None = None
    crop: int | None = None
    note: str = ""
