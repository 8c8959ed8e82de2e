"""PySlowFast's own names of ResNets, SlowFast, X3D, EfficientX3D and the transformers.

The rows for convolutional models depend on where a model keeps its stages: those with a
pooling layer after the first stage count one higher, and detection nets sit below "model.".
"""

from __future__ import annotations

import re
from collections.abc import Collection

from vitascope.models.weights.tables import NameTable, Pair

NAME = "pyslowfast"
# Self-supervised training keeps the model below these names.
OUTER = ("backbone.", "backbone_hist.")

_RESIDUAL: tuple[Pair, ...] = (
    (".branch1_conv.", ".branch1."),
    (".branch1_norm.", ".branch1_bn."),
    (".branch2.conv_{x}.", ".branch2.{x}."),
    (".branch2.norm_{x}.", ".branch2.{x}_bn."),
)
# X3D counts the norm and the squeeze-excitation after it as one. Its stem's `conv_t` is the
# spatial convolution, whatever the name says.
_X3D_RESIDUAL: tuple[Pair, ...] = (
    (".branch2.norm_b.0.", ".branch2.b_bn."),
    (".branch2.norm_b.1.block.0.", ".branch2.se.fc1."),
    (".branch2.norm_b.1.block.2.", ".branch2.se.fc2."),
    *_RESIDUAL,
)
_X3D_STEM: tuple[Pair, ...] = (
    ("^blocks.0.conv.conv_t.", "^s1.pathway0_stem.conv_xy."),
    ("^blocks.0.conv.conv_xy.", "^s1.pathway0_stem.conv."),
)
_EFFICIENT = (
    (
        ("^s1.pathway0_stem_conv_xy.kernel.conv.", "^s1.pathway0_stem.conv_xy."),
        ("^s1.pathway0_stem_conv.kernel.conv.", "^s1.pathway0_stem.conv."),
        ("^s1.pathway0_stem_conv.kernel.bn.", "^s1.pathway0_stem.bn."),
        ("._res_proj.kernel.conv.", ".branch1."),
        ("._res_proj.kernel.bn.", ".branch1_bn."),
        (".layers.conv_0.kernel.conv.", ".branch2.a."),
        (".layers.conv_0.kernel.bn.", ".branch2.a_bn."),
        (".layers.conv_1.kernel.conv.", ".branch2.b."),
        (".layers.conv_1.kernel.bn.", ".branch2.b_bn."),
        (".layers.conv_2.kernel.conv.", ".branch2.c."),
        (".layers.conv_2.kernel.bn.", ".branch2.c_bn."),
        (".layers.se.se.block.0.", ".branch2.se.fc1."),
        (".layers.se.se.block.2.", ".branch2.se.fc2."),
        ("^head.conv_5.kernel.conv.", "^head.conv_5."),
        ("^head.conv_5.kernel.bn.", "^head.conv_5_bn."),
        ("^head.lin_5.kernel.conv.", "^head.lin_5."),
        ("^projection.model.", "^head.projection."),
    ),
)
_MVIT = (
    (
        ("^patch_embed.patch_model.", "^patch_embed.proj."),
        ("^cls_positional_encoding.cls_token$", "^cls_token$"),
        ("^cls_positional_encoding.pos_embed", "^pos_embed"),
        ("^decoder_positions.pos_embed$", "^decoder_pos_embed$"),
        ("^decoder_positions.pos_embed_", "^dec_pos_embed_"),
        ("^norm_embed.", "^norm."),
        ("^head.proj.", "^head.projection."),
    ),
)
_STAGE = re.compile(r"^(?:model\.)?blocks\.(\d+)\.(?:multipathway_blocks\.\d+\.)?res_blocks\.")
_HEAD = re.compile(r"^(?:blocks\.\d+|detection_head)\.proj\.")


