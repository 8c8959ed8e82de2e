"""Reading Caffe2's pickles without running anything.

A pickle is a program: it may name any function of any module and call it. This reader knows a
handful of names, and what it calls for them is written here: arrays of numbers are collected as
plain records and built from their bytes afterwards. Every other name ends the reading.
"""

from __future__ import annotations

import pickle
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from vitascope.errors import WeightsError


class _Type:
    """A type of numbers, by its code ("f4") and byte order."""

    def __init__(self, code: Any, *_: Any) -> None:
        self.code, self.order = str(code), "="

    def __setstate__(self, state: Any) -> None:
        order = state[1]
        self.order = order if order in ("<", ">") else "="

    def numbers(self) -> np.dtype[Any]:
        if self.code[:1] not in "fiub" or not self.code[1:].isdigit():
            raise pickle.UnpicklingError(f"an array of {self.code!r}, which are no numbers")
        return np.dtype(self.order + self.code)


class _Array:
    """An array of numbers, as its shape, type and bytes."""

    state: Any = None

    def __init__(self, *_: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def build(self) -> np.ndarray[Any, Any]:
        if self.state is None:
            raise pickle.UnpicklingError("an array without content")
        *_, shape, kind, fortran, content = self.state
        raw = content.encode("latin1") if isinstance(content, str) else content
        if not isinstance(kind, _Type) or not isinstance(raw, bytes | bytearray):
            raise pickle.UnpicklingError("an array that is not made of numbers")
        values = np.frombuffer(bytes(raw), kind.numbers())
        return values.reshape(shape, order="F" if fortran else "C")


class _Scalar:
    """A single number with a type."""

    def __init__(self, kind: Any, content: Any) -> None:
        self.kind, self.content = kind, content

    def build(self) -> np.ndarray[Any, Any]:
        array = _Array()
        array.state = (1, (), self.kind, False, self.content)
        return array.build()


def _no_bytes() -> bytes:
    """How old protocols write an empty string of bytes; nothing longer is made this way."""
    return b""


def _from_buffer(content: Any, kind: Any, shape: Any, order: Any) -> _Array:
    array = _Array()
    array.state = (1, shape, kind, order == "F", content)
    return array


def _encode(text: Any, encoding: Any = "latin1") -> bytes:
    if not isinstance(text, str) or encoding != "latin1":
        raise pickle.UnpicklingError("bytes in an unknown encoding")
    return text.encode("latin1")


_MULTIARRAY = ("numpy.core.multiarray", "numpy._core.multiarray")
_KNOWN: dict[tuple[str, str], Callable[..., Any]] = {
    **{(module, "_reconstruct"): _Array for module in _MULTIARRAY},
    **{(module, "scalar"): _Scalar for module in _MULTIARRAY},
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Type,
    ("collections", "OrderedDict"): OrderedDict,
    ("_codecs", "encode"): _encode,
    ("__builtin__", "bytes"): _no_bytes,
    ("builtins", "bytes"): _no_bytes,
    ("numpy.core.numeric", "_frombuffer"): _from_buffer,
    ("numpy._core.numeric", "_frombuffer"): _from_buffer,
}


class _Refused(Exception):
    """The pickle asks for something that is neither an array nor a container."""


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return _KNOWN[module, name]
        except KeyError:
            raise _Refused(f"{module}.{name}") from None

    def persistent_load(self, pid: Any) -> Any:
        raise _Refused("an object outside of the file")


def read_pickle(stream: BinaryIO, path: Path) -> Any:
    """What a pickle of arrays and containers holds.

    Args:
        stream: the file, opened in binary mode.
        path: its name for messages.

    Raises:
        WeightsError: it asks for anything else, is cut, or is no pickle.
    """
    try:
        # Python 2 wrote strings of bytes; latin1 keeps each byte.
        return _built(_Reader(stream, encoding="latin1").load())
    except _Refused as error:
        raise WeightsError(
            f"{path} is a pickle that asks for {error}, which is neither an array nor a "
            f"container; it was not read any further, and nothing was run. Do not trust this file"
        ) from None
    except (
        pickle.UnpicklingError, EOFError, ValueError, TypeError, KeyError, IndexError,
        AttributeError, OverflowError, MemoryError,
    ) as error:  # fmt: skip
        raise WeightsError(
            f"{path} is cut, or no pickle of arrays ({type(error).__name__}: {error}). Fetch it "
            f"again"
        ) from error


def _built(value: Any) -> Any:
    if isinstance(value, _Array | _Scalar):
        return value.build()
    if isinstance(value, dict):
        return {key: _built(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_built(part) for part in value]
    return value
