"""Pixels from OpenCV's VideoCapture, at the frame numbers and times of this package."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vitascope.data.decoder import Image, Size
from vitascope.data.decoders.pyav import PyAVDecoder
from vitascope.data.decoders.timed import TimedDecoder, learn
from vitascope.data.decoders.timeline import Timeline
from vitascope.errors import DecodeError
from vitascope.optional import require

_SAME_PICTURE = 12.0  # mean difference, 0 to 255, that other colors and rounding may make
_MOVED = 8  # largest difference, 0 to 255, that coding and rounding do not make in a still scene
_PROBED = 8  # images at the start of a video among which one that differs is looked for
_SAME_TIME = 1e-3  # seconds; OpenCV tells times in milliseconds


def open_opencv(
    path: str | Path,
    *,
    size: Size | None = None,
    threads: int = 1,
    time_limit: float | None = None,
    timeline: Timeline | None = None,
) -> TimedDecoder:
    """Opens a video file with OpenCV.

    OpenCV cannot seek to a frame exactly, so it always reads on from the start of the file: slow
    on long videos, and meant for comparison. `time_limit` is not enforced.

    Where its FFmpeg fails to convert an image, OpenCV gives what was in memory before, without
    a word (OpenCV 5.0 does so for interlaced video). The first image, and each that is the same
    as the one before, is therefore held against the default decoder. What was in memory may be an
    image of this very video, so the first ones must also change where the video does.

    Raises:
        DecodeError: no video, or one that OpenCV does not open.
        MissingExtraError: OpenCV is not installed.
    """
    cv2 = require("cv2", extra="opencv")
    timeline, _, aspect = learn(str(path), timeline, "OpenCV")
    pixels = _OpenCV(cv2, str(path), threads, timeline)
    turned = pixels.turned
    return TimedDecoder(
        str(path), timeline, pixels, size=size, pixel_aspect=1 / aspect if turned else aspect
    )


class _OpenCV:
    def __init__(self, cv2: Any, path: str, threads: int, timeline: Timeline) -> None:
        self._cv2, self._path, self._timeline = cv2, path, timeline
        self._settings = [cv2.CAP_PROP_N_THREADS, threads]
        self._given: tuple[int, Image] | None = None
        self._judge: PyAVDecoder | None = None
        self._follows = False
        self._capture: Any = None
        self._next = 0
        capture = self._restart()
        self.turned = int(capture.get(cv2.CAP_PROP_ORIENTATION_META)) % 180 != 0
        height = int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT))
        width = int(capture.get(cv2.CAP_PROP_FRAME_WIDTH))
        self.size: Size = (height, width)

    def _restart(self) -> Any:
        self.close()
        cv2 = self._cv2
        try:
            capture = cv2.VideoCapture(os.path.abspath(self._path), cv2.CAP_FFMPEG, self._settings)
        except cv2.error as error:
            raise DecodeError(self._path, f"OpenCV fails ({error.err})") from error
        if not capture.isOpened():
            raise DecodeError(
                self._path, "OpenCV does not open this file", remedy="Use the decoder pyav."
            )
        self._capture, self._next = capture, 0
        return capture

    def _require_following(self) -> None:
        """Refuses a file whose images stay the same where the video changes, once."""
        self._restart()
        size = self.size
        given: list[Any] = []
        while len(given) < min(_PROBED, len(self._timeline.times)):
            found, image = self._capture.read()
            self._next += 1
            if not found or image is None:
                break
            given.append(image)
            if not np.array_equal(image, given[0]):
                break
        same = len(given) > 1 and all(np.array_equal(image, given[0]) for image in given)
        if same and size == given[0].shape[:2]:
            with PyAVDecoder(self._path, timeline=self._timeline) as judge:
                first, *others = judge.read(range(len(given)), size).data.numpy().astype(np.int16)
            for index, other in enumerate(others, 1):
                if np.abs(other - first).max() > _MOVED:
                    raise self._no_image(index)
        self._follows = True

    def frames(self, indices: Sequence[int]) -> Iterator[Image]:
        if not self._follows:
            self._require_following()
        for index in indices:
            if index < self._next or self._capture is None:
                self._restart()
            while self._next < index and self._capture.grab():
                self._next += 1
            found, image = self._capture.read() if self._next == index else (False, None)
            if not found or image is None:
                raise DecodeError(
                    self._path,
                    f"frame {index} is damaged or missing",
                    time=self._timeline.time(index),
                )
            self._next += 1
            shown = self._capture.get(self._cv2.CAP_PROP_POS_MSEC)
            expected = self._timeline.time(index)
            if abs(shown / 1000 - float(expected)) > _SAME_TIME:
                raise DecodeError(
                    self._path,
                    f"OpenCV gave the frame of {shown / 1000:.6f} s for frame {index}",
                    time=expected,
                    remedy="Use the decoder pyav.",
                )
            rgb: Image = np.ascontiguousarray(image[:, :, ::-1])
            if self._given is None or np.array_equal(self._given[1], rgb):
                self._compare(index, rgb)
            self._given = index, rgb
            yield rgb

    def _compare(self, index: int, image: Image) -> None:
        """Refuses an image that is not the one of this number."""
        if self._judge is None:
            self._judge = PyAVDecoder(self._path, timeline=self._timeline)
            if (self._judge.height, self._judge.width) != image.shape[:2]:
                raise DecodeError(
                    self._path, "OpenCV reads another stream", remedy="Use the decoder pyav."
                )
        wanted = [index] if self._given is None else [self._given[0], index]
        *before, expected = self._judge.read(wanted, (image.shape[0], image.shape[1])).data.numpy()
        moved = any(not np.array_equal(expected, other) for other in before)
        empty = image.min() == image.max() and expected.min() < expected.max()
        off = np.abs(expected.astype(np.int16) - image).mean()
        if moved or empty or off > _SAME_PICTURE:
            raise self._no_image(index)

    def _no_image(self, index: int) -> DecodeError:
        return DecodeError(
            self._path,
            f"OpenCV gives no image for frame {index}, only what was in memory before",
            time=self._timeline.time(index),
            remedy="Use the decoder pyav.",
        )

    def close(self) -> None:
        self._given = None
        if self._judge is not None:
            self._judge.close()
            self._judge = None
        if self._capture is not None:
            self._capture.release()
            self._capture = None
