"""Timelines from packets, and decoding that knows where faults begin and end."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from math import gcd
from typing import Any

import numpy as np
from av.packet import Packet
from av.video.frame import VideoFrame

from vitascope.data.decoders.repair import descents, repair
from vitascope.data.decoders.source import RAISED, GaveUp, Source, reason
from vitascope.data.decoders.timeline import Ticks, Timeline
from vitascope.data.decoders.truncation import held_until, last_in_table
from vitascope.errors import DecodeError

_MPEG4_PICTURE = b"\x00\x00\x01\xb6"
_HELD = Fraction(1, 10)  # seconds
_DEEPEST = 16  # most frames that are shown before one that was decoded before them


@dataclass(frozen=True)
class Fault:
    """A place where decoding failed.

    Attributes:
        pts: time of the packet that failed, in ticks; None if it has none.
        reason: what FFmpeg said.
        alone: no other image is built on the one that failed.
    """

    pts: int | None
    reason: str
    alone: bool = False


@dataclass(frozen=True, eq=False)
class _Packets:
    """What the packets of a stream say; lists in the order of the file.

    Attributes:
        damaged: what ended the reading before the end of the file.
        packed: a packet holds two images of MPEG-4, as is done in AVI for B frames.
        late: MPEG-4 with B frames ends in packets without an image; the last image comes out
            behind them, at their time.
        silent: the latest end, in ticks, of a packet that shows no image; None if there is none.
        place: of the last packet in the file, in bytes; None if that is not known.
    """

    pts: list[int | None]
    dts: list[int | None]
    duration: list[int]
    key: list[bool]
    discard: list[bool]
    damaged: DecodeError | None = None
    packed: bool = False
    late: bool = False
    silent: int | None = None
    place: int | None = None

    def add(self, packet: Packet[Any]) -> None:
        """Notes a packet."""
        self.pts.append(packet.pts)
        self.dts.append(packet.dts)
        self.duration.append(packet.duration or 0)
        self.key.append(packet.is_keyframe)
        self.discard.append(packet.is_discard)

    @property
    def end(self) -> int | None:
        """Where the table of an MP4 ends: it has the lengths of packets in the order of decoding.

        What lies between the first time of decoding and the first time on the screen is the same
        at the end.
        """
        for pts, dts in zip(self.pts, self.dts, strict=True):
            if pts is not None and dts is not None and self.dts[-1] is not None:
                return self.dts[-1] + self.duration[-1] + pts - dts
        return None


def scan(source: Source) -> Timeline:
    """Learns the timeline of a file that stands at its beginning, from its packets if possible.

    Raises:
        DecodeError: there is no frame in it, or the time is up.
    """
    packets = _read_packets(source)
    if not packets.pts:
        raise packets.damaged or DecodeError(source.path, "the video stream has no frame")
    timeline = None if packets.late else _from_packets(source, packets)
    if timeline is None:
        return _count(source, come_out(source), packets)
    if _in_doubt(source, packets):
        output = come_out(source)
        if not _ascending(output.pts):
            return _count(source, output, packets)
    return timeline


def _in_doubt(source: Source, packets: _Packets) -> bool:
    """Whether the times of packets may not be those of the screen.

    That may be so where they are in the order of the file although frames are shown in another,
    as in AVI, which has no times of the screen, and in what programs copy out of it; and where
    the two orders differ by more than the codec needs, because some times are odd.
    """
    if source.is_untimed or packets.packed:
        return True
    depth = int(source.stream.codec_context.has_b_frames)
    if depth and _ascending(packets.pts):
        return True
    times = [t for t in packets.pts if t is not None]
    order = np.argsort(np.array(times, dtype=np.int64), kind="stable")
    later = order - np.arange(len(times))  # by how much a frame is decoded after it is shown
    # FFmpeg guesses the depth from the first frames, so one more is believed. A frame that
    # is shown far later than it is decoded has company, unless its time is odd.
    least = int(later.min())
    lonely = least < -4 and int((later <= least // 2).sum()) == 1
    return bool(later.max() > (depth + 1 if depth else 0) or least < -_DEEPEST or lonely)


def _read_packets(source: Source) -> _Packets:
    found = _Packets([], [], [], [], [])
    codec = source.stream.codec_context
    mpeg4, packed = codec.name == "mpeg4", False
    silent: list[int] = []
    skipped: Packet[Any] | None = None
    damaged: DecodeError | None = None
    place: int | None = None
    try:
        for packet in source.packets():
            place = packet.pos if packet.size else place
            if not packet.size or source.is_hidden(packet):
                if packet.pts is not None:
                    silent.append(packet.pts + (packet.duration or 0))
                skipped = packet if packet.size else skipped
                continue
            skipped = None
            if mpeg4 and not packed:
                packed = bytes(packet).count(_MPEG4_PICTURE) > 1
            found.add(packet)
    except GaveUp:
        raise
    except DecodeError as error:
        # What was read before the damage is there and can be had.
        damaged = error
    late = mpeg4 and skipped is not None and codec.has_b_frames > 0
    if mpeg4 and skipped is not None and not late:
        found.add(skipped)  # FFmpeg shows the last image once more where a stream ends so
    end = max(silent, default=None)
    return replace(found, damaged=damaged, packed=packed, late=late, silent=end, place=place)


def _from_packets(source: Source, packets: _Packets) -> Timeline | None:
    """The timeline if each packet that is shown has a time of its own, else None."""
    if not any(packets.key):
        return None
    # Nothing before the first key frame, in the file or on the screen, can be decoded.
    first = packets.key.index(True)
    begin = packets.pts[first]
    if begin is None or None in packets.pts[first:]:
        return None
    dts = [t for t in packets.dts[first:] if t is not None]
    if any(a > b for a, b in itertools.pairwise(dts)):
        return None  # files that were joined, or odd times
    pts = np.array(packets.pts[first:], dtype=np.int64)
    shown = (pts >= begin) & ~np.array(packets.discard[first:], dtype=bool)
    order = np.argsort(pts, kind="stable")
    order = order[shown[order]]
    ticks = pts[order]
    if not len(ticks) or (np.diff(ticks) <= 0).any():
        return None
    # A key frame from before the beginning leads to nothing that is shown.
    keys = [i for i in range(first, len(packets.pts)) if packets.key[i] and pts[i - first] >= begin]
    found = [_key_times(packets.pts[i], packets.dts[i]) for i in keys]
    key_pts, key_dts = np.array(found, dtype=np.int64).T
    by_time = np.argsort(key_pts, kind="stable")
    last = packets.duration[first:][int(order[-1])]
    reordered = bool((np.diff(pts) < 0).any())
    return Timeline(
        time_base=source.time_base,
        pts=ticks,
        last=_last_length(source, ticks, last, packets, reordered=reordered),
        key_pts=key_pts[by_time],
        key_dts=key_dts[by_time],
        how="packets",
    )


def _last_length(
    source: Source, ticks: Ticks, stored: int, packets: _Packets, *, reordered: bool
) -> int:
    """How long the last frame is shown, in ticks of the stream.

    MP4 stores the lengths of packets in the order of decoding, which say nothing of the last
    image when images are reordered; there the end of the table tells, or the gap before. A header
    that has more is held against the table. An edit list may end within the last image. Packets
    without an image keep it on the screen, and so does a file that is all there and says that it
    goes on.
    """
    end = int(ticks[-1])
    before = int(ticks[-1] - ticks[-2]) if len(ticks) > 1 and not packets.late else 0
    usual = (min(before, stored) if before and stored > 0 else before) or max(
        round(1 / (source.rate * source.time_base)), 1
    )
    stream = source.stream
    length = stored
    if source.is_mp4:
        if reordered:
            length = 0 if packets.end is None else packets.end - end
        if stream.duration and stream.start_time is not None:
            rest = int(stream.start_time + stream.duration) - end
            if rest > 0 and (rest < length or (length <= 0 and rest <= 2 * usual)):
                length = rest
            elif not reordered and rest > length + usual:
                length = min(last_in_table(source) or length, rest)
    if length <= 0:
        length = usual
    if packets.silent is not None:
        length = max(length, packets.silent - end)
    # Times of a header are rounded: the last frame is longer only where it clearly is.
    until = held_until(source, (end + length) * source.time_base + _HELD, packets.place)
    return length if until is None else round(until / source.time_base) - end


@dataclass(frozen=True)
class Output:
    """Frames in the order in which they come out.

    Attributes:
        pts: their times.
        dts: times of the packets at which they came out; None for those that come after all.
        last: length of the last frame, 0 if unknown.
        faults: what went wrong.
    """

    pts: list[int | None]
    dts: list[int | None]
    last: int
    faults: list[Fault]


def come_out(source: Source) -> Output:
    """Decodes everything once, for the times of frames; used where packets do not tell.

    Raises:
        DecodeError: not one frame comes out, or the time is up.
    """
    source.rewind()
    pts: list[int | None] = []
    dts: list[int | None] = []
    faults: list[Fault] = []
    last = 0
    for frame, _ in decode(source, faults, pixels=False):
        pts.append(frame.pts)
        dts.append(frame.dts)
        last = frame.duration or 0
    if not pts:
        raise DecodeError(
            source.path, faults[0].reason if faults else "no frame comes out of the video stream"
        )
    return Output(pts, dts, last, faults)


def _count(source: Source, output: Output, packets: _Packets) -> Timeline:
    """The timeline of frames that are told apart by counting them."""
    base, last = source.time_base, output.last
    found = _times(source, output, packets)
    if found is not None:
        times, finer = found
        base /= finer
        coarse = np.array([t // finer for t in times], dtype=np.int64)
        last = _last_length(source, coarse, last, packets, reordered=False) * finer
        ticks = np.array(times, dtype=np.int64)
    else:
        # At a constant rate from the first time that is stored on, which sound is aligned with.
        base = Fraction(gcd(base.numerator * source.rate.numerator,
                            base.denominator * source.rate.denominator),
                        base.denominator * source.rate.numerator)  # fmt: skip
        last = int(1 / source.rate / base)
        first = int((output.pts[0] or 0) * source.time_base / base)
        ticks = first + last * np.arange(len(output.pts), dtype=np.int64)
    return Timeline(
        time_base=base,
        pts=ticks,
        last=last,
        key_pts=ticks[:1],
        key_dts=ticks[:1],
        how="counted",
    )


def _times(source: Source, output: Output, packets: _Packets) -> tuple[list[int], int] | None:
    """Ascending times of the frames in ticks, and by how much these are finer; None if unknown."""
    if _ascending(output.pts):
        return [t for t in output.pts if t is not None], 1
    step = max(round(1 / (source.rate * source.time_base)), 1)
    # Times that go up in the order of the file, but not on the screen, are not those of frames.
    if not source.is_untimed and descents(output.pts) <= descents(packets.pts):
        repaired = repair(output.pts, step)
        if repaired is not None:
            return repaired
    return _continued(output.dts, step)


def _continued(dts: list[int | None], step: int) -> tuple[list[int], int] | None:
    """Times for frames whose own are not in order: a frame is shown when it comes out.

    That is what a player does that decodes a packet for each frame it shows. The few frames that
    come out after the last packet follow at the rate of the stream. None if that tells nothing.
    """
    known = [t for t in dts if t is not None]
    if len(known) < 2 or not _ascending(dts[: len(known)]):
        return None
    return known + [known[-1] + step * (n + 1) for n in range(len(dts) - len(known))], 1


def _ascending(times: list[int | None]) -> bool:
    return descents(times) == 0


def decode(
    source: Source,
    faults: list[Fault],
    key: tuple[int, int] | None = None,
    skip: Callable[[Packet[Any]], bool] | None = None,
    doubt: bool = False,
    pixels: bool = True,
) -> Iterator[tuple[VideoFrame, bool]]:
    """Decodes from the present position to the end: frames, and whether each is whole.

    After a packet that cannot be decoded the frames that were complete are still given, then
    nothing until the next key frame. A frame that the decoder patched up is given but not whole,
    and neither are those after it until the next key frame, because they are built on it.

    Args:
        source: stands at the beginning, or before the key frame to begin with.
        faults: each fault is appended here.
        key: pts and dts of the key frame to begin with; packets before it are passed over, and
            so are frames that belong before it. None begins with the first packet.
        skip: says of a packet that it need not be decoded.
        doubt: nothing is whole before a frame that the decoder takes for a key frame; some
            formats mark each packet as one.
        pixels: False where only the times of frames are asked for.

    Raises:
        KeyFrameLost: `key` was given and does not come, or comes with other times: after a seek
            some formats guess the times of the first packets.
        DecodeError: the time is up, or the container is damaged.
    """
    waiting = key is not None
    broken: set[int | None] = set()
    resync, tainted = False, doubt
    recent: deque[Packet[Any]] = deque(maxlen=2 * _DEEPEST)

    def note(pts: int | None, what: str) -> None:
        rule = source.disposable
        alone = rule is not None and any(p.pts == pts and rule(bytes(p)) for p in recent)
        faults.append(Fault(pts, what, alone))

    def given(frames: list[Any]) -> Iterator[tuple[VideoFrame, bool]]:
        nonlocal tainted
        for frame in frames:
            if frame.is_corrupt and not tainted:
                note(frame.pts, "the decoder had to patch up an image")
            whole = not frame.is_corrupt and frame.pts not in broken
            tainted = not whole or (tainted and not frame.key_frame)
            if key is None or frame.pts is None or frame.pts >= key[0]:
                yield frame, not tainted

    for packet in _until_damage(source):
        if packet is None:
            yield from given(source.drain())
            continue
        if waiting and key is not None and packet.size:
            if not packet.is_keyframe:
                continue
            here = _key_times(packet.pts, packet.dts)
            if here is None or here[0] < key[0]:
                continue
            if here != key:
                raise KeyFrameLost
            waiting = False
        if resync and packet.size and not packet.is_keyframe:
            continue
        if skip is not None and packet.size and skip(packet):
            continue
        recent.append(packet)
        if packet.size and source.breaks_off(packet):
            note(packet.pts, "the file breaks off inside a frame")
            broken.add(packet.pts)
            if source.stream.codec_context.name == "gif":
                continue  # FFmpeg fills up the image, or leaves it out, depending on its version
        try:
            frames = _decoded(source, packet, pixels)
            resync = False
        except RAISED as error:
            if packet.size and source.is_hidden(packet):
                continue  # a message by itself: FFmpeg takes it in, and misses the image
            note(packet.pts, reason(error))
            frames, resync = source.drain(), True
        yield from given(frames)
    if waiting:
        raise KeyFrameLost


def _until_damage(source: Source) -> Iterator[Packet[Any] | None]:
    """Packets; where the container is damaged a None, to take out what the decoder still holds."""
    try:
        yield from source.packets()
    except GaveUp:
        raise
    except DecodeError:
        yield None
        raise


def _decoded(source: Source, packet: Packet[Any], pixels: bool) -> list[Any]:
    alone = source.new_decoder() if packet.size and pixels else None
    frames: list[Any] = packet.decode() if alone is None else alone.decode(packet)
    return frames


def _key_times(pts: int | None, dts: int | None) -> tuple[int, int] | None:
    return None if pts is None else (pts, pts if dts is None else dts)


class KeyFrameLost(Exception):
    """A seek did not lead to the key frame it was meant for; never leaves the decoder."""
