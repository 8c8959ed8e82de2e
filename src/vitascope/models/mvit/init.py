"""Start values of multiscale vision transformers."""

from __future__ import annotations

import torch
from torch import nn

from vitascope.layers.positional_encoding import SpatioTemporalClsPositionalEncoding
from vitascope.layers.truncated_normal import truncated_normal_
from vitascope.models.weight_init import init_net_weights

_STD = 0.02


def start_mvit(model: nn.Module, origin: str, head_scale: float = 1.0) -> None:
    """Draws start values.

    Args:
        model: changed in place; what `origin` does not name keeps the values it has.
        origin: "pytorchvideo" (linear layers and positions a truncated normal of 0.02, biases 0) or
            "pyslowfast" (convolutions alike; biases of linear layers and of norms 0.02).
        head_scale: factor of the classifying layer's values.
    """
    if origin == "pytorchvideo":
        init_net_weights(model, init_std=_STD, style="vit")
    else:
        model.apply(_pyslowfast)
    proj = getattr(getattr(model, "head", None), "proj", None)
    if head_scale != 1.0 and isinstance(proj, nn.Linear):
        with torch.no_grad():
            for parameter in proj.parameters():
                parameter.mul_(head_scale)


def _pyslowfast(module: nn.Module) -> None:
    if isinstance(module, SpatioTemporalClsPositionalEncoding):
        module.reset_parameters(_STD)
    elif isinstance(module, nn.Linear | nn.Conv2d | nn.Conv3d):
        truncated_normal_(module.weight, std=_STD)
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.constant_(module.bias, 0.02)
    elif isinstance(module, nn.LayerNorm):
        nn.init.ones_(module.weight)
        if module.bias is not None:
            nn.init.constant_(module.bias, 0.02)
