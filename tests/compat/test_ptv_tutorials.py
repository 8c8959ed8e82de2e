"""PyTorchVideo's tutorials, PySlowFast's wrappers and a notebook, by old and new names.

Each flow is written once against `find(module, name)`; the names come from pytorchvideo or from
vitascope, and the results are compared with a naive version of the step that they stand for.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from support.model_reference import old_names
from vitascope.layers.roi_align import RoIAlign

pytestmark = pytest.mark.filterwarnings("ignore:pytorchvideo:DeprecationWarning")
ROOT = Path(__file__).resolve().parents[2]
MEAN, STD = [0.45, 0.45, 0.45], [0.225, 0.225, 0.225]
Find = Callable[[str, str], Any]
# Where a module is called otherwise now.
HOMES = {
    "accelerator.deployment.common.model_transmuter": "accelerator.transmute",
    "accelerator.deployment.mobile_cpu.utils.model_conversion": "accelerator.convert",
    "layers.accelerator.mobile_cpu.activation_functions": "layers.mobile_cpu.activations",
    "layers.accelerator.mobile_cpu.convolutions": "layers.mobile_cpu.convolutions",
    "layers.accelerator.mobile_cpu.fully_connected": "layers.mobile_cpu.linear",
    "layers.accelerator.mobile_cpu.pool": "layers.mobile_cpu.pool",
    "models.accelerator.mobile_cpu.residual_blocks": "models.efficient_x3d",
}


@pytest.fixture(params=["pytorchvideo", "vitascope"])
def find(request: pytest.FixtureRequest) -> Find:
    old_names()
    package = str(request.param)

    def name_of(module: str, name: str) -> Any:
        path = HOMES.get(module, module) if package == "vitascope" else module
        return getattr(importlib.import_module(f"{package}.{path}"), name)

    return name_of


def noise(frames: int, height: int, width: int) -> Tensor:
    generator = torch.Generator().manual_seed(frames)
    return torch.randint(0, 256, (3, frames, height, width), generator=generator).to(torch.uint8)


class PackPathway(nn.Module):
    """As programs for SlowFast write it: a slow copy of the clip before the fast one."""

    def __init__(self, alpha: int) -> None:
        super().__init__()
        self.alpha = alpha

    def forward(self, frames: Tensor) -> list[Tensor]:
        indices = torch.linspace(0, frames.shape[1] - 1, frames.shape[1] // self.alpha).long()
        return [torch.index_select(frames, 1, indices), frames]


class Row:
    """Transforms one after the other, as torchvision's Compose calls them."""

    def __init__(self, *transforms: Callable[[Any], Any]) -> None:
        self.transforms = transforms

    def __call__(self, x: Any) -> Any:
        for transform in self.transforms:
            x = transform(x)
        return x


def scaled(clip: Tensor) -> Tensor:
    return clip / 255.0


def middle(clip: Tensor, side: int) -> Tensor:
    top, left = (clip.shape[-2] - side) // 2, (clip.shape[-1] - side) // 2
    return clip[..., top : top + side, left : left + side]


