"""SlowFast, which sees a clip in two pathways, through evaluation, prediction and export."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from support.videos import film
from vitascope.accelerator.artifact import Packing
from vitascope.accelerator.export import open_artifact
from vitascope.data.dataset import ClipDataset
from vitascope.data.records import VideoRecord
from vitascope.engine.build import load_model
from vitascope.engine.checkpoint import save_checkpoint
from vitascope.engine.scoring import Scoring, score_videos
from vitascope.models.registry import create_model
from vitascope.serving.features import FeatureExtractor
from vitascope.serving.predictor import Predictor, load
from vitascope.spec import ClipSpec, Contract, LabelSpec, PixelSpec, ViewProtocol
from vitascope.transforms.pathways import PackPathway
from vitascope.transforms.preprocess import evaluation_transform

NAMES = ("jump", "run", "wave")
CLIP = ClipSpec(num_frames=8, sampling_rate=1, fps=Fraction(8), pathways=(4, 1))
PIXELS = PixelSpec(short_side=64, crop=(64, 64))
ARGS = {
    "stem_dim_outs": [16, 2],
    "stage_depths": [1, 1, 1, 1],
    "head_pool_kernel_sizes": [[2, 2, 2], [8, 2, 2]],
}


def _network() -> nn.Module:
    torch.manual_seed(5)
    model = create_model("slowfast_r50", num_classes=3, **ARGS)
    with torch.no_grad():  # statistics of a batch, and scores that differ from clip to clip
        model.train()([torch.randn(2, 3, 2, 64, 64), torch.randn(2, 3, 8, 64, 64)])
        owner, name = model.head_linear()
        getattr(owner, name).weight.mul_(300)
    return model.eval()


def _save(folder: Path, names: tuple[str, ...] = NAMES) -> Path:
    contract = Contract(
        model="slowfast_r50", args=ARGS, labels=LabelSpec(names=names), clip=CLIP, pixels=PIXELS
    )
    tensors = _network().state_dict()
    save_checkpoint(
        folder, "best", tensors=tensors, contract=contract, recipe={}, state={"step": 1}
    )
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _save(tmp_path_factory.mktemp("runs") / "run")


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return film(tmp_path_factory.mktemp("films") / "film.mp4", frames=36, fps=12)


def test_scores_are_those_of_the_evaluation(run: Path, video: Path) -> None:
    dataset = ClipDataset(
        [VideoRecord(str(video), 0)],
        CLIP,
        transform=evaluation_transform(PIXELS, 3),
        train=False,
        views=ViewProtocol(clips=2, crops=3),
    )
    expected = score_videos(_network(), dataset, NAMES, Scoring()).scores[0]
    model = load(run)
    found = model.predict(video, views="2x3").scores
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-5)
    assert 0.34 < float(found.max()) < 0.999
    clip = model.clips(video, views="1x1")[0]
    by_hand = _network()([part[None] for part in PackPathway(CLIP)(clip)]).detach().softmax(1)[0]
    torch.testing.assert_close(model.predict(video, views="1x1").scores, by_hand)
    rows = list(model.timeline(video, "0.5s"))
    assert len(rows) == 5
    for row in rows:
        one = model.predict(video, start=row.start, end=row.end).scores
        torch.testing.assert_close(row.scores, one, atol=1e-6, rtol=1e-5)


def test_features_give_the_scores_back(run: Path, video: Path) -> None:
    model = load(run)
    assert model.source.module is not None
    owner, name = model.source.module.head_linear()  # type: ignore[operator]
    row = next(FeatureExtractor(model).rows(video, 1))
    scores = getattr(owner, name)(row.features[None]).softmax(1)[0]
    torch.testing.assert_close(scores, next(model.timeline(video, 1)).scores, atol=1e-5, rtol=1e-4)


@pytest.mark.slow
@pytest.mark.export
@pytest.mark.parametrize("to", ["onnx", "openvino", "torch.export"])
def test_an_artifact_takes_the_whole_clip(to: str, run: Path, video: Path, tmp_path: Path) -> None:
    original = load(run)
    path, checked = original.export(to, [video], tmp_path, repeats=1)
    assert checked.ok
    exported = load(path)
    assert exported.clip.pathways == (4, 1)
    for views in ("1x1", "2x3"):
        torch.testing.assert_close(
            exported.predict(video, views=views).scores,
            original.predict(video, views=views).scores,
            atol=1e-5,
            rtol=1e-4,
        )
    clips = original.clips(video, views="3x1")  # as a program without vitascope would call it
    expected = _network()(PackPathway(CLIP)(clips)).detach()
    torch.testing.assert_close(open_artifact(path)(clips), expected, atol=1e-3, rtol=1e-4)


def test_packing_is_that_of_the_training() -> None:
    class Seen(nn.Module):
        def forward(self, clips: list[Tensor]) -> Tensor:
            return torch.cat([clip[:, 0, :, 0, 0] for clip in clips], dim=1)

    frames = torch.arange(8.0).expand(2, 3, 8)[..., None, None]
    assert Packing(Seen(), (4, 1))(frames).tolist() == [[0.0, 7.0, *map(float, range(8))]] * 2


def test_without_class_names_the_weights_say_how_many(
    run: Path, video: Path, tmp_path: Path
) -> None:
    folder = _save(tmp_path / "nameless", names=())
    model, checkpoint = load_model(folder)
    assert model.num_classes == 3 and not checkpoint.contract.labels.names
    nameless: Predictor = load(folder)
    found = nameless.predict(video, top=3)
    assert {label for label, _ in found.top} == {"class 0", "class 1", "class 2"}
    assert torch.equal(found.scores, load(run).predict(video).scores)
