"""An open file and its packets through PyAV; whatever goes wrong leaves as a DecodeError."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from fractions import Fraction
from functools import lru_cache
from typing import Any

import av
from av.packet import Packet
from av.stream import Disposition
from av.video.frame import VideoFrame

from vitascope.data.decoders.foreign import HEAD, kind
from vitascope.data.decoders.hidden import Hidden, hidden
from vitascope.data.decoders.inputs import Input, decode_error, resolve_input
from vitascope.data.decoders.non_reference import Rule, rule
from vitascope.data.decoders.stills import is_whole
from vitascope.errors import DecodeError

# Formats that make FFmpeg open further files or addresses named inside the file, or that read
# devices: none of them is a video file.
_REFUSED = frozenset(
    "hls dash concat concatf imf image2 sdp rtsp rtp sap lavfi ffmetadata webm_dash_manifest "
    "applehttp tedcaptions vapoursynth avisynth".split()
)

# Codecs for which FFmpeg works out the times of reordered images where a container has none.
_TIMED_BY_FFMPEG = frozenset("mpeg1video mpeg2video mpeg4".split())

# What PyAV raises: the errors of FFmpeg, and those of its own lines for files that it did not
# expect.
RAISED = (av.FFmpegError, OSError, ValueError, LookupError, ArithmeticError, TypeError,
          AttributeError, RuntimeError, AssertionError, MemoryError)  # fmt: skip


@lru_cache(maxsize=1)
def safe_formats() -> str:
    """The formats that a video may have, as FFmpeg wants the list."""
    return ",".join(sorted(set(av.formats_available) - _REFUSED))


class Source:
    """The first video stream of a file.

    Attributes:
        stored: height and width as the header has them, before any rotation.

    Args:
        video: a local file by name, or another input.
        threads: decoding threads, 0 for the decoder's own choice.
        time_limit: seconds for any one call of `open`, or between `start_clock` and the last
            packet; None for no limit.

    Raises:
        DecodeError: no such file, no video in it, or nothing that FFmpeg knows.
    """

    def __init__(
        self, video: str | Input, threads: int = 1, time_limit: float | None = None
    ) -> None:
        self._input = resolve_input(video) if isinstance(video, str) else video
        self.path, self.threads, self.time_limit = self._input.name, threads, time_limit
        self._container: Any = None
        self._file: Any = None
        self._closed = False
        self._hidden: tuple[Hidden | None, int] | None = None
        self._facts: tuple[int, int, int] | None = None
        self.start_clock()
        self.reopen()

    def reopen(self) -> None:
        """Opens the file anew, at its beginning.

        Raises:
            DecodeError: it cannot be opened (any more), is another file by now, or was closed.
        """
        if self._closed:
            raise DecodeError(self.path, "the video is closed")
        self._shut()
        self._is_the_same()
        # "file:" and the absolute path: a name with a colon is a name, never a protocol. The
        # white lists hold for everything that the file itself may ask to open.
        options = {"protocol_whitelist": "file", "format_whitelist": safe_formats()}
        if self._input.open is not None:
            try:
                self._file = self._input.open()
            except DecodeError:  # may be an OSError, too
                raise
            except OSError as error:
                raise decode_error(error)(
                    self.path, f"cannot be read ({error.strerror})"
                ) from error
        try:
            self._container = av.open(
                self._file or "file:" + os.path.abspath(self.path),
                options=options,
                timeout=self.time_limit,
                metadata_errors="replace",
            )
        except av.error.ExitError as error:
            raise self._gave_up() from error
        except RAISED as error:
            text = self._why_not(error)
            self._shut()
            remedy = "Give a video file; if it was one, fetch it again."
            raise decode_error(error)(self.path, text, remedy=remedy) from error
        self.stream = self._best_stream()
        self._fresh = True
        context = self.stream.codec_context
        self.stored = (int(context.height), int(context.width))
        if self.is_untimed:
            # PyAV has FFmpeg invent times, in the order of the file.
            self._container.flags &= ~av.container.Flags.gen_pts.value
        self.stream.codec_context.thread_count = self.threads
        self.stream.codec_context.thread_type = "AUTO" if self.threads != 1 else "NONE"

    def _is_the_same(self) -> None:
        """Refuses another file under the old name: times and frames would not fit each other."""
        if self._input.open is not None:
            return
        try:
            facts = os.stat(self.path)
        except OSError as error:
            raise decode_error(error)(self.path, f"cannot be read ({error.strerror})") from error
        now = facts.st_ino, facts.st_size, facts.st_mtime_ns
        if self._facts not in (None, now):
            raise DecodeError(self.path, "the file was replaced or written to while it was read")
        self._facts = now

    def _best_stream(self) -> Any:
        """The video stream that FFmpeg chooses, out of those that can be read and are no covers.

        That is the one marked as the default, then the one with more than one frame, with the
        higher bit rate, with more frames.
        """
        streams = self._container.streams
        shown = [s for s in streams.video if not s.disposition & Disposition.attached_pic]
        if not shown:
            kinds = {stream.type for stream in streams}
            found = sorted("a cover image" if kind == "video" else kind for kind in kinds)
            self._shut()
            raise DecodeError(
                self.path,
                f"no video stream in the file, only {', '.join(found) or 'empty ones'}",
                remedy="Give a file with images.",
            )
        usable = [stream for stream in shown if stream.codec_context is not None]
        known = None
        if not usable or "webp" in self._container.format.name:
            with self.content() as read:
                known = kind(read(0, HEAD))
        if not usable or known is not None:
            self._shut()
            said = f"FFmpeg cannot decode {known or 'the video stream'}: this build has no decoder"
            raise DecodeError(self.path, said, remedy="Convert it, for example to MP4.")
        if len(usable) == len(streams.video) == 1:
            return usable[0]
        best = streams.best("video")
        return best if best in usable else max(usable, key=_rank)

    def rewind(self) -> None:
        """Goes to the beginning, which needs a new start only if something was read."""
        if not self._fresh:
            self.reopen()

    def _why_not(self, error: Exception) -> str:
        if isinstance(error, OSError) and not isinstance(error, av.FFmpegError):
            return str(error.strerror or error)
        try:
            if self._size() == 0:
                return "the file has no content (0 bytes)"
            known = self._kind()
        except OSError as missing:
            return f"cannot be read ({missing.strerror or missing})"
        if known is not None:
            return f"not a video file, but {known}"
        return f"not a video file, or cut before its index ({reason(error)})"

    def _kind(self) -> str | None:
        if self._file is not None:
            self._file.seek(0)
            return kind(self._file.read(HEAD))
        with open(self.path, "rb") as file:
            return kind(file.read(HEAD))

    def _size(self) -> int:
        if self._file is None:
            return os.path.getsize(self.path)
        return int(self._file.seek(0, os.SEEK_END))

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return int(self.container.size)

    @contextmanager
    def content(self) -> Iterator[Callable[[int, int], bytes]]:
        """Gives a function that reads a number of bytes from a place; fewer at the end.

        The place at which packets are read does not change.

        Raises:
            DecodeError: the file cannot be read any more.
        """
        here = None if self._file is None else self._file.tell()
        try:
            file = open(self.path, "rb") if self._file is None else self._file

            def read(place: int, count: int) -> bytes:
                file.seek(place)
                return bytes(file.read(count))

            try:
                yield read
            finally:
                if here is None:
                    file.close()
                else:
                    file.seek(here)
        except DecodeError:  # may be an OSError, too
            raise
        except OSError as error:
            raise DecodeError(self.path, f"cannot be read ({error.strerror or error})") from error

    @property
    def container(self) -> Any:
        """The PyAV container.

        Raises:
            DecodeError: the video was closed.
        """
        if self._container is None:
            raise DecodeError(self.path, "the video is closed")
        return self._container

    @property
    def is_mp4(self) -> bool:
        """Whether the container is of the MP4 and QuickTime family."""
        return "mp4" in self.container.format.name.split(",")

    @property
    def is_untimed(self) -> bool:
        """Whether packets say only when they are decoded, not when they are shown."""
        name = self.stream.codec_context.name
        if self.container.format.name == "avi":
            return name not in _TIMED_BY_FFMPEG
        return bool(self.container.format.name == "mpegvideo")

    @property
    def has_palette(self) -> bool:
        """Whether pixels are numbers of colors, which are given apart from the images."""
        return bool(self.stream.codec_context.pix_fmt == "pal8")

    @property
    def disposable(self) -> Rule | None:
        """The test for packets whose images no other image is built on; None if unknown."""
        context = self.stream.codec_context
        return rule(context.name, context.extradata)

    def new_decoder(self) -> Any:
        """A decoder for one packet alone; None where packets need those before them.

        FFmpeg's JPEG decoder says nothing of most damage and leaves in the rest of an image what
        was in memory: with the same decoder for all, that would be another image.
        """
        known = self.stream.codec_context
        if known.name != "mjpeg":
            return None
        made: Any = av.CodecContext.create("mjpeg", "r")
        made.width, made.height = known.width, known.height
        if known.extradata:
            made.extradata = known.extradata
        made.thread_count = 1
        return made

    @property
    def leaves_old_pictures(self) -> bool:
        """Whether the decoder fills damage with the image before and says nothing of it."""
        return bool(self.stream.codec_context.name == "ffv1")

    def is_hidden(self, packet: Packet[Any]) -> bool:
        """Whether a packet shows no image, as far as its headers tell; see `hidden`."""
        if self._hidden is None:
            context = self.stream.codec_context
            self._hidden = hidden(context.name, context.extradata)
        rule, longest = self._hidden
        return rule is not None and packet.size <= longest and rule(bytes(packet))

    @property
    def time_base(self) -> Fraction:
        """Seconds a tick of packets and frames."""
        base = self.stream.time_base
        return Fraction(base.numerator, base.denominator) if base else Fraction(1, 1000000)

    @property
    def rate(self) -> Fraction:
        """Frames a second as the container has it, 25 if it has none."""
        for rate in (self.stream.guessed_rate, self.stream.average_rate, self.stream.base_rate):
            if rate:
                return Fraction(rate.numerator, rate.denominator)
        return Fraction(25)

    def breaks_off(self, packet: Packet[Any]) -> bool:
        """Whether the file ends inside the frame that this packet should hold.

        Some decoders fill up such a frame with whatever is in memory, without a word.
        """
        name = self.container.format.name
        if name in ("gif", "jpeg_pipe", "mjpeg"):
            return not is_whole(bytes(packet))
        # Of MPEG streams, FFmpeg also says so of packets beside the place that is damaged.
        return packet.is_corrupt and name not in ("mpegts", "mpeg")

    def start_clock(self) -> None:
        """Begins to count `time_limit`."""
        self._deadline = None if self.time_limit is None else time.monotonic() + self.time_limit

    def packets(self) -> Iterator[Packet[Any]]:
        """Packets of the stream from the present position; the last one is empty and flushes.

        Where the container does not say when a packet is shown (`is_untimed`), it is taken to be
        shown when it is decoded, which tells frames apart; reordered frames then come out with
        times that are not ascending.

        Raises:
            DecodeError: the container is damaged here, or the time is up.
        """
        self._fresh = False
        untimed = self.is_untimed
        try:
            # PyAV loses a packet where its generator is dropped without being closed.
            with closing(self._demux()) as packets:
                for packet in packets:
                    if self._deadline is not None and time.monotonic() > self._deadline:
                        raise self._gave_up()
                    if untimed and packet.pts is None:
                        packet.pts = packet.dts
                    yield packet
        except av.error.ExitError as error:
            raise self._gave_up() from error
        except DecodeError:
            raise
        except RAISED as error:
            raise DecodeError(self.path, f"damaged container ({reason(error)})") from error

    def _demux(self) -> Generator[Packet[Any], None, None]:
        """Packets of the stream, and at the end an empty one.

        Where a stream appears after the file was opened, as in FLV, PyAV fails at the end of the
        file, when it looks for the empty packet of a stream that it does not know.
        """
        ended = False
        try:
            with closing(self.container.demux(self.stream)) as packets:
                for packet in packets:
                    if packet.stream.index == self.stream.index and not ended:
                        ended = packet.size == 0 and packet.pts is None and packet.dts is None
                        yield packet
        except IndexError:
            if not ended:
                last: Packet[Any] = Packet()
                last.stream = self.stream
                yield last

    def _gave_up(self) -> GaveUp:
        return GaveUp(self.path, f"gave up after {self.time_limit:g} s")

    def seek(self, dts: int) -> bool:
        """Goes to the key frame at or before `dts`; False where the format cannot."""
        self._fresh = False
        try:
            self.container.seek(dts, stream=self.stream, backward=True)
        except RAISED:
            return False  # whatever it is: reading on from the beginning will tell
        return True

    def drain(self) -> list[VideoFrame]:
        """Takes the frames that the decoder still holds, and resets it."""
        context = self.stream.codec_context
        try:
            frames = list(context.decode(None))
        except RAISED:
            frames = []  # the fault that led here was noted
        context.flush_buffers()
        return frames

    def close(self) -> None:
        """Closes the file for good; no error if it is closed."""
        self._closed = True
        self._shut()

    def _shut(self) -> None:
        if self._container is not None:
            self._container.close()
            self._container = None
        if self._file is not None:
            self._file.close()
            self._file = None


def _rank(stream: Any) -> tuple[int, ...]:
    """What FFmpeg compares streams by, and then their size; the first of equal ones is the best."""
    context, marks = stream.codec_context, stream.disposition
    impaired = Disposition.hearing_impaired | Disposition.visual_impaired
    usual = (not marks & impaired) + bool(marks & Disposition.default)
    pixels = int(context.width) * int(context.height)
    return usual, min(stream.frames or 5, 5), int(context.bit_rate or 0), pixels


class GaveUp(DecodeError):
    """The time limit passed; the file may be good."""


def reason(error: Exception) -> str:
    """What FFmpeg said, without the path and the numbers around it."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return str(text).strip().rstrip(".").lower()
