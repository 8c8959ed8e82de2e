"""Pure functions on clips and boxes: the arithmetic behind the classes of `transforms`."""

from __future__ import annotations

import torch
from torch import Tensor

from vitascope.errors import ConfigError, InputError


def convert_to_one_hot(targets: Tensor, num_class: int, label_smooth: float = 0.0) -> Tensor:
    """Rows of class weights for class numbers.

    Args:
        targets: class numbers, shape N or N 1.
        num_class: K.
        label_smooth: share of the weight that is spread evenly over all classes.

    Returns:
        float32 N K; each row has the sum 1.

    Raises:
        InputError: a number that is no class.
        ConfigError: a smoothing that is not from 0 to below 1.
    """
    if not 0 <= label_smooth < 1:
        raise ConfigError(f"label_smooth = {label_smooth}; it must be from 0 to below 1")
    numbers = targets.reshape(-1).long()
    if numbers.numel() and not 0 <= int(numbers.min()) <= int(numbers.max()) < num_class:
        raise InputError(
            f"class numbers from {int(numbers.min())} to {int(numbers.max())} for num_class = "
            f"{num_class}"
        )
    low = label_smooth / num_class
    rows = torch.full((len(numbers), num_class), low, device=targets.device)
    return rows.scatter_(1, numbers[:, None], 1.0 - label_smooth + low)
