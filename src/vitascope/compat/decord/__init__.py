"""The interface of the decord package over the exact decoders of this one.

`import vitascope.compat.decord as decord` is enough for a program of one's own. For programs that
say `import decord` and that nobody wants to change, `vitascope.compat.decord.install()` makes that
name lead here. Importing this package installs nothing.
"""

from __future__ import annotations

import importlib
import sys

from vitascope.compat.decord import bridge, logging
from vitascope.compat.decord import ndarray as nd
from vitascope.compat.decord.audio_reader import AudioReader
from vitascope.compat.decord.av_reader import AVReader
from vitascope.compat.decord.base import ALL, DECORDError, DECORDLimitReachedError
from vitascope.compat.decord.ndarray import cpu, gpu
from vitascope.compat.decord.video_reader import VideoReader

__version__ = "0.6.0"  # the release whose interface is served
__all__ = [
    "ALL", "AVReader", "AudioReader", "DECORDError", "DECORDLimitReachedError", "VideoReader",
    "bridge", "cpu", "gpu", "install", "logging", "nd",
]  # fmt: skip

# module below decord -> module below this package
PLACES = {
    "": "", "_ffi": "", "_ffi.base": "base", "_ffi.ndarray": "ndarray", "nd": "ndarray",
    **{name: name for name in (
        "audio_reader", "av_reader", "base", "bridge", "logging", "ndarray", "video_reader",
    )},
}  # fmt: skip


def install() -> None:
    """Makes `import decord[.anything]` lead here from now on; a second call does nothing.

    Raises:
        ImportError: the original package is imported already, so that classes of both would mix.
    """
    here = sys.modules[__name__]
    there = sys.modules.get("decord")
    if there is here:
        return
    if there is not None:
        raise ImportError(
            f"the original decord is imported already ({there.__file__}). Call "
            "vitascope.compat.decord.install() before it, or start a new process."
        )
    for old, new in PLACES.items():
        name = f"{__name__}.{new}".rstrip(".")
        sys.modules[f"decord.{old}".rstrip(".")] = importlib.import_module(name)
