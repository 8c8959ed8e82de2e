"""Arguments that PyTorchVideo's builders and transforms accept have an effect, or are refused."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from support.model_reference import old_names
from vitascope.errors import ConfigError, InputError, VitascopeError, WeightsError
from vitascope.layers.roi_align import roi_align

pytestmark = pytest.mark.filterwarnings("ignore:pytorchvideo:DeprecationWarning")


def old(module: str, name: str) -> Any:
    old_names()
    return getattr(importlib.import_module(f"pytorchvideo.{module}"), name)


def test_none_as_an_entry_is_the_default_of_a_convolution() -> None:
    torch.manual_seed(0)
    model = old("layers.convolutions", "ConvReduce3D")(
        in_channels=4,
        out_channels=6,
        kernel_size=((1, 1, 1), (3, 3, 3), (1, 3, 3), 1),
        stride=(None, (1, 1, 1), None, 1),
        padding=((0, 0, 0), None, (0, 1, 1), 0),
        dilation=((2, 2, 2), None, None, None),
        groups=(None, 2, None, 1),
        bias=(None, False, True, None),
        padding_mode=(None, "replicate", None, None),
        reduction_method="cat",
    )
    given: list[dict[str, Any]] = [
        {"kernel_size": 1, "dilation": 2},
        {"kernel_size": 3, "groups": 2, "bias": False, "padding_mode": "replicate"},
        {"kernel_size": (1, 3, 3), "padding": (0, 1, 1)},
        {"kernel_size": 1},
    ]
    x = torch.rand(2, 4, 3, 7, 8)
    for conv, arguments in zip(model.convs, given, strict=True):
        naive = nn.Conv3d(4, 6, **arguments)
        naive.load_state_dict(conv.state_dict(), strict=True)
        assert torch.equal(conv(x), naive(x)) and conv.padding_mode == naive.padding_mode
    with pytest.raises(ConfigError, match="stride has 2 entries for 4 convolutions"):
        old("layers.convolutions", "ConvReduce3D")(
            in_channels=4, out_channels=6, kernel_size=(1, 1, 1, 1), stride=(None, None)
        )


@pytest.mark.parametrize("method", ["sum", "cat"])
def test_none_as_an_entry_of_norms_and_activations(method: str) -> None:
    block = old("models.resnet", "SeparableBottleneckBlock")(
        conv_a=None,
        norm_a=None,
        act_a=None,
        conv_b=nn.ModuleList([nn.Conv3d(4, 4, 1), nn.Conv3d(4, 4, 3, padding=1)]),
        norm_b=nn.ModuleList([None, nn.BatchNorm3d(4)]),
        act_b=nn.ModuleList([nn.Sigmoid(), None]),
        conv_c=nn.Conv3d(4 if method == "sum" else 8, 2, 1),
        norm_c=None,
        reduce_method=method,
    ).eval()
    x = torch.rand(2, 4, 3, 5, 5)
    parts = [block.conv_b[0](x).sigmoid(), block.norm_b[1](block.conv_b[1](x))]
    joined = parts[0] + parts[1] if method == "sum" else torch.cat(parts, 1)
    assert torch.allclose(block(x), block.conv_c(joined), atol=1e-6)


def test_pathways_that_are_none_are_left_out() -> None:
    join = old("models.slowfast", "PoolConcatPathway")
    x = [torch.rand(1, 2, 4, 3, 3), None, torch.rand(1, 5, 2, 3, 3)]
    pools = nn.ModuleList([nn.AvgPool3d((2, 1, 1)), nn.Identity(), None])
    joined = join(retain_list=True, pool=pools)(x)
    assert torch.equal(joined[0], torch.cat([pools[0](x[0]), x[2]], 1))


def _recording(calls: list[int]) -> Callable[..., nn.Module]:
    create = old("models.resnet", "create_bottleneck_block")

    def bottleneck(**arguments: Any) -> nn.Module:
        calls.append(arguments["dim_out"])
        block: nn.Module = create(**arguments)
        block.act_b = nn.Tanh()  # seen in the output
        return block

    return bottleneck


SMALL = {"model_depth": 18, "stem_dim_outs": (16, 2), "model_num_class": 5, "dropout_rate": 0.0}


@pytest.mark.parametrize("roi", [False, True])
@pytest.mark.parametrize("nested", ["one", "pathway", "stage"])
def test_bottleneck_as_a_function(roi: bool, nested: str) -> None:
    """One for all, one for each pathway, or one for each of its stages: the same network."""
    name = "create_slowfast_with_roi_head" if roi else "create_slowfast"
    outputs, widths = [], []
    clip = [torch.rand(1, 3, 4, 64, 64), torch.rand(1, 3, 16, 64, 64)]
    boxes = torch.tensor([[0.0, 4, 8, 40, 60], [0.0, 0, 0, 63, 63]])
    for form in ("given", "stage"):
        calls: list[int] = []
        builder = _recording(calls)
        forms = {"one": builder, "pathway": (builder,) * 2, "stage": ((builder,) * 4,) * 2}
        torch.manual_seed(0)
        model = old("models.slowfast", name)(
            bottleneck=forms[nested if form == "given" else "stage"],
            head_pool=nn.AdaptiveAvgPool3d,
            head_output_size=(1, 2, 2),
            **SMALL,
        ).eval()
        for parameter in model.parameters():  # last norms start at 0 and would hide the branches
            nn.init.normal_(parameter, std=0.2)
        with torch.no_grad():
            outputs.append(model(clip, boxes) if roi else model(clip))
        widths.append(sorted(calls))
    assert widths[0] == widths[1] == sorted([64, 128, 256, 512, 8, 16, 32, 64])
    assert torch.equal(outputs[0], outputs[1])
    torch.manual_seed(0)
    plain = old("models.slowfast", name)(
        head_pool=nn.AdaptiveAvgPool3d, head_output_size=(1, 2, 2), **SMALL
    ).eval()
    for parameter in plain.parameters():
        nn.init.normal_(parameter, std=0.2)
    with torch.no_grad():
        assert not torch.allclose(plain(clip, boxes) if roi else plain(clip), outputs[0])


def test_a_box_head_keeps_positions_without_a_global_average() -> None:
    """The scores of R boxes are R C 1 h w, as those of the linear layer at each position."""
    create = old("models.head", "create_res_roi_pooling_head")
    arguments: dict[str, Any] = {
        "in_features": 6, "out_features": 4, "resolution": (3, 2), "spatial_scale": 0.5,
        "sampling_ratio": 2, "pool": None, "dropout_rate": 0.0,
        "output_with_global_average": False,
    }  # fmt: skip
    x = torch.rand(2, 6, 1, 8, 8)
    boxes = torch.tensor([[0.0, 1, 2, 9, 12], [1.0, 0, 0, 15, 15], [1.0, 3, 3, 8, 7]])
    cut = roi_align(x[:, :, 0], boxes, (3, 2), 0.5, 2)
    head = create(**arguments, pool_spatial=None)
    naive = torch.einsum("rchw,kc->rkhw", cut, head.proj.weight) + head.proj.bias[:, None, None]
    assert torch.allclose(head(x, boxes), naive[:, :, None], atol=1e-5)
    pooled = create(**arguments, activation=nn.Softmax)
    naive = pooled.proj(cut.amax((2, 3))).softmax(1)
    assert torch.allclose(pooled(x, boxes), naive[:, :, None, None, None], atol=1e-5)
    average = create(**{**arguments, "output_with_global_average": True}, pool_spatial=None)
    average.load_state_dict(head.state_dict())
    assert torch.allclose(average(x, boxes), head(x, boxes).mean((2, 3, 4)), atol=1e-5)
    # A model for boxes lays the positions out one after the other.
    net = old("models.net", "DetectionBBoxNetwork")(nn.Identity(), head)
    assert torch.equal(net(x, boxes), head(x, boxes).flatten(1))


def test_the_layer_that_cuts_boxes_gets_its_arguments_by_name() -> None:
    seen: dict[str, Any] = {}

    def roi(*, output_size: Sequence[int], spatial_scale: float, sampling_ratio: int) -> nn.Module:
        seen.update(output_size=output_size, scale=spatial_scale, ratio=sampling_ratio)
        return nn.Identity()

    old("models.head", "create_res_roi_pooling_head")(
        in_features=2, out_features=2, resolution=[7, 7], spatial_scale=1 / 16, roi=roi
    )
    assert seen == {"output_size": [7, 7], "scale": 1 / 16, "ratio": 0}


def test_hub_model_builder_refuses_a_changed_network_with_weights() -> None:
    build, create = (
        old("models.hub.utils", "hub_model_builder"),
        old("models.resnet", "create_resnet"),
    )
    config = {"model_depth": 50, "model_num_class": 400}
    with pytest.raises(AssertionError, match="model_num_class"):
        build(
            create, pretrained=True, checkpoint_path="x", default_config=config, model_num_class=3
        )
    assert issubclass(ConfigError, AssertionError)
    model = build(create, pretrained=False, default_config=config, model_num_class=3)
    assert model.num_classes == 3
    with pytest.raises(WeightsError, match="needs checkpoint_path"):
        build(create, pretrained=True, default_config=config)


def _build(module: str, name: str, *arguments: Any, **named: Any) -> Callable[[], Any]:
    return lambda: old(module, name)(*arguments, **named)


def _call(module: str, name: str, *arguments: Any, x: Any, **named: Any) -> Callable[[], Any]:
    return lambda: old(module, name)(*arguments, **named)(*x)


MVIT: dict[str, Any] = {"spatial_size": 28, "temporal_size": 1}
# The type that PyTorchVideo raises -> what a program does
REFUSED: list[tuple[type[Exception], Callable[[], Any]]] = [
    (AssertionError, _build("models.resnet", "create_resnet", model_depth=7)),
    (AssertionError, _build("models.csn", "create_csn", model_depth=7)),
    (AssertionError, _build("models.slowfast", "create_slowfast", model_depth=7)),
    (AssertionError, _build("models.net", "Net", blocks=None)),
    (AssertionError, _build("models.resnet", "BottleneckBlock")),
    (AssertionError, _build("models.head", "ResNetBasicHead")),
    (AssertionError, _build("models.head", "SequencePool", "sum")),
    (AssertionError, _build("models.stem", "PatchEmbed")),
    (AssertionError, _build("models.x3d", "ProjectedPool")),
    (AssertionError, _build("models.weight_init", "init_net_weights", nn.ReLU(), style="x")),
    (AssertionError, _build("layers.convolutions", "Conv2plus1d")),
    (AssertionError, _build("layers.nonlocal_net", "NonLocal", conv_theta=None, conv_phi=None,
                            conv_g=None, conv_out=None)),
    (AssertionError, _build("layers", "make_fusion_layer", "sum", [2, 3])),
    (NotImplementedError, _build("layers", "make_fusion_layer", "mean", [2, 2])),
    (NotImplementedError, _build("models.vision_transformers",
                                 "create_multiscale_vision_transformers", norm="x", **MVIT)),
    (AssertionError, _build("models.vision_transformers", "create_multiscale_vision_transformers",
                            spatial_size=28, temporal_size=4, use_2d_patch=True)),
    (NotImplementedError, _build("models.masked_multistream", "LearnMaskedDefault", 8, "ones")),
    (AssertionError, _call("models.masked_multistream", "MaskedTemporalPooling", "max",
                           x=[torch.rand(2, 3)])),
    (AssertionError, _call("layers", "PositionalEncoding", 8, 4, x=[torch.rand(1, 9, 8)])),
    (AssertionError, _build("accelerator.deployment.common.model_transmuter", "transmute_model",
                            nn.ReLU(), target_device="mobile_gpu")),
    (RuntimeError, _call("models.resnet", "create_resnet", x=[torch.rand(1, 6, 8, 224, 224)])),
    (AssertionError, _build("transforms", "AugMix", magnitude=11)),
    (AssertionError, _build("transforms", "AugMix", magnitude=1.1)),
    (AssertionError, _build("transforms", "AugMix", alpha=-0.3)),
    (AssertionError, _build("transforms", "AugMix", width=0)),
    (AssertionError, _build("transforms", "MixVideo", cutmix_prob=2.0)),
    (AssertionError, _build("transforms", "OpSampler", [])),
    (AssertionError, _build("transforms", "OpSampler", [nn.ReLU()], num_sample_op=2)),
    (AssertionError, _build("transforms.augmentations", "AugmentTransform", "Blur")),
    (AssertionError, _call("transforms", "ConvertUint8ToFloat", x=[torch.rand(3, 2, 4, 4)])),
    (TypeError, _call("transforms", "Normalize", [0.5], [0.5], x=[torch.ones(3, 1, 2, 2).int()])),
    (AssertionError, _build("transforms.functional", "uniform_crop", torch.rand(3, 1, 9, 9), 4, 3)),
    (AssertionError, _build("transforms.functional", "convert_to_one_hot", torch.tensor([7]), 5)),
    (NotImplementedError, _build("losses.soft_target_cross_entropy", "SoftTargetCrossEntropyLoss",
                                 reduction="median")),
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(REFUSED)))
def test_errors_are_of_the_type_that_programs_catch(number: int) -> None:
    expected, act = REFUSED[number]
    with pytest.raises(expected) as caught:
        act()
    assert isinstance(caught.value, VitascopeError) and len(str(caught.value).splitlines()) == 1


def test_tensors_of_a_wrong_size_are_runtime_errors_too() -> None:
    model = old("models.slowfast", "create_slowfast")(**SMALL, head_pool=nn.AdaptiveAvgPool3d)
    x: list[Tensor] = [torch.rand(1, 5, 4, 64, 64), torch.rand(1, 5, 16, 64, 64)]
    with pytest.raises(RuntimeError, match="channels") as caught:
        model(x)
    assert isinstance(caught.value, InputError)
