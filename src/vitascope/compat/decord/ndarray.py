"""Arrays and devices of the decord interface."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch.utils.dlpack

from vitascope.errors import ConfigError

_KINDS = {1: "cpu", 2: "gpu"}
_NAMES = {"cpu": 1, "gpu": 2, "cuda": 2}


@dataclass(frozen=True)
class DECORDContext:
    """A device.

    Attributes:
        device_type: 1 for the CPU, 2 for a GPU.
        device_id: number of the device.
    """

    device_type: int
    device_id: int

    def __repr__(self) -> str:
        return f"{_KINDS[self.device_type]}({self.device_id})"


def cpu(dev_id: int = 0) -> DECORDContext:
    """The CPU."""
    return DECORDContext(1, dev_id)


def gpu(dev_id: int = 0) -> DECORDContext:
    """A GPU, on which nothing is decoded here: readers refuse it."""
    return DECORDContext(2, dev_id)


CPU = cpu(0)


def context(dev_type: int | str, dev_id: int = 0) -> DECORDContext:
    """A device by its kind: 1 or "cpu", 2, "gpu" or "cuda".

    Raises:
        ConfigError: another kind (a ValueError, as in the original).
    """
    kind = _NAMES.get(dev_type) if isinstance(dev_type, str) else dev_type
    if kind not in _KINDS:
        raise ConfigError(f"device {dev_type!r}; legal values: {', '.join(_NAMES)}")
    return DECORDContext(kind, dev_id)


class NDArray:
    """An array as readers give it while the bridge is "native"; `asnumpy()` gives its values.

    It has no arithmetic and no indices; `len` is the number of all its values, as in the original.

    Args:
        data: the values; they are shared, not copied.
    """

    def __init__(self, data: npt.NDArray[Any]) -> None:
        self._data = data

    @property
    def shape(self) -> tuple[int, ...]:
        """Size of each dimension."""
        return self._data.shape

    @property
    def dtype(self) -> str:
        """Type of the values by name, such as "uint8"."""
        return str(self._data.dtype)

    @property
    def ctx(self) -> DECORDContext:
        """Where the values lie: the CPU."""
        return CPU

    @property
    def context(self) -> DECORDContext:
        """The same as `ctx`."""
        return CPU

    def asnumpy(self) -> npt.NDArray[Any]:
        """The values as an array of their own."""
        return self._data.copy()

    def to_dlpack(self) -> Any:
        """The values for another library, without a copy."""
        return self._data.__dlpack__()

    def copyfrom(self, source_array: Any) -> NDArray:
        """Takes over the values of an array of the same shape.

        Raises:
            ConfigError: another shape (a ValueError, as in the original).
        """
        values = np.asarray(source_array, self._data.dtype)
        if values.shape != self.shape:
            raise ConfigError(f"values of shape {values.shape} for an array of {self.shape}")
        self._data[...] = values
        return self

    def copyto(self, target: NDArray | DECORDContext) -> NDArray:
        """Copies the values into another array, or into a new one."""
        if isinstance(target, DECORDContext):
            return NDArray(self._data.copy())
        return target.copyfrom(self._data)

    def same_as(self, other: object) -> bool:
        """Whether both have the very same values in memory."""
        return isinstance(other, NDArray) and other._data is self._data

    def __len__(self) -> int:
        return math.prod(self.shape)

    def __eq__(self, other: object) -> bool:
        return self.same_as(other)

    def __hash__(self) -> int:
        return id(self._data)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        if copy:
            return np.array(self._data, dtype=dtype)
        return np.asarray(self._data, dtype=dtype)  # NumPy 1 knows no copy=None

    def __repr__(self) -> str:
        return f"<decord.NDArray shape={self.shape}, {self.ctx}>\n{self._data!r}"

    def __str__(self) -> str:
        return str(self._data)


def array(arr: Any, ctx: DECORDContext = CPU) -> NDArray:
    """An array with a copy of the values of `arr`."""
    return NDArray(np.array(arr))


def empty(shape: tuple[int, ...], dtype: str = "float32", ctx: DECORDContext = CPU) -> NDArray:
    """An array of a shape, with any values."""
    return NDArray(np.empty(shape, dtype))


def from_dlpack(dltensor: Any) -> NDArray:
    """An array of another library, without a copy."""
    return NDArray(torch.utils.dlpack.from_dlpack(dltensor).numpy())
