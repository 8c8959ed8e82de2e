"""PySlowFast's keys of transformers as arguments of our builders."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from vitascope.compat.pyslowfast.parts import head_activation, refuse
from vitascope.errors import ConfigError
from vitascope.models.mvit.model import (
    MultiscaleVisionTransformers,
    MViTVariant,
    Reversible,
    RoIVariant,
    create_multiscale_vision_transformers,
)
from vitascope.ssl.masked_mvit import MaskedMViT, MaskSpec

Keys = Mapping[str, Any]
# What PySlowFast's PTVMViT drops without a word, with the values that it stands for.
_PTV_ALWAYS = {
    "MVIT.REL_POS_SPATIAL": False,
    "MVIT.REL_POS_TEMPORAL": False,
    "MVIT.RESIDUAL_POOLING": False,
    "MVIT.DIM_MUL_IN_ATT": False,
    "MVIT.USE_ABS_POS": True,
    "MVIT.USE_FIXED_SINCOS_POS": False,
    "MVIT.USE_MEAN_POOLING": False,
    "MVIT.REV.ENABLE": False,
    "MVIT.NORM_STEM": False,
    "DETECTION.ENABLE": False,
}


def mvit_arguments(keys: Keys) -> dict[str, Any]:
    """Arguments of `create_multiscale_vision_transformers` for PySlowFast's MViT.

    Args:
        keys: every key of the configuration with its value, by dotted name.

    Raises:
        ConfigError: a key with a value that PySlowFast does not know either.
    """
    if keys["DATA.TRAIN_CROP_SIZE"] != keys["DATA.TEST_CROP_SIZE"]:
        raise ConfigError(
            "MViT needs DATA.TRAIN_CROP_SIZE and DATA.TEST_CROP_SIZE alike: its positions are "
            "learned for one size"
        )
    reversible = keys["MVIT.REV.ENABLE"]
    return {
        "spatial_size": keys["DATA.TRAIN_CROP_SIZE"],
        "temporal_size": keys["DATA.NUM_FRAMES"],
        "input_channels": keys["DATA.INPUT_CHANNEL_NUM"][0],
        "cls_embed_on": keys["MVIT.CLS_EMBED_ON"],
        "sep_pos_embed": keys["MVIT.SEP_POS_EMBED"],
        "depth": keys["MVIT.DEPTH"],
        "norm": _layernorm(keys["MVIT.NORM"]),
        "patch_embed_dim": keys["MVIT.EMBED_DIM"],
        "conv_patch_embed_kernel": keys["MVIT.PATCH_KERNEL"],
        "conv_patch_embed_stride": keys["MVIT.PATCH_STRIDE"],
        "conv_patch_embed_padding": keys["MVIT.PATCH_PADDING"],
        "use_2d_patch": keys["MVIT.PATCH_2D"],
        "num_heads": keys["MVIT.NUM_HEADS"],
        "mlp_ratio": keys["MVIT.MLP_RATIO"],
        "qkv_bias": keys["MVIT.QKV_BIAS"],
        "dropout_rate_block": keys["MVIT.DROPOUT_RATE"],
        "droppath_rate_block": keys["MVIT.DROPPATH_RATE"],
        "pooling_mode": keys["MVIT.MODE"],
        "pool_first": keys["MVIT.POOL_FIRST"],
        "residual_pool": keys["MVIT.RESIDUAL_POOLING"],
        "separate_qkv": keys["MVIT.SEPARATE_QKV"],
        "embed_dim_mul": keys["MVIT.DIM_MUL"],
        "atten_head_mul": keys["MVIT.HEAD_MUL"],
        "dim_mul_in_att": keys["MVIT.DIM_MUL_IN_ATT"] and not reversible,
        "pool_q_stride_size": keys["MVIT.POOL_Q_STRIDE"],
        **_kv_strides(keys),
        "pool_kvq_kernel": keys["MVIT.POOL_KVQ_KERNEL"],
        "head_dropout_rate": keys["MODEL.DROPOUT_RATE"],
        "head_activation": head_activation(keys),
        "head_num_classes": keys["MODEL.NUM_CLASSES"],
        "variant": _variant(keys),
    }


def _layernorm(norm: str) -> str:
    if norm != "layernorm":
        raise ConfigError(f"MVIT.NORM = {norm!r}; PySlowFast knows layernorm only")
    return norm


def _kv_strides(keys: Keys) -> dict[str, Any]:
    """The adaptive strides win over the rows, as in PySlowFast."""
    adaptive = keys["MVIT.POOL_KV_STRIDE_ADAPTIVE"]
    if adaptive is not None:
        return {"pool_kv_stride_adaptive": adaptive}
    return {"pool_kv_stride_size": keys["MVIT.POOL_KV_STRIDE"] or None}


def _positions(keys: Keys) -> str:
    if not keys["MVIT.USE_ABS_POS"]:
        return "none"
    return "sincos" if keys["MVIT.USE_FIXED_SINCOS_POS"] else "learned"


def _variant(keys: Keys) -> MViTVariant:
    reversible = roi = None
    if keys["MVIT.REV.ENABLE"]:
        reversible = Reversible(
            buffer_layers=tuple(keys["MVIT.REV.BUFFER_LAYERS"]),
            pre_q_fusion=keys["MVIT.REV.PRE_Q_FUSION"],
            respath_fuse=keys["MVIT.REV.RESPATH_FUSE"],
            res_path=keys["MVIT.REV.RES_PATH"],
        )
    if keys["DETECTION.ENABLE"]:
        roi = RoIVariant(
            resolution=keys["DETECTION.ROI_XFORM_RESOLUTION"],
            scale=float(keys["DETECTION.SPATIAL_SCALE_FACTOR"]),
            aligned=keys["DETECTION.ALIGNED"],
        )
    return MViTVariant(
        origin="pyslowfast",
        positions=_positions(keys),
        rel_pos_spatial=keys["MVIT.REL_POS_SPATIAL"],
        rel_pos_temporal=keys["MVIT.REL_POS_TEMPORAL"],
        rel_pos_zero_init=keys["MVIT.REL_POS_ZERO_INIT"],
        residual_pool_cls=False,
        layer_scale=keys["MVIT.LAYER_SCALE_INIT_VALUE"],
        norm_stem=keys["MVIT.NORM_STEM"],
        mean_pooling=keys["MVIT.USE_MEAN_POOLING"],
        head_in_evaluation=True,
        head_init_scale=keys["MVIT.HEAD_INIT_SCALE"],
        detach_head=keys["MODEL.DETACH_FINAL_FC"],
        reversible=reversible,
        roi=roi,
    )


def mask_spec(keys: Keys) -> MaskSpec:
    """What PySlowFast's MaskMViT hides and predicts.

    Raises:
        ConfigError: a `MASK.HEAD_TYPE` that PySlowFast does not know either.
    """
    head = str(keys["MASK.HEAD_TYPE"])
    if head not in ("separate", "separate_xformer"):
        raise ConfigError(f"MASK.HEAD_TYPE = {head!r}; legal values: separate, separate_xformer")
    ratio = keys["AUG.MASK_RATIO"]
    return MaskSpec(
        predict="hog" if keys["MASK.PRED_HOG"] else "pixels",
        depths=tuple(keys["MASK.PRETRAIN_DEPTH"]),
        mae=keys["MASK.MAE_ON"],
        ratio=ratio if ratio > 0 else 0.4,
        tube=keys["AUG.MASK_TUBE"],
        per_frame=keys["MASK.PER_FRAME_MASKING"],
        decoder_depth=keys["MASK.DECODER_DEPTH"] if head == "separate_xformer" else 0,
        decoder_dim=keys["MASK.DECODER_EMBED_DIM"],
        decoder_separate_positions=keys["MASK.DECODER_SEP_POS_EMBED"],
        decoder_kernel=tuple(keys["MASK.DEC_KV_KERNEL"]),
        decoder_stride=tuple(keys["MASK.DEC_KV_STRIDE"]),
        first_frames=keys["MASK.TIME_STRIDE_LOSS"],
        normalize=keys["MASK.NORM_PRED_PIXEL"],
        scale_init=keys["MASK.SCALE_INIT_BY_DEPTH"],
    )


def build_mvit(keys: Keys) -> nn.Module:
    """PySlowFast's MViT or MaskMViT, as `MODEL.MODEL_NAME` says.

    Args:
        keys: every key of the configuration with its value, by dotted name.
    """
    arguments = mvit_arguments(keys)
    if keys["MODEL.MODEL_NAME"] != "MaskMViT":
        return create_multiscale_vision_transformers(**arguments)
    encoder = create_multiscale_vision_transformers(**{**arguments, "head": None})
    assert isinstance(encoder, MultiscaleVisionTransformers)
    return MaskedMViT(
        encoder,
        mask_spec(keys),
        qkv_bias=keys["MVIT.QKV_BIAS"],
        mlp_ratio=keys["MVIT.MLP_RATIO"],
        # PySlowFast's decoder blocks keep that class's default whatever the encoder has.
        separate_qkv=False,
    )


def build_ptv_mvit(keys: Keys) -> nn.Module:
    """PySlowFast's PTVMViT: MViT v1 by PyTorchVideo's builder, with its start values.

    Raises:
        ConfigError: a key that PySlowFast's wrapper ignores, such as relative positions.
    """
    refuse(keys, _PTV_ALWAYS, "PTVMViT")
    arguments = mvit_arguments(keys)
    for name in ("residual_pool", "separate_qkv", "dim_mul_in_att"):
        arguments.pop(name)
    arguments["variant"] = MViTVariant(head_in_evaluation=True)
    return create_multiscale_vision_transformers(**arguments)
