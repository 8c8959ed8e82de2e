"""A tiny model, a tiny rendered data set and a recipe of a few seconds for these tests."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from vitascope.data.render import render_motion_dataset
from vitascope.engine.config import (
    AugmentConfig,
    DataConfig,
    ModelConfig,
    OptimConfig,
    Recipe,
    RunConfig,
)
from vitascope.models.base import VideoModel
from vitascope.models.card import CARDS, ModelCard, publish
from vitascope.spec import ClipSpec, LabelSpec, PixelSpec

CLASSES = ("move_left", "move_right", "grow")


class Toy(VideoModel):
    """Two convolutions, with everything that makes a step random or stateful."""

    feature_info = ()

    def __init__(self, width: int = 8, norm: bool = True, dropout: float = 0.2) -> None:
        super().__init__()
        self.conv = nn.Conv3d(3, width, (3, 5, 5), stride=(1, 2, 2), padding=(1, 2, 2))
        self.norm = nn.BatchNorm3d(width) if norm else nn.Identity()
        self.deep = nn.Conv3d(width, 2 * width, 3, stride=2, padding=1)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(2 * width, 400)

    def depth_prefixes(self) -> tuple[tuple[str, ...], ...]:
        return (("conv", "norm"), ("deep",), ("head",))

    def forward_features(self, x):
        return self.deep(self.norm(self.conv(x)).relu()).relu()

    def forward_head(self, features, bboxes=None):
        return self.head(self.dropout(features.mean((2, 3, 4))))

    def head_linear(self):
        return self, "head"


CLIP = ClipSpec(num_frames=6, coverage="video")
PIXELS = PixelSpec(short_side=24, crop=(24, 24))

if "toy" not in CARDS:
    publish(
        ModelCard(
            name="toy", tag="test", builder=Toy, clip=CLIP, pixels=PIXELS, labels=LabelSpec()
        )
    )  # fmt: skip


def render(folder: Path, train: int = 8, val: int = 3, test: int = 3) -> Path:
    """Videos of 3 motions; each number counts videos of each class."""
    counts = {"train": train, "val": val, "test": test}
    return render_motion_dataset(
        folder, CLASSES, {s: n for s, n in counts.items() if n}, frames=8, size=(32, 32), fps=8
    )


def toy_recipe(data: Path, **parts) -> Recipe:
    """Three epochs of three steps, with all that is random switched on."""
    values = {
        "model": ModelConfig(name="toy"),
        "clip": CLIP,
        "pixels": PIXELS,
        "data": DataConfig(path=str(data), workers=0, cache=False),
        "augment": AugmentConfig(mixup=0.4, cutmix=0.4, label_smoothing=0.1, erase=0.3, hflip=0),
        "optim": OptimConfig(epochs=3, batch_size=8, lr=3e-3, warmup=1, clip_grad=1.0),
        "run": RunConfig(threads=1, log_every=2, save_every=2, ema=0.9, accelerator="cpu"),
    }
    return Recipe(**{**values, **parts})
