"""PyTorchVideo's `data.utils`."""

from __future__ import annotations

import ast
import csv
import dataclasses
import itertools
import logging
import math
import os
import sys
import typing
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
import torch.utils.data
from torch import Tensor
from torch.utils.data import Sampler

from vitascope.compat.ptv.errors import (
    MissingEntryError,
    NothingToWriteError,
    RefusedArgumentError,
    RefusedDataError,
    UnreadableDocumentError,
)
from vitascope.data.tables.columns import read_json_list
from vitascope.errors import ConfigError, DatasetError, RunError
from vitascope.files import replacing

logger = logging.getLogger(__name__)

__all__ = [
    "DataclassFieldCaster", "MultiProcessSampler", "export_video_array", "get_logger",
    "load_dataclass_dict_from_csv", "optional_threaded_foreach", "pts_to_secs",
    "save_dataclass_objs_to_headered_csv", "secs_to_pts", "thwc_to_cthw",
]  # fmt: skip


def thwc_to_cthw(data: Tensor) -> Tensor:
    """T H W C to C T H W, as a view."""
    return data.permute(3, 0, 1, 2)


def secs_to_pts(
    time_in_seconds: float, time_base: float, start_pts: int, round_mode: str = "floor"
) -> float:
    """Seconds to ticks of a time base; infinity stays infinity.

    Raises:
        RefusedArgumentError: a mode other than "floor" and "ceil".
    """
    if round_mode not in ("floor", "ceil"):
        raise RefusedArgumentError(f"round_mode = {round_mode!r}; legal values: floor, ceil")
    if time_in_seconds == math.inf:
        return math.inf
    ticks = Fraction(time_in_seconds) / Fraction(time_base)
    return (math.floor(ticks) if round_mode == "floor" else math.ceil(ticks)) + start_pts


def pts_to_secs(pts: float, time_base: float, start_pts: int) -> float:
    """Ticks of a time base to seconds; infinity stays infinity."""
    return math.inf if pts == math.inf else int(pts - start_pts) * time_base


class MultiProcessSampler(Sampler[Any]):
    """The share of a loader worker in the order of a sampler; all of it outside a worker.

    Shares are contiguous and as even as can be: of ten samples three workers get four, three and
    three. The sampler must have a length and give the same order in every worker.
    """

    def __init__(self, sampler: Sampler[Any]) -> None:
        self._sampler = sampler

    def __iter__(self) -> Iterator[Any]:
        """The samples of this worker, in their order."""
        # Looked up on each call, because tests of users put another function there.
        worker = torch.utils.data.get_worker_info()
        if worker is None or worker.num_workers == 0:
            return iter(self._sampler)
        total, workers, number = len(cast("Sized", self._sampler)), worker.num_workers, worker.id
        if number >= total:
            logger.warning(
                "worker %d has no share in %d videos; more than %d workers are of no use",
                number, total, total,
            )  # fmt: skip
            return iter(())
        each, left = divmod(total, workers)
        first = number * each + min(number, left)
        return itertools.islice(iter(self._sampler), first, first + each + (number < left))


def optional_threaded_foreach(
    target: Callable[..., Any], args_iterable: Iterable[tuple[Any, ...]], multithreaded: bool
) -> None:
    """Calls `target` with each tuple of arguments; the first error of any thread is raised."""
    if not multithreaded:
        for args in args_iterable:
            target(*args)
        return
    with ThreadPoolExecutor() as pool:
        for done in [pool.submit(target, *args) for args in args_iterable]:
            done.result()


def get_logger(name: str) -> logging.Logger:
    """The logger of this name, at the level INFO; it writes to stdout if nothing else is set up."""
    found = logging.getLogger(name)
    found.setLevel(logging.INFO)
    if not found.hasHandlers():
        handler = logging.StreamHandler(sys.stdout)
        layout = "[%(asctime)s] %(levelname)s %(message)s [%(filename)s:%(lineno)d]"
        handler.setFormatter(logging.Formatter(layout))
        found.addHandler(handler)
    return found


def export_video_array(
    video: Tensor | np.ndarray[Any, Any],
    output_path: str | os.PathLike[str],
    rate: str | float | Fraction,
    bit_rate: int | None = None,
    pix_fmt: str | None = None,
    height: int | None = None,
    width: int | None = None,
    in_format: str = "rgb24",
    out_format: str = "bgr24",
    video_codec: str = "mpeg4",
    options: Mapping[str, str] | None = None,
) -> Any:
    """Encodes the frames of a clip as an MP4 file, which appears when it is complete.

    Args:
        video: frames C T H W with values from 0 to 255, as `get_clip` gives them; fractions are
            cut off, values outside are cut to 0 and 255.
        output_path: where to write.
        rate: frames a second.
        bit_rate: bits a second; None leaves it to the encoder.
        pix_fmt: stored pixel format; None is yuv420p, or rgb24 for libx264rgb.
        height: pixels to scale to; None keeps those of the frames.
        width: pixels to scale to; None keeps those of the frames.
        in_format: how the channels are to be read, by FFmpeg's name: rgb24 or bgr24.
        out_format: format that frames pass through before they are encoded; with "gray" colors
            are lost.
        video_codec: FFmpeg's name of the encoder.
        options: settings of the encoder.

    Returns:
        The stream of PyAV, closed, with what is known of it (`codec_context.bit_rate`, ...).

    Raises:
        ConfigError: frames of another shape, or settings that the encoder refuses.
        RunError: the folder is not there, is not writable, or the disk is full.
    """
    frames = video.detach().cpu().numpy() if isinstance(video, Tensor) else np.asarray(video)
    if frames.ndim != 4 or frames.shape[0] != 3:
        raise ConfigError(f"a video of shape {frames.shape}; expected 3 T H W")
    target = Path(output_path)
    plain = "rgb24" if video_codec == "libx264rgb" else "yuv420p"
    try:
        with replacing(target) as draft, av.open(str(draft), "w", format="mp4") as output:
            stream: Any = output.add_stream(
                video_codec, rate=Fraction(rate).limit_denominator(10**5)
            )
            stream.height, stream.width = height or frames.shape[2], width or frames.shape[3]
            stream.pix_fmt, stream.options = pix_fmt or plain, dict(options or {})
            if bit_rate is not None:
                stream.bit_rate = bit_rate
            for number, image in enumerate(np.moveaxis(frames, 0, -1)):
                image = np.ascontiguousarray(image.clip(0, 255).astype(np.uint8))
                frame = av.VideoFrame.from_ndarray(image, format=in_format)
                frame = frame.reformat(
                    stream.width, stream.height,
                    "rgb24" if video_codec == "libx264rgb" else out_format,
                )  # fmt: skip
                frame.pts, frame.time_base = number, 1 / stream.codec_context.framerate
                output.mux(stream.encode(frame))
            output.mux(stream.encode(None))
    except OSError as error:
        raise RunError(f"{target}: cannot be written ({error.strerror or error})") from error
    except (av.FFmpegError, ValueError) as error:
        raise ConfigError(f"{target}: cannot be encoded with {video_codec} ({error})") from error
    return stream


