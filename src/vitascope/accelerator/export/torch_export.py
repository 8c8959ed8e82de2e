"""PyTorch's own format (.pt2): for programs that load it with torch.export or AOTInductor."""

from __future__ import annotations

import io
import json
import pickle
import re
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vitascope.accelerator.artefact import (
    KEY,
    Artefact,
    Flat,
    Inputs,
    contract_text,
    parse_contract,
    pathways,
    require_file,
    unreadable,
)
from vitascope.accelerator.export.onnx import quiet_exporter
from vitascope.errors import WeightsError
from vitascope.spec import Contract

CONTRACT_FILE = f"{KEY}.json"


class TorchExportTarget:
    """Writes with torch.export.save; needs nothing but PyTorch."""

    name = "torch.export"
    suffix = ".pt2"
    extra = ""
    modules: tuple[str, ...] = ()
    tolerance = 1e-5

    def write(self, model: nn.Module, example: Inputs, contract: Contract, path: Path) -> None:
        """Writes `model` (in eval mode) to `path`; the batch dimension stays free."""
        videos = pathways(example)
        batch = torch.export.Dim("batch")
        with quiet_exporter():
            program = torch.export.export(
                Flat(model), tuple(videos), dynamic_shapes=(tuple({0: batch} for _ in videos),)
            )
            for node in program.graph.nodes:
                node.meta.pop("stack_trace", None)  # names of source files on this machine
            program.example_inputs = None  # a clip as large as the weights of a small network
            torch.export.save(program, path, extra_files={CONTRACT_FILE: contract_text(contract)})

    def open(self, path: Path, threads: int | None = None) -> Artefact:
        """Opens a .pt2 file, after `refuse_code` has looked at it; `threads` are PyTorch's."""
        del threads  # PyTorch has one pool for the whole process.
        require_file(path)
        try:
            with zipfile.ZipFile(path) as archive:
                refuse_code(archive, path)
                text = _member(archive, f"extra/{CONTRACT_FILE}")
            contract = parse_contract(None if text is None else text.decode(), path)
            with quiet_exporter():
                module = torch.export.load(path).module()
        except (zipfile.BadZipFile, RuntimeError, OSError, KeyError, AssertionError) as error:
            raise unreadable(path, "torch.export", error) from error

        def forward(inputs: Inputs) -> Tensor:
            with torch.no_grad():
                scores: Tensor = module(*pathways(inputs))
            return scores

        return Artefact(path, self.name, contract, forward)


def _member(archive: zipfile.ZipFile, name: str) -> bytes | None:
    """The content of `name` below the archive's one top folder; None if it is not there."""
    for entry in archive.namelist():
        if entry.partition("/")[2] == name:
            return archive.read(entry)
    return None


# What a file written by `TorchExportTarget` consists of; compiled code, pickled objects and the
# layouts of older releases (which are pickles) have other names.
_PARTS = re.compile(
    r"(data/weights/(weight_\d+|model_weights_config\.json)"
    r"|data/constants/(tensor_\d+|model_constants_config\.json)"
    r"|data/sample_inputs/model\.pt|models/model\.json|extra/[\w.-]+"
    r"|archive_format|archive_version|byteorder|\.data/\w+|version)"
)
_OPERATORS = re.compile(r"(torch\.ops\.(aten|higher_order)|_operator)(\.\w+)+")
_WORDS = {
    "Symbol", "Integer", "Rational", "Mul", "Add", "Pow", "Max", "Min", "Mod", "FloorDiv",
    "positive", "integer", "nonnegative", "nonzero", "True", "False",
}  # fmt: skip


def refuse_code(archive: zipfile.ZipFile, path: Path) -> None:
    """Refuses a .pt2 file in which reading could run code.

    `torch.export.load` unpickles objects, imports any function below `torch` that a graph names,
    and evaluates the text of symbolic sizes. A file that passes here has raw tensors, aten
    operators and sums and products of sizes only.

    Raises:
        WeightsError: the file contains anything else.
    """

    def refuse(what: str) -> WeightsError:
        return WeightsError(
            f"{path}: {what}; vitascope opens only .pt2 files that cannot run code when they are "
            f"read. Use one written by: vitascope export RUN --to torch.export"
        )

    entries = archive.namelist()
    if len(set(entries)) < len(entries) or len({e.partition("/")[0] for e in entries}) != 1:
        raise refuse("it holds two files of one name")  # readers differ in which one they take
    for name in (entry.partition("/")[2] for entry in entries):
        if not _PARTS.fullmatch(name):
            raise refuse(f"it holds {name!r}, which is not part of an exported model")
    for kind in ("weights", "constants"):
        config = json.loads(_member(archive, f"data/{kind}/model_{kind}_config.json") or b"{}")
        for key, entry in config.get("config", {}).items():
            if entry.get("use_pickle") or not re.fullmatch(
                r"(weight|tensor)_\d+", entry["path_name"]
            ):
                raise refuse(f"{key} is stored as a pickled object")
    try:
        sample = _member(archive, "data/sample_inputs/model.pt")
        if sample:
            torch.load(io.BytesIO(sample), weights_only=True)
    except pickle.UnpicklingError as error:
        raise refuse("its sample inputs are pickled objects") from error
    _refuse_in_graph(json.loads(_member(archive, "models/model.json") or b"{}"), refuse)


def _refuse_in_graph(value: Any, refuse: Any) -> None:
    if isinstance(value, list):
        for item in value:
            _refuse_in_graph(item, refuse)
        return
    if not isinstance(value, dict):
        return
    for key, item in value.items():
        if key == "target" and isinstance(item, str) and "inputs" in value:
            if not _OPERATORS.fullmatch(item) or "__" in item:
                raise refuse(f"its graph calls {item!r}")
        elif key == "expr_str" and isinstance(item, str):
            words = re.findall(r"[^\W\d]\w*", item)
            if not all(w in _WORDS or re.fullmatch(r"[su]\d+", w) for w in words):
                raise refuse(f"it has a size {item!r}")
        elif key in ("in_spec", "out_spec") and isinstance(item, str):
            kinds = set(re.findall(r'"type": "([^"]*)"', item))
            if not kinds <= {"builtins.tuple", "builtins.list", "builtins.dict"}:
                raise refuse(f"it has arguments of the kinds {sorted(kinds)}")
        else:
            _refuse_in_graph(item, refuse)
