"""Gradients of DepthwiseConv3d against those of torch's Conv3d, in float64."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vitascope.layers.depthwise import DepthwiseConv3d


def _compare(channels, shape, kernel, stride, padding, channels_last, bias=False):
    layer = DepthwiseConv3d(channels, kernel, stride, padding, bias=bias).double()
    plain = torch.nn.Conv3d(
        channels, channels, kernel, stride, padding, groups=channels, bias=bias
    ).double()
    plain.load_state_dict(layer.state_dict())
    x = torch.randn(2, channels, *shape, dtype=torch.float64)
    if channels_last:
        x = x.to(memory_format=torch.channels_last_3d)
    a, b = x.clone().requires_grad_(), x.clone().requires_grad_()
    out, want = layer(a), plain(b)
    assert torch.equal(out, want) or torch.allclose(out, want, rtol=0, atol=1e-12)
    g = torch.randn_like(want)
    (out * g).sum().backward()
    (want * g).sum().backward()
    torch.testing.assert_close(a.grad, b.grad, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(layer.weight.grad, plain.weight.grad, rtol=1e-10, atol=1e-12)
    if bias:
        torch.testing.assert_close(layer.bias.grad, plain.bias.grad, rtol=1e-10, atol=1e-12)


@settings(max_examples=60, deadline=None)
@given(
    channels=st.integers(1, 5),
    shape=st.tuples(st.integers(1, 6), st.integers(1, 9), st.integers(1, 9)),
    kernel=st.tuples(*[st.integers(1, 5)] * 3),
    stride=st.tuples(*[st.integers(1, 3)] * 3),
    padding=st.tuples(*[st.integers(0, 3)] * 3),
    channels_last=st.booleans(),
)
def test_gradients_equal_those_of_conv3d(channels, shape, kernel, stride, padding, channels_last):
    padding = tuple(
        max(p, (k - s + 1) // 2) for p, k, s in zip(padding, kernel, shape, strict=True)
    )
    if any(s + 2 * p < k for s, p, k in zip(shape, padding, kernel, strict=True)):
        return
    _compare(channels, shape, kernel, stride, padding, channels_last)


@pytest.mark.parametrize("stride", [(1, 1, 1), (1, 2, 2), (2, 2, 2)])
def test_x3d_shapes_with_bias(stride):
    _compare(6, (5, 8, 7), (3, 3, 3), stride, (1, 1, 1), True, bias=True)


def test_state_dict_and_arguments_are_those_of_conv3d():
    layer = DepthwiseConv3d(4, (5, 1, 1), padding=(2, 0, 0), bias=False)
    assert list(layer.state_dict()) == ["weight"]
    assert layer.weight.shape == (4, 1, 5, 1, 1)
    assert isinstance(layer, torch.nn.Conv3d)


def test_export_keeps_a_plain_convolution():
    layer = DepthwiseConv3d(4, 3, padding=1)
    program = torch.export.export(layer, (torch.randn(1, 4, 3, 5, 5),))
    names = {str(node.target) for node in program.graph.nodes if node.op == "call_function"}
    assert any("conv3d" in name for name in names), names


def test_frozen_weight_and_frozen_input():
    layer = DepthwiseConv3d(3, 3, padding=1, bias=False)
    x = torch.randn(1, 3, 4, 5, 5)
    layer(x).sum().backward()
    assert layer.weight.grad is not None
    layer.requires_grad_(False)
    y = x.clone().requires_grad_()
    layer(y).sum().backward()
    assert y.grad is not None


def test_large_clips_are_summed_clip_by_clip(monkeypatch):
    monkeypatch.setattr("vitascope.layers.depthwise._CLIP_BY_CLIP", 10)
    _compare(4, (5, 6, 7), (3, 3, 3), (1, 2, 2), (1, 1, 1), True)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_training_under_autocast(dtype: torch.dtype) -> None:
    layer = DepthwiseConv3d(4, 3, stride=(1, 2, 2), padding=1)
    plain = torch.nn.Conv3d(4, 4, 3, (1, 2, 2), 1, groups=4)
    plain.load_state_dict(layer.state_dict())
    x = torch.randn(2, 4, 3, 6, 6)
    found = []
    for net in (layer, plain):
        clip = x.clone().requires_grad_()
        with torch.autocast("cpu", torch.bfloat16):
            out = net(clip.to(dtype))
        out.float().square().sum().backward()
        found.append([out.dtype, out.float(), clip.grad, net.weight.grad, net.bias.grad])
    assert found[0][0] == found[1][0] == torch.bfloat16
    for mine, other in zip(found[0][1:], found[1][1:], strict=True):
        assert mine.dtype == torch.float32
        assert float(((mine - other).norm() / other.norm()).detach()) < 0.02
