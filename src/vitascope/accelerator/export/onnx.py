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

from vitascope.accelerator.artefact import (
    KEY,
    OUTPUT_NAME,
    Artefact,
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
    """Silences what the exporter says about optional packages and about its own deprecations."""
    log = logging.getLogger("torch.onnx")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
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

    def open(self, path: Path, threads: int | None = None) -> Artefact:
        """Opens an ONNX file that carries a contract."""
        runtime = require("onnxruntime", extra=EXTRA)
        require_file(path)
        options = runtime.SessionOptions()
        options.intra_op_num_threads = threads or torch.get_num_threads()
        options.log_severity_level = 3
        try:
            session = runtime.InferenceSession(
                str(path), sess_options=options, providers=["CPUExecutionProvider"]
            )
        # onnxruntime's errors share no base class below Exception; all of them end here.
        except Exception as error:
            raise unreadable(path, "ONNX", error) from error
        text = session.get_modelmeta().custom_metadata_map.get(KEY)
        names: list[str] = [i.name for i in session.get_inputs()]

        def forward(inputs: Inputs) -> Tensor:
            arrays: dict[str, Any] = {
                name: x.detach().cpu().contiguous().numpy()
                for name, x in zip(names, pathways(inputs), strict=True)
            }
            return torch.from_numpy(session.run(None, arrays)[0])

        return Artefact(path, self.name, parse_contract(text, path), forward)
