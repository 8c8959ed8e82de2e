"""Finding the entries of a model in what a file holds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vitascope.errors import WeightsError

# Where programs keep the entries, in the order in which they are looked for.
NESTS = (
    "model_state", "state_dict", "model", "model_state_dict", "module", "network", "blobs",
)  # fmt: skip
# Words that wrappers put before all names.
WRAPPERS = (
    "module.", "model.", "_orig_mod.", "backbone.", "encoder.", "net.", "network.", "video_model.",
)  # fmt: skip


def unwrap(content: Any, what: str = "the checkpoint") -> tuple[dict[str, Any], str]:
    """The entries of a model, wherever they lie.

    Args:
        content: what a file holds, or a bare state dict.
        what: how a message calls it.

    Returns:
        The entries with tensors and arrays by name, and the path of the container.

    Raises:
        WeightsError: there is no table of named tensors.
    """
    path: list[str] = []
    while isinstance(content, Mapping):
        if any(_is_array(value) for value in content.values()):
            return {str(name): value for name, value in content.items()}, ", ".join(path)
        nest = next((n for n in NESTS if isinstance(content.get(n), Mapping)), None)
        if nest is None:
            break
        path.append(nest)
        content = content[nest]
    found = (
        f"its keys are {', '.join(map(str, list(content)[:6]))}"
        if (isinstance(content, Mapping) and content)
        else f"it holds {type(content).__name__}"
    )
    raise WeightsError(
        f"{what} holds no named tensors, bare or under {', '.join(NESTS)}; {found}. Give a "
        f"checkpoint of a network."
    )


def _is_array(value: Any) -> bool:
    return isinstance(value, Tensor | np.ndarray)


def split_tensors(entries: Mapping[str, Any]) -> tuple[dict[str, Tensor], list[str]]:
    """Tensors by name, and the names of what is no tensor of numbers."""
    tensors: dict[str, Tensor] = {}
    others: list[str] = []
    for name, value in entries.items():
        if isinstance(value, Tensor):
            tensors[name] = value.detach()
        elif isinstance(value, np.ndarray) and value.dtype.kind in "fiub":
            native = value.astype(value.dtype.newbyteorder("="), copy=False)
            tensors[name] = torch.from_numpy(np.array(native))
        else:
            others.append(name)
    return tensors, others


def prefixes(names: Iterable[str]) -> list[str]:
    """Prefixes that may be wrappers around a model, the empty one first.

    Words of wrappers count wherever they lead; any other word only where all names have it.
    """
    names = list(names)
    found = {"": None}
    for name in names:
        cut = ""
        while word := next((w for w in WRAPPERS if name.startswith(cut + w)), None):
            cut += word
            found[cut] = None
    common = names[0] if names else ""
    for name in names:
        while common and not name.startswith(common):
            common = common[:-1]
    while dot := common.rfind(".") + 1:
        found[common[:dot]] = None
        common = common[: dot - 1]
    return list(found)
