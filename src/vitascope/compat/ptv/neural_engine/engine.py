"""Steps in the order in which each finds what it needs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from vitascope.compat.ptv.neural_engine.hook import HookBase
from vitascope.errors import ConfigError

Order = Callable[[Mapping[str, Any], Sequence[HookBase]], Iterable[HookBase]]


class NeuralEngine:
    """Runs steps in the order in which each finds what it needs.

    Args:
        hooks: the steps.
    """

    def __init__(self, hooks: Sequence[HookBase]) -> None:
        self.hooks = list(hooks)
        self.execution_order_func: Order = NeuralEngine.topological_sort

    def get_execution_order(self, status: Mapping[str, Any]) -> Iterable[HookBase]:
        """The steps in their order.

        Args:
            status: the values that are there at the start.
        """
        return self.execution_order_func(status, self.hooks)

    def set_execution_order_func(self, func: Order) -> None:
        """Chooses another order.

        Args:
            func: takes the values at the start and the steps, and gives the steps in their order.
        """
        self.execution_order_func = func

    @staticmethod
    def topological_sort(
        status: Mapping[str, Any], hooks: Sequence[HookBase]
    ) -> Iterator[HookBase]:
        """Each step after those whose results it needs; else by priority, else as given.

        Raises:
            ConfigError: two steps give the same result, or a step lacks something that is not
                there and that no step gives.
        """
        outputs = [name for hook in hooks for name in hook.get_outputs()]
        twice = sorted({name for name in outputs if outputs.count(name) > 1})
        if twice:
            raise ConfigError(f"more than one step gives {', '.join(twice)}")
        there, waiting = set(status), list(hooks)
        while waiting:
            ready = [hook for hook in waiting if there.issuperset(hook.get_inputs())]
            if not ready:
                lacks = {
                    type(hook).__name__: sorted(set(hook.get_inputs()) - there) for hook in waiting
                }
                raise ConfigError(f"steps that lack an input: {lacks}")
            chosen = max(ready, key=lambda hook: hook.priority)  # of equals the first
            waiting.remove(chosen)
            there.update(chosen.get_outputs())
            yield chosen

    def run(self, status: dict[str, Any]) -> dict[str, Any]:
        """Runs all steps and adds their results to `status`, which is returned.

        Raises:
            ConfigError: see `topological_sort`.
        """
        for hook in list(self.get_execution_order(status)):
            status.update(hook.run(status))
        return status

    def __call__(self, status: dict[str, Any] | str) -> dict[str, Any]:
        """Runs all steps; a text is the path of a video."""
        return self.run({"path": status} if isinstance(status, str) else status)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        pass
