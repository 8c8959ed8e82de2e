"""PyTorchVideo's rows of manifests: dataclasses whose fields may be given as text."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Callable
from enum import Enum
from typing import Any

from vitascope.errors import DatasetError

__all__ = [
    "DataclassFieldCaster", "EncodedVideoInfo", "ImageFrameInfo", "VideoClipInfo",
    "VideoDatasetType", "VideoFrameInfo", "VideoInfo",
]  # fmt: skip


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


@dataclasses.dataclass
class EncodedVideoInfo(DataclassFieldCaster):
    """The file of a video."""

    video_id: str
    file_path: str


@dataclasses.dataclass
class VideoFrameInfo(DataclassFieldCaster):
    """Numbered pictures of a video; the fields are those of `video_manifests.FrameFiles`."""

    video_id: str
    location: str
    frame_file_stem: str
    frame_string_length: int
    min_frame_number: int
    max_frame_number: int
    file_extension: str


@dataclasses.dataclass
class VideoInfo(DataclassFieldCaster):
    """Length in seconds and frames a second of a video."""

    video_id: str
    resolution: str
    duration: float
    fps: float


@dataclasses.dataclass
class VideoClipInfo(DataclassFieldCaster):
    """An interval of a video, in seconds."""

    video_id: str
    start_time: float
    stop_time: float


@dataclasses.dataclass
class ImageFrameInfo(DataclassFieldCaster):
    """One picture of a video."""

    video_id: str
    frame_id: str
    frame_number: int
    frame_file_path: str


class VideoDatasetType(Enum):
    """How videos are kept."""

    Frame = 1
    EncodedVideo = 2
