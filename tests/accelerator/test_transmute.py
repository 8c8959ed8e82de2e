"""Blocks in the place of convolutions, and their form for deployment: the same numbers."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from vitascope.accelerator.convert import convert_to_deployable_form
from vitascope.accelerator.transmute import (
    EFFICIENT_BLOCK_TRANSMUTER_MOBILE_CPU,
    transmute_Conv3d3x1x1BnAct,
    transmute_Conv3d3x3x3DwBnAct,
    transmute_Conv3d5x1x1BnAct,
    transmute_Conv3dPwBnAct,
    transmute_Conv3dTemporalKernel1BnAct,
    transmute_model,
)
from vitascope.errors import ConfigError, UnknownNameError
from vitascope.layers.mobile_cpu.base import EfficientBlockBase
from vitascope.layers.mobile_cpu.convolutions import Conv3dPwBnAct
from vitascope.layers.mobile_cpu.pool import AdaptiveAvgPool3dOutSize1
from vitascope.models.efficient_x3d import create_efficient_x3d
from vitascope.models.registry import create_model

CASES = [
    (transmute_Conv3dPwBnAct, nn.Conv3d(4, 6, 1)),
    (transmute_Conv3dPwBnAct, nn.Conv3d(4, 6, 1, bias=False, dilation=2)),
    (transmute_Conv3d3x3x3DwBnAct, nn.Conv3d(4, 4, 3, padding=1, groups=4)),
    (transmute_Conv3d3x3x3DwBnAct,
     nn.Conv3d(4, 4, 3, (1, 2, 2), padding=1, groups=4, bias=False)),
    (transmute_Conv3dTemporalKernel1BnAct,
     nn.Conv3d(4, 6, (1, 3, 3), (1, 2, 2), (0, 2, 2), (1, 2, 2), groups=2)),
    (transmute_Conv3dTemporalKernel1BnAct, nn.Conv3d(4, 6, 1, (1, 2, 2), bias=False)),
    (transmute_Conv3dTemporalKernel1BnAct, nn.Conv3d(4, 6, 1, groups=2)),
    (transmute_Conv3d3x1x1BnAct, nn.Conv3d(4, 6, (3, 1, 1), padding=(1, 0, 0))),
    (transmute_Conv3d3x1x1BnAct, nn.Conv3d(4, 4, (3, 1, 1), padding=(1, 0, 0), groups=4)),
    (transmute_Conv3d5x1x1BnAct, nn.Conv3d(4, 6, (5, 1, 1), padding=(2, 0, 0), bias=False)),
]  # fmt: skip


class Other(nn.Conv3d):
    """A convolution of another kind under the same class."""

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input).relu()


LEFT = [
    nn.Conv3d(4, 4, 3, padding=1),  # no depthwise
    nn.Conv3d(4, 4, 3, (2, 1, 1), padding=1, groups=4),
    nn.Conv3d(4, 4, 3, padding=1, groups=4, padding_mode="circular"),
    nn.Conv3d(4, 4, 3, padding="same", groups=4),
    nn.Conv3d(4, 4, 3, padding=2, dilation=2, groups=4),
    nn.Conv3d(4, 6, (1, 3, 5), padding=(0, 1, 2)),
    nn.Conv3d(4, 6, (1, 3, 3), padding=(1, 1, 1)),
    nn.Conv3d(4, 6, (3, 1, 1)),  # fewer frames come out
    nn.Conv3d(4, 6, (5, 1, 1), (2, 1, 1), (2, 0, 0)),
    nn.Conv2d(4, 6, 1), nn.Linear(4, 6), Other(4, 6, 1),
    nn.utils.parametrizations.weight_norm(nn.Conv3d(4, 6, 1)),
]  # fmt: skip


@pytest.mark.parametrize(("transmuter", "conv"), CASES)
@pytest.mark.parametrize("quantize", [False, True])
def test_a_block_and_its_deployed_form_compute_the_convolution(
    transmuter, conv: nn.Conv3d, quantize: bool
) -> None:
    x = torch.randn(2, 4, 5, 8, 6)
    want = conv(x)
    answers = [t(conv) for t in EFFICIENT_BLOCK_TRANSMUTER_MOBILE_CPU]
    assert sum(a is not None for a in answers) == 1  # each is of one kind
    block = transmuter(conv)
    torch.testing.assert_close(block(x), want)
    assert block.kernel.conv.weight is conv.weight and block.kernel.conv.bias is conv.bias
    deployed = convert_to_deployable_form(block, x, convert_for_quantize=quantize)
    torch.testing.assert_close(deployed(x), want)
    kinds = {type(m) for m in deployed.modules()}
    assert (nn.Conv2d in kinds) == quantize
    kept = convert_to_deployable_form(block, x, quantize, native_conv3d_op_qnnpack=True)
    assert nn.Conv2d not in {type(m) for m in kept.modules()}


@pytest.mark.parametrize("module", LEFT)
def test_what_is_not_the_same_is_left_alone(module: nn.Module) -> None:
    assert all(t(module) is None for t in EFFICIENT_BLOCK_TRANSMUTER_MOBILE_CPU)
    assert transmute_model(module) is module


def test_a_network_is_transmuted_in_place() -> None:
    torch.manual_seed(0)
    model = create_model("x3d_xs", num_classes=5, input_crop_size=64).eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm3d):
            nn.init.uniform_(module.running_var, 0.5, 2.0)
    x = torch.randn(1, 3, 4, 64, 64)
    with torch.no_grad():
        want = model(x)
        parameters = {id(p) for p in model.parameters()}
        assert transmute_model(model) is model
        assert {id(p) for p in model.parameters()} == parameters  # an optimizer still fits
        plain = [m for m in model.modules() if type(m) is nn.Conv3d]
        inside = [m for b in model.modules() if isinstance(b, EfficientBlockBase)
                  for m in b.modules()]  # fmt: skip
        left = [m for m in plain if not any(m is other for other in inside)]
        assert len(inside) > 100 and not left
        torch.testing.assert_close(model(x), want)
        names = list(model.state_dict())
        transmute_model(model)  # a second call does nothing
        assert list(model.state_dict()) == names
        deployed = convert_to_deployable_form(model, x)
        torch.testing.assert_close(deployed(x), want)


def test_norms_are_folded_and_the_network_is_left_as_it_was() -> None:
    torch.manual_seed(0)
    model = create_efficient_x3d(expansion="XS", num_classes=5)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    x = torch.randn(1, 3, 4, 32, 32)
    deployed = convert_to_deployable_form(model, x)
    assert model.training and not deployed.training
    assert all(torch.equal(t, before[n]) for n, t in model.state_dict().items())
    assert not any(isinstance(m, nn.BatchNorm3d) for m in deployed.modules())
    model.eval()
    with torch.no_grad():
        torch.testing.assert_close(deployed(x), model(x), rtol=1e-4, atol=1e-6)
        flat = convert_to_deployable_form(model, x, convert_for_quantize=True)
        torch.testing.assert_close(flat(x), model(x), rtol=1e-4, atol=1e-6)


class Shared(nn.Module):
    """One block in two places, and one that takes no part."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.first, self.second = block, block
        self.unused: nn.Module = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.first(x))


def test_shared_and_unused_blocks() -> None:
    x = torch.randn(1, 4, 2, 3, 3)
    model = transmute_model(Shared(nn.Conv3d(4, 4, 1)))
    assert model.first is model.second and isinstance(model.first, Conv3dPwBnAct)
    deployed = convert_to_deployable_form(model, x)
    assert deployed.first is deployed.second
    torch.testing.assert_close(deployed(x), model(x))
    with pytest.raises(ConfigError, match=r"first was converted already"):
        convert_to_deployable_form(deployed, x)
    with pytest.raises(ConfigError, match=r"first gets inputs of the sizes \[\(1, 4, 1, 1, 1\), "):
        convert_to_deployable_form(Shared(AdaptiveAvgPool3dOutSize1()), x)
    model.unused = AdaptiveAvgPool3dOutSize1()
    with pytest.raises(ConfigError, match=r"unused gets no input for a batch of \(1, 4, 2, 3, 3\)"):
        convert_to_deployable_form(model, x)
    with pytest.raises(UnknownNameError, match="mobile_cpu"):
        transmute_model(model, "mobile_gpu")
