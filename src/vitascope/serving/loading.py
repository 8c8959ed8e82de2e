"""From a path to something that computes scores: a run, a checkpoint or an exported model."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vitascope.accelerator.artifact import Forward, Inputs, pathways
from vitascope.accelerator.export import TARGETS, open_artifact
from vitascope.engine.build import load_model
from vitascope.engine.checkpoint import PICKLES
from vitascope.engine.device import network_input
from vitascope.errors import WeightsError
from vitascope.models.weights.read import is_foreign_checkpoint
from vitascope.spec import Contract

RECORDS = (".json", ".safetensors")


@dataclass(frozen=True)
class ModelSource:
    """A model that was found at a path.

    Attributes:
        path: the path as given.
        kind: "checkpoint", or the name of an export target ("onnx").
        contract: classes, clip and pixels.
        forward: maps B C T H W float32 to scores before softmax, B N; a clip for several
            pathways comes whole and is packed inside.
        module: the model of a checkpoint in eval mode; None for an exported model.
        trust: whether an exported model was opened on trust.
    """

    path: Path
    kind: str
    contract: Contract
    forward: Forward
    module: nn.Module | None = None
    trust: bool = False

    def __repr__(self) -> str:
        return f"ModelSource({str(self.path)!r}, {self.kind}, {self.contract.model!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        """A model goes along; an exported model is opened again from its path."""
        if self.module is None:
            return partial(open_model, trust=self.trust), (self.path,)
        return ModelSource, (self.path, self.kind, self.contract, self.forward, self.module)


@dataclass(frozen=True, eq=False)
class _Network:
    """Scores of a model; see `ModelSource.forward`."""

    module: nn.Module
    strides: tuple[int, ...]
    device: torch.device

    def __call__(self, inputs: Inputs) -> Tensor:
        (video,) = pathways(inputs)
        with torch.inference_mode():
            scores: Tensor = self.module(network_input(video.to(self.device), self.strides))
        return scores.float().cpu()


def open_model(
    path: str | Path, device: str | torch.device = "cpu", *, trust: bool = False
) -> ModelSource:
    """Opens a run folder, a checkpoint or an exported model.

    Args:
        path: a run folder, a checkpoint (.json or .safetensors, or that of another library), an
            exported file (.onnx, .xml, .pt2), a folder that holds one exported model and nothing
            else of these, or the name of a card ("x3d_s") for its published weights.
        device: where a checkpoint's model computes; exported models compute on the CPU.
        trust: open an exported model even where it could run code of its maker.

    Raises:
        WeightsError: there is nothing of these kinds, or it is cut, foreign, of another shape, or
            would have to be trusted.
        MissingExtraError: an exported model needs a package that is not installed.
    """
    path = Path(path)
    suffixes = {target.suffix: target.name for target in TARGETS.values()}
    run = any((path / f"{name}.json").is_file() for name in ("best", "last"))
    if path.is_dir() and not run and not is_foreign_checkpoint(path):
        path = _only_artifact(path, tuple(suffixes))
    if path.suffix in suffixes:
        opened = open_artifact(path, trust=trust)
        return ModelSource(path, opened.target, opened.contract, opened, trust=trust)
    if path.suffix == ".bin" and path.with_suffix(".xml").is_file():
        raise WeightsError(f"{path} holds only the weights; give {path.with_suffix('.xml')}")
    if (
        path.is_file()
        and path.suffix not in (*RECORDS, *PICKLES)
        and not is_foreign_checkpoint(path)
    ):
        known = ", ".join((*RECORDS, *suffixes))
        raise WeightsError(
            f"{path} is no model. Give a run folder or a file that ends in one of: {known}"
        )
    return _from_checkpoint(path, torch.device(device))


def _only_artifact(folder: Path, suffixes: tuple[str, ...]) -> Path:
    found = sorted(file for file in folder.iterdir() if file.suffix in suffixes)
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(file.name for file in found)
        raise WeightsError(f"{folder} holds several exported models ({names}); give one of them")
    raise WeightsError(
        f"{folder} holds no best.json or last.json and no exported model; is it the folder of a "
        "run? Train one with: vitascope train DATA --out RUN"
    )


def _from_checkpoint(path: Path, device: torch.device) -> ModelSource:
    model, checkpoint = load_model(path)
    contract = checkpoint.contract
    model.requires_grad_(False).to(device)
    forward = _Network(model, contract.clip.pathways, device)
    return ModelSource(path, "checkpoint", contract, forward, model)
