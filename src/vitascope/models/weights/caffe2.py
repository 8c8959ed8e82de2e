"""Names of Caffe2's blobs, as in the .pkl files of PySlowFast's zoo.

A blob is named by its place and a letter or two for its kind: "res2_0_branch2a_bn_riv" is the
running variance (the name says inverse, the values are the variance). Places translate to
PySlowFast's names, and those to ours.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

from vitascope.models.weights import pyslowfast
from vitascope.models.weights.tables import NameTable, Pair

NAME = "caffe2"

_NORM = {"weight": "s", "bias": "b", "running_mean": "rm", "running_var": "riv"}
_PLAIN = {"weight": "w", "bias": "b"}
_KIND = re.compile(r"^(.*_)(w|b|s|rm|riv)$")
# State of the training, no weights.
_IGNORED = re.compile(r"_momentum$|^lr$|^model_iter$")
# The number of the block is that of the stage's last one, and files differ in it: any will do.
_SUBSAMPLE = re.compile(r"^(t_res\d+_)\d+(_branch2c_bn_subsample_)")
_LAST = "last"


def _block(place: str, blob: str) -> tuple[Pair, ...]:
    """Rows of a residual block: (PySlowFast's place, Caffe2's)."""
    return (
        (f"{place}.branch1.", f"{blob}_branch1_"),
        (f"{place}.branch1_bn.", f"{blob}_branch1_bn_"),
        (f"{place}.branch2.se.fc{{j}}.", f"{blob}_branch2b_bn_fc{{j}}_"),
        (f"{place}.branch2.{{x}}.", f"{blob}_branch2{{x}}_"),
        (f"{place}.branch2.{{x}}_bn.", f"{blob}_branch2{{x}}_bn_"),
    )


def _nonlocal(place: str, blob: str) -> tuple[Pair, ...]:
    parts = ("theta", "phi", "g", "out")
    rows = [(f"{place}.conv_{part}.", f"{blob}_{part}_") for part in parts]
    return (*rows, (f"{place}.bn.", f"{blob}_bn_"))


# The rows describe whole places, so each is tied to start and end.
_PLACES: tuple[Pair, ...] = (
    ("s1.pathway0_stem.conv_xy.", "conv1_xy_"),
    ("s1.pathway0_stem.conv.", "conv1_"),
    ("s1.pathway0_stem.bn.", "res_conv1_bn_"),
    ("s1.pathway1_stem.conv.", "t_conv1_"),
    ("s1.pathway1_stem.bn.", "t_res_conv1_bn_"),
    ("s1_fuse.conv_f2s.", "t_pool1_subsample_"),
    ("s1_fuse.bn.", "t_pool1_subsample_bn_"),
    ("s{k}_fuse.conv_f2s.", f"t_res{{k}}_{_LAST}_branch2c_bn_subsample_"),
    ("s{k}_fuse.bn.", f"t_res{{k}}_{_LAST}_branch2c_bn_subsample_bn_"),
    *_block("s{k}.pathway0_res{i}", "res{k}_{i}"),
    *_block("s{k}.pathway1_res{i}", "t_res{k}_{i}"),
    *_nonlocal("s{k}.pathway0_nonlocal{i}", "nonlocal_conv{k}_{i}"),
    *_nonlocal("s{k}.pathway1_nonlocal{i}", "t_nonlocal_conv{k}_{i}"),
    ("head.conv_5.", "conv_5_"),
    ("head.conv_5_bn.", "conv_5_bn_"),
    ("head.lin_5.", "lin_5_"),
    ("head.lin_5_bn.", "lin_5_bn_"),
    ("head.projection.", "pred_"),
)
PLACES = NameTable((tuple((f"^{ours}$", f"^{theirs}$") for ours, theirs in _PLACES),))
_SECOND_NAMES = {"res_conv1_": "conv1_", "t_res_conv1_": "t_conv1_"}


def native_name(blob: str) -> str | None:
    """PySlowFast's name of a blob; None where it has none.

    A norm knows "s", "b", "rm" and "riv", anything else "w" and "b".
    """
    match = _KIND.match(blob)
    if match is None:
        return None
    place = _SUBSAMPLE.sub(rf"\g<1>{_LAST}\g<2>", match[1])
    place = _SECOND_NAMES.get(place, place)
    native = PLACES.to_ours(place)
    if native == place:
        return None
    kinds = _NORM if native.endswith("bn.") else _PLAIN
    leaf = next((leaf for leaf, kind in kinds.items() if kind == match[2]), None)
    return None if leaf is None else native + leaf


def blob_name(native: str, last: dict[int, int]) -> str | None:
    """Caffe2's name of an entry; None where Caffe2 has no such blob.

    Args:
        native: PySlowFast's name.
        last: number of the last block of the fast pathway for each stage.
    """
    place, dot, leaf = native.rpartition(".")
    blob = PLACES.to_theirs(place + dot)
    kinds = _NORM if place.endswith("bn") else _PLAIN
    if blob == place + dot or leaf not in kinds:
        return None
    stage = re.match(rf"t_res(\d+)_{_LAST}_", blob)
    if stage:
        blob = blob.replace(_LAST, str(last.get(int(stage[1]), 0)), 1)
    return blob + kinds[leaf]


def is_training_state(name: str) -> bool:
    """Whether an entry is state of the training rather than a weight."""
    return bool(_IGNORED.search(name))


@dataclass(frozen=True)
class _Caffe2:
    native: NameTable
    last: dict[int, int]

    def to_ours(self, name: str) -> str:
        native = native_name(name)
        return name if native is None else self.native.to_ours(native)

    def to_theirs(self, name: str) -> str:
        # Counters of batch norms have no blob: the empty name leaves an entry out.
        return blob_name(self.native.to_theirs(name), self.last) or ""


def caffe2_naming(names: Collection[str]) -> _Caffe2 | None:
    """The table for a model; None where PySlowFast has none of this kind."""
    native = pyslowfast.pyslowfast_naming(names)
    if native is None:
        return None
    last: dict[int, int] = {}
    for name in names:
        match = re.match(r"s(\d+)\.pathway1_res(\d+)\.", native.to_theirs(name))
        if match:
            stage = int(match[1])
            last[stage] = max(last.get(stage, 0), int(match[2]))
    return _Caffe2(native, last)
