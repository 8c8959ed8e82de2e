"""Every public data set, as a fake copy: verified against its lists, and trained for two steps."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from support.fake_datasets import Examples, examples, make
from vitascope.data.dataset import ClipDataset
from vitascope.data.loader import make_loader
from vitascope.data.sets import DATASETS
from vitascope.data.sets.locate import official_files
from vitascope.data.sets.verify import verify_files
from vitascope.errors import DatasetError, DatasetNotFoundError
from vitascope.layers.roi_align import RoIAlign
from vitascope.losses.ava import binary_cross_entropy_with_logits
from vitascope.spec import ClipSpec, PixelSpec
from vitascope.transforms.preprocess import evaluation_transform
from vitascope.transforms.train import TrainTransform

PIXELS = PixelSpec(short_side=24, crop=(24, 24))
# Folders and videos of one frame a second have few frames; a clip covers what there is.
CLIP = ClipSpec(num_frames=4, coverage="video")


class Tiny(nn.Module):
    """One convolution; a class for each video, each box, or two for each video."""

    def __init__(self, kind: str, num_classes: int) -> None:
        super().__init__()
        self.conv = nn.Conv3d(3, 6, (3, 5, 5), stride=(1, 2, 2), padding=(1, 2, 2))
        self.align = RoIAlign(3, 0.5, 2)
        self.heads = nn.ModuleList(
            nn.Linear(6, num_classes) for _ in range(2 if kind == "verb noun" else 1)
        )

    def forward(self, video: Tensor, boxes: Tensor | None = None) -> list[Tensor]:
        x = self.conv(video).relu()
        seen = x.mean((2, 3, 4)) if boxes is None else self.align(x.mean(2), boxes).mean((2, 3))
        return [head(seen) for head in self.heads]


class WholeFrame:
    """Scales the frame without a crop, so that boxes, which are shares of it, stay right."""

    def __call__(self, frames: Tensor, rng: np.random.Generator) -> Tensor:
        return evaluation_transform(replace(PIXELS, fit="squash"))(frames)[0]


def loss_of(model: Tiny, data: Examples, batch: dict[str, Tensor]) -> Tensor:
    chosen = [data.targets[i] for i in batch["index"].tolist()]
    if data.kind == "boxes":
        rows = [
            torch.cat([torch.full((len(boxes), 1), float(i)), boxes * 24], 1)
            for i, (boxes, _) in enumerate(chosen)
        ]
        [scores] = model(batch["video"], torch.cat(rows))
        return binary_cross_entropy_with_logits(scores, torch.cat([hot for _, hot in chosen]))
    scores = model(batch["video"])
    target = torch.stack(chosen)  # type: ignore[arg-type]
    if data.kind == "classes":
        return binary_cross_entropy_with_logits(scores[0], target)
    if data.kind == "verb noun":
        verbs, nouns = target.T
        return F.cross_entropy(scores[0], verbs) + F.cross_entropy(scores[1], nouns)
    return F.cross_entropy(scores[0], target)


def train_two_steps(data: Examples) -> list[float]:
    """Losses of the same clips before, between and after two steps."""
    transform = WholeFrame() if data.kind == "boxes" else TrainTransform(pixels=PIXELS)
    clips = ClipDataset(data.records, CLIP, train=True, transform=transform)
    [batch] = make_loader(clips, len(data.records), shuffle=True)
    assert batch["video"].shape == (len(data.records), 3, 4, 24, 24)
    assert batch["valid"].all() and batch["video"].std() > 0.1
    torch.manual_seed(0)
    model = Tiny(data.kind, data.num_classes)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.02)
    losses = []
    for _ in range(2):
        loss = loss_of(model, data, batch)
        optimizer.zero_grad()
        loss.backward()
        assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())
        optimizer.step()
        losses.append(loss.item())
    return [*losses, loss_of(model, data, batch).item()]


def check(name: str, root: Path) -> None:
    make(name, root)
    table = official_files(name, root)
    report = verify_files(table, jobs=2)
    assert report.present == report.listed == len(table) > 0, report
    data = examples(name, root)
    first, second, third = train_two_steps(data)
    assert third < second < first, (first, second, third)
    Path(table.records[0].path).rename(root / "elsewhere.x")
    assert len(verify_files(official_files(name, root), jobs=2).missing) == 1


# Those that take a second or more, or are read as another one is.
SLOW = {
    "kinetics600", "kinetics700", "hmdb51", "ssv2", "moments_in_time", "ava21", "ava22",
    "ava_kinetics", "epic_kitchens55", "domsev",
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(set(DATASETS) - SLOW))
def test_two_steps(name: str, tmp_path: Path) -> None:
    check(name, tmp_path / name)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(SLOW))
def test_two_steps_of_the_others(name: str, tmp_path: Path) -> None:
    check(name, tmp_path / name)


def test_lists_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(DatasetNotFoundError, match=r"holds no classInd\.txt\. UCF101 is read from"):
        official_files("ucf101", tmp_path)
    with pytest.raises(DatasetNotFoundError, match="no such folder"):
        official_files("ucf101", tmp_path / "x")
    with pytest.raises(DatasetNotFoundError, match=r"train\.csv.*--lists"):
        official_files("kinetics400", tmp_path)
    make("kinetics400", tmp_path / "k")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match="not one of the 3 listed videos is there"):
        official_files("kinetics400", tmp_path / "empty", tmp_path / "k")
    assert len(official_files("kinetics400", tmp_path / "k" / "train", tmp_path / "k")) == 3
