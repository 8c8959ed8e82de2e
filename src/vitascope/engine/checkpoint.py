"""Checkpoints: one safetensors file, and one readable JSON record that commits it.

The record names the tensor file with its size and sha256 and is renamed into place last, after
everything is on the disk. So whatever moment the process or the machine dies at, the record
points to a complete file: the new one or the previous one. Only when the record is in place is
the previous tensor file removed; a full disk therefore costs the new checkpoint, never the old.

Tensor names are those of the model's state dict. Two prefixes are reserved: "ema." for the
moving average of the weights and "optim." for the state of the optimizer. Loading reads
safetensors and JSON only, and so never executes code.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import importlib.metadata
import json
import os
import platform
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from vitascope.engine.optim import OPTIM
from vitascope.errors import ConfigError, RunError, WeightsError
from vitascope.files import (
    folder_of,
    parse_json,
    path_as_text,
    read_json,
    remove_unfinished,
    replacing,
)
from vitascope.models.weights.identify import open_foreign
from vitascope.models.weights.published import names_card, near_cards, open_published
from vitascope.models.weights.read import is_foreign_checkpoint
from vitascope.spec import Contract, to_json
from vitascope.text import format_json

FORMAT = "vitascope.checkpoint/1"
EMA = "ema."
LARGEST_STEP = 2**40
ROOM = "Free some space and try again"
_AGAIN = "Copy it again as it was written, or use another checkpoint"
PICKLES = (".pt", ".pth", ".pyth", ".pkl", ".ckpt", ".bin")
"""Endings of other libraries' checkpoints; what a file really is, its content tells."""


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """What a checkpoint holds.

    Attributes:
        contract: everything needed to use the weights.
        recipe: the recipe of the run as JSON values; empty in a file that travels alone.
        state: step, epoch, seed, best score and what else the run remembers, as JSON values.
        versions: versions of Python and the packages that wrote it.
        tensors: tensors by name, on the CPU.
        path: the record, or the tensor file when it was read without one; the card's name for
            published weights.
    """

    contract: Contract
    recipe: Mapping[str, Any]
    state: Mapping[str, Any]
    versions: Mapping[str, str]
    tensors: Mapping[str, Tensor]
    path: Path

    def weights(self) -> dict[str, Tensor]:
        """The state dict to predict with: the moving average where there is one."""
        average = self.part(EMA)
        if average:
            return average
        return {n: t for n, t in self.tensors.items() if not n.startswith((EMA, OPTIM))}

    def part(self, prefix: str) -> dict[str, Tensor]:
        """Tensors below a prefix, which is cut off."""
        size = len(prefix)
        return {n[size:]: t for n, t in self.tensors.items() if n.startswith(prefix)}


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that shape results."""
    found = {"python": platform.python_version()}
    for package in ("vitascope", "torch", "numpy", "av", "lightning-fabric", "safetensors"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    return found


@contextlib.contextmanager
def writing(path: Path, kept: str = "", advice: str = ROOM) -> Iterator[None]:
    """Turns a failed write into one message with the reason, the place and the free space.

    Args:
        path: what is written.
        kept: what is still there, as a sentence with a blank behind it.
        advice: what to do when the disk is full.

    Raises:
        RunError: an OSError or SafetensorError occurred inside.
    """
    try:
        yield
    except (OSError, SafetensorError) as error:
        number = error.errno if isinstance(error, OSError) else None
        if number is None:  # safetensors tells the number in its text only
            match = re.search(r"os error (\d+)", str(error))
            number = int(match.group(1)) if match else None
        reason = os.strerror(number) if number else str(error)
        if number in (errno.ENOSPC, errno.EDQUOT):
            there = next(folder for folder in path.absolute().parents if folder.is_dir())
            free = shutil.disk_usage(there).free
            reason = f"the disk is full ({free / 1e6:.1f} MB are free, and that is not enough)"
            kept += advice
        raise RunError(f"cannot write {path}: {reason}. {kept}".strip()) from error


def save_checkpoint(
    folder: Path,
    name: str,
    *,
    tensors: Mapping[str, Tensor],
    contract: Contract,
    recipe: Mapping[str, Any],
    state: Mapping[str, Any],
    advice: str = ROOM,
) -> Path:
    """Writes `folder/name.json` and `folder/name-<step>.safetensors`, or leaves all as it was.

    Args:
        folder: the run's folder; made when absent.
        name: "last" or "best".
        tensors: tensors by name, on any device and in any memory layout.
        contract: everything needed to use the weights.
        recipe: the recipe as JSON values.
        state: JSON values to go on from; holds at least "step".
        advice: what to do when the disk is full.

    Returns:
        The path of the record.

    Raises:
        RunError: the disk is full or not writable; the previous checkpoint is intact.
    """
    record_path = folder / f"{name}.json"
    previous = _named_file(record_path)
    file = folder / f"{name}-{state['step']}.safetensors"
    if file.name == previous:  # never touch the file that the current record vouches for
        file = file.with_name(f"{name}-{state['step']}-again.safetensors")
    kept = f"The previous checkpoint {folder / previous} is intact. " if previous else ""
    record = {
        "format": FORMAT,
        "state": dict(state),
        "contract": to_json(contract),
        "recipe": dict(recipe),
        "versions": versions(),
    }
    try:
        with writing(file, kept, advice), folder_of(file):
            remove_unfinished(folder, name)  # of a save that was killed
            alone = json.dumps({k: v for k, v in record.items() if k != "recipe"})
            with replacing(file, durable=True) as draft:
                save_file(_plain(tensors), draft, metadata={"vitascope": alone})
                record["tensors"] = _sealed(draft)
            _replace_text(record_path, json.dumps(record, indent=1) + "\n")
    except RunError:
        if _named_file(record_path) != file.name:
            file.unlink(missing_ok=True)
        raise
    for stale in folder.glob(f"{name}-*.safetensors"):
        if stale != file:
            stale.unlink(missing_ok=True)
    return record_path


def update_state(folder: Path, name: str, state: Mapping[str, Any]) -> None:
    """Replaces the state in a record whose tensors stay as they are.

    Raises:
        RunError: the disk is full; the record is as it was.
    """
    path = folder / f"{name}.json"
    record = json.loads(path.read_text(encoding="utf-8"))
    write_json(path, record | {"state": dict(state)})


def _plain(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Contiguous CPU tensors that share no memory, as safetensors wants them."""
    plain: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, tensor in tensors.items():
        value = tensor.detach().cpu().contiguous()
        if value.untyped_storage().data_ptr() in seen:
            value = value.clone()
        seen.add(value.untyped_storage().data_ptr())
        plain[name] = value
    return plain


