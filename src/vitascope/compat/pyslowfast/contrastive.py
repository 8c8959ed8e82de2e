"""PySlowFast's ContrastiveModel: a backbone of its zoo below a model of `vitascope.ssl`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from torch import nn

from vitascope.compat.pyslowfast.mvit import build_mvit
from vitascope.compat.pyslowfast.parts import Keys, choice_of, refuse
from vitascope.compat.pyslowfast.resnet import build_resnet, build_slowfast
from vitascope.compat.pyslowfast.x3d import build_x3d
from vitascope.errors import ConfigError
from vitascope.layers.batch_norm import NaiveSyncBatchNorm1d
from vitascope.ssl.contrastive import ContrastiveModel, MemoryModel, SimCLRModel
from vitascope.ssl.moco import MoCo, MomentumBYOL
from vitascope.ssl.projection import NormFactory, ProjectionMLP, create_contrastive_head
from vitascope.ssl.swav import SwAV


def build_contrastive(keys: Keys) -> ContrastiveModel:
    """PySlowFast's ContrastiveModel, as `CONTRASTIVE.TYPE` says, with the backbone of `MODEL.ARCH`.

    Raises:
        ConfigError: keys that no such model obeys.
    """
    if keys["MODEL.NUM_CLASSES"] != keys["CONTRASTIVE.DIM"]:
        raise ConfigError(
            f"MODEL.NUM_CLASSES = {keys['MODEL.NUM_CLASSES']} and CONTRASTIVE.DIM = "
            f"{keys['CONTRASTIVE.DIM']}: both are the width of the projections and must be equal"
        )
    learner = choice_of(keys, "CONTRASTIVE.TYPE", _LEARNERS)
    network: ContrastiveModel = learner(choice_of(keys, "MODEL.ARCH", _BACKBONES)(keys), keys)
    return network


def _resnet(keys: Keys) -> nn.Module:
    return _projecting(build_resnet(keys, head=_head(keys)))


def _slowfast(keys: Keys) -> nn.Module:
    return _projecting(build_slowfast(keys, head=_head(keys)))


def _plain(build: Callable[[Keys], nn.Module], keys: Keys) -> nn.Module:
    """A backbone whose head projects by one linear layer."""
    name = keys["MODEL.ARCH"]
    alone = {"CONTRASTIVE.NUM_MLP_LAYERS": 1, "CONTRASTIVE.PREDICTOR_DEPTHS": []}
    refuse(keys, alone, f"a ContrastiveModel with MODEL.ARCH {name}")
    return build(keys)


_BACKBONES: dict[str, Callable[[Keys], nn.Module]] = {
    **dict.fromkeys(("slow", "c2d", "i3d", "slow_c2d", "slow_i3d"), _resnet),
    "slowfast": _slowfast,
    "x3d": partial(_plain, build_x3d),
    "mvit": partial(_plain, build_mvit),
}


def _norm(keys: Keys) -> NormFactory | None:
    """The norm between the layers of projections and predictors."""
    if not keys["CONTRASTIVE.BN_MLP"]:
        return None
    shared, everywhere = keys["CONTRASTIVE.BN_SYNC_MLP"], keys["BN.GLOBAL_SYNC"]
    if not shared or (keys["BN.NUM_SYNC_DEVICES"] <= 1 and not everywhere):
        return nn.BatchNorm1d
    devices = None if everywhere else keys["BN.NUM_SYNC_DEVICES"]
    return lambda width: NaiveSyncBatchNorm1d(devices, everywhere, num_features=width)


def _head(keys: Keys) -> Callable[..., nn.Module]:
    """Builder of a projecting head; it averages over positions whatever its caller says."""

    def build(*, output_with_global_average: bool = True, **given: Any) -> nn.Module:
        return create_contrastive_head(
            mlp_dim=keys["CONTRASTIVE.MLP_DIM"],
            num_layers=keys["CONTRASTIVE.NUM_MLP_LAYERS"],
            norm=_norm(keys),
            predictor_depths=keys["CONTRASTIVE.PREDICTOR_DEPTHS"],
            **given,
        )

    return build


def _projecting(model: nn.Module) -> nn.Module:
    """Gives the layers of projections their start values."""
    for module in model.modules():
        if isinstance(module, ProjectionMLP):
            for layer in module.modules():
                if isinstance(layer, nn.Linear):
                    nn.init.kaiming_uniform_(layer.weight, a=1)
    return model


def _shared(keys: Keys) -> dict[str, Any]:
    return {
        "dim": keys["CONTRASTIVE.DIM"],
        "length": keys["CONTRASTIVE.LENGTH"] if keys["CONTRASTIVE.KNN_ON"] else 0,
        "temperature": keys["CONTRASTIVE.T"],
    }


def _queue(keys: Keys) -> dict[str, Any]:
    return {
        **_shared(keys),
        "queue_len": keys["CONTRASTIVE.QUEUE_LEN"],
        "momentum": keys["CONTRASTIVE.MOMENTUM"],
    }


def _memory(backbone: nn.Module, keys: Keys) -> ContrastiveModel:
    moments = choice_of(keys, "CONTRASTIVE.MEM_TYPE", {"1d": None, "2d": 1})
    return MemoryModel(
        backbone,
        **{**_shared(keys), "length": keys["CONTRASTIVE.LENGTH"]},
        negatives=keys["CONTRASTIVE.QUEUE_LEN"],
        momentum=keys["CONTRASTIVE.MOMENTUM"],
        duration=moments,
        interpolate=keys["CONTRASTIVE.INTERP_MEMORY"],
        keep_nearest=keys["CONTRASTIVE.KNN_ON"],
    )


def _moco(backbone: nn.Module, keys: Keys) -> ContrastiveModel:
    synchronised = "sync" in keys["BN.NORM_TYPE"]
    return MoCo(
        backbone,
        **_queue(keys),
        symmetric=keys["CONTRASTIVE.SEQUENTIAL"],
        multi_view_queue=keys["CONTRASTIVE.MOCO_MULTI_VIEW_QUEUE"],
        # Norms over all devices give nothing away, so nothing need be shuffled.
        shuffle=not (synchronised and keys["BN.NUM_SYNC_DEVICES"] == keys["NUM_GPUS"]),
    )


def _byol(backbone: nn.Module, keys: Keys) -> ContrastiveModel:
    return MomentumBYOL(backbone, **_queue(keys))


def _simclr(backbone: nn.Module, keys: Keys) -> ContrastiveModel:
    return SimCLRModel(backbone, **_shared(keys))


def _swav(backbone: nn.Module, keys: Keys) -> ContrastiveModel:
    return SwAV(backbone, **_shared(keys), queue_len=keys["CONTRASTIVE.SWAV_QEUE_LEN"])


_LEARNERS: dict[str, Callable[[nn.Module, Keys], ContrastiveModel]] = {
    "byol": _byol,
    "mem": _memory,
    "moco": _moco,
    "simclr": _simclr,
    "swav": _swav,
}
