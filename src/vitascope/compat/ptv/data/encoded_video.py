"""PyTorchVideo's EncodedVideo: frames and sound of any interval of a video file.

The results are those that PyTorchVideo documents, on this package's decoders: intervals are
half-open (1 s at 25 frames a second is 25 frames), times count from the first frame, the frames are
upright, and sound is the mean of the channels in [-1, 1] at the rate of the file.
"""

from __future__ import annotations

import os
import warnings
from fractions import Fraction
from functools import cached_property
from pathlib import PurePath
from typing import IO, Any, Self

from vitascope.compat.ptv.data.decoder import DecoderType as DecoderType
from vitascope.compat.ptv.data.video_base import Video as Video
from vitascope.compat.ptv.errors import NotADecoderError
from vitascope.data.clips import Clip, Seconds, exact_interval
from vitascope.data.decoder import Size, open_video
from vitascope.data.decoders.inputs import VideoInput
from vitascope.data.frames import inside
from vitascope.data.modalities.audio import SoundReader
from vitascope.errors import ConfigError


class EncodedVideo(Video):
    """A video file.

    Args:
        file: its content as bytes or as an open binary file, which is read to its end; or a path.
        video_name: name for messages and samples; None takes that of the file.
        decode_audio: whether clips come with their sound.
        decode_video: whether clips come with their frames.
        decoder: backend by name.
        size: height and width to scale frames to; None leaves them as stored.
        whole: refuse a file that was cut off; False gives what is there.
        sample_rate: samples a second of the sound; None leaves them as stored.
        mono: mix the channels to one; False gives sound as C S.
        threads: decoding threads.

    Raises:
        DecodeError: the file has no image, or is no video, or is cut off.
    """

    def __init__(
        self,
        file: VideoInput,
        video_name: str | None = None,
        decode_audio: bool = True,
        *,
        decode_video: bool = True,
        decoder: str = "pyav",
        size: Size | None = None,
        whole: bool = True,
        sample_rate: int | None = None,
        mono: bool = True,
        threads: int = 1,
    ) -> None:
        # Frames and sound are read side by side, which one open file cannot serve.
        source = _content(file)
        self._name = video_name if video_name is not None else _name_of(file)
        self._decode_video, self._sample_rate, self._mono = decode_video, sample_rate, mono
        self._video = open_video(source, backend_name(decoder), size, threads=threads, whole=whole)
        self._sound = SoundReader(source, self._video.start) if decode_audio else None

    @classmethod
    def from_path(
        cls,
        file_path: str | os.PathLike[str],
        decode_video: bool = True,
        decode_audio: bool = True,
        decoder: str = "pyav",
        **other_args: Any,
    ) -> Video:
        """Opens a file by its path or address.

        Args:
            file_path: where it is.
            decode_video: whether clips come with their frames.
            decode_audio: whether clips come with their sound.
            decoder: backend by name.
            other_args: further arguments of the class that `select_video_class` names.

        Raises:
            VideoNotFoundError: there is no such file.
            DecodeError: there is no video in it.
        """
        opened: Video = select_video_class(decoder)(
            os.fspath(file_path),
            video_name=PurePath(file_path).name,
            decode_video=decode_video,
            decode_audio=decode_audio,
            **other_args,
        )
        return opened

    @classmethod
    def from_bytesio(
        cls,
        file: IO[bytes] | bytes,
        video_name: str | None = None,
        decode_video: bool = True,
        decode_audio: bool = True,
        decoder: str = "pyav",
    ) -> Self:
        """Opens content that is in memory; see the class."""
        return cls(
            file, video_name, decode_audio, decode_video=decode_video, decoder=decoder
        )  # fmt: skip

    @property
    def name(self) -> str | None:
        """Name of the file without its folder, or the name given; None for content without one."""
        return self._name

    @property
    def duration(self) -> Seconds:
        """Seconds from the first frame to the end of the last, or of the sound if that is later.

        An exact Fraction, also by PyAV in PyTorchVideo. Sound counts if clips come with it.
        """
        return self._length

    @property
    def shown(self) -> Fraction:
        """Seconds from the first frame to the end of the last."""
        return self._video.duration

    @cached_property
    def _length(self) -> Fraction:
        heard = None if self._sound is None else self._sound.end
        return self.shown if heard is None else max(self.shown, heard)

    @property
    def rate(self) -> Fraction:
        """Frames a second on average."""
        return self._video.fps

    @property
    def audio_rate(self) -> int | None:
        """Samples a second of the sound in clips; None without sound."""
        if self._sound is None or not self._sound.has_stream:
            return None
        return self._sound.rate if self._sample_rate is None else self._sample_rate

    def get_clip(self, start_sec: Seconds, end_sec: Seconds) -> dict[str, Any]:
        """What is seen and heard in [start_sec, end_sec); see `Video.get_clip`.

        An interval that reaches beyond the video is cut to it. Sound that begins late or ends
        early is filled up with zeros, so that it is as long as the interval.

        Raises:
            DecodeError: a frame or the sound of the interval is damaged.
        """
        start, end = exact_interval(start_sec, end_sec, self._length)
        found: dict[str, Any] = {"video": None, "audio": None}
        if start >= end:
            return found
        clip = Clip(start, end)
        if self._decode_video:
            numbers = inside(self._video.times, clip)
            if numbers:
                found["video"] = self._video.read(numbers).data.permute(3, 0, 1, 2).float()
        if self._sound is not None and self._sound.has_stream:
            samples = self._sound.read(clip, self._sample_rate, mono=self._mono).samples
            found["audio"] = samples[0] if self._mono else samples
        return found

    def close(self) -> None:
        """Frees the file."""
        self._video.close()


