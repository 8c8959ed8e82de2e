"""Depthwise 3-D convolution whose gradients are fast on a CPU.

X3D and CSN spend most of a training step in the backward pass of depthwise convolutions, because
the CPU kernels of 3-D depthwise *gradients* are several times slower than the forward kernel and
than their 2-D relatives. Both gradients can be written with fast kernels only:

* with respect to the input: a depthwise convolution of the output gradient with the mirrored
  kernel. A stride is split into its phases: input positions that share a remainder modulo the
  stride see the same few taps, so each phase is a small dense convolution, and the phases are
  interleaved.
* with respect to the weight: for each tap in time a 2-D depthwise weight gradient over all
  frames, on views of the same memory (frames of a `channels_last_3d` clip are a batch of
  `channels_last` images).

The sums are the same as those of `torch.nn.functional.conv3d`, in another order.

On a CUDA device own Triton kernels run in place of PyTorch's where they were measured to be faster
(`depthwise_choice`); `depthwise_choices()` tells what was chosen.
"""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from vitascope.layers.depthwise.choice import convolve as convolve_on_gpu
from vitascope.layers.depthwise.choice import depthwise_choices as depthwise_choices

Triple = tuple[int, int, int]

# The frames of one clip lie next to each other, so no copy is needed to shift them in time; those
# of a batch must be copied for all but the middle tap. Above this many values a clip the copy costs
# more than the calls it saves (measured on two cores with AVX-512; the gain reaches a factor of 3).
_CLIP_BY_CLIP = 250_000

_convolution_backward = torch.ops.aten.convolution_backward.default


class _Phase(NamedTuple):
    """One dimension of one phase of the input gradient.

    Input position `i = phase + stride * j` receives output `o = (i + padding - k) / stride` through
    tap `k`, for every `k` of the right remainder: consecutive `o` as `k` falls by `stride`. So the
    phase is a convolution of the outputs [low, high) with `taps`, zeros (`pad`) at both ends, of
    whose results those from `skip` on are wanted, `length` of them.
    """

    taps: list[int]
    low: int
    high: int
    pad: int
    skip: int
    length: int


