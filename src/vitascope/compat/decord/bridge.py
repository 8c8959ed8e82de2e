"""What readers give: their own arrays or tensors of torch.

The main thread's choice is that of every thread which has made none.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch

from vitascope.compat.decord.base import DecordArgumentError
from vitascope.compat.decord.ndarray import NDArray

_ABSENT = ("mxnet", "paddle", "tensorflow", "tvm")


def to_torch(decord_arr: NDArray) -> torch.Tensor:
    """The values as a tensor that shares them."""
    return torch.from_numpy(decord_arr._data)


def from_torch(tensor: torch.Tensor) -> NDArray:
    """The values of a tensor on the CPU, shared."""
    return NDArray(tensor.numpy())


def _same(arr: Any) -> Any:
    return arr


_BRIDGES: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "native": (_same, _same),
    "torch": (to_torch, from_torch),
}


class _Choice(threading.local):
    """The bridge of a thread; the default is that of the main thread."""

    default = "native"
    own: str | None = None


_CHOICE = _Choice()


def _current() -> str:
    return _CHOICE.own or _Choice.default


def set_bridge(new_bridge: str) -> None:
    """Chooses what this thread's readers give from now on.

    Args:
        new_bridge: "native" for `NDArray`, "torch" for tensors.

    Raises:
        DecordArgumentError: another library (an AssertionError, as in the original).
    """
    if new_bridge not in _BRIDGES:
        legal = ", ".join(_BRIDGES)
        more = " of decord is not served here" if new_bridge in _ABSENT else ""
        raise DecordArgumentError(f"bridge {new_bridge!r}{more}; legal values: {legal}")
    _CHOICE.own = new_bridge
    if threading.current_thread() is threading.main_thread():
        _Choice.default = new_bridge


def reset_bridge() -> None:
    """Chooses "native"."""
    set_bridge("native")


def bridge_out(native_arr: NDArray) -> Any:
    """An array as the bridge of this thread gives it."""
    return _BRIDGES[_current()][0](native_arr)


def bridge_in(arr: Any) -> Any:
    """What the bridge gave, as an array."""
    return _BRIDGES[_current()][1](arr)


@contextmanager
def _scope(name: str) -> Iterator[None]:
    before = _current()
    set_bridge(name)
    try:
        yield
    finally:
        set_bridge(before)


def use_torch() -> AbstractContextManager[None]:
    """A block in which readers give tensors."""
    return _scope("torch")


def use_native() -> AbstractContextManager[None]:
    """A block in which readers give `NDArray`."""
    return _scope("native")