class EncodedVideoPyAV(EncodedVideo):
    """`EncodedVideo` by PyAV, with the arguments of PyTorchVideo.

    Args:
        file: as for `EncodedVideo`.
        video_name: as for `EncodedVideo`.
        decode_video: whether clips come with their frames.
        decode_audio: whether clips come with their sound.
        perform_seek: without effect; whether to jump is decided from the key frames.
    """

    def __init__(
        self,
        file: VideoInput,
        video_name: str | None = None,
        decode_video: bool = True,
        decode_audio: bool = True,
        perform_seek: bool = True,
    ) -> None:
        super().__init__(file, video_name, decode_audio, decode_video=decode_video)

    @property
    def pix_fmt(self) -> str:
        """Pixel format of the stored frames, by FFmpeg's name."""
        return str(self._stream.codec_context.pix_fmt)

    @property
    def bit_rate(self) -> int | None:
        """Bits a second of the stored frames; None if the file does not say."""
        rate = self._stream.codec_context.bit_rate
        return None if rate is None else int(rate)

    @property
    def _stream(self) -> Any:
        from vitascope.data.decoders.pyav import PyAVDecoder

        if not isinstance(self._video, PyAVDecoder):
            raise ConfigError(f"{self.name} is a folder of frames; it has no stream")
        return self._video._source.stream


class EncodedVideoTorchVision(EncodedVideo):
    """`EncodedVideo` under the name of a decoder that torchvision no longer has; PyAV decodes.

    Attributes:
        SEEK_FRAME_MARGIN: seconds before a clip at which torchvision began to read; without
            effect, because every jump here goes to the right key frame.
    """

    SEEK_FRAME_MARGIN = 0.25

    @property
    def duration(self) -> float:
        """As of `EncodedVideo`, a float as there."""
        return float(self._length)

    def __init__(
        self,
        file: VideoInput,
        video_name: str | None = None,
        decode_video: bool = True,
        decode_audio: bool = True,
    ) -> None:
        super().__init__(
            file, video_name, decode_audio, decode_video=decode_video, decoder="torchvision"
        )


class EncodedVideoDecord(EncodedVideo):
    """`EncodedVideo` by decord, with the arguments of PyTorchVideo; paths only.

    Args:
        file: path of the file.
        video_name: as for `EncodedVideo`.
        decode_video: whether clips come with their frames.
        decode_audio: whether clips come with their sound, which PyAV reads.
        sample_rate: samples a second of the sound.
        mono: mix the channels to one.
        width: pixels to scale frames to; -1 leaves them. Given together with `height`.
        height: pixels to scale frames to; -1 leaves them.
        num_threads: decoding threads; 0 lets the decoder choose.
        fault_tol: without effect; a damaged frame is always an error.

    Raises:
        ConfigError: one of width and height without the other.
    """

    def __init__(
        self,
        file: VideoInput,
        video_name: str | None = None,
        decode_video: bool = True,
        decode_audio: bool = True,
        sample_rate: int = 44100,
        mono: bool = True,
        width: int = -1,
        height: int = -1,
        num_threads: int = 0,
        fault_tol: int = -1,
    ) -> None:
        if (width == -1) != (height == -1):
            raise ConfigError(f"width = {width}, height = {height}; give both or none")
        super().__init__(
            file, video_name, decode_audio, decode_video=decode_video, decoder="decord",
            size=None if width == -1 else (height, width), sample_rate=sample_rate, mono=mono,
            threads=num_threads,
        )  # fmt: skip

    @property
    def duration(self) -> float:
        """As of `EncodedVideo`, a float as there."""
        return float(self._length)


_CLASSES: dict[str, Any] = {
    "pyav": EncodedVideoPyAV,
    "torchvision": EncodedVideoTorchVision,
    "decord": EncodedVideoDecord,
}


def select_video_class(decoder: str) -> Any:
    """The class that opens a file with a decoder, called (file, video_name=, decode_video=, ...).

    Args:
        decoder: pyav, torchvision or decord as in PyTorchVideo, or any decoder of this package.

    Raises:
        NotADecoderError: no such decoder.
    """
    name = str(decoder)
    if name in _CLASSES:
        return _CLASSES[name]
    backend_name(name)

    def opened(file: VideoInput, video_name: str | None = None, **args: Any) -> EncodedVideo:
        return EncodedVideo(file, video_name, decoder=name, **args)

    return opened


def backend_name(decoder: str) -> str:
    """The decoder of this package behind a name that PyTorchVideo knows.

    Raises:
        NotADecoderError: no such decoder.
    """
    name = str(decoder)
    if name == "torchvision":
        warnings.warn(
            "torchvision has no video decoder any more; pyav decodes instead",
            DeprecationWarning,
            stacklevel=3,
        )
        return DecoderType.PYAV.value
    if name == DecoderType.IMAGES or name not in set(DecoderType):
        raise NotADecoderError("decoder", name, set(DecoderType) - {DecoderType.IMAGES})
    return name


def _content(file: VideoInput) -> str | os.PathLike[str] | bytes | bytearray | memoryview:
    if isinstance(file, str | os.PathLike | bytes | bytearray | memoryview):
        return file
    return file.read()


def _name_of(file: VideoInput) -> str | None:
    if isinstance(file, str | os.PathLike):
        return PurePath(file).name
    named = getattr(file, "name", None)
    return PurePath(named).name if isinstance(named, str) else None
