"""Building the model that a file describes, once it is known to be as large as the file.

Arguments of a builder are a few bytes, and can ask for a model of a terabyte or a loop without
end. So it is built first without memory (on the device "meta") and under a count of its parts, and
its classifying layer is held against the stored one.
"""

from __future__ import annotations

import contextlib
import inspect
import math
import threading
from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor, nn
from torch.nn.modules.module import (
    register_module_module_registration_hook,
    register_module_parameter_registration_hook,
)

from vitascope.errors import UnknownNameError, VitascopeError, WeightsError
from vitascope.models.base import VideoModel
from vitascope.models.foreign.cards import is_foreign
from vitascope.models.measure.meta import build_meta
from vitascope.models.registry import create_model, get_card

LARGEST = 1_000_000  # of a number among the arguments
LONGEST, DEEPEST = 10_000, 12  # entries of a list or table, and levels of them
# A model may have more than the file that describes it, such as the head that it is to lose.
_PARTS, _NUMBERS = (6, 2_000), (4, 20_000_000)


def build_described(
    name: str,
    args: Mapping[str, Any],
    classes: int,
    entries: Mapping[str, Tensor],
    where: str,
) -> VideoModel:
    """The model that a file describes, with start values.

    Args:
        name: card of the model.
        args: arguments of its builder, as JSON values.
        classes: how many classes the file names; 0 takes the outputs of its classifying layer.
        entries: the stored tensors.
        where: the file, for messages.

    Raises:
        UnknownNameError: no such card, or no such argument of its builder.
        MissingExtraError: the model is another library's, which is not installed.
        WeightsError: the arguments build nothing, or a model of another size than the stored
            one; or the file names another number of classes than it has outputs.
    """
    _check(args, f"{where}: contract.args", 0)
    if is_foreign(name) and name.startswith("hf:") and not isinstance(args.get("config"), dict):
        raise WeightsError(
            f"{where} is for the model {name} without holding its configuration, and a file "
            f"may not decide what is fetched from where. Convert the checkpoint again"
        )
    card = get_card(name, dict(args))
    known = inspect.signature(card.builder).parameters
    for argument in args:
        if argument not in known:
            hint = (
                f"{where} names it: it is damaged, or was written by another version of vitascope"
            )
            raise UnknownNameError(f"argument of {card.name}", str(argument), known, hint)
    try:
        with within(entries, where):
            model = build_meta(card, args)
        outputs = _outputs(model, entries)
    except VitascopeError:
        raise
    except Exception as error:  # a builder raises whatever its arguments lead to
        raise WeightsError(
            f"{where}: its contract does not build {name} ({type(error).__name__}: {error!s:.200})"
        ) from error
    if classes and outputs is not None and classes != outputs:
        raise WeightsError(
            f"{where}: its classifying layer is not one for the {classes} classes that it names, "
            f"but for {outputs}"
        )
    return create_model(name, num_classes=outputs or classes or None, **args)


def _outputs(model: VideoModel, entries: Mapping[str, Tensor]) -> int | None:
    """Outputs of the stored classifying layer; None where there is none."""
    for name in model.head_names():
        weight = entries.get(f"{name}.weight")
        if weight is not None and weight.dim() > 0:
            return int(weight.shape[0])
    return None


def _check(value: Any, where: str, depth: int) -> None:
    """Refuses numbers, lists and nests that no builder has a use for."""
    if isinstance(value, list | tuple | Mapping):
        if len(value) > LONGEST or depth >= DEEPEST:
            raise WeightsError(f"{where} is longer or deeper than the arguments of any model")
        pairs = value.items() if isinstance(value, Mapping) else enumerate(value)
        for key, part in pairs:
            _check(part, f"{where}.{key!s:.50}", depth + 1)
    elif isinstance(value, int | float) and not (math.isfinite(value) and abs(value) <= LARGEST):
        # Epsilons and the like are small; ids of tokens may be any number below it.
        raise WeightsError(f"{where} = {value!s:.50}; at most {LARGEST} is a sensible number")


@contextlib.contextmanager
def within(entries: Mapping[str, Tensor], where: str) -> Iterator[None]:
    """Ends a building in its block that grows beyond what a file holds.

    Args:
        entries: the stored tensors.
        where: the file, for messages.

    Raises:
        WeightsError: the model is many times as large.
    """
    parts = _PARTS[0] * len(entries) + _PARTS[1]
    numbers = _NUMBERS[0] * sum(value.numel() for value in entries.values()) + _NUMBERS[1]
    left, own = [parts, numbers], threading.get_ident()

    def count(module: nn.Module, name: str, part: Any) -> None:
        if threading.get_ident() != own:
            return
        left[0] -= 1
        if isinstance(part, Tensor):
            left[1] -= part.numel()
        if min(left) < 0:
            raise WeightsError(
                f"{where}: its contract describes a model that is many times as large as what "
                f"it holds ({len(entries)} tensors). Use another copy of the file"
            )

    hooks = (
        register_module_module_registration_hook(count),
        register_module_parameter_registration_hook(count),
    )
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
