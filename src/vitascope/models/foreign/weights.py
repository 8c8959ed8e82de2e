"""Names of Transformers and timm, whose models keep them below a prefix of ours.

A file of Transformers does not always have the names of its model: some models were renamed,
and their files are written and read under the old names.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from torch import nn

from vitascope.models.foreign.base import ForeignModel
from vitascope.models.weights.tables import NameTable, Pair

TRANSFORMERS, TIMM = "transformers", "timm"

_VIVIT: tuple[Pair, ...] = (
    (".layers.{i}.attention.q_proj.", ".encoder.layer.{i}.attention.attention.query."),
    (".layers.{i}.attention.k_proj.", ".encoder.layer.{i}.attention.attention.key."),
    (".layers.{i}.attention.v_proj.", ".encoder.layer.{i}.attention.attention.value."),
    (".layers.{i}.attention.o_proj.", ".encoder.layer.{i}.attention.output.dense."),
    (".layers.{i}.mlp.fc1.", ".encoder.layer.{i}.intermediate.dense."),
    (".layers.{i}.mlp.fc2.", ".encoder.layer.{i}.output.dense."),
    (".layers.{i}.", ".encoder.layer.{i}."),
)
_VIDEOMAE: tuple[Pair, ...] = (
    (".attention.attention.query.bias$", ".attention.attention.q_bias$"),
    (".attention.attention.value.bias$", ".attention.attention.v_bias$"),
)
_HEADS = ("classifier.", "fc_norm.", "pooler.")
_FAMILIES: dict[str, tuple[Pair, ...]] = {
    "videomae": _VIDEOMAE, "timesformer": (), "vivit": _VIVIT, "vjepa2": (),
}  # fmt: skip
# Setup for the pre-training alone.
_PRETRAINING = re.compile(
    r"^((vjepa2\.)?predictor|decoder|encoder_to_decoder|mask_token|position_embeddings)(\.|$)"
)


def transformers(model: nn.Module) -> NameTable | None:
    """The table for a model of Transformers; None for others."""
    if not isinstance(model, ForeignModel) or model.library != TRANSFORMERS:
        return None
    family = next(f for f in _FAMILIES if any(n.startswith(f"network.{f}.") for n in _names(model)))
    rows = [(f"^network.{head}", f"^{head}") for head in (f"{family}.", *_HEADS)]
    # Encoders are also published alone, without the name of the family in front.
    return NameTable(((*rows, (f"^network.{family}.", "^")), _FAMILIES[family]))


def is_for_pretraining(name: str) -> bool:
    """Whether an entry of a file of Transformers serves its pre-training alone."""
    return bool(_PRETRAINING.match(name))


@dataclass(frozen=True)
class _Timm:
    """Encoder and classifying layer stand side by side here, and one in the other in timm."""

    classifier: str

    def to_ours(self, name: str) -> str:
        place, _, leaf = name.rpartition(".")
        return f"head.{leaf}" if place == self.classifier else f"encoder.{name}"

    def to_theirs(self, name: str) -> str:
        first, _, rest = name.partition(".")
        return f"{self.classifier}.{rest}" if first == "head" else rest


def timm(model: nn.Module) -> _Timm | None:
    """The table for an encoder of timm; None for others."""
    if not isinstance(model, ForeignModel) or model.library != TIMM:
        return None
    return _Timm(model.classifier)


def _names(model: nn.Module) -> list[str]:
    return [name for name, _ in model.named_parameters()]