def _phase(
    size_in: int, size_out: int, kernel: int, stride: int, padding: int, phase: int
) -> _Phase | None:
    """The plan of one phase; None where no output reaches it (its gradient is zero)."""
    count = -(-(size_in - phase) // stride)
    taps = [k for k in range(kernel) if (phase + padding - k) % stride == 0][::-1]
    if count <= 0 or not taps:
        return None
    first = (phase + padding - taps[0]) // stride
    end = first + count + len(taps) - 1
    low, high = max(first, 0), min(end, size_out)
    if low >= high:
        return None
    before, after = low - first, end - high
    pad = max(before, after)
    return _Phase(taps, low, high, pad, pad - before, count)


def _phase_gradient(grad: Tensor, weight: Tensor, phases: tuple[_Phase, ...]) -> Tensor:
    """Gradient at the input positions of one phase in each of T, H and W."""
    for dim, phase in enumerate(phases, start=2):
        grad = grad.narrow(dim, phase.low, phase.high - phase.low)
        weight = weight.index_select(dim, torch.tensor(phase.taps, device=weight.device))
    grad = grad.contiguous(memory_format=torch.channels_last_3d)
    pad = [phase.pad for phase in phases]
    out = F.conv3d(grad, weight, None, 1, pad, 1, grad.shape[1])
    for dim, phase in enumerate(phases, start=2):
        out = out.narrow(dim, phase.skip, phase.length)
    return out


def _input_gradient(
    grad: Tensor, weight: Tensor, shape: torch.Size, stride: Triple, padding: Triple
) -> Tensor:
    """Gradient with respect to an input of `shape` (B C T H W)."""
    sizes = zip(shape[2:], grad.shape[2:], weight.shape[2:], stride, padding, strict=True)
    plans = [[_phase(*size, phase) for phase in range(size[3])] for size in sizes]
    if stride == (1, 1, 1):
        only = [plan[0] for plan in plans]
        if all(phase is not None for phase in only):
            return _phase_gradient(grad, weight, cast("tuple[_Phase, ...]", tuple(only)))
    result = torch.empty(
        shape, dtype=grad.dtype, device=grad.device, memory_format=torch.channels_last_3d
    )
    for starts in itertools.product(*(range(s) for s in stride)):
        phases = tuple(plan[start] for plan, start in zip(plans, starts, strict=True))
        t, h, w = (slice(start, None, step) for start, step in zip(starts, stride, strict=True))
        if any(phase is None for phase in phases):
            result[:, :, t, h, w] = 0
        else:
            result[:, :, t, h, w] = _phase_gradient(
                grad, weight, cast("tuple[_Phase, ...]", phases)
            )
    return result


def _frames(clip: Tensor, first: int, count: int, step: int) -> Tensor:
    """Frames `first, first + step, ...` of B C T H W as a batch of images (B * count) C H W."""
    part = clip[:, :, first : first + (count - 1) * step + 1 : step]
    # Through B T H W C: that is the order in memory, so a copy, where needed, moves whole rows.
    images = part.permute(0, 2, 3, 4, 1).reshape(-1, *clip.shape[3:], clip.shape[1])
    return images.permute(0, 3, 1, 2)


def _weight_gradient(
    grad: Tensor, clip: Tensor, shape: torch.Size, stride: Triple, padding: Triple
) -> Tensor:
    """Gradient with respect to a weight of `shape` (C 1 kT kH kW)."""
    channels, frames_in, frames_out = clip.shape[1], clip.shape[2], grad.shape[2]
    if len(clip) > 1 and clip[0].numel() > _CLIP_BY_CLIP:
        pairs = zip(torch.split(grad, 1), torch.split(clip, 1), strict=True)
        parts = [_weight_gradient(g, c, shape, stride, padding) for g, c in pairs]
        return torch.stack(parts).sum(0)
    dummy = grad.new_zeros(channels, 1, shape[3], shape[4])
    result = grad.new_zeros(shape)
    for tap in range(shape[2]):
        # output frames o whose input frame o * stride + tap - padding exists
        low = max(0, -(-(padding[0] - tap) // stride[0]))
        high = min(frames_out - 1, (frames_in - 1 + padding[0] - tap) // stride[0])
        if high < low:
            continue
        count = high - low + 1
        images = _frames(clip, low * stride[0] + tap - padding[0], count, stride[0])
        result[:, :, tap] = _convolution_backward(
            _frames(grad, low, count, 1), images, dummy, [0], list(stride[1:]), list(padding[1:]),
            [1, 1], False, [0, 0], channels, [False, True, False],
        )[1]  # fmt: skip
    return result


class _DepthwiseConv3d(torch.autograd.Function):
    """conv3d with groups = channels, forward as torch does it, gradients as described above."""

    @staticmethod
    def forward(ctx: Any, clip: Tensor, weight: Tensor, stride: Triple, padding: Triple) -> Tensor:
        ctx.save_for_backward(clip, weight)
        ctx.stride, ctx.padding = stride, padding
        return F.conv3d(clip, weight, None, stride, padding, 1, clip.shape[1])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        clip, weight = ctx.saved_tensors
        grad = grads[0].contiguous(memory_format=torch.channels_last_3d)
        need_clip, need_weight = ctx.needs_input_grad[:2]
        return (
            _input_gradient(grad, weight, clip.shape, ctx.stride, ctx.padding)
            if need_clip
            else None,
            _weight_gradient(grad, clip, weight.shape, ctx.stride, ctx.padding)
            if need_weight
            else None,
            None,
            None,
        )


def _by_own_gradient(module: nn.Conv3d, clip: Tensor) -> bool:
    """Whether the CPU gradients above serve this call; elsewhere torch's own are as good."""
    return (
        clip.device.type == "cpu"
        and torch.is_grad_enabled()
        and (clip.requires_grad or module.weight.requires_grad)
        and not torch.compiler.is_compiling()
        and not torch.compiler.is_exporting()
        and not torch._C._get_tracing_state()
        and clip.dim() == 5
    )


def _by_gpu_kernels(module: nn.Conv3d, clip: Tensor) -> bool:
    """Whether this is a plain call on a GPU, for which the faster kernels may be looked for.

    Not while a graph is captured, nor for tensors that stand for others (fake, distributed, those
    of function transforms), nor where operations are counted or redirected.
    """
    return (
        clip.is_cuda
        and not torch.compiler.is_compiling()
        and not torch.compiler.is_exporting()
        and not torch._C._get_tracing_state()
        and clip.dim() == 5
        and type(clip) is Tensor
        and type(module.weight) in (Tensor, nn.Parameter)
        and isinstance(module.padding, tuple)
        and not torch._C._are_functorch_transforms_active()
        and not torch._C._len_torch_dispatch_stack()
    )


class DepthwiseConv3d(nn.Conv3d):
    """`torch.nn.Conv3d` with one filter a channel; fast gradients on a CPU, own kernels on a GPU.

    Parameters and state-dict names are those of `Conv3d(channels, channels, kernel_size,
    groups=channels)`. In evaluation on a CPU, on devices other than CUDA's, and while a graph is
    captured it is exactly that layer.

    Args:
        channels: number of channels C.
        kernel_size: size (T, H, W).
        stride: step (T, H, W).
        padding: zeros added at both ends (T, H, W).
        bias: whether to add a number to each channel.

    Shape:
        B C T H W to B C T' H' W', as `Conv3d`.
    """

    def __init__(
        self,
        channels: int,
        kernel_size: int | Triple,
        stride: int | Triple = 1,
        padding: int | Triple = 0,
        bias: bool = True,
    ) -> None:
        super().__init__(
            channels, channels, kernel_size, stride=stride, padding=padding, groups=channels,
            bias=bias,
        )  # fmt: skip

    def forward(self, input: Tensor) -> Tensor:
        """Convolves `input` (B C T H W)."""
        if torch.jit.is_scripting():  # type: ignore[attr-defined]
            plain: Tensor = self._conv_forward(input, self.weight, self.bias)
            return plain
        else:  # what follows a plain return would be scripted too
            return self._convolve(input)

    def _convolve(self, input: Tensor) -> Tensor:
        if not _by_own_gradient(self, input):
            if _by_gpu_kernels(self, input):
                stride, padding = cast(Triple, self.stride), cast(Triple, self.padding)
                return convolve_on_gpu(input, self.weight, self.bias, stride, padding)
            return super().forward(input)
        weight: Tensor = self.weight
        if torch.is_autocast_enabled("cpu") and weight.dtype is torch.float32:
            # Here, where autograd sees it: the backward pass runs outside of autocast.
            dtype = torch.get_autocast_dtype("cpu")
            input, weight = input.to(dtype), weight.to(dtype)
        out = _DepthwiseConv3d.apply(  # type: ignore[no-untyped-call]
            input, weight, self.stride, self.padding
        )
        out = cast(Tensor, out)
        return out if self.bias is None else out + self.bias.to(out.dtype).view(1, -1, 1, 1, 1)
