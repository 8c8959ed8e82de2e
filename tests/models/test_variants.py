"""Arguments have an effect, and inputs stay as they are: the traps of the predecessors."""

from __future__ import annotations

import copy
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from vitascope.layers.nonlocal_net import NonLocal
from vitascope.layers.res_block import BasicBlock
from vitascope.layers.swish import Swish
from vitascope.models.acoustic_resnet import create_acoustic_resnet
from vitascope.models.audio_visual_slowfast import DropPathway, create_audio_visual_slowfast
from vitascope.models.head import create_res_basic_head, create_res_roi_pooling_head
from vitascope.models.masked_multistream import (
    LearnMaskedDefault,
    MaskedMultiPathWay,
    MaskedSequential,
    MaskedTemporalPooling,
    TransposeMultiheadAttention,
    TransposeTransformerEncoder,
)
from vitascope.models.r2plus1d import create_2plus1d_bottleneck_block
from vitascope.models.resnet import create_basic_block, create_bottleneck_block, create_resnet
from vitascope.models.slowfast import (
    PoolConcatPathway,
    create_slowfast,
    create_slowfast_with_roi_head,
)
from vitascope.models.stem import create_res_basic_stem
from vitascope.models.x3d import create_x3d, create_x3d_res_block

TINY: dict[str, Any] = {"stem_dim_out": 8, "stage_depths": (1, 1, 1, 1), "model_num_class": 3}
TINY_SF: dict[str, Any] = {
    "stem_dim_outs": (16, 2),
    "stage_depths": (1, 1, 1, 1),
    "model_num_class": 3,
    "head_pool_kernel_sizes": ((2, 2, 2), (8, 2, 2)),
}


def _clips(slow: int = 2, fast: int = 8) -> list[Tensor]:
    return [torch.randn(1, 3, slow, 64, 64), torch.randn(1, 3, fast, 64, 64)]


def _count(model: nn.Module, kind: type[nn.Module]) -> int:
    return sum(isinstance(module, kind) for module in model.modules())


def test_the_callers_list_is_left_alone() -> None:
    model = create_slowfast(**TINY_SF).eval()
    clips = _clips()
    before = list(clips)
    with torch.no_grad():
        first, second = model(clips), model(clips)
    assert all(a is b for a, b in zip(clips, before, strict=True))
    torch.testing.assert_close(first, second, rtol=0, atol=0)
    features = [torch.randn(1, 2, 2, 4, 4), torch.randn(1, 2, 2, 4, 4)]
    kept = list(features)
    PoolConcatPathway(pool=nn.ModuleList([nn.AvgPool3d(2), nn.AvgPool3d(2)]))(features)
    assert all(a is b for a, b in zip(features, kept, strict=True))


@pytest.mark.parametrize(
    "module",
    [
        MaskedTemporalPooling("max"),
        TransposeMultiheadAttention(8, 2),
        TransposeTransformerEncoder(8, 2, 1),
        MaskedSequential(TransposeMultiheadAttention(8), MaskedTemporalPooling("avg")),
    ],
    ids=["pool", "attention", "encoder", "sequential"],
)
def test_masked_modules_leave_features_and_mask_alone(module: nn.Module) -> None:
    x, mask = torch.randn(3, 4, 8), torch.tensor([[1, 1, 0, 0], [0, 0, 0, 0], [1, 1, 1, 1]]) > 0
    x_before, mask_before = x.clone(), mask.clone()
    out = module.eval()(x, mask)
    assert bool(torch.isfinite(out).all())
    assert torch.equal(x, x_before) and torch.equal(mask, mask_before)


def test_masked_pooling_against_a_loop() -> None:
    x, mask = torch.randn(5, 6, 3), torch.rand(5, 6) > 0.5
    mask[0] = False
    for method, reduce in (("max", lambda v: v.amax(0)), ("avg", lambda v: v.mean(0)),
                           ("sum", lambda v: v.sum(0))):  # fmt: skip
        want = torch.stack([reduce(a[m]) if m.any() else torch.zeros(3)
                            for a, m in zip(x, mask, strict=True)])  # fmt: skip
        torch.testing.assert_close(MaskedTemporalPooling(method)(x, mask), want)


