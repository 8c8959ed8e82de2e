"""Does a converted model compute what the original computes, and how fast is each?"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

import torch
from torch import Tensor

from vitascope.accelerator.artifact import Forward, Inputs, pathways
from vitascope.errors import VerificationError


@dataclass(frozen=True, kw_only=True)
class Verification:
    """What a comparison of two models on the same clips showed.

    Attributes:
        target: name of the export target.
        ok: the largest difference is within `allowed`.
        n_clips: clips that went through both models.
        max_abs_diff: largest absolute difference of a score (before softmax).
        max_abs_diff_probability: the same after softmax.
        allowed: the target's tolerance times the largest score of the original (at least 1).
        tolerance: the target's stated tolerance.
        top1_agreement: share of clips for which both name the same class.
        latency_ms: median time of one clip through the converted model, in milliseconds.
        latency_ms_before: the same for the original.
        repeats: timed runs of each model, taken in turns.
        threads: threads that each model computes with.
        size_bytes: size of the artifact's files.
        size_bytes_before: size of the original's parameters and buffers.
    """

    target: str
    ok: bool
    n_clips: int
    max_abs_diff: float
    max_abs_diff_probability: float
    allowed: float
    tolerance: float
    top1_agreement: float
    latency_ms: float
    latency_ms_before: float
    repeats: int
    threads: int
    size_bytes: int = 0
    size_bytes_before: int = 0

    def to_json(self) -> dict[str, Any]:
        """All fields as plain JSON values; numbers that are not finite become None."""
        return {
            name: None if isinstance(value, float) and not math.isfinite(value) else value
            for name, value in asdict(self).items()
        }


def verify_export(
    original: Forward,
    converted: Forward,
    clips: Sequence[Inputs],
    *,
    tolerance: float,
    target: str = "",
    repeats: int = 10,
) -> Verification:
    """Runs the same clips through both models.

    Every clip goes through alone, and then several go through together, because a converter that
    fixed the batch size shows only there.

    Args:
        original: maps B C T H W to scores B N.
        converted: the same after conversion.
        clips: real clips, C T H W each, or a list of such tensors for pathways.
        tolerance: largest difference allowed, as a share of the largest score (at least 1).
        target: name for the result.
        repeats: how often each model is timed; runs alternate, so that a slower moment of the
            machine strikes both.

    Raises:
        VerificationError: there are no clips, or the outputs differ in shape.
    """
    if not clips:
        raise VerificationError("a conversion is checked on real clips, and there are none")
    inputs = [_batch([clip]) for clip in clips]
    together = _batch(list(clips[:4]) if len(clips) > 1 else [clips[0], clips[0]])
    runs = [*inputs, together]
    before = torch.cat([_run(original, x) for x in runs])
    after = torch.cat([_run(converted, x) for x in runs])
    if before.shape != after.shape:
        raise VerificationError(
            f"{target or 'the converted model'} gives scores of shape {tuple(after.shape[1:])}, "
            f"the original {tuple(before.shape[1:])}"
        )
    difference = float((before - after).abs().max())
    allowed = tolerance * max(1.0, float(before.abs().max()))
    single = len(inputs)
    agree = before[:single].argmax(1) == after[:single].argmax(1)
    time_before, time_after = _latency(original, converted, inputs, repeats)
    return Verification(
        target=target,
        ok=difference <= allowed,  # False for a NaN on either side
        n_clips=single,
        max_abs_diff=difference,
        max_abs_diff_probability=float((before.softmax(1) - after.softmax(1)).abs().max()),
        allowed=allowed,
        tolerance=tolerance,
        top1_agreement=float(agree.double().mean()),
        latency_ms=time_after,
        latency_ms_before=time_before,
        repeats=repeats,
        threads=torch.get_num_threads(),
    )


def _batch(clips: Sequence[Inputs]) -> Inputs:
    columns = zip(*(pathways(clip) for clip in clips), strict=True)
    stacked = [torch.stack(list(column)) for column in columns]
    return stacked[0] if len(stacked) == 1 else stacked


def _run(forward: Forward, inputs: Inputs) -> Tensor:
    with torch.inference_mode():
        return forward(inputs).detach().double().cpu().reshape(len(pathways(inputs)[0]), -1)


def _latency(
    first: Forward, second: Forward, inputs: Sequence[Inputs], repeats: int
) -> tuple[float, float]:
    """Median milliseconds of one clip through each model, taken in turns after one warm-up."""

    def seconds(forward: Callable[[Inputs], Tensor], x: Inputs) -> float:
        with torch.inference_mode():
            start = time.perf_counter()
            forward(x)
            return time.perf_counter() - start

    turns = max(1, repeats)
    times = [
        (seconds(first, inputs[i % len(inputs)]), seconds(second, inputs[i % len(inputs)]))
        for i in range(-1, turns)
    ][1:]
    return 1000 * median(t for t, _ in times), 1000 * median(t for _, t in times)
