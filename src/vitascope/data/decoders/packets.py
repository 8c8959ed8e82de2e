"""Timelines from packets, and decoding that knows where faults begin and end."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import av
import numpy as np
from av.video.frame import VideoFrame

from vitascope.data.decoders.source import Source, reason
from vitascope.data.timeline import Ticks, Timeline
from vitascope.errors import DecodeError


@dataclass(frozen=True)
class Fault:
    """A place where decoding failed.

    Attributes:
        pts: time of the packet that failed, in ticks; None if it has none.
        reason: what FFmpeg said.
    """

    pts: int | None
    reason: str


@dataclass(frozen=True, eq=False)
class _Packets:
    """What the packets of a stream say; arrays in the order of the file."""

    pts: list[int | None]
    dts: list[int | None]
    duration: list[int]
    key: list[bool]
    discard: list[bool]
    damaged: DecodeError | None


def scan(source: Source) -> Timeline:
    """Learns the timeline of a file that stands at its beginning, from its packets if possible.

    Raises:
        DecodeError: there is no frame in it, or the time is up.
    """
    packets = _read_packets(source)
    if not packets.pts:
        raise packets.damaged or DecodeError(source.path, "the video stream has no frame")
    timeline = _from_packets(source, packets)
    return timeline if timeline is not None else decode_times(source)


def _read_packets(source: Source) -> _Packets:
    found = _Packets([], [], [], [], [], None)
    hidden = source.stream.codec_context.name in ("vp8", "libvpx")
    try:
        for packet in source.packets():
            # VP8 stores reference pictures that are never shown as packets of their own.
            if not packet.size or (hidden and not bytes(packet)[0] & 0x10):
                continue
            found.pts.append(packet.pts)
            found.dts.append(packet.dts)
            found.duration.append(packet.duration or 0)
            found.key.append(packet.is_keyframe)
            found.discard.append(packet.is_discard)
    except DecodeError as error:
        # What was read before the damage is there and can be had.
        return replace(found, damaged=error)
    return found


def _from_packets(source: Source, packets: _Packets) -> Timeline | None:
    """The timeline if each packet that is shown has a time of its own, else None."""
    if any(packets.key):
        # Nothing before the first key frame, in the file or on the screen, can be decoded.
        first = packets.key.index(True)
    else:
        first = 0
    begin = packets.pts[first]
    if begin is None or None in packets.pts[first:]:
        return None
    pts = np.array(packets.pts[first:], dtype=np.int64)
    shown = (pts >= begin) & ~np.array(packets.discard[first:], dtype=bool)
    order = np.argsort(pts, kind="stable")
    order = order[shown[order]]
    ticks = pts[order]
    if not len(ticks) or (np.diff(ticks) <= 0).any():
        return None
    keys = [i for i in range(first, len(packets.pts)) if packets.key[i] or i == first]
    key_pts = np.array([packets.pts[i] for i in keys], dtype=np.int64)
    dts = [packets.pts[i] if packets.dts[i] is None else packets.dts[i] for i in keys]
    by_time = np.argsort(key_pts, kind="stable")
    last = packets.duration[first:][int(order[-1])]
    return Timeline(
        time_base=source.time_base,
        pts=ticks,
        last=last if last > 0 else _usual_gap(source, ticks),
        key_pts=key_pts[by_time],
        key_dts=np.array(dts, dtype=np.int64)[by_time],
        how="packets",
    )


def _usual_gap(source: Source, ticks: Ticks) -> int:
    """Length of a last frame that has none: the median of the others, or one frame's."""
    if len(ticks) > 1:
        return max(int(np.median(np.diff(ticks))), 1)
    return max(round(1 / (source.rate * source.time_base)), 1)


def decode_times(source: Source) -> Timeline:
    """Learns the timeline by decoding everything once; used where packets do not tell.

    Raises:
        DecodeError: not one frame comes out, or the time is up.
    """
    source.rewind()
    found: list[int | None] = []
    faults: list[Fault] = []
    last = 0
    for frame in decode(source, faults):
        found.append(frame.pts)
        last = frame.duration or 0
    if not found:
        raise DecodeError(
            source.path, faults[0].reason if faults else "no frame comes out of the video stream"
        )
    ticks = np.array([t for t in found if t is not None], dtype=np.int64)
    timed = len(ticks) == len(found) and not (np.diff(ticks) <= 0).any()
    if not timed:
        ticks = np.arange(len(found), dtype=np.int64)
    return Timeline(
        time_base=source.time_base if timed else 1 / source.rate,
        pts=ticks,
        last=(last if last > 0 else _usual_gap(source, ticks)) if timed else 1,
        key_pts=ticks[:1],
        key_dts=ticks[:1],
        how="counted",
    )


def decode(source: Source, faults: list[Fault], after: int | None = None) -> Iterator[VideoFrame]:
    """Decodes from the present position to the end.

    After a fault the frames that were complete are still given, then nothing until the next key
    frame, because pictures in between would be built on a damaged one.

    Args:
        source: stands at the beginning, or before the key frame `after`.
        faults: each fault is appended here.
        after: time of the key frame to begin with; packets before it are passed over, and so are
            frames that belong before it. None begins with the first packet.

    Raises:
        KeyFrameLost: `after` was given and does not come.
        DecodeError: the time is up, or the container is damaged.
    """
    waiting = after is not None
    resync = False
    for packet in source.packets():
        if waiting and packet.size:
            if packet.pts != after:
                if packet.is_keyframe and packet.pts is not None and packet.pts > (after or 0):
                    raise KeyFrameLost
                continue
            waiting = False
        if resync and packet.size and not packet.is_keyframe:
            continue
        try:
            frames: list[Any] = packet.decode()
            resync = False
        except (av.FFmpegError, ValueError) as error:
            faults.append(Fault(packet.pts, reason(error)))
            frames, resync = source.drain(), True
        for frame in frames:
            if after is None or frame.pts is None or frame.pts >= after:
                yield frame
    if waiting:
        raise KeyFrameLost


class KeyFrameLost(Exception):
    """A seek did not lead to the key frame it was meant for; never leaves the decoder."""
