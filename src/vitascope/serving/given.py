"""What people give a model to look at: paths, folders, arrays, images, bytes, open files."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from vitascope.data.cache.video import TIME_LIMIT
from vitascope.data.decoder import Decoder, open_video
from vitascope.data.decoders.arrays import ArrayDecoder
from vitascope.data.decoders.images import ImagesDecoder
from vitascope.data.listing import has_image_suffix, is_remote, list_videos
from vitascope.errors import ConfigError, DecodeError, InputError
from vitascope.text import shown

# An image is an array H W C, or one of Pillow.
Video = (
    str | os.PathLike[str] | bytes | bytearray | memoryview | IO[bytes] | npt.NDArray[np.uint8]
    | Tensor | Sequence[Any]
)  # fmt: skip
EXPECTED = (
    "give a path, a folder of frames, an address, bytes, a file opened in binary mode, uint8 "
    "frames T H W C (array or tensor), or a list of images"
)
_LONGEST = 4096  # bytes of a path


@dataclass(frozen=True)
class Given:
    """One video.

    Attributes:
        name: what to call it: its path, or what it is.
        open: opens it; called again it starts anew. The argument says whether a file that was cut
            off is to be refused.
    """

    name: str
    open: Callable[[bool], Decoder]


def several(video: Video) -> list[str | os.PathLike[str]] | None:
    """The paths of a list that stands for several videos; None for one video."""
    if not isinstance(video, list | tuple) or not video:
        return None
    if not all(isinstance(item, str | os.PathLike) for item in video):
        return None
    if all(has_image_suffix(os.fspath(item)) for item in video):
        return None  # the frames of one video
    return list(video)


def listed(videos: Any) -> list[Any] | Any:
    """What `predict_many` goes through: a folder of videos stands for the videos in it."""
    if isinstance(videos, str | os.PathLike):
        path = expanded(videos)
        return list_videos(path) if os.path.isdir(path) else [path]
    return videos


def expanded(path: str | os.PathLike[str]) -> str:
    """A path as text, with `~` for the home folder."""
    text = os.fsdecode(path)
    return os.path.expanduser(text) if text.startswith("~") and not os.path.exists(text) else text


def given(video: Video, fps: Fraction | int | None = None) -> Given:
    """Finds out what a video was given as.

    Args:
        video: see `EXPECTED`.
        fps: frames a second of frames that have no times of their own; None is 25.

    Raises:
        ConfigError: nothing of these kinds; the message is short, whatever was given.
        InputError: frames of another type or shape.
        DecodeError: a path that is none.
    """
    if isinstance(video, str | os.PathLike):
        return _from_path(expanded(video), fps)
    if isinstance(video, memoryview) and video.ndim > 1:  # of an array
        video = np.asarray(video)
    if isinstance(video, np.ndarray | Tensor):
        return _from_frames(_array(video), fps)
    if isinstance(video, list | tuple):
        return _from_list(video, fps)
    if fps is not None:
        raise ConfigError(f"fps = {fps}: a video file has its own times")
    if isinstance(video, bytes | bytearray | memoryview):
        content = bytes(video)
        return Given(f"<{len(content)} bytes>", lambda whole: _opened(content, whole))
    if isinstance(video, io.TextIOBase) or not (hasattr(video, "read") and hasattr(video, "seek")):
        raise ConfigError(f"a video cannot be read from {type(video).__name__}; {EXPECTED}")
    name = getattr(video, "name", None)
    name = name if isinstance(name, str) else type(video).__name__
    return Given(f"<{shown(name)}>", lambda whole: _opened(video, whole))


def _opened(source: Any, whole: bool, fps: Fraction | int | None = None) -> Decoder:
    return open_video(source, fps=fps, time_limit=TIME_LIMIT, whole=whole)


def _from_path(path: str, fps: Fraction | int | None) -> Given:
    name = shown(path)
    try:
        usable = 0 < len(os.fsencode(path)) <= _LONGEST and "\0" not in path
    except UnicodeEncodeError:  # half of a character
        usable = False
    if not usable:
        raise DecodeError(f"{name[:60]!r}", f"text of {len(path)} characters is no path")
    if not is_remote(path) and os.path.isdir(path) and list_videos(path) not in ([path], []):
        raise ConfigError(
            f"{name}: is a folder of videos and not of frames. Give one of them, or the folder to "
            f"predict_many"
        )
    return Given(path, lambda whole: _opened(path, whole, fps))


def _from_frames(frames: npt.NDArray[Any], fps: Fraction | int | None) -> Given:
    decoder = ArrayDecoder(frames, fps=fps)
    return Given(decoder.path, lambda whole: decoder)


def _from_list(items: Sequence[Any], fps: Fraction | int | None) -> Given:
    if not items:
        raise ConfigError(f"an empty list is no video; {EXPECTED}")
    if all(isinstance(item, str | os.PathLike) for item in items):
        files = [Path(expanded(item)) for item in items]
        images = ImagesDecoder.of_files(files, fps)
        return Given(f"<{len(files)} images>", lambda whole: images)
    pictures = [_picture(item) for item in items]
    sizes = {picture.shape for picture in pictures}
    if len(sizes) > 1:
        first, second, *_ = sorted(map(str, sizes))
        raise InputError(f"images of several shapes, such as {first} and {second}; scale them")
    return _from_frames(np.stack(pictures), fps)


def _picture(item: Any) -> npt.NDArray[Any]:
    if isinstance(item, np.ndarray | Tensor):
        array = _array(item)
    elif hasattr(item, "convert") and hasattr(item, "getbands"):  # Pillow
        array = np.asarray(item.convert("RGB"))
    else:
        raise ConfigError(f"a list with a {type(item).__name__} is no video; {EXPECTED}")
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3:
        raise InputError(
            f"an image of type {array.dtype} and shape {tuple(array.shape)} in the list; expected "
            f"uint8 H W C with C = 3"
        )
    return array


def _array(value: npt.NDArray[Any] | Tensor) -> npt.NDArray[Any]:
    if isinstance(value, np.ndarray):
        return value
    if value.layout != torch.strided or value.dtype != torch.uint8 or value.is_meta:
        what = f"{value.dtype}, {value.layout}, on {value.device.type}"
        raise InputError(f"frames of type {what}; expected uint8 with values, T H W C")
    array: npt.NDArray[Any] = value.detach().cpu().numpy()
    return array
