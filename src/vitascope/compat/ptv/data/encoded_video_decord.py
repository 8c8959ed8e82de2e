"""PyTorchVideo's video file with decord's arguments."""

from __future__ import annotations

from typing import TypeVar

from vitascope.compat.ptv.data.encoded_video import EncodedVideoDecord as EncodedVideoDecord
from vitascope.compat.ptv.data.utils import thwc_to_cthw as thwc_to_cthw
from vitascope.compat.ptv.data.video_base import Video as Video

__all__ = ["DecordDevice", "EncodedVideoDecord"]

DecordDevice = TypeVar("DecordDevice")
