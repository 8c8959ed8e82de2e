"""What every exported artifact has in common: a contract, named inputs, and a way to run it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from vitascope import __version__
from vitascope.errors import VitascopeError, WeightsError
from vitascope.files import parse_json
from vitascope.spec import Contract, to_json
from vitascope.text import format_json
from vitascope.transforms.pathways import pack_pathways

KEY = "vitascope"
"""Name under which every format stores the contract."""

Inputs = Tensor | Sequence[Tensor]
"""What enters a model: B C T H W, or one such tensor for each pathway, slowest first."""

Forward = Callable[[Inputs], Tensor]


def pathways(inputs: Inputs) -> list[Tensor]:
    """The tensors of all pathways; a single tensor counts as one."""
    return [inputs] if isinstance(inputs, Tensor) else list(inputs)


def input_names(inputs: Inputs) -> list[str]:
    """Names of an artifact's inputs: "video", or "video_0", "video_1", ... for pathways."""
    count = len(pathways(inputs))
    return ["video"] if count == 1 else [f"video_{i}" for i in range(count)]


OUTPUT_NAME = "scores"


@dataclass(frozen=True)
class Artifact:
    """An exported model that is open and can be run.

    Attributes:
        path: the file it came from.
        target: name of the export target that reads it ("onnx").
        contract: classes, clip and pixels, as stored in the file.
        forward: maps B C T H W float32 (or a list, for pathways) to scores before softmax, B N.
    """

    path: Path
    target: str
    contract: Contract
    forward: Forward

    def __repr__(self) -> str:
        return f"Artifact({str(self.path)!r}, {self.target}, {self.contract})"

    def __call__(self, inputs: Inputs) -> Tensor:
        """Runs the model; see `forward`.

        Raises:
            WeightsError: the file cannot compute what it is said to.
        """
        try:
            return self.forward(inputs)
        except Exception as error:  # each runtime has its own, and none a common base
            shapes = ", ".join("x".join(map(str, video.shape)) for video in pathways(inputs))
            lines = [line.strip() for line in str(error).splitlines() if line.strip()]
            raise WeightsError(
                f"{self.path}: cannot compute a clip of {shapes} "
                f"({(lines or [type(error).__name__])[-1]:.200}). The file is damaged, or was "
                f"exported for clips of another size"
            ) from error


class Packing(nn.Module):
    """A model of several pathways that takes one clip and packs it itself.

    Args:
        model: maps a list of one clip for each pathway to scores.
        strides: stride in time of each pathway; see `pack_pathways`.
    """

    def __init__(self, model: nn.Module, strides: Sequence[int]) -> None:
        super().__init__()
        self.model, self.strides = model, tuple(strides)

    def forward(self, video: Tensor) -> Tensor:
        """Maps B C T H W to scores B N."""
        scores: Tensor = self.model(pack_pathways(video, self.strides))
        return scores


class Flat(nn.Module):
    """A model whose pathways are separate arguments, as the file formats want them."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, *videos: Tensor) -> Tensor:
        """Runs the model on one tensor, or on the list of several."""
        scores: Tensor = self.model(videos[0] if len(videos) == 1 else list(videos))
        return scores


def contract_text(contract: Contract) -> str:
    """The contract as JSON text, with the version of vitascope that wrote it."""
    return format_json({"vitascope": __version__, **to_json(contract)})


def parse_contract(text: str | bytes | None, path: Path) -> Contract:
    """Reads what `contract_text` wrote.

    Raises:
        WeightsError: the file has no contract, or one that cannot be used.
    """
    if not text:
        raise WeightsError(
            f"{path}: no vitascope contract (class names, clip, pixels) inside, so nobody can tell "
            f"what its inputs and outputs mean. Use a file written by: vitascope export RUN"
        )
    try:
        return Contract.from_json(parse_json(text, path))
    except VitascopeError as error:
        raise WeightsError(
            f"{path}: its vitascope contract cannot be read ({error}). Export it again."
        ) from error


def unreadable(path: Path, kind: str, error: Exception) -> WeightsError:
    """The error of a file that its own runtime refuses; `kind` is the format's name."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    reason: Any = lines[-1] if lines else type(error).__name__
    return WeightsError(
        f"{path}: not a complete {kind} file ({reason}). It may be cut or of another kind; "
        f"export it again with: vitascope export RUN"
    )


def require_file(path: Path) -> None:
    """Refuses a path that is not a file with content.

    Raises:
        WeightsError: there is no such file, or it is empty.
    """
    if not path.is_file():
        raise WeightsError(f"{path}: no such file. Write one with: vitascope export RUN")
    if path.stat().st_size == 0:
        raise WeightsError(f"{path}: the file is empty. Export it again.")