def test_masked_streams() -> None:
    paths = MaskedMultiPathWay(
        multipathway_blocks=nn.ModuleList([LearnMaskedDefault(4), LearnMaskedDefault(4)]),
        multipathway_fusion=None,
    )
    empty = torch.zeros(2, 3, dtype=torch.bool)
    out = paths([(torch.randn(2, 4), empty), (torch.ones(2, 4), ~empty)])
    torch.testing.assert_close(out[0], paths.multipathway_blocks[0]._learned_defaults.expand(2, 4))
    torch.testing.assert_close(out[1], torch.ones(2, 4))


def test_activation_and_norm_reach_every_block() -> None:
    group = lambda num_features, eps, momentum: nn.GroupNorm(2, num_features, eps)  # noqa: E731
    resnet = create_resnet(**TINY, activation=Swish, norm=group)
    assert _count(resnet, nn.ReLU) == 0 and _count(resnet, nn.BatchNorm3d) == 0
    assert _count(resnet, Swish) == 1 + 4 * 3
    slowfast = create_slowfast(**TINY_SF, activation=Swish, norm=group)
    assert _count(slowfast, nn.ReLU) == 0 and _count(slowfast, nn.BatchNorm3d) == 0
    x3d = create_x3d(input_clip_length=4, input_crop_size=64, width_factor=1.0, norm=None,
                     depth_factor=1.0)  # fmt: skip
    assert _count(x3d, nn.BatchNorm3d) == 0
    assert x3d(torch.randn(1, 3, 4, 64, 64)).shape == (1, 400)


def test_no_norm_with_a_forced_shortcut() -> None:
    block = create_x3d_res_block(dim_in=8, dim_inner=16, dim_out=16, norm=None)
    assert block.branch1_norm is None and block.branch1_conv is not None


def test_shortcut_norm_of_x3d() -> None:
    size = {"input_clip_length": 4, "input_crop_size": 64, "width_factor": 2.0}
    width, always = create_x3d(**size), create_x3d(**size, shortcut_norm="always")
    extra = set(dict(always.named_parameters())) - set(dict(width.named_parameters()))
    assert extra == {f"blocks.1.res_blocks.0.branch1_norm.{n}" for n in ("weight", "bias")}


def test_injected_parts_of_slowfast_are_used() -> None:
    calls: list[str] = []

    def stem(**kwargs: Any) -> nn.Module:
        calls.append("stem")
        return create_res_basic_stem(**kwargs)

    def bottleneck(**kwargs: Any) -> nn.Module:
        calls.append("bottleneck")
        return create_bottleneck_block(**kwargs)

    def fusion(fusion_dim_in: int, stage_idx: int) -> nn.Module:
        calls.append("fusion")
        return nn.Identity()

    def head(**kwargs: Any) -> nn.Module:
        calls.append("head")
        return create_res_roi_pooling_head(**kwargs)

    injected: dict[str, Any] = {
        "stem_function": (stem, stem),
        "bottleneck": ((bottleneck,) * 4,) * 2,
        "fusion_builder": fusion,
        "slowfast_conv_channel_fusion_ratio": 0,
        "head": head,
    }
    sizes = {**TINY_SF, "head_pool_kernel_sizes": ((2, 1, 1), (8, 1, 1))}
    model = create_slowfast_with_roi_head(**sizes, **injected).eval()
    assert calls.count("stem") == 2 and calls.count("bottleneck") == 8
    assert calls.count("fusion") == 5 and calls.count("head") == 1
    assert model(_clips(), torch.tensor([[0.0, 1, 1, 30, 30]])).shape == (1, 3)
    calls.clear()
    own = partial(create_res_basic_head, activation=nn.Softmax)
    paper = create_slowfast(**TINY_SF, head=lambda **k: own(**{**k, "activation": nn.Softmax}))
    torch.testing.assert_close(paper.eval()(_clips()).sum(), torch.tensor(1.0))


