"""Reading checkpoint files: what they are is told by their first bytes, not by their names."""

from __future__ import annotations

import argparse
import json
import pathlib
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open

from vitascope.errors import WeightsError
from vitascope.models.weights.unpickle import read_pickle

# The first object of files that torch wrote before it used zip archives: a number.
_TORCH_LEGACY = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."
CONFIG = "config.json"
"""File beside the weights in which Transformers and timm describe a network."""
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
    if path.is_dir():
        return _read_folder(path)
    if not path.is_file():
        raise WeightsError(f"{path}: no such file. Give a checkpoint file")
    with path.open("rb") as stream:
        head = stream.read(64)
    if not head:
        raise WeightsError(f"{path} is empty. {_AGAIN}")
    if head.startswith((b"PK\x03\x04", _TORCH_LEGACY)):
        return _read_torch(path, zipped=head.startswith(b"PK"))
    if is_safetensors(path):
        return read_safetensors(path)
    if head[:1] == b"\x80" or head[:1] in b"(}]c":
        with path.open("rb") as stream:
            return read_pickle(stream, path)
    raise WeightsError(
        f"{path} is no checkpoint: it begins with {head[:8]!r}, which is neither a torch archive "
        f"nor safetensors nor a pickle. {_AGAIN}"
    )


def weight_files(folder: Path) -> list[Path]:
    """Files with the weights in a folder of another library; empty if it is none."""
    if not (folder / CONFIG).is_file():
        return []
    for name in ("model.safetensors", "pytorch_model.bin"):
        if (folder / name).is_file():
            return [folder / name]
        index = folder / f"{name}.index.json"
        if index.is_file():
            try:
                names = json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()
                # Names alone: an index does not lead out of its folder.
                return [folder / Path(name).name for name in dict.fromkeys(names)]
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise WeightsError(f"{index} is damaged ({error!r}). {_AGAIN}") from error
    return []


def _read_folder(folder: Path) -> dict[str, Any]:
    files = weight_files(folder)
    if not files:
        raise WeightsError(
            f"{folder}: a folder without {CONFIG} and model.safetensors or pytorch_model.bin. Give "
            f"a checkpoint file"
        )
    whole: dict[str, Any] = {}
    for file in files:
        whole.update(read_content(file))
    return whole


def is_safetensors(path: Path) -> bool:
    """Whether a file begins as safetensors do: the length of a JSON header, and that header."""
    with path.open("rb") as stream:
        head = stream.read(9)
    return len(head) == 9 and head[8:] == b"{" and int.from_bytes(head[:8], "little") < 10**8


def read_safetensors(path: Path) -> dict[str, torch.Tensor]:
    """Tensors by name.

    Raises:
        WeightsError: the file is cut or damaged.
    """
    try:
        with safe_open(path, framework="pt", device="cpu") as stream:
            return {name: stream.get_tensor(name).clone() for name in stream.keys()}
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path} is cut or damaged ({error}). {_AGAIN}") from error


def is_foreign_checkpoint(path: str | Path) -> bool:
    """Whether a file, or a folder, is a checkpoint that vitascope did not write itself."""
    path = Path(path)
    if path.is_dir():
        return bool(weight_files(path))
    if not path.is_file() or path.suffix in (".json", ".onnx", ".xml", ".pt2"):
        return False
    if not is_safetensors(path):
        with path.open("rb") as stream:
            head = stream.read(len(_TORCH_LEGACY))
        return path.suffix in (".pt", ".pth", ".pyth", ".pkl", ".ckpt", ".bin") or head.startswith(
            (b"PK\x03\x04", b"\x80")
        )
    with path.open("rb") as stream:
        size = int.from_bytes(stream.read(8), "little")
        try:
            header = json.loads(stream.read(size))
        except ValueError:
            return False  # cut: whoever reads it says so
    if not isinstance(header, Mapping) or "vitascope" in (header.get("__metadata__") or {}):
        return False
    return not any(_names(record, path) for record in path.parent.glob("*.json"))


def _names(record: Path, path: Path) -> bool:
    """Whether a vitascope record vouches for a tensor file."""
    try:
        content = json.loads(record.read_text(encoding="utf-8"))
        return bool(content["tensors"]["file"] == path.name)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _read_torch(path: Path, *, zipped: bool) -> Any:
    if zipped and not zipfile.is_zipfile(path):
        raise WeightsError(f"{path} is cut: the end of the archive is missing. {_AGAIN}")
    try:
        if zipped:  # torch itself does not look at the checksums
            with zipfile.ZipFile(path) as archive:
                damaged = archive.testzip()
            if damaged is not None:
                raise WeightsError(f"{path} is damaged: {damaged} has another checksum. {_AGAIN}")
        # A stream, because torch goes by the ending of a path.
        with torch.serialization.safe_globals(_harmless()), path.open("rb") as stream:
            return torch.load(stream, map_location="cpu", weights_only=True)
    except WeightsError:
        raise
    except pickle.UnpicklingError as error:
        text = str(error)
        for word in ("GLOBAL ", "global "):
            if word in text:
                name = text.split(word, 1)[1].split()[0].strip("`'\",.")
                raise WeightsError(
                    f"{path} is a pickle that asks for {name}, which is neither a tensor nor a "
                    f"container; nothing was run. If you trust its maker, save its state "
                    f"dict alone: torch.save(model.state_dict(), FILE)"
                ) from None
        reason = text.strip().splitlines()[-1] if text.strip() else "no reason given"
        raise WeightsError(f"{path} cannot be read as weights alone ({reason})") from error
    except (
        RuntimeError, EOFError, ValueError, KeyError, TypeError, AttributeError, IndexError,
        zipfile.BadZipFile, OSError,
    ) as error:  # fmt: skip
        first = [*str(error).strip().splitlines(), repr(error)][0]
        raise WeightsError(
            f"{path} is cut or no checkpoint of torch ({first}). {_AGAIN}"
        ) from error
