"""The default decoder: FFmpeg through PyAV."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
from av.packet import Packet
from av.video.frame import VideoFrame

from vitascope.data.decoder import Frames, Image, Size, check_size
from vitascope.data.decoders.base import OnTimeline, frame_numbers
from vitascope.data.decoders.inputs import VideoInput, resolve_input
from vitascope.data.decoders.non_reference import Rule
from vitascope.data.decoders.packets import Fault, KeyFrameLost, come_out, decode, scan
from vitascope.data.decoders.pixels import Converter
from vitascope.data.decoders.source import RAISED, GaveUp, Source, reason
from vitascope.data.decoders.timeline import Timeline
from vitascope.data.decoders.truncation import cut_off, has_table
from vitascope.errors import DecodeError

# Frames that are cheaper to decode than to jump over: a seek empties the decoder.
_SEEK_SAVES = 4


class PyAVDecoder(OnTimeline):
    """A video file read through PyAV.

    Exact times come from the packets (nothing is decoded for them) or from `timeline`. A read
    decodes forward from the nearest key frame and converts only the frames that are kept. Threads
    may share it: they read one after the other.

    Args:
        path: a local file, an address, bytes, or an open binary file.
        size: height and width of frames if not given to `read`; None keeps the stored size.
        threads: decoding threads; 0 lets FFmpeg choose.
        time_limit: seconds for opening and for each read; None for no limit.
        timeline: times known from an index; None reads them from the file when first needed.
    """

    def __init__(
        self,
        path: VideoInput,
        *,
        size: Size | None = None,
        threads: int = 1,
        time_limit: float | None = None,
        timeline: Timeline | None = None,
    ) -> None:
        video = resolve_input(path)
        self.path, self.size = video.name, size
        self._timeline = timeline
        self._converter: Converter | None = None
        self._running: _Run | None = None
        self._shown: dict[int, int] | None = None
        self._damage = _Damage()
        # FFmpeg's contexts are not safe for two threads at once; a read uses properties.
        self._alone = threading.RLock()
        self._source = Source(video, threads, time_limit)
        self._damage.seen = self._source.leaves_old_pictures

    @property
    def timeline(self) -> Timeline:
        """Times and key frames in ticks of the file."""
        with self._alone:
            if self._timeline is None:
                self._stop()
                self._source.start_clock()
                self._source.rewind()
                self._timeline = scan(self._source)
            return self._timeline

    @property
    def height(self) -> int:
        """Pixels from top to bottom of the upright image."""
        return self._size[0]

    @property
    def width(self) -> int:
        """Pixels from left to right of the upright image."""
        return self._size[1]

    @property
    def pixel_aspect(self) -> Fraction:
        """Width of an upright stored pixel divided by its height; 1 if the file does not say."""
        ratio = self._source.stream.codec_context.sample_aspect_ratio or Fraction(1)
        return 1 / ratio if self._geometry().turned else Fraction(ratio)

    def read(self, indices: Sequence[int], size: Size | None = None) -> Frames:
        """Decodes frames by number, in the order asked for; see `Decoder.read`."""
        check_size(size)
        with self._alone:
            return self._read(indices, size)

    def _read(self, indices: Sequence[int], size: Size | None) -> Frames:
        timeline, count = self.timeline, len(self.timeline)
        wanted = frame_numbers(self.path, indices, count)
        self._source.start_clock()
        places: dict[int, list[int]] = {}
        for place, index in enumerate(wanted):
            places.setdefault(index, []).append(place)
        data: Image | None = None
        need = frozenset(timeline.pts[sorted(places)].tolist()) if places else frozenset()
        for index in sorted(places):
            frame = self._frame(index, need)
            if data is None:
                height, width = size or self.size or self._geometry(frame).size
                data = np.empty((len(wanted), height, width, 3), np.uint8)
            first, *others = places[index]
            self._convert(index, frame, data[first])
            for other in others:
                data[other] = data[first]
        if data is None:
            data = np.empty((0, *(size or self.size or self._geometry().size), 3), np.uint8)
        times, durations = timeline.times, timeline.durations
        return Frames.of(data, (times[i] for i in wanted), (durations[i] for i in wanted))

    def stream(
        self,
        start: Fraction = Fraction(0),
        end: Fraction | None = None,
        size: Size | None = None,
    ) -> Iterator[tuple[Fraction, Image]]:
        """Decodes forward, one frame at a time, in constant memory; see `Decoder.stream`."""
        check_size(size)
        timeline = self.timeline
        for index in range(timeline.index_at(start), len(timeline)):
            time = timeline.time(index)
            if end is not None and time >= end:
                return
            with self._alone:
                self._source.start_clock()
                frame = self._frame(index)
                image = np.empty((*(size or self.size or self._geometry(frame).size), 3), np.uint8)
                self._convert(index, frame, image)
            yield time, image

    def _convert(self, index: int, frame: VideoFrame, out: Image) -> None:
        try:
            self._geometry(frame).convert(frame, out)
        except RAISED as error:
            if isinstance(error, DecodeError):
                raise
            raise DecodeError(
                self.path, f"frame {index}: {reason(error)}", time=self.timeline.time(index)
            ) from error

    @property
    def _size(self) -> Size:
        known = self._timeline.size if self._timeline is not None else None
        return known or self._geometry().size

    def _geometry(self, frame: VideoFrame | None = None) -> Converter:
        with self._alone:
            if self._converter is None:
                # The first frame has the size of all, whichever is read first.
                if frame is None or (frame.height, frame.width) != self._source.stored:
                    self._source.start_clock()
                    frame = self._frame(0)
                self._converter = Converter(frame)
            return self._converter

    def _frame(self, index: int, need: frozenset[int] | None = None) -> VideoFrame:
        """Frame `index`, decoded on from where the last one came from if that is shorter.

        Frames whose times are not in `need` may be passed over; None decodes them all. A frame
        that does not come out whole after a seek is tried again from the beginning of the file:
        some files mark frames as key frames that are none.
        """
        timeline = self.timeline
        if timeline.is_faulty(index):
            raise self._missing(index, [])
        if self._shown:
            return self._frame_on_screen(index)
        run, key = self._running, max(timeline.key_before(index), 0)
        if timeline.how == "counted" or self._source.has_palette:
            key = 0
        key_index = int(np.searchsorted(timeline.pts, timeline.key_pts[key]))
        # What a decoder shows in a damaged file depends on what it saw before: there each frame
        # is decoded from its own key frame on, by a new decoder, and none is passed over.
        if run is not None and self._damage.seen and run.key != key:
            run = None
        if run is None or not run.can_give(index) or key_index - run.next >= _SEEK_SAVES:
            run = self._begin(key, key_index)
        run.need = None if self._damage.seen else need
        frame = run.advance(index)
        while self._damage.learn(run.faults):
            run = self._begin(key, key_index)
            frame = run.advance(index)
        if frame is None and run.key > 0:
            run = self._begin(0, 0)
            frame = run.advance(index)
        if frame is None:
            self._stop()
            if not run.faults and timeline.how != "counted" and self._look():
                return self._frame_on_screen(index)
            raise self._missing(index, run.faults)
        return frame

    def _begin(self, key: int, key_index: int) -> _Run:
        self._stop()
        if self._damage.seen:
            self._source.reopen()
        self._running = _Run(self._source, self.timeline, key, key_index, self._damage)
        return self._running

    def _look(self) -> bool:
        """Finds out what is shown where packets tell of frames that do not come, without a fault.

        Decodes everything, once. False if something is wrong with the file after all.
        """
        if self._shown is None:
            self._source.start_clock()
            output = come_out(self._source)
            times = output.pts if not output.faults else []
            self._shown = {time: n for n, time in enumerate(times) if time is not None}
        return bool(self._shown)

    def _frame_on_screen(self, index: int) -> VideoFrame:
        """The frame with the time of frame `index`, or the last one shown before it."""
        shown, pts = self._shown or {}, self.timeline.pts
        while index > 0 and int(pts[index]) not in shown:
            index -= 1
        number = shown.get(int(pts[index]), 0)
        run = self._running
        if run is None or not run.can_give(number):
            self._stop()
            count = np.arange(max(shown.values()) + 1, dtype=np.int64)
            counted = replace(self.timeline, pts=count, key_pts=count[:1], key_dts=count[:1],
                              how="counted", faults=())  # fmt: skip
            run = self._running = _Run(self._source, counted, 0, 0, self._damage)
        frame = run.advance(number)
        if frame is None:
            self._stop()
            raise self._missing(index, run.faults)
        return frame

    def _missing(self, index: int, faults: list[Fault]) -> DecodeError:
        said = f" ({faults[0].reason})" if faults else ""
        return DecodeError(
            self.path,
            f"frame {index} is damaged or missing{said}",
            time=self.timeline.times[index],
            remedy="`vitascope check` lists what is wrong with a file.",
        )

    def cut_off(self) -> str | None:
        """What is missing at the end of the file; see `Decoder.cut_off`."""
        with self._alone:
            return cut_off(self._source, None if has_table(self._source) else self.timeline)

    def close(self) -> None:
        """Frees the file."""
        with self._alone:
            self._stop()
            self._source.close()

    def _stop(self) -> None:
        if self._running is not None:
            self._running.close()
            self._running = None


class _Damage:
    """What was found to be wrong with a file.

    Attributes:
        seen: whether anything was.
        avoid: times of the damaged packets that no other image is built on. A decoder that is
            given one loses its way; without them what follows is whole.
    """

    def __init__(self) -> None:
        self.seen = False
        self.avoid: set[int] = set()

    def learn(self, faults: list[Fault]) -> bool:
        """Takes up faults; whether there was something new, so that decoding is to begin anew."""
        before = self.seen, len(self.avoid)
        self.seen = self.seen or bool(faults)
        self.avoid.update(f.pts for f in faults if f.alone and f.pts is not None)
        return before != (self.seen, len(self.avoid))


def whole_by_themselves(source: Source, timeline: Timeline, indices: Sequence[int]) -> list[int]:
    """Those of some frames (ascending) that come out whole if decoding begins at their key frame.

    Raises:
        DecodeError: the time is up.
    """
    found: list[int] = []
    damage = _Damage()
    keys = [max(timeline.key_before(index), 0) for index in indices]
    for key in sorted(set(keys)):
        own = [index for index, other in zip(indices, keys, strict=True) if other == key]
        first = int(np.searchsorted(timeline.pts, timeline.key_pts[key]))
        damage.seen, again = True, True
        while again:
            source.start_clock()
            source.reopen()
            run = _Run(source, timeline, key, first, damage)
            whole = [index for index in own if run.advance(index) is not None]
            again = damage.learn(run.faults)
            run.close()
        found += whole
    return found


class _Run:
    """Decoding forward from one key frame.

    Attributes:
        key: number of the key frame it began at.
        next: number of the frame that comes next.
        need: times of the frames that must not be passed over; None for all.
    """

    def __init__(
        self, source: Source, timeline: Timeline, key: int, key_index: int, damage: _Damage
    ) -> None:
        self._damage = damage
        self.key, self.next = key, key_index
        self.faults: list[Fault] = []
        self.need: frozenset[int] | None = None
        self._passed_over: set[int] = set()
        self._disposable: Rule | None = None
        self._timeline = timeline
        self._held: tuple[VideoFrame, bool] | None = None
        self._last: VideoFrame | None = None
        self._frames = self._begin(source, timeline, key)

    def close(self) -> None:
        """Lets go of the file.

        The generator knows this object and this object knows it; without a word they would wait,
        with all that the decoder holds, for a garbage collector that seldom comes.
        """
        self._frames.close()
        self._held = self._last = None

    def _begin(
        self, source: Source, timeline: Timeline, key: int
    ) -> Generator[tuple[VideoFrame, bool], None, None]:
        if timeline.how == "counted":
            source.rewind()
            yield from decode(source, self.faults)
            return
        begin = timeline.key(key)
        if source.has_palette:
            key = -1  # some formats give the colors at the beginning only
        self._disposable = source.disposable
        skip = self._skip if self._disposable is not None else None
        # Some formats guess the times of the packets that follow a seek, until the first one
        # that is stored; then the key frame is known again only by coming from further away.
        for target in range(key, max(key - 3, -1), -1):
            # MP4 goes back one key frame further than it must if asked for the time of decoding.
            if not source.seek(timeline.key(target)[0 if source.is_mp4 else 1]):
                break
            try:
                yield from decode(source, self.faults, begin, skip, doubt=key > 0)
                return
            except KeyFrameLost:  # comes before the first frame is given
                continue
        source.rewind()
        try:
            yield from decode(source, self.faults, begin, skip, doubt=key > 0)
        except KeyFrameLost:
            self.faults.append(Fault(begin[0], "the key frame of the index is not in the file"))

    def _skip(self, packet: Packet[Any]) -> bool:
        pts, rule = packet.pts, self._disposable
        if pts in self._damage.avoid:
            self._passed_over.add(pts)
            return True
        if self.need is None or rule is None or pts is None or pts in self.need:
            return False
        if not rule(bytes(packet)):
            return False
        self._passed_over.add(pts)
        return True

    def can_give(self, index: int) -> bool:
        """Whether frame `index` is the last one given, or can still come."""
        if index == self.next - 1 and self._last is not None:
            return True
        return index >= self.next and int(self._timeline.pts[index]) not in self._passed_over

    def advance(self, index: int) -> VideoFrame | None:
        """Decodes on to frame `index`; None if it is damaged or does not come.

        The frame given last can be asked for again.
        """
        if index == self.next - 1 and self._last is not None:
            return self._last
        counted = self._timeline.how == "counted"
        target = int(self._timeline.pts[index])
        while True:
            held, self._held = self._held, None
            frame, whole = held or self._pull()
            if frame is None:
                return None
            if counted:
                self.next += 1
                if self.next - 1 < index:
                    continue
            elif frame.pts is None or frame.pts < target:
                continue
            elif frame.pts > target:
                self._held = frame, whole
                return None
            if not whole:
                return None
            self.next, self._last = index + 1, frame
            return frame

    def _pull(self) -> tuple[VideoFrame, bool] | tuple[None, bool]:
        try:
            return next(self._frames, (None, False))
        except GaveUp:
            raise
        except DecodeError as error:
            self.faults.append(Fault(None, error.reason))
            return None, False
