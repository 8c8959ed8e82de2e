"""What the published tables share: where they stand, and the shape of their rows."""

from __future__ import annotations

from fractions import Fraction

from vitascope.models.hub.checksums import CHECKSUMS
from vitascope.spec import ClipSpec, PixelSpec, Result, ViewProtocol, Weights

PTV_ZOO = "https://github.com/facebookresearch/pytorchvideo/blob/main/docs/source/model_zoo.md"
PTV_FILES = "https://dl.fbaipublicfiles.com/pytorchvideo/model_zoo"
PTV_DOCSTRINGS = (
    "https://github.com/facebookresearch/pytorchvideo/tree/main/pytorchvideo/models/hub"
)
PSF_ZOO = "https://github.com/facebookresearch/SlowFast/blob/main/MODEL_ZOO.md"
PSF_FILES = "https://dl.fbaipublicfiles.com/pyslowfast"

DENSE = ViewProtocol(clips=10, crops=3)
THREE_CROPS = ViewProtocol(clips=1, crops=3)
TEN_CLIPS = ViewProtocol(clips=10, crops=1)
CENTER = ViewProtocol(clips=1, crops=1)

LOGITS = {"head_activation": None}


def scores(
    dataset: str, source: str, protocol: ViewProtocol | None, **metrics: float
) -> tuple[Result, ...]:
    """One result for each metric of a row."""
    return tuple(
        Result(metric=metric, value=value, dataset=dataset, source=source, protocol=protocol)
        for metric, value in metrics.items()
    )


def clip(
    frames: int, rate: int, pathways: tuple[int, ...] = (), *, whole: bool = False
) -> ClipSpec:
    """A clip of `frames` frames, `rate` apart at 30 a second; `whole` spreads it over the video."""
    return ClipSpec(
        num_frames=frames,
        sampling_rate=rate,
        fps=Fraction(30),
        pathways=pathways,
        coverage="video" if whole else "window",
    )


def pixels(crop: int) -> PixelSpec:
    """A center square of `crop` pixels of frames whose short side is scaled to as much."""
    return PixelSpec(short_side=crop, crop=(crop, crop))


def published_file(url: str, dialect: str) -> tuple[Weights, ...]:
    """A published file, with its length and checksum where they are known."""
    size, sha256 = CHECKSUMS.get(url, (None, None))
    return (Weights(url=url, dialect=dialect, size=size, sha256=sha256),)


def ptv(path: str) -> tuple[Weights, ...]:
    """A file of PyTorchVideo's zoo."""
    return published_file(f"{PTV_FILES}/{path}", "pytorchvideo")


def psf(path: str, dialect: str = "caffe2") -> tuple[Weights, ...]:
    """A file of PySlowFast's zoo."""
    return published_file(f"{PSF_FILES}/{path}", dialect)
