"""The videos of the conformance suite: codec, container, rate, key frames, B frames, timing."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

from vitascope.data.render import render_numbered

FRAMES = 48
_VARIABLE = tuple(3 * n + n % 3 + (40 if n > 20 else 0) for n in range(FRAMES))
_GAPS = tuple(2 * n + (40 if n > 20 else 0) for n in range(FRAMES))
_LATE = tuple(90 + n for n in range(FRAMES))


@dataclass(frozen=True, kw_only=True)
class ConformanceVideo:
    """One video of numbered frames.

    Attributes:
        name: a file name; its suffix names the container.
        codec: FFmpeg's name of the encoder.
        options: settings of the encoder.
        fps: frames a second; ticks of `pts` are 1 / fps.
        pts: time of each frame in ticks; empty for 0, 1, 2, ...
        pix_fmt: FFmpeg's name of the stored pixel format.
        container: settings of the container.
        rounding: seconds by which the container may round a time.
    """

    name: str
    codec: str = "libx264"
    options: Mapping[str, str] = field(default_factory=dict)
    fps: Fraction = Fraction(25)
    pts: tuple[int, ...] = ()
    pix_fmt: str = "yuv420p"
    container: Mapping[str, str] = field(default_factory=dict)
    rounding: Fraction = Fraction(0)

    @property
    def times(self) -> tuple[Fraction, ...]:
        """Seconds from the first frame to each."""
        pts = self.pts or tuple(range(FRAMES))
        return tuple((t - pts[0]) / self.fps for t in pts)


def render_videos(sample: ConformanceVideo, folder: Path) -> Path:
    """Writes a video, unless the folder has it.

    Raises:
        ConfigError: this FFmpeg has no such encoder.
    """
    path = folder / sample.name
    # The AV1 encoder writes its settings to standard error unless it is told by this variable.
    os.environ.setdefault("SVT_LOG", "0")
    if not path.exists():
        render_numbered(
            path,
            FRAMES,
            fps=sample.fps,
            pts=sample.pts or None,
            codec=sample.codec,
            pix_fmt=sample.pix_fmt,
            options=sample.options,
            container_options=sample.container,
        )
    return path


_X264 = {"preset": "veryfast", "crf": "20", "threads": "1"}
# Key frames and B frames: every one a key frame; groups without and with B frames, and with B
# frames as references; one group for all; groups that lean on the one before.
_GROUPS = {
    "intra": {"g": "1"},
    "gop12": {"g": "12", "bf": "0"},
    "gop12_b3": {"g": "12", "bf": "3", "b_strategy": "0"},
    "long_b7": {"g": "250", "bf": "7", "b_strategy": "0", "x264-params": "b-pyramid=normal"},
    "open_b2": {"g": "10", "bf": "2", "b_strategy": "0", "x264-params": "open-gop=1"},
}
_TIMINGS: dict[str, dict[str, Any]] = {
    "25fps": {},
    "ntsc": {"fps": Fraction(30000, 1001)},
    "variable": {"fps": Fraction(100), "pts": _VARIABLE},
    "late": {"pts": _LATE},
}
# Matroska counts milliseconds, MPEG-TS 1/90000 s: 30000/1001 frames a second fit into neither.
_ROUNDED = {
    "mkv": Fraction(1, 1000),
    "webm": Fraction(1, 1000),
    "flv": Fraction(1, 1000),
    "ts": Fraction(1, 90000),
}


def _samples() -> tuple[ConformanceVideo, ...]:
    found = []
    for suffix in ("mp4", "mkv", "ts"):
        for group, settings in _GROUPS.items():
            for timing, extra in _TIMINGS.items():
                rounding = _ROUNDED.get(suffix, Fraction(0)) if timing == "ntsc" else Fraction(0)
                name = f"h264_{group}_{timing}.{suffix}"
                options = _X264 | settings
                drawn = {"name": name, "options": options, "rounding": rounding, **extra}
                found.append(ConformanceVideo(**drawn))
    return (*found, *_MORE)


_X265 = "log-level=none:pools=none:frame-threads=1"
_HEVC = {"preset": "ultrafast", "x265-params": f"{_X265}:keyint=12:bframes=3"}
_VP9 = {"deadline": "realtime", "cpu-used": "8", "g": "16"}
_AV1 = {"preset": "9", "crf": "24", "svtav1-params": "lp=1"}
_PLAIN = {"g": "12", "bf": "2", "qscale": "3"}
_MORE = (
    ConformanceVideo(
        name="h264_fragmented.mp4",
        options=_X264 | _GROUPS["gop12_b3"],
        container={"movflags": "frag_keyframe+empty_moov"},
    ),
    ConformanceVideo(
        name="h264_faststart.mov",
        options=_X264 | _GROUPS["gop12_b3"],
        container={"movflags": "+faststart"},
    ),
    ConformanceVideo(
        name="h264_refresh.mp4", options=_X264 | {"g": "20", "x264-params": "intra-refresh=1"}
    ),
    ConformanceVideo(
        name="h264_high10.mp4", options=_X264 | _GROUPS["gop12_b3"], pix_fmt="yuv420p10le"
    ),
    ConformanceVideo(
        name="h264_yuv444.mkv", options=_X264 | _GROUPS["gop12_b3"], pix_fmt="yuv444p"
    ),
    ConformanceVideo(name="h264_raw.h264", options=_X264 | _GROUPS["gop12_b3"]),
    # AVI does not say when a frame is shown: they are told apart by counting, or taken in order.
    ConformanceVideo(name="h264_b3.avi", options=_X264 | _GROUPS["gop12_b3"]),
    ConformanceVideo(name="h264_b7.avi", options=_X264 | _GROUPS["long_b7"]),
    ConformanceVideo(name="h264_b0.avi", options=_X264 | _GROUPS["gop12"]),
    ConformanceVideo(
        name="h264_variable.avi", options=_X264 | _GROUPS["gop12_b3"], fps=Fraction(100), pts=_GAPS
    ),
    ConformanceVideo(name="h264.flv", options=_X264 | _GROUPS["gop12_b3"]),
    ConformanceVideo(name="hevc.mp4", codec="libx265", options=_HEVC),
    ConformanceVideo(
        name="hevc_variable.mkv", codec="libx265", options=_HEVC, fps=Fraction(100), pts=_VARIABLE
    ),
    ConformanceVideo(name="hevc.ts", codec="libx265", options=_HEVC),
    ConformanceVideo(name="vp9.webm", codec="libvpx-vp9", options=_VP9),
    ConformanceVideo(
        name="vp9_variable.mp4", codec="libvpx-vp9", options=_VP9, fps=Fraction(100), pts=_VARIABLE
    ),
    ConformanceVideo(
        name="vp9_hidden.webm",
        codec="libvpx-vp9",
        options={"deadline": "good", "cpu-used": "5", "auto-alt-ref": "1", "lag-in-frames": "16"},
    ),
    ConformanceVideo(
        name="vp8.webm", codec="libvpx", options={"deadline": "realtime", "cpu-used": "8"}
    ),
    ConformanceVideo(
        name="vp8_hidden.webm",
        codec="libvpx",
        options={"auto-alt-ref": "1", "lag-in-frames": "16", "g": "24", "deadline": "good"},
    ),
    ConformanceVideo(name="av1.mp4", codec="libsvtav1", options=_AV1),
    ConformanceVideo(
        name="av1_variable.mkv",
        codec="libsvtav1",
        options=_AV1,
        fps=Fraction(100),
        pts=_VARIABLE,
    ),
    ConformanceVideo(name="mpeg4.avi", codec="mpeg4", options=_PLAIN),
    ConformanceVideo(name="mpeg4.mp4", codec="mpeg4", options=_PLAIN),
    ConformanceVideo(name="mpeg2.ts", codec="mpeg2video", options=_PLAIN),
    ConformanceVideo(name="mpeg2.mpg", codec="mpeg2video", options=_PLAIN),
    ConformanceVideo(name="mpeg1.mpg", codec="mpeg1video", options=_PLAIN),
    ConformanceVideo(name="mjpeg.avi", codec="mjpeg", options={"qscale": "2"}, pix_fmt="yuvj420p"),
    ConformanceVideo(name="mjpeg.mov", codec="mjpeg", options={"qscale": "2"}, pix_fmt="yuvj420p"),
    ConformanceVideo(name="ffv1.mkv", codec="ffv1", pix_fmt="yuv444p"),
    ConformanceVideo(name="prores.mov", codec="prores_ks", pix_fmt="yuv422p10le"),
    ConformanceVideo(name="gif.gif", codec="gif", pix_fmt="rgb8"),
)

CONFORMANCE_VIDEOS = _samples()
