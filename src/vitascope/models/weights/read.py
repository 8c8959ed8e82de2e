"""Reading checkpoint files: what they are is told by their first bytes, not by their names."""

from __future__ import annotations

import argparse
import pathlib
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open

from vitascope.errors import WeightsError
from vitascope.files import parse_json, path_as_text, read_json
from vitascope.models.weights.machine import RefusedNameError
from vitascope.models.weights.torch_file import LEGACY, REPEATED, check_torch
from vitascope.models.weights.unpickle import read_pickle
from vitascope.text import shown

CONFIG = "config.json"
"""File beside the weights in which Transformers and timm describe a network."""
INDEX = ".index.json"
"""How the list of the parts of a checkpoint ends."""
PARTS = (".safetensors", ".bin", ".pt", ".pth")
_PART = re.compile(r".+-\d{1,6}-of-0*([2-9]|[1-9]\d{1,5})\.\w+")
"""How programs call one of several parts: model-00001-of-00003.safetensors."""
_ALONE = (
    f"is by its name one of several parts of a checkpoint, and no index of them (*{INDEX}) is "
    f"beside it. Copy the index and all parts into one folder"
)
_HEADER = 16 << 20  # bytes of the header of safetensors; one with a thousand tensors has 100 kB
_AGAIN = "Fetch or copy it again."


def _harmless() -> list[Any]:
    """Classes besides tensors that training programs store, none of which runs anything."""
    scalar = np.float64(0).__reduce__()[0]
    kinds = {type(np.dtype(code)) for code in ("f2", "f4", "f8", "i4", "i8", "u1", "b1")}
    return [
        argparse.Namespace, pathlib.PosixPath, pathlib.PurePosixPath, scalar, np.dtype, *kinds,
        (scalar, "numpy.core.multiarray.scalar"),
    ]  # fmt: skip


def read_content(path: str | Path) -> Any:
    """What a checkpoint file holds: a nest of containers with tensors or arrays.

    Safetensors, torch's archives (new and old) and Caffe2's pickles are understood. Nothing in a
    file can run code: torch reads with `weights_only=True`, other pickles may hold arrays and
    containers only.

    Args:
        path: the file, or a folder as Transformers writes it, also with weights in several files.

    Raises:
        WeightsError: there is no such file, it is cut, foreign, or asks to run something.
    """
    path = Path(path)
    files = weight_files(path)
    if not files and path.is_dir():
        raise WeightsError(
            f"{path}: a folder without {CONFIG} and model.safetensors or pytorch_model.bin, and "
            f"without an index of parts (*{INDEX}). Give a checkpoint file"
        )
    if not files:
        _refuse_part(path)
        return _read_file(path)
    whole: dict[str, Any] = {}
    for file in files:
        content = _read_file(file)
        if not isinstance(content, Mapping):
            raise WeightsError(f"{file}: a part of {path} without a table of tensors. {_AGAIN}")
        for name, value in content.items():
            if not _agree(whole.setdefault(name, value), value):
                raise WeightsError(
                    f"{file} and another part of {path} have different values for "
                    f"{shown(str(name))[:100]}. They are not of one checkpoint. {_AGAIN}"
                )
    return whole


