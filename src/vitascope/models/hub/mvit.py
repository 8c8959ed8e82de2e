"""MViT (arXiv:2104.11227), MViTv2 (2112.01526), reversible (2302.04869), masked (2112.09133)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vitascope.models.card import ModelCard, publish
from vitascope.models.hub.rows import PTV_ZOO, clip, pixels, psf, ptv, published_file, scores
from vitascope.models.mvit.model import (
    MViTVariant,
    Reversible,
    create_multiscale_vision_transformers,
)
from vitascope.spec import ClipSpec, Cost, LabelSpec, PixelSpec, Result, ViewProtocol, Weights

_PROJECTS = "https://github.com/facebookresearch/SlowFast/blob/main/projects"
_ZOO = "https://github.com/facebookresearch/SlowFast/blob/main/MODEL_ZOO.md"
_V2, _REV = f"{_PROJECTS}/mvitv2/README.md", f"{_PROJECTS}/rev/README.md"
_MASKFEAT, _MAE = f"{_PROJECTS}/maskfeat/README.md", f"{_PROJECTS}/mae/README.md"
_V2_FILES = "model_zoo/mvitv2/pysf_video_models"
_K400, _K600 = LabelSpec(name="kinetics400"), LabelSpec(name="kinetics600")
_SSV2, _IN1K = LabelSpec(name="ssv2"), LabelSpec(name="imagenet1k")
_FIVE, _CENTER = ViewProtocol(clips=5, crops=1), ViewProtocol(clips=1, crops=1)
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_IMAGE_PIXELS = PixelSpec(short_side=256, crop=(224, 224), mean=_MEAN, std=_STD)

_B, _B24, _L = (1, 3, 14), (2, 5, 21), (2, 8, 44)  # blocks at which a stage begins
_PATCH_2D = {
    "temporal_size": 1,
    "use_2d_patch": True,
    "conv_patch_embed_kernel": (7, 7),
    "conv_patch_embed_stride": (4, 4),
    "conv_patch_embed_padding": (3, 3),
    "pool_kvq_kernel": (1, 3, 3),
}
_VIT_2D = {
    **_PATCH_2D,
    "conv_patch_embed_kernel": (16, 16),
    "conv_patch_embed_stride": (16, 16),
    "conv_patch_embed_padding": (0, 0),
    "pool_kvq_kernel": None,
}


def _stages(blocks: Sequence[int], depth: int = 0) -> dict[str, Any]:
    """Widths and heads double and the grid halves at `blocks`; queries of all `depth` are pooled.

    Without `depth` only the queries at `blocks` are pooled.
    """
    double = tuple((block, 2.0) for block in blocks)
    rows = range(depth) if depth else blocks
    return {
        "embed_dim_mul": double,
        "atten_head_mul": double,
        "pool_q_stride_size": tuple((i, 1, 2, 2) if i in blocks else (i, 1, 1, 1) for i in rows),
    }


def _video(frames: int, crop: int = 224, **args: Any) -> dict[str, Any]:
    return {
        "spatial_size": crop,
        "temporal_size": frames,
        "pool_kv_stride_adaptive": (1, 8, 8),
        "pool_kvq_kernel": (3, 3, 3),
        **args,
    }


def _image(**args: Any) -> dict[str, Any]:
    return {
        "spatial_size": 224,
        **_PATCH_2D,
        "pool_kv_stride_adaptive": (1, 4, 4),
        "head_num_classes": 1000,
        "head_dropout_rate": 0.0,
        **args,
    }


def _native(**variant: Any) -> dict[str, Any]:
    """PySlowFast's model with the joint projection that it has by default."""
    made = MViTVariant(origin="pyslowfast", residual_pool_cls=False, **variant)
    return {"separate_qkv": False, "variant": made}


def _v2(temporal: bool = True, in_attention: bool = True, **variant: Any) -> dict[str, Any]:
    return {
        "residual_pool": True,
        "dim_mul_in_att": in_attention,
        **_native(positions="none", rel_pos_spatial=True, rel_pos_temporal=temporal, **variant),
    }


def _reversible(fusion: str = "avg", blocks: tuple[int, ...] = ()) -> dict[str, Any]:
    spec = Reversible(buffer_layers=blocks, pre_q_fusion=fusion)
    return {**_native(reversible=spec), "cls_embed_on": False}


