"""PyTorchVideo's access to the motion sensors of Ego4D."""

from __future__ import annotations

from abc import ABC, abstractmethod
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vitascope.data.modalities.imu import read_imu
from vitascope.errors import DatasetError, DatasetNotFoundError

__all__ = ["Ego4dImuData", "Ego4dImuDataBase"]

Floats = npt.NDArray[np.float64]
_SENSORS = ("accl_x", "accl_y", "accl_z", "gyro_x", "gyro_y", "gyro_z")
_CLOCK = "canonical_timestamp_ms"


class Ego4dImuDataBase(ABC):
    """Readings of motion sensors by video.

    Args:
        basepath: where they are.
    """

    def __init__(self, basepath: str | Path) -> None:
        self.basepath = basepath

    @abstractmethod
    def has_imu(self, video_uid: str) -> bool:
        """Whether there are readings of a video."""

    @abstractmethod
    def get_imu_sample(
        self, video_uid: str, video_start: float, video_end: float
    ) -> dict[str, Any]:
        """The readings in [video_start, video_end), seconds from the first frame."""


class Ego4dImuData(Ego4dImuDataBase):
    """Readings in tables `VIDEO_UID.csv` of one folder.

    Args:
        imu_path: the folder.

    Raises:
        DatasetNotFoundError: there is no such folder.
    """

    def __init__(self, imu_path: str | Path) -> None:
        super().__init__(imu_path)
        folder = Path(imu_path)
        if not imu_path or not folder.is_dir():
            raise DatasetNotFoundError(f"imu_path = {imu_path!r}: no such folder")
        self.path_imu = imu_path
        self.IMU_by_video_uid = {file.stem: file.stem for file in sorted(folder.glob("*.csv"))}
        # Clips of a video come one after the other, so its table is read once.
        self._last: tuple[str, tuple[Floats, Floats, int]] | None = None

    def has_imu(self, video_uid: str) -> bool:
        """Whether there is a table of a video."""
        return video_uid in self.IMU_by_video_uid

    def get_imu(self, video_uid: str) -> tuple[Floats, Floats, int]:
        """All readings of a video.

        Returns:
            N x 6 values (acceleration and rotation by axis), each column with mean 0 and standard
            deviation 1, or all 0 where it never changes; N times in milliseconds from the first
            frame; readings a second on average, rounded.

        Raises:
            DatasetNotFoundError: there is no table of it.
            DatasetError: a table that cannot be read, whose clock does not go on, or of one row.
        """
        file = Path(self.path_imu) / f"{video_uid}.csv"
        track = read_imu(
            file, _SENSORS, time=_CLOCK, unit=Fraction(1, 1000), origin=Fraction(0),
            blanks="between",
        )  # fmt: skip
        if len(track.times) < 2:
            raise DatasetError(f"{file}: one reading; a rate needs two")
        spread = track.values.std(0)
        values = (track.values - track.values.mean(0)) / np.where(spread > 0, spread, 1)
        seconds = float(track.times[-1] - track.times[0])
        return values, _milliseconds(track.times), round((len(track.times) - 1) / seconds)

    def get_imu_sample(
        self, video_uid: str, video_start: float, video_end: float
    ) -> dict[str, Any]:
        """The readings in [video_start, video_end), seconds from the first frame.

        Returns:
            `signal` N x 6, `timestamp` N and `sampling_rate`; see `get_imu`.

        Raises:
            DatasetError: see `get_imu`.
        """
        if self._last is None or self._last[0] != video_uid:
            self._last = video_uid, self.get_imu(video_uid)
        values, times, rate = self._last[1]
        limits = _milliseconds(np.array([video_start, video_end], float))
        first, end = np.searchsorted(times, limits)
        return {
            "timestamp": times[first:end], "signal": values[first:end], "sampling_rate": rate
        }  # fmt: skip


def _milliseconds(seconds: Floats) -> Floats:
    # Rounded, so that a reading at 2.3 s is the same instant as the end of a clip at 2.3 s.
    return np.round(seconds * 1000, 6)
