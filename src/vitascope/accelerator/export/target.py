"""What an export target is, and the table of those that exist.

A new target is one file beside this one and one line in the table below.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from torch import nn

from vitascope.accelerator.artifact import Artifact, Inputs
from vitascope.accelerator.export.onnx import OnnxTarget
from vitascope.accelerator.export.openvino import OpenVinoTarget
from vitascope.accelerator.export.torch_export import TorchExportTarget
from vitascope.catalog import Catalog
from vitascope.errors import WeightsError
from vitascope.files import is_text
from vitascope.spec import Contract


class ExportTarget(Protocol):
    """A file format that a model can be written to and run from."""

    @property
    def name(self) -> str:
        """Name on the command line ("onnx")."""

    @property
    def suffix(self) -> str:
        """Suffix of the file that stands for the artifact (".onnx"); no two targets share one."""

    @property
    def extra(self) -> str:
        """Pip extra that brings what the target needs; empty when PyTorch is enough."""

    @property
    def modules(self) -> tuple[str, ...]:
        """Packages that must import for the target to write and to run."""

    @property
    def tolerance(self) -> float:
        """Largest allowed difference of a score, as a share of the largest score (at least 1)."""

    def write(self, model: nn.Module, example: Inputs, contract: Contract, path: Path) -> None:
        """Writes `model` with its contract to `path` and files of the same stem.

        Args:
            model: on the CPU in eval mode, of float32.
            example: inputs B C T H W with at least two clips; all but B are fixed by them.
            contract: goes into the file.
            path: ends in `suffix`; its folder exists.

        Raises:
            MissingExtraError: a package is missing.
        """

    def open(self, path: Path, threads: int | None = None, *, trust: bool = False) -> Artifact:
        """Opens what `write` wrote.

        Args:
            path: the file.
            threads: how many compute a clip; None takes as many as PyTorch does.
            trust: open the file even where it could run code of its maker or read other files.

        Raises:
            MissingExtraError: a package is missing.
            WeightsError: the file is absent, cut, foreign, has no contract, or would have to be
                trusted.
        """


TARGETS: Catalog[ExportTarget] = Catalog("export target")
for _target in (OnnxTarget(), OpenVinoTarget(), TorchExportTarget()):
    TARGETS.add(_target.name, _target)


def target_of(path: Path) -> ExportTarget:
    """The target whose artifacts end like `path`.

    Raises:
        WeightsError: no target writes such files.
    """
    for target in TARGETS.values():
        if path.suffix.lower() == target.suffix:
            return target
    known = ", ".join(f"{t.suffix} ({t.name})" for t in TARGETS.values())
    raise WeightsError(f"{path}: no export target writes files like this. Known: {known}")


def open_artifact(path: Path, threads: int | None = None, *, trust: bool = False) -> Artifact:
    """Opens an exported model, recognized by its suffix; see `ExportTarget.open`."""
    if not is_text(path):
        raise WeightsError(
            f"{path}: its name is not UTF-8, and the runtimes open no such files. Rename it"
        )
    return target_of(path).open(path, threads, trust=trust)
