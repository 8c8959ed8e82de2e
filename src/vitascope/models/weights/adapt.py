"""Values for a model of another form: other rank, other length, joint or separate tables.

The rules are those that the originals apply to their own files. Where they differ between
models of convolutions and transformers, each has its own.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional

Named = dict[str, Tensor]

_QKV = re.compile(r"^(.*\.attn\.)qkv\.(weight|bias)$")
_SEPARATE = re.compile(r"^(.*\.attn\.)q\.(weight|bias)$")
_TWIN = re.compile(
    r"^(.*\.attn\.)(?:_attention_pool_([qkv])\.(pool|norm)|(pool|norm)_([qkv]))\.(.+)$"
)
_POSITIONS = "cls_positional_encoding."


def restructure(given: Named, own: Mapping[str, Tensor]) -> tuple[Named, dict[str, str]]:
    """Splits or joins entries that a model keeps in another form than the file.

    Args:
        given: entries of the file under our names.
        own: entries of the model.

    Returns:
        The entries under names of the model, and for each that was made what was done.
    """
    result: Named = {}
    how: dict[str, str] = {}
    for name, value in given.items():
        parts = None if name in own else _parts(name, value, own)
        for new, part, what in parts or [(name, value, "")]:
            result[new] = part
            if what:
                how[new] = what
    for maker in (_join_qkv, _join_positions, _add_twins):
        maker(result, own, how)
    return result, how


def _parts(
    name: str, value: Tensor, own: Mapping[str, Tensor]
) -> list[tuple[str, Tensor, str]] | None:
    """What one entry becomes in a model that keeps it in parts; None if it does not."""
    match = _QKV.match(name)
    if match and f"{match[1]}q.{match[2]}" in own and value.shape[0] % 3 == 0:
        names = [f"{match[1]}{letter}.{match[2]}" for letter in "qkv"]
        return [(n, v, "split from joint qkv") for n, v in zip(names, value.chunk(3), strict=True)]
    if name.endswith(f"{_POSITIONS}pos_embed") and value.dim() == 3:
        root = name.removesuffix("pos_embed")
        temporal = own.get(f"{root}pos_embed_temporal")
        if f"{root}pos_embed_class" in own and temporal is not None:
            what = "split from joint positions"
            return [
                (f"{root}pos_embed_class", value[:, :1], what),
                (f"{root}pos_embed_spatial", value[:, 1:], what),
                (f"{root}pos_embed_temporal", value.new_zeros(temporal.shape), what),
            ]
    match = re.match(r"^(.*)\.(running_mean|running_var|num_batches_tracked)$", name)
    if match and f"{match[1]}.split_bn.{match[2]}" in own:
        # A plain batch norm becomes one of several: each part starts from the whole's statistics.
        return [
            (f"{match[1]}.{kind}.{match[2]}", value, "shared by split batch norms")
            for kind in ("bn", "split_bn")
        ]
    return None


def _join_qkv(result: Named, own: Mapping[str, Tensor], how: dict[str, str]) -> None:
    for name in [n for n in result if n not in own]:
        match = _SEPARATE.match(name)
        if match is None or f"{match[1]}qkv.{match[2]}" not in own:
            continue
        names = [f"{match[1]}{letter}.{match[2]}" for letter in "qkv"]
        if all(n in result for n in names):
            joint = f"{match[1]}qkv.{match[2]}"
            result[joint] = torch.cat([result.pop(n) for n in names])
            how[joint] = "joined from q, k and v"


def _join_positions(result: Named, own: Mapping[str, Tensor], how: dict[str, str]) -> None:
    joint = f"{_POSITIONS}pos_embed"
    names = [f"{_POSITIONS}pos_embed_{part}" for part in ("spatial", "temporal")]
    if joint not in own or joint in result or not all(n in result for n in names):
        return
    spatial, temporal = (result.pop(n) for n in names)
    table = spatial.repeat(1, temporal.shape[1], 1)
    table = table + temporal.repeat_interleave(spatial.shape[1], dim=1)
    first = result.pop(f"{_POSITIONS}pos_embed_class", None)
    result[joint] = table if first is None else torch.cat([first, table], dim=1)
    how[joint] = "joined from separate positions"


def _add_twins(result: Named, own: Mapping[str, Tensor], how: dict[str, str]) -> None:
    """PyTorchVideo registers pooling twice, and a file may hold either name or both."""
    for name in own:
        match = None if name in result else _TWIN.match(name)
        if match is None:
            continue
        root, leaf = match[1], match[6]
        if match[2]:
            twin = f"{root}{match[3]}_{match[2]}.{leaf}"
        else:
            twin = f"{root}_attention_pool_{match[5]}.{match[4]}.{leaf}"
        if twin in result:
            result[name] = result[twin]


def is_of_images(entries: Mapping[str, Tensor]) -> bool:
    """Whether no convolution of a model sees more than one frame."""
    kernels = [value for value in entries.values() if value.dim() in (4, 5)]
    return bool(kernels) and all(k.dim() == 4 or k.shape[2] == 1 for k in kernels)


def fit_value(
    name: str, value: Tensor, own: Tensor, *, images: bool = True
) -> tuple[Tensor | None, str]:
    """Brings one entry to the shape that the model has.

    Args:
        name: our name.
        value: what the file has.
        own: what the model has.
        images: the file is of a model of images, so that its kernels of one frame stand for
            kernels of images. In a model of video they are what they are: a kernel of another
            length is another model.

    Returns:
        The value (None if no rule brings it there) and what was done ("" if nothing).
    """
    if value.shape == own.shape:
        return value, ""
    if not value.is_floating_point():
        return None, ""
    inflated = _inflated(name, value, own) if images or value.dim() == 4 else None
    if inflated is not None:
        return inflated
    if _squeezed(value) == _squeezed(own) and value.dim() > 0:
        return value.reshape(own.shape), "dimensions of 1 added or removed"
    if value.dim() == own.dim() == 1 and own.shape[0] % max(value.shape[0], 1) == 0:
        if ".split_bn." in name:
            return value.repeat(own.shape[0] // value.shape[0]), "repeated for split batch norms"
        return None, ""
    return _resampled(name, value, own)


def _squeezed(value: Tensor) -> list[int]:
    return [size for size in value.shape if size != 1]


def _inflated(name: str, value: Tensor, own: Tensor) -> tuple[Tensor, str] | None:
    """A kernel over height and width as one over time too.

    Transformers start from images with the kernel repeated as it is, convolutions with a share of
    it in each frame, so that a still image gives the same activations (arXiv:1705.07750).
    """
    if own.dim() != 5:
        return None
    flat = value.unsqueeze(2) if value.dim() == 4 else value
    if flat.dim() != 5 or flat.shape[2] != 1:
        return None
    if flat.shape[:2] != own.shape[:2] or flat.shape[3:] != own.shape[3:]:
        return None
    frames = own.shape[2]
    if frames == 1:
        return flat, "dimensions of 1 added or removed"
    repeated = flat.repeat(1, 1, frames, 1, 1)
    if "patch_embed." in name or ".attn." in name:
        return repeated, f"repeated over {frames} frames"
    return repeated / frames, f"inflated to {frames} frames, divided by {frames}"


def _resampled(name: str, value: Tensor, own: Tensor) -> tuple[Tensor | None, str]:
    leaf = name.rpartition(".")[2]
    if leaf.startswith("rel_pos_") and value.dim() == own.dim() == 2:
        if value.shape[1] == own.shape[1]:
            table = _linear(value[None], own.shape[0])[0]
            return table, f"resampled from {value.shape[0]} to {own.shape[0]} positions"
    if value.dim() != 3 or own.dim() != 3 or value.shape[2] != own.shape[2]:
        return None, ""
    said = f"resampled from {value.shape[1]} to {own.shape[1]} positions"
    if leaf == "pos_embed_temporal":
        return _linear(value, own.shape[1]), said
    if leaf == "pos_embed_spatial":
        old, new = math.isqrt(value.shape[1]), math.isqrt(own.shape[1])
        if old * old == value.shape[1] and new * new == own.shape[1]:
            image = value.reshape(1, old, old, -1).permute(0, 3, 1, 2)
            image = functional.interpolate(image, (new, new), mode="bicubic", align_corners=False)
            return image.permute(0, 2, 3, 1).reshape(own.shape), said
    return None, ""


def _linear(table: Tensor, count: int) -> Tensor:
    """Resamples a table B N C to `count` positions."""
    curve = table.transpose(1, 2)
    return functional.interpolate(curve, count, mode="linear", align_corners=False).transpose(1, 2)
