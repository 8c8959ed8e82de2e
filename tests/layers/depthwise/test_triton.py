"""Triton kernels of depthwise convolutions, in Triton's interpreter, and the choice between paths.

The interpreter runs the kernels on CPU tensors; that they also compile for GPUs is the last part.
"""

from __future__ import annotations

import importlib
import importlib.util
import itertools

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from vitascope.errors import ConfigError
from vitascope.layers import depthwise
from vitascope.layers.depthwise import DepthwiseConv3d, depthwise_choices
from vitascope.layers.depthwise import (
    choice as depthwise_choice,
)
from vitascope.layers.depthwise import (
    kernels as depthwise_kernels,
)
from vitascope.layers.depthwise import (
    triton as depthwise_triton,
)
from vitascope.layers.depthwise.choice import Case, choose_kernel, convolve, difference
from vitascope.layers.depthwise.kernels import Kernels, load_kernels
from vitascope.layers.depthwise.triton import triton_conv3d

# The interpreter of Triton 3.6 converts arrays of one element, as NumPy before 2 allowed.
pytestmark = pytest.mark.filterwarnings("ignore:Conversion of an array:DeprecationWarning")

needs_triton = pytest.mark.skipif(
    importlib.util.find_spec("triton") is None,
    reason="Triton is not installed (PyTorch for CUDA brings it)",
)


@pytest.fixture
def interpreted(monkeypatch):
    """The kernels run in Triton's interpreter."""
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    load_kernels.cache_clear()
    yield
    load_kernels.cache_clear()


def _tensors(shape, kernel, dtype=torch.float64, bias=True):
    generator = torch.Generator().manual_seed(7)
    draw = [
        torch.randn(size, generator=generator, dtype=torch.float64).to(dtype)
        for size in (shape, (shape[1], 1, *kernel), (shape[1],))
    ]
    return draw[0], draw[1], draw[2] if bias else None


def _both(tensors, stride, padding, own=triton_conv3d):
    """Result and all gradients by the kernels in the tensors' type, and by conv3d in float64."""
    found = []
    for double in (False, True):
        clip, weight, bias = (
            None if t is None else (t.double() if double else t).detach().requires_grad_()
            for t in tensors
        )
        if double:
            out = F.conv3d(clip, weight, bias, stride, padding, 1, clip.shape[1])
        else:
            out = own(clip, weight, bias, stride, padding)
        wanted = [t for t in (clip, weight, bias) if t is not None]
        grad = torch.linspace(-1, 1, out.numel()).reshape(out.shape).to(tensors[0].dtype)
        found.append((out.detach(), *torch.autograd.grad(out, wanted, grad.to(out.dtype))))
    for mine, other in zip(*found, strict=True):
        assert mine.dtype is tensors[0].dtype
        assert mine.shape == other.shape
    return zip(*found, strict=True)


def _check(tensors, stride, padding, **tolerance):
    for mine, other in _both(tensors, stride, padding):
        torch.testing.assert_close(mine.double(), other, **tolerance)


def _sizes(limit):
    return st.tuples(*[st.integers(1, limit)] * 3)


@needs_triton
@settings(
    max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    shape=st.tuples(
        st.integers(1, 2), st.integers(1, 5), st.integers(1, 3), st.integers(1, 3),
        st.integers(1, 6),
    ),
    kernel=_sizes(3),
    stride=_sizes(2),
    padding=st.tuples(*[st.integers(0, 2)] * 3),
    bias=st.booleans(),
)  # fmt: skip
def test_small_cases_equal_conv3d(interpreted, shape, kernel, stride, padding, bias):
    kernel = tuple(min(k, s + 2 * p) for k, s, p in zip(kernel, shape[2:], padding, strict=True))
    _check(_tensors(shape, kernel, bias=bias), stride, padding, rtol=1e-10, atol=1e-12)


@needs_triton
@pytest.mark.slow
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    shape=st.tuples(st.integers(1, 2), st.integers(1, 70), _sizes(5)),
    kernel=_sizes(5),
    stride=_sizes(3),
    padding=st.tuples(*[st.integers(0, 3)] * 3),
)
def test_many_cases_equal_conv3d(interpreted, shape, kernel, stride, padding):
    shape = (*shape[:2], *shape[2])
    kernel = tuple(min(k, s + 2 * p) for k, s, p in zip(kernel, shape[2:], padding, strict=True))
    _check(_tensors(shape, kernel), stride, padding, rtol=1e-10, atol=1e-12)