def _card(
    name: str,
    tag: str,
    args: Mapping[str, Any],
    results: tuple[Result, ...],
    labels: LabelSpec,
    *,
    clips: ClipSpec | None = None,
    pixel: PixelSpec = _IMAGE_PIXELS,
    cost: Cost | None = None,
    weights: tuple[Weights, ...] = (),
    pretraining: tuple[Weights, ...] = (),
    paper: str,
    note: str = "",
) -> ModelCard:
    """Publishes a card; without `clips` it takes images."""
    return publish(
        ModelCard(
            name=name,
            tag=tag,
            builder=create_multiscale_vision_transformers,
            args=args,
            clip=clips or ClipSpec(num_frames=1),
            pixels=pixel,
            labels=labels,
            results=results,
            weights=weights,
            pretraining=pretraining,
            cost=() if cost is None else (cost,),
            paper=f"arXiv:{paper}",
            note=note,
        )
    )


def _cost(
    gflops: float, parameters: float | None, source: str, views: ViewProtocol = _FIVE
) -> Cost:
    note = _NOT_REPRODUCED.get((gflops, parameters), "")
    return Cost(gflops=gflops, parameters=parameters, source=source, views=views, note=note)


# (GFLOPs, M parameters) as published -> why the model that the authors' code builds differs.
_DOWN = "The published number of parameters is rounded down."
_NOT_REPRODUCED: dict[tuple[float, float | None], str] = {
    (598.0, 304): _DOWN,
    (8.7, 39): _DOWN,
    (64.0, 34.9): _DOWN,
    (10.2, 52): "The configuration builds 51.5 M parameters; nobody says where 52 M come from.",
    (17.6, 87): "17.6 GFLOPs are those of the plain ViT-B; the reversible one joins two streams.",
    (2828.0, 217.6): (
        "217.6 M parameters are those of a model whose perceptrons change the width, as in "
        "MaskFeat; the configuration changes it in the attention."
    ),
}


_V1, _V2_PAPER = "2104.11227", "2112.01526"
_JOINT_IMAGE = {**_image(**_stages(_B)), "sep_pos_embed": False}

mvit_base_16x4 = _card(
    "mvit_base_16x4", "k400_16x4", _video(16, **_stages(_B)),
    scores("kinetics400/val", PTV_ZOO, _FIVE, top1=78.85, top5=93.85), _K400,
    clips=clip(16, 4), pixel=pixels(224), cost=_cost(70.80, 36.61, PTV_ZOO),
    weights=ptv("kinetics/MVIT_B_16x4.pyth"), paper=_V1,
)  # fmt: skip
mvit_base_32x3 = _card(
    "mvit_base_32x3", "k400_32x3", _video(32, **_stages(_B)),
    scores("kinetics400/val", PTV_ZOO, _FIVE, top1=80.30, top5=94.69), _K400,
    clips=clip(32, 3), pixel=pixels(224), cost=_cost(170.37, 36.61, PTV_ZOO),
    weights=ptv("kinetics/MVIT_B_32x3_f294077834.pyth"), paper=_V1,
)  # fmt: skip
mvit_base_16 = _card(
    "mvit_base_16", "untrained",
    {k: v for k, v in _image(**_stages(_B)).items() if not k.startswith("head_")}, (), LabelSpec(),
    paper=_V1,
    note="PyTorchVideo's entry, whose head has 400 classes although its weights have 1000: "
    "mvit_base_16.in1k is the model of the weights.",
)  # fmt: skip
_card(
    "mvit_base_16", "in1k", _image(**_stages(_B)),
    scores("imagenet1k/val", _ZOO, _CENTER, top1=82.9, top5=96.3), _IN1K,
    weights=ptv("imagenet/MVIT_B_16_f292487636.pyth"), paper=_V1,
    note="The source gives errors, 17.1 and 3.7.",
)  # fmt: skip
_card(
    "mvit_base_16x4", "psf_k400_16x4", {**_video(16, **_stages(_B)), **_native()},
    scores("kinetics400/val", _ZOO, _FIVE, top1=78.4, top5=93.5), _K400,
    clips=clip(16, 4), pixel=pixels(224), paper=_V1,
    note="The weights lie in a drive without a direct link; MODEL_ZOO.md of PySlowFast has it.",
)  # fmt: skip
mvit_base_24_32x3 = _card(
    "mvit_base_24_32x3", "psf_k400_32x3",
    {**_video(32, **_stages(_B24)), **_native(), "depth": 24, "pool_kvq_kernel": None},
    scores("kinetics400/val", _ZOO, _FIVE, top1=80.4, top5=94.8), _K400,
    clips=clip(32, 3), pixel=pixels(224),
    weights=psf("model_zoo/mvit/k400.pyth", "pyslowfast"), paper=_V1,
    note="The model of MVIT_B_32x3_CONV.yaml, which names its depth twice (16, then 24) and no "
    "pooling kernel: other than mvit_base_32x3 it has 24 blocks and kernels of 9 pixels.",
)  # fmt: skip
_card(
    "mvit_base_24_32x3", "psf_k600_32x3",
    {
        **_video(32, **_stages(_B24)), **_native(), "depth": 24, "pool_kvq_kernel": None,
        "head_num_classes": 600,
    },
    scores("kinetics600/val", _ZOO, _FIVE, top1=83.9, top5=96.5), _K600,
    clips=clip(32, 3), pixel=pixels(224),
    weights=psf("model_zoo/mvit/k600.pyth", "pyslowfast"), paper=_V1,
)  # fmt: skip
_card(
    "mvit_base_16", "psf_in1k", {**_JOINT_IMAGE, **_native()},
    scores("imagenet1k/val", _ZOO, _CENTER, top1=82.9, top5=96.3), _IN1K, paper=_V1,
    note="The weights lie in a drive without a direct link; MODEL_ZOO.md of PySlowFast has it.",
)  # fmt: skip


