"""OpenVINO, for x86 and ARM CPUs: an .xml with graph and contract, a .bin with the weights."""

from __future__ import annotations

import re
from pathlib import Path
from xml.parsers import expat

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
from vitascope.accelerator.export.onnx import quiet_exporter
from vitascope.accelerator.export.signal_stack import kept_signal_stack
from vitascope.errors import WeightsError
from vitascope.optional import require
from vitascope.spec import Contract

EXTRA = "openvino"
PLACE = [KEY, "contract"]


class OpenVinoTarget:
    """Converts the torch.export program; keeps float32, in the file and while it runs."""

    name = "openvino"
    suffix = ".xml"
    extra = EXTRA
    modules = ("openvino",)
    tolerance = 1e-4

    def write(self, model: nn.Module, example: Inputs, contract: Contract, path: Path) -> None:
        """Writes `path` (.xml) and the .bin beside it; the batch dimension stays free."""
        openvino = require("openvino", extra=EXTRA)
        videos = pathways(example)
        batch = torch.export.Dim("batch")
        with quiet_exporter():
            program = torch.export.export(
                Flat(model), tuple(videos), dynamic_shapes=(tuple({0: batch} for _ in videos),)
            )
            converted = openvino.convert_model(program)
        # Everything but the batch is fixed, which lets the compiler plan memory and kernels.
        converted.reshape(
            {
                port: [-1, *video.shape[1:]]
                for port, video in zip(converted.inputs, videos, strict=True)
            }
        )
        for port, name in zip(converted.inputs, input_names(example), strict=True):
            port.get_tensor().set_names({name})
        converted.outputs[0].get_tensor().set_names({OUTPUT_NAME})
        converted.set_rt_info(contract_text(contract), PLACE)
        # The default halves the weights to float16, which moves scores by more than our tolerance.
        openvino.save_model(converted, str(path), compress_to_fp16=False)

    def open(self, path: Path, threads: int | None = None, *, trust: bool = False) -> Artifact:
        """Opens an .xml whose .bin lies beside it.

        Without `trust` a file with a document type (which may define entities) or with layers
        that OpenVINO does not define is refused.
        """
        openvino = require("openvino", extra=EXTRA)
        require_file(path)
        if not path.with_suffix(".bin").is_file():
            raise WeightsError(
                f"{path}: the weights {path.with_suffix('.bin').name} must lie beside it. "
                f"An OpenVINO model is a pair of files; copy both."
            )
        if not trust:
            _refuse_others(path)
        core = openvino.Core()
        settings = {
            # Processors with bfloat16 units would otherwise compute in bfloat16.
            "INFERENCE_PRECISION_HINT": "f32",
            "INFERENCE_NUM_THREADS": threads or torch.get_num_threads(),
            "PERFORMANCE_HINT": "LATENCY",
        }
        try:
            model = core.read_model(str(path))
            text = model.get_rt_info(PLACE).value if model.has_rt_info(PLACE) else None
            contract = parse_contract(text, path)
            with kept_signal_stack():
                compiled = core.compile_model(model, "CPU", settings)
        except RuntimeError as error:
            raise unreadable(path, "OpenVINO", error) from error

        def forward(inputs: Inputs) -> Tensor:
            arrays = [x.detach().cpu().contiguous().numpy() for x in pathways(inputs)]
            return torch.from_numpy(compiled(arrays)[0].copy())

        return Artifact(path, self.name, contract, forward)


_XML = 64 << 20  # bytes; that of a model of a thousand layers has 2 MB


def _refuse_others(path: Path) -> None:
    """Refuses what is not plain XML with layers of OpenVINO's own operator sets.

    Raises:
        WeightsError: as said.
    """
    parser = expat.ParserCreate()

    def refuse(what: str) -> WeightsError:
        return WeightsError(
            f"{path} has {what}. If you trust the file, say so with --trust (trust=True in "
            f"Python); one that `vitascope export` wrote needs neither"
        )

    def document_type(*_: object) -> None:
        raise refuse("a document type, which may name other files")

    def element(name: str, attributes: dict[str, str]) -> None:
        version = attributes.get("version", "")
        if name == "layer" and not re.fullmatch(r"opset\d{1,3}", version):
            raise refuse(f"a layer of {version!r:.100}, which is no operator set of OpenVINO")

    parser.StartDoctypeDeclHandler = document_type
    parser.StartElementHandler = element
    if path.stat().st_size > _XML:
        raise refuse(f"more than {_XML >> 20} MB of text")
    try:
        parser.Parse(path.read_bytes(), True)
    except expat.ExpatError as error:
        raise unreadable(path, "OpenVINO", error) from error
