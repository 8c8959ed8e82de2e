"""From any dialect to our names and back."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from vitascope.errors import WeightsError
from vitascope.models.base import VideoModel
from vitascope.models.weights.adapt import fit_value, is_of_images, restructure
from vitascope.models.weights.containers import prefixes, split_tensors, unwrap
from vitascope.models.weights.dialects import DIALECTS, Dialect
from vitascope.models.weights.report import ConversionReport
from vitascope.models.weights.tables import Naming

_COUNTER = ".num_batches_tracked"
# What a model for images cannot have.
_ONLY_IN_VIDEO = re.compile(r"(\.rel_pos_t|cls_token|pos_embed_temporal)$")


@dataclass(frozen=True)
class _Reading:
    """One way to understand the names of a file."""

    dialect: Dialect
    naming: Naming
    cut: str
    root: str
    score: int

    def rename(self, name: str) -> str | None:
        if not name.startswith(self.cut):
            return None
        return self.root + self.naming.to_ours(name[len(self.cut) :])


def convert_state_dict(
    state_dict: Mapping[str, Any], model: nn.Module, *, what: str = "the checkpoint"
) -> tuple[dict[str, Tensor], ConversionReport]:
    """Translates the entries of a checkpoint to our names for a model.

    The dialect is recognized by the names: PyTorchVideo, PySlowFast (its own models and those
    wrapped in "model."), Caffe2 blobs, image ResNets of torchvision or timm, video classifiers of
    Transformers and encoders of timm for a model of theirs, each bare, inside a
    container ("model_state", "state_dict", "blobs", ...) or behind a prefix ("module."). Weights
    of images are inflated to video, position tables resampled, joint qkv split.

    Args:
        state_dict: tensors or arrays by name, or what a checkpoint file holds.
        model: the model; it is not changed.
        what: how a message calls the checkpoint.

    Returns:
        The entries that fit, under our names, and a report of all others. Entries that the
        dialect cannot have (counters of batch norms in Caffe2 files) have the model's values,
        so that a report with `fits` means that strict loading works.

    Raises:
        WeightsError: there are no named tensors, or not one of them belongs to the model.
    """
    entries, container = unwrap(state_dict, what)
    tensors, ignored = split_tensors(entries)
    own = dict(model.state_dict())
    reading = _recognize([*tensors], model, what)
    named: dict[str, Tensor] = {}
    theirs: dict[str, str] = {}
    for name, value in tensors.items():
        ours = reading.rename(name)
        if ours is None or reading.dialect.ignored(name.removeprefix(reading.cut)):
            ignored.append(name)
        else:
            named[ours], theirs[ours] = value, name
    made, how = restructure(named, own)
    result: dict[str, Tensor] = {}
    other_shape = {}
    images = is_of_images(tensors)
    for name, value in made.items():
        if name not in own:
            continue
        fitted, done = fit_value(name, value, own[name], images=images)
        if fitted is None:
            other_shape[name] = (tuple(value.shape), tuple(own[name].shape))
            continue
        result[name] = fitted
        if done:
            how[name] = f"{how[name]}, {done}" if name in how else done
    kept = _cannot_have(own, made, named)
    result.update({name: own[name].clone() for name in kept})
    report = ConversionReport(
        dialect=reading.dialect.name,
        container=container,
        prefix=reading.cut,
        renamed=tuple((t, o) for o, t in theirs.items() if o in own and o != t),
        changed={name: what for name, what in how.items() if name in result},
        kept=tuple(kept),
        ignored=tuple(ignored),
        missing=tuple(n for n in own if n not in result and n not in other_shape),
        unexpected=tuple(theirs.get(n, n) for n in made if n not in own),
        other_shape=other_shape,
        head=model.head_entries() if isinstance(model, VideoModel) else (),
        entries=len(own),
    )
    return {name: result[name] for name in own if name in result}, report


def _cannot_have(
    own: Mapping[str, Tensor], made: Mapping[str, Tensor], named: Mapping[str, Tensor]
) -> list[str]:
    """Entries of the model that are rightly absent from the file."""
    absent = [name for name in own if name not in made]
    kept = []
    if not any(name.endswith(_COUNTER) for name in made):
        kept += [name for name in absent if name.endswith(_COUNTER)]
    patch = [n for n in made if n.endswith("patch_embed.patch_model.weight")]
    if any(made[n].dim() == 4 and own[n].dim() == 5 for n in patch if n in own):
        kept += [name for name in absent if _ONLY_IN_VIDEO.search(name)]
    return kept


def _recognize(names: list[str], model: nn.Module, what: str) -> _Reading:
    """The reading under which most names are names of the network."""
    own = [*model.state_dict()]
    wanted = frozenset(own)
    best: _Reading | None = None
    # A model may itself wrap the one that was saved, as detection nets do.
    first = Counter(name.partition(".")[0] for name in own).most_common(1)[0][0]
    roots = ("", f"{first}.")
    tables = [(dialect, dialect.table(model)) for dialect in DIALECTS.values()]
    for root in roots:
        for cut in prefixes(names):
            inner = [name[len(cut) :] for name in names if name.startswith(cut)]
            for dialect, naming in tables:
                if naming is None:
                    continue
                translated = {naming.to_ours(name) for name in inner}
                score = sum(root + name in wanted for name in translated)
                if best is None or score > best.score:
                    best = _Reading(dialect, naming, cut, root, score)
        if best is not None and best.score > 0.9 * len(names):
            break  # all is understood already
    if best is None or best.score == 0:
        shown = ", ".join(names[:3]) or "none"
        raise WeightsError(
            f"{what} is no checkpoint of {type(model).__name__}: in no known dialect "
            f"({', '.join(DIALECTS)}) is one of its {len(names)} entries an entry of this model "
            f"(the first: {shown}). Choose the model it was made for."
        )
    return best


def export_state_dict(
    state_dict: Mapping[str, Tensor], model: nn.Module, dialect: str
) -> dict[str, Tensor]:
    """Translates a model's own entries to the names of a dialect.

    Args:
        state_dict: entries under our names, as `model.state_dict()` gives them.
        model: the model.
        dialect: key of the dialect.

    Returns:
        The entries under the dialect's names; `convert_state_dict` gives back the same values.

    Raises:
        UnknownNameError: no such dialect.
        WeightsError: the dialect has no model of this kind, or no name for an entry.
    """
    own = model.state_dict(keep_vars=True)
    known = DIALECTS[dialect]
    naming = known.table(model)
    if naming is None:
        raise WeightsError(f"{dialect} has no model like {type(model).__name__}")
    result: dict[str, Tensor] = {}
    seen: set[int] = set()
    source = dict(state_dict) if known.twins else _joined(state_dict)
    for name, value in source.items():
        entry = own.get(name)
        if entry is not None and not known.twins:
            if id(entry) in seen:
                continue
            seen.add(id(entry))
        theirs = naming.to_theirs(name)
        if not theirs:
            if name.endswith(_COUNTER):
                continue
            raise WeightsError(f"{dialect} has no name for {name}")
        result[theirs] = value
    _require_both_ways(source, result, naming, dialect)
    return result


def _joined(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The form in which PySlowFast keeps entries: q, k and v joint, unless reversible."""
    result: dict[str, Tensor] = {}
    for name, value in state_dict.items():
        match = re.match(r"^(blocks\.\d+\.attn\.)([qkv])\.(weight|bias)$", name)
        if match is None:
            result[name] = value
        elif match[2] == "q":
            parts = [state_dict[f"{match[1]}{letter}.{match[3]}"] for letter in "qkv"]
            result[f"{match[1]}qkv.{match[3]}"] = torch.cat(parts)
    root = "cls_positional_encoding.pos_embed"
    temporal = result.get(f"{root}_temporal")
    image = temporal is not None and temporal.shape[1] == 1 and not bool(temporal.any())
    if image and f"{root}_class" in result:  # PySlowFast's model of images has one table
        parts = [result.pop(f"{root}_{part}") for part in ("class", "spatial", "temporal")]
        result[root] = torch.cat(parts[:2], 1)
    return result


def _require_both_ways(
    source: Collection[str], result: Collection[str], naming: Naming, dialect: str
) -> None:
    """A name that does not lead back would make a file that nobody can read."""
    for name in result:
        if naming.to_ours(name) not in source:
            raise WeightsError(f"{dialect} has no name for {naming.to_ours(name)} of this model")
