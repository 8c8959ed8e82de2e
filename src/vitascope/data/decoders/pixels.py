"""From a decoded frame to an upright RGB array: colors, scaling, rotation."""

from __future__ import annotations

from typing import Any

import av
import numpy as np
from av.sidedata.sidedata import Type
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Interpolation, VideoReformatter

from vitascope.data.decoder import Image, Size

# At the stored size this gives the very pixels that the ffmpeg program gives for 8-bit video.
_STORED = Interpolation.BICUBIC
# Averages over the source area when shrinking, so nothing aliases; the two flags make every
# processor compute the same.
_SCALED = Interpolation.AREA | Interpolation.ACCURATE_RND | Interpolation.BITEXACT


class Converter:
    """Turns frames of one stream upright and into RGB.

    Full and limited range and the color matrix are taken from the frame (unmarked video is
    BT.601, as in FFmpeg); 10 and more bits are scaled to 8; alpha is dropped; interlaced frames
    stay woven. The size and the rotation of the first frame hold for the whole video: a frame
    of another size is scaled to it.

    Args:
        first: any frame of the stream.
    """

    def __init__(self, first: VideoFrame) -> None:
        self._stored = (first.height, first.width)
        self._turns, self._mirrored = _orientation(first)
        self._reformatter = VideoReformatter()

    @property
    def size(self) -> Size:
        """Height and width of the upright image."""
        height, width = self._stored
        return (width, height) if self.turned else (height, width)

    @property
    def turned(self) -> bool:
        """Whether the upright image lies across the stored one."""
        return self._turns % 2 == 1

    def convert(self, frame: VideoFrame, out: Image) -> None:
        """Writes `frame` into `out` (uint8 H W C), scaled to its size.

        Raises:
            ValueError: FFmpeg cannot convert frames of this pixel format.
        """
        height, width = out.shape[:2]
        if self.turned:
            height, width = width, height
        stored = (frame.height, frame.width)
        try:
            if frame.interlaced_frame and (height, width) != stored:
                # FFmpeg would shrink each field by itself, which leaves a comb in the image.
                picture = scale_image(self._rgb(frame, stored), (height, width))
            else:
                picture = self._rgb(frame, (height, width))
        except (av.FFmpegError, OSError) as error:
            name = frame.format.name
            raise ValueError(f"FFmpeg cannot convert its pixel format {name} to RGB") from error
        if self._mirrored:
            picture = picture[:, ::-1]
        np.copyto(out, np.rot90(picture, self._turns))

    def _rgb(self, frame: VideoFrame, size: Size) -> Image:
        height, width = size
        rgb = self._reformatter.reformat(
            frame,
            width=width,
            height=height,
            format="rgb24",
            interpolation=_STORED if size == (frame.height, frame.width) else _SCALED,
            dst_color_range=ColorRange.JPEG,
            threads=1,
        )
        plane = rgb.planes[0]
        rows = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
        return rows[:height, : width * 3].reshape(height, width, 3)


def scale_image(image: Image, size: Size) -> Image:
    """An RGB image (uint8 H W C) at another size; the same image if it has that size."""
    height, width = size
    if image.shape[:2] == (height, width):
        return image
    frame = VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
    scaled = frame.reformat(width=width, height=height, interpolation=_SCALED, threads=1)
    return np.asarray(scaled.to_ndarray(), np.uint8)


def _side_data(frame: VideoFrame) -> Any:
    try:
        return frame.side_data
    except ValueError:
        # PyAV fails at a kind that is newer than it, such as the Exif data of a photograph.
        setattr(Type, "_missing_", classmethod(_unknown))  # noqa: B010 - a hook of Enum
        try:
            return frame.side_data
        finally:
            delattr(Type, "_missing_")


def _unknown(kinds: type[Type], value: object) -> Type:
    kind: Any = object.__new__(kinds)
    kind._name_, kind._value_ = f"UNKNOWN_{value}", value
    found: Type = kind
    return found


def _orientation(frame: VideoFrame) -> tuple[int, bool]:
    """Quarter turns against the clock, and whether to mirror left and right before them."""
    try:
        matrix = _side_data(frame)[Type.DISPLAYMATRIX]
    except KeyError:
        return 0, False
    a, b, _, c, d, *_ = np.frombuffer(memoryview(matrix), np.int32).astype(np.float64)
    mirrored = a * d - b * c < 0
    if mirrored:
        # The matrix maps row vectors (x, y); mirroring x first negates its first row.
        a, b = -a, -b
    # y points down on the screen, so a positive angle here turns with the clock.
    return -round(float(np.degrees(np.arctan2(b, a))) / 90) % 4, mirrored
