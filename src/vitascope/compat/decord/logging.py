"""How much FFmpeg says; PyAV keeps it silent until it is asked."""

from __future__ import annotations

import av.logging

QUIET = -8
PANIC = 0
FATAL = 8
ERROR = 16
WARNING = 24
INFO = 32
VERBOSE = 40
DEBUG = 48
TRACE = 56
CRITICAL = FATAL


def set_level(lvl: int = ERROR) -> None:
    """Lets FFmpeg say what is at least as bad as `lvl`."""
    av.logging.set_level(None if lvl < PANIC else lvl)
