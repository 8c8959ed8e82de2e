"""Optical flow: how far each pixel moves to the next frame, from files or computed by OpenCV."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from vitascope.data.decoders.images import picture_files, read_pictures
from vitascope.errors import ConfigError, DatasetError, UnknownNameError
from vitascope.optional import require

Field = npt.NDArray[np.float32]

_MAGIC = b"PIEH"  # the float 202021.25, with which .flo files begin
_PRESETS = {
    "ultrafast": "DISOPTICAL_FLOW_PRESET_ULTRAFAST",
    "fast": "DISOPTICAL_FLOW_PRESET_FAST",
    "medium": "DISOPTICAL_FLOW_PRESET_MEDIUM",
}


class FlowFile(Protocol):
    """Stored flow of one video; number i leads from frame i to frame i + 1."""

    def __len__(self) -> int: ...

    def read(self, indices: Sequence[int]) -> Tensor:
        """Flows by number: float32 T H W 2, pixels to the right and down."""
        ...


def open_flow(path: str | Path, bound: float = 20.0) -> FlowFile:
    """Stored flow of one video.

    Understood are an array T H W 2 (`.npy`, or `.npz` with one array), a folder of `.flo` files,
    and a folder of pairs of 8-bit images `flow_x_00001.jpg`, `flow_y_00001.jpg`, in the order of
    their numbers. In images 0 stands for -bound pixels and 255 for +bound.

    Raises:
        DatasetError: none of these, or files that do not fit together.
        ConfigError: a bound that is not above 0.
    """
    if bound <= 0:
        raise ConfigError(f"bound = {bound} pixels; it must be above 0")
    folder = Path(path)
    if not folder.is_dir():
        return _Array(folder)
    files = sorted(folder.glob("*.flo"), key=lambda p: _order(p.name))
    if files:
        return _FloFiles(files)
    pictures = picture_files(folder)
    across = [p for p in pictures if "flow_x" in p.name.lower() or p.name.lower()[:1] == "x"]
    down = [p for p in pictures if "flow_y" in p.name.lower() or p.name.lower()[:1] == "y"]
    if not across or [_number(p) for p in across] != [_number(p) for p in down]:
        raise DatasetError(
            f"{folder}: {len(across)} images flow_x_NUMBER and {len(down)} flow_y_NUMBER, which "
            "are no pairs, and no .flo file"
        )
    return _Pictures(across, down, bound)


def read_flo(path: str | Path) -> Field:
    """One flow in Middlebury's format: float32 H W 2.

    Raises:
        DatasetError: no such file, or it is cut short.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read ({error.strerror})") from error
    if content[:4] != _MAGIC or len(content) < 12:
        raise DatasetError(f"{path}: no .flo file; it begins with {content[:4]!r}")
    width, height = np.frombuffer(content, "<i4", 2, 4).tolist()
    if width < 1 or height < 1 or len(content) != 12 + 8 * width * height:
        raise DatasetError(
            f"{path}: {len(content)} bytes, and {width}x{height} pixels need "
            f"{12 + 8 * width * height}; fetch or compute it again"
        )
    return np.frombuffer(content, "<f4", offset=12).reshape(height, width, 2)


def write_flo(path: str | Path, flow: Field) -> None:
    """Writes float32 H W 2 in Middlebury's format."""
    height, width = flow.shape[:2]
    head = _MAGIC + np.array([width, height], "<i4").tobytes()
    Path(path).write_bytes(head + np.ascontiguousarray(flow, "<f4").tobytes())


def compute_flow(pairs: Iterable[tuple[Tensor, Tensor]], preset: str = "medium") -> Tensor:
    """Flow by dense inverse search (DIS, arXiv:1603.03590).

    Args:
        pairs: a frame and the next one, uint8 H W C, RGB.
        preset: "ultrafast", "fast" or "medium".

    Returns:
        float32 T H W 2, pixels to the right and down.

    Raises:
        MissingExtraError: OpenCV is not installed.
        UnknownNameError: no such preset.
    """
    if preset not in _PRESETS:
        raise UnknownNameError("preset of optical flow", preset, _PRESETS)
    cv2 = require("cv2", extra="opencv")
    # A new one for each call: an instance keeps buffers, and workers must not share them.
    method = cv2.DISOpticalFlow_create(getattr(cv2, _PRESETS[preset]))
    found = []
    for one, two in pairs:
        before, after = (cv2.cvtColor(f.numpy(), cv2.COLOR_RGB2GRAY) for f in (one, two))
        found.append(torch.from_numpy(method.calc(before, after, None)))
    return torch.stack(found)


class _Array:
    def __init__(self, path: Path) -> None:
        try:
            loaded: Any = np.load(path, mmap_mode="r", allow_pickle=False)
            if path.suffix == ".npz":
                if len(loaded.files) != 1:
                    raise DatasetError(f"{path}: {len(loaded.files)} arrays; expected one, T H W 2")
                loaded = loaded[loaded.files[0]]
        except (OSError, ValueError, EOFError) as error:
            if isinstance(error, DatasetError):
                raise
            raise DatasetError(f"{path}: cannot be read as an array ({error})") from error
        if loaded.ndim != 4 or loaded.shape[-1] != 2 or loaded.dtype.kind != "f":
            raise DatasetError(
                f"{path}: an array {loaded.shape} of {loaded.dtype}; expected floats T H W 2"
            )
        self._flows = loaded

    def __len__(self) -> int:
        return len(self._flows)

    def read(self, indices: Sequence[int]) -> Tensor:
        return torch.from_numpy(np.asarray(self._flows[list(indices)], np.float32))


class _FloFiles:
    def __init__(self, files: Sequence[Path]) -> None:
        self._files = files

    def __len__(self) -> int:
        return len(self._files)

    def read(self, indices: Sequence[int]) -> Tensor:
        flows = [read_flo(self._files[i]) for i in indices]
        odd = next(
            (i for i, f in zip(indices, flows, strict=True) if f.shape != flows[0].shape), None
        )
        if odd is not None:
            raise DatasetError(f"{self._files[odd]}: not of the size of the others")
        return torch.from_numpy(np.stack(flows).astype(np.float32))


class _Pictures:
    def __init__(self, across: Sequence[Path], down: Sequence[Path], bound: float) -> None:
        self._across, self._down, self._bound = across, down, bound

    def __len__(self) -> int:
        return len(self._across)

    def read(self, indices: Sequence[int]) -> Tensor:
        both = [
            read_pictures([os.fspath(files[i]) for i in indices])[..., 0].float()
            for files in (self._across, self._down)
        ]
        return torch.stack(both, -1) * (2 * self._bound / 255) - self._bound


def _number(path: Path) -> str:
    digits = re.findall(r"\d+", path.stem)
    return digits[-1] if digits else ""


def _order(name: str) -> tuple[list[str | int], str]:
    parts = re.split(r"([0-9]+)", name)
    return [int(part) if i % 2 else part for i, part in enumerate(parts)], name
