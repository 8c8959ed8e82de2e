"""Names of image ResNets as torchvision has them; timm uses the same.

Their two-dimensional weights become models of video by inflation.
"""

from __future__ import annotations

from collections.abc import Collection

from vitascope.models.weights.pyslowfast import pyslowfast_naming as _native
from vitascope.models.weights.tables import NameTable, Pair

NAME = "torchvision"


def _stage(number: int, stage: int) -> tuple[Pair, ...]:
    ours, theirs = f"^blocks.{stage}.res_blocks.{{i}}.", f"^layer{number}.{{i}}."
    rows: list[Pair] = [
        (f"{ours}branch1_conv.", f"{theirs}downsample.0."),
        (f"{ours}branch1_norm.", f"{theirs}downsample.1."),
    ]
    for index, letter in enumerate("abc", 1):
        rows += [
            (f"{ours}branch2.conv_{letter}.", f"{theirs}conv{index}."),
            (f"{ours}branch2.norm_{letter}.", f"{theirs}bn{index}."),
        ]
    return tuple(rows)


def torchvision_naming(names: Collection[str]) -> NameTable | None:
    """The table for a model of one pathway with bottleneck blocks; None for others."""
    if "blocks.0.conv.weight" not in names or _native(names) is None:
        return None
    blocks = sorted({int(n.split(".")[1]) for n in names if ".res_blocks." in n})
    head = next((n for n in names if n.endswith(".proj.weight")), "")
    rows: list[Pair] = [("^blocks.0.conv.", "^conv1."), ("^blocks.0.norm.", "^bn1.")]
    for number, stage in enumerate(blocks, 1):
        rows += _stage(number, stage)
    if head:
        rows.append((f"^{head.removesuffix('weight')}", "^fc."))
    return NameTable((tuple(rows),))
