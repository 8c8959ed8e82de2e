"""What PyTorchVideo's hub modules held beside the entries: addresses, configurations, builders."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from vitascope.errors import WeightsError
from vitascope.models import hub
from vitascope.models.efficient_x3d import create_efficient_x3d
from vitascope.models.hub.rows import PTV_FILES
from vitascope.models.resnet import create_resnet
from vitascope.models.slowfast import create_slowfast
from vitascope.models.weights.load import load_published
from vitascope.spec import Weights

root_dir = PTV_FILES
kinetics_dir = f"{PTV_FILES}/kinetics"


def _paths(*names: str) -> dict[str, str]:
    cards = [getattr(hub, name) for name in names]
    return {card.name: card.weights[0].url for card in cards if card.weights}


csn_paths = _paths("csn_r101")
efficient_x3d_paths = _paths("efficient_x3d_xs", "efficient_x3d_s")
r2plus1d_paths = _paths("r2plus1d_r50")
resnet_paths = _paths("slow_r50", "slow_r50_detection", "c2d_r50", "i3d_r50")
slowfast_paths = _paths(
    "slowfast_r50", "slowfast_r50_detection", "slowfast_r101", "slowfast_16x8_r101_50_50"
)
# The address of mvit_base_16 is that of weights with 1000 classes: the card mvit_base_16.in1k.
mvit_paths = _paths("mvit_base_16x4", "mvit_base_32x3")
x3d_paths = _paths("x3d_xs", "x3d_s", "x3d_m", "x3d_l")
mvit_video_base_config = dict(hub.mvit_base_16x4.args)
mvit_video_base_32x3_config = dict(hub.mvit_base_32x3.args)
mvit_image_base_16_config = dict(hub.mvit_base_16.args)


def load_from_address(model: nn.Module, address: str | None, progress: bool = True) -> None:
    """Loads weights of PyTorchVideo into a model.

    Args:
        model: changed in place.
        address: of the file.
        progress: show a bar while it is fetched.

    Raises:
        WeightsError: no address, or weights that do not fit.
    """
    if not address:
        raise WeightsError("pretrained=True needs checkpoint_path, the address of the weights")
    load_published(model, (Weights(url=address, dialect="pytorchvideo"),), progress=progress)


def _builder(default: Callable[..., nn.Module]) -> Callable[..., nn.Module]:
    def build(
        pretrained: bool = False,
        progress: bool = True,
        checkpoint_path: str | None = "",
        model_builder: Callable[..., nn.Module] = default,
        **kwargs: Any,
    ) -> nn.Module:
        model = model_builder(**kwargs)
        if pretrained:
            load_from_address(model, checkpoint_path, progress)
        return model

    return build


_resnet = _builder(create_resnet)
_slowfast = _builder(create_slowfast)


def _efficient_x3d(
    pretrained: bool = False,
    progress: bool = True,
    checkpoint_path: str | None = None,
    expansion: str = "XS",
    **kwargs: Any,
) -> nn.Module:
    model = create_efficient_x3d(expansion=expansion, **kwargs)
    if pretrained and checkpoint_path is not None:
        load_from_address(model, checkpoint_path, progress)
    return model
