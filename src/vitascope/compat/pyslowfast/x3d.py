"""PySlowFast's keys of X3D as arguments of our builder."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from vitascope.compat.pyslowfast.parts import (
    Keys,
    channels,
    choice_of,
    head_activation,
    norm_class,
    refuse,
    refuse_nonlocal,
    start,
)
from vitascope.layers.drop_path import drop_path
from vitascope.layers.res_block import ResBlock, ResStage
from vitascope.models.net import Net
from vitascope.models.x3d import create_x3d

_ALWAYS = {
    "RESNET.TRANS_FUNC": "x3d_transform",
    "RESNET.STRIDE_1X1": False,
    "X3D.CHANNELWISE_3x3x3": True,
    "DETECTION.ENABLE": False,
    "RESNET.SPATIAL_DILATIONS": [[1], [1], [1], [1]],
}


def _arguments(keys: Keys, name: str) -> dict[str, Any]:
    choice_of(keys, "MODEL.ARCH", {"x3d": None})
    refuse(keys, _ALWAYS, name)
    refuse_nonlocal(keys, name)
    return {
        "input_channel": channels(keys, 1)[0],
        "input_clip_length": keys["DATA.NUM_FRAMES"],
        "input_crop_size": keys["DATA.TRAIN_CROP_SIZE"],
        "model_num_class": keys["MODEL.NUM_CLASSES"],
        "dropout_rate": keys["MODEL.DROPOUT_RATE"],
        "width_factor": keys["X3D.WIDTH_FACTOR"],
        "depth_factor": keys["X3D.DEPTH_FACTOR"],
        "norm": norm_class(keys),
        "stem_dim_in": keys["X3D.DIM_C1"],
        "bottleneck_factor": keys["X3D.BOTTLENECK_FACTOR"],
        "head_dim_out": keys["X3D.DIM_C5"],
        "head_bn_lin5_on": keys["X3D.BN_LIN5"],
        "head_activation": head_activation(keys),
        "head_when": "evaluation",
    }


class _DroppedSum(nn.Module):
    """Shortcut plus a branch that in training is left out for a share of the samples."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, shortcut: Tensor, branch: Tensor) -> Tensor:
        """Adds two tensors B C T H W."""
        return shortcut + drop_path(branch, self.rate, self.training)


def _drop_branches(model: Net, rate: float) -> None:
    """Lets the stages drop branches, the later ones more often, as PySlowFast does."""
    stages = [block for block in model.blocks if isinstance(block, ResStage)]
    for index, stage in enumerate(stages):
        for block in stage.res_blocks:
            assert isinstance(block, ResBlock)
            block.branch_fusion = _DroppedSum(rate * (index + 2) / (len(stages) + 1))


def build_x3d(keys: Keys) -> nn.Module:
    """PySlowFast's X3D, which has a norm after every convolution of a shortcut."""
    model = create_x3d(
        **_arguments(keys, "X3D"), shortcut_norm="always", scale_res2=keys["X3D.SCALE_RES2"]
    )
    if keys["MODEL.DROPCONNECT_RATE"] > 0:
        _drop_branches(model, keys["MODEL.DROPCONNECT_RATE"])
    start(model, keys)
    return model


def build_ptv_x3d(keys: Keys) -> nn.Module:
    """PySlowFast's PTVX3D, by PyTorchVideo's builder: shortcuts of equal width have no norm."""
    refuse(keys, {"X3D.SCALE_RES2": False, "MODEL.DROPCONNECT_RATE": 0.0}, "PTVX3D")
    return create_x3d(**_arguments(keys, "PTVX3D"))
