"""One way to read frames from any video: the Decoder protocol, its backends, open_video()."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self, runtime_checkable

import numpy as np
import numpy.typing as npt

from vitascope.catalog import Catalog
from vitascope.data.cache.timelines import lookup
from vitascope.data.decoders.inputs import VideoInput
from vitascope.data.listing import is_remote
from vitascope.data.shards.remote import parse_part
from vitascope.errors import ConfigError, DecodeError, VideoNotFoundError
from vitascope.text import shown

if TYPE_CHECKING:
    import torch

Size = tuple[int, int]
Image = npt.NDArray[np.uint8]


class DecoderType(StrEnum):
    """Names of the decoders of this package."""

    PYAV = "pyav"
    TORCHCODEC = "torchcodec"
    OPENCV = "opencv"
    DECORD = "decord"
    IMAGES = "images"
    # PyTorchVideo's name of a decoder that torchvision no longer has.
    TORCHVISION = "pyav"

    @classmethod
    def _missing_(cls, value: object) -> DecoderType | None:
        return cls.PYAV if value == "torchvision" else None


@dataclass(frozen=True)
class Frames:
    """Decoded frames.

    Attributes:
        data: uint8 Tensor T H W C, colors in the order R G B, turned upright.
        pts: time of each frame in seconds from the first frame of the video.
        durations: seconds that each frame is shown.
    """

    data: torch.Tensor
    pts: tuple[Fraction, ...]
    durations: tuple[Fraction, ...]

    @classmethod
    def of(cls, data: Image, pts: Iterable[Fraction], durations: Iterable[Fraction]) -> Frames:
        """Frames around an array, without a copy."""
        import torch  # not at the top: reading times and checking files need no torch

        return cls(torch.from_numpy(data), tuple(pts), tuple(durations))


@runtime_checkable
class Decoder(Protocol):
    """An open video.

    Times count from the first frame, whose time in the file is `start`. Sizes are those of the
    upright image in stored pixels: rotation is applied, pixels that are not square are left as
    they are (`pixel_aspect` tells their width by their height).

    Attributes:
        path: the file or folder as given.
    """

    path: str

    @property
    def start(self) -> Fraction:
        """Seconds in the file at which the first frame is shown."""
        ...

    @property
    def times(self) -> Sequence[Fraction]:
        """Exact time of every frame in seconds, ascending, the first one 0."""
        ...

    @property
    def durations(self) -> Sequence[Fraction]:
        """Seconds that each frame is shown."""
        ...

    @property
    def duration(self) -> Fraction:
        """Seconds from the first frame to the end of the last."""
        ...

    @property
    def fps(self) -> Fraction:
        """Frames a second on average."""
        ...

    @property
    def width(self) -> int:
        """Pixels from left to right of the upright image."""
        ...

    @property
    def height(self) -> int:
        """Pixels from top to bottom of the upright image."""
        ...

    @property
    def pixel_aspect(self) -> Fraction:
        """Width of a stored pixel divided by its height; 1 for square pixels or if unknown."""
        ...

    def read(self, indices: Sequence[int], size: Size | None = None) -> Frames:
        """Decodes frames by number, in the order asked for; a number may come twice.

        Args:
            indices: frame numbers in presentation order, 0 to len(times) - 1.
            size: height and width in pixels to scale to; None takes the size given when the
                video was opened.

        Raises:
            IndexError: a number outside the video.
            DecodeError: a frame that was asked for does not come out whole.
        """
        ...

    def stream(
        self,
        start: Fraction = Fraction(0),
        end: Fraction | None = None,
        size: Size | None = None,
    ) -> Iterator[tuple[Fraction, Image]]:
        """Decodes forward, one frame at a time, in constant memory.

        Yields:
            (time, frame uint8 H W C) for each frame on the screen at any time in [start, end):
            the first one may have begun before `start`.

        Raises:
            DecodeError: at the first frame that does not come out whole.
        """
        ...

    def cut_off(self) -> str | None:
        """What is known to be missing at the end of the file, in words; None if nothing is."""
        ...

    def close(self) -> None:
        """Frees the file. Further calls have no effect."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


