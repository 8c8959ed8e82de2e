"""Triton kernels of a depthwise 3-D convolution over memory N T H W C.

Consecutive channels are consecutive in memory, so that a load of one tap for a block of columns and
channels is a load of whole cache lines. Sums are kept in float32 (float64 for float64 values). No
kernel adds to memory that another one writes: results do not depend on the order of execution.

Triton is optional (it comes with PyTorch for CUDA): `load_kernels` compiles what follows when it is
called first. With `TRITON_INTERPRET=1` the kernels run on CPU tensors. Only builtins of
`triton.language` are used here, because its own compiled functions cannot be interpreted where
Triton was imported before that variable was set.
"""

# Triton reads the annotations of kernels itself and knows none but its own:
# mypy: disable-error-code="no-untyped-def, valid-type, name-defined"
# ruff: noqa: ANN001, ANN202

from __future__ import annotations

import functools
import importlib
from typing import Any, NamedTuple

# `triton.language`, once `load_kernels` ran. Triton looks names up in the module of a kernel.
tl: Any = None


class Kernels(NamedTuple):
    """The compiled kernels.

    Attributes:
        gather: each value of the result is a sum over taps; forward and gradient of the input.
        march: the same for three taps in time that lie next to each other, with a third of the
            loads.
        correlate: the gradient of the weights, in parts that are to be added.
        language: `triton.language`, for the types of values.
        error: the class of Triton's own errors.
    """

    gather: Any
    march: Any
    correlate: Any
    language: Any
    error: type[Exception]


@functools.cache
def load_kernels() -> Kernels:
    """Imports Triton and wraps the kernels.

    Raises:
        ImportError: Triton is not installed or does not load.
    """
    global tl
    triton = importlib.import_module("triton")
    tl = importlib.import_module("triton.language")
    error: type[Exception] = importlib.import_module("triton.errors").TritonError
    jit = triton.jit
    return Kernels(jit(_gather), jit(_march), jit(_correlate), tl, error)


