"""X3D (arXiv:2004.04730)."""

from __future__ import annotations

from vitascope.models.card import ModelCard, publish
from vitascope.models.hub.rows import (
    DENSE,
    PSF_ZOO,
    PTV_ZOO,
    TEN_CLIPS,
    clip,
    pixels,
    psf,
    ptv,
    scores,
)
from vitascope.models.x3d import create_x3d
from vitascope.spec import Cost, LabelSpec

_KINETICS = LabelSpec(name="kinetics400")


def _x3d(
    size: str,
    frames: tuple[int, int],
    crops: tuple[int, int],
    top: tuple[float, float],
    gflops: float,
    parameters: float,
    depth_factor: float = 2.2,
) -> ModelCard:
    """A row: clip length and rate, crops of training and test, scores, cost."""
    return publish(
        ModelCard(
            name=f"x3d_{size}",
            tag=f"k400_{frames[0]}x{frames[1]}",
            builder=create_x3d,
            args={
                "input_clip_length": frames[0],
                "input_crop_size": crops[0],
                "depth_factor": depth_factor,
            },
            clip=clip(*frames),
            pixels=pixels(crops[1]),
            labels=_KINETICS,
            results=scores("kinetics400/val", PTV_ZOO, DENSE, top1=top[0], top5=top[1]),
            weights=ptv(f"kinetics/X3D_{size.upper()}.pyth"),
            cost=(Cost(gflops=gflops, parameters=parameters, source=PTV_ZOO, views=DENSE),),
            paper="arXiv:2004.04730",
        )
    )


def _pyslowfast(
    size: str,
    frames: tuple[int, int],
    crop: int,
    top1: tuple[float, float],
    gflops: float,
    parameters: float,
    depth_factor: float = 2.2,
) -> ModelCard:
    """A row of PySlowFast's table, whose model has a norm after every shortcut."""
    return publish(
        ModelCard(
            name=f"x3d_{size}",
            tag=f"k400_{frames[0]}x{frames[1]}_pyslowfast",
            builder=create_x3d,
            args={
                "input_clip_length": frames[0],
                "input_crop_size": crop,
                "depth_factor": depth_factor,
                "shortcut_norm": "always",
            },
            clip=clip(*frames),
            pixels=pixels({160: 182, 224: 256, 312: 356}[crop]),
            labels=_KINETICS,
            results=(
                *scores("kinetics400/val", PSF_ZOO, TEN_CLIPS, top1=top1[0]),
                *scores("kinetics400/val", PSF_ZOO, DENSE, top1=top1[1]),
            ),
            weights=psf(f"x3d_models/x3d_{size}.pyth", "pyslowfast"),
            cost=(Cost(gflops=gflops, parameters=parameters, source=PSF_ZOO, crop=crop),),
            paper="arXiv:2004.04730",
            note="GFLOPs of the source are those of the training crop, norms not counted.",
        )
    )


x3d_xs = _x3d("xs", (4, 12), (160, 182), (69.12, 88.63), 0.91, 3.79)
x3d_s = _x3d("s", (13, 6), (160, 182), (73.33, 91.27), 2.96, 3.79)
x3d_m = _x3d("m", (16, 5), (224, 256), (75.94, 92.72), 6.72, 3.79)
x3d_l = _x3d("l", (16, 5), (312, 356), (77.44, 93.31), 26.64, 6.15, depth_factor=5.0)

x3d_xs_pyslowfast = _pyslowfast("xs", (4, 12), 160, (68.7, 69.5), 0.60, 3.8)
x3d_s_pyslowfast = _pyslowfast("s", (13, 6), 160, (73.1, 73.5), 1.96, 3.8)
x3d_m_pyslowfast = _pyslowfast("m", (16, 5), 224, (75.1, 76.2), 4.73, 3.8)
x3d_l_pyslowfast = _pyslowfast("l", (16, 5), 312, (76.9, 77.5), 18.37, 6.2, depth_factor=5.0)
