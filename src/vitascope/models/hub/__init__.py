"""Published models, declared once each.

Every name below is a `ModelCard`; more of the same names, with other tags, are in the family files.
"""

from vitascope.models.hub.csn import csn_r101
from vitascope.models.hub.efficient_x3d import efficient_x3d_s, efficient_x3d_xs
from vitascope.models.hub.r2plus1d import r2plus1d_r50
from vitascope.models.hub.resnet import (
    acoustic_resnet_r50,
    c2d_nopool_r50,
    c2d_r50,
    i3d_nln_r50,
    i3d_r50,
    image_resnet_r50,
    slow_r50,
    slow_r50_detection,
)
from vitascope.models.hub.slowfast import (
    audio_visual_slowfast_r50,
    slowfast_16x8_r101_50_50,
    slowfast_r50,
    slowfast_r50_detection,
    slowfast_r101,
    slowfast_r101_detection,
)
from vitascope.models.hub.x3d import x3d_l, x3d_m, x3d_s, x3d_xs

__all__ = [
    "acoustic_resnet_r50",
    "audio_visual_slowfast_r50",
    "c2d_nopool_r50",
    "c2d_r50",
    "csn_r101",
    "efficient_x3d_s",
    "efficient_x3d_xs",
    "i3d_nln_r50",
    "i3d_r50",
    "image_resnet_r50",
    "r2plus1d_r50",
    "slow_r50",
    "slow_r50_detection",
    "slowfast_16x8_r101_50_50",
    "slowfast_r50",
    "slowfast_r50_detection",
    "slowfast_r101",
    "slowfast_r101_detection",
    "x3d_l",
    "x3d_m",
    "x3d_s",
    "x3d_xs",
]
