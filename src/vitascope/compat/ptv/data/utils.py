"""PyTorchVideo's `data.utils`."""

from __future__ import annotations

import ast
import csv
import dataclasses
import itertools
import logging
import math
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor
from torch.utils.data import Sampler, get_worker_info

from vitascope.data.write import write_video
from vitascope.errors import ConfigError, DatasetError

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
        ConfigError: a mode other than "floor" and "ceil".
    """
    if round_mode not in ("floor", "ceil"):
        raise ConfigError(f"round_mode = {round_mode!r}; legal values: floor, ceil")
    if time_in_seconds == math.inf:
        return math.inf
    ticks = Fraction(time_in_seconds) / Fraction(time_base)
    return (math.floor(ticks) if round_mode == "floor" else math.ceil(ticks)) + start_pts


def pts_to_secs(pts: float, time_base: float, start_pts: int) -> float:
    """Ticks of a time base to seconds; infinity stays infinity."""
    return math.inf if pts == math.inf else int(pts - start_pts) * time_base


class MultiProcessSampler(Sampler[Any]):
    """The share of a loader worker in the order of a sampler; all of it outside a worker.

    The sampler must give the same order in every worker.
    """

    def __init__(self, sampler: Sampler[Any]) -> None:
        self._sampler = sampler

    def __iter__(self) -> Iterator[Any]:
        """Every `num_workers`-th sample, from the one with the worker's number on."""
        worker = get_worker_info()
        if worker is None:
            return iter(self._sampler)
        return itertools.islice(iter(self._sampler), worker.id, None, worker.num_workers)


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
    """The logger of this name."""
    return logging.getLogger(name)


def export_video_array(
    video: Tensor | np.ndarray[Any, Any],
    output_path: str | Path,
    rate: float | Fraction,
    bit_rate: int | None = None,
    pix_fmt: str | None = None,
    height: int | None = None,
    width: int | None = None,
    in_format: str = "rgb24",
    out_format: str = "bgr24",
    video_codec: str = "mpeg4",
    options: Mapping[str, str] | None = None,
) -> None:
    """Encodes frames uint8 T H W C; `out_format` has no effect, colours stay what they are.

    Args:
        video: the frames.
        output_path: where to write.
        rate: frames a second.
        bit_rate: bits a second; None leaves it to the encoder.
        pix_fmt: stored pixel format; None is yuv420p.
        height: pixels; only that of the frames is possible.
        width: pixels; only that of the frames is possible.
        in_format: "rgb24" or "bgr24".
        out_format: without effect.
        video_codec: FFmpeg's name of the encoder.
        options: settings of the encoder.

    Raises:
        ConfigError: another size than that of the frames, or an unknown format.
    """
    frames = video.numpy() if isinstance(video, Tensor) else video
    if (height or frames.shape[1], width or frames.shape[2]) != frames.shape[1:3]:
        raise ConfigError(
            f"height = {height}, width = {width}, and the frames are "
            f"{frames.shape[1]}x{frames.shape[2]}; scale them first"
        )
    if in_format not in ("rgb24", "bgr24"):
        raise ConfigError(f"in_format = {in_format!r}; legal values: rgb24, bgr24")
    upright = frames if in_format == "rgb24" else frames[..., ::-1]
    settings = dict(options or {})
    if bit_rate is not None:
        settings["b"] = str(bit_rate)
    write_video(
        output_path, upright.astype(np.uint8), Fraction(rate).limit_denominator(10**5),
        codec=video_codec, pix_fmt=pix_fmt or "yuv420p", options=settings or None,
    )  # fmt: skip


def load_dataclass_dict_from_csv(
    input_csv_file_path: str | Path,
    dataclass_class: type,
    dict_key_field: str,
    list_per_key: bool = False,
) -> dict[Any, Any]:
    """Rows of a table with a header as dataclasses, by the value of one field.

    Raises:
        DatasetError: a column is missing, or a value comes twice and there is no list for it.
    """
    with open(input_csv_file_path, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    names = [field.name for field in dataclasses.fields(dataclass_class)]
    hints = typing.get_type_hints(dataclass_class)
    caster = issubclass(dataclass_class, DataclassFieldCaster)
    found: dict[Any, Any] = {}
    for number, row in enumerate(rows, 2):
        if any(row.get(name) is None for name in names):
            absent = next(name for name in names if row.get(name) is None)
            raise DatasetError(f"{input_csv_file_path}, row {number}: no value of {absent!r}")
        try:
            item = dataclass_class(**{
                name: row[name] if caster else _cast(hints[name], row[name]) for name in names
            })  # fmt: skip
        except (ValueError, SyntaxError) as error:
            raise DatasetError(f"{input_csv_file_path}, row {number}: {error}") from error
        key = getattr(item, dict_key_field)
        if list_per_key:
            found.setdefault(key, []).append(item)
        elif key in found:
            raise DatasetError(f"{input_csv_file_path}, row {number}: {key} comes twice")
        else:
            found[key] = item
    return found


def save_dataclass_objs_to_headered_csv(dataclass_objs: list[Any], file_name: str | Path) -> None:
    """Writes dataclasses of one class as a table with a header.

    Raises:
        DatasetError: there is none.
    """
    if not dataclass_objs:
        raise DatasetError(f"{file_name}: there is nothing to write")
    names = [field.name for field in dataclasses.fields(dataclass_objs[0])]
    with open(file_name, "w", newline="", encoding="utf-8") as file:
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
        metadata = {DataclassFieldCaster.COMPLEX_INITIALIZER: field_initializer}
        return dataclasses.field(metadata=metadata, **kwargs)

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