@needs_triton
@pytest.mark.parametrize("stride", [(1, 1, 1), (1, 2, 2), (2, 2, 2)])
def test_kernels_of_x3d_and_csn(interpreted, stride):
    # 70 channels: two blocks, the second with a rest; 9 columns: a block with a rest.
    _check(_tensors((1, 70, 2, 2, 9), (3, 3, 3)), stride, (1, 1, 1), rtol=1e-10, atol=1e-12)


@needs_triton
@pytest.mark.parametrize(
    "kernel", [(5, 1, 1), (1, 5, 5), pytest.param((5, 7, 7), marks=pytest.mark.slow)]
)
def test_large_kernels(interpreted, kernel):
    padding = tuple(k // 2 for k in kernel)
    _check(_tensors((1, 3, 2, 1, 3), kernel), (1, 1, 1), padding, rtol=1e-10, atol=1e-12)


@needs_triton
@pytest.mark.parametrize("lines", [(1, 1), (3, 2)])
def test_lines_are_shared_between_few_programs(interpreted, monkeypatch, lines):
    """The weights' gradient when each program adds several lines, the last one fewer."""
    monkeypatch.setattr(depthwise_triton, "_PARTS", lines[0])
    _check(
        _tensors((lines[1], 2, 2, 2, 3), (3, 1, 3)), (1, 1, 1), (1, 0, 1), rtol=1e-10, atol=1e-12
    )


@needs_triton
@pytest.mark.parametrize("padding", [0, 1, 2])
@pytest.mark.parametrize("programs", [0, 10_000])
def test_frames_are_shared_between_programs(interpreted, monkeypatch, programs, padding):
    """Three taps in time: all frames in one program, and parts of them, the last one shorter."""
    monkeypatch.setattr(depthwise_triton, "_PROGRAMS", programs)
    _check(_tensors((2, 3, 7, 1, 2), (3, 1, 3)), (1, 1, 1), (padding, 0, 1), rtol=1e-10, atol=1e-12)


def test_a_program_computes_fewer_frames_only_where_programs_are_few():
    assert depthwise_triton._frames(16, 2048) == 16
    assert depthwise_triton._frames(16, 1024) == 8
    assert depthwise_triton._frames(16, 1) == 4
    assert depthwise_triton._frames(7, 1) == 4
    assert depthwise_triton._frames(3, 1) == 3


@needs_triton
@pytest.mark.parametrize("blocks", [4, 16])
def test_wide_lines_take_several_blocks(interpreted, monkeypatch, blocks):
    monkeypatch.setattr(depthwise_triton, "_TILE", 4 * blocks)
    _check(_tensors((1, 4, 1, 2, 37), (1, 3, 3)), (1, 1, 2), (0, 1, 1), rtol=1e-10, atol=1e-12)


@needs_triton
@pytest.mark.parametrize(
    ("dtype", "rounding"),
    # The interpreter cuts float32 off to bfloat16; a GPU rounds, which would be 2^-8.
    [(torch.float32, 2.0**-24), (torch.float16, 2.0**-11), (torch.bfloat16, 2.0**-7)],
)
def test_rounding_of_each_type(interpreted, dtype, rounding):
    """Sums of n terms in float32, then one rounding.

    |error| <= rounding |value| + n 2^-24 sum of |terms|; the last is the same for |tensors|.
    """
    tensors, stride, padding = _tensors((2, 5, 2, 3, 5), (3, 3, 3), dtype), (1, 2, 2), (1, 1, 1)
    absolute = [t.double().abs().requires_grad_() for t in tensors]
    out = F.conv3d(*absolute, stride, padding, 1, 5)
    grad = torch.linspace(-1, 1, out.numel(), dtype=torch.float64).reshape(out.shape).abs()
    sums = [out.detach(), *torch.autograd.grad(out, absolute, grad)]
    positions = out.numel() // 5
    counts = [28, 27, positions, positions]
    least = torch.finfo(dtype).smallest_normal
    for (mine, other), terms, n in zip(_both(tensors, stride, padding), sums, counts, strict=True):
        bound = rounding * (other.abs() + least) + n * 2.0**-24 * terms * 1.01
        assert bool(((mine.double() - other).abs() <= bound).all())


@needs_triton
@pytest.mark.parametrize("view", ["channels_last", "channels_first", "strided", "expanded"])
def test_any_memory_order(interpreted, view):
    clip, weight, bias = _tensors((2, 4, 2, 3, 4), (3, 3, 1))
    clip = {
        "channels_last": lambda: clip.contiguous(memory_format=torch.channels_last_3d),
        "channels_first": lambda: clip,
        "strided": lambda: clip.repeat(1, 1, 1, 2, 1)[..., ::2, :].flip(4),
        "expanded": lambda: clip[:1].expand(2, -1, -1, -1, -1),
    }[view]()
    _check((clip, weight, bias), (1, 1, 1), (1, 1, 0), rtol=1e-10, atol=1e-12)
    out = triton_conv3d(clip, weight, bias, (1, 1, 1), (1, 1, 0))
    assert out.is_contiguous(memory_format=torch.channels_last_3d)


@needs_triton
def test_an_empty_batch_has_empty_results_and_zero_gradients(interpreted):
    clip, weight, bias = (t.requires_grad_() for t in _tensors((0, 3, 2, 3, 4), (3, 3, 3)))
    out = triton_conv3d(clip, weight, bias, (1, 1, 1), (1, 1, 1))
    assert out.shape == (0, 3, 2, 3, 4)
    out.sum().backward()
    assert clip.grad.shape == clip.shape
    assert not weight.grad.any() and not bias.grad.any()


@needs_triton
def test_nothing_outside_is_read_or_written_and_everything_inside_is(interpreted):
    def guarded(tensor):
        """Its values in channels-last memory with NaN before and behind."""
        b, c, t, h, w = tensor.shape
        memory = torch.full((tensor.numel() + 2000,), float("nan"), dtype=tensor.dtype)
        inside = memory[1000:-1000].view(b, t, h, w, c).permute(0, 4, 1, 2, 3)
        inside.copy_(tensor)
        return memory, inside

    clip, weight, _ = _tensors((1, 5, 2, 3, 6), (3, 3, 3))
    _, inside = guarded(clip)
    want = F.conv3d(clip, weight, None, (1, 2, 2), (1, 1, 1), 1, 5)
    memory, result = guarded(torch.full_like(want, float("nan")))
    axes = [depthwise_triton.forward_axis(3, step, 1) for step in (1, 2, 2)]
    depthwise_triton._gather(inside, weight, None, result, axes, tuple(want.shape[2:]))
    torch.testing.assert_close(result, want)
    assert memory[:1000].isnan().all() and memory[-1000:].isnan().all()
    _, grad = guarded(want)
    found = depthwise_triton.weight_gradient(grad, inside, weight.shape, (1, 2, 2), (1, 1, 1))
    wanted = torch.nn.grad.conv3d_weight(clip, weight.shape, want, (1, 2, 2), 1, 1, 5)
    torch.testing.assert_close(found, wanted)


def test_phases_meet_every_pair_of_input_and_output_once():
    """The plan of the input's gradient, against the definition, for all small sizes."""
    for size, kernel, stride, padding in itertools.product(range(1, 8), range(1, 8), (1, 2, 3), (0, 1, 3)):  # noqa: E501  # fmt: skip
        outputs = (size + 2 * padding - kernel) // stride + 1
        pairs = {
            (o * stride - padding + k, o, k)
            for o, k in itertools.product(range(outputs), range(kernel))
            if 0 <= o * stride - padding + k < size
        }
        found = []
        for phase in range(stride):
            axis = depthwise_triton.backward_axis(kernel, stride, padding, phase)
            for q, j in itertools.product(range(-(-(size - phase) // stride)), range(axis.taps)):
                o = q * axis.scale + axis.shift + axis.direction * j
                if 0 <= o < outputs:
                    found.append((axis.phase + q * axis.step, o, axis.first + axis.tap_step * j))
        assert len(found) == len(set(found)) and set(found) == pairs


@needs_triton
def test_gradients_of_gradients_are_those_of_conv3d(interpreted):
    found = []
    for own in (True, False):
        clip, weight, _ = (t.requires_grad_() for t in _tensors((1, 2, 2, 2, 3), (1, 3, 3)))
        out = (
            triton_conv3d(clip, weight, None, (1, 1, 1), (0, 1, 1))
            if own
            else F.conv3d(clip, weight, None, 1, (0, 1, 1), 1, 2)
        )
        (first,) = torch.autograd.grad(out.square().sum(), clip, create_graph=True)
        found.append(torch.autograd.grad(first.square().sum(), (clip, weight)))
    for mine, other in zip(*found, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-10, atol=1e-12)


@needs_triton
@pytest.mark.parametrize("frozen", ["clip", "weight"])
def test_gradients_that_nobody_wants_are_not_computed(interpreted, monkeypatch, frozen):
    clip, weight, _ = _tensors((1, 2, 2, 2, 3), (1, 1, 3))
    which = {"clip": "input_gradient", "weight": "weight_gradient"}[frozen]

    def never(*args):
        raise AssertionError(f"{which} was computed")

    monkeypatch.setattr(depthwise_triton, which, never)
    learns = weight if frozen == "clip" else clip
    learns.requires_grad_()
    triton_conv3d(clip, weight, None, (1, 1, 1), (0, 0, 1)).sum().backward()
    assert learns.grad is not None


# ---- the choice between the two, with clocks that tell what they are told


def _fake_triton(clip, weight, bias, stride, padding):
    return F.conv3d(clip, weight, bias, stride, padding, 1, clip.shape[1])


@pytest.fixture
def chooser(monkeypatch):
    """The chooser with PyTorch's convolution in Triton's place and a clock with set times."""
    times = {"triton": 1.0, "native": 2.0, "calls": 0}

    def clock(run):
        run()
        times["calls"] += 1
        return times["triton"] if times["calls"] % 2 else times["native"]

    counts = {"triton": 0}

    def counted(*args):
        counts["triton"] += 1
        return _fake_triton(*args)

    class Broken(Exception):
        """In the place of Triton's own error."""

    monkeypatch.delenv(depthwise_choice.VARIABLE, raising=False)
    monkeypatch.setattr(
        depthwise_choice, "load_kernels", lambda: Kernels(None, None, None, None, Broken)
    )
    monkeypatch.setattr(depthwise_choice, "triton_conv3d", counted)
    monkeypatch.setattr(depthwise_choice, "device_milliseconds", clock)
    monkeypatch.setattr(depthwise_choice, "_choices", {})
    return times, counts, Broken


def _call(dtype=torch.float32, shape=(2, 3, 2, 4, 4), learns=True):
    clip, weight, bias = _tensors(shape, (3, 3, 3), dtype)
    return convolve(clip, weight.requires_grad_(learns), bias, (1, 1, 1), (1, 1, 1))


@pytest.mark.parametrize(("own", "native", "wins"), [(1, 2, True), (2, 1, False), (1, 1, False)])
def test_the_faster_path_is_kept(chooser, own, native, wins):
    times, counts, _ = chooser
    times.update(triton=own, native=native)
    _call()
    trials = counts["triton"]
    assert times["calls"] == 2
    _call()
    _call()
    assert times["calls"] == 2, "measured again"
    assert counts["triton"] == trials + 2 * wins
    (choice,) = depthwise_choices()
    assert choice.triton is wins
    assert (choice.triton_ms, choice.native_ms) == (own, native)
    assert choice.case.gradients == ("weight",)
    assert ("triton" if wins else "native") in str(choice) and "2x3x2x4x4" in str(choice)


def test_each_case_is_measured_on_its_own(chooser):
    _call()
    _call(learns=False)
    _call(dtype=torch.bfloat16)
    _call(shape=(1, 3, 2, 4, 4))
    with torch.no_grad():
        _call()  # the same as without gradients
    cases = [choice.case for choice in depthwise_choices()]
    assert len(cases) == 4
    assert [case.gradients for case in cases] == [("weight",), (), ("weight",), ("weight",)]


def test_a_wrong_result_is_never_used(chooser, monkeypatch):
    times, _, _ = chooser
    monkeypatch.setattr(
        depthwise_choice, "triton_conv3d", lambda *args: _fake_triton(*args) * 1.001
    )
    with pytest.warns(UserWarning, match="differs from PyTorch's by 1.0e-03"):
        _call()
    assert not depthwise_choices()[0].triton
    assert times["calls"] == 0
    _call()  # and is not warned of again


@pytest.mark.parametrize("own", [True, False])
def test_a_kernel_that_does_not_compile_is_reported_once(chooser, monkeypatch, own):
    error = chooser[2] if own else RuntimeError

    def broken(*args):
        raise error("Failed to find C compiler\nmore")

    monkeypatch.setattr(depthwise_choice, "triton_conv3d", broken)
    with pytest.warns(UserWarning, match=r"Failed to find C compiler\. PyTorch's runs"):
        out = _call()
    assert torch.equal(out, _call())
    assert "C compiler" in depthwise_choices()[0].reason


def test_without_triton_nothing_is_tried(chooser, monkeypatch):
    def missing():
        raise ModuleNotFoundError("No module named 'triton'")

    monkeypatch.setattr(depthwise_choice, "load_kernels", missing)
    _call()
    assert "does not load" in depthwise_choices()[0].reason
    monkeypatch.setenv(depthwise_choice.VARIABLE, "triton")
    with pytest.raises(ConfigError, match="Triton does not load"):
        _call()


def test_values_that_are_not_finite_decide_nothing(chooser):
    clip, weight, _ = _tensors((1, 2, 2, 3, 3), (3, 3, 3), torch.float32)
    clip[0, 0, 0, 0, 0] = float("nan")
    convolve(clip, weight, None, (1, 1, 1), (1, 1, 1))
    assert not depthwise_choices()
    convolve(clip.nan_to_num(), weight, None, (1, 1, 1), (1, 1, 1))
    assert depthwise_choices()[0].triton


@pytest.mark.parametrize("mode", ["native", "triton"])
def test_the_variable_decides_in_place_of_the_clock(chooser, monkeypatch, mode):
    times, counts, _ = chooser
    monkeypatch.setenv(depthwise_choice.VARIABLE, mode)
    _call()
    assert times["calls"] == 0
    assert counts["triton"] == (mode == "triton")
    assert not depthwise_choices()


def test_an_unknown_value_of_the_variable_is_told(chooser, monkeypatch):
    monkeypatch.setenv(depthwise_choice.VARIABLE, "of")
    with pytest.raises(ConfigError, match=r"VITASCOPE_DEPTHWISE='of'.*auto, native, triton"):
        _call()


def test_deterministic_algorithms_leave_nothing_to_the_clock(chooser):
    times, counts, _ = chooser
    torch.use_deterministic_algorithms(True)
    try:
        _call()
    finally:
        torch.use_deterministic_algorithms(False)
    assert times["calls"] == counts["triton"] == 0


def test_types_that_the_kernels_do_not_take_are_left_to_pytorch(chooser):
    _call(dtype=torch.float64)
    assert chooser[1]["triton"] == 0
    clip, weight, _ = _tensors((1, 2, 1, 2, 2), (3, 3, 3), torch.float32)
    with pytest.raises(RuntimeError, match="Kernel size"):  # PyTorch's own error
        convolve(clip, weight, None, (1, 1, 1), (0, 0, 0))


def test_a_trial_leaves_no_trace_in_graph_or_random_numbers(chooser):
    clip, weight, _ = _tensors((1, 2, 2, 3, 3), (3, 3, 3), torch.float32)
    clip.requires_grad_()
    weight.requires_grad_()
    state = torch.get_rng_state()
    out = convolve(clip, weight, None, (1, 1, 1), (1, 1, 1))
    assert clip.grad is None and weight.grad is None
    assert torch.equal(state, torch.get_rng_state())
    out.sum().backward()
    assert clip.grad is not None and weight.grad is not None


def test_difference_is_that_of_the_worst_and_shows_nan():
    one, zero = torch.ones(4), torch.zeros(4)
    assert difference([one, one * 1.5], [one, one]) == pytest.approx(0.5)
    assert difference([zero], [zero]) == 0
    assert difference([one, one * float("nan"), one], [one] * 3) != 0.0
    assert not difference([one, one * float("nan"), one], [one] * 3) <= 1


def test_choose_times_forward_and_backward(chooser):
    tensors = _tensors((1, 2, 2, 3, 3), (1, 1, 1), torch.float32)
    seen = []

    def own(clip, weight, bias):
        seen.append(tuple(t.requires_grad for t in (clip, weight, bias)))
        return clip * weight.reshape(1, -1, 1, 1, 1) + bias.reshape(1, -1, 1, 1, 1)

    case = Case(
        "cpu", (1, 2, 2, 3, 3), (1, 1, 1), (1, 1, 1), (0, 0, 0), torch.float32,
        "channels_first", ("clip", "bias"), True,
    )  # fmt: skip
    times = iter([1.0, 3.0])

    def clock(run):
        assert len(run()) == 3, "the result and two gradients"
        return next(times)

    choice = choose_kernel(case, tensors, lambda c, w, b: F.conv3d(c, w, b, groups=2), own, clock)
    assert choice.triton and (choice.triton_ms, choice.native_ms) == (1.0, 3.0)
    assert set(seen) == {(True, False, True)}


# ---- the layer


@pytest.fixture
def on_gpu(monkeypatch):
    """The layer takes CPU tensors for a GPU's."""
    monkeypatch.setattr(depthwise, "_by_own_gradient", lambda module, clip: False)
    monkeypatch.setattr(depthwise, "_by_gpu_kernels", lambda module, clip: True)


def test_activation_checkpoints_see_no_trial(chooser, on_gpu):
    layer = DepthwiseConv3d(3, 3, padding=1)
    clip = torch.randn(1, 3, 2, 4, 4, requires_grad=True)
    checkpoint(lambda x: layer(x).sigmoid(), clip, use_reentrant=False).sum().backward()
    assert depthwise_choices()[0].triton
    got = clip.grad.clone()
    clip.grad = None
    F.conv3d(clip, layer.weight, layer.bias, 1, 1, 1, 3).sigmoid().sum().backward()
    torch.testing.assert_close(got, clip.grad)


@needs_triton
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_kernels_pass_the_comparison(interpreted, on_gpu, monkeypatch, dtype):
    """The whole way of a GPU but for its clock: trial, comparison, choice, training."""
    times = iter([1.0, 2.0])
    monkeypatch.delenv(depthwise_choice.VARIABLE, raising=False)
    monkeypatch.setattr(depthwise_choice, "_choices", {})
    monkeypatch.setattr(depthwise_choice, "device_milliseconds", lambda run: next(times))
    layer = DepthwiseConv3d(3, 3, stride=(1, 2, 2), padding=1).to(dtype)
    clip = torch.randn(1, 3, 2, 3, 3, dtype=dtype, requires_grad=True)
    layer(clip).sum().backward()
    (choice,) = depthwise_choices()
    assert choice.triton, choice.reason
    assert choice.case.gradients == ("clip", "weight", "bias")
    assert clip.grad is not None and layer.weight.grad is not None and layer.bias.grad is not None


@needs_triton
def test_layer_under_autocast(interpreted, on_gpu, monkeypatch):
    monkeypatch.setenv(depthwise_choice.VARIABLE, "triton")
    layer = DepthwiseConv3d(3, (1, 3, 3), stride=(1, 2, 2), padding=(0, 1, 1))
    plain = torch.nn.Conv3d(3, 3, (1, 3, 3), (1, 2, 2), (0, 1, 1), groups=3)
    plain.load_state_dict(layer.state_dict())
    x = torch.randn(1, 3, 1, 4, 5)
    found = []
    for net in (layer, plain):
        clip = x.clone().requires_grad_()
        with torch.autocast("cpu", torch.bfloat16):
            out = net(clip)
        assert out.dtype is torch.bfloat16
        out.float().square().sum().backward()
        found.append([out.float(), clip.grad, net.weight.grad, net.bias.grad])
    for mine, other in zip(*found, strict=True):
        assert mine.dtype is torch.float32
        assert difference([mine.detach()], [other.detach()]) < 0.02


def test_cpu_tensors_and_captured_graphs_never_come_here(monkeypatch):
    def never(*args):
        raise AssertionError("the path of GPUs was taken")

    monkeypatch.setattr(depthwise, "convolve_on_gpu", never)
    layer, clip = DepthwiseConv3d(2, 3, padding=1), torch.randn(1, 2, 2, 3, 3)
    layer(clip).sum().backward()
    with torch.no_grad():
        layer(clip)
        torch.func.vmap(layer)(clip[None])
    torch.export.export(layer, (clip,))
    torch.jit.trace(layer, (clip,))


def test_what_stands_for_other_tensors_is_left_to_pytorch():
    """Fake tensors claim to be on a GPU; nothing there can be timed."""
    from torch._subclasses import FakeTensorMode

    with FakeTensorMode():
        layer = DepthwiseConv3d(2, 3, padding=1, bias=False)
        clip = torch.empty(1, 2, 2, 3, 3, device="cuda")
    assert clip.is_cuda and not depthwise._by_gpu_kernels(layer, clip)


# ---- compiled: what the interpreter does not see


def _signature(kernel, dtype):
    types = {"source": dtype, "weight": dtype, "bias": dtype, "result": dtype, "grad": dtype}
    types |= {"parts": "fp32", "AXES": "constexpr", "BLOCK": "constexpr"}
    numbers = {"lines": ("i32",) * 2, "frames": "i32"}
    types["weight"] = "fp32"
    return {
        name: numbers.get(name, ("i32",) * 3)
        if name not in types
        else types[name] if name.isupper() else f"*{types[name]}"
        for name in kernel.arg_names
    }  # fmt: skip


@needs_triton
@pytest.mark.slow
@pytest.mark.parametrize("capability", [80, 90])
@pytest.mark.parametrize("dtype", ["bf16", "fp32"])
def test_kernels_compile_for_gpus(monkeypatch, tmp_path, capability, dtype):
    """To machine code, with Triton's own assembler; no GPU is needed."""
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    load_kernels.cache_clear()
    kernels = load_kernels()
    compiler = importlib.import_module("triton.compiler")
    target = importlib.import_module("triton.backends.compiler").GPUTarget("cuda", capability, 32)
    tl = depthwise_kernels.tl
    value = {"bf16": tl.bfloat16, "fp32": tl.float32}[dtype]
    forward = tuple(tuple(depthwise_triton.forward_axis(3, step, 1)) for step in (1, 2, 2))
    backward = tuple(tuple(depthwise_triton.backward_axis(3, step, 1, 1)) for step in (1, 2, 2))
    axes = tuple((3, step, 1) for step in (1, 2, 2))
    blocks = {"channels": 54, "kernel": (3, 3)}
    gather = (16, 64, blocks["channels"], *blocks["kernel"], tl.float32)
    cases = [
        (kernels.gather, forward, (*gather, True, value)),
        (kernels.gather, backward, (*gather, False, value)),
        (kernels.march, forward, (*gather, True, value)),
        (kernels.march, backward, (*gather, False, value)),
        (kernels.correlate, axes, (32, 64, 4, blocks["channels"], tl.float32)),
    ]
    for kernel, axis, block in cases:
        names = kernel.arg_names
        constants = {(names.index("AXES"),): axis, (names.index("BLOCK"),): block}
        source = compiler.ASTSource(kernel, _signature(kernel, dtype), constexprs=constants)
        done = compiler.compile(source, target=target, options={"num_warps": 4})
        assert done.asm["cubin"][:4] == b"\x7fELF"
        assert f".target sm_{capability}" in done.asm["ptx"]
    load_kernels.cache_clear()


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("stride", [(1, 1, 1), (1, 2, 2), (2, 2, 2)])
@pytest.mark.parametrize("channels", [24, 54, 432])
def test_on_a_gpu(dtype, stride, channels):
    shape, kernel = (4, channels, 8, 14, 14), (3, 3, 3)
    tensors = [t.cuda() for t in _tensors(shape, kernel, dtype)]
    native = [t.double() for t in tensors]
    wanted = depthwise_choice.run_once(
        lambda c, w, b: F.conv3d(c, w, b, stride, 1, 1, channels),
        native, ("clip", "weight", "bias"),
    )  # fmt: skip
    found = depthwise_choice.run_once(
        lambda c, w, b: triton_conv3d(c, w, b, stride, (1, 1, 1)),
        tensors, ("clip", "weight", "bias"), wanted[0].to(dtype),
    )  # fmt: skip
    assert difference(found, wanted) < depthwise_choice._TOLERANCE[dtype]
