"""Frames of a video by number."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from vitascope.compat.decord.base import (
    DecordArgumentError,
    DECORDError,
    DECORDLimitReachedError,
    as_decord,
)
from vitascope.compat.decord.bridge import bridge_out
from vitascope.compat.decord.ndarray import CPU, DECORDContext, NDArray
from vitascope.data.decoder import Size, open_video
from vitascope.data.decoders.base import OnTimeline
from vitascope.data.scale import Scale
from vitascope.errors import DecodeError

Uri = str | os.PathLike[str] | bytes | IO[bytes]


def check_context(ctx: object, what: str) -> None:
    """Refuses what is no device, and devices on which nothing is decoded.

    Raises:
        DecordArgumentError: no device.
        DECORDError: a GPU.
    """
    if not isinstance(ctx, DECORDContext):
        raise DecordArgumentError(f"ctx = {ctx!r}; it is decord.cpu() or decord.gpu()")
    if ctx != CPU and ctx.device_type != CPU.device_type:
        raise DECORDError(what, f"cannot be decoded on {ctx}", remedy="Use cpu(0).")


def whole_numbers(indices: Any, count: int) -> list[int]:
    """Frame numbers from 0 on, of numbers of which the negative ones count from the end.

    Args:
        indices: whole numbers in anything that NumPy takes; of others the fraction is cut off.
        count: how many there are.

    Raises:
        IndexError: a number outside.
    """
    given = np.asarray(indices).astype(np.int64).ravel()
    counted = np.where(given < 0, given + count, given)
    outside = given[(counted < 0) | (counted >= count)]
    if outside.size:
        raise IndexError(f"Out of bound indices: {outside.tolist()} of {count}")
    return [int(i) for i in counted]


def is_one(idx: Any) -> bool:
    """Whether an index is one number and not several.

    Raises:
        DecordArgumentError: one number that is not whole.
    """
    given = np.asarray(idx)
    if given.ndim == 0 and not np.issubdtype(given.dtype, np.integer):
        raise DecordArgumentError(f"index {idx!r}; it is a whole number, a slice or a list")
    return given.ndim == 0


class VideoReader:
    """Reads frames of a video by number, uint8 H W C in the order R G B, turned upright.

    Every frame is the one that is asked for, whatever the file; see `data.decoder`. There is a
    place from which `next` reads on: after the frame that was last given by `next` or an index.

    Args:
        uri: a file, an address, the content as bytes, or a file opened in binary mode, which is
            read to its end.
        ctx: `cpu(0)`.
        width: pixels of the frames; below 1 keeps that of the video.
        height: pixels of the frames; below 1 keeps that of the video.
        num_threads: decoding threads; below 1 lets the decoder choose.
        fault_tol: how many frames may be damaged, below 1 as a share of the video: instead of
            them the last whole one before is given. Negative for none, with a DECORDError (and no
            DECORDLimitReachedError) at the first one.

    Raises:
        DECORDError: there is no video, or `ctx` is a GPU.
        DecordArgumentError: `ctx` is no device.
    """

    def __init__(
        self,
        uri: Uri,
        ctx: DECORDContext = CPU,
        width: int = -1,
        height: int = -1,
        num_threads: int = 0,
        fault_tol: float = -1,
    ) -> None:
        self._video = None
        content = uri if isinstance(uri, str | os.PathLike | bytes) else uri.read()
        name = f"{len(content)} bytes" if isinstance(content, bytes) else os.fspath(content)
        check_context(ctx, name)
        with as_decord():
            self._video = open_video(content, threads=max(int(num_threads), 0))
            self._times = self._video.times  # reads them: an unusable file is refused here
            self._size: Size | None = None
            if width > 0 or height > 0:
                stored = (self._video.height, self._video.width)
                wanted = (height if height > 0 else stored[0], width if width > 0 else stored[1])
                self._size = Scale(size=wanted).of(*stored)
        self._tolerated: int | None = None
        if fault_tol >= 0:
            self._tolerated = int(fault_tol * len(self) if fault_tol < 1 else fault_tol)
        self._damaged: set[int] = set()
        self._place = 0

    def __del__(self) -> None:
        if self._video is not None:
            self._video.close()

    def __len__(self) -> int:
        return len(self._times)

    def __getitem__(self, idx: int | slice | Sequence[int]) -> Any:
        """A frame H W C; for a slice or a list frames N H W C.

        Raises:
            IndexError: a number outside the video.
            DecordArgumentError: one number that is not whole.
            DECORDError: a damaged frame.
        """
        if isinstance(idx, slice):
            return self.get_batch(range(*idx.indices(len(self))))
        if not is_one(idx):
            return self.get_batch(idx)
        (place,) = whole_numbers(idx, len(self))
        self._place = place
        return self.next()

    def next(self) -> Any:
        """The frame at the present place, H W C.

        Raises:
            StopIteration: the video is at its end.
            DECORDError: a damaged frame.
        """
        if self._place >= len(self):
            raise StopIteration
        frame = self._read([self._place])[0]
        self._place += 1
        return bridge_out(NDArray(frame))

    def get_batch(self, indices: Any) -> Any:
        """Frames N H W C in the order asked for; a number may come twice.

        Raises:
            IndexError: a number outside the video.
            DECORDError: a damaged frame.
        """
        return bridge_out(NDArray(self._read(whole_numbers(indices, len(self)))))

    def get_frame_timestamp(self, idx: int | slice | Sequence[int]) -> npt.NDArray[np.float32]:
        """Seconds from the first frame at which frames begin and end.

        Returns:
            float32, shape (2,) for one number and (N, 2) for several.

        Raises:
            IndexError: a number outside the video.
        """
        if isinstance(idx, slice):
            idx = range(*idx.indices(len(self)))
        durations = self._open.durations
        found = [
            (float(self._times[i]), float(self._times[i] + durations[i]))
            for i in whole_numbers(idx, len(self))
        ]
        stamps = np.array(found, np.float32).reshape(len(found), 2)
        return stamps.reshape(2) if is_one(idx) else stamps

    def get_key_indices(self) -> list[int]:
        """Numbers of the key frames."""
        video = self._open
        if not isinstance(video, OnTimeline):
            return list(range(len(self)))  # images, each one whole
        line = video.timeline
        return [int(i) for i in np.flatnonzero(np.isin(line.pts, line.key_pts))]

    def get_avg_fps(self) -> float:
        """Frames a second: their number by the duration of the video."""
        return float(self._open.fps)

    def seek(self, pos: int) -> None:
        """Goes to the key frame at or before `pos`.

        Raises:
            DecordArgumentError: a number outside the video (an AssertionError).
        """
        self.seek_accurate(pos)
        self._place = max((key for key in self.get_key_indices() if key <= pos), default=0)

    def seek_accurate(self, pos: int) -> None:
        """Goes to the frame `pos`.

        Raises:
            DecordArgumentError: a number outside the video (an AssertionError).
        """
        if not 0 <= pos < len(self):
            raise DecordArgumentError(f"frame {pos} of a video of {len(self)} frames")
        self._place = int(pos)

    def skip_frames(self, num: int = 1) -> None:
        """Passes over frames.

        Raises:
            DecordArgumentError: less than one (an AssertionError).
        """
        if num < 1:
            raise DecordArgumentError(f"num = {num} frames to skip; it must be at least 1")
        self._place += int(num)

    @property
    def _open(self) -> Any:
        assert self._video is not None
        return self._video

    def _read(self, indices: list[int]) -> npt.NDArray[np.uint8]:
        with as_decord():
            if self._tolerated is None or not indices:
                return self._frames(indices)
            whole = {index: self._whole(index) for index in sorted(set(indices))}
            return np.stack([whole[index] for index in indices])

    def _frames(self, indices: list[int]) -> npt.NDArray[np.uint8]:
        frames: npt.NDArray[np.uint8] = self._open.read(indices, self._size).data.numpy()
        return frames

    def _whole(self, index: int) -> npt.NDArray[np.uint8]:
        """The frame, or else the last whole one before it, or else the first after it.

        Raises:
            DECORDLimitReachedError: more frames are damaged than was allowed.
        """
        assert self._tolerated is not None
        for candidate in (*range(index, -1, -1), *range(index + 1, len(self))):
            if candidate in self._damaged:
                continue
            try:
                (frame,) = self._frames([candidate])
                return np.asarray(frame)
            except DecodeError as error:
                self._damaged.add(candidate)
                if len(self._damaged) > self._tolerated:
                    raise DECORDLimitReachedError(
                        self._open.path,
                        f"more than {self._tolerated} frames of {len(self)} are damaged",
                        error.time,
                    ) from error
        raise DECORDError(self._open.path, "no frame of the video is whole")
