"""Which kernels run a depthwise 3-D convolution on a GPU: measured once for each case.

The first time that a convolution is met on a CUDA device (size, kernel, stride, padding, type,
memory order, gradients wanted), both PyTorch's kernels and the Triton kernels compute it, their
results are compared, and both are timed on that very clip. The faster one is kept for the process;
Triton's must be right as well. `depthwise_choices()` tells what was chosen and why.

`VITASCOPE_DEPTHWISE` decides in place of the clock: `native` never uses the Triton kernels,
`triton` always does, `auto` (the default) measures. Under
`torch.use_deterministic_algorithms(True)` nothing is measured and PyTorch's kernels run, because
two runs could choose differently.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from vitascope.errors import ConfigError
from vitascope.layers.depthwise.kernels import load_kernels
from vitascope.layers.depthwise.triton import Triple, output_size, triton_conv3d

VARIABLE = "VITASCOPE_DEPTHWISE"
MODES = ("auto", "native", "triton")

# Largest allowed ||difference|| / ||PyTorch's result||. Both sum in float32 and round once: at most
# two roundings of the short types (2^-11, 2^-8); long sums of float32 differ by their order.
_TOLERANCE = {torch.float32: 1e-4, torch.float16: 1e-3, torch.bfloat16: 8e-3}
# The Triton kernels must be faster by this, so that noise does not decide.
_MARGIN = 1.05
_WARM, _REPEATS = 2, 5

Convolution = Callable[[Tensor, Tensor, Tensor | None], Tensor]
Timer = Callable[[Callable[[], object]], float]


class Case(NamedTuple):
    """What a choice is made for.

    Attributes:
        device: name and number of the device.
        clip: shape B C T H W.
        kernel: size (T, H, W).
        stride: step (T, H, W).
        padding: zeros at both ends (T, H, W).
        dtype: type of the values.
        layout: "channels_last" or "channels_first": order of the clip in memory.
        gradients: which are wanted, of "clip", "weight" and "bias".
        bias: whether a number is added to each channel.
    """

    device: str
    clip: tuple[int, ...]
    kernel: Triple
    stride: Triple
    padding: Triple
    dtype: torch.dtype
    layout: str
    gradients: tuple[str, ...]
    bias: bool


@dataclass(frozen=True)
class DepthwiseChoice:
    """What runs a case, and why.

    Attributes:
        case: the convolution.
        triton: the Triton kernels run it; otherwise PyTorch's.
        triton_ms: milliseconds of the Triton kernels (forward, and backward if wanted); None
            where they were not timed.
        native_ms: the same for PyTorch's.
        reason: the reason in words.
    """

    case: Case
    triton: bool
    triton_ms: float | None
    native_ms: float | None
    reason: str

    def __str__(self) -> str:
        case, size = self.case, "x".join
        shape, kernel, stride = (
            size(map(str, numbers)) for numbers in (case.clip, case.kernel, case.stride)
        )
        what = "forward and backward" if case.gradients else "forward"
        return (
            f"{shape} kernel {kernel} stride {stride} {str(case.dtype).removeprefix('torch.')} "
            f"{case.layout} {what} on {case.device}: {'triton' if self.triton else 'native'} "
            f"({self.reason})"
        )


_choices: dict[Case, DepthwiseChoice] = {}


def depthwise_choices() -> tuple[DepthwiseChoice, ...]:
    """What was chosen in this process so far, in the order in which it was met.

    Each prints as one line.
    """
    return tuple(_choices.values())


def mode() -> str:
    """The value of `VITASCOPE_DEPTHWISE`.

    Raises:
        ConfigError: it is none of the three.
    """
    value = os.environ.get(VARIABLE, "auto")
    if value not in MODES:
        raise ConfigError(f"{VARIABLE}={value!r} in the environment: use {', '.join(MODES)}.")
    return value


def device_milliseconds(run: Callable[[], object]) -> float:
    """Median time of a few runs on the current CUDA stream, after some to warm up."""
    for _ in range(_WARM):
        run()
    times = []
    for _ in range(_REPEATS):
        start = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        end = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        start.record()
        run()
        end.record()
        end.synchronize()
        times.append(float(start.elapsed_time(end)))
    return median(times)


def run_once(
    convolve: Convolution,
    tensors: Sequence[Tensor | None],
    gradients: Sequence[str],
    grad: Tensor | None = None,
) -> list[Tensor]:
    """The result of a convolution and its wanted gradients, apart from any graph outside.

    Args:
        convolve: takes clip, weight and bias.
        tensors: these three.
        gradients: names of those whose gradient is wanted.
        grad: gradient of the result; None takes the result itself.

    Returns:
        The result, then a gradient for each of `gradients`.
    """
    names = ("clip", "weight", "bias")
    leaves = [
        None if tensor is None else tensor.detach().requires_grad_(name in gradients)
        for name, tensor in zip(names, tensors, strict=True)
    ]
    clip, weight, bias = leaves
    assert clip is not None and weight is not None
    # Own hooks, because those outside (checkpointing counts what is saved) must not see a trial.
    with torch.set_grad_enabled(bool(gradients)), torch.autograd.graph.saved_tensors_hooks(
        lambda saved: saved, lambda saved: saved
    ):  # fmt: skip
        result = convolve(clip, weight, bias)
        found = [result.detach()]
        if gradients:
            wanted = [leaf for leaf in leaves if leaf is not None and leaf.requires_grad]
            found += torch.autograd.grad(result, wanted, found[0] if grad is None else grad)
    return found


def difference(results: Sequence[Tensor], wanted: Sequence[Tensor]) -> float:
    """Largest ||result - wanted|| / ||wanted||; not finite where `wanted` is not."""
    found = []
    for mine, other in zip(results, wanted, strict=True):
        gap = torch.linalg.vector_norm(mine.float() - other.float())
        size = torch.linalg.vector_norm(other.float())
        found.append(float(gap / size) if size else float(gap))
    return max(found, key=lambda gap: (gap != gap, gap))


def choose_kernel(
    case: Case,
    tensors: Sequence[Tensor | None],
    native: Convolution,
    own: Convolution,
    timer: Timer | None = None,
) -> DepthwiseChoice:
    """Compares and times both ways; see the module.

    Args:
        case: the convolution.
        tensors: clip, weight and bias (or None).
        native: PyTorch's convolution of these.
        own: the Triton kernels' one.
        timer: milliseconds that a call takes on the device; None for the device's own clock.
    """
    timer = timer or device_milliseconds
    try:
        kernels = load_kernels()
    except (ImportError, OSError, RuntimeError) as error:
        return DepthwiseChoice(case, False, None, None, f"Triton does not load: {error}")
    wanted = run_once(native, tensors, case.gradients)
    if not all(bool(torch.isfinite(tensor).all()) for tensor in wanted):
        return DepthwiseChoice(case, False, None, None, "values that are not finite")
    grad = wanted[0]
    try:
        gap = difference(run_once(own, tensors, case.gradients, grad), wanted)
        if not gap <= _TOLERANCE[case.dtype]:
            return _refuse(case, f"its result differs from PyTorch's by {gap:.1e} of the norm")
        own_ms = timer(lambda: run_once(own, tensors, case.gradients, grad))
    except torch.OutOfMemoryError:
        return DepthwiseChoice(case, False, None, None, "not enough memory to try Triton's")
    except (
        kernels.error, subprocess.SubprocessError, RuntimeError, OSError, ValueError, TypeError,
        ImportError, AttributeError, AssertionError,
    ) as error:  # fmt: skip  # whatever keeps a kernel from being compiled on this machine
        return _refuse(case, f"{type(error).__name__}: {error}")
    native_ms = timer(lambda: run_once(native, tensors, case.gradients, grad))
    faster = own_ms * _MARGIN < native_ms
    reason = f"Triton's {own_ms:.3f} ms, PyTorch's {native_ms:.3f} ms"
    return DepthwiseChoice(case, faster, own_ms, native_ms, reason)


def _refuse(case: Case, reason: str) -> DepthwiseChoice:
    """PyTorch's kernels, because Triton's do not work here; said aloud, since they should."""
    reason = reason.strip().partition("\n")[0][:300]
    warnings.warn(
        f"The Triton kernel of depthwise convolutions is not used for {case.clip}, kernel "
        f"{case.kernel}: {reason}. PyTorch's runs in its place. {VARIABLE}=native avoids the "
        "trial.",
        stacklevel=2,
    )
    return DepthwiseChoice(case, False, None, None, reason)


def convolve(
    clip: Tensor, weight: Tensor, bias: Tensor | None, stride: Triple, padding: Triple
) -> Tensor:
    """Depthwise convolution of a clip (B C T H W) on a GPU by the faster of both ways.

    Under autocast the values are converted as `conv3d` does it.

    Raises:
        ConfigError: `VITASCOPE_DEPTHWISE` has an unknown value, or asks for Triton where Triton
            does not load.
    """
    wanted = mode()
    kind = clip.device.type
    if torch.is_autocast_enabled(kind):
        dtype = torch.get_autocast_dtype(kind)
        clip, weight = _cast(clip, dtype), _cast(weight, dtype)
        bias = None if bias is None else _cast(bias, dtype)

    def native(clip: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return F.conv3d(clip, weight, bias, stride, padding, 1, clip.shape[1])

    def own(clip: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return triton_conv3d(clip, weight, bias, stride, padding)

    if wanted == "native" or not _fits(clip, weight, bias, stride, padding):
        return native(clip, weight, bias)
    if wanted == "triton":
        try:
            load_kernels()
        except (ImportError, OSError, RuntimeError) as error:
            raise ConfigError(
                f"{VARIABLE}=triton in the environment, but Triton does not load ({error}). "
                f"Install the triton that this PyTorch names, or set {VARIABLE}=auto."
            ) from error
        return own(clip, weight, bias)
    use = own if _chosen(clip, weight, bias, stride, padding, native, own) else native
    return use(clip, weight, bias)


def _cast(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """As autocast converts what `conv3d` takes: all floating values but those of 64 bits."""
    keep = tensor.dtype is torch.float64 or not tensor.is_floating_point()
    return tensor if keep else tensor.to(dtype)


def _fits(
    clip: Tensor, weight: Tensor, bias: Tensor | None, stride: Triple, padding: Triple
) -> bool:
    """Whether the kernels can compute it; the rest, errors included, is left to PyTorch."""
    kernel = (weight.shape[2], weight.shape[3], weight.shape[4])
    return (
        clip.dtype in _TOLERANCE
        and weight.dtype is clip.dtype
        and weight.device == clip.device
        and (bias is None or bias.dtype is clip.dtype)
        and clip.shape[1] == weight.shape[0]
        and len(clip) > 0
        and min(output_size(clip.shape[2:], kernel, stride, padding)) > 0
    )


def _chosen(
    clip: Tensor, weight: Tensor, bias: Tensor | None, stride: Triple, padding: Triple,
    native: Convolution, own: Convolution,
) -> bool:  # fmt: skip
    """Whether the Triton kernels run this call, measured when the case is new."""
    if torch.are_deterministic_algorithms_enabled():
        return False
    tensors = (clip, weight, bias)
    named = zip(("clip", "weight", "bias"), tensors, strict=True)
    learns = torch.is_grad_enabled()
    last = clip.is_contiguous(memory_format=torch.channels_last_3d)
    case = Case(
        f"{clip.device} {_device_name(clip.device)}".strip(),
        tuple(clip.shape),
        (weight.shape[2], weight.shape[3], weight.shape[4]),
        stride,
        padding,
        clip.dtype,
        "channels_last" if last else "channels_first",
        tuple(name for name, t in named if learns and t is not None and t.requires_grad),
        bias is not None,
    )
    known = _choices.get(case)
    if known is None:
        if clip.is_cuda and torch.cuda.is_current_stream_capturing():
            return False  # a graph that is being recorded cannot wait for a clock
        context = torch.cuda.device(clip.device) if clip.is_cuda else contextlib.nullcontext()
        with context, torch.autocast(clip.device.type, enabled=False):
            known = choose_kernel(case, tensors, native, own)
        if known.reason != "values that are not finite":
            _choices[case] = known
    return known.triton


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else ""
