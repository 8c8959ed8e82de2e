"""Charades: several labels a frame, in lists of frames or as intervals of whole videos."""

from __future__ import annotations

from pathlib import Path

from vitascope.data.frame_lists import FrameVideoRecord, read_frame_list

NUM_CLASSES = 157


def read_charades(path: str | Path, root: str | Path = "") -> tuple[FrameVideoRecord, ...]:
    """Charades as a list of frames, with the labels of each frame.

    Raises:
        DatasetError: see `read_frame_list`; labels reach from 0 to 156.
    """
    return read_frame_list(path, root, NUM_CLASSES)
