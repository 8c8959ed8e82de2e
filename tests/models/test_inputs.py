"""Bad clips, boxes and arguments: one message each that says what came and what fits."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from vitascope.errors import ConfigError, InputError, UnknownNameError
from vitascope.models.registry import create_model
from vitascope.models.resnet import create_resnet, create_resnet_with_roi_head
from vitascope.models.slowfast import create_slowfast
from vitascope.models.x3d import create_x3d


@pytest.fixture(scope="module")
def x3d() -> nn.Module:
    small = {"width_factor": 1.0, "depth_factor": 1.0, "head_dim_out": 16}
    return create_x3d(input_clip_length=4, input_crop_size=64, model_num_class=3, **small).eval()


@pytest.fixture(scope="module")
def slowfast() -> nn.Module:
    return create_slowfast(
        model_num_class=3,
        stem_dim_outs=(16, 2),
        stage_depths=(1, 1, 1, 1),
        head_pool_kernel_sizes=((2, 2, 2), (8, 2, 2)),
    ).eval()


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((3, 4, 64, 64), "expected 5 dimensions B C T H W, got 4 .*needs a batch dimension"),
        ((1, 3, 64, 64), "expected 5 dimensions B C T H W, got 4"),
        ((1, 1, 4, 64, 64), "expected 3 channels .* got 1 "),
        ((1, 4, 64, 64, 3), "The channels are last"),
        ((1, 3, 3, 64, 64), "3x64x64 is too short or too small.* at least 4x33x33"),
        ((1, 3, 4, 32, 64), "4x32x64 is too short or too small"),
    ],
)
def test_a_clip_that_does_not_fit(x3d: nn.Module, shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        x3d(torch.zeros(shape))


def test_the_smallest_clip_fits(x3d: nn.Module) -> None:
    assert x3d(torch.zeros(1, 3, 4, 33, 33)).shape == (1, 3)
    assert x3d(torch.zeros(1, 3, 9, 80, 100)).shape == (1, 3), "longer and larger is averaged"


def test_a_list_for_one_pathway(x3d: nn.Module) -> None:
    with pytest.raises(InputError, match=r"takes one tensor B C T H W, got \[1x3x4x64x64, "):
        x3d([torch.zeros(1, 3, 4, 64, 64)] * 2)
    with pytest.raises(InputError, match="got str"):
        x3d("clip.mp4")


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_values_are_looked_at_on_request(bad: float) -> None:
    model = create_model("x3d_xs", num_classes=2, check=True).eval()
    clip = torch.zeros(1, 3, 4, 160, 160)
    clip[0, 1, 2, 3, 4] = bad
    with pytest.raises(InputError, match="1 of 307200 values are NaN or infinite"):
        model(clip)
    with torch.no_grad():
        model.check = False
        model(clip)
    with pytest.raises(InputError, match="NaN"):
        model.check_input(clip, values=True)


def test_pathways(slowfast: nn.Module) -> None:
    slow, fast = torch.zeros(1, 3, 2, 64, 64), torch.zeros(1, 3, 8, 64, 64)
    assert slowfast([slow, fast]).shape == (1, 3)
    with pytest.raises(InputError, match=r"list of 2 tensors .*\(slow, fast\), got 1x3x2x64x64"):
        slowfast(slow)
    with pytest.raises(InputError, match="list of 2 tensors"):
        slowfast([slow, fast, fast])
    with pytest.raises(InputError, match="fast: T x H x W = 4x64x64 is too short"):
        slowfast([slow, fast[:, :, :4]])
    with pytest.raises(InputError, match="alpha times the frames"):
        slowfast([torch.zeros(1, 3, 4, 64, 64), fast])


def test_a_longer_clip_than_the_head_of_slowfast_allows(slowfast: nn.Module) -> None:
    clips = [torch.zeros(1, 3, 10, 64, 64), torch.zeros(1, 3, 40, 64, 64)]
    with pytest.raises(InputError, match=r"fit clips of one length only.*head_pool_kernel_sizes"):
        slowfast(clips)
    any_length = create_slowfast(
        model_num_class=3,
        stem_dim_outs=(16, 2),
        stage_depths=(1, 1, 1, 1),
        head_pool=nn.AdaptiveAvgPool3d,
    ).eval()
    assert any_length(clips).shape == (1, 3)


def test_boxes() -> None:
    model = create_resnet_with_roi_head(
        stem_dim_out=8, stage_depths=(1, 1, 1, 1), model_num_class=4
    ).eval()
    clip = torch.zeros(1, 3, 4, 64, 64)
    good = torch.tensor([[0.0, 1, 1, 40, 40]])
    assert model(clip, good).shape == (1, 4)
    assert model(clip, good[:0]).shape == (0, 4)
    with pytest.raises(InputError, match="got 4"):
        model(clip, good[0, 1:])
    with pytest.raises(InputError, match="index in the batch of 1, got values from 1 to 1"):
        model(clip, torch.tensor([[1.0, 1, 1, 40, 40]]))
    with pytest.raises(InputError, match="one frame, but 2 are left"):
        model(torch.zeros(1, 3, 5, 64, 64), good)
    with pytest.raises(InputError, match="scores boxes"):
        model.forward_head(model.forward_features(clip))


def test_networks_without_a_head_say_so() -> None:
    model = create_resnet(stem_dim_out=8, stage_depths=(1, 1, 1, 1), head=None)
    assert model(torch.zeros(1, 3, 4, 32, 32)).shape == (1, 256, 4, 1, 1)
    with pytest.raises(InputError, match="without a classifying head"):
        model.reset_head(3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"model_depth": 18}, "model_depth = 18; legal values: 50, 101, 152.*stage_depths"),
        ({"head_when": "never"}, "when = 'never'; legal values: always, evaluation"),
        ({"stage_spatial_h_stride": (1, 2, 2)}, "stride has 3 entries for 4 stages"),
        ({"nonlocal_locations": ((), (9,), (), ())}, r"non-local blocks at \[9\]"),
        ({"stage_stride_at": "conv_c"}, "legal values: split, conv_a, conv_b"),
    ],
)
def test_arguments_of_builders(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        create_resnet(stem_dim_out=8, **arguments)


def test_arguments_of_slowfast_and_x3d() -> None:
    with pytest.raises(ConfigError, match="stem_dim_outs has 3 entries for 2 pathways"):
        create_slowfast(stem_dim_outs=(16, 2, 4))
    with pytest.raises(ConfigError, match="the fusion expects 2 channels in the fast pathway"):
        create_slowfast(stem_dim_outs=(16, 4))
    with pytest.raises(ConfigError, match="smaller than the strides 1x32x32"):
        create_x3d(input_crop_size=16)
    with pytest.raises(ConfigError, match="shortcut_norm = 'never'"):
        create_x3d(shortcut_norm="never")


def test_unknown_models() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'x3d_s'"):
        create_model("x3d_small")
