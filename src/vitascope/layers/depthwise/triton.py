"""Depthwise 3-D convolution on a GPU by own Triton kernels, with both gradients.

PyTorch runs depthwise 3-D convolutions on CUDA by kernels for channels-first memory with one thread
a value; they are the largest part of a training step of X3D and CSN. The kernels here
(`depthwise_kernels`) take memory N T H W C as it is. Which of the two runs is measured
(`depthwise_choice`), never assumed.

The gradient of the input is computed by the same kernel as the convolution. A stride is split into
its phases: input positions that share a remainder modulo the stride see the same taps, so that a
launch for each phase does no work that is thrown away.
"""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from vitascope.layers.depthwise.kernels import load_kernels

Triple = tuple[int, int, int]

DTYPES = {
    torch.float16: "float16",
    torch.bfloat16: "bfloat16",
    torch.float32: "float32",
    torch.float64: "float64",
}
"""Types of values that the kernels take, as Triton calls them. Sums are float32 or float64."""

# Programs that add up the weights' gradient, each over its own positions. A fixed number, so that
# the order of the sums is the same on every device.
_PARTS = 2048
# Values that a program has at once: eight for each of its threads.
_TILE = 1024
# Programs that keep a large GPU busy (an H100 has 132 processors with room for some each).
_PROGRAMS = 2048


class Axis(NamedTuple):
    """What a launch does along T, H or W; numbers that the kernel is compiled for.

    Result `q` lies at position `phase + q * step` and is the sum over `j < taps` of tap
    `first + j * tap_step` times the source at `q * scale + shift + direction * j`.
    """

    taps: int
    first: int
    tap_step: int
    scale: int
    shift: int
    direction: int
    phase: int
    step: int


def forward_axis(kernel: int, stride: int, padding: int) -> Axis:
    """The convolution itself: output o sees input `o * stride - padding + tap`."""
    return Axis(kernel, 0, 1, stride, -padding, 1, 0, 1)


