"""Optimizers: which parameters decay, which rate each layer has, and the state as tensors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from vitascope.engine.config import OptimConfig
from vitascope.errors import ConfigError, WeightsError
from vitascope.models.base import VideoModel

OPTIM = "optim."


def parameter_groups(
    model: nn.Module, lr: float, *, weight_decay: float = 0.0, layer_decay: float = 1.0
) -> list[dict[str, Any]]:
    """Groups of parameters with one weight decay and one learning rate each.

    Norms, biases and other vectors do not decay, nor do parameters that the model names in its
    attribute `no_weight_decay` (position embeddings, class tokens).

    Args:
        model: the model; frozen parameters are left out.
        lr: learning rate of the head.
        weight_decay: decay of the parameters that have one.
        layer_decay: factor by which the rate shrinks from each layer to the one below, as
            `VideoModel.param_depth` counts them.

    Returns:
        Dicts for a torch optimizer with the extra entries "names" and "share" (of the rate).

    Raises:
        ConfigError: layer decay for a model that does not say how deep a parameter lies.
    """
    layers = model if isinstance(model, VideoModel) else None
    if layer_decay < 1 and layers is None:
        raise ConfigError(
            f"optim.layer_decay = {layer_decay}: {type(model).__name__} does not count its "
            "layers; set it to 1"
        )
    free: set[str] = set(getattr(model, "no_weight_decay", ()))
    groups: dict[tuple[float, float], dict[str, Any]] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        decay = 0.0 if parameter.ndim <= 1 or name in free else weight_decay
        share = 1.0
        if layer_decay < 1 and layers is not None:
            share = layer_decay ** (layers.num_depths - 1 - layers.param_depth(name))
        group = groups.setdefault(
            (decay, share),
            {
                "params": [],
                "names": [],
                "lr": lr * share,
                "weight_decay": decay,
                "share": share,
            },
        )
        group["params"].append(parameter)
        group["names"].append(name)
    return list(groups.values())


def create_optimizer(model: nn.Module, optim: OptimConfig) -> torch.optim.Optimizer:
    """The recipe's optimizer over all trainable parameters of the model.

    Raises:
        ConfigError: nothing to train, or layer decay on a model without depths.
    """
    groups = parameter_groups(
        model, optim.lr, weight_decay=optim.weight_decay, layer_decay=optim.layer_decay
    )
    if not groups:
        raise ConfigError("the model has no trainable parameter")
    if optim.name == "sgd":
        return torch.optim.SGD(
            groups,
            lr=optim.lr,
            momentum=optim.momentum,
            nesterov=optim.nesterov and optim.momentum > 0,
        )
    kind: type[torch.optim.Adam] = torch.optim.AdamW if optim.name == "adamw" else torch.optim.Adam
    return kind(groups, lr=optim.lr, betas=(optim.momentum, optim.beta2), fused=True)


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Gives every group its share of the learning rate."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group["share"]


def _named(optimizer: torch.optim.Optimizer) -> Iterator[tuple[str, Tensor]]:
    for group in optimizer.param_groups:
        yield from zip(group["names"], group["params"], strict=True)


def flatten_state(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """State of an optimizer as tensors named "optim.<parameter>.<entry>".

    Rates and decays of the groups are no state: they follow from the recipe and the step.
    """
    return {
        f"{OPTIM}{name}.{entry}": torch.as_tensor(value)
        for name, parameter in _named(optimizer)
        for entry, value in optimizer.state.get(parameter, {}).items()
        if value is not None
    }


def restore_state(optimizer: torch.optim.Optimizer, flat: Mapping[str, Tensor]) -> None:
    """Puts back what `flatten_state` gave (names here without the prefix).

    Raises:
        WeightsError: an entry of a parameter that the optimizer does not have.
    """
    parameters = dict(_named(optimizer))
    for key, value in flat.items():
        name, _, entry = key.rpartition(".")
        if name not in parameters:
            raise WeightsError(f"optimizer state of {name!r}, which is no parameter of the model")
        parameter = parameters[name]
        if value.ndim and value.shape == parameter.shape:
            # In the memory layout of the parameter (channels last): the fused kernels walk
            # through parameter, gradient and state side by side.
            value = torch.empty_like(parameter, dtype=value.dtype).copy_(value)
        optimizer.state[parameter][entry] = value
