"""Writing frames to a video file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt

from vitascope.errors import ConfigError
from vitascope.files import replacing

# x264 settings under which the same frames always give the same file. Its macroblock tree is off
# because, for small images, its vector code reads memory that it has not written: two runs at
# once then differ.
H264 = {"preset": "veryfast", "crf": "18", "threads": "1", "x264-params": "mbtree=0"}


def write_video(
    path: str | Path,
    frames: Iterable[npt.NDArray[np.uint8]],
    fps: Fraction | int,
    *,
    pts: Sequence[int] | None = None,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    options: Mapping[str, str] | None = None,
    container_options: Mapping[str, str] | None = None,
) -> Path:
    """Encodes frames; the container follows from the suffix.

    A file of this name is always whole (see `files.replacing`).

    Args:
        path: where to write; folders on the way are made.
        frames: uint8 arrays H W C, RGB, all of one size. 4:2:0 needs even height and width.
        fps: frames a second; the time base is 1 / fps.
        pts: time of each frame in ticks of 1 / fps, ascending, for a variable rate or a late
            start; None means 0, 1, 2, ...
        codec: FFmpeg's name of the encoder.
        pix_fmt: FFmpeg's name of the stored pixel format.
        options: settings of the encoder; None takes those of this module for libx264.
        container_options: settings of the container, such as {"movflags": "+faststart"}.

    Raises:
        ConfigError: no frame, frames of several sizes, or settings that the encoder refuses.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    settings = dict(H264 if options is None and codec == "libx264" else options or {})
    try:
        with (
            replacing(target) as draft,
            av.open(str(draft), "w", container_options=dict(container_options or {})) as output,
        ):
            stream: Any = None
            for number, frame in enumerate(frames):
                height, width = frame.shape[:2]
                if stream is None:
                    stream = output.add_stream(codec, rate=Fraction(fps), options=settings)
                    stream.width, stream.height, stream.pix_fmt = width, height, pix_fmt
                    stream.codec_context.time_base = 1 / Fraction(fps)
                elif (height, width) != (stream.height, stream.width):
                    raise ConfigError(
                        f"{target}: frame {number} is {width}x{height}, the ones before it "
                        f"{stream.width}x{stream.height}"
                    )
                picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
                picture.pts = number if pts is None else pts[number]
                picture.time_base = 1 / Fraction(fps)
                output.mux(stream.encode(picture))
            if stream is None:
                raise ConfigError(f"{target}: there is no frame to write")
            output.mux(stream.encode(None))
    except (av.FFmpegError, ValueError) as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(f"{target}: cannot be encoded with {codec} ({error})") from error
    return target