def _v2_video(
    size: str,
    frames: tuple[int, int],
    args: dict[str, Any],
    k400: tuple[float, float],
    ssv2: tuple[float, float],
    cost: tuple[float, float, float],
    files: tuple[str, str],
    views: ViewProtocol = _FIVE,
    note: str = "",
) -> ModelCard:
    """MViTv2 of a size on Kinetics-400 and Something-Something v2; `frames` is length x rate."""
    name, shape = f"mvitv2_{size}_{frames[0]}x{frames[1]}", f"{frames[0]}x{frames[1]}"
    crop: int = args["spatial_size"]
    pixel = pixels(crop)
    if size == "l":
        pixel = PixelSpec(short_side=crop, crop=(crop, crop), mean=_MEAN, std=_STD)
    first = _card(
        name, f"k400_{shape}", args,
        scores("kinetics400/val", _V2, views, top1=k400[0], top5=k400[1]), _K400,
        clips=clip(*frames), pixel=pixel, cost=_cost(cost[0], cost[1], _V2, views),
        weights=psf(f"{_V2_FILES}/{files[0]}", "pyslowfast"), paper=_V2_PAPER, note=note,
    )  # fmt: skip
    three = ViewProtocol(clips=1, crops=3)
    _card(
        name, f"ssv2_{shape}", {**args, "head_num_classes": 174},
        scores("ssv2/val", _V2, three, top1=ssv2[0], top5=ssv2[1]), _SSV2,
        clips=clip(*frames, whole=True), pixel=pixel, cost=_cost(cost[0], cost[2], _V2, three),
        weights=psf(f"{_V2_FILES}/{files[1]}", "pyslowfast"), paper=_V2_PAPER,
    )  # fmt: skip
    return first


mvitv2_s_16x4 = _v2_video(
    "s", (16, 4), {**_video(16, **_stages(_B, 16)), **_v2()}, (81.0, 94.6), (68.2, 91.4),
    (64.0, 34.5, 34.4),
    ("MViTv2_S_16x4_k400_f302660347.pyth", "MViTv2_S_16x4_ssv2_f308341823.pyth"),
)  # fmt: skip
mvitv2_b_32x3 = _v2_video(
    "b", (32, 3), {**_video(32, **_stages(_B24, 24)), **_v2(), "depth": 24}, (82.9, 95.7),
    (70.5, 92.7), (225.0, 51.2, 51.1),
    ("MViTv2_B_32x3_k400_f304025456.pyth", "MViTv2_B_32x3_ssv2_f305803282.pyth"),
)  # fmt: skip
_LARGE = {"depth": 48, "patch_embed_dim": 144, "num_heads": 2}
mvitv2_l_40x3 = _v2_video(
    "l", (40, 3), {**_video(40, 312, **_stages(_L, 48)), **_v2(), **_LARGE}, (86.1, 97.0),
    (73.3, 94.1), (2828.0, 217.6, 213.1),
    ("MViTv2_L_40x3_k400_f306903192.pyth", "MViTv2_L_40x3_ssv2_f309603968.pyth"),
    ViewProtocol(clips=5, crops=3),
    "The published 217.6 M parameters are those of a model whose perceptrons change the width "
    "(as in MaskFeat); the configuration changes it in the attention, 213.4 M.",
)  # fmt: skip