def _gather(
    source, weight, bias, result, sizes, counts, ends, AXES: tl.constexpr, BLOCK: tl.constexpr
):
    """Sums of `source` (N, *sizes, C) times `weight` (taps, C) over the taps of AXES.

    The weight has the type of the sums.

    A program computes one line of the result: `BLOCK[0]` columns of `BLOCK[1]` channels. For each
    of T, H and W, AXES says which taps of the kernel count (`taps`, `first`, `tap_step`), which
    position of the source belongs to tap j of the q-th result (`q * scale + shift + direction * j`)
    and where that result lies (`phase + q * step`, of `ends`, `counts` of them). See `Axis`.
    """
    channels: tl.constexpr = BLOCK[2]
    kernel_h: tl.constexpr = BLOCK[3]
    kernel_w: tl.constexpr = BLOCK[4]
    axis_t: tl.constexpr = AXES[0]
    axis_h: tl.constexpr = AXES[1]
    axis_w: tl.constexpr = AXES[2]
    taps_t: tl.constexpr = AXES[0][0]  # a name for each, because a static range takes no less
    taps_h: tl.constexpr = AXES[1][0]
    taps_w: tl.constexpr = AXES[2][0]
    blocks = (counts[2] + BLOCK[0] - 1) // BLOCK[0]
    line = tl.program_id(0)
    q_w = (line % blocks) * BLOCK[0] + tl.arange(0, BLOCK[0])
    line = line // blocks
    q_h = line % counts[1]
    line = line // counts[1]
    q_t = line % counts[0]
    clip = (line // counts[0]).to(tl.int64)
    channel = tl.program_id(1) * BLOCK[1] + tl.arange(0, BLOCK[1])
    has_channel = channel < channels
    total = tl.full((BLOCK[0], BLOCK[1]), 0, BLOCK[5])
    if BLOCK[6]:
        total += tl.load(bias + channel, mask=has_channel, other=0).to(BLOCK[5])[None, :]
    for j_t in tl.static_range(taps_t):
        t = q_t * axis_t[3] + axis_t[4] + axis_t[5] * j_t
        for j_h in tl.static_range(taps_h):
            h = q_h * axis_h[3] + axis_h[4] + axis_h[5] * j_h
            inside = (t >= 0) & (t < sizes[0]) & (h >= 0) & (h < sizes[1])
            # A bound, no condition: Triton 3.9 interprets no mask of a scalar and a vector.
            width = tl.where(inside, sizes[2], 0)
            start = source + ((clip * sizes[0] + t) * sizes[1] + h) * sizes[2] * channels
            tap_t = axis_t[1] + axis_t[2] * j_t
            tap_h = tap_t * kernel_h + axis_h[1] + axis_h[2] * j_h
            for j_w in tl.static_range(taps_w):
                w = q_w * axis_w[3] + axis_w[4] + axis_w[5] * j_w
                has = ((w >= 0) & (w < width))[:, None] & has_channel[None, :]
                value = tl.load(start + w[:, None] * channels + channel[None, :], has, other=0)
                tap = tap_h * kernel_w + axis_w[1] + axis_w[2] * j_w
                factor = tl.load(weight + tap * channels + channel, mask=has_channel, other=0)
                total += value.to(BLOCK[5]) * factor[None, :]
    t = axis_t[6] + q_t * axis_t[7]
    h = axis_h[6] + q_h * axis_h[7]
    w = axis_w[6] + q_w * axis_w[7]
    start = result + ((clip * ends[0] + t) * ends[1] + h) * ends[2] * channels
    has = (q_w < counts[2])[:, None] & has_channel[None, :]
    tl.store(start + w[:, None] * channels + channel[None, :], total.to(BLOCK[7]), has)


def _march(
    source,
    weight,
    bias,
    result,
    sizes,
    counts,
    ends,
    frames,
    AXES: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """As `_gather`, for three taps in time and a `scale` of 1 there.

    A program computes `frames` results in turn. It goes over the frames of the source; each adds to
    three results, which are kept until the last of their three frames was seen. So a value is
    loaded and converted once for three products.
    """
    channels: tl.constexpr = BLOCK[2]
    kernel_w: tl.constexpr = BLOCK[4]
    axis_t: tl.constexpr = AXES[0]
    axis_h: tl.constexpr = AXES[1]
    axis_w: tl.constexpr = AXES[2]
    taps_h: tl.constexpr = AXES[1][0]
    taps_w: tl.constexpr = AXES[2][0]
    # Distances in memory from the weight of a result's second frame to those of its first (taken
    # off) and third (added): j is 0, 1, 2 where the source is read forwards, else 2, 1, 0.
    second: tl.constexpr = (AXES[0][1] + AXES[0][2]) * BLOCK[3] * BLOCK[4] * BLOCK[2]
    apart: tl.constexpr = AXES[0][5] * AXES[0][2] * BLOCK[3] * BLOCK[4] * BLOCK[2]
    blocks = (counts[2] + BLOCK[0] - 1) // BLOCK[0]
    parts = (counts[0] + frames - 1) // frames
    line = tl.program_id(0)
    q_w = (line % blocks) * BLOCK[0] + tl.arange(0, BLOCK[0])
    line = line // blocks
    q_h = line % counts[1]
    line = line // counts[1]
    first = (line % parts) * frames
    clip = (line // parts).to(tl.int64)
    channel = tl.program_id(1) * BLOCK[1] + tl.arange(0, BLOCK[1])
    has_channel = channel < channels
    oldest = tl.full((BLOCK[0], BLOCK[1]), 0, BLOCK[5])
    middle = tl.full((BLOCK[0], BLOCK[1]), 0, BLOCK[5])
    extra = tl.full((BLOCK[1],), 0, BLOCK[5])
    if BLOCK[6]:
        extra += tl.load(bias + channel, mask=has_channel, other=0).to(BLOCK[5])
    for step in range(frames + 2):
        q_t = first + step - 2  # the oldest result, for which this frame is the third
        t = q_t + axis_t[4] + 1 + axis_t[5]
        newest = tl.full((BLOCK[0], BLOCK[1]), 0, BLOCK[5])
        for j_h in tl.static_range(taps_h):
            h = q_h * axis_h[3] + axis_h[4] + axis_h[5] * j_h
            inside = (t >= 0) & (t < sizes[0]) & (h >= 0) & (h < sizes[1])
            width = tl.where(inside, sizes[2], 0)
            start = source + ((clip * sizes[0] + t) * sizes[1] + h) * sizes[2] * channels
            tap_h = axis_h[1] + axis_h[2] * j_h
            for j_w in tl.static_range(taps_w):
                w = q_w * axis_w[3] + axis_w[4] + axis_w[5] * j_w
                has = ((w >= 0) & (w < width))[:, None] & has_channel[None, :]
                value = tl.load(start + w[:, None] * channels + channel[None, :], has, other=0)
                value = value.to(BLOCK[5])
                tap = (tap_h * kernel_w + axis_w[1] + axis_w[2] * j_w) * channels + second
                factor = weight + tap + channel
                oldest += value * tl.load(factor + apart, mask=has_channel, other=0)[None, :]
                middle += value * tl.load(factor, mask=has_channel, other=0)[None, :]
                newest += value * tl.load(factor - apart, mask=has_channel, other=0)[None, :]
        t = axis_t[6] + q_t * axis_t[7]
        h = axis_h[6] + q_h * axis_h[7]
        w = axis_w[6] + q_w * axis_w[7]
        start = result + ((clip * ends[0] + t) * ends[1] + h) * ends[2] * channels
        end = tl.where((q_t >= first) & (q_t < counts[0]), counts[2], 0)
        has = (q_w < end)[:, None] & has_channel[None, :]
        total = (oldest + extra[None, :]).to(BLOCK[7])
        tl.store(start + w[:, None] * channels + channel[None, :], total, has)
        oldest = middle
        middle = newest


def _correlate(source, grad, parts, sizes, ends, lines, AXES: tl.constexpr, BLOCK: tl.constexpr):
    """Setup of the weights' gradient: `source` (N, *sizes, C) times `grad` (N, *ends, C).

    A program goes over `lines[0]` lines of the gradient's `lines[1]` (N T H together) with all
    taps in a block `BLOCK[0]` taps x `BLOCK[1]` channels of sums, which becomes its part of `parts`
    (programs, taps, C). `BLOCK[2]` columns are loaded together to have several loads under way.
    AXES holds (kernel, stride, padding) of T, H and W.
    """
    channels: tl.constexpr = BLOCK[3]
    columns: tl.constexpr = BLOCK[2]
    axis_t: tl.constexpr = AXES[0]
    axis_h: tl.constexpr = AXES[1]
    axis_w: tl.constexpr = AXES[2]
    taps: tl.constexpr = axis_t[0] * axis_h[0] * axis_w[0]
    tap = tl.arange(0, BLOCK[0])
    tap_t = tap // (axis_h[0] * axis_w[0]) - axis_t[2]
    tap_h = (tap // axis_w[0]) % axis_h[0] - axis_h[2]
    tap_w = tap % axis_w[0] - axis_w[2]
    channel = tl.program_id(1) * BLOCK[1] + tl.arange(0, BLOCK[1])
    has_channel = channel < channels
    total = tl.full((BLOCK[0], BLOCK[1]), 0, BLOCK[4])
    first = tl.program_id(0) * lines[0]
    for step in range(lines[0]):
        line = first + step
        o_h = line % ends[1]
        o_t = (line // ends[1]) % ends[0]
        clip = (line // (ends[1] * ends[0])).to(tl.int64)
        t = o_t * axis_t[1] + tap_t
        h = o_h * axis_h[1] + tap_h
        inside = (tap < taps) & (t >= 0) & (t < sizes[0]) & (h >= 0) & (h < sizes[1])
        start = ((clip * sizes[0] + t) * sizes[1] + h) * sizes[2]
        rows = grad + line.to(tl.int64) * ends[2] * channels + channel
        for column in range(0, ends[2], columns):
            for extra in tl.static_range(columns):
                o_w = column + extra
                w = o_w * axis_w[1] + tap_w
                here = (o_w < ends[2]) & (line < lines[1])
                width = tl.where(here, sizes[2], 0)
                has = (inside & (w >= 0) & (w < width))[:, None] & has_channel[None, :]
                place = (start + w)[:, None] * channels + channel[None, :]
                value = tl.load(source + place, has, other=0).to(BLOCK[4])
                known = channel < tl.where(here, channels, 0)
                factor = tl.load(rows + o_w * channels, known, other=0).to(BLOCK[4])
                total += value * factor[None, :]
    place = (tl.program_id(0).to(tl.int64) * taps + tap)[:, None] * channels + channel[None, :]
    tl.store(parts + place, total, (tap < taps)[:, None] & has_channel[None, :])
