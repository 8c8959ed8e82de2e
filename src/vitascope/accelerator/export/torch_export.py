"""PyTorch's own format (.pt2): for programs that load it with torch.export or AOTInductor."""

from __future__ import annotations

import io
from pathlib import Path

import torch
from torch import Tensor, nn

from vitascope.accelerator.artifact import (
    KEY,
    Artifact,
    Flat,
    Inputs,
    contract_text,
    parse_contract,
    pathways,
    require_file,
    unreadable,
)
from vitascope.accelerator.export.archive import read_archive, read_extra
from vitascope.accelerator.export.onnx import quiet_exporter
from vitascope.errors import VitascopeError
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
            program.example_inputs = None  # a clip as large as the weights of a small model
            # Through memory: on a full disk PyTorch's own writer ends the process.
            buffer = io.BytesIO()
            extra = {CONTRACT_FILE: contract_text(contract)}
            torch.export.save(program, buffer, extra_files=extra)
            path.write_bytes(buffer.getbuffer())

    def open(self, path: Path, threads: int | None = None, *, trust: bool = False) -> Artifact:
        """Opens a .pt2 file; `threads` are PyTorch's, of which a process has one pool.

        Without `trust` PyTorch gets only what `read_archive` understood of the file.
        """
        del threads
        require_file(path)
        try:
            contract = parse_contract(read_extra(path, CONTRACT_FILE), path)
            source = path if trust else read_archive(path)
            with quiet_exporter():
                module = torch.export.load(source).module()
        except VitascopeError:
            raise
        except Exception as error:  # PyTorch raises whatever a damaged graph leads to
            raise unreadable(path, "torch.export", error) from error

        def forward(inputs: Inputs) -> Tensor:
            with torch.no_grad():
                scores: Tensor = module(*pathways(inputs))
            return scores

        return Artifact(path, self.name, contract, forward)
