"""Calls any transform with the randomness of a sample: ours, or a foreign one."""

from __future__ import annotations

import inspect
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from vitascope.transforms.random_source import RandomSource, as_draws


def takes_rng(transform: Callable[..., Any]) -> bool:
    """Whether a transform accepts `rng` on the call."""
    called = transform.forward if isinstance(transform, torch.nn.Module) else transform
    try:
        return "rng" in inspect.signature(called).parameters
    except (TypeError, ValueError):  # built-in callables without a signature
        return False


@contextmanager
def global_seed(seed: int) -> Iterator[None]:
    """Seeds the generators of torch, numpy and Python, and puts their states back at the end.

    Foreign transforms draw from these. Putting the states back keeps a data pipeline in the main
    process from changing what a model draws (dropout), so that results are the same with workers.
    """
    states = torch.get_rng_state(), np.random.get_state(), random.getstate()
    torch.default_generator.manual_seed(seed)
    np.random.seed(seed % 2**32)
    random.seed(seed)
    try:
        yield
    finally:
        torch.set_rng_state(states[0])
        np.random.set_state(states[1])
        random.setstate(states[2])


def apply_transform(transform: Callable[..., Any], x: Any, rng: RandomSource) -> Any:
    """Calls a transform.

    Args:
        transform: any callable.
        x: its input.
        rng: passed on to a transform that takes it; any other one runs with the global generators
            seeded from it. None calls the transform as it is.
    """
    if rng is None:
        return transform(x)
    if takes_rng(transform):
        return transform(x, rng=rng)
    if _is_pure(transform):
        return transform(x)
    with global_seed(as_draws(rng).integer(0, 2**31)):
        return transform(x)


def _is_pure(transform: Callable[..., Any]) -> bool:
    # Our own transforms without `rng` draw nothing, so they need no seed.
    module = type(transform).__module__ if not inspect.isfunction(transform) else ""
    return module.startswith("vitascope.transforms.")