def naive_input(video: Tensor, frames: int, side: int) -> Tensor:
    """Evenly spaced frames, scaled to a short side and to mean 0: written out."""
    picked = video[:, [int(i) for i in torch.linspace(0, video.shape[1] - 1, frames)]] / 255
    height, width = video.shape[-2:]
    size = (side * height // width, side) if width < height else (side, side * width // height)
    x = F.interpolate((picked - 0.45) / 0.225, size, mode="bilinear", align_corners=False)
    return middle(x, side)


def test_torch_hub_inference(find: Find) -> None:
    """A model of the hub on the middle of a video, and its five best classes."""
    transform = find("transforms", "ApplyTransformToKey")(
        key="video",
        transform=Row(
            find("transforms", "UniformTemporalSubsample")(4),
            scaled,
            find("transforms", "Normalize")(MEAN, STD),
            find("transforms", "ShortSideScale")(size=160),
            partial(middle, side=160),
        ),
    )
    video = noise(30, 172, 214)
    clip = transform({"video": video, "audio": None})["video"]
    assert torch.allclose(clip, naive_input(video, 4, 160), atol=1e-5)
    model = torch.hub.load(str(ROOT), "x3d_xs", source="local", pretrained=False).eval()
    entry = find("models.hub", "x3d_xs")(pretrained=False, progress=False)
    entry.load_state_dict(model.state_dict(), strict=True)
    with torch.no_grad():
        scores = torch.softmax(model(clip[None]), 1)
        same = torch.softmax(entry.eval()(clip[None]), 1)
    best = scores.topk(k=5).indices[0]
    assert len(set(best.tolist())) == 5 and torch.equal(scores, same)


def test_torch_hub_inference_with_two_pathways(find: Find) -> None:
    transform = find("transforms", "ApplyTransformToKey")(
        key="video",
        transform=Row(
            find("transforms", "UniformTemporalSubsample")(32),
            scaled,
            find("transforms", "Normalize")(MEAN, STD),
            find("transforms", "ShortSideScale")(size=64),
            partial(middle, side=64),
            PackPathway(4),
        ),
    )
    video = noise(64, 80, 70)
    clips = transform({"video": video})["video"]
    model = find("models.hub", "slowfast_r50")(
        pretrained=False, head_pool=nn.AdaptiveAvgPool3d, model_num_class=7
    ).eval()
    repeated = find("transforms", "UniformTemporalSubsampleRepeated")((4, 1))(clips[1])
    assert all(torch.equal(a, b) for a, b in zip(clips, repeated, strict=True))
    with torch.no_grad():
        scores = model([clip[None] for clip in clips])
        again = model([clip[None] for clip in repeated])
    assert scores.shape == (1, 7) and torch.equal(scores, again)


def test_classification_training(find: Find) -> None:
    """A ResNet with the tutorial's arguments learns two classes from its training transform."""
    torch.manual_seed(0)
    model = find("models.resnet", "create_resnet")(
        input_channel=3, model_depth=50, model_num_class=2, norm=nn.BatchNorm3d,
        activation=nn.ReLU, head_pool=nn.AdaptiveAvgPool3d, dropout_rate=0.0, stem_dim_out=8,
    )  # fmt: skip
    transform = Row(
        find("transforms", "ApplyTransformToKey")(
            key="video",
            transform=Row(
                find("transforms", "UniformTemporalSubsample")(4),
                scaled,
                find("transforms", "Normalize")(MEAN, STD),
                find("transforms", "RandomShortSideScale")(min_size=36, max_size=44),
                partial(middle, side=32),
            ),
        ),
        find("transforms", "RemoveKey")("audio"),
    )
    videos = [noise(8, 40, 50) // 2 + 127 * label for label in (0, 1, 0, 1)]
    samples = [
        transform({"video": video, "audio": 0, "label": i % 2}) for i, video in enumerate(videos)
    ]
    assert all(list(sample) == ["video", "label"] for sample in samples)
    batch = torch.stack([sample["video"] for sample in samples])
    labels = torch.tensor([sample["label"] for sample in samples])
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    losses = []
    for _ in range(6):
        loss = F.cross_entropy(model(batch), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


def test_detection_inference(find: Find) -> None:
    """Boxes of a frame go through the same transform as the clip; each gets 80 scores."""
    functional = partial(find, "transforms.functional")
    boxes = np.array([[20.0, 10.0, 95.0, 118.0], [100.0, -4.0, 190.0, 90.0]])
    video = noise(9, 120, 180)
    clip = functional("uniform_temporal_subsample")(video, 4).float() / 255
    inside = functional("clip_boxes_to_image")(boxes, 120, 180)
    clip, moved = functional("short_side_scale_with_boxes")(clip, size=64, boxes=inside)
    clip = find("transforms", "Normalize")(MEAN, STD)(clip)
    moved = functional("clip_boxes_to_image")(moved, clip.shape[2], clip.shape[3])
    naive = np.array([[20, 10, 95, 118], [100, 0, 179, 90]]) * (96 / 180)
    assert np.allclose(moved, naive.clip(0, [95, 63, 95, 63]), atol=1e-6)
    rows = torch.cat([torch.zeros(2, 1), torch.from_numpy(moved).float()], 1)
    model = find("models.hub", "slow_r50_detection")(pretrained=False).eval()
    with torch.no_grad():
        scores = model(clip[None], rows)
        turned = model(clip[None], rows.flip(0))
        one = model(clip[None], rows[1:])
    assert scores.shape == (2, 80) and scores.min() > 0 and scores.max() < 1
    assert torch.allclose(scores, turned.flip(0), atol=1e-6)
    assert torch.allclose(scores[1:], one, atol=1e-6)


class Custom(nn.Module):
    """A model of efficient blocks, as the accelerator's first tutorial builds one."""

    def __init__(self, find: Find) -> None:
        super().__init__()
        blocks = "layers.accelerator.mobile_cpu"
        names = find(f"{blocks}.activation_functions", "supported_act_functions")
        self.s1 = find(f"{blocks}.convolutions", "Conv3d5x1x1BnAct")(3, 12, activation="relu")
        self.s2 = find("models.accelerator.mobile_cpu.residual_blocks", "X3dBottleneckBlock")(
            in_channels=12, mid_channels=32, out_channels=12, use_residual=True,
            spatial_stride=1, se_ratio=0.0625, act_functions=("relu", "swish", "relu"),
        )  # fmt: skip
        self.act = names["relu"]()
        self.pool = find(f"{blocks}.pool", "AdaptiveAvgPool3dOutSize1")()
        self.projection = find(f"{blocks}.fully_connected", "FullyConnected")(12, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(self.act(self.s2(self.s1(x))))
        scores: Tensor = self.projection(x.flatten(1))
        return scores


def shake(model: nn.Module) -> nn.Module:
    """Norms that do something, so that folding them can go wrong."""
    torch.manual_seed(1)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm3d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.1)
            nn.init.normal_(module.running_mean, std=0.1)  # type: ignore[arg-type]
            nn.init.uniform_(module.running_var, 0.5, 1.5)  # type: ignore[arg-type]
    return model.eval()


CONVERSION = "accelerator.deployment.mobile_cpu.utils.model_conversion"


def test_a_network_of_efficient_blocks_is_deployed(find: Find) -> None:
    x = torch.rand(1, 3, 4, 10, 12)
    model = shake(Custom(find))
    deployed = find(CONVERSION, "convert_to_deployable_form")(model, x)
    assert not any(isinstance(module, nn.BatchNorm3d) for module in deployed.modules())
    with torch.no_grad():
        assert torch.allclose(deployed(x), model(x), atol=1e-4)


def test_a_network_of_the_hub_is_deployed(find: Find) -> None:
    model = shake(find("models.hub", "efficient_x3d_xs")(pretrained=False))
    x = torch.rand(1, 3, 4, 160, 160)
    deployed = find(CONVERSION, "convert_to_deployable_form")(model, x)
    with torch.no_grad():
        assert torch.allclose(deployed(x), model(x), atol=1e-3)


def test_a_network_of_plain_convolutions_is_transmuted(find: Find) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv3d(3, 6, 1), nn.Conv3d(6, 6, 3, padding=1, groups=6), nn.BatchNorm3d(6),
        nn.Sequential(nn.Conv3d(6, 4, (5, 1, 1), padding=(2, 0, 0)), nn.ReLU()),
        nn.Conv3d(4, 4, (2, 1, 1)),
    )  # fmt: skip
    x = torch.rand(1, 3, 6, 8, 8)
    with torch.no_grad():
        before = shake(model)(x)
        find("accelerator.deployment.common.model_transmuter", "transmute_model")(
            model, target_device="mobile_cpu"
        )
        assert torch.allclose(model(x), before, atol=1e-5)
        deployed = find(CONVERSION, "convert_to_deployable_form")(model, x)
        assert torch.allclose(deployed(x), before, atol=1e-5)
    kinds = [type(module).__name__ for module in model.modules()]
    assert {"Conv3dPwBnAct", "Conv3d3x3x3DwBnAct", "Conv3d5x1x1BnAct"} <= set(kinds)
    assert type(model[4]) is nn.Conv3d


# --- PySlowFast's wrappers ------------------------------------------------------------------------

RELU = partial(nn.ReLU, inplace=True)
NORM = partial(nn.BatchNorm3d, eps=1e-5)
BONES = (((1, 3, 3),) * 4,) * 2
ONES, STRIDES = ((1, 1, 1, 1),) * 2, ((1, 2, 2, 2),) * 2


class Wrapper(nn.Module):
    """In training the scores of all positions, in evaluation the mean of their softmax."""

    def __init__(self, model: nn.Module, act: nn.Module) -> None:
        super().__init__()
        self.model, self.post_act = model, act

    def forward(self, x: list[Tensor], bboxes: Tensor | None = None) -> Tensor:
        inputs: Any = x if len(x) > 1 else x[0]
        out: Tensor = self.model(inputs) if bboxes is None else self.model(inputs, bboxes)
        if bboxes is not None:
            return self.post_act(out).view(out.shape[0], -1)
        if not self.training:
            out = self.post_act(out).mean([2, 3, 4])
        return out.reshape(out.shape[0], -1)


def slowfast(find: Find, **more: Any) -> nn.Module:
    kernels = (((1, 1, 1), (1, 1, 1), (3, 1, 1), (3, 1, 1)), ((3, 1, 1),) * 4)
    arguments: dict[str, Any] = {
        "slowfast_channel_reduction_ratio": 8, "slowfast_conv_channel_fusion_ratio": 2,
        "slowfast_fusion_conv_kernel_size": (7, 1, 1), "slowfast_fusion_conv_stride": (4, 1, 1),
        "input_channels": [3, 3], "model_depth": 18, "model_num_class": 6, "dropout_rate": 0.0,
        "norm": NORM, "activation": RELU, "stem_dim_outs": (16, 2),
        "stem_conv_kernel_sizes": ((1, 7, 7), (5, 7, 7)),
        "stem_conv_strides": ((1, 2, 2), (1, 2, 2)), "stem_pool": nn.MaxPool3d,
        "stem_pool_kernel_sizes": ((1, 3, 3), (1, 3, 3)),
        "stem_pool_strides": ((1, 2, 2), (1, 2, 2)), "stage_conv_a_kernel_sizes": kernels,
        "stage_conv_b_kernel_sizes": BONES, "stage_conv_b_num_groups": ONES,
        "stage_conv_b_dilations": (((1, 1, 1),) * 4,) * 2, "stage_spatial_strides": STRIDES,
        "stage_temporal_strides": ONES,
        "bottleneck": find("models.resnet", "create_bottleneck_block"),
        "head_pool": nn.AvgPool3d, "head_pool_kernel_sizes": ((2, 2, 2), (8, 2, 2)),
        "head_activation": None, "head_output_with_global_average": False,
    }  # fmt: skip
    built: nn.Module = find("models.slowfast", "create_slowfast")(**{**arguments, **more})
    return built


def resnet(find: Find, **more: Any) -> nn.Module:
    arguments: dict[str, Any] = {
        "input_channel": 3, "model_depth": 50, "model_num_class": 6, "dropout_rate": 0.0,
        "norm": NORM, "activation": RELU, "stem_dim_out": 16,
        "stem_conv_kernel_size": (5, 7, 7), "stem_conv_stride": (1, 2, 2),
        "stem_pool": nn.MaxPool3d, "stem_pool_kernel_size": (1, 3, 3),
        "stem_pool_stride": (1, 2, 2), "stage1_pool": nn.MaxPool3d,
        "stage1_pool_kernel_size": [2, 1, 1],
        "stage_conv_a_kernel_size": (
            (3, 1, 1), [(3, 1, 1), (1, 1, 1)], [(3, 1, 1), (1, 1, 1)], [(1, 1, 1), (3, 1, 1)],
        ),
        "stage_conv_b_kernel_size": BONES[0], "stage_conv_b_num_groups": (1, 1, 1, 1),
        "stage_conv_b_dilation": ((1, 1, 1),) * 4, "stage_spatial_h_stride": (1, 2, 2, 2),
        "stage_spatial_w_stride": (1, 2, 2, 2), "stage_temporal_stride": (1, 1, 1, 1),
        "bottleneck": find("models.resnet", "create_bottleneck_block"),
        "head_pool": nn.AvgPool3d, "head_pool_kernel_size": (2, 2, 2), "head_activation": None,
        "head_output_with_global_average": False,
    }  # fmt: skip
    built: nn.Module = find("models.resnet", "create_resnet")(**{**arguments, **more})
    return built


def x3d(find: Find, **more: Any) -> nn.Module:
    arguments: dict[str, Any] = {
        "input_channel": 3, "input_clip_length": 4, "input_crop_size": 64, "model_num_class": 6,
        "dropout_rate": 0.0, "width_factor": 1.0, "depth_factor": 1.0, "norm": NORM,
        "norm_eps": 1e-5, "norm_momentum": 0.1, "activation": RELU, "stem_dim_in": 12,
        "stem_conv_kernel_size": (5, 3, 3), "stem_conv_stride": (1, 2, 2),
        "stage_conv_kernel_size": ((3, 3, 3),) * 4, "stage_spatial_stride": (2, 2, 2, 2),
        "stage_temporal_stride": (1, 1, 1, 1),
        "bottleneck": find("models.x3d", "create_x3d_bottleneck_block"),
        "bottleneck_factor": 2.25, "se_ratio": 0.0625,
        "inner_act": find("layers.swish", "Swish"), "head_dim_out": 64, "head_pool_act": RELU,
        "head_bn_lin5_on": False, "head_activation": None,
        "head_output_with_global_average": False,
    }  # fmt: skip
    built: nn.Module = find("models.x3d", "create_x3d")(**{**arguments, **more})
    return built


def csn(find: Find, **more: Any) -> nn.Module:
    arguments: dict[str, Any] = {
        "input_channel": 3, "model_depth": 50, "model_num_class": 6, "dropout_rate": 0.0,
        "norm": NORM, "activation": RELU, "stem_dim_out": 16, "stem_conv_kernel_size": (3, 7, 7),
        "stem_conv_stride": (1, 2, 2), "stem_pool": nn.MaxPool3d,
        "stem_pool_kernel_size": (1, 3, 3), "stem_pool_stride": (1, 2, 2),
        "stage_conv_a_kernel_size": (1, 1, 1), "stage_conv_b_kernel_size": (3, 3, 3),
        "stage_conv_b_width_per_group": 1, "stage_spatial_stride": (1, 2, 2, 2),
        "stage_temporal_stride": (1, 2, 2, 2),
        "bottleneck": find("models.resnet", "create_bottleneck_block"), "head_pool": nn.AvgPool3d,
        "head_pool_kernel_size": (1, 2, 2), "head_activation": None,
        "head_output_with_global_average": False,
    }  # fmt: skip
    built: nn.Module = find("models.csn", "create_csn")(**{**arguments, **more})
    return built


def r2plus1d(find: Find, **more: Any) -> nn.Module:
    arguments: dict[str, Any] = {
        "input_channel": 3, "model_depth": 50, "model_num_class": 6, "dropout_rate": 0.0,
        "norm": NORM, "norm_eps": 1e-5, "norm_momentum": 0.1, "activation": RELU,
        "stem_dim_out": 16, "stem_conv_kernel_size": (1, 7, 7), "stem_conv_stride": (1, 2, 2),
        "stage_conv_a_kernel_size": ((1, 1, 1),) * 4,
        "stage_conv_b_kernel_size": ((3, 3, 3),) * 4, "stage_conv_b_num_groups": (1, 1, 1, 1),
        "stage_conv_b_dilation": ((1, 1, 1),) * 4, "stage_spatial_stride": (2, 2, 2, 2),
        "stage_temporal_stride": (1, 1, 2, 2),
        "stage_bottleneck": (find("models.r2plus1d", "create_2plus1d_bottleneck_block"),) * 4,
        "head_pool": nn.AvgPool3d, "head_pool_kernel_size": (1, 2, 2), "head_activation": None,
        "head_output_with_global_average": False,
    }  # fmt: skip
    built: nn.Module = find("models.r2plus1d", "create_r2plus1d")(**{**arguments, **more})
    return built


CLIPS = {
    slowfast: [(2, 3, 2, 64, 64), (2, 3, 8, 64, 64)],
    resnet: [(2, 3, 4, 64, 64)],
    x3d: [(2, 3, 4, 64, 64)],
    csn: [(2, 3, 8, 64, 64)],
    r2plus1d: [(2, 3, 4, 64, 64)],
}


@pytest.mark.parametrize("build", list(CLIPS), ids=lambda build: build.__name__)
def test_wrappers_of_pyslowfast(build: Callable[..., nn.Module], find: Find) -> None:
    torch.manual_seed(0)
    clips = [torch.rand(shape) for shape in CLIPS[build]]
    # What PyTorchVideo's own head does with an activation and an average is the same.
    own = shake(build(find, head_activation=nn.Softmax, head_output_with_global_average=True))
    wrapper = Wrapper(build(find), nn.Softmax(dim=1))
    wrapper.model.load_state_dict(own.state_dict(), strict=True)
    with torch.no_grad():
        evaluated = wrapper.eval()([clip.clone() for clip in clips])
        same = own([clip.clone() for clip in clips] if len(clips) > 1 else clips[0])
    assert evaluated.shape == (2, 6) and torch.allclose(evaluated, same, atol=1e-6)
    assert torch.allclose(evaluated.sum(1), torch.ones(2), atol=1e-5)
    trained = wrapper.train()([clip.clone() for clip in clips])
    assert len(trained) == 2 and trained.shape[1] % 6 == 0
    trained.square().mean().backward()
    assert all(p.grad is not None for p in wrapper.parameters())


@pytest.mark.parametrize("two", [True, False], ids=["slowfast", "slow"])
def test_detection_wrappers_of_pyslowfast(two: bool, find: Find) -> None:
    """A model without a head, and a head for boxes of the program's own making."""
    torch.manual_seed(0)
    strides = ((1, 2, 2, 1),) * 2
    dilated = (((1, 1, 1),) * 3 + ((1, 2, 2),),) * 2
    if two:
        body = slowfast(
            find, head=None, stage_spatial_strides=strides, stage_conv_b_dilations=dilated,
            head_pool_kernel_sizes=((2, 1, 1), (8, 1, 1)),
        )  # fmt: skip
        width, clips = 512 + 64, [torch.rand(1, 3, 2, 64, 64), torch.rand(1, 3, 8, 64, 64)]
    else:
        body = resnet(
            find, head=None, stage_spatial_h_stride=strides[0], stage_spatial_w_stride=strides[0],
            stage_conv_b_dilation=dilated[0],
        )  # fmt: skip
        width, clips = 512, [torch.rand(1, 3, 4, 64, 64)]
    head = find("models.head", "create_res_roi_pooling_head")(
        in_features=width, out_features=6, pool=None if two else nn.AvgPool3d,
        output_size=(1, 1, 1), pool_kernel_size=(2, 1, 1), dropout_rate=0.0, activation=None,
        output_with_global_average=False, pool_spatial=nn.MaxPool2d, resolution=[7, 7],
        spatial_scale=1.0 / 16, sampling_ratio=0, roi=partial(RoIAlign, aligned=True),
    )  # fmt: skip
    model = Wrapper(
        find("models.net", "DetectionBBoxNetwork")(body, head), nn.Softmax(dim=1)
    ).eval()
    boxes = torch.tensor([[0.0, 3, 5, 40, 60], [0.0, 20, 10, 62, 50]])
    with torch.no_grad():
        scores = model(clips, boxes)
        features = body([clip.clone() for clip in clips] if two else clips[0])
        pooled = features if two else F.avg_pool3d(features, (2, 1, 1), stride=1)
        cut = RoIAlign([7, 7], 1 / 16, 0, aligned=True)(pooled[:, :, 0], boxes)
        naive = F.linear(cut.amax((2, 3)), head.proj.weight, head.proj.bias).softmax(1)
    assert scores.shape == (2, 6) and torch.allclose(scores, naive, atol=1e-5)


def test_video_classification_notebook(find: Find) -> None:
    """Samples for a fine-tuned transformer: C T H W of the transform, T C H W of its input."""
    size, frames = 24, 8
    train = find("transforms", "ApplyTransformToKey")(
        key="video",
        transform=Row(
            find("transforms", "UniformTemporalSubsample")(frames),
            scaled,
            find("transforms", "Normalize")([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
            find("transforms", "RandomShortSideScale")(min_size=26, max_size=32),
            partial(middle, side=size),
        ),
    )
    check = find("transforms", "ApplyTransformToKey")(
        key="video",
        transform=Row(
            find("transforms", "UniformTemporalSubsample")(frames),
            scaled,
            find("transforms", "Normalize")(MEAN, STD),
            partial(F.interpolate, size=(size, size)),
        ),
    )
    samples = [{"video": noise(20, 30, 40), "label": label} for label in (3, 1)]
    for transform in (train, check):
        done = [transform(dict(sample)) for sample in samples]
        pixels = torch.stack([sample["video"].permute(1, 0, 2, 3) for sample in done])
        assert pixels.shape == (2, frames, 3, size, size)
        back = torch.stack([pixels[0].permute(1, 0, 2, 3), pixels[1].permute(1, 0, 2, 3)])
        assert torch.equal(back[1], done[1]["video"]) and pixels.dtype == torch.float32
    picked = samples[0]["video"][:, [0, 2, 5, 8, 10, 13, 16, 19]] / 255
    naive = F.interpolate((picked - 0.45) / 0.225, (size, size))
    assert torch.allclose(done[0]["video"], naive, atol=1e-5)
