"""Motion sensors (IMU) with a clock of their own, brought onto the clock of a clip."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from vitascope.data.clips import Clip
from vitascope.data.modalities.audio import sample_count
from vitascope.data.tables.columns import existing, read_columns
from vitascope.errors import ConfigError, DatasetError

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ImuTrack:
    """Readings of sensors.

    Attributes:
        times: seconds from the first frame of the video, ascending; N.
        values: N x C.
        names: what the columns are.
    """

    times: Floats
    values: Floats
    names: tuple[str, ...]

    def resample(
        self, clip: Clip, rate: int, *, max_gap: float = float("inf")
    ) -> tuple[Tensor, Tensor]:
        """Values at clip.start + n / rate, on the straight line between the readings around.

        Args:
            clip: the interval; it has length x rate values, halves rounded up.
            rate: values a second.
            max_gap: seconds between two readings above which nothing is known between them.

        Returns:
            float32 C S, and bool S, False (and the value 0) before the first reading, after the
            last, and in a gap.

        Raises:
            ConfigError: a rate below 1.
        """
        if rate < 1:
            raise ConfigError(f"rate = {rate} values a second; it must be at least 1")
        count = sample_count(clip.length, rate)
        at = np.array([float(clip.start + Fraction(n, rate)) for n in range(count)])
        after = np.clip(np.searchsorted(self.times, at, "left"), 1, max(len(self.times) - 1, 1))
        inside = (at >= self.times[0]) & (at <= self.times[-1])
        if len(self.times) > 1:
            gap = self.times[after] - self.times[after - 1]
            inside &= (gap <= max_gap) | (at == self.times[after]) | (at == self.times[after - 1])
        lines = [np.interp(at, self.times, column) * inside for column in self.values.T]
        values = torch.from_numpy(np.stack(lines)).float()
        return values, torch.from_numpy(inside)


def read_imu(
    path: str | Path,
    columns: Sequence[str] | None = None,
    *,
    time: str = "time",
    unit: Fraction = Fraction(1),
    origin: Fraction | None = None,
    blanks: Literal["error", "between"] = "error",
) -> ImuTrack:
    """Reads a table with a header (CSV, TSV), or a `.npz` of arrays of one length.

    Args:
        path: the file.
        columns: names to take, in this order; None takes all but the time, in the file's order.
        time: name of the clock.
        unit: seconds of one step of the clock.
        origin: what the clock shows at the first frame of the video; None is the first reading.
        blanks: what an empty field of a table is; "between" puts it on the line between the
            readings around, and at the ends takes the nearest one.

    Raises:
        DatasetNotFoundError: there is no such file.
        DatasetError: a missing column, a value that is no number, a clock that does not go on,
            or no reading.
    """
    file = existing(path)
    if file.suffix == ".npz":
        clock, names, values = _from_arrays(file, time, columns)
    else:
        clock, names, values = _from_table(file, time, columns, blanks == "between")
    if not len(clock):
        raise DatasetError(f"{file}: no reading")
    zero = Fraction(clock[0]) if origin is None else origin
    # Exact before it becomes a float: clocks count nanoseconds since 1970.
    times = np.array([float((Fraction(tick) - zero) * unit) for tick in clock])
    back = np.flatnonzero(np.diff(times) <= 0)
    if len(back):
        raise DatasetError(
            f"{file}: reading {int(back[0]) + 2} is not later than the one before "
            f"({clock[int(back[0])]} and then {clock[int(back[0]) + 1]})"
        )
    if blanks == "between" and file.suffix != ".npz":
        _fill(times, values)
    bad = np.argwhere(~np.isfinite(values))
    if len(bad):
        row, column = map(int, bad[0])
        raise DatasetError(f"{file}: reading {row + 1} of {names[column]} is no finite number")
    return ImuTrack(times, values, names)


def _from_table(
    file: Path, time: str, columns: Sequence[str] | None, blanks: bool
) -> tuple[list[Any], tuple[str, ...], Floats]:
    if columns is None:
        with file.open(encoding="utf-8-sig") as lines:
            head = lines.readline().strip()
        mark = next((m for m in ",\t" if m in head), " ")
        columns = [name.strip() for name in head.split(mark) if name.strip() != time]
    names = tuple(columns)
    parser = _number_or_blank if blanks else _number
    rows = read_columns(file, {time: _exact, **dict.fromkeys(names, parser)})
    values = [[row[name] for name in names] for _, row in rows]
    return [row[time] for _, row in rows], names, np.array(values, float).reshape(-1, len(names))


def _from_arrays(
    file: Path, time: str, columns: Sequence[str] | None
) -> tuple[list[Any], tuple[str, ...], Floats]:
    try:
        with np.load(file, allow_pickle=False) as loaded:
            arrays = {name: loaded[name] for name in loaded.files}
    except (OSError, ValueError, EOFError) as error:
        raise DatasetError(f"{file}: cannot be read as arrays ({error})") from error
    wanted = [name for name in arrays if name != time] if columns is None else list(columns)
    absent = [name for name in (time, *wanted) if name not in arrays]
    if absent:
        raise DatasetError(f"{file}: no array {absent[0]!r}; there are {', '.join(arrays)}")
    clock, parts = arrays[time], []
    names: list[str] = []
    for name in wanted:
        array = arrays[name].astype(float)
        if array.ndim not in (1, 2) or len(array) != len(clock):
            raise DatasetError(f"{file}: {name} is {array.shape}, and the clock has {len(clock)}")
        table = array.reshape(len(array), -1)
        parts.append(table)
        names += [name] if array.ndim == 1 else [f"{name}_{i}" for i in range(table.shape[1])]
    if not parts:
        raise DatasetError(f"{file}: there is only the clock {time!r}")
    return clock.tolist(), tuple(names), np.concatenate(parts, 1)


def _fill(times: Floats, values: Floats) -> None:
    """Puts numbers in the place of blanks (not a number); a column of blanks stays one."""
    for column in values.T:
        known = ~np.isnan(column)
        if known.any() and not known.all():
            column[~known] = np.interp(times[~known], times[known], column[known])


def _exact(value: str) -> Fraction:
    try:
        return Fraction(value)
    except (ValueError, ZeroDivisionError):
        raise ValueError("a number") from None


def _number(value: str) -> float:
    try:
        return float(value)
    except ValueError:
        raise ValueError("a number") from None


def _number_or_blank(value: str) -> float:
    found = _number(value) if value else float("nan")
    if value and not np.isfinite(found):
        raise ValueError("a finite number or nothing")
    return found