def pyslowfast_naming(names: Collection[str]) -> NameTable | None:
    """The table for a model.

    Args:
        names: our names of its entries.

    Returns:
        The table; None where PySlowFast has no model of this kind.
    """
    inner = [_inner(name) for name in names]
    if any(name.startswith("patch_embed.") for name in inner):
        return NameTable(_MVIT, OUTER)
    if any(name.startswith("s1.pathway0_stem_conv.") for name in inner):
        return NameTable(_EFFICIENT, OUTER)
    if any(_STAGE.match(name) for name in inner):
        return NameTable(_convolutional(inner), OUTER)
    return None


def _inner(name: str) -> str:
    return next((name[len(p) :] for p in OUTER if name.startswith(p)), name)


def _convolutional(names: list[str]) -> tuple[tuple[Pair, ...], ...]:
    root = "model." if any(name.startswith("model.blocks.") for name in names) else ""
    stages = sorted({int(match[1]) for name in names if (match := _STAGE.match(name))})
    paths = any(".multipathway_blocks." in name for name in names)
    x3d = any(name.startswith("blocks.0.conv.conv_t.") for name in names)
    places = _two_pathways(root, stages) if paths else _one_pathway(root, stages)
    head = next((match[0] for name in names if (match := _HEAD.match(name))), None)
    if x3d:
        places = _X3D_STEM + places + _x3d_head(names)
    if head is not None:
        predictors = f"^{head.removesuffix('proj.')}predictors."
        places += ((predictors, "^head.predictors."), (f"^{head}", "^head.projection."))
    return (places, _X3D_RESIDUAL if x3d else _RESIDUAL)


def _one_pathway(root: str, stages: list[int]) -> tuple[Pair, ...]:
    rows = [
        (f"^{root}blocks.0.conv.", "^s1.pathway0_stem.conv."),
        (f"^{root}blocks.0.norm.", "^s1.pathway0_stem.bn."),
    ]
    for number, stage in enumerate(stages, 2):
        place = f"^{root}blocks.{stage}"
        rows += [
            (f"{place}.res_blocks.{{i}}.", f"^s{number}.pathway0_res{{i}}."),
            (f"{place}.nonlocal_blocks.{{i}}.norm.", f"^s{number}.pathway0_nonlocal{{i}}.bn."),
            (f"{place}.nonlocal_blocks.{{i}}.", f"^s{number}.pathway0_nonlocal{{i}}."),
        ]
    return tuple(rows)


def _two_pathways(root: str, stages: list[int]) -> tuple[Pair, ...]:
    paths, fusion = "multipathway_blocks.{p}", "multipathway_fusion"
    rows = [
        (f"^{root}blocks.0.{paths}.conv.", "^s1.pathway{p}_stem.conv."),
        (f"^{root}blocks.0.{paths}.norm.", "^s1.pathway{p}_stem.bn."),
    ]
    for number, stage in enumerate((0, *stages), 1):
        place = f"^{root}blocks.{stage}"
        old = f"^s{number}.pathway{{p}}"
        rows += [
            (f"{place}.{fusion}.conv_fast_to_slow.", f"^s{number}_fuse.conv_f2s."),
            (f"{place}.{fusion}.norm.", f"^s{number}_fuse.bn."),
            (f"{place}.{paths}.res_blocks.{{i}}.", f"{old}_res{{i}}."),
            (f"{place}.{paths}.nonlocal_blocks.{{i}}.norm.", f"{old}_nonlocal{{i}}.bn."),
            (f"{place}.{paths}.nonlocal_blocks.{{i}}.", f"{old}_nonlocal{{i}}."),
        ]
    return tuple(rows)


def _x3d_head(names: list[str]) -> tuple[Pair, ...]:
    found = re.compile(r"^(blocks\.\d+\.pool)\.pre_conv\.")
    place = next((match[1] for name in names if (match := found.match(name))), None)
    if place is None:
        return ()
    return (
        (f"^{place}.pre_conv.", "^head.conv_5."),
        (f"^{place}.pre_norm.", "^head.conv_5_bn."),
        (f"^{place}.post_conv.", "^head.lin_5."),
        (f"^{place}.post_norm.", "^head.lin_5_bn."),
    )