def test_fractional_fusion_ratio() -> None:
    model = create_slowfast(**TINY_SF, slowfast_conv_channel_fusion_ratio=0.5).eval()
    assert model(_clips()).shape == (1, 3)


def test_conv_b_of_r2plus1d_is_used() -> None:
    class Marked(nn.Conv3d):
        pass

    block = create_2plus1d_bottleneck_block(dim_in=4, dim_inner=4, dim_out=8, conv_b=Marked)
    assert isinstance(block.conv_b, Marked)


def test_dilation_is_that_of_each_pathway() -> None:
    dilations = (((1, 1, 1),) * 3 + ((1, 2, 2),), ((1, 1, 1),) * 3 + ((1, 3, 3),))
    model = create_slowfast_with_roi_head(
        **{**TINY_SF, "head_pool_kernel_sizes": ((2, 1, 1), (8, 1, 1))},
        stage_conv_b_dilations=dilations,
    )
    found = [
        model.get_submodule(
            f"model.blocks.4.multipathway_blocks.{path}.res_blocks.0.branch2.conv_b"
        ).dilation
        for path in range(2)
    ]
    assert found == [(1, 2, 2), (1, 3, 3)]


def test_roi_shift() -> None:
    clip, boxes = torch.randn(1, 3, 4, 64, 64), torch.tensor([[0.0, 3, 5, 40, 60]])
    from vitascope.models.resnet import create_resnet_with_roi_head

    torch.manual_seed(0)
    plain = create_resnet_with_roi_head(**TINY).eval()
    torch.manual_seed(0)
    shifted = create_resnet_with_roi_head(**TINY, head_aligned=True).eval()
    assert plain.detection_head.roi_layer.aligned is False
    assert shifted.detection_head.roi_layer.aligned is True
    with torch.no_grad():
        assert not torch.allclose(plain(clip, boxes), shifted(clip, boxes), atol=1e-6)


def test_non_local_blocks_sit_where_they_are_asked_for() -> None:
    sites = ((), (0, 1), (1,), ())
    model = create_resnet(stem_dim_out=8, stage_depths=(1, 2, 2, 1), nonlocal_locations=sites,
                          nonlocal_groups=(1, 2, 1, 1), model_num_class=3,
                          head_pool_kernel_size=(4, 2, 2)).eval()  # fmt: skip
    found = [n for n, m in model.named_modules() if isinstance(m, NonLocal)]
    assert found == ["blocks.2.nonlocal_blocks.0", "blocks.2.nonlocal_blocks.1",
                     "blocks.3.nonlocal_blocks.1"]  # fmt: skip
    clip = torch.randn(1, 3, 4, 64, 64)
    plain = copy.deepcopy(model)
    for module in plain.modules():
        if isinstance(module, NonLocal):
            module.norm = None
    with torch.no_grad():
        fresh, without = model(clip), plain(clip)
    assert not torch.allclose(fresh, without), "a fresh block hands its input through"


def test_groups_of_non_local_blocks_do_not_see_each_other() -> None:
    block = create_resnet(stem_dim_out=8, stage_depths=(1, 1, 1, 1), model_num_class=3,
                          nonlocal_locations=((0,), (), (), ()),
                          nonlocal_groups=(2, 1, 1, 1)).blocks[1].nonlocal_blocks[0]  # fmt: skip
    nn.init.ones_(block.norm.weight)
    x = torch.randn(1, 32, 4, 6, 6)
    other = x.clone()
    other[:, :, 2:] += 1.0
    block.eval()
    with torch.no_grad():
        torch.testing.assert_close(block(x)[:, :, :2], block(other)[:, :, :2])


def test_pooling_after_the_first_stage_of_slowfast() -> None:
    model = create_slowfast(
        **{**TINY_SF, "head_pool_kernel_sizes": ((1, 2, 2), (4, 2, 2))},
        stage1_pool=(nn.MaxPool3d, nn.MaxPool3d),
        stage1_pool_kernel_sizes=((2, 1, 1), (2, 1, 1)),
    ).eval()
    assert model(_clips()).shape == (1, 3)
    assert [info.stride[0][0] for info in model.feature_info] == [1, 1, 2, 2, 2, 2]


