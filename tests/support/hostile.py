"""A data set and a model as small as they come, for runs in which only the input matters."""

from __future__ import annotations

from pathlib import Path

import torch

from support.videos import film
from vitascope.engine.checkpoint import save_checkpoint
from vitascope.models.registry import create_model
from vitascope.spec import ClipSpec, Contract, LabelSpec, PixelSpec

ARGS = {"input_clip_length": 4, "input_crop_size": 32, "depth_factor": 0.3}


def small_model(root: Path) -> tuple[Path, Path]:
    """Folders of four videos of two classes, and of a run with random weights."""
    for name in ("a", "b"):
        for number in range(2):
            film(root / "data" / name / f"{number}.mp4", frames=8, size=(32, 40))
    contract = Contract(
        model="x3d_xs", args=ARGS, labels=LabelSpec(names=("a", "b")),
        clip=ClipSpec(num_frames=4), pixels=PixelSpec(short_side=36, crop=(32, 32)),
    )  # fmt: skip
    torch.manual_seed(0)
    tensors = create_model("x3d_xs", num_classes=2, **ARGS).state_dict()
    save_checkpoint(
        root / "run", "best", tensors=tensors, contract=contract, recipe={}, state={"step": 1}
    )
    return root / "data", root / "run"
