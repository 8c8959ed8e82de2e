"""Every card at a size that runs in a fraction of a second, and inputs that fit."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from vitascope.engine.sizes import CLIP_ARGS, CROP_ARGS
from vitascope.models.base import VideoModel
from vitascope.models.card import ModelCard
from vitascope.models.mvit.model import MViTVariant

Inputs = tuple[Any, ...]
Shrink = Callable[[ModelCard], tuple[dict[str, Any], Inputs]]
SIDE = 64
CLASSES = 11
MOST_PARAMETERS = 1_000_000


def _clip(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def _boxes(count: int = 2) -> Tensor:
    rows = [[0, 5, 5, 50, 60], [1, 10.5, 2.25, 60, 40], [0, 0, 0, 63, 63]]
    return torch.tensor(rows[:count], dtype=torch.float32)


def _x3d(card: ModelCard) -> tuple[dict[str, Any], Inputs]:
    args = {
        "input_clip_length": 4,
        "input_crop_size": SIDE,
        "width_factor": 1.0,
        "depth_factor": 1.0,
        "head_dim_out": 64,
        "model_num_class": 11,
    }
    return args, (_clip(2, 3, 4, SIDE, SIDE),)


def _resnet(card: ModelCard) -> tuple[dict[str, Any], Inputs]:
    pooled = 2 if "stage1_pool" in card.args else 1
    frames = card.clip.num_frames
    args: dict[str, Any] = {
        "stem_dim_out": 16,
        "stage_depths": (1, 2, 2, 1),
        "model_num_class": 11,
        "head_pool_kernel_size": (frames // pooled, SIDE // 32, SIDE // 32),
    }
    if "nonlocal_locations" in card.args:
        args["nonlocal_locations"] = ((), (1,), (0, 1), ())
    return args, (_clip(2, 3, frames, SIDE, SIDE),)


def _resnet_roi(card: ModelCard) -> tuple[dict[str, Any], Inputs]:
    frames = card.clip.num_frames
    args = {"stem_dim_out": 16, "stage_depths": (1, 1, 1, 1), "model_num_class": 11}
    return args, (_clip(2, 3, frames, SIDE, SIDE), _boxes())


def _csn(card: ModelCard) -> tuple[dict[str, Any], Inputs]:
    args = {
        "stem_dim_out": 16,
        "stage_depths": (1, 1, 1, 1),
        "model_num_class": 11,
        "head_pool_kernel_size": (1, 2, 2),
    }
    return args, (_clip(2, 3, 8, SIDE, SIDE),)


def _r2plus1d(card: ModelCard) -> tuple[dict[str, Any], Inputs]:
    args = {
        "stem_dim_out": 16,
        "stage_depths": (1, 1, 1, 1),
        "model_num_class": 11,
        "head_pool_kernel_size": (2, 2, 2),
    }
    return args, (_clip(2, 3, 8, SIDE, SIDE),)


def _slowfast(card: ModelCard) -> tuple[dict[str, Any], Inputs]:
    alpha = card.clip.pathways[0]
    slow, fast = 2, 2 * alpha
    args: dict[str, Any] = {
        "stem_dim_outs": (16, 2),
        "stage_depths": (1, 1, 2, 1),
        "model_num_class": 11,
        "head_pool_kernel_sizes": ((slow, 2, 2), (fast, 2, 2)),
    }
    return args, ([_clip(2, 3, slow, SIDE, SIDE), _clip(2, 3, fast, SIDE, SIDE, seed=1)],)


def _slowfast_roi(card: ModelCard) -> tuple[dict[str, Any], Inputs]:
    args, (clips,) = _slowfast(card)
    args["head_pool_kernel_sizes"] = ((2, 1, 1), (2 * card.clip.pathways[0], 1, 1))
    if "nonlocal_locations" in card.args:
        args["nonlocal_locations"] = (((), (), (1,), ()), ((), (), (), ()))
    return args, (clips, _boxes())


def _acoustic(card: ModelCard) -> tuple[dict[str, Any], Inputs]:
    args = {"stem_dim_out": 16, "model_num_class": 11}
    return args, (_clip(2, 1, 64, 1, 80),)


def _audio_visual(card: ModelCard) -> tuple[dict[str, Any], Inputs]:
    args = {
        "stem_dim_outs": (16, 2, 8),
        "stage_depths": (1, 1, 1, 1),
        "model_num_class": 11,
        "head_pool_kernel_sizes": ((4, 2, 2), (16, 2, 2), (8, 1, 10)),
        "drop_pathway": 0.0,
    }
    clips = [
        _clip(2, 3, 4, SIDE, SIDE),
        _clip(2, 3, 16, SIDE, SIDE, seed=1),
        _clip(2, 1, 64, 1, 80, seed=2),
    ]
    return args, (clips,)


def _efficient(card: ModelCard) -> tuple[dict[str, Any], Inputs]:
    return {"num_classes": 11}, (_clip(2, 3, 4, SIDE, SIDE),)


def _mvit(card: ModelCard) -> tuple[dict[str, Any], Inputs]:
    variant = MViTVariant.of(card.args.get("variant"))
    if variant.reversible is not None and variant.reversible.buffer_layers:
        fewer = dataclasses.replace(variant.reversible, buffer_layers=(1,))
        variant = dataclasses.replace(variant, reversible=fewer)
    frames = 1 if card.args.get("use_2d_patch") else 4
    args: dict[str, Any] = {
        "spatial_size": 32,
        "temporal_size": frames,
        "depth": 3,
        "patch_embed_dim": 16,
        "num_heads": 2,
        "head_num_classes": 11,
        "variant": variant,
    }
    if "pool_q_stride_size" in card.args:
        pairs = ((1, 2.0),)
        args |= {
            "embed_dim_mul": pairs, "atten_head_mul": pairs, "pool_q_stride_size": ((1, 1, 2, 2),),
        }  # fmt: skip
    return args, (_clip(2, 3, frames, 32, 32),)


def _as_published(card: ModelCard) -> tuple[dict[str, Any], Inputs]:
    """A model without a row: as its card says, for the smallest clip that it allows.

    The size of the clip is given where the builder asks for it by one of the usual names.
    """
    known = inspect.signature(card.builder).parameters
    frames = min(card.clip.num_frames, 8)
    args = {n: frames for n in CLIP_ARGS if n in known} | {n: SIDE for n in CROP_ARGS if n in known}
    with torch.device("meta"):
        model = card.build(**{**card.logit_args, **args})
    count = sum(p.numel() for p in model.parameters())
    if count > MOST_PARAMETERS:
        pytest.fail(
            f"{card.full_name}: {count / 1e6:.1f} million parameters are too many for tests of "
            f"every card. Add a row {builder_name(card)!r} to SHRINK in "
            f"tests/support/small_models.py: a function that gives arguments of the builder that "
            f"make it small, and the inputs of its forward pass"
        )
    if model.inputs is None:
        pytest.fail(
            f"{card.full_name}: {type(model).__name__}.inputs is None. Say what clips the model "
            f"accepts: inputs = InputSpec(channels=(3,), minimum=((frames, height, width),))"
        )
    clips = [
        _clip(2, channels, *map(max, least, (frames, SIDE, SIDE)))
        for channels, least in zip(model.inputs.channels, model.inputs.minimum, strict=True)
    ]
    return args, (clips if len(clips) > 1 else clips[0],)


# name of a card's builder -> arguments and inputs; a model of few parameters needs no row
SHRINK: dict[str, Shrink] = {
    "create_acoustic_resnet": _acoustic,
    "create_audio_visual_slowfast": _audio_visual,
    "create_csn": _csn,
    "create_efficient_x3d": _efficient,
    "create_multiscale_vision_transformers": _mvit,
    "create_r2plus1d": _r2plus1d,
    "create_resnet": _resnet,
    "create_resnet_with_roi_head": _resnet_roi,
    "create_slowfast": _slowfast,
    "create_slowfast_with_roi_head": _slowfast_roi,
    "create_x3d": _x3d,
}


def builder_name(card: ModelCard) -> str:
    """Name of the function that builds a card's network."""
    builder = card.builder
    while isinstance(builder, functools.partial):
        builder = builder.func
    return getattr(builder, "__name__", "")


def small(card: ModelCard) -> tuple[VideoModel, Inputs]:
    """A small model of a card, ending in logits, and the arguments of its forward pass.

    Its norms are not at their start values, where residual branches would be switched off.
    """
    args, inputs = SHRINK.get(builder_name(card), _as_published)(card)
    torch.manual_seed(0)
    model = card.build(**{**card.logit_args, **args})
    if model.num_classes != CLASSES:
        model.reset_head(CLASSES)
    generator = torch.Generator().manual_seed(1)
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._NormBase) and module.weight is not None:
            with torch.no_grad():
                module.weight.uniform_(0.5, 1.5, generator=generator)
    return model, inputs
