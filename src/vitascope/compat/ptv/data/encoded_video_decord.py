"""PyTorchVideo's video file with decord's arguments."""

from __future__ import annotations

from typing import TypeVar

from vitascope.compat.ptv.data.encoded_video import EncodedVideoDecord as EncodedVideoDecord

__all__ = ["DecordDevice", "EncodedVideoDecord"]

DecordDevice = TypeVar("DecordDevice")
