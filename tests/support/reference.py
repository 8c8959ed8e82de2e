"""Reads the recorded results of the predecessors (`shared/reference/misc`)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch


class Reference:
    """The cases of one topic and the arrays that belong to them."""

    def __init__(self, shared: Path, topic: str) -> None:
        folder = shared / "reference" / "misc"
        self.cases: list[dict[str, Any]] = json.loads((folder / f"{topic}.json").read_text())[
            "cases"
        ]
        arrays = folder / f"{topic}.npz"
        self.arrays = dict(np.load(arrays)) if arrays.exists() else {}

    def output(self, key: Any) -> Any:
        """The recorded result behind `out` of a case."""
        if isinstance(key, list):
            return [self.output(k) for k in key]
        if isinstance(key, dict):
            return key["value"]
        return None if key is None else torch.from_numpy(self.arrays[key].copy())


def array(rule: dict[str, Any]) -> torch.Tensor:
    """The input that a rule describes."""
    state = np.random.RandomState(rule["seed"])
    shape = rule["shape"]
    made = {
        "u8": lambda: state.randint(0, 256, shape).astype(np.uint8),
        "u8f": lambda: state.randint(0, 256, shape).astype(np.float32),
        "rand": lambda: state.rand(*shape).astype(np.float32),
        "randn": lambda: state.randn(*shape).astype(np.float32),
    }[rule["rule"]]()
    if "times" in rule:
        made = (made * np.float32(rule["times"])).astype(np.float32)
    return torch.from_numpy(made)


class Replay:
    """Gives recorded numbers in their order and refuses to give a different kind of number."""

    def __init__(self, draws: list[Any]) -> None:
        self.draws = [d for d in draws if d[0] != "seed"]
        self.at = 0

    def _next(self, *kinds: str) -> Any:
        assert self.at < len(self.draws), "more draws than recorded"
        kind, arguments, value = self.draws[self.at]
        assert kind in kinds, f"draw {self.at} is {kind}{arguments}, asked for {kinds}"
        self.at += 1
        return arguments, value

    def _kind(self) -> str:
        return self.draws[self.at][0] if self.at < len(self.draws) else ""

    @staticmethod
    def _one(value: Any) -> float:
        while isinstance(value, list):
            (value,) = value
        return float(value)

    def uniform(self, low: float = 0.0, high: float = 1.0) -> float:
        shares = ("torch.rand", "random.random", "np.random.rand")
        ranges = ("random.uniform", "np.random.uniform")
        kind = self._kind()
        arguments, value = self._next(*shares, *ranges)
        if kind in shares:
            return low + (high - low) * self._one(value)
        given = [a for a in arguments if not isinstance(a, list)] or [0.0, 1.0]
        np.testing.assert_allclose(given, [low, high], rtol=1e-6)
        return self._one(value)

    def integer(self, low: int, high: int) -> int:
        kind = self._kind()
        arguments, value = self._next("torch.randint", "np.random.randint", "random.randint")
        bounds = [a for a in arguments if not isinstance(a, list)]
        if len(bounds) == 1:
            bounds = [0, *bounds]
        if kind == "random.randint":
            bounds[1] += 1
        assert bounds == [low, high], f"{kind}{arguments}, asked for {low}..{high}"
        return int(self._one(value))

    def normal(self, mean: float, std: float) -> float:
        arguments, value = self._next("torch.normal", "np.random.normal", "random.gauss")
        assert not arguments or arguments[:2] == [mean, std]
        while isinstance(value, list) and isinstance(value[0], list):
            (value,) = value
        if isinstance(value, list) and len(value) > 1:
            # Several numbers of one call are asked for one by one.
            first, *rest = value
            self.at -= 1
            self.draws[self.at] = [self.draws[self.at][0], arguments, rest]
            return float(first)
        return self._one(value)

    def choice(self, weights: list[float], count: int, replacement: bool) -> list[int]:
        kind = self._kind()
        arguments, value = self._next(
            "torch.multinomial", "np.random.permutation", "np.random.choice"
        )
        assert len(arguments[0]) == len(weights)
        if kind == "np.random.permutation":
            assert count == len(weights) and not replacement
            return [int(v) for v in value]
        assert arguments[1] == count
        if kind == "torch.multinomial":
            assert dict(arguments[2:]) == {"replacement": replacement}
            return [int(v) for v in value]
        options = dict(arguments[2:])
        assert options["replace"] == replacement
        if options["p"] is not None:
            np.testing.assert_allclose(np.divide(weights, sum(weights)), options["p"])
        return [arguments[0].index(v) for v in value]

    def beta(self, a: float, b: float) -> float:
        return self._one(self._next("Beta.sample", "np.random.beta")[1])

    def dirichlet(self, alphas: list[float]) -> list[float]:
        _, value = self._next("Dirichlet.sample")
        assert len(value) == len(alphas)
        return [float(v) for v in value]

    def finished(self) -> bool:
        """All recorded numbers were used."""
        return self.at == len(self.draws)