def _v2_image(size: str, args: dict[str, Any], top1: float, cost: tuple[float, float]) -> ModelCard:
    url = f"https://dl.fbaipublicfiles.com/mvit/mvitv2_models/MViTv2_{size.upper()}_in1k.pyth"
    return _card(
        f"mvitv2_{size}_image", "in1k",
        _image(**args, **_v2(temporal=False), cls_embed_on=False),
        scores("imagenet1k/val", _V2, _CENTER, top1=top1), _IN1K,
        cost=_cost(*cost, _V2, _CENTER), weights=published_file(url, "pyslowfast"),
        paper=_V2_PAPER,
    )  # fmt: skip


mvitv2_t_image = _v2_image("t", {**_stages((1, 3, 8), 10), "depth": 10}, 82.3, (4.7, 24))
mvitv2_s_image = _v2_image("s", _stages(_B, 16), 83.6, (7.0, 35))
mvitv2_b_image = _v2_image("b", {**_stages(_B24, 24), "depth": 24}, 84.4, (10.2, 52))


def _rev_image(
    name: str, file: str, args: dict[str, Any], top: tuple[float, float], cost: tuple[float, float]
) -> ModelCard:
    return _card(
        name, "in1k", {**_image(**args), "sep_pos_embed": False, "separate_qkv": True},
        scores("imagenet1k/val", _ZOO, _CENTER, top1=top[0], top5=top[1]), _IN1K,
        cost=_cost(*cost, _REV, _CENTER), weights=psf(f"rev/{file}", "pyslowfast"),
        paper="2302.04869",
    )  # fmt: skip


_NO_POOL = {**_VIT_2D, "pool_kv_stride_adaptive": None, "depth": 12}
rev_vit_s = _rev_image(
    "rev_vit_s", "REV_VIT_S.pyth",
    {**_NO_POOL, **_reversible(), "patch_embed_dim": 384, "num_heads": 6},
    (79.9, 94.9), (4.6, 22),
)  # fmt: skip
rev_vit_b = _rev_image(
    "rev_vit_b", "REV_VIT_B.pyth",
    {**_NO_POOL, **_reversible("concat"), "patch_embed_dim": 768, "num_heads": 12},
    (81.8, 95.6), (17.6, 87),
)  # fmt: skip
rev_mvit_b = _rev_image(
    "rev_mvit_b", "REV_MVIT_B.pyth", {**_stages(_B), **_reversible("concat_linear_2", _B)},
    (82.9, 96.3), (8.7, 39),
)  # fmt: skip
rev_mvit_b_16x4 = _card(
    "rev_mvit_b_16x4", "k400_16x4",
    {**_video(16, **_stages(_B)), **_reversible("avg", _B), "qkv_bias": False},
    scores("kinetics400/val", _REV, _FIVE, top1=78.4, top5=93.4), _K400,
    clips=clip(16, 4), pixel=pixels(224), cost=_cost(64.0, 34.9, _REV),
    weights=psf("rev/REV_MVIT_B_16x4.pyth", "pyslowfast"), paper="2302.04869",
)  # fmt: skip


def _masked(
    name: str,
    tag: str,
    args: dict[str, Any],
    top1: float,
    source: str,
    start: str,
    *,
    cost: tuple[float, float] | None = None,
    views: ViewProtocol = _CENTER,
) -> ModelCard:
    """A model fine-tuned after masked pre-training, whose own weights are not published."""
    image = args["temporal_size"] == 1
    data = "imagenet1k/val" if image else "kinetics400/val"
    made = {**args, **_mean_pooled(args)}
    return _card(
        name, tag, made, scores(data, source, views, top1=top1), _IN1K if image else _K400,
        clips=None if image else clip(16, 4), pixel=_IMAGE_PIXELS if image else pixels(224),
        cost=None if cost is None else _cost(*cost, source, views),
        paper="2205.09113" if source == _MAE else "2112.09133",
        pretraining=psf(f"masked_models/{start}", "pyslowfast"),
        note="The fine-tuned weights are not published, those of the masked pre-training are.",
    )  # fmt: skip