def _agree(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        return one is other or torch.equal(one, other)
    return one is other or not isinstance(one, torch.Tensor | np.ndarray)


def _read_file(path: Path) -> Any:
    if not path.is_file():
        raise WeightsError(f"{path}: no such file. Give a checkpoint file")
    size = path.stat().st_size
    with path.open("rb") as stream:
        head = stream.read(64)
    if not head:
        raise WeightsError(f"{path} is empty. {_AGAIN}")
    if head.startswith((b"PK\x03\x04", LEGACY)):
        return _bounded(_read_torch(path, zipped=head.startswith(b"PK")), path, size)
    if is_safetensors(path):
        return read_safetensors(path)
    if head[:1] == b"\x80" or head[:1] in b"(}]c":
        with path.open("rb") as stream:
            return _bounded(read_pickle(stream, path), path, size)
    if head.startswith(b"version ") and b"//git-lfs" in head:
        raise WeightsError(f"{path} is a pointer of Git LFS and no checkpoint. Run: git lfs pull")
    raise WeightsError(
        f"{path} is no checkpoint: it begins with {head[:8]!r}, which is neither a torch archive "
        f"nor safetensors nor a pickle. {_AGAIN}"
    )


def _bounded(content: Any, path: Path, size: int) -> Any:
    """The content, if its arrays do not amount to much more than the file has.

    Each reference counts, because whoever copies what they refer to would fill the memory.
    """
    whole, waiting, seen = 0, [content], set()
    while waiting:
        value = waiting.pop()
        if isinstance(value, torch.Tensor | np.ndarray):
            whole += value.nbytes
        elif isinstance(value, Mapping | list | tuple) and id(value) not in seen:
            seen.add(id(value))
            waiting += value.values() if isinstance(value, Mapping) else value
    if whole > REPEATED * size + (16 << 20):
        raise WeightsError(
            f"{path} has {size / 1e6:.1f} MB and would become {whole / 1e6:.0f} MB of numbers. Do "
            f"not trust this file"
        )
    return content


def weight_files(path: Path) -> list[Path]:
    """Files with the weights that a folder of another library, or an index of parts, stands for.

    Returns:
        Their paths; empty for anything else.

    Raises:
        WeightsError: the index is damaged, leads out of its folder, or names parts that are
            missing; parts lie in the folder without an index, or with several.
    """
    if path.name.endswith(INDEX) and path.is_file():
        return _parts(path)
    if not path.is_dir():
        return []
    for name in ("model.safetensors", "pytorch_model.bin"):
        if (path / CONFIG).is_file() and (path / name).is_file():
            return [path / name]
        if (path / f"{name}{INDEX}").is_file():
            return _parts(path / f"{name}{INDEX}")
    others = sorted(path.glob(f"*{INDEX}"))
    if len(others) == 1:
        return _parts(others[0])
    if len(others) > 1:
        names = shown(", ".join(file.name for file in others[:4]))
        raise WeightsError(f"{path} has {len(others)} indexes of parts ({names}). Give one of them")
    parts = [file for file in sorted(path.glob("*-of-*")) if _PART.fullmatch(file.name)]
    if parts:
        raise WeightsError(f"{parts[0]} {_ALONE}")
    if (path / ".metadata").is_file() and next(path.glob("*.distcp"), None):
        raise WeightsError(
            f"{path} is a checkpoint of several processes. Make one file of it: python -m "
            f"torch.distributed.checkpoint.format_utils dcp_to_torch {shown(path.name)} model.pt"
        )
    return []


def _listed(index: Path) -> list[str]:
    """Names of the parts in an index: of files in its folder, whether they are there or not."""
    try:
        table = read_json(index)["weight_map"]
        names = list(dict.fromkeys(table.values()))
    except (KeyError, TypeError, AttributeError) as error:
        raise WeightsError(f"{index} is damaged ({error!r:.200}). {_AGAIN}") from error
    if not names:
        raise WeightsError(f"{index} is damaged (it names no part). {_AGAIN}")
    for name in names:
        plain = isinstance(name, str) and re.fullmatch(r"[^/\\\x00-\x1f\x7f]{1,200}", name)
        if not plain or name in (".", ".."):
            raise WeightsError(
                f"{index} names the part {name!r:.100}, which is no file in its folder. {_AGAIN}"
            )
    return names


def _parts(index: Path) -> list[Path]:
    files = [index.parent / name for name in _listed(index)]
    missing = [file.name for file in files if not file.is_file()]
    if missing:
        raise WeightsError(
            f"{index}: {len(missing)} of its {len(files)} parts are not beside it, the first "
            f"{missing[0]}. {_AGAIN}"
        )
    return files


def _refuse_part(path: Path) -> None:
    """Says of a file that is one of several parts which others belong to it."""
    if path.suffix not in PARTS or not path.is_file():
        return
    for index in sorted(path.parent.glob(f"*{INDEX}")):
        try:
            names = _listed(index)
        except WeightsError:
            continue  # of another checkpoint, for all that one can tell
        if path.name in names and len(names) > 1:
            raise WeightsError(
                f"{path} is one of the {len(names)} parts of a checkpoint that {index.name} lists. "
                f"Give the index, {index}, or the folder"
            )
    if _PART.fullmatch(path.name):
        raise WeightsError(f"{path} {_ALONE}")


def is_safetensors(path: Path) -> bool:
    """Whether a file begins as safetensors do: the length of a JSON header, and that header."""
    with path.open("rb") as stream:
        head = stream.read(9)
    return len(head) == 9 and head[8:] == b"{" and int.from_bytes(head[:8], "little") < _HEADER


def read_safetensors(path: Path) -> dict[str, torch.Tensor]:
    """Tensors by name.

    Raises:
        WeightsError: the file is cut or damaged.
    """
    try:
        with (
            path_as_text(path) as readable,
            safe_open(readable, framework="pt", device="cpu") as stream,
        ):
            return {name: stream.get_tensor(name).clone() for name in stream.keys()}
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path} is cut or damaged ({error}). {_AGAIN}") from error


