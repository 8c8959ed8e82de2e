"""A model of Transformers through the commands: train, evaluate, predict, export."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from vitascope.data.render import render_motion_dataset
from vitascope.engine.build import load_model
from vitascope.engine.config import ModelConfig, OptimConfig, Recipe, RunConfig
from vitascope.engine.evaluate import evaluate
from vitascope.models.registry import create_model, get_card
from vitascope.recipes.folder import train
from vitascope.serving.features import FeatureExtractor
from vitascope.serving.predictor import load

transformers = pytest.importorskip("transformers")

CLASSES = ("move_left", "move_right", "grow")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("films")
    counts = {"train": 4, "val": 1, "test": 1}
    return render_motion_dataset(folder, CLASSES, counts, frames=8, size=(40, 40), fps=8)


@pytest.fixture(scope="module")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fine-tuning of a small VideoMAE with 7 other classes, whose folder is gone afterwards."""
    folder = tmp_path_factory.mktemp("hub") / "videomae"
    torch.manual_seed(0)
    config = transformers.VideoMAEConfig(
        image_size=32, patch_size=8, num_frames=4, hidden_size=24, num_hidden_layers=2,
        num_attention_heads=2, intermediate_size=48, num_labels=7,
    )  # fmt: skip
    transformers.VideoMAEForVideoClassification(config).save_pretrained(folder)
    out = tmp_path_factory.mktemp("runs") / "run"
    train(
        data,
        f"hf:{folder}",
        out=out,
        init="pretrained",
        overrides=[
            "optim.epochs=1", "optim.batch_size=4", "optim.layer_decay=0.75", "data.workers=0",
            "data.cache=false", "run.accelerator=cpu", "run.threads=1",
        ],
    )  # fmt: skip
    start = create_model(f"hf:{folder}", pretrained=True).state_dict()
    trained = load_model(out)[0].state_dict()
    name = "network.videomae.encoder.layer.0.output.dense.weight"
    moved = float((trained[name] - start[name]).abs().max())
    assert 0 < moved < 0.02, "trained, and from the weights of the folder"
    shutil.rmtree(folder.parent)
    return out


def test_the_run_needs_its_folder_no_more(run: Path, data: Path) -> None:
    model, checkpoint = load_model(run)
    contract = checkpoint.contract
    assert contract.args["config"]["hidden_size"] == 24 and model.num_classes == 3
    assert (contract.clip.num_frames, contract.pixels.crop) == (4, (32, 32))
    result = evaluate(run, data, split="test", workers=0)
    predictor = load(run)
    for path, expected in zip(result.videos, result.scores, strict=True):
        found = predictor.predict(path).scores
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)
    row = next(FeatureExtractor(predictor).rows(result.videos[0], 1))
    assert row.features.shape == (24,)
    stages = predictor.source.module.feature_info  # type: ignore[union-attr]
    for pool, shape in (("all", (24,)), ("time", (24, 2)), ("none", (24, 2, 4, 4))):
        row = next(FeatureExtractor(predictor, stages[1].name, pool).rows(result.videos[0], 1))
        assert row.features.shape == shape


@pytest.mark.slow
@pytest.mark.export
@pytest.mark.parametrize("to", ["onnx", "openvino", "torch.export"])
def test_export(to: str, run: Path, data: Path, tmp_path: Path) -> None:
    videos = sorted((data / "test").rglob("*.mp4"))
    original = load(run)
    path, checked = original.export(to, videos, tmp_path, repeats=1)
    assert checked.ok, checked
    found, expected = (model.predict(videos[0]).scores for model in (load(path), original))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


def test_a_family_with_another_clip(data: Path, tmp_path: Path) -> None:
    """Sizes of the recipe reach the model, and the model says them in its contract."""
    card = get_card("hf:vivit")
    small = {
        **card.args["config"], "hidden_size": 24, "num_hidden_layers": 1,
        "num_attention_heads": 2, "intermediate_size": 48, "tubelet_size": [2, 8, 8],
    }  # fmt: skip
    recipe = Recipe(
        model=ModelConfig(name="hf:vivit", args={"config": small}),
        clip=card.clip,
        pixels=card.pixels,
        optim=OptimConfig(epochs=1, batch_size=4),
        run=RunConfig(accelerator="cpu", threads=1),
    )
    overrides = [
        "clip.num_frames=6", "clip.coverage=video", "pixels.crop=24,24", "pixels.short_side=24",
        "data.workers=0", "data.cache=false",
    ]  # fmt: skip
    train(data, out=tmp_path / "run", recipe=recipe, overrides=overrides)
    model, checkpoint = load_model(tmp_path / "run")
    assert checkpoint.contract.args["num_frames"] == 6
    assert checkpoint.contract.args["image_size"] == 24
    assert model(torch.randn(1, 3, 6, 24, 24)).shape == (1, 3)
