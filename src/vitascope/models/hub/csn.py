"""Channel-separated models (arXiv:1904.02811)."""

from __future__ import annotations

from torch import nn

from vitascope.models.card import ModelCard, publish
from vitascope.models.csn import create_csn
from vitascope.models.hub.rows import DENSE, PTV_ZOO, clip, pixels, ptv, scores
from vitascope.spec import Cost, LabelSpec

csn_r101 = publish(
    ModelCard(
        name="csn_r101",
        tag="k400_32x2",
        builder=create_csn,
        args={
            "model_depth": 101,
            "stem_pool": nn.MaxPool3d,
            "head_pool_kernel_size": (4, 7, 7),
        },
        clip=clip(32, 2),
        pixels=pixels(256),
        labels=LabelSpec(name="kinetics400"),
        results=scores("kinetics400/val", PTV_ZOO, DENSE, top1=77.00, top5=92.90),
        weights=ptv("kinetics/CSN_32x2_R101.pyth"),
        cost=(Cost(gflops=75.62, parameters=22.21, source=PTV_ZOO, views=DENSE),),
        paper="arXiv:1904.02811",
    )
)
