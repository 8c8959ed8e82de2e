"""PySlowFast's models from its configuration keys.

Keys are dotted names with values (`{"MODEL.MODEL_NAME": "SlowFast", "RESNET.DEPTH": 50}`), as a
merged configuration of PySlowFast has them; what is not given has PySlowFast's default. Keys of the
data, the solver and the like are known but say nothing about a network.
"""

from __future__ import annotations

import ast
import contextlib
from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from vitascope.compat.pyslowfast.contrastive import build_contrastive
from vitascope.compat.pyslowfast.keys import DEFAULTS
from vitascope.compat.pyslowfast.mvit import build_mvit, build_ptv_mvit
from vitascope.compat.pyslowfast.resnet import (
    build_ptv_csn,
    build_ptv_r2plus1d,
    build_ptv_resnet,
    build_ptv_slowfast,
    build_resnet,
    build_slowfast,
)
from vitascope.compat.pyslowfast.x3d import build_ptv_x3d, build_x3d
from vitascope.errors import ConfigError, UnknownNameError
from vitascope.models.base import VideoModel

Keys = Mapping[str, Any]

# MODEL.MODEL_NAME -> what builds it from all keys
MODELS: dict[str, Callable[[Keys], nn.Module]] = {
    "ContrastiveModel": build_contrastive,
    "MViT": build_mvit,
    "MaskMViT": build_mvit,
    "PTVCSN": build_ptv_csn,
    "PTVMViT": build_ptv_mvit,
    "PTVR2plus1D": build_ptv_r2plus1d,
    "PTVResNet": build_ptv_resnet,
    "PTVSlowFast": build_ptv_slowfast,
    "PTVX3D": build_ptv_x3d,
    "ResNet": build_resnet,
    "SlowFast": build_slowfast,
    "X3D": build_x3d,
}
# Sections whose keys say something about a model; only their values are looked at.
_SECTIONS = (
    "BN.", "CONTRASTIVE.", "DETECTION.", "MASK.", "MODEL.", "MVIT.", "NONLOCAL.", "RESNET.",
    "SLOWFAST.", "X3D.",
)  # fmt: skip


def build_model(keys: Keys) -> nn.Module:
    """Builds the model that PySlowFast builds from the same keys.

    The model computes what the original computes from the same weights: in evaluation a
    classifier applies `MODEL.HEAD_ACT` at each position and averages, in training it gives
    logits. A clip is B C T H W (a list of them for several pathways; a list of one is taken too).
    Entries of the state dict have our names; `vitascope.models.weights` translates PySlowFast's.

    Args:
        keys: dotted keys with values; the others have PySlowFast's defaults. Lists with an entry
            for each pathway may have one entry for all.

    Returns:
        A `VideoModel`; for `ContrastiveModel` and `MaskMViT` a model of `vitascope.ssl`.

    Raises:
        UnknownNameError: a key or a `MODEL.MODEL_NAME` that PySlowFast does not have.
        ConfigError: a value of another type, or keys that contradict each other or that this
            model would not obey.
    """
    full = complete(keys)
    name = full["MODEL.MODEL_NAME"]
    if name not in MODELS:
        hint = ""
        if name == "ResNet_nopool":
            hint = "That net is MODEL_NAME ResNet with MODEL.ARCH slow_c2d (PySlowFast lost it)."
        raise UnknownNameError("MODEL.MODEL_NAME", str(name), MODELS, hint)
    model = MODELS[name](full)
    if full["MODEL.ACT_CHECKPOINT"]:
        inner = getattr(model, "backbone", model)
        if not isinstance(inner, VideoModel):
            raise ConfigError(f"MODEL.ACT_CHECKPOINT has no effect on {name}; set it to False")
        inner.set_gradient_checkpointing()
    return model


def complete(keys: Keys) -> dict[str, Any]:
    """All keys: PySlowFast's defaults under those given.

    Text that stands for a number or a tuple, as YAML reads `1e-4` and `(3, 7, 7)`, is taken as
    that, like in PySlowFast.

    Raises:
        UnknownNameError: a key that PySlowFast does not have.
        ConfigError: a value of another type than the default's.
    """
    for name, value in keys.items():
        if name not in DEFAULTS:
            hint = "Keys are dotted: MODEL.MODEL_NAME." if isinstance(value, Mapping) else ""
            raise UnknownNameError("PySlowFast key", str(name), DEFAULTS, hint)
    return {**DEFAULTS, **{name: _decode(name, value) for name, value in keys.items()}}


def _decode(name: str, value: Any) -> Any:
    default = DEFAULTS[name]
    if isinstance(value, str) and not isinstance(default, str):
        with contextlib.suppress(SyntaxError, ValueError):  # else it is text, and judged as that
            value = ast.literal_eval(value)
    if name.startswith(_SECTIONS) and not _fits(value, default):
        kind = type(default).__name__
        raise ConfigError(
            f"{name} = {value!r} (type {type(value).__name__}); PySlowFast takes a value of type "
            f"{kind} here, such as {default!r}"
        )
    return value


def _fits(value: Any, default: Any) -> bool:
    """Whether a value may stand for a default, as in PySlowFast: None fits everywhere."""
    if value is None or default is None:
        return True
    if isinstance(default, bool) or isinstance(value, bool):
        return isinstance(default, bool) and isinstance(value, bool)
    if isinstance(default, float):
        return isinstance(value, int | float)
    if isinstance(default, list | tuple):
        return isinstance(value, list | tuple)
    return isinstance(value, type(default))
