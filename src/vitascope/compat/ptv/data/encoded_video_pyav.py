"""PyTorchVideo's video file with the arguments of its pyav decoder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vitascope.compat.ptv.data.encoded_video import EncodedVideo as EncodedVideo
from vitascope.compat.ptv.data.encoded_video import EncodedVideoPyAV as EncodedVideoPyAV
from vitascope.compat.ptv.data.utils import pts_to_secs as pts_to_secs
from vitascope.compat.ptv.data.utils import secs_to_pts as secs_to_pts
from vitascope.compat.ptv.data.utils import thwc_to_cthw as thwc_to_cthw

__all__ = ["EncodedVideoPyAV"]

_MARGIN = 1024  # ticks before the first one wanted that a jump goes to


def _pyav_decode_stream(
    container: Any,
    start_pts: int,
    end_pts: float,
    stream: Any,
    stream_name: Mapping[str, int],
    buffer_size: int = 0,
    perform_seek: bool = True,
) -> tuple[list[Any], int]:
    """Frames of an open file of PyAV with times in [start_pts, end_pts), and the last time seen.

    Args:
        container: the open file.
        start_pts: first tick.
        end_pts: tick at which the frames end; may be infinite.
        stream: the stream, to jump in it.
        stream_name: the same as PyAV's arguments of `decode`, such as {"video": 0}.
        buffer_size: without effect.
        perform_seek: jump to the key frame before; False goes on from where the file is.
    """
    if perform_seek:
        target = max(int(start_pts) - _MARGIN, 0)
        container.seek(target, any_frame=False, backward=True, stream=stream)
    found: dict[int, Any] = {}
    latest = 0
    for frame in container.decode(**stream_name):
        latest = max(latest, frame.pts)
        if frame.pts >= end_pts:
            break
        if frame.pts >= start_pts:
            found[frame.pts] = frame
    return [found[pts] for pts in sorted(found)], latest