def _sealed(path: Path) -> dict[str, Any]:
    """Name, size and sha256 of a file."""
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return {"file": path.name, "bytes": path.stat().st_size, "sha256": digest}


def _replace_text(path: Path, text: str) -> None:
    """Replaces a file in one step, on the disk before and after."""
    with replacing(path, durable=True) as draft:
        draft.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Writes readable JSON in one step: the file is the old one or the new one, never a part.

    Raises:
        RunError: the disk is full or not writable.
    """
    with writing(path):
        _replace_text(path, format_json(value, indent=1) + "\n")


def _named_file(record_path: Path) -> str:
    """Name of the tensor file that a record vouches for; empty when there is no sound record."""
    try:
        name = read_json(record_path)["tensors"]["file"]
    except (OSError, WeightsError, KeyError, TypeError):
        return ""
    return name if isinstance(name, str) and _is_plain(name) else ""


def _is_plain(name: str) -> bool:
    """Whether it is a name in a folder, that leads nowhere else."""
    return name not in (".", "..") and bool(re.fullmatch(r"[^/\\\x00-\x1f\x7f]{1,200}", name))


def load_checkpoint(folder: Path, name: str) -> Checkpoint:
    """Reads and verifies `folder/name.json` with its tensors.

    Raises:
        WeightsError: no such checkpoint, a cut or changed file, or not a checkpoint at all.
    """
    return _read_record(folder / f"{name}.json")


def load_weights(path: str | Path) -> Checkpoint:
    """Reads the weights to predict with.

    Args:
        path: a run folder (its best checkpoint, else its last), a checkpoint record such as
            RUN/best.json, a .safetensors file written by `save_checkpoint`, also alone, a
            checkpoint of another library (a file, or a folder with its config.json) whose model
            can be told from it, or the name of a card, for its published weights. What is there
            as a file or folder is taken first.

    Raises:
        WeightsError: no weights there, a cut or changed file, or one that asks to run code.
    """
    path = Path(path)
    if path.is_dir():
        for name in ("best", "last"):
            if (path / f"{name}.json").is_file():
                return load_checkpoint(path, name)
        if is_foreign_checkpoint(path):
            return _read_foreign(path)
        raise WeightsError(f"{path} holds no best.json or last.json; is it a run folder?")
    if not path.is_file():
        if names_card(path):
            return _read_published(path)
        raise WeightsError(f"{path}: no such run folder or checkpoint.{near_cards(path)}")
    if is_foreign_checkpoint(path):
        return _read_foreign(path)
    if path.suffix == ".json":
        return _read_record(path)
    for record in sorted(path.parent.glob("*.json")):
        if _named_file(record) == path.name:
            return _read_record(record)
    return _read_alone(path)


def _read_foreign(path: Path) -> Checkpoint:
    opened = open_foreign(path)
    return Checkpoint(
        contract=opened.contract,
        recipe={},
        state={"step": 0},
        versions={},
        tensors=opened.model.state_dict(),
        path=path,
    )


def _read_published(name: Path) -> Checkpoint:
    model, contract = open_published(str(name))
    return Checkpoint(
        contract=contract,
        recipe={},
        state={"step": 0},
        versions={},
        tensors=model.state_dict(),
        path=name,
    )


def _read_record(path: Path) -> Checkpoint:
    try:
        record = read_json(path)
    except FileNotFoundError:
        raise WeightsError(f"{path}: no such checkpoint") from None
    except WeightsError as error:
        raise WeightsError(f"{error}, so not a readable checkpoint record. {_AGAIN}") from error
    if not isinstance(record, dict) or "tensors" not in record:
        raise WeightsError(f"{path} is not a checkpoint record (no entry 'tensors')")
    seal = record["tensors"] if isinstance(record["tensors"], dict) else {}
    name, size, digest = seal.get("file"), seal.get("bytes"), seal.get("sha256")
    if not (isinstance(name, str) and _is_plain(name) and type(size) is int):
        raise WeightsError(
            f"{path} is damaged: its entry 'tensors' needs the name of a file beside it, its bytes "
            f"and its sha256, and is {seal!r:.200}"
        )
    _verify(path.parent / name, size, str(digest), path)
    return _checkpoint(record, _tensors(path.parent / name)[0], path)


def _verify(file: Path, size: int, digest: str, record: Path) -> None:
    remedy = "Copy it again, or use another checkpoint of the run."
    if not file.is_file():
        raise WeightsError(f"{record} belongs to {file.name}, which is not beside it. {remedy}")
    found = file.stat().st_size
    if found != size:
        word = "cut" if found < size else "too long"
        raise WeightsError(f"{file} is {word}: {found} bytes of {size}. {remedy}")
    with file.open("rb") as stream:
        if hashlib.file_digest(stream, "sha256").hexdigest() != digest:
            raise WeightsError(f"{file} is damaged: its sha256 is not that of {record}. {remedy}")


def _tensors(file: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with (
            path_as_text(file) as readable,
            safe_open(readable, framework="pt", device="cpu") as stream,
        ):
            # Copies: the tensors must outlive a later save that removes the mapped file.
            tensors = {name: stream.get_tensor(name).clone() for name in stream.keys()}
            return tensors, stream.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise WeightsError(
            f"{file} is cut or not a safetensors file ({error}). Copy it again."
        ) from error


def _read_alone(file: Path) -> Checkpoint:
    tensors, metadata = _tensors(file)
    if "vitascope" not in metadata:
        raise WeightsError(
            f"{file} carries no class names and no preprocessing, so it is not a vitascope "
            "checkpoint"
        )
    return _checkpoint(parse_json(metadata["vitascope"], f"{file}: its metadata"), tensors, file)


def _checkpoint(record: Any, tensors: dict[str, Tensor], path: Path) -> Checkpoint:
    if not isinstance(record, dict) or "format" not in record:
        raise WeightsError(f"{path} is not a vitascope checkpoint: it does not say its format")
    if record["format"] != FORMAT:
        raise WeightsError(
            f"{path} has format {record['format']!r:.100}, this version reads {FORMAT!r}"
        )
    parts = {name: record.get(name, {}) for name in ("state", "recipe", "versions")}
    for name, part in parts.items():
        if not isinstance(part, dict):
            raise WeightsError(
                f"{path} is no vitascope checkpoint: {name} = {part!r:.100}; expected an object. "
                f"{_AGAIN}"
            )
    step = parts["state"].get("step")
    if type(step) is not int or not 0 <= step <= LARGEST_STEP:
        raise WeightsError(
            f"{path} is damaged: state.step = {step!r:.100}; expected a number. {_AGAIN}"
        )
    try:
        contract = Contract.from_json(record.get("contract"))
    except ConfigError as error:
        raise WeightsError(f"{path} is no vitascope checkpoint: {error}. {_AGAIN}") from error
    return Checkpoint(contract=contract, tensors=tensors, path=path, **parts)
