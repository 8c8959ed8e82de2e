"""PySlowFast's keys of ResNets and SlowFast models as arguments of our builders.

Each family exists twice: the native model, and the one that PySlowFast builds with PyTorchVideo's
builders (`PTV...`), which obeys fewer keys.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from vitascope.compat.pyslowfast.parts import (
    DEPTHS,
    KERNELS,
    POOLED,
    Keys,
    channels,
    choice_of,
    classifier,
    head_activation,
    head_window,
    norm_class,
    refuse,
    refuse_nonlocal,
    rows,
    start,
    temporal_kernels,
)
from vitascope.layers.batch_norm import ModuleFactory
from vitascope.models.base import VideoModel
from vitascope.models.csn import create_csn
from vitascope.models.r2plus1d import create_r2plus1d
from vitascope.models.resnet import create_resnet, create_resnet_with_roi_head
from vitascope.models.resnet_blocks import create_basic_block, create_bottleneck_block
from vitascope.models.slowfast import create_slowfast, create_slowfast_with_roi_head

_BLOCKS: dict[str, ModuleFactory] = {
    "bottleneck_transform": create_bottleneck_block,
    "basic_transform": create_basic_block,
}
_PTV_BLOCKS = {"RESNET.STRIDE_1X1": False, "RESNET.TRANS_FUNC": "bottleneck_transform"}
_PTV_DEPTHS = {depth: DEPTHS[depth] for depth in (50, 101)}
_SINGLE = tuple(arch for arch in KERNELS if len(KERNELS[arch]) == 1 and arch != "x3d")


def _arch(keys: Keys, legal: tuple[str, ...]) -> str:
    name = keys["MODEL.ARCH"]
    choice_of(keys, "MODEL.ARCH", dict.fromkeys(legal))
    return str(name)


def _common(keys: Keys) -> dict[str, Any]:
    """Arguments that all families take, native or not."""
    return {
        "model_num_class": keys["MODEL.NUM_CLASSES"],
        "dropout_rate": keys["MODEL.DROPOUT_RATE"],
        "norm": norm_class(keys),
        "head_activation": head_activation(keys),
    }


def _roi(keys: Keys, aligned: bool) -> dict[str, Any]:
    size = keys["DETECTION.ROI_XFORM_RESOLUTION"]
    return {
        "head_spatial_resolution": (size, size),
        "head_spatial_scale": 1.0 / float(keys["DETECTION.SPATIAL_SCALE_FACTOR"]),
        "head_aligned": aligned,
    }


def _windows(keys: Keys, frames: list[int]) -> list[Any]:
    """Window of the head for each pathway; boxes are averaged over time alone."""
    found = [head_window(keys, count) for count in frames]
    return [(t, 1, 1) for t, _, _ in found] if keys["DETECTION.ENABLE"] else list(found)


def _dilations(values: list[int]) -> tuple[tuple[int, int, int], ...]:
    return tuple((1, d, d) for d in values)


def _single(keys: Keys, arch: str, *, native: bool) -> dict[str, Any]:
    """Arguments of `create_resnet` that both kinds of ResNet share."""
    depths = choice_of(keys, "RESNET.DEPTH", DEPTHS if native else _PTV_DEPTHS)
    (strides,) = rows(keys, "RESNET.SPATIAL_STRIDES", 1)
    (dilations,) = rows(keys, "RESNET.SPATIAL_DILATIONS", 1)
    pooled = arch in POOLED
    (window,) = _windows(keys, [keys["DATA.NUM_FRAMES"] // (2 if pooled else 1)])
    return {
        **_common(keys),
        "input_channel": channels(keys, 1)[0],
        "stage_depths": depths,
        "stem_dim_out": keys["RESNET.WIDTH_PER_GROUP"],
        "stem_conv_kernel_size": (KERNELS[arch][0][0][0], 7, 7),
        "stage1_pool": nn.MaxPool3d if pooled else None,
        "stage_conv_a_kernel_size": temporal_kernels(keys, depths, 0, whole=not native),
        "stage_conv_b_num_groups": [keys["RESNET.NUM_GROUPS"]] * 4,
        "stage_conv_b_dilation": _dilations(dilations),
        "stage_spatial_h_stride": strides,
        "stage_spatial_w_stride": strides,
        "head_pool_kernel_size": window,
    }


def _inner(keys: Keys, divisor: int = 1) -> list[int]:
    width = keys["RESNET.NUM_GROUPS"] * keys["RESNET.WIDTH_PER_GROUP"]
    return [width * 2**i // divisor for i in range(4)]


def build_resnet(keys: Keys, head: Callable[..., nn.Module] | None = None) -> nn.Module:
    """PySlowFast's ResNet: C2D, I3D, Slow, with non-local blocks, with boxes.

    Args:
        keys: every key with its value.
        head: builder of another head than the classifying one.
    """
    block = choice_of(keys, "RESNET.TRANS_FUNC", _BLOCKS)
    refuse(keys, {"MODEL.DROPCONNECT_RATE": 0.0}, "ResNet")
    arguments = _single(keys, _arch(keys, _SINGLE), native=True)
    arguments |= {
        "bottleneck": block,
        "stage_dim_inner": _inner(keys),
        "stage_stride_at": "conv_a" if keys["RESNET.STRIDE_1X1"] else "conv_b",
        "nonlocal_locations": rows(keys, "NONLOCAL.LOCATION", 1)[0],
        "nonlocal_groups": rows(keys, "NONLOCAL.GROUP", 1)[0],
        "nonlocal_pool_sizes": [row[0] for row in keys["NONLOCAL.POOL"]],
        "nonlocal_instantiation": keys["NONLOCAL.INSTANTIATION"],
    }
    if keys["DETECTION.ENABLE"]:
        roi = _roi(keys, keys["DETECTION.ALIGNED"])
        model: VideoModel = create_resnet_with_roi_head(**arguments, **roi)
    else:
        model = create_resnet(**arguments, **_head(keys, head))
    start(model, keys)
    return model


def _head(keys: Keys, head: Callable[..., nn.Module] | None) -> dict[str, Any]:
    """How a native model ends; sizes vary within an epoch under short cycles of multigrid."""
    free = keys["MULTIGRID.SHORT_CYCLE"] or keys["MODEL.MODEL_NAME"] == "ContrastiveModel"
    pool = {"head_pool": nn.AdaptiveAvgPool3d} if free else {}
    return {"head": head or classifier(keys), **pool}


def build_ptv_resnet(keys: Keys) -> nn.Module:
    """PySlowFast's PTVResNet: C2D, I3D and Slow by PyTorchVideo's builder."""
    refuse(keys, _PTV_BLOCKS, "PTVResNet")
    refuse_nonlocal(keys, "PTVResNet")
    arguments = _single(keys, _arch(keys, ("c2d", "i3d", "slow")), native=False)
    if keys["DETECTION.ENABLE"]:
        return create_resnet_with_roi_head(**arguments, **_roi(keys, True))
    return create_resnet(**arguments, head=classifier(keys))


def _double(keys: Keys, *, native: bool) -> dict[str, Any]:
    """Arguments of `create_slowfast` that both kinds of SlowFast share."""
    arch = _arch(keys, ("slowfast",))
    depths = choice_of(keys, "RESNET.DEPTH", DEPTHS if native else _PTV_DEPTHS)
    alpha, beta = keys["SLOWFAST.ALPHA"], keys["SLOWFAST.BETA_INV"]
    width, frames = keys["RESNET.WIDTH_PER_GROUP"], keys["DATA.NUM_FRAMES"]
    dilations = rows(keys, "RESNET.SPATIAL_DILATIONS", 2)
    if not native:
        # PySlowFast's wrapper takes the second stage's dilation for the fast pathway's last
        # three; weights that it trained need the same.
        dilations[1][2:] = [dilations[1][1]] * 2
    return {
        **_common(keys),
        "slowfast_channel_reduction_ratio": beta,
        "slowfast_conv_channel_fusion_ratio": keys["SLOWFAST.FUSION_CONV_CHANNEL_RATIO"],
        "slowfast_fusion_conv_kernel_size": (keys["SLOWFAST.FUSION_KERNEL_SZ"], 1, 1),
        "slowfast_fusion_conv_stride": (alpha, 1, 1),
        "input_channels": channels(keys, 2),
        "stage_depths": depths,
        "stem_dim_outs": (width, width // beta),
        "stem_conv_kernel_sizes": [(path[0][0], 7, 7) for path in KERNELS[arch]],
        "stage_conv_a_kernel_sizes": [
            temporal_kernels(keys, depths, pathway, whole=False) for pathway in range(2)
        ],
        "stage_conv_b_num_groups": [[keys["RESNET.NUM_GROUPS"]] * 4] * 2,
        "stage_conv_b_dilations": [_dilations(values) for values in dilations],
        "stage_spatial_strides": rows(keys, "RESNET.SPATIAL_STRIDES", 2),
        "head_pool_kernel_sizes": _windows(keys, [frames // alpha, frames]),
    }


def build_slowfast(keys: Keys, head: Callable[..., nn.Module] | None = None) -> nn.Module:
    """PySlowFast's SlowFast, with non-local blocks, with boxes.

    Args:
        keys: every key with its value.
        head: builder of another head than the classifying one.
    """
    block = choice_of(keys, "RESNET.TRANS_FUNC", _BLOCKS)
    refuse(keys, {"RESNET.STRIDE_1X1": False, "MODEL.DROPCONNECT_RATE": 0.0}, "SlowFast")
    arguments = _double(keys, native=True)
    pools = keys["NONLOCAL.POOL"]
    arguments |= {
        "bottleneck": [[block] * 4] * 2,
        "stage_dim_inner": [_inner(keys), _inner(keys, keys["SLOWFAST.BETA_INV"])],
        "nonlocal_locations": rows(keys, "NONLOCAL.LOCATION", 2),
        "nonlocal_groups": rows(keys, "NONLOCAL.GROUP", 2),
        "nonlocal_pool_sizes": [[row[min(p, len(row) - 1)] for row in pools] for p in range(2)],
        "nonlocal_instantiation": [keys["NONLOCAL.INSTANTIATION"]] * 2,
    }
    if keys["DETECTION.ENABLE"]:
        roi = _roi(keys, keys["DETECTION.ALIGNED"])
        model: VideoModel = create_slowfast_with_roi_head(**arguments, **roi)
    else:
        model = create_slowfast(**arguments, **_head(keys, head))
    start(model, keys)
    return model


def build_ptv_slowfast(keys: Keys) -> nn.Module:
    """PySlowFast's PTVSlowFast, built by PyTorchVideo's builder."""
    refuse(keys, _PTV_BLOCKS, "PTVSlowFast")
    refuse_nonlocal(keys, "PTVSlowFast")
    arguments = _double(keys, native=False)
    if keys["DETECTION.ENABLE"]:
        return create_slowfast_with_roi_head(**arguments, **_roi(keys, True))
    return create_slowfast(**arguments, head=classifier(keys))


def _foreign(keys: Keys, name: str, frames: int) -> dict[str, Any]:
    """Arguments that the CSN and the R(2+1)D of PySlowFast share."""
    refuse(keys, {**_PTV_BLOCKS, "DETECTION.ENABLE": False}, name)
    refuse_nonlocal(keys, name)
    return {
        **_common(keys),
        "model_depth": choice_of(keys, "RESNET.DEPTH", {depth: depth for depth in (50, 101, 152)}),
        "input_channel": channels(keys, 1)[0],
        "stem_dim_out": keys["RESNET.WIDTH_PER_GROUP"],
        "head": classifier(keys),
        "head_pool_kernel_size": head_window(keys, frames),
    }


def build_ptv_csn(keys: Keys) -> nn.Module:
    """PySlowFast's PTVCSN."""
    return create_csn(
        **_foreign(keys, "PTVCSN", keys["DATA.NUM_FRAMES"] // 8),
        stem_pool=nn.MaxPool3d,
    )


def build_ptv_r2plus1d(keys: Keys) -> nn.Module:
    """PySlowFast's PTVR2plus1D."""
    return create_r2plus1d(**_foreign(keys, "PTVR2plus1D", keys["DATA.NUM_FRAMES"] // 4))
