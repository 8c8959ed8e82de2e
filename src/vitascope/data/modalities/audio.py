"""Sound on the same [start, end) as the frames, to the sample.

Times count from the first frame of the video, as everywhere. A clip has as many samples as its
length says, whatever the file holds: what lies before the sound begins, after it ends or in a gap
of it is zero, and a flag tells a clip without any sound from a silent one.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from vitascope.data.clips import Clip
from vitascope.data.decoders.inputs import Input, VideoInput, resolve_input
from vitascope.data.decoders.source import reason, safe_formats
from vitascope.data.modalities.resample import resample_at, support
from vitascope.errors import ConfigError, DecodeError

Samples = npt.NDArray[np.float32]

# Seconds decoded before the part that is wanted: lossy codecs build on what came before (AAC on
# one packet, MP3 on up to nine, Opus on 80 ms).
_PREROLL = Fraction(1, 2)
# Formats whose time stamps after a jump are exact to the sample or nearly so. In all others
# decoding begins at the start of the file: their stamps are rounded (Matroska, Flash: 1 ms) or
# guessed (MP3 streams), and a clip would depend on where the reader jumped to.
_JUMPS = frozenset({"mp4", "wav"})


@dataclass(frozen=True)
class Sound:
    """The sound of a clip.

    Attributes:
        samples: float32 Tensor C S in [-1, 1]; S = length x rate, halves rounded up.
        rate: samples a second.
        has_audio: False if not one sample of the file lies in the clip; then all are zero.
    """

    samples: Tensor
    rate: int
    has_audio: bool


class SoundReader:
    """The first sound stream of a file. Nothing is kept open between reads.

    Args:
        video: a file, an address, bytes, or an open binary file.
        origin: seconds in the file at which the first frame is shown (`Decoder.start`).
        time_limit: seconds for opening and for any wait on the file; None for no limit.

    Raises:
        DecodeError: the file cannot be opened, or this FFmpeg cannot decode its sound.
    """

    def __init__(
        self,
        video: VideoInput,
        origin: Fraction = Fraction(0),
        *,
        time_limit: float | None = None,
    ) -> None:
        self._input: Input = resolve_input(video)
        self.origin, self._time_limit = origin, time_limit
        with _Opened(self._input, time_limit) as opened:
            stream = opened.stream
            self.rate = 0 if stream is None else int(stream.codec_context.sample_rate)
            self.channels = 0 if stream is None else int(stream.codec_context.channels)
            self._stated_end = None if stream is None else opened.stated_end()
        if stream is not None and self.rate < 1:
            raise DecodeError(self._input.name, "the sound stream has no sampling rate")

    @staticmethod
    def silence(seconds: Fraction, rate: int) -> Tensor:
        """Zeros 1 S for a clip that has no sound."""
        return torch.zeros(1, sample_count(seconds, rate))

    @property
    def has_stream(self) -> bool:
        """Whether the file has sound at all."""
        return self.rate > 0

    @cached_property
    def end(self) -> Fraction | None:
        """Seconds from the first frame to the end of the sound; None without sound.

        It is what the file says of the stream, or else the end of the last packet.

        Raises:
            DecodeError: the file can no longer be read.
        """
        found = self._stated_end
        if found is None and self.has_stream:
            with _Opened(self._input, self._time_limit) as opened:
                found = opened.last_packet_end()
        return None if found is None else found - self.origin

    def span(self) -> Clip | None:
        """From the first sample of the file to the end of the last; None if there is none.

        All the sound is decoded for it.

        Raises:
            DecodeError: the sound is damaged.
        """
        if not self.has_stream:
            return None
        far = 2**62
        bounds = [(at, at + block.shape[1]) for at, block in self._blocks(-far, far)]
        if not bounds:
            return None
        first, last = min(at for at, _ in bounds), max(end for _, end in bounds)
        return Clip(
            Fraction(first, self.rate) - self.origin, Fraction(last, self.rate) - self.origin
        )

    def read(self, clip: Clip, rate: int | None = None, *, mono: bool = True) -> Sound:
        """The sound of a clip.

        Sample n is the sound at start + n / rate seconds after the first frame appears, the start
        taken to the nearest sample. So clips that touch have sounds that touch.

        Args:
            clip: the interval.
            rate: samples a second; None keeps those of the file (16,000 if it has no sound).
            mono: the mean of all channels as one.

        Raises:
            ConfigError: a rate below 1.
            DecodeError: the sound is damaged here.
        """
        if rate is not None and rate < 1:
            raise ConfigError(f"rate = {rate} samples a second; it must be at least 1")
        if not self.has_stream:
            out = 16000 if rate is None else rate
            return Sound(self.silence(clip.length, out), out, False)
        out = self.rate if rate is None else rate
        count = sample_count(clip.length, out)
        first = _nearest(clip.start * out)
        if out == self.rate:
            begin = first + _nearest(self.origin * out)
            samples, there = self._native(begin, begin + count, mono)
            return Sound(torch.from_numpy(samples), out, there)
        # Where the first sample lies among those of the file, exactly.
        place = (Fraction(first, out) + self.origin) * self.rate
        reach = support(self.rate, out)
        begin = int(place // 1) - reach
        end = begin + int(Fraction(count * self.rate, out) // 1) + 2 * reach + 2
        samples, there = self._native(begin, end, mono, begin + reach, end - reach)
        made = resample_at(samples, place - begin, Fraction(self.rate, out), count)
        return Sound(torch.from_numpy(made), out, there)

    def _native(
        self,
        begin: int,
        end: int,
        mono: bool,
        inner_begin: int | None = None,
        inner_end: int | None = None,
    ) -> tuple[Samples, bool]:
        """Samples [begin, end) by the file's clock, and whether any lies in the inner part."""
        found = np.zeros((1 if mono else self.channels, max(end - begin, 0)), np.float32)
        low = begin if inner_begin is None else inner_begin
        high = end if inner_end is None else inner_end
        there = False
        for start, block in self._blocks(begin, end):
            part = block.mean(axis=0, keepdims=True) if mono else block
            a, b = max(start, begin), min(start + part.shape[1], end)
            if a < b:
                found[:, a - begin : b - begin] = part[:, a - start : b - start]
                there |= max(a, low) < min(b, high)
        return found, there

    def _blocks(self, begin: int, end: int) -> Iterator[tuple[int, Samples]]:
        """(number of the first sample, float32 C S) of each decoded piece that may be needed."""
        with _Opened(self._input, self._time_limit) as opened:
            if opened.stream is None:
                raise DecodeError(self._input.name, "the sound stream is gone")
            target = Fraction(begin, self.rate) - _PREROLL
            if opened.may_jump and target > 0:
                opened.seek(target)
            tick = -(-opened.time_base * self.rate // 1)  # samples of one tick, rounded up
            after: int | None = None
            for frame in opened.frames():
                block = self._samples(frame)
                at = None
                if frame.pts is not None:
                    at = _nearest(frame.pts * opened.time_base * self.rate)
                if after is not None and (at is None or abs(at - after) <= tick + 1):
                    at = after  # the stamps are rounded, the sound is not
                if at is None:
                    raise DecodeError(self._input.name, "the sound has no time stamps")
                after = at + block.shape[1]
                if at >= end:
                    return
                if after > begin:
                    yield at, block

    def _samples(self, frame: Any) -> Samples:
        if frame.sample_rate != self.rate:
            raise DecodeError(
                self._input.name,
                f"the sampling rate changes from {self.rate} to {frame.sample_rate}",
            )
        channels = len(frame.layout.channels)
        if channels != self.channels:
            raise DecodeError(
                self._input.name, f"the number of channels changes, {self.channels} to {channels}"
            )
        data = frame.to_ndarray()
        if not frame.format.is_planar:
            data = data.reshape(-1, channels).T
        if data.dtype == np.uint8:
            return np.asarray((data.astype(np.float32) - 128) / 128, np.float32)
        if np.issubdtype(data.dtype, np.integer):
            return np.asarray(data / -float(np.iinfo(data.dtype).min), np.float32)
        return np.asarray(data, np.float32)


class _Opened:
    """An open file, its first sound stream, and errors as DecodeError."""

    def __init__(self, source: Input, time_limit: float | None) -> None:
        self.name = source.name
        self._file = None
        try:
            self._file = None if source.open is None else source.open()
            self._container: Any = av.open(
                self._file or "file:" + os.path.abspath(source.name),
                options={"protocol_whitelist": "file", "format_whitelist": safe_formats()},
                timeout=time_limit,
                metadata_errors="replace",
            )
        except DecodeError:  # may be an OSError, too
            raise
        except (av.FFmpegError, OSError, ValueError) as error:
            self._close_file()
            raise DecodeError(self.name, f"cannot be opened ({reason(error)})") from error
        streams = self._container.streams.audio
        self.stream: Any = streams[0] if streams else None
        if self.stream is not None and self.stream.codec_context is None:
            self._container.close()
            self._close_file()
            raise DecodeError(self.name, "no decoder for the sound stream in this FFmpeg")

    @property
    def time_base(self) -> Fraction:
        return Fraction(self.stream.time_base)

    @property
    def may_jump(self) -> bool:
        exact = self.time_base * self.stream.codec_context.sample_rate <= 1
        return exact and not _JUMPS.isdisjoint(self._container.format.name.split(","))

    def seek(self, seconds: Fraction) -> None:
        self._container.seek(int(seconds / self.time_base), stream=self.stream, backward=True)

    def stated_end(self) -> Fraction | None:
        """Seconds at which the stream ends as the file says; None if it does not."""
        if self.stream.duration is None:
            return None
        return int(self.stream.duration + (self.stream.start_time or 0)) * self.time_base

    def last_packet_end(self) -> Fraction | None:
        """Seconds at which the last packet ends; None if no packet has a time."""
        try:
            ends = [
                (packet.pts + (packet.duration or 0)) * self.time_base
                for packet in self._container.demux(self.stream)
                if packet.pts is not None
            ]
            return max(ends, default=None)
        except (av.FFmpegError, OSError, ValueError) as error:
            raise DecodeError(self.name, f"the sound is damaged ({reason(error)})") from error

    def frames(self) -> Iterator[Any]:
        try:
            yield from self._container.decode(self.stream)
        except (av.FFmpegError, OSError, ValueError) as error:
            raise DecodeError(self.name, f"the sound is damaged ({reason(error)})") from error

    def _close_file(self) -> None:
        if self._file is not None:
            self._file.close()

    def __enter__(self) -> _Opened:
        return self

    def __exit__(self, *error: object) -> None:
        self._container.close()
        self._close_file()


def sample_count(seconds: Fraction, rate: int) -> int:
    """Samples of a clip: its length times the rate, halves rounded up; 1 s at 16 kHz is 16,000."""
    return _nearest(seconds * rate)


def _nearest(value: Fraction | int) -> int:
    return int((value + Fraction(1, 2)) // 1)
