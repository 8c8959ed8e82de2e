"""Modules without a paper of their own.

The names below are imported when they are first used.
"""

from __future__ import annotations

import importlib
from typing import Any

# name -> module of this package that holds it
_LAZY = {
    "ConcatFusion": "fusion",
    "DropPath": "drop_path",
    "Mlp": "attention",
    "MultiScaleAttention": "attention",
    "MultiScaleBlock": "attention",
    "PositionalEncoding": "positional_encoding",
    "ReduceFusion": "fusion",
    "SpatioTemporalClsPositionalEncoding": "positional_encoding",
    "make_fusion_layer": "fusion",
    "make_multilayer_perceptron": "mlp",
}
__all__ = [*_LAZY]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(f"vitascope.layers.{_LAZY[name]}"), name)
    raise AttributeError(f"module 'vitascope.layers' has no attribute {name!r}")
