"""Reading Caffe2's pickles without running anything.

A pickle is a program: it may name any function of any module and call it. `Machine` carries it out
without calling anything. The handful of calls that make arrays of numbers are understood here, and
built from their bytes afterwards. Every other name ends the reading.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, BinaryIO

import numpy as np

from vitascope.errors import WeightsError
from vitascope.models.weights.machine import Call, Machine, Name, RefusedNameError, Stored

_MULTIARRAY = ("numpy.core.multiarray", "numpy._core.multiarray")
_NUMERIC = ("numpy.core.numeric", "numpy._core.numeric")
_ARRAY = {f"{module}._reconstruct" for module in _MULTIARRAY}
_SCALAR = {f"{module}.scalar" for module in _MULTIARRAY}
_BUFFER = {f"{module}._frombuffer" for module in _NUMERIC}
_BYTES = {"__builtin__.bytes", "builtins.bytes"}
_KNOWN = {
    *_ARRAY, *_SCALAR, *_BUFFER, *_BYTES, "numpy.ndarray", "numpy.dtype",
    "collections.OrderedDict", "_codecs.encode",
}  # fmt: skip
_CODE = re.compile(r"[fiub]\d{1,2}")

Array = np.ndarray[Any, Any]


def read_pickle(stream: BinaryIO, path: Path) -> Any:
    """What a pickle of arrays and containers holds.

    Args:
        stream: the file, opened in binary mode.
        path: its name for messages.

    Raises:
        WeightsError: it asks for anything else, is cut, is no pickle, or is made to fill the
            memory.
    """
    size = os.fstat(stream.fileno()).st_size
    try:
        return _Builder().built(Machine(stream, size, _KNOWN.__contains__).run())
    except RefusedNameError as error:
        raise WeightsError(
            f"{path} is a pickle that asks for {str(error)[:200]!r}, which is neither an array nor "
            f"a container; it was not read any further, and nothing was run. Do not trust this file"
        ) from None
    except (UnpicklingError, ValueError, TypeError, KeyError, IndexError, OverflowError) as error:
        raise WeightsError(
            f"{path} is cut, or no pickle of arrays ({type(error).__name__}: {error!s:.200}). "
            f"Fetch it again"
        ) from error


class _Builder:
    """Arrays and containers from what the machine made, each once however often it occurs."""

    def __init__(self) -> None:
        self._made: dict[int, Any] = {}

    def built(self, value: Any) -> Any:
        if id(value) not in self._made:  # the machine's value lives on, so the identity stays
            self._made[id(value)] = self._build(value)
        return self._made[id(value)]

    def _build(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {key: self.built(part) for key, part in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            return [self.built(part) for part in value]
        if isinstance(value, Name | Stored):
            raise UnpicklingError("something that is no value")
        return _called(value) if isinstance(value, Call) else value


def _called(call: Call) -> Any:
    """What the calls amount to that numpy asks for."""
    if call.entries:
        raise UnpicklingError("an array with entries by name")
    if call.path in _BYTES or call.path == "_codecs.encode":
        return _bytes(call)
    if call.path in _SCALAR:
        kind, content = call.args
        return _array((), kind, content, "C")
    if call.path in _BUFFER:
        content, kind, shape, order = call.args
        return _array(shape, kind, content, order)
    if call.state is None:
        raise UnpicklingError("an array without content")
    if call.path == "numpy.dtype":
        raise UnpicklingError("a type without array")
    *_, shape, kind, fortran, content = call.state
    return _array(shape, kind, content, "F" if fortran else "C")


def _array(shape: Any, kind: Any, content: Any, order: str) -> Array:
    raw = _bytes(content)
    if not isinstance(kind, Call) or kind.path != "numpy.dtype":
        raise UnpicklingError("an array that is not made of numbers")
    code = kind.args[0] if kind.args else ""
    if not isinstance(code, str) or not _CODE.fullmatch(code):
        raise UnpicklingError(f"an array of {code!r:.50}, which are no numbers")
    byte_order = kind.state[1] if kind.state else "="
    dtype = np.dtype((byte_order if byte_order in ("<", ">") else "=") + code)
    if not all(type(side) is int for side in shape):
        raise UnpicklingError("an array whose sides are no whole numbers")
    return np.frombuffer(raw, dtype).reshape(shape, order="F" if order == "F" else "C")


def _bytes(value: Any) -> bytes:
    """A string of bytes, also in the ways in which old protocols write one."""
    if isinstance(value, Call) and value.path in _BYTES and not value.args:
        return b""
    if isinstance(value, Call) and value.path == "_codecs.encode":
        text, *encoding = value.args
        if isinstance(text, str) and encoding in ([], ["latin1"]):
            return text.encode("latin1")
        raise UnpicklingError("bytes in an unknown encoding")
    if isinstance(value, str):
        return value.encode("latin1")
    if not isinstance(value, bytes):
        raise UnpicklingError("an array that is not made of numbers")
    return value