def backward_axis(kernel: int, stride: int, padding: int, phase: int) -> Axis:
    """Gradient at the inputs `phase + q * stride`, from outputs `(i + padding - tap) / stride`."""
    first = (phase + padding) % stride
    taps = len(range(first, kernel, stride))
    return Axis(taps, first, stride, 1, (phase + padding - first) // stride, -1, phase, stride)


def output_size(size: Sequence[int], kernel: Triple, stride: Triple, padding: Triple) -> Triple:
    """T, H and W of the result for T, H and W of a clip; not positive where it is too small."""
    found = zip(size, kernel, stride, padding, strict=True)
    t, h, w = ((n + 2 * p - k) // s + 1 for n, k, s, p in found)
    return t, h, w


def _power(number: int) -> int:
    """The smallest power of two that is not below `number`: Triton's blocks have such sizes."""
    return 1 << max(number - 1, 0).bit_length()


@contextlib.contextmanager
def _on(tensor: Tensor) -> Iterator[Any]:
    """Triton's language and kernels, launched on the device of `tensor`."""
    kernels = load_kernels()
    with torch.cuda.device(tensor.device) if tensor.is_cuda else contextlib.nullcontext():
        yield kernels


def _last(tensor: Tensor) -> Tensor:
    return tensor.contiguous(memory_format=torch.channels_last_3d)


def _sum_type(tensor: Tensor) -> torch.dtype:
    return torch.float64 if tensor.dtype is torch.float64 else torch.float32


def _types(tensor: Tensor) -> tuple[Any, Any]:
    """The type of the sums and that of the values, as Triton's."""
    language = load_kernels().language
    return getattr(language, DTYPES[_sum_type(tensor)]), getattr(language, DTYPES[tensor.dtype])


def _gather(
    source: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    result: Tensor,
    axes: Sequence[Axis],
    counts: Triple,
) -> None:
    """One launch: `counts` results along T, H and W. `weight` is C 1 kT kH kW."""
    channels = source.shape[1]
    if not min(*counts, channels, len(source)):
        return
    by_tap = weight.reshape(channels, -1).t().to(_sum_type(source)).contiguous()
    block_c = min(64, _power(channels))
    block_w = min(_TILE // block_c, _power(counts[2]))
    blocks_c = -(-channels // block_c)
    lines = len(source) * counts[1] * -(-counts[2] // block_w)
    total, value = _types(source)
    block = (
        block_w, block_c, channels, weight.shape[3], weight.shape[4], total, bias is not None,
        value,
    )  # fmt: skip
    arguments = (
        source, by_tap, by_tap if bias is None else bias, result, tuple(source.shape[2:]), counts,
        tuple(result.shape[2:]),
    )  # fmt: skip
    constants = {
        "AXES": tuple(map(tuple, axes)),
        "BLOCK": block,
        "num_warps": max(1, min(4, block_w * block_c // 256)),
    }
    with _on(source) as kernels:
        if axes[0].taps == 3 and axes[0].scale == 1 and counts[0] > 1:
            frames = _frames(counts[0], lines * blocks_c)
            grid = (lines * -(-counts[0] // frames), blocks_c)
            kernels.march[grid](*arguments, frames, **constants)
        else:
            kernels.gather[(lines * counts[0], blocks_c)](*arguments, **constants)


def _frames(count: int, programs: int) -> int:
    """How many of `count` frames a program computes in turn: all, but enough programs come first.

    Each part reads two frames more than it computes.
    """
    frames = count
    while frames > 4 and programs * -(-count // frames) < _PROGRAMS:
        frames = -(-frames // 2)
    return frames


def convolve_forward(
    clip: Tensor, weight: Tensor, bias: Tensor | None, stride: Triple, padding: Triple
) -> Tensor:
    """The convolution, in channels-last memory.

    Args:
        clip: B C T H W.
        weight: C 1 kT kH kW.
        bias: C, or None.
        stride: step (T, H, W).
        padding: zeros added at both ends (T, H, W).

    Returns:
        B C T' H' W'.
    """
    kernel = (weight.shape[2], weight.shape[3], weight.shape[4])
    size = output_size(clip.shape[2:], kernel, stride, padding)
    result = torch.empty(
        (*clip.shape[:2], *size), dtype=clip.dtype, device=clip.device,
        memory_format=torch.channels_last_3d,
    )  # fmt: skip
    axes = [forward_axis(*dim) for dim in zip(kernel, stride, padding, strict=True)]
    _gather(_last(clip), weight, bias, result, axes, size)
    return result


def input_gradient(
    grad: Tensor, weight: Tensor, shape: Sequence[int], stride: Triple, padding: Triple
) -> Tensor:
    """Gradient with respect to a clip of `shape` (B C T H W), in channels-last memory."""
    result = torch.empty(
        tuple(shape), dtype=grad.dtype, device=grad.device, memory_format=torch.channels_last_3d
    )
    grad = _last(grad)
    dims = list(zip(weight.shape[2:], stride, padding, strict=True))
    for phases in itertools.product(*(range(step) for step in stride)):
        axes = [backward_axis(*dim, phase) for dim, phase in zip(dims, phases, strict=True)]
        t, h, w = (
            max(0, -(-(size - axis.phase) // axis.step))
            for size, axis in zip(shape[2:], axes, strict=True)
        )
        _gather(grad, weight, None, result, axes, (t, h, w))
    return result


def weight_gradient(
    grad: Tensor, clip: Tensor, shape: Sequence[int], stride: Triple, padding: Triple
) -> Tensor:
    """Gradient with respect to a weight of `shape` (C 1 kT kH kW).

    The sum over positions is made in two stages, parts by programs that share nothing, then the
    sum of the parts, so it comes out the same every time.
    """
    channels, kernel = shape[0], tuple(shape[2:])
    taps = math.prod(kernel)
    lines = grad.shape[0] * grad.shape[2] * grad.shape[3]
    if not lines * grad.shape[4]:
        return torch.zeros(tuple(shape), dtype=clip.dtype, device=clip.device)
    grad, clip = _last(grad), _last(clip)
    block_taps = _power(taps)
    # At most 16 sums a thread; narrower blocks of channels for large kernels.
    block_c = max(1, min(64, _power(channels), 2048 // block_taps))
    blocks = -(-channels // block_c)
    each = -(-lines // max(1, _PARTS // blocks))
    programs = -(-lines // each)
    total, _ = _types(clip)
    parts = torch.empty((programs, taps, channels), dtype=_sum_type(clip), device=clip.device)
    axes = tuple(zip(kernel, stride, padding, strict=True))
    with _on(clip) as kernels:
        kernels.correlate[(programs, blocks)](
            clip, grad, parts, tuple(clip.shape[2:]), tuple(grad.shape[2:]), (each, lines),
            AXES=axes, BLOCK=(block_taps, block_c, min(4, grad.shape[4]), channels, total),
            num_warps=max(1, min(4, block_taps * block_c // 256)),
        )  # fmt: skip
    return parts.sum(0).t().reshape(tuple(shape)).to(clip.dtype)


class _Depthwise(torch.autograd.Function):
    """The three kernels as one differentiable function."""

    @staticmethod
    def forward(
        ctx: Any, clip: Tensor, weight: Tensor, bias: Tensor | None, stride: Triple, padding: Triple
    ) -> Tensor:
        clip = _last(clip)
        ctx.save_for_backward(clip, weight)
        ctx.stride, ctx.padding, ctx.bias = stride, padding, bias is not None
        return convolve_forward(clip, weight, bias, stride, padding)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        clip, weight = ctx.saved_tensors
        grad, stride, padding = grads[0], ctx.stride, ctx.padding
        need = list(ctx.needs_input_grad[:3])
        if torch.is_grad_enabled():  # asked for gradients of gradients: PyTorch has those
            channels = clip.shape[1]
            found: tuple[Tensor | None, ...] = torch.ops.aten.convolution_backward.default(
                grad, clip, weight, [channels] if ctx.bias else None, list(stride), list(padding),
                [1, 1, 1], False, [0, 0, 0], channels, need,
            )  # fmt: skip
            return (*found, None, None)
        grad = _last(grad)
        return (
            input_gradient(grad, weight, clip.shape, stride, padding) if need[0] else None,
            weight_gradient(grad, clip, weight.shape, stride, padding) if need[1] else None,
            grad.sum((0, 2, 3, 4), dtype=_sum_type(grad)).to(grad.dtype) if need[2] else None,
            None,
            None,
        )


def triton_conv3d(
    clip: Tensor, weight: Tensor, bias: Tensor | None, stride: Triple, padding: Triple
) -> Tensor:
    """Depthwise convolution by the Triton kernels, with gradients.

    All tensors have one type of `DTYPES`; sums are kept in float32 (float64 for float64).

    Args:
        clip: B C T H W, in any memory order; channels-last needs no copy.
        weight: C 1 kT kH kW.
        bias: C, or None.
        stride: step (T, H, W).
        padding: zeros added at both ends (T, H, W).

    Returns:
        B C T' H' W' in channels-last memory.

    Raises:
        ImportError: Triton is not installed or does not load.
    """
    result: Tensor = _Depthwise.apply(clip, weight, bias, stride, padding)  # type: ignore[no-untyped-call]
    return result