def is_foreign_checkpoint(path: str | Path) -> bool:
    """Whether a file, or a folder, is a checkpoint that vitascope did not write itself."""
    path = Path(path)
    if path.is_dir() or path.name.endswith(INDEX):
        return bool(weight_files(path))
    if not path.is_file() or path.suffix in (".json", ".onnx", ".xml", ".pt2"):
        return False
    if not is_safetensors(path):
        with path.open("rb") as stream:
            head = stream.read(len(LEGACY))
        return path.suffix in (".pt", ".pth", ".pyth", ".pkl", ".ckpt", ".bin") or head.startswith(
            (b"PK\x03\x04", b"\x80")
        )
    with path.open("rb") as stream:
        size = int.from_bytes(stream.read(8), "little")
        try:
            header = parse_json(stream.read(size), path)
        except WeightsError:
            return False  # cut or damaged: whoever reads it says so
    if not isinstance(header, Mapping) or "vitascope" in (header.get("__metadata__") or {}):
        return False
    return not any(_names(record, path) for record in path.parent.glob("*.json"))


def _names(record: Path, path: Path) -> bool:
    """Whether a vitascope record vouches for a tensor file."""
    try:
        content = read_json(record)
        return bool(content["tensors"]["file"] == path.name)
    except (OSError, WeightsError, KeyError, TypeError):
        return False


def _read_torch(path: Path, *, zipped: bool) -> Any:
    if zipped and not zipfile.is_zipfile(path):
        raise WeightsError(f"{path} is cut: the end of the archive is missing. {_AGAIN}")
    try:
        check_torch(path, zipped=zipped)
        if zipped:  # torch itself does not look at the checksums
            with zipfile.ZipFile(path) as archive:
                damaged = archive.testzip()
            if damaged is not None:
                raise WeightsError(f"{path} is damaged: {damaged} has another checksum. {_AGAIN}")
        # A stream, because torch goes by the ending of a path.
        with torch.serialization.safe_globals(_harmless()), path.open("rb") as stream:
            return torch.load(stream, map_location="cpu", weights_only=True)
    except RefusedNameError as error:
        raise WeightsError(
            f"{path} is a pickle that asks for {str(error)[:200]!r}, which is neither a tensor nor "
            f"a container; nothing was run. If you trust its maker, save its state dict alone: "
            f"torch.save(model.state_dict(), FILE)"
        ) from None
    except WeightsError:
        raise
    except Exception as error:  # torch raises whatever a damaged file leads to
        first = [*str(error).strip().splitlines(), repr(error)][0]
        raise WeightsError(
            f"{path} is cut, damaged or no checkpoint of torch ({first:.300}). {_AGAIN}"
        ) from error
