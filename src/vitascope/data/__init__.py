"""Videos, clips, data sets and loaders.

The names below are those that PyTorchVideo has in its package `data`; they are imported when they
are first asked for, so that reading lists and checking files needs no torch.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vitascope.data.ava_frames import Ava as Ava
    from vitascope.data.charades import Charades as Charades
    from vitascope.data.clip_sampling import ClipSampler as ClipSampler
    from vitascope.data.clip_sampling import RandomClipSampler as RandomClipSampler
    from vitascope.data.clip_sampling import UniformClipSampler as UniformClipSampler
    from vitascope.data.clip_sampling import make_clip_sampler as make_clip_sampler
    from vitascope.data.hmdb51 import Hmdb51 as Hmdb51
    from vitascope.data.kinetics import Kinetics as Kinetics
    from vitascope.data.labeled_video_dataset import LabeledVideoDataset as LabeledVideoDataset
    from vitascope.data.ssv2 import SSv2 as SSv2
    from vitascope.data.ucf101 import Ucf101 as Ucf101

_HOMES = {
    "Ava": "ava_frames",
    "Charades": "charades",
    "ClipSampler": "clip_sampling",
    "Hmdb51": "hmdb51",
    "Kinetics": "kinetics",
    "LabeledVideoDataset": "labeled_video_dataset",
    "RandomClipSampler": "clip_sampling",
    "SSv2": "ssv2",
    "Ucf101": "ucf101",
    "UniformClipSampler": "clip_sampling",
    "labeled_video_dataset": "labeled_video_dataset",
    "make_clip_sampler": "clip_sampling",
}


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})


class _Package(ModuleType):
    """The package: `labeled_video_dataset` is its function, as in PyTorchVideo.

    A module of the same name lies inside. Importing it would put the module in the function's
    place, depending on what was imported first.
    """

    def __getattr__(self, name: str) -> Any:
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in _HOMES and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
