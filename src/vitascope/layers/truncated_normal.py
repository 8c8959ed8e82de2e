"""Start values from a normal distribution without its far ends."""

from __future__ import annotations

import torch
from torch import Tensor, nn

FARTHEST = 6.0
"""Standard deviations beyond which no value lies; one in a billion would."""


def truncated_normal_(tensor: Tensor, std: float = 0.02) -> Tensor:
    """Fills a tensor of any shape from a normal distribution around 0, in place.

    PyTorch 2.10 draws by the inverse of the distribution, which is infinite for the one in
    sixteen million draws that is exactly 0, and then gives the bound of all values: 2, a hundred
    standard deviations away. A transformer has more weights than that.

    Args:
        tensor: what is filled.
        std: standard deviation.

    Returns:
        The tensor.
    """
    with torch.no_grad():
        return nn.init.trunc_normal_(tensor, std=std).clamp_(-FARTHEST * std, FARTHEST * std)
