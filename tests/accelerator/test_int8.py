"""PyTorchVideo's way to int8 (deployable form, prepare, calibrate, convert) runs to its end.

Blocks are compared with float in steps of their int8 result, models by their scores of clips.
"""

from __future__ import annotations

import importlib

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.ao.nn.quantized import Conv2d, Conv3d

from support.model_reference import old_names
from vitascope.accelerator.convert import convert_to_deployable_form
from vitascope.data.render import MOTIONS, motion_clip
from vitascope.layers.mobile_cpu.attention import SqueezeExcitation
from vitascope.layers.mobile_cpu.convolutions import (
    Conv3d3x3x3DwBnAct,
    Conv3d5x1x1BnAct,
    Conv3dPwBnAct,
    Conv3dTemporalKernel1BnAct,
)
from vitascope.models.efficient_x3d import X3dBottleneckBlock, create_efficient_x3d

# PyTorch says that its quantized types and this way to them are on their way out.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*quant:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*quant:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*reduce_range:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning"),
]
ENGINES = [e for e in ("x86", "fbgemm", "onednn", "qnnpack")
           if e in torch.backends.quantized.supported_engines]  # fmt: skip
COLORS = [(230, 40, 40), (40, 200, 60), (50, 70, 230), (220, 210, 50), (210, 60, 200),
          (40, 200, 210)]  # fmt: skip


class Quantizable(nn.Module):
    """A model between the two ends of its int8 part."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.quant = torch.ao.quantization.QuantStub()
        self.model = model
        self.dequant = torch.ao.quantization.DeQuantStub()

    def forward(self, x: Tensor) -> Tensor:
        return self.dequant(self.model(self.quant(x)))


@pytest.fixture(autouse=True)
def _engine():
    before = torch.backends.quantized.engine
    yield
    torch.backends.quantized.engine = before


def quantized(model: nn.Module, x: Tensor, engine: str, **how: bool) -> nn.Module:
    """The int8 form of a model, measured with `x`."""
    torch.backends.quantized.engine = engine
    whole = Quantizable(convert_to_deployable_form(model, x, **how)).eval()
    whole.qconfig = torch.ao.quantization.get_default_qconfig(engine)
    with torch.no_grad():
        prepared = torch.ao.quantization.prepare(whole)
        prepared(x)
        return torch.ao.quantization.convert(prepared)


def lively(model: nn.Module) -> nn.Module:
    """Norms with statistics as after a training."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm3d):
            nn.init.uniform_(module.running_var, 0.5, 2.0)
            nn.init.uniform_(module.running_mean, -0.5, 0.5)
            nn.init.uniform_(module.bias, -0.5, 0.5)
    return model.eval()


# Each with the error that it may have, in steps of its result: half a step of its own, and what
# the steps before it and the 7 bits of x86 weights let through.
BLOCKS = [
    (lambda: Conv3dPwBnAct(8, 12), 3),
    (lambda: Conv3dPwBnAct(8, 12, activation="swish"), 3),
    (lambda: Conv3dPwBnAct(8, 12, activation="hswish"), 3),
    (lambda: Conv3dTemporalKernel1BnAct(8, 12, spatial_kernel=3, spatial_stride=2,
                                        spatial_padding=1), 3),
    (lambda: Conv3d5x1x1BnAct(8, 8, groups=8), 3),
    (lambda: Conv3d3x3x3DwBnAct(8, spatial_stride=2, activation="identity"), 4),
    (lambda: Conv3d3x3x3DwBnAct(8), 4),
    (lambda: SqueezeExcitation(8, 4, is_3d=True), 3),
    (lambda: X3dBottleneckBlock(8, 16, 8, se_ratio=0.5,
                                act_functions=("relu", "swish", "relu")), 8),
    (lambda: X3dBottleneckBlock(8, 16, 12, spatial_stride=2, se_ratio=0), 8),
    (lambda: X3dBottleneckBlock(8, 16, 8, use_residual=False,
                                act_functions=("relu", "relu", "hswish")), 8),
]  # fmt: skip


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("native", [False, True])
@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_a_block_in_int8(number: int, native: bool, engine: str) -> None:
    build, steps = BLOCKS[number]
    block = lively(build())
    x = torch.randn(2, 8, 5, 9, 8)
    how = {"convert_for_quantize": True, "native_conv3d_op_qnnpack": native}
    small = quantized(block, x, engine, **how)
    with torch.no_grad():
        want, got = block(x), small(x)
        step = small.model(small.quant(x)).q_scale()
    assert (got - want).abs().max() <= steps * step, float((got - want).abs().max() / step)
    assert (got - want).abs().mean() <= 0.6 * steps / 2 * step
    kinds = [m for m in small.modules() if isinstance(m, Conv2d | Conv3d)]
    left = [m for m in small.modules() if type(m) in (nn.Conv3d, nn.Conv2d, nn.Linear)]
    assert not left and all(isinstance(m, Conv3d) == native for m in kinds)