def load_dataclass_dict_from_csv(
    input_csv_file_path: str | Path,
    dataclass_class: type,
    dict_key_field: str,
    list_per_key: bool = False,
) -> dict[Any, Any]:
    """Rows of a table with a header as dataclasses, by the value of one field.

    Raises:
        MissingEntryError: a column is missing.
        RefusedDataError: a value comes twice and there is no list for it.
        DatasetError: a value that its field does not take.
    """
    with open(input_csv_file_path, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    names = [field.name for field in dataclasses.fields(dataclass_class)]
    hints = typing.get_type_hints(dataclass_class)
    caster = issubclass(dataclass_class, DataclassFieldCaster)
    # As there, so that a key without a row has an empty list.
    found: dict[Any, Any] = defaultdict(list) if list_per_key else {}
    for number, row in enumerate(rows, 2):
        if any(row.get(name) is None for name in names):
            absent = next(name for name in names if row.get(name) is None)
            raise MissingEntryError(f"{input_csv_file_path}, row {number}: no value of {absent!r}")
        try:
            item = dataclass_class(**{
                name: row[name] if caster else _cast(hints[name], row[name]) for name in names
            })  # fmt: skip
        except (ValueError, SyntaxError) as error:
            raise DatasetError(f"{input_csv_file_path}, row {number}: {error}") from error
        key = getattr(item, dict_key_field)
        if list_per_key:
            found[key].append(item)
        elif key in found:
            raise RefusedDataError(f"{input_csv_file_path}, row {number}: {key} comes twice")
        else:
            found[key] = item
    return found


def read_document(path: str | Path) -> dict[str, Any]:
    """A JSON object.

    Raises:
        DatasetNotFoundError: there is no such file.
        UnreadableDocumentError: it is no JSON object.
    """
    try:
        return dict(read_json_list(path, dict))
    except DatasetError as error:
        raise UnreadableDocumentError(str(error)) from None


def save_dataclass_objs_to_headered_csv(dataclass_objs: list[Any], file_name: str | Path) -> None:
    """Writes dataclasses of one class as a table with a header.

    Raises:
        NothingToWriteError: there is none.
    """
    if not dataclass_objs:
        raise NothingToWriteError(f"{file_name}: there is nothing to write")
    names = [field.name for field in dataclasses.fields(dataclass_objs[0])]
    with (
        replacing(file_name) as draft,
        draft.open("w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.writer(file)
        writer.writerow(names)
        writer.writerows([getattr(item, name) for name in names] for item in dataclass_objs)


def _cast(kind: Any, value: str) -> Any:
    return kind(value) if isinstance(kind, type) else ast.literal_eval(value)


class DataclassFieldCaster:
    """A dataclass whose fields may be given as text, as they stand in a table.

    Raises:
        DatasetError: a text that the type of its field does not take.
    """

    COMPLEX_INITIALIZER = "DataclassFieldCaster__complex_initializer"

    @staticmethod
    def complex_initialized_dataclass_field(
        field_initializer: Callable[[str], Any], **kwargs: Any
    ) -> Any:
        """A field that `field_initializer` makes of the text."""
        kwargs["metadata"] = {
            **(kwargs.get("metadata") or {}),
            DataclassFieldCaster.COMPLEX_INITIALIZER: field_initializer,
        }
        return dataclasses.field(**kwargs)

    def __post_init__(self) -> None:
        hints = typing.get_type_hints(type(self))
        for field in dataclasses.fields(self):  # type: ignore[arg-type]  # subclasses are dataclasses
            value = getattr(self, field.name)
            made = field.metadata.get(DataclassFieldCaster.COMPLEX_INITIALIZER)
            kind = hints[field.name]
            if made is None and (not isinstance(kind, type) or isinstance(value, kind)):
                continue
            try:
                value = kind(value) if made is None else made(value)
            except (ValueError, TypeError, SyntaxError) as error:
                wanted = f"a value of type {kind.__name__}" if made is None else str(error)
                raise DatasetError(f"{field.name} = {value!r}; expected {wanted}") from error
            object.__setattr__(self, field.name, value)
