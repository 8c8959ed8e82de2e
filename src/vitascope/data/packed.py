"""Records in a few tensors, so that a million of them cost bytes and not objects.

Every Python object that a worker process touches is copied into that process, because touching
writes its reference count: lists of paths make memory grow until the job dies. Tensors are shared
by forked workers as they are, and by spawned ones through shared memory.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from typing import overload

import torch

from vitascope.data.records import VideoRecord


class Strings(Sequence[str]):
    """Texts in two tensors: their bytes, and where each one ends."""

    def __init__(self, texts: Iterable[str]) -> None:
        # Surrogates keep file names that are not valid UTF-8.
        raw = [text.encode("utf-8", "surrogateescape") for text in texts]
        self._ends = torch.tensor([0, *itertools.accumulate(map(len, raw))], dtype=torch.int64)
        joined = bytearray(b"".join(raw))
        self._bytes = torch.frombuffer(joined, dtype=torch.uint8) if joined else torch.empty(
            0, dtype=torch.uint8
        )  # fmt: skip

    def __len__(self) -> int:
        return len(self._ends) - 1

    @overload
    def __getitem__(self, index: int) -> str: ...

    @overload
    def __getitem__(self, index: slice) -> list[str]: ...

    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(f"text {index} of {len(self)}")
        index %= len(self)
        begin, end = self._ends[index : index + 2].tolist()
        return bytes(self._bytes[begin:end].numpy()).decode("utf-8", "surrogateescape")


class PackedRecords(Sequence[VideoRecord]):
    """Records without their split and group, in shared memory where workers need it."""

    def __init__(self, records: Iterable[VideoRecord]) -> None:
        first, second, third, fourth = itertools.tee(records, 4)
        self._paths = Strings(r.path for r in first)
        self._where = Strings(r.where for r in second)
        self._labels = torch.tensor(
            [-1 if r.label is None else r.label for r in third], dtype=torch.int32
        )
        times = [(r.start, r.end) for r in fourth]
        trimmed = any(time is not None for pair in times for time in pair)
        self._times = Strings(map(_pack_times, times)) if trimmed else None

    def __len__(self) -> int:
        return len(self._paths)

    @overload
    def __getitem__(self, index: int) -> VideoRecord: ...

    @overload
    def __getitem__(self, index: slice) -> list[VideoRecord]: ...

    def __getitem__(self, index: int | slice) -> VideoRecord | list[VideoRecord]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        label = int(self._labels[index])
        start, end = (None, None) if self._times is None else _unpack_times(self._times[index])
        return VideoRecord(
            self._paths[index], None if label < 0 else label, None, start, end, self._where[index]
        )

    def __iter__(self) -> Iterator[VideoRecord]:
        return (self[i] for i in range(len(self)))


def _pack_times(times: tuple[Fraction | None, Fraction | None]) -> str:
    return " ".join("-" if time is None else str(time) for time in times)


def _unpack_times(text: str) -> tuple[Fraction | None, Fraction | None]:
    start, end = (None if part == "-" else Fraction(part) for part in text.split())
    return start, end
