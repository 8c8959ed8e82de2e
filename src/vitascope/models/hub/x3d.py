"""X3D (arXiv:2004.04730)."""

from __future__ import annotations

from fractions import Fraction

from vitascope.models.card import Cost, ModelCard, Weights
from vitascope.models.registry import publish
from vitascope.models.x3d import create_x3d
from vitascope.spec import ClipSpec, LabelSpec, PixelSpec, Result, ViewProtocol

_ZOO = "https://github.com/facebookresearch/pytorchvideo/blob/main/docs/source/model_zoo.md"
_ROOT = "https://dl.fbaipublicfiles.com/pytorchvideo/model_zoo/kinetics"
_VIEWS = ViewProtocol(clips=10, crops=3)


def _card(
    size: str,
    frames: tuple[int, int],
    train_crop: int,
    test_crop: tuple[int, int],
    scores: tuple[float, float],
    cost: tuple[float, float],
    depth_factor: float = 2.2,
) -> ModelCard:
    """One row of the published table; `frames` is length x rate, `test_crop` short side, crop."""
    return publish(
        ModelCard(
            name=f"x3d_{size}",
            tag=f"k400_{frames[0]}x{frames[1]}",
            builder=create_x3d,
            args={
                "input_clip_length": frames[0],
                "input_crop_size": train_crop,
                "depth_factor": depth_factor,
            },
            clip=ClipSpec(num_frames=frames[0], sampling_rate=frames[1], fps=Fraction(30)),
            pixels=PixelSpec(short_side=test_crop[0], crop=(test_crop[1], test_crop[1])),
            labels=LabelSpec(name="kinetics400"),
            results=tuple(
                Result(
                    metric=metric,
                    value=value,
                    dataset="kinetics400/val",
                    protocol=_VIEWS,
                    source=_ZOO,
                )
                for metric, value in zip(("top1", "top5"), scores, strict=True)
            ),
            weights=(
                Weights(
                    url=f"{_ROOT}/X3D_{size.upper()}.pyth",
                    dialect="pytorchvideo",
                ),
            ),
            cost=(Cost(gflops=cost[0], parameters=cost[1], source=_ZOO, views=_VIEWS),),
            paper="arXiv:2004.04730",
        )
    )


x3d_xs = _card("xs", (4, 12), 160, (182, 182), (69.12, 88.63), (0.91, 3.79))
x3d_s = _card("s", (13, 6), 160, (182, 182), (73.33, 91.27), (2.96, 3.79))
x3d_m = _card("m", (16, 5), 224, (256, 256), (75.94, 92.72), (6.72, 3.79))
x3d_l = _card("l", (16, 5), 312, (356, 356), (77.44, 93.31), (26.64, 6.15), depth_factor=5.0)
