"""Architectures, cards and weights.

The names below are imported when they are first used, so that `import vitascope.models` is cheap.
"""

from __future__ import annotations

import importlib
from typing import Any

# name -> module of this package that holds it
_LAZY = {
    "BottleneckBlock": "resnet",
    "LSTM": "masked_multistream",
    "LearnMaskedDefault": "masked_multistream",
    "MaskedMultiPathWay": "masked_multistream",
    "MaskedSequential": "masked_multistream",
    "MaskedTemporalPooling": "masked_multistream",
    "ModelCard": "card",
    "MultiPathWayWithFuse": "net",
    "Net": "net",
    "ResNetBasicHead": "head",
    "ResNetBasicStem": "stem",
    "TransposeMultiheadAttention": "masked_multistream",
    "TransposeTransformerEncoder": "masked_multistream",
    "VideoModel": "base",
    "create_bottleneck_block": "resnet",
    "create_conv_patch_embed": "stem",
    "create_csn": "csn",
    "create_model": "registry",
    "create_multiscale_vision_transformers": "mvit.model",
    "create_res_basic_head": "head",
    "create_res_basic_stem": "stem",
    "create_resnet": "resnet",
    "create_slowfast": "slowfast",
    "create_x3d": "x3d",
    "get_card": "registry",
    "init_net_weights": "weight_init",
    "list_models": "registry",
}
__all__ = [*_LAZY]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(f"vitascope.models.{_LAZY[name]}"), name)
    raise AttributeError(f"module 'vitascope.models' has no attribute {name!r}")
