"""PyTorchVideo's neural_engine: steps of video understanding that find their own order."""

from __future__ import annotations

from vitascope.compat.ptv.neural_engine.engine import NeuralEngine
from vitascope.compat.ptv.neural_engine.hook import DecodeHook, HookBase, X3DClsHook

__all__ = ["DecodeHook", "HookBase", "NeuralEngine", "X3DClsHook"]
