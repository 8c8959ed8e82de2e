"""Proof that a decoder gives the frames that were planned, over codecs, containers and timings.

Videos are drawn whose every frame says its number. For each decoder the times, the frames read in
order, in any order and as a stream, and the frames of planned clips are compared with what was
drawn; nothing that is compared with comes from a decoder.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal

import numpy as np

from vitascope.data import clips
from vitascope.data.check.conformance_videos import (
    CONFORMANCE_VIDEOS,
    FRAMES,
    ConformanceVideo,
    render_videos,
)
from vitascope.data.clips import Clip
from vitascope.data.decoder import BACKENDS, Decoder, DecoderType, backend, open_video
from vitascope.data.frames import select
from vitascope.data.render import numbered_frame, read_number
from vitascope.errors import ConfigError, DecodeError, MissingExtraError
from vitascope.spec import ClipSpec

Status = Literal["pass", "fail", "refused", "absent"]

# Mean difference of a decoded image from the one that was drawn, on a scale of 0 to 255: what
# compression at these settings and 4:2:0 chroma take away.
TOLERANCE = 12.0


@dataclass(frozen=True)
class Verdict:
    """What one decoder did with one video.

    Attributes:
        video: name of the video.
        decoder: name of the decoder.
        status: "pass"; "fail": another frame or time than planned came out; "refused": the
            decoder says that it cannot read this video (no wrong frame, but no frame either);
            "absent": the video cannot be made here, because there is no such encoder.
        reason: what went wrong; empty for "pass".
        difference: mean difference from the drawn images, 0 to 255; None if nothing came out.
    """

    video: str
    decoder: str
    status: Status
    reason: str = ""
    difference: float | None = None


@dataclass(frozen=True)
class Matrix:
    """Verdicts of all decoders on all videos.

    Attributes:
        verdicts: one for each decoder and video.
        missing: decoders that are not installed, with the reason.
    """

    verdicts: tuple[Verdict, ...]
    missing: tuple[tuple[str, str], ...] = ()

    def passed(self, decoder: str) -> bool:
        """Whether a decoder gave no wrong frame or time, and at least one video was read."""
        own = [v.status for v in self.verdicts if v.decoder == decoder]
        return "fail" not in own and "pass" in own

    def counts(self, decoder: str) -> dict[str, int]:
        """Number of videos by status."""
        own = [v.status for v in self.verdicts if v.decoder == decoder]
        return {status: own.count(status) for status in ("pass", "fail", "refused", "absent")}


def run_conformance(
    decoders: Iterable[str] | None = None,
    samples: Sequence[ConformanceVideo] = CONFORMANCE_VIDEOS,
    *,
    folder: str | Path | None = None,
    progress: Callable[[int, int, Verdict], None] | None = None,
) -> Matrix:
    """Runs every video through every decoder.

    Args:
        decoders: names; None takes all that are installed.
        samples: which videos.
        folder: where to keep the videos (made if absent); None uses a temporary folder.
        progress: called after each verdict with done, in all, and the verdict.

    Raises:
        UnknownNameError: a decoder that does not exist.
        MissingExtraError: a decoder that was named is not installed.
        ConfigError: the decoder of folders of frames was named; it reads no videos.
    """
    names, missing = _installed(decoders)
    if folder is None:
        with tempfile.TemporaryDirectory(prefix="vitascope-") as temporary:
            return Matrix(_run(names, samples, Path(temporary), progress), missing)
    Path(folder).mkdir(parents=True, exist_ok=True)
    return Matrix(_run(names, samples, Path(folder), progress), missing)


def _installed(decoders: Iterable[str] | None) -> tuple[list[str], tuple[tuple[str, str], ...]]:
    names, missing = [], []
    for name in BACKENDS if decoders is None else decoders:
        if name == DecoderType.IMAGES:
            if decoders is not None:
                raise ConfigError("the decoder images reads folders of frames, not videos")
            continue
        opener = backend(name)
        try:
            with tempfile.NamedTemporaryFile(suffix=".mp4") as nothing:
                opener(nothing.name)
        except MissingExtraError as error:
            if decoders is not None:
                raise
            missing.append((name, str(error)))
            continue
        except DecodeError:
            pass  # an empty file is no video, but the decoder is there
        names.append(name)
    return names, tuple(missing)


def _run(
    decoders: Sequence[str],
    samples: Sequence[ConformanceVideo],
    folder: Path,
    progress: Callable[[int, int, Verdict], None] | None,
) -> tuple[Verdict, ...]:
    verdicts: list[Verdict] = []
    for sample in samples:
        try:
            path: Path | None = render_videos(sample, folder)
            reason = ""
        except ConfigError as error:
            path, reason = None, str(error)
        for decoder in decoders:
            if path is None:
                verdict = Verdict(sample.name, decoder, "absent", reason)
            else:
                verdict = judge(sample, path, decoder)
            verdicts.append(verdict)
            if progress is not None:
                progress(len(verdicts), len(samples) * len(decoders), verdict)
    return tuple(verdicts)


def judge(sample: ConformanceVideo, path: Path, decoder: str) -> Verdict:
    """Runs one video through one decoder."""
    difference = None
    try:
        with open_video(path, decoder) as video:
            difference = _difference(video)
            for check in (_times, _in_order, _any_order, _stream, _clips):
                wrong = check(sample, video)
                if wrong:
                    return Verdict(sample.name, decoder, "fail", wrong, difference)
    except DecodeError as error:
        reason = error.reason
        return Verdict(sample.name, decoder, "refused", reason, difference)
    if difference > TOLERANCE:
        wrong = f"images differ by {difference:.1f} on average"
        return Verdict(sample.name, decoder, "fail", wrong, difference)
    return Verdict(sample.name, decoder, "pass", "", difference)


def _difference(video: Decoder) -> float:
    wanted = [0, FRAMES // 2]
    found = video.read(wanted).data.numpy().astype(np.int16)
    drawn = np.stack([numbered_frame(n, found.shape[1:3]) for n in wanted])
    return float(np.abs(found - drawn).mean())


def _times(sample: ConformanceVideo, video: Decoder) -> str:
    expected = sample.times
    if len(video.times) != len(expected):
        return f"{len(video.times)} frames instead of {len(expected)}"
    off = max(abs(a - b) for a, b in zip(video.times, expected, strict=True))
    if off > sample.rounding:
        return f"times are off by up to {float(off):.6f} s"
    gaps = [b - a for a, b in zip(video.times, video.times[1:], strict=False)]
    if list(video.durations[:-1]) != gaps or video.durations[-1] <= 0:
        return "frames are not shown until the next one"
    if video.duration != video.times[-1] + video.durations[-1]:
        return "the duration is not the end of the last frame"
    return ""


def _compare(what: str, video: Decoder, wanted: Sequence[int]) -> str:
    images = video.read(wanted).data.numpy()
    found = [read_number(image) for image in images]
    for place, (number, other) in enumerate(zip(wanted, found, strict=True)):
        if number != other:
            return f"{what}: frame {other} came instead of {number} (place {place})"
    return ""


def _in_order(sample: ConformanceVideo, video: Decoder) -> str:
    return _compare("in order", video, range(len(sample.times)))


def _any_order(sample: ConformanceVideo, video: Decoder) -> str:
    rng = np.random.default_rng((0, 1, len(sample.times)))
    for _ in range(8):
        wanted = rng.integers(0, len(sample.times), int(rng.integers(1, 5))).tolist()
        wrong = _compare("in any order", video, wanted)
        if wrong:
            return wrong
    return ""


def _stream(sample: ConformanceVideo, video: Decoder) -> str:
    first, stop = FRAMES // 3, 2 * FRAMES // 3
    got = [
        (time, read_number(image))
        for time, image in video.stream(video.times[first], video.times[stop])
    ]
    expected = [(video.times[n], n) for n in range(first, stop)]
    return "" if got == expected else f"as a stream: {[n for _, n in got]} came"


def _clips(sample: ConformanceVideo, video: Decoder) -> str:
    """Plans clips on the decoder's times and finds their frames again on the drawn times."""
    whole = Clip(Fraction(0), video.duration)
    length = video.duration / 4
    rng = np.random.default_rng((0, 2, len(sample.times)))
    planned = [
        *clips.uniform(whole, length, length * 2),
        *clips.evenly_spaced(whole, length, 2),
        clips.random(whole, length, rng),
        clips.around(video.times[FRAMES // 2], length, whole),
        *clips.segments(whole, 2),
    ]
    spec = ClipSpec(num_frames=5, coverage="video")
    for clip in planned:
        wanted = select(video.times, clip, spec, within=whole).indices
        naive = []
        for k in range(5):
            instant = clip.start + clip.length * (2 * k + 1) / 10
            naive.append(sum(time <= instant for time in sample.times) - 1)
        # Where the container rounds times, a sample may fall on the edge between two frames.
        near = sample.rounding > 0
        if any(abs(a - b) > near for a, b in zip(wanted, naive, strict=True)):
            return f"a clip from {float(clip.start):.3f} s plans {wanted} instead of {naive}"
        wrong = _compare("in a clip", video, wanted)
        if wrong:
            return wrong
    return ""
