"""Images for reports: frames to JPEG or PNG bytes and film strips, without an image library."""

from __future__ import annotations

import base64
import io
import struct
import zlib
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import torch

from vitascope.transforms.functional import uniform_indices
from vitascope.transforms.preprocess import resize

Image = npt.NDArray[np.uint8]


def png(image: Image) -> bytes:
    """Encodes an H W 3 (R G B) or H W (gray) uint8 image without loss."""
    height, width = image.shape[:2]
    color = 2 if image.ndim == 3 else 0
    rows = np.ascontiguousarray(image).reshape(height, -1)
    # Filter type 0 (none) stands before every row.
    raw = np.hstack([np.zeros((height, 1), np.uint8), rows]).tobytes()

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)

    header = struct.pack(">IIBBBBB", width, height, 8, color, 0, 0, 0)
    parts = [(b"IHDR", header), (b"IDAT", zlib.compress(raw, 9)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(kind, data) for kind, data in parts)


def jpeg(image: Image, step: int = 4) -> bytes:
    """Encodes an H W 3 (R G B) uint8 image.

    Args:
        image: height and width at least 2.
        step: size of the quantizer's steps, 2 (best, largest) to 31.
    """
    height, width = image.shape[:2]
    encoder = av.CodecContext.create("mjpeg", "w")
    encoder.width, encoder.height = width, height
    encoder.pix_fmt = "yuvj420p"
    encoder.time_base = Fraction(1, 25)
    encoder.options = {"qmin": str(step), "qmax": str(step)}
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
    frame = frame.reformat(format="yuvj420p", dst_colorspace="ITU601", dst_color_range="JPEG")
    packets = [*encoder.encode(frame), *encoder.encode(None)]
    return b"".join(bytes(packet) for packet in packets)


def webm(frames: Sequence[Image], fps: Fraction, *, most: int = 100_000) -> bytes:
    """Encodes uint8 H W 3 images as a VP9 video that every browser plays, without sound.

    Args:
        frames: images of one size, at least 2 x 2.
        fps: images a second.
        most: bytes; what does not fit is encoded again with less detail.

    Returns:
        The file; empty if it does not fit with the least detail either.
    """
    height, width = (side - side % 2 for side in frames[0].shape[:2])
    for quality in (36, 48, 60, 63):
        file = io.BytesIO()
        with av.open(file, "w", format="webm", options={"fflags": "+bitexact"}) as out:
            # Settings under which the same images always give the same file.
            options = {"crf": str(quality), "b": "0", "deadline": "realtime", "cpu-used": "6"}
            stream: Any = out.add_stream("libvpx-vp9", rate=fps, options=options)
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            stream.thread_count = 1
            for image in frames:
                part = np.ascontiguousarray(image[:height, :width])
                out.mux(stream.encode(av.VideoFrame.from_ndarray(part, format="rgb24")))
            out.mux(stream.encode(None))
        if len(file.getvalue()) <= most:
            return file.getvalue()
    return b""


def data_uri(data: bytes) -> str:
    """An address that holds the image or WebM video itself, for `src`."""
    if data.startswith(b"\x1aE\xdf\xa3"):
        return f"data:video/webm;base64,{base64.b64encode(data).decode()}"
    kind = "png" if data.startswith(b"\x89PNG") else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def scale_to_height(image: Image, height: int) -> Image:
    """Scales an H W 3 image to `height` rows, keeping its aspect ratio."""
    rows, columns = image.shape[:2]
    size = (height, max(2, round(columns * height / rows)))
    frame = torch.from_numpy(np.ascontiguousarray(image))[None]
    scaled: Image = resize(frame, *size)[0].numpy()
    return scaled


def strip(frames: Sequence[Image], height: int, count: int, gap: int = 2) -> Image:
    """`count` frames from first to last, evenly chosen, side by side with light gaps."""
    chosen = uniform_indices(len(frames), min(count, len(frames)))
    pictures = [scale_to_height(frames[i], height) for i in chosen]
    line = np.full((height, gap, 3), 235, np.uint8)
    parts = [part for picture in pictures for part in (line, picture)][1:]
    joined: Image = np.concatenate(parts, axis=1)
    return joined
