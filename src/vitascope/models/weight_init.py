"""Start values of networks."""

from __future__ import annotations

from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from vitascope.errors import ConfigError


def init_net_weights(model: nn.Module, init_std: float = 0.01, style: str = "resnet") -> None:
    """Sets the start values of all layers inside `model`.

    Args:
        model: changed in place.
        init_std: standard deviation of linear layers ("resnet"; "vit" takes 0.02 always).
        style: "resnet" (convolutions by fan-out, arXiv:1502.01852; norms marked `block_final_bn`
            start at 0, so that a fresh block hands its input through, arXiv:1706.02677) or "vit"
            (truncated normal of 0.02).

    Raises:
        ConfigError: another style.
    """
    if style == "resnet":
        for module in model.modules():
            _init_resnet(module, init_std)
    elif style == "vit":
        for module in model.modules():
            _init_vit(module)
    else:
        raise ConfigError(f"style = {style!r}; legal values: resnet, vit")


def _init_resnet(module: nn.Module, std: float) -> None:
    if isinstance(module, nn.Conv2d | nn.Conv3d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    elif isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, 0.0, std)
    elif isinstance(module, _NormBase):
        if module.weight is not None:
            nn.init.constant_(module.weight, 0.0 if hasattr(module, "block_final_bn") else 1.0)
    else:
        return
    if module.bias is not None:
        nn.init.zeros_(module.bias)


def _init_vit(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
    elif isinstance(module, nn.LayerNorm):
        if module.weight is not None:
            nn.init.ones_(module.weight)
    else:
        return
    if module.bias is not None:
        nn.init.zeros_(module.bias)


def mark_final_norm(norm: nn.Module | None) -> None:
    """Marks the last norm of a residual branch, which starts at 0."""
    if norm is not None:
        norm.block_final_bn = True  # type: ignore[assignment]
