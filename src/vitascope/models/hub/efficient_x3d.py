"""X3D (arXiv:2004.04730) for deployment on mobile CPUs."""

from __future__ import annotations

from vitascope.models.card import ModelCard, publish
from vitascope.models.efficient_x3d import create_efficient_x3d
from vitascope.models.hub.rows import PTV_ZOO, TEN_CLIPS, clip, pixels, ptv, scores
from vitascope.spec import Cost, LabelSpec

_COST = (Cost(gflops=None, parameters=3.8, source=PTV_ZOO),)


def _efficient(
    size: str, frames: tuple[int, int], top: tuple[float, float], weights: str, precision: str
) -> ModelCard:
    return publish(
        ModelCard(
            name=f"efficient_x3d_{size}",
            tag=f"k400_{frames[0]}x{frames[1]}" + ("" if precision == "fp32" else f"_{precision}"),
            builder=create_efficient_x3d,
            args={"expansion": size.upper()},
            clip=clip(*frames),
            pixels=pixels(160),
            labels=LabelSpec(name="kinetics400"),
            results=scores("kinetics400/val", PTV_ZOO, TEN_CLIPS, top1=top[0], top5=top[1]),
            weights=ptv(weights) if weights else (),
            cost=_COST,
            paper="arXiv:2004.04730",
            note=(
                ""
                if precision == "fp32"
                else "Scores after quantization to int8 of the model with float32 weights; no "
                "quantized weights are published."
            ),
        )
    )


efficient_x3d_xs = _efficient(
    "xs", (4, 12), (68.5, 88.0), "kinetics/efficient_x3d_xs_original_form.pyth", "fp32"
)
efficient_x3d_s = _efficient(
    "s", (13, 6), (73.0, 90.6), "kinetics/efficient_x3d_s_original_form.pyth", "fp32"
)
efficient_x3d_xs_int8 = _efficient("xs", (4, 12), (66.9, 87.2), "", "int8")
