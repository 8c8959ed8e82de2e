"""Cards, models and predictors can be copied and sent to another process; NaN is no score."""

from __future__ import annotations

import copy
import dataclasses
import io
import math
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.accelerator.test_export import CONTRACT, Small, _clips
from torch import nn

import vitascope
from vitascope.accelerator.export import export_model
from vitascope.data.render import render_motion_dataset
from vitascope.engine.checkpoint import save_checkpoint
from vitascope.engine.evaluate import evaluate
from vitascope.errors import VerificationError, WeightsError
from vitascope.models.measure.meta import meta_model
from vitascope.models.registry import create_model, get_card, list_cards
from vitascope.serving.predictor import Predictor, load
from vitascope.spec import ClipSpec, Contract, LabelSpec, PixelSpec

Again = Callable[[Any], Any]
WAYS: dict[str, Again] = {
    "pickle": lambda value: pickle.loads(pickle.dumps(value)),
    "copy": copy.deepcopy,
}
CLASSES = ("move_left", "grow", "move_up")
ARGS: dict[str, Any] = {"input_clip_length": 4, "input_crop_size": 32, "depth_factor": 1.0}


@pytest.mark.parametrize("way", WAYS)
def test_every_card_arrives_as_it_was(way: str) -> None:
    for card in list_cards():
        again = WAYS[way](card)
        assert again == card and again.full_name == card.full_name
        assert again.__doc__ == card.__doc__ and again.__name__ == card.__name__


def test_each_kind_of_network_can_be_copied_and_sent() -> None:
    cards = {getattr(card.builder, "__name__", repr(card.builder)): card for card in list_cards()}
    for card in cards.values():
        network = meta_model(card)
        names = list(network.state_dict())
        assert list(copy.deepcopy(network).state_dict()) == names
        stream = io.BytesIO()
        pickle.dump(network, stream)
        assert len(stream.getvalue()) > 1000
    assert len(cards) > 8


def test_a_network_computes_the_same_after_the_journey() -> None:
    torch.manual_seed(0)
    model = create_model("x3d_xs", num_classes=5, **ARGS).eval()
    video = torch.randn(1, 3, 4, 32, 32)
    for way in WAYS.values():
        again = way(model)
        assert torch.equal(again(video), model(video))
        again.reset_head(3)
        assert model.num_classes == 5


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("films")
    return Path(
        render_motion_dataset(folder / "data", CLASSES, dict.fromkeys(("train", "val", "test"), 1))
    )


def run_folder(folder: Path, change: Callable[[nn.Module], None] = lambda model: None) -> Path:
    torch.manual_seed(0)
    model = create_model("x3d_xs", num_classes=3, **ARGS)
    change(model)
    contract = Contract(
        model="x3d_xs", args=ARGS, labels=LabelSpec(names=CLASSES),
        clip=ClipSpec(num_frames=4, coverage="video"),
        pixels=PixelSpec(short_side=32, crop=(32, 32)),
    )  # fmt: skip
    state = {"step": 1}
    save_checkpoint(
        folder, "best", tensors=model.state_dict(), contract=contract, recipe={}, state=state
    )
    return folder


def film(films: Path) -> Path:
    return sorted(films.rglob("*.mp4"))[0]


@pytest.mark.parametrize("way", WAYS)
def test_a_predictor_of_a_run_predicts_the_same(way: str, films: Path, tmp_path: Path) -> None:
    predictor = load(run_folder(tmp_path / "run"))
    again: Predictor = WAYS[way](predictor)
    (tmp_path / "run" / "best.json").unlink()  # the copy needs no file
    assert repr(again) == repr(predictor)
    assert torch.equal(again.predict(film(films)).scores, predictor.predict(film(films)).scores)


def test_scores_and_classes_must_agree(films: Path, tmp_path: Path) -> None:
    two = dataclasses.replace(CONTRACT, labels=LabelSpec(names=("a", "b")))
    path, _ = export_model(Small(), two, _clips(2), tmp_path / "m", to="torch.export", repeats=1)
    with pytest.raises(WeightsError, match="gives 1x3 scores, and names 2 classes"):
        load(path).predict(film(films))


@pytest.mark.parametrize(
    "to", ["torch.export", "onnx", pytest.param("openvino", marks=pytest.mark.slow)]
)
@pytest.mark.export
def test_a_predictor_of_an_exported_model_is_opened_again(
    to: str, films: Path, tmp_path: Path
) -> None:
    path, _ = export_model(Small(), CONTRACT, _clips(2), tmp_path / "m", to=to, repeats=1)
    predictor = load(path)
    expected = predictor.predict(film(films)).scores
    for way in WAYS.values():
        assert torch.equal(way(predictor).predict(film(films)).scores, expected)


def explode(model: nn.Module) -> None:
    with torch.no_grad():
        next(iter(model.parameters())).fill_(math.nan)


def test_scores_that_are_no_numbers_are_an_error(films: Path, tmp_path: Path) -> None:
    run = run_folder(tmp_path / "run", explode)
    predictor = load(run)
    with pytest.raises(WeightsError, match=r"run: its scores are no numbers \(NaN\)"):
        predictor.predict(film(films))
    with pytest.raises(WeightsError, match="no numbers"):
        list(predictor.predict_many([film(films)], on_bad="report"))
    with pytest.raises(WeightsError, match="no numbers"):
        list(predictor.timeline(film(films), "1s"))
    with pytest.raises(WeightsError, match=r"are no numbers \(NaN\)"):
        evaluate(run, films, split=None, workers=0)
    with pytest.raises(VerificationError, match=r"no numbers \(NaN\); nothing was written"):
        vitascope.export(run, "torch.export", data=film(films).parent, path=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_infinite_scores_too(films: Path, tmp_path: Path) -> None:
    def change(model: nn.Module) -> None:
        with torch.no_grad():
            model.head_linear()[0].proj.bias.fill_(math.inf)

    assert get_card("x3d_xs").task == "classification"
    with pytest.raises(WeightsError, match="no numbers"):
        load(run_folder(tmp_path / "run", change)).predict(film(films))
