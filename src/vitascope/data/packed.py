"""Records in a few tensors, so that a million of them cost bytes and not objects.

Every Python object that a worker process touches is copied into that process, because touching
writes its reference count: lists of paths make memory grow until the job dies. Tensors are shared
by forked workers as they are, and by spawned ones through shared memory.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from typing import overload

import torch

from vitascope.data.records import VideoRecord


class Strings(Sequence[str]):
    """Texts in two tensors: their bytes, and where each one ends."""

    def __init__(self, texts: Iterable[str]) -> None:
        joined, ends = bytearray(), array("q", [0])
        for text in texts:
            # Surrogates keep file names that are not valid UTF-8.
            joined += text.encode("utf-8", "surrogateescape")
            ends.append(len(joined))
        self._ends = torch.frombuffer(ends, dtype=torch.int64)
        self._bytes = torch.frombuffer(joined or bytearray(1), dtype=torch.uint8)

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
        labels = array("i")

        def columns() -> Iterator[str]:
            for record in records:
                labels.append(-1 if record.label is None else record.label)
                times = ""
                if record.start is not None or record.end is not None:
                    times = f"{_pack(record.start)} {_pack(record.end)}"
                yield record.path
                yield record.where
                yield times

        # One pass, so that a generator of records never has to be kept as objects.
        self._texts = Strings(columns())
        self._labels = torch.frombuffer(labels or array("i", [0]), dtype=torch.int32)

    def __len__(self) -> int:
        return len(self._texts) // 3

    @overload
    def __getitem__(self, index: int) -> VideoRecord: ...

    @overload
    def __getitem__(self, index: slice) -> list[VideoRecord]: ...

    def __getitem__(self, index: int | slice) -> VideoRecord | list[VideoRecord]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(f"record {index} of {len(self)}")
        index %= len(self)
        label = int(self._labels[index])
        path, where, times = self._texts[3 * index : 3 * index + 3]
        start, end = map(_unpack, times.split()) if times else (None, None)
        return VideoRecord(path, None if label < 0 else label, None, start, end, where)

    def __iter__(self) -> Iterator[VideoRecord]:
        return (self[i] for i in range(len(self)))


def _pack(time: Fraction | None) -> str:
    return "-" if time is None else str(time)


def _unpack(text: str) -> Fraction | None:
    return None if text == "-" else Fraction(text)
