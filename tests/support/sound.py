"""Videos with sound of known content."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

from vitascope.data.render import numbered_frame

Wave = npt.NDArray[np.float64]


def film_with_sound(
    path: Path,
    sound: Wave,
    rate: int,
    *,
    frames: int = 50,
    fps: int = 25,
    delay: Fraction = Fraction(0),
    codec: str = "pcm_s16le",
    bit_rate: int | None = None,
) -> Path:
    """Frame n says n; `sound` is float C S in [-1, 1] and begins `delay` seconds after frame 0."""
    layout = {1: "mono", 2: "stereo"}[sound.shape[0]]
    with av.open(str(path), "w") as output:
        video = output.add_stream("libx264", rate=fps, options={"threads": "1", "crf": "20"})
        video.width, video.height, video.pix_fmt = 128, 80, "yuv420p"
        quick = {"aac_coder": "fast"} if codec == "aac" else {}
        stream = output.add_stream(codec, rate=rate, layout=layout, options=quick)
        if bit_rate is not None:
            stream.bit_rate = bit_rate
        for number in range(frames):
            picture = av.VideoFrame.from_ndarray(numbered_frame(number), format="rgb24")
            picture.pts, picture.time_base = number, Fraction(1, fps)
            output.mux(video.encode(picture))
        output.mux(video.encode(None))
        wave = np.round(np.clip(sound, -1, 1) * 32767).astype(np.int16)
        for first in range(0, wave.shape[1], 1024):
            part = np.ascontiguousarray(wave[:, first : first + 1024])
            packed = part.T.reshape(1, -1)
            block = av.AudioFrame.from_ndarray(packed, format="s16", layout=layout)
            block.sample_rate, block.time_base = rate, Fraction(1, rate)
            block.pts = first + round(delay * rate)
            if codec.startswith("pcm"):
                output.mux(stream.encode(block))
            else:
                resampler = _resampler(stream, layout, rate)
                for piece in resampler.resample(block):
                    output.mux(stream.encode(piece))
        output.mux(stream.encode(None))
    return path


def _resampler(stream: av.AudioStream, layout: str, rate: int) -> av.AudioResampler:
    return av.AudioResampler(format=stream.codec_context.format.name, layout=layout, rate=rate)


def clicks(seconds: float, rate: int, at: list[float]) -> Wave:
    """Silence with single samples of 0.9 at the given times."""
    wave = np.zeros((1, round(seconds * rate)))
    for time in at:
        wave[0, round(time * rate)] = 0.9
    return wave


def tone(seconds: float, rate: int, hertz: float = 440.0, level: float = 0.5) -> Wave:
    """A sine that begins at 0."""
    return level * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)[None]


def chirp(seconds: float, rate: int, low: float = 100.0, high: float = 5000.0) -> Wave:
    """A sine whose frequency rises evenly from `low` to `high`."""
    t = np.arange(round(seconds * rate)) / rate
    return 0.5 * chirp_at(t, seconds, low, high)[None]


def chirp_at(t: Wave, seconds: float, low: float = 100.0, high: float = 5000.0) -> Wave:
    """The chirp at any time, with level 1."""
    return np.sin(2 * np.pi * (low * t + (high - low) * t**2 / (2 * seconds)))
