"""What PySlowFast's convolutional models share: kernels, norms, lists for pathways, heads."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from torch import nn

from vitascope.errors import ConfigError
from vitascope.layers.batch_norm import ModuleFactory, NaiveSyncBatchNorm3d, SubBatchNorm3d
from vitascope.models.base import Triple
from vitascope.models.head import create_res_basic_head
from vitascope.models.weight_init import init_net_weights

Keys = Mapping[str, Any]

# MODEL.ARCH -> sizes in time of stem and stages, one list for each pathway. The blocks of a stage
# take the sizes of a list in turn.
KERNELS: dict[str, tuple[tuple[tuple[int, ...], ...], ...]] = {
    "2d": (((1,), (1,), (1,), (1,), (1,)),),
    "c2d": (((1,), (1,), (1,), (1,), (1,)),),
    "slow_c2d": (((1,), (1,), (1,), (1,), (1,)),),
    "i3d": (((5,), (3,), (3, 1), (3, 1), (1, 3)),),
    "slow_i3d": (((5,), (3,), (3, 1), (3, 1), (1, 3)),),
    "slow": (((1,), (1,), (1,), (3,), (3,)),),
    "slowfast": (((1,), (1,), (1,), (3,), (3,)), ((5,), (3,), (3,), (3,), (3,))),
    "x3d": (((5,), (3,), (3,), (3,), (3,)),),
}
# Those that halve the frames after the first stage.
POOLED = ("c2d", "i3d")
# RESNET.DEPTH -> blocks of each stage
DEPTHS = {18: (2, 2, 2, 2), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}
_ACTIVATIONS: dict[str, ModuleFactory | None] = {
    "softmax": nn.Softmax,
    "sigmoid": nn.Sigmoid,
    "none": None,
}


def choice_of(keys: Keys, name: str, table: Mapping[Any, Any]) -> Any:
    """The entry of `table` that a key names.

    Raises:
        ConfigError: a value that is not in the table.
    """
    value = keys[name]
    if value not in table:
        raise ConfigError(f"{name} = {value!r}; legal values: {', '.join(sorted(map(str, table)))}")
    return table[value]


def head_activation(keys: Keys) -> ModuleFactory | None:
    """Class of the head's activation that `MODEL.HEAD_ACT` names; None for none."""
    activation: ModuleFactory | None = choice_of(keys, "MODEL.HEAD_ACT", _ACTIVATIONS)
    return activation


def refuse(keys: Keys, allowed: Mapping[str, Any], network: str) -> None:
    """Raises `ConfigError` if a key has another value than the one that the model obeys.

    PySlowFast builds such a model and ignores the key; weights of the model that was meant
    would then be loaded into another one.
    """
    for name, value in allowed.items():
        if _plain(keys[name]) != _plain(value):
            raise ConfigError(
                f"{name} = {keys[name]!r} has no effect on {network}, which would be another "
                f"model than the one asked for; set it to {value!r} or choose another "
                f"MODEL.MODEL_NAME"
            )


def _plain(value: Any) -> Any:
    return [_plain(v) for v in value] if isinstance(value, list | tuple) else value


def refuse_nonlocal(keys: Keys, network: str) -> None:
    """Raises `ConfigError` where blocks are asked for that a model does not have."""
    if any(place for row in keys["NONLOCAL.LOCATION"] for place in row):
        raise ConfigError(
            f"NONLOCAL.LOCATION = {keys['NONLOCAL.LOCATION']!r} has no effect on {network}, which "
            f"has no non-local blocks; take ResNet or SlowFast as MODEL.MODEL_NAME"
        )


def norm_class(keys: Keys) -> ModuleFactory:
    """The norm that `BN.NORM_TYPE` names, with its settings.

    Raises:
        ConfigError: another name.
    """
    everywhere = keys["BN.GLOBAL_SYNC"]
    devices = None if everywhere else keys["BN.NUM_SYNC_DEVICES"]
    table: dict[str, ModuleFactory] = {
        "batchnorm": nn.BatchNorm3d,
        "sync_batchnorm_apex": nn.BatchNorm3d,
        "sub_batchnorm": partial(SubBatchNorm3d, keys["BN.NUM_SPLITS"]),
        "sync_batchnorm": partial(
            NaiveSyncBatchNorm3d, num_sync_devices=devices, global_sync=everywhere
        ),
    }
    found: ModuleFactory = choice_of(keys, "BN.NORM_TYPE", table)
    return found


