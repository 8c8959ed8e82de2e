"""Keeps the stack on which signal handlers run while a library loads that replaces it."""

from __future__ import annotations

import contextlib
import ctypes
import platform
from collections.abc import Iterator


class _Stack(ctypes.Structure):
    """stack_t of Linux."""

    _fields_ = (
        ("start", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("size", ctypes.c_size_t),
    )


@contextlib.contextmanager
def kept_signal_stack() -> Iterator[None]:
    """Puts the thread's alternate signal stack back after the block.

    OpenVINO's CPU plugin sets up a stack of its own when it compiles a model and frees that memory
    with the model. Python runs every handler on the alternate stack, so the next signal after
    that (Ctrl-C, or a loader process that ends) would kill the process.
    """
    if platform.system() != "Linux":
        yield
        return
    call, before = ctypes.CDLL(None).sigaltstack, _Stack()
    call(None, ctypes.byref(before))
    try:
        yield
    finally:
        call(ctypes.byref(before), None)