def test_steps_go_where_they_are_asked_for() -> None:
    for place, a, b in (("split", (2, 1, 1), (1, 2, 2)), ("conv_a", (2, 2, 2), (1, 1, 1)),
                        ("conv_b", (1, 1, 1), (2, 2, 2))):  # fmt: skip
        model = create_resnet(**TINY, stage_stride_at=place, stage_temporal_stride=(1, 2, 1, 1))
        branch = model.blocks[2].res_blocks[0].branch2
        assert (branch.conv_a.stride, branch.conv_b.stride) == (a, b)


def test_basic_blocks_make_a_shallow_resnet() -> None:
    model = create_resnet(**TINY, bottleneck=create_basic_block, stage_conv_a_kernel_size=(3, 1, 1),
                          head_pool_kernel_size=(4, 2, 2)).eval()  # fmt: skip
    assert _count(model, BasicBlock) == 4
    branch = model.blocks[2].res_blocks[0].branch2
    assert branch.conv_a.kernel_size == (3, 3, 3) and branch.conv_a.stride == (1, 2, 2)
    assert branch.conv_b.kernel_size == (1, 3, 3)
    assert model(torch.randn(1, 3, 4, 64, 64)).shape == (1, 3)


def test_scores_in_evaluation_only() -> None:
    """PySlowFast's form: softmax at each position, then the mean; raw scores in training."""
    head = create_res_basic_head(
        in_features=4,
        out_features=3,
        pool_kernel_size=(1, 2, 2),
        dropout_rate=0.0,
        activation=nn.Softmax,
        when="evaluation",
    )
    x = torch.randn(2, 4, 1, 3, 3)
    raw = head.proj(nn.AvgPool3d((1, 2, 2), 1)(x).permute(0, 2, 3, 4, 1))
    torch.testing.assert_close(head.train()(x), raw.flatten(1))
    torch.testing.assert_close(head.eval()(x), raw.softmax(-1).mean((1, 2, 3)))


def test_drop_pathway() -> None:
    sizes: dict[str, Any] = {
        "stem_dim_outs": (16, 2, 8),
        "stage_depths": (1, 1, 1, 1),
        "model_num_class": 3,
        "head_pool_kernel_sizes": ((4, 2, 2), (16, 2, 2), (8, 1, 10)),
        "dropout_rate": 0.0,
    }
    clips = [torch.randn(2, 3, 4, 64, 64), torch.randn(2, 3, 16, 64, 64),
             torch.randn(2, 1, 64, 1, 80)]  # fmt: skip
    model = create_audio_visual_slowfast(**sizes, drop_pathway=1.0)
    audio = [m for n, m in model.named_modules() if n.endswith("multipathway_blocks.2")]
    statistics = [b.clone() for m in audio for b in m.buffers()]
    model.train()
    other = [clips[0], clips[1], torch.randn(2, 1, 64, 1, 80)]
    out = model(clips)
    torch.testing.assert_close(model(other), out, msg="audio was not left out")
    out.sum().backward()
    for module in audio:
        assert all(p.grad is None for p in module.parameters())
    assert all(torch.equal(a, b) for a, b in
               zip(statistics, [b for m in audio for b in m.buffers()], strict=True))  # fmt: skip
    model.eval()
    assert not torch.allclose(model(clips), model(other)), "in evaluation audio is heard"
    silent = model([clips[0], clips[1], None])
    assert silent.shape == (2, 3) and bool(torch.isfinite(silent).all())
    drop = DropPathway(0.8).train()
    torch.manual_seed(0)
    share = sum(drop([1, 2, 3])[2] is None for _ in range(2000)) / 2000
    assert 0.77 < share < 0.83


def test_acoustic_resnet_takes_spectrograms_of_any_length() -> None:
    model = create_acoustic_resnet(**{k: v for k, v in TINY.items() if k != "stage_depths"}).eval()
    for frames in (64, 100):
        assert model(torch.randn(1, 1, frames, 1, 80)).shape == (1, 3)
