"""ONNX, run by onnxruntime: one file with weights and contract."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vitascope.accelerator.artifact import (
    KEY,
    OUTPUT_NAME,
    Artifact,
    Flat,
    Inputs,
    contract_text,
    input_names,
    parse_contract,
    pathways,
    require_file,
    unreadable,
)
from vitascope.errors import WeightsError
from vitascope.optional import require
from vitascope.spec import Contract

EXTRA = "onnx"
# A protobuf message ends at 2 GiB; above this size the weights would need a second file.
LARGEST = 2**31 - 2**24


@contextmanager
def quiet_exporter() -> Iterator[None]:
    """Silences what exporters say of optional packages, of deprecations, and of damaged files.

    What goes wrong is raised as well, so nothing is lost.
    """
    logs = [logging.getLogger(name) for name in ("torch.onnx", "torch.export")]
    levels = [log.level for log in logs]
    for log in logs:
        log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for log, level in zip(logs, levels, strict=True):
            log.setLevel(level)


class OnnxTarget:
    """Writes through torch.export and onnxscript, reads with onnxruntime on the CPU."""

    name = "onnx"
    suffix = ".onnx"
    extra = EXTRA
    modules = ("onnx", "onnxscript", "onnxruntime")
    tolerance = 1e-4

    def write(self, model: nn.Module, example: Inputs, contract: Contract, path: Path) -> None:
        """Writes `model` (in eval mode) to `path`; the batch dimension stays free."""
        for module in self.modules:
            require(module, extra=EXTRA)
        size = sum(t.numel() * t.element_size() for t in model.state_dict().values())
        if size > LARGEST:
            raise WeightsError(
                f"the model has {size / 2**30:.1f} GiB of weights and an ONNX file ends at 2 GiB. "
                f"Use: --to openvino"
            )
        names = input_names(example)
        batch = torch.export.Dim("batch")
        with quiet_exporter():
            program = torch.onnx.export(
                Flat(model),
                tuple(pathways(example)),
                dynamo=True,
                input_names=names,
                output_names=[OUTPUT_NAME],
                dynamic_shapes=(tuple({0: batch} for _ in names),),
                verbose=False,
            )
        assert program is not None
        program.model.metadata_props[KEY] = contract_text(contract)
        program.save(path, external_data=False)

    def open(self, path: Path, threads: int | None = None, *, trust: bool = False) -> Artifact:
        """Opens an ONNX file that carries a contract.

        Without `trust` a file with weights in other files, which may lie anywhere, or with
        operators that ONNX does not define is refused.
        """
        runtime = require("onnxruntime", extra=EXTRA)
        require_file(path)
        if not trust:
            _refuse_others(path)
        options = runtime.SessionOptions()
        options.intra_op_num_threads = threads or torch.get_num_threads()
        options.log_severity_level = 3
        try:
            session = runtime.InferenceSession(
                str(path),
                sess_options=options,
                providers=["CPUExecutionProvider"],
                enable_fallback=0,  # there is no other one, and it prints what we raise
            )
            text = session.get_modelmeta().custom_metadata_map.get(KEY)
            names: list[str] = [i.name for i in session.get_inputs()]
            outputs = len(session.get_outputs())
        # onnxruntime's errors share no base class below Exception; all of them end here.
        except Exception as error:
            raise unreadable(path, "ONNX", error) from error
        if outputs != 1:
            raise unreadable(path, "ONNX", ValueError(f"it has {outputs} outputs, and not one"))

        def forward(inputs: Inputs) -> Tensor:
            arrays: dict[str, Any] = {
                name: x.detach().cpu().contiguous().numpy()
                for name, x in zip(names, pathways(inputs), strict=True)
            }
            return torch.from_numpy(session.run(None, arrays)[0])

        return Artifact(path, self.name, parse_contract(text, path), forward)


# Whose operators compute tensors out of tensors, in every build of onnxruntime.
_DOMAINS = {"", "ai.onnx", "ai.onnx.ml"}


def _refuse_others(path: Path) -> None:
    """Refuses a file that makes onnxruntime read other files, or operators that others define.

    Raises:
        WeightsError: it does, or it is no ONNX file.
        MissingExtraError: the package onnx is missing.
    """
    onnx = require("onnx", extra=EXTRA)
    try:
        model = onnx.load(str(path), load_external_data=False)
    except Exception as error:  # protobuf's errors share no base class with others
        raise unreadable(path, "ONNX", error) from error
    own = {function.domain for function in model.functions}
    waiting: list[Any] = [model]
    while waiting:
        message = waiting.pop()
        kind = message.DESCRIPTOR.name
        reason = ""
        if kind == "TensorProto" and (message.external_data or message.data_location):
            places = {entry.key: entry.value for entry in message.external_data}
            reason = f"takes weights from another file, {places.get('location', '')!r:.100}"
        elif kind == "NodeProto" and message.domain not in _DOMAINS | own:
            reason = f"has an operator of {message.domain!r:.100}"
        if reason:
            raise WeightsError(
                f"{path} {reason}; what that reads or runs is not known. If you trust the file, "
                f"say so with --trust (trust=True in Python); one that `vitascope export` wrote "
                f"needs neither"
            )
        for description, value in message.ListFields():
            if description.message_type is not None:
                repeated = hasattr(value, "__len__")
                waiting += value if repeated else [value]
