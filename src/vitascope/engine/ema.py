"""Moving average of the weights: evaluated and shipped in place of the last ones."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn


class MovingAverage:
    """Exponential moving average of the floating-point state of a model.

    Norm statistics are averaged with the parameters, so that both belong to the same model;
    counters are copied. In the first steps the decay is (1 + n) / (10 + n), so that the random
    start is soon forgotten.

    Args:
        model: the model to follow.
        decay: weight of the average against the new value, such as 0.999.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.model = copy.deepcopy(model).eval().requires_grad_(False)

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Takes in the weights after update number `step` (the first is 1)."""
        decay = min(self.decay, (1 + step) / (10 + step))
        news: list[Tensor] = []
        olds: list[Tensor] = []
        state = model.state_dict()
        for name, old in self.model.state_dict().items():
            if old.is_floating_point():
                olds.append(old)
                news.append(state[name])
            else:
                old.copy_(state[name])
        torch._foreach_lerp_(olds, news, 1 - decay)
