"""R(2+1)D (arXiv:1711.11248)."""

from __future__ import annotations

from vitascope.models.card import ModelCard, publish
from vitascope.models.hub.rows import DENSE, LOGITS, PTV_ZOO, clip, pixels, ptv, scores
from vitascope.models.r2plus1d import create_r2plus1d
from vitascope.spec import Cost, LabelSpec

r2plus1d_r50 = publish(
    ModelCard(
        name="r2plus1d_r50",
        tag="k400_16x4",
        builder=create_r2plus1d,
        args={"dropout_rate": 0.5},
        logit_args=LOGITS,
        clip=clip(16, 4),
        pixels=pixels(256),
        labels=LabelSpec(name="kinetics400"),
        results=scores("kinetics400/val", PTV_ZOO, DENSE, top1=76.01, top5=92.23),
        weights=ptv("kinetics/R2PLUS1D_16x4_R50.pyth"),
        cost=(Cost(gflops=76.45, parameters=28.11, source=PTV_ZOO, views=DENSE),),
        paper="arXiv:1711.11248",
    )
)
