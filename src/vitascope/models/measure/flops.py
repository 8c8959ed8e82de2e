"""Multiply-adds of a model, counted as fvcore counts them.

The published tables of video models use `fvcore.nn.flop_count`: convolutions and matrix products
count one for each multiply-add, norms a fixed number for each value, pooling and activations
nothing. How norms count has changed over the years, so it is an argument.
"""

from __future__ import annotations

import copy
import math
from collections import Counter
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from vitascope.layers.roi_align import RoIAlign, RoIPool

_UNCOUNTED = (RoIAlign, RoIPool)
NormRule = Literal["fvcore", "five", "none"]
NORM_RULES: tuple[NormRule, ...] = ("fvcore", "five", "none")
_aten = torch.ops.aten


class FlopCounter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the multiply-adds of what runs inside a `with` block.

    Args:
        norms: "fvcore" as fvcore does today (a batch norm in evaluation 2 for each value with
            scale and shift, 1 without; every other norm 5 or 4), "five" as it did when the tables
            of PyTorchVideo were made (5 for each value of any norm), or "none".

    Attributes:
        by_operator: multiply-adds of each kind of operator.
        by_rule: all multiply-adds under each rule for norms.
    """

    def __init__(self, norms: NormRule = "fvcore") -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.norms = norms
        self.by_operator: Counter[str] = Counter()
        self.by_rule: dict[NormRule, int] = dict.fromkeys(NORM_RULES, 0)
        self._paused = 0
        self._hooks: list[Any] = []

    @property
    def total(self) -> int:
        """All multiply-adds so far."""
        return int(sum(self.by_operator.values()))

    def watch(self, model: nn.Module) -> None:
        """Counts the 2-D adaptive poolings of `model` and leaves out what its RoI layers do.

        fvcore counts the first as modules, one for each value that they read, and knows no rule
        for the second, whatever operators they are made of.
        """

        def read(module: nn.Module, args: Any) -> None:
            self._add("pool", dict.fromkeys(NORM_RULES, args[0].numel()))

        def pause(module: nn.Module, args: Any) -> None:
            self._paused += 1

        def go_on(module: nn.Module, args: Any, out: Any) -> None:
            self._paused -= 1

        for module in model.modules():
            if isinstance(module, nn.AdaptiveAvgPool2d):
                self._hooks.append(module.register_forward_pre_hook(read))
            if isinstance(module, _UNCOUNTED):
                self._hooks.append(module.register_forward_pre_hook(pause))
                self._hooks.append(module.register_forward_hook(go_on, always_call=True))

    def __exit__(self, *args: Any) -> None:
        """Ends counting and takes the hooks away."""
        super().__exit__(*args)  # type: ignore[no-untyped-call]
        for hook in self._hooks:
            hook.remove()
        self._hooks.clear()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Runs an operator and counts it."""
        out = func(*args, **(kwargs or {}))
        name, flops = _count(func.overloadpacket, args, out)
        if name and not self._paused:
            self._add(name, flops)
        return out

    def _add(self, name: str, flops: dict[NormRule, int]) -> None:
        if flops[self.norms]:
            self.by_operator[name] += flops[self.norms]
        for rule in NORM_RULES:
            self.by_rule[rule] += flops[rule]


def _count(op: Any, args: tuple[Any, ...], out: Any) -> tuple[str, dict[NormRule, int]]:
    """Kind and multiply-adds of one operator; no name for what is not counted."""
    if op in _BATCH_NORM:
        affine = isinstance(args[1], Tensor)
        training = op in (_aten.native_batch_norm, _aten._native_batch_norm_legit) and args[5]
        return "norm", _norm(args[0].numel(), 4 + affine if training else 1 + affine)
    if op in (_aten.native_layer_norm, _aten.native_group_norm):
        affine = isinstance(args[2 if op is _aten.native_layer_norm else 1], Tensor)
        return "norm", _norm(args[0].numel(), 4 + affine)
    name, flops = _products(op, args, out)
    return name, dict.fromkeys(NORM_RULES, flops)


def _products(op: Any, args: tuple[Any, ...], out: Any) -> tuple[str, int]:
    """Kind and multiply-adds of a convolution or a product of matrices."""
    if op is _aten.convolution:
        weight = args[1]
        # A transposed convolution does its work at each input position.
        places = args[0].shape[2:] if args[6] else out.shape[2:]
        return "conv", args[0].shape[0] * weight.numel() * math.prod(places)
    if op in (_aten.mm, _aten.bmm):
        return "matmul", args[0].numel() * args[1].shape[-1]
    if op in (_aten.addmm, _aten.baddbmm):
        return "matmul", args[1].numel() * args[2].shape[-1]
    if op in _ATTENTION:
        query, key, value = args[:3]
        pairs = math.prod(query.shape[:-1]) * key.shape[-2]
        return "matmul", pairs * (query.shape[-1] + value.shape[-1])
    return "", 0


_ATTENTION = (
    _aten._scaled_dot_product_flash_attention_for_cpu,
    _aten._scaled_dot_product_flash_attention,
    _aten._scaled_dot_product_efficient_attention,
    _aten._scaled_dot_product_cudnn_attention,
)
_BATCH_NORM = (
    _aten.native_batch_norm,
    _aten.cudnn_batch_norm,
    _aten._native_batch_norm_legit,
    _aten._native_batch_norm_legit_no_training,
)


def _norm(values: int, each: int) -> dict[NormRule, int]:
    return {"fvcore": values * each, "five": values * 5, "none": 0}


def count_flops(model: nn.Module, *args: Any, norms: NormRule = "fvcore") -> int:
    """Multiply-adds of `model(*args)` in evaluation mode.

    Nothing is computed where shapes are enough: a copy of the model runs on the meta device. With
    boxes it runs as it is, because their values decide what is computed.

    Args:
        model: any module; it is not changed.
        args: its arguments; only their shapes matter.
        norms: see `FlopCounter`.
    """
    return count_by_rule(model, *args)[norms]


def count_by_rule(model: nn.Module, *args: Any) -> dict[NormRule, int]:
    """`count_flops` under each rule for norms."""
    ghost = copy.deepcopy(model).eval()
    if not any(isinstance(module, _UNCOUNTED) for module in ghost.modules()):
        ghost, args = ghost.to("meta"), _to_meta(args)
    with torch.no_grad(), FlopCounter() as counter:
        counter.watch(ghost)
        ghost(*args)
    return dict(counter.by_rule)


def _to_meta(nest: Any) -> Any:
    if isinstance(nest, Tensor):
        return nest.to("meta")
    if isinstance(nest, list | tuple):
        return type(nest)(_to_meta(part) for part in nest)
    return nest