# name -> "module:class"; the module is imported when it is first asked for, because most backends
# are optional packages.
BACKENDS: Catalog[str] = Catalog("decoder", hint="`vitascope doctor` shows which of them work.")
BACKENDS.add(DecoderType.PYAV.value, "vitascope.data.decoders.pyav:PyAVDecoder")
BACKENDS.add(DecoderType.TORCHCODEC.value, "vitascope.data.decoders.torchcodec:open_torchcodec")
BACKENDS.add(DecoderType.OPENCV.value, "vitascope.data.decoders.opencv:open_opencv")
BACKENDS.add(DecoderType.DECORD.value, "vitascope.data.decoders.decord:open_decord")
BACKENDS.add(DecoderType.IMAGES.value, "vitascope.data.decoders.images:ImagesDecoder")


def backend(name: str) -> Any:
    """The class of a decoder.

    Raises:
        UnknownNameError: no decoder has this name.
        MissingExtraError: it needs a package that is not installed.
    """
    module, _, attribute = BACKENDS[str(name)].partition(":")
    return getattr(importlib.import_module(module), attribute)


def open_video(
    path: VideoInput,
    decoder: str = "pyav",
    size: Size | None = None,
    *,
    fps: Fraction | int | None = None,
    threads: int = 1,
    time_limit: float | None = None,
    whole: bool = False,
) -> Decoder:
    """Opens a video: a file, a folder of frames, an address, bytes, or an open file.

    Times and key frames of a local file come from the index if `check` has seen the file as it is
    now, else from its packets when they are first needed.

    Args:
        path: a local file or folder; an address that fsspec knows ("https://...", "s3://...");
            a video in a shard (`remote.Part`); the content itself as bytes; or a file opened in
            binary mode that can go back, which stays open. Whatever a file or playlist itself may
            name is never opened.
        decoder: backend by name; a folder always uses "images". Only "pyav" reads what is not a
            local file.
        size: height and width in pixels of the frames that `read` and `stream` return, scaled
            while colors are converted; None leaves them as stored.
        fps: frames a second of a folder of frames, which has no times of its own (default 25);
            not allowed for a file.
        threads: decoding threads. One gives the same speed in many loader workers and never
            oversubscribes; 0 lets the decoder choose.
        time_limit: seconds after which opening the file or a single read is given up with a
            DecodeError; None waits for ever.
        whole: refuse a file that was cut off; False gives the frames that are there.

    Raises:
        VideoNotFoundError: there is no such file (a DecodeError and a FileNotFoundError).
        DecodeError: the file is empty, has no image, or is no video; or it is cut off and was
            to be whole.
        ConfigError: an argument with an illegal value.
        UnknownNameError: no decoder of this name.
        MissingExtraError: the decoder, or the storage of the address, needs a package that is
            not installed.
    """
    check_size(size)
    local = os.fspath(path) if isinstance(path, str | os.PathLike) else None
    if local is not None and (is_remote(local) or parse_part(local) is not None):
        local = None
    if local is not None and os.path.isdir(local):
        folder: Decoder = backend("images")(local, size=size, fps=fps)
        return folder
    if fps is not None:
        name = shown(local) if local is not None else f"<{type(path).__name__}>"
        raise ConfigError(f"fps = {fps} for {name}: a video file has its own times")
    if local is None:
        if decoder != DecoderType.PYAV:
            raise ConfigError(f"the decoder {decoder} reads local files only; use pyav")
        source, timeline = path, None
    else:
        if not _exists(local):
            raise VideoNotFoundError(local, "no such file", remedy="Check the path.")
        if decoder == DecoderType.IMAGES:
            raise ConfigError(
                f"{shown(local)}: the decoder images reads folders of frames; use pyav"
            )
        source, timeline = local, lookup(local)
    opened: Decoder = backend(decoder)(
        source, size=size, threads=threads, time_limit=time_limit, timeline=timeline
    )
    if whole:
        require_whole(opened)
    return opened


def _exists(path: str) -> bool:
    try:
        return os.path.exists(path)
    except ValueError:  # a zero byte, or half a character
        return False


def require_whole(video: Decoder) -> None:
    """Refuses a video that was cut off, and closes it.

    Raises:
        DecodeError: something is missing at its end.
    """
    missing = video.cut_off()
    if missing is not None:
        video.close()
        raise DecodeError(video.path, missing, remedy="Fetch or record it again.")


def check_size(size: Size | None) -> None:
    """Refuses a size that is not two positive whole numbers (height, width)."""
    if size is not None and (len(size) != 2 or min(size) < 1):
        raise ConfigError(f"size = {size}; it is (height, width) in pixels, both at least 1")
