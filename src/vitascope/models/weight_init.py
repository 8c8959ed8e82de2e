"""Start values of models."""

from __future__ import annotations

from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from vitascope.errors import ConfigError
from vitascope.layers.positional_encoding import SpatioTemporalClsPositionalEncoding
from vitascope.layers.truncated_normal import truncated_normal_


def init_net_weights(
    model: nn.Module, init_std: float = 0.01, style: str = "resnet", zero_final_norm: bool = True
) -> None:
    """Sets the start values of all layers inside `model`.

    Args:
        model: changed in place.
        init_std: standard deviation of linear layers ("resnet"; "vit" takes 0.02 always).
        style: "resnet" (convolutions by fan-out, arXiv:1502.01852; norms marked `block_final_bn`
            start at 0, so that a fresh block hands its input through, arXiv:1706.02677) or "vit"
            (truncated normal of 0.02).
        zero_final_norm: start the marked norms at 0; without it at 1.

    Raises:
        ConfigError: another style.
    """
    if style == "resnet":
        for module in model.modules():
            _init_resnet(module, init_std, zero_final_norm)
    elif style == "vit":
        for module in model.modules():
            _init_vit(module)
    else:
        raise ConfigError(f"style = {style!r}; legal values: resnet, vit")


def _init_resnet(module: nn.Module, std: float, zero_final_norm: bool) -> None:
    if isinstance(module, nn.Conv2d | nn.Conv3d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    elif isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, 0.0, std)
    elif isinstance(module, _NormBase):
        if module.weight is not None:
            final = zero_final_norm and getattr(module, "block_final_bn", False)
            nn.init.constant_(module.weight, 0.0 if final else 1.0)
    else:
        return
    if module.bias is not None:
        nn.init.zeros_(module.bias)


def _init_vit(module: nn.Module) -> None:
    if isinstance(module, SpatioTemporalClsPositionalEncoding):
        module.reset_parameters(0.02)
        return
    if isinstance(module, nn.Linear):
        truncated_normal_(module.weight, std=0.02)
    elif isinstance(module, nn.LayerNorm):
        if module.weight is not None:
            nn.init.ones_(module.weight)
    else:
        return
    if module.bias is not None:
        nn.init.zeros_(module.bias)
