"""From samples to a batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from vitascope.errors import InputError

Batch = dict[str, Any]


def collate(samples: Sequence[dict[str, Any]]) -> Batch:
    """Stacks samples of `ClipDataset`; those without a video are left out.

    Returns:
        `video` B ... (or a list of tensors, one a pathway), `label` int64 B, `index` int64 B,
        `valid` bool B (False where black frames stand in), `mask` bool where the samples have
        one, what modalities added, and `faults`: (video, reason) of each sample that could not be
        read. With no sample left `video` is absent and B is 0.

    Raises:
        InputError: clips of different shapes.
    """
    good = [s for s in samples if "video" in s]
    batch: Batch = {
        "label": torch.tensor([s["label"] for s in good], dtype=torch.int64),
        "index": torch.tensor([s["index"] for s in good], dtype=torch.int64),
        "valid": torch.tensor([s["valid"] for s in good], dtype=torch.bool),
        "faults": [(s["index"], s["fault"]) for s in samples if not s["valid"]],
    }
    for name in good[0] if good else ():
        if name not in batch and name != "fault":
            batch[name] = _stack(name, good)
    return batch


def _stack(name: str, samples: Sequence[dict[str, Any]]) -> Tensor | list[Tensor]:
    values = [s[name] for s in samples]
    if not isinstance(values[0], Tensor):  # pathways
        return [_stack_one(name, part, samples) for part in zip(*values, strict=True)]
    return _stack_one(name, values, samples)


def _stack_one(name: str, values: Sequence[Tensor], samples: Sequence[dict[str, Any]]) -> Tensor:
    for value, sample in zip(values, samples, strict=True):
        if value.shape != values[0].shape:
            raise InputError(
                f"{name} of video {sample['index']} is {tuple(value.shape)} and that of video "
                f"{samples[0]['index']} {tuple(values[0].shape)}; a batch needs one shape. Use a "
                f"transform that brings every clip to one size, or batch_size = 1"
            )
    return torch.stack(list(values))