def rows(keys: Keys, name: str, pathways: int) -> list[list[Any]]:
    """A key with a list for each stage and in it an entry for each pathway, by pathway.

    A list of one entry stands for all pathways.

    Raises:
        ConfigError: not four lists, or one of another length.
    """
    stages = keys[name]
    if len(stages) != 4 or any(len(row) not in (1, pathways) for row in stages):
        raise ConfigError(
            f"{name} = {stages!r}: it takes 4 lists, one for each stage, each with an entry for "
            f"each of the {pathways} pathways"
        )
    return [[row[p] if len(row) > 1 else row[0] for row in stages] for p in range(pathways)]


def channels(keys: Keys, pathways: int) -> tuple[int, ...]:
    """Channels of the clip of each pathway.

    Raises:
        ConfigError: fewer numbers than pathways.
    """
    given = keys["DATA.INPUT_CHANNEL_NUM"]
    if len(given) not in (1, 2) or (pathways == 1 and len(set(given)) > 1):
        raise ConfigError(
            f"DATA.INPUT_CHANNEL_NUM = {given!r}: it takes a number for each of the {pathways} "
            f"pathways"
        )
    return tuple(given) if len(given) == pathways else (given[0],) * pathways


def temporal_kernels(keys: Keys, depths: Sequence[int], pathway: int, *, whole: bool) -> list[Any]:
    """Sizes (T, 1, 1) of the first convolutions of each block of each stage.

    Args:
        keys: all keys.
        depths: blocks of each stage.
        pathway: index of the pathway.
        whole: leave `RESNET.NUM_BLOCK_TEMP_KERNEL` aside: all blocks see several frames.

    Raises:
        ConfigError: more blocks that see several frames than blocks.
    """
    basis = KERNELS[keys["MODEL.ARCH"]]
    counts = list(depths)
    if not whole:
        counts = rows(keys, "RESNET.NUM_BLOCK_TEMP_KERNEL", len(basis))[pathway]
    if any(n > depth for n, depth in zip(counts, depths, strict=True)):
        raise ConfigError(
            f"RESNET.NUM_BLOCK_TEMP_KERNEL = {keys['RESNET.NUM_BLOCK_TEMP_KERNEL']!r}, but the "
            f"stages of RESNET.DEPTH = {keys['RESNET.DEPTH']} have {tuple(depths)} blocks"
        )
    stages = []
    for sizes, count, depth in zip(basis[pathway][1:], counts, depths, strict=True):
        times = [sizes[i % len(sizes)] if i < count else 1 for i in range(depth)]
        stages.append(tuple((time, 1, 1) for time in times))
    return stages


def head_window(keys: Keys, frames: int, divisor: int = 32) -> Triple:
    """Features (T, H, W) that the head averages: those of a training clip.

    Raises:
        ConfigError: a clip so short or small that nothing is left.
    """
    side = keys["DATA.TRAIN_CROP_SIZE"] // divisor
    if frames < 1 or side < 1:
        raise ConfigError(
            f"DATA.NUM_FRAMES = {keys['DATA.NUM_FRAMES']} with DATA.TRAIN_CROP_SIZE = "
            f"{keys['DATA.TRAIN_CROP_SIZE']}: nothing is left of such a clip before the head"
        )
    return (frames, side, side)


def classifier(keys: Keys) -> Callable[..., nn.Module]:
    """Builder of a classifying head that does in training what PySlowFast's does."""
    detach = keys["MODEL.DETACH_FINAL_FC"]
    return partial(create_res_basic_head, when="evaluation", detach=detach)


def start(model: nn.Module, keys: Keys) -> None:
    """Gives a native model its start values."""
    init_net_weights(
        model, keys["MODEL.FC_INIT_STD"], zero_final_norm=keys["RESNET.ZERO_INIT_FINAL_BN"]
    )
    if keys["RESNET.ZERO_INIT_FINAL_CONV"]:
        for name, module in model.named_modules():
            if name.endswith("branch2.conv_c") and isinstance(module, nn.Conv3d):
                nn.init.zeros_(module.weight)