def _mean_pooled(args: dict[str, Any]) -> dict[str, Any]:
    """The mean of the patches, normed, enters a head that starts near 0."""
    pooled = args.get("variant") or {}
    return {
        "variant": MViTVariant(
            origin="pyslowfast", residual_pool_cls=False, mean_pooling=True, head_init_scale=0.001,
            **pooled,
        ),
        "separate_qkv": False,
        "head_dropout_rate": 0.0,
    }  # fmt: skip


_RELATIVE = {"positions": "none", "rel_pos_spatial": True, "rel_pos_temporal": True}
_VIT_VIDEO = {
    "spatial_size": 224,
    "temporal_size": 16,
    "conv_patch_embed_kernel": (2, 16, 16),
    "conv_patch_embed_stride": (2, 16, 16),
    "conv_patch_embed_padding": (0, 0, 0),
}
_VIT = {
    "b": {"patch_embed_dim": 768, "num_heads": 12, "depth": 12},
    "l": {"patch_embed_dim": 1024, "num_heads": 16, "depth": 24},
    "h": {"patch_embed_dim": 1280, "num_heads": 16, "depth": 32},
}
_VIT_IMAGE = {**_image(**_NO_POOL), "sep_pos_embed": False}
_TEN = ViewProtocol(clips=10, crops=1)
_SEVEN = ViewProtocol(clips=7, crops=3)
_PT = "16x4_MAE_PT"

maskfeat_vit_b = _masked(
    "maskfeat_vit_b", "in1k", {**_VIT_IMAGE, **_VIT["b"]}, 84.0, _MASKFEAT,
    "in1k_VIT_B_MaskFeat_PT_epoch_01600.pyth",
)  # fmt: skip
maskfeat_vit_l = _masked(
    "maskfeat_vit_l", "in1k", {**_VIT_IMAGE, **_VIT["l"]}, 85.7, _MASKFEAT,
    "in1k_VIT_L_MaskFeat_PT_epoch_01600.pyth",
)  # fmt: skip
maskfeat_mvit_s_16x4 = _masked(
    "maskfeat_mvit_s_16x4", "k400_16x4",
    {**_video(16, **_stages(_B, 16)), "residual_pool": True, "variant": _RELATIVE},
    82.2, _MASKFEAT, "k400_MVIT_S_MaskFeat_PT_epoch_00300.pyth", cost=(71.0, 36), views=_TEN,
)  # fmt: skip
maskfeat_mvit_l_16x4 = _masked(
    "maskfeat_mvit_l_16x4", "k400_16x4",
    {**_video(16, **_stages(_L, 48)), **_LARGE, "residual_pool": True, "variant": _RELATIVE},
    84.3, _MASKFEAT, "k400_MVIT_L_MaskFeat_PT_epoch_00800.pyth", cost=(377.0, 218), views=_TEN,
)  # fmt: skip
mae_vit_b_16x4 = _masked(
    "mae_vit_b_16x4", "k400_16x4", {**_VIT_VIDEO, **_VIT["b"]}, 81.3, _MAE, f"VIT_B_{_PT}.pyth",
    cost=(180.0, 87), views=_SEVEN,
)  # fmt: skip
mae_vit_l_16x4 = _masked(
    "mae_vit_l_16x4", "k400_16x4", {**_VIT_VIDEO, **_VIT["l"]}, 84.8, _MAE, f"VIT_L_{_PT}.pyth",
    cost=(598.0, 304), views=_SEVEN,
)  # fmt: skip
mae_vit_h_16x4 = _masked(
    "mae_vit_h_16x4", "k400_16x4", {**_VIT_VIDEO, **_VIT["h"]}, 85.1, _MAE,
    f"VIT_H_{_PT}_400e_85.1.pyth", cost=(1193.0, 632), views=_SEVEN,
)  # fmt: skip
