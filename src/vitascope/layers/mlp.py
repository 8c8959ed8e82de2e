"""Multilayer perceptrons."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

from torch import nn

from vitascope.errors import ConfigError
from vitascope.layers.batch_norm import ModuleFactory


def make_multilayer_perceptron(
    fully_connected_dims: Sequence[int],
    norm: Callable[[int], nn.Module] | None = None,
    mid_activation: ModuleFactory = nn.ReLU,
    final_activation: ModuleFactory | None = nn.ReLU,
    dropout_rate: float = 0.0,
) -> tuple[nn.Sequential, int]:
    """Builds linear layers with norm, activation and dropout between them.

    Args:
        fully_connected_dims: width of the input, of each hidden layer, and of the output.
        norm: called with the width of each hidden layer; None for none.
        mid_activation: activation class of the hidden layers.
        final_activation: activation class of the output, None for none.
        dropout_rate: dropout of the output, before its activation.

    Returns:
        The layers, and the width of the output.

    Raises:
        ConfigError: fewer than two widths.
    """
    dims = list(fully_connected_dims)
    if len(dims) < 2:
        raise ConfigError(f"a perceptron needs the widths of input and output, got {dims}")
    layers: list[nn.Module] = []
    for width_in, width in itertools.pairwise(dims[:-1]):
        layers.append(nn.Linear(width_in, width))
        if norm is not None:
            layers.append(norm(width))
        layers.append(mid_activation())
    layers.append(nn.Linear(dims[-2], dims[-1]))
    if dropout_rate > 0:
        layers.append(nn.Dropout(dropout_rate))
    if final_activation is not None:
        layers.append(final_activation())
    return nn.Sequential(*layers), dims[-1]