def clips(count: int, seed: int, frames: int) -> tuple[Tensor, Tensor]:
    """Clips of moving things, each class in the light of its color."""
    videos, labels = [], torch.arange(count) % len(COLORS)
    for index in range(count):
        drawn = motion_clip(MOTIONS[index % 8], (seed, index), frames, (32, 32)).astype(np.float32)
        videos.append(0.5 * drawn + 0.5 * np.array(COLORS[int(labels[index])], np.float32))
    data = torch.from_numpy(np.stack(videos)).permute(0, 4, 1, 2, 3)
    return ((data / 255 - 0.45) / 0.225).contiguous(), labels


def fitted(expansion: str, x: Tensor, labels: Tensor) -> nn.Module:
    """A model whose last layer was fitted to clips in closed form."""
    model = create_efficient_x3d(expansion=expansion, num_classes=len(COLORS))
    for name, module in model.named_modules():
        if isinstance(module, nn.BatchNorm3d):
            module.momentum = None  # the mean over all batches
        if name.endswith("conv_2.kernel.bn"):
            nn.init.constant_(module.weight, 0.1)  # residuals small, as trained models have them
    with torch.no_grad():
        model.train()(x)
        model.eval()
        features = model.head(model.forward_features(x)).mean([2, 3, 4])
        middle = features.mean(0)
        gram = (features - middle) @ (features - middle).T
        gram += 0.01 * gram.trace() / len(gram) * torch.eye(len(gram))
        targets = nn.functional.one_hot(labels).float() - 1 / len(COLORS)
        weight = (features - middle).T @ torch.linalg.solve(gram, targets)
        model.projection.model.weight.copy_(weight.T)
        model.projection.model.bias.copy_(-middle @ weight)
    return model


@pytest.mark.parametrize(
    ("expansion", "frames", "how"),
    [
        pytest.param("XS", 4, {"convert_for_quantize": True}, marks=pytest.mark.slow),
        pytest.param(
            "XS",
            4,
            {"convert_for_quantize": True, "native_conv3d_op_qnnpack": True},
            marks=pytest.mark.slow,
        ),
        pytest.param("S", 13, {}, marks=pytest.mark.slow),
    ],
)
def test_scores_in_int8(expansion: str, frames: int, how: dict[str, bool]) -> None:
    """At least 11 of 12 clips get the same class, and scores move by a third of their spread."""
    x, labels = clips(48, 0, frames)
    model = fitted(expansion, x, labels)
    small = quantized(model, x[:24], ENGINES[0], **how)
    others, truth = clips(192, 1, frames)  # as many, because single clips are near a tie
    with torch.no_grad():
        want, got = model(others), small(others)
    assert (want.argmax(1) == truth).float().mean() > 0.7, "the float model tells them apart"
    error = (got - want).pow(2).mean().sqrt() / want.std()
    agreed = float((got.argmax(1) == want.argmax(1)).float().mean())
    assert agreed >= 11 / 12 and error <= 1 / 3, (agreed, float(error))


@pytest.mark.filterwarnings("ignore:pytorchvideo:DeprecationWarning")
@pytest.mark.parametrize(
    "how", [{"convert_for_quantize": True}, pytest.param({}, marks=pytest.mark.slow)]
)
def test_the_tutorial_through_old_names(how: dict[str, bool]) -> None:
    """Build, deployable form, stubs, prepare, convert, trace: as PyTorchVideo's tutorial has it."""
    old_names()
    load = importlib.import_module
    zoo = load("pytorchvideo.models.accelerator.mobile_cpu.efficient_x3d")
    tools = load("pytorchvideo.accelerator.deployment.mobile_cpu.utils.model_conversion")
    model = lively(zoo.EfficientX3d(expansion="XS", head_act="identity", num_classes=7))
    x = torch.randn(1, 3, 4, 32, 32)
    whole = Quantizable(tools.convert_to_deployable_form(model, x, **how)).eval()
    whole.qconfig = torch.ao.quantization.default_qconfig
    with torch.no_grad():
        prepared = torch.ao.quantization.prepare(whole)
        prepared(x)
        small = torch.ao.quantization.convert(prepared)
        assert small(x).shape == (1, 7)
        traced = torch.jit.trace(small, x, strict=False, check_trace=False)
        assert torch.equal(traced(x), small(x))
