"""PyTorchVideo's UCF101."""

from __future__ import annotations

from typing import Any

from torch.utils.data import RandomSampler

from vitascope.compat.ptv.data.clip_sampling import ClipSampler as ClipSampler
from vitascope.compat.ptv.data.labeled_video_dataset import (
    LabeledVideoDataset,
    OnBad,
    Transform,
    labeled_video_dataset,
)


def Ucf101(
    data_path: str,
    clip_sampler: Any,
    video_sampler: Any = RandomSampler,
    transform: Transform | None = None,
    video_path_prefix: str = "",
    decode_audio: bool = True,
    decoder: str = "pyav",
    *,
    seed: int | None = None,
    on_bad: OnBad = "retry",
) -> LabeledVideoDataset:
    """UCF101 with PyTorchVideo's interface: a folder of class folders, or a list `path label`.

    The lists of its authors are read by `read_ucf101`. Arguments, samples and errors are those
    of `labeled_video_dataset.labeled_video_dataset`.
    """
    return labeled_video_dataset(
        data_path, clip_sampler, video_sampler, transform, video_path_prefix, decode_audio,
        decoder, seed=seed, on_bad=on_bad,
    )  # fmt: skip
