"""PyTorchVideo's clips and labels of Ego4D moments."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vitascope.compat.ptv.data.clip_sampling import ClipInfo, ClipSampler
from vitascope.compat.ptv.data.ego4d.imu import Ego4dImuDataBase
from vitascope.compat.ptv.data.utils import get_logger as get_logger
from vitascope.compat.ptv.data.utils import read_document
from vitascope.compat.ptv.errors import RefusedArgumentError, UnreadableDocumentError
from vitascope.data.clips import Clip, Seconds, exact_seconds
from vitascope.data.sets.ego4d_moments import window
from vitascope.errors import ConfigError, DatasetError

__all__ = ["Ego4dImuDataBase", "MomentsClipSampler", "check_window_len", "get_label_id_map"]

_SLACK = exact_seconds(0.1)  # seconds by which a label may reach beyond its video


def check_window_len(
    s_time: float, e_time: float, w_len: float, video_dur: float | None
) -> tuple[float, float]:
    """A window of `w_len` seconds around an interval, moved into the video.

    Raises:
        RefusedArgumentError: the video is shorter than the window.
    """
    interval = Clip(exact_seconds(s_time), exact_seconds(e_time))
    length = None if video_dur is None else exact_seconds(video_dur)
    try:
        found = window(interval, exact_seconds(w_len), length)
    except ConfigError as error:
        raise RefusedArgumentError(str(error)) from None
    return float(found.start), float(found.end)


class MomentsClipSampler(ClipSampler):
    """One clip of a fixed length around each label, moved into the video.

    Args:
        window_sec: seconds of the clip; 0 takes the labeled interval as it is.
    """

    samples_per_video = 1

    def __init__(self, window_sec: float = 0) -> None:
        if window_sec < 0:
            raise ConfigError(f"window_sec = {window_sec}; it must be at least 0")
        self.window_sec = window_sec
        self.reset()

    def __call__(  # type: ignore[override]  # the annotation is needed, as in PyTorchVideo
        self,
        last_clip_end_time: Seconds | None,
        video_duration: Seconds,
        annotation: dict[str, Any],
    ) -> ClipInfo:
        """The clip; its start and end are noted in `annotation` as `clip_start`, `clip_end`.

        Args:
            last_clip_end_time: without effect; there is one clip.
            video_duration: seconds of the video.
            annotation: has `label_video_start_sec` and `label_video_end_sec`.

        Raises:
            DatasetError: the label reaches 0.1 s or more beyond the video, or the video is
                shorter than the clip.
        """
        start = exact_seconds(annotation["label_video_start_sec"])
        end = exact_seconds(annotation["label_video_end_sec"])
        duration, name = exact_seconds(video_duration), annotation.get("video_uid", "the video")
        if not 0 <= start < end or end > duration + _SLACK:
            raise DatasetError(
                f"{name}: a label from {float(start):g} s to {float(end):g} s in a video of "
                f"{float(duration):g} s"
            )
        clip = Clip(start, min(end, duration)) if start < duration else Clip(start, end)
        if self.window_sec:
            try:
                clip = window(clip, exact_seconds(self.window_sec), duration)
            except ConfigError as error:
                raise DatasetError(f"{name}: {error}") from None
        annotation["clip_start"], annotation["clip_end"] = float(clip.start), float(clip.end)
        return ClipInfo(clip.start, clip.end, 0, 0, True)


def get_label_id_map(label_id_map_path: str | Path) -> dict[str, int]:
    """The numbers of labels, a JSON object.

    Raises:
        DatasetNotFoundError: there is no such file.
        UnreadableDocumentError: it is no JSON object of whole numbers.
    """
    found = read_document(label_id_map_path)
    for label, number in found.items():
        if type(number) is not int or number < 0:
            raise UnreadableDocumentError(
                f"{label_id_map_path}: {label!r} has {number!r}; expected a number"
            )
    return found
