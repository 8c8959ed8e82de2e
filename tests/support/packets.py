"""Small videos whose packets are changed on their way into the file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from vitascope.data.render import numbered_frame

Change = Callable[[list[Any]], list[Any]]

SIZE = (80, 128)
X264 = {"preset": "veryfast", "crf": "20", "threads": "1", "g": "12"}
VP8 = {
    "deadline": "realtime",
    "cpu-used": "8",
    "g": "12",
    "auto-alt-ref": "0",
    "lag-in-frames": "0",
}


def write_packets(
    path: Path,
    codec: str,
    times: Sequence[int],
    change: Change = list,
    *,
    base: Fraction = Fraction(1, 1000),
    options: dict[str, str] | None = None,
    pix_fmt: str = "yuv420p",
    container: dict[str, str] | None = None,
    drawn: Sequence[int] | None = None,
) -> Path:
    """A video whose frame n says n and is shown at `times[n]` ticks of `base`.

    Args:
        path: where to write; the suffix names the container.
        codec: FFmpeg's name of the encoder.
        times: of the frames.
        change: given the list of packets, returns those that are written.
        base: seconds a tick.
        options: of the encoder; None takes those of this module.
        pix_fmt: stored pixel format.
        container: options of the container.
        drawn: the numbers that the frames say; None says 0, 1, 2, ...
    """
    known = {"libx264": X264, "libvpx": VP8}
    settings = known.get(codec, {}) if options is None else options
    with av.open(str(path), "w", container_options=container or {}) as out:
        stream: Any = out.add_stream(codec, rate=25, options=settings)
        stream.height, stream.width = SIZE
        stream.pix_fmt, stream.time_base = pix_fmt, base
        stream.codec_context.time_base = base
        packets: list[Any] = []
        for number, time in enumerate(times):
            picture = numbered_frame(number if drawn is None else drawn[number], SIZE)
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = time, base
            packets += stream.encode(frame)
        packets += stream.encode(None)
        for packet in change(packets):
            packet.stream = stream
            out.mux(packet)
    return path


def like(packet: Any, content: bytes) -> Any:
    """A packet with another content, at the same time; no key frame."""
    made: Any = av.Packet(content)
    made.pts, made.dts, made.duration = packet.pts, packet.dts, packet.duration
    made.time_base, made.is_keyframe = packet.time_base, False
    return made


def change_flv(path: Path, change: Callable[[int, int], int]) -> Path:
    """Changes the time (milliseconds) of each image of an FLV, given its number and its time."""
    data, place, number = bytearray(path.read_bytes()), 13, 0
    while place + 11 < len(data):
        size = int.from_bytes(data[place + 1 : place + 4], "big")
        if data[place] == 9:
            time = int.from_bytes(data[place + 4 : place + 7], "big") | data[place + 7] << 24
            time = change(number, time)
            data[place + 4 : place + 7] = (time & 0xFFFFFF).to_bytes(3, "big")
            data[place + 7] = time >> 24
            number += 1
        place += 11 + size + 4
    path.write_bytes(data)
    return path
