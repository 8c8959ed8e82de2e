"""A checkpoint of any library as one of vitascope, or the other way round."""

from __future__ import annotations

import io
import pickle
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from vitascope.accelerator.export.target import TARGETS
from vitascope.engine.build import load_model
from vitascope.engine.checkpoint import save_checkpoint, writing
from vitascope.errors import ConfigError, RunError, WeightsError
from vitascope.files import folder_of, replacing
from vitascope.models.base import VideoModel
from vitascope.models.weights import DIALECTS, ConversionReport, export_state_dict
from vitascope.models.weights.identify import open_foreign
from vitascope.models.weights.read import is_foreign_checkpoint
from vitascope.spec import Contract

OURS = "vitascope"


@dataclass(frozen=True)
class Converted:
    """A translated checkpoint.

    Attributes:
        path: what was written: the record of a vitascope checkpoint, or a file of `dialect`.
        dialect: "vitascope", or whose names the file has.
        contract: model, classes, clip and pixels.
        report: what became of every entry that was read; None if it was vitascope's own.
        entries: number of entries written.
    """

    path: Path
    dialect: str
    contract: Contract
    report: ConversionReport | None
    entries: int


def convert_checkpoint(
    source: str | Path,
    out: str | Path,
    *,
    model: str | None = None,
    to: str = OURS,
    force: bool = False,
) -> Converted:
    """Translates a checkpoint.

    Args:
        source: a checkpoint of any dialect, or a run folder.
        out: for vitascope NAME or NAME.json, written with NAME-0.safetensors beside it; for other
            dialects the file (.safetensors, or what the dialect's programs read).
        model: card of the model of a foreign checkpoint; None tells it from the entries.
        to: "vitascope" or a dialect.
        force: replace what is there.

    Raises:
        UnknownNameError: no such card or dialect.
        WeightsError: the source cannot be read, or does not fit.
        RunError: `out` exists, or cannot be written.
    """
    if to != OURS:
        _ = DIALECTS[to]  # an unknown name is refused before the work
    target = Path(out)
    for export in TARGETS.values():
        if target.suffix == export.suffix:
            raise ConfigError(
                f"{target}: {export.suffix} is a model for another runtime, and convert writes "
                f"checkpoints. Run: vitascope export {shlex.quote(str(source))} --to {export.name} "
                f"--out {shlex.quote(str(target))}"
            )
    if to == OURS:
        target = target.with_suffix(".json") if target.suffix == ".safetensors" else target
        target = target if target.suffix == ".json" else target.with_name(f"{target.name}.json")
    if target.exists() and not force:
        raise RunError(f"{target} exists. Give another name, or --force to replace it")
    network, contract, report = _open(Path(source), model)
    state = network.state_dict()
    if to == OURS:
        save_checkpoint(
            target.parent,
            target.stem,
            tensors=state,
            contract=contract,
            recipe={},
            state={"step": 0, "source": str(source)},
        )
        return Converted(target, to, contract, report, len(state))
    entries = export_state_dict(state, network, to)
    with writing(target), folder_of(target), replacing(target) as draft:
        _write(draft, entries, to)
    return Converted(target, to, contract, report, len(entries))


def _open(source: Path, model: str | None) -> tuple[VideoModel, Contract, ConversionReport | None]:
    if is_foreign_checkpoint(source):
        opened = open_foreign(source, model)
        return opened.model, opened.contract, opened.report
    network, checkpoint = load_model(source)
    if model is not None and model != checkpoint.contract.model:
        raise ConfigError(
            f"{source} is a checkpoint of vitascope and says itself that it is for "
            f"{checkpoint.contract.model}; leave --model out"
        )
    return network, checkpoint.contract, None


def _write(path: Path, entries: Mapping[str, Tensor], dialect: str) -> None:
    suffix = path.suffix
    plain = {name: value.detach().cpu().contiguous().clone() for name, value in entries.items()}
    if suffix == ".safetensors":
        save_file(plain, path)
    elif dialect == "caffe2":
        with path.open("wb") as stream:
            blobs = {name: value.numpy() for name, value in plain.items()}
            pickle.dump({"blobs": blobs}, stream, protocol=2)
    elif suffix in (".pyth", ".pth", ".pt", ".ckpt"):
        key = "state_dict" if suffix == ".ckpt" else "model_state"
        # Through memory: on a full disk PyTorch's own writer ends the process.
        buffer = io.BytesIO()
        torch.save({key: plain}, buffer)
        path.write_bytes(buffer.getbuffer())
    else:
        raise WeightsError(f"{path}: {suffix or 'no ending'}; end it in .safetensors or .pyth")
