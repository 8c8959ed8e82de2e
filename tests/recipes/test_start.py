"""Start weights: published ones where they can be had, and one line where they cannot."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import save

import vitascope
from engine.toy import CLIP, PIXELS, Toy, render
from recipes.test_fit_to_data import FACTS
from support.command_line import Done, cli, refused
from support.small_models import SHRINK, builder_name
from support.weights_server import WeightsServer, serving
from vitascope.engine.build import load_model, model_of_recipe
from vitascope.errors import RunError, UnknownNameError, WeightsError
from vitascope.models.base import VideoModel
from vitascope.models.card import CARDS, ModelCard, publish
from vitascope.models.class_names import class_names
from vitascope.models.registry import get_card
from vitascope.models.weights import load_into
from vitascope.recipes import folder as planning
from vitascope.recipes import start
from vitascope.recipes.fine_tuning import fine_tune_recipe
from vitascope.recipes.fit_to_data import fit_recipe
from vitascope.recipes.folder import plan_training
from vitascope.spec import LabelSpec, Weights

HOST, PATH = "weights.test", "/zoo/toy.safetensors"
QUICK = ("optim.epochs=1", "optim.batch_size=4", "data.workers=0", "data.cache=false")


def published() -> Toy:
    """The model whose weights are served."""
    torch.manual_seed(11)
    return Toy()


CONTENT = save(published().state_dict())


def card(name: str, **known: object) -> ModelCard:
    """A card whose weights lie on the server."""
    weights = Weights(url=f"https://{HOST}{PATH}", dialect="pytorchvideo", **known)
    return publish(
        ModelCard(
            name=name, tag="test", builder=Toy, clip=CLIP, pixels=PIXELS,
            labels=LabelSpec(name="kinetics400"), weights=(weights,),
        )
    )  # fmt: skip


card("toy_sealed", sha256=hashlib.sha256(CONTENT).hexdigest(), size=len(CONTENT))
card("toy_unsealed")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return render(tmp_path_factory.mktemp("start"), train=4, val=2, test=2)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[WeightsServer]:
    monkeypatch.setenv("VITASCOPE_CACHE", str(tmp_path / "cache"))
    with serving({f"/{HOST}{PATH}": CONTENT}) as state:
        monkeypatch.setenv("VITASCOPE_MIRROR", state.url)
        yield state


def train(data: Path, out: Path, *words: object, model: str = "toy_sealed") -> tuple[Done, dict]:
    file = out.with_suffix(".json")
    done = cli("train", data, "--out", out, "--model", model, "--json", file, *words, *QUICK)
    return done, json.loads(file.read_text())


def conv_of(run: Path) -> torch.Tensor:
    model, _ = load_model(run)
    assert isinstance(model, Toy)
    return model.conv.weight


# --- fetched and cached --------------------------------------------------------------------------


def test_the_default_is_to_fine_tune_published_weights(server, data, tmp_path):
    done, found = train(data, tmp_path / "run", "optim.lr=0")
    assert done.code == 0, done
    recipe = found["recipe"]
    assert recipe["model"]["init"] == "pretrained"
    assert torch.equal(conv_of(tmp_path / "run"), published().conv.weight)
    assert load_model(tmp_path / "run")[0].num_classes == 3
    assert "starts from the published weights of toy_sealed.test" in " ".join(done.out.split())
    assert "because the weights are trained" in " ".join(found["reasons"])
    assert not any("weaker" in note for note in found["notes"])
    assert server.asked == [f"/{HOST}{PATH}"]

    # the second time they are in the cache, and nobody is asked
    server.files.clear()
    done, found = train(data, tmp_path / "again")
    assert done.code == 0 and found["recipe"]["model"]["init"] == "pretrained"
    assert len(server.asked) == 1


def test_fine_tuning_takes_smaller_steps_and_the_least_at_the_bottom(server, data):
    plan = plan_training(data, "toy_sealed")
    scratch = plan_training(data, "toy_sealed", init="none")
    assert plan.recipe.model.init == "pretrained" and scratch.recipe.model.init is None
    assert plan.recipe.optim.lr < scratch.recipe.optim.lr / 2
    assert plan.recipe.optim.epochs < scratch.recipe.optim.epochs
    lowest = plan.recipe.optim.layer_decay ** (published().num_depths - 1)
    assert lowest == pytest.approx(0.1, rel=0.02)
    assert scratch.recipe.optim.layer_decay == 1
    assert plan.recipe.clip.num_frames == CLIP.num_frames


def test_none_asks_nobody(server, data, tmp_path):
    for words in (("--init", "none"), ("model.init=none",)):
        done, found = train(data, tmp_path / words[0], *words)
        assert done.code == 0 and found["recipe"]["model"]["init"] is None
        assert not any("weaker" in note for note in found["notes"])
    assert plan_training(data, "toy_sealed", init=None).recipe.model.init is None
    assert server.asked == []


# --- weights that cannot be had ------------------------------------------------------------------


def failing(server: WeightsServer, case: str, monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
    """Brings about a failure; returns the card, and what its line must say."""
    place = f"/{HOST}{PATH}"
    if case == "checksum":
        server.files[place] = CONTENT[:-1] + b"x"
        return "toy_sealed", r"has sha256 [0-9a-f]{64} and should have"
    if case == "cut":
        server.cut = 1000
        return "toy_sealed", r"ended after 1000 of \d+ bytes"
    if case == "longer":
        server.files[place] = CONTENT + b"more"
        return "toy_sealed", r"more than \d+ bytes, which is its published length"
    if case == "an error page":
        server.files[place] = b"<html>Please log in</html>"
        return "toy_unsealed", r"toy\.safetensors"
    if case == "gone":
        server.files.clear()
        return "toy_sealed", r"there is no such file"
    if case == "nobody there":
        monkeypatch.setenv("VITASCOPE_MIRROR", "http://127.0.0.1:9")
        return "toy_sealed", r"cannot be reached \(.*refused"
    if case == "no answer":
        server.hang = 5.0
        monkeypatch.setattr(start, "ANSWER_WITHIN", 0.3)
        return "toy_sealed", r"cannot be reached \((no answer within 0\.3 seconds|timed out)\)"
    assert case == "none published"
    return "toy", r"no published weights of toy\.test are known"


CASES = ["checksum", "cut", "longer", "an error page", "gone", "nobody there", "no answer",
         "none published"]  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_one_line_says_why_the_result_will_be_weaker(server, data, case, monkeypatch):
    model, why = failing(server, case, monkeypatch)
    begin = time.monotonic()
    plan = plan_training(data, model)
    assert time.monotonic() - begin < 4
    assert plan.recipe.model.init is None
    (line,) = plan.notes
    assert line.startswith(f"{model} starts from random weights, and the result will be weaker")
    assert line.count("\n") == 0
    assert re.search(why, line), line
    # the settings are those of a training from scratch
    scratch = plan_training(data, model, init="none")
    assert plan.recipe == scratch.recipe and not scratch.notes
    with pytest.raises(WeightsError):
        start.require_published(get_card(model), {})


def test_an_error_page_is_not_kept_as_the_weights(server, data):
    place = f"/{HOST}{PATH}"
    server.files[place] = b"<html>Please log in</html>"
    assert "no checkpoint" in plan_training(data, "toy_unsealed").notes[0]
    server.files[place] = CONTENT
    assert plan_training(data, "toy_unsealed").recipe.model.init == "pretrained"


def test_the_line_is_shown_once_and_insisting_is_an_error(server, data, tmp_path):
    server.files.clear()
    done, found = train(data, tmp_path / "run")
    assert done.code == 0 and done.out.count("starts from random weights") == 1
    assert sum("weaker" in note for note in found["notes"]) == 1
    words = ("train", data, "--out", tmp_path / "b", "--model", "toy_sealed", *QUICK)
    assert "there is no such file" in refused(*words, "--init", "pretrained")
    assert not (tmp_path / "b").exists()


def test_weights_of_another_network_are_not_fetched(server, data):
    plan = plan_training(data, "toy_sealed", overrides=["model.args.width=4"])
    assert plan.recipe.model.init is None and server.asked == []
    assert "model.args.width" in plan.notes[0]


# --- the decision stands -------------------------------------------------------------------------


def test_a_repeated_run_keeps_its_decision_until_it_is_replaced(server, data, tmp_path):
    kept = dict(server.files)
    server.files.clear()
    run = tmp_path / "run"
    done, found = train(data, run)
    assert done.code == 0 and found["recipe"]["model"]["init"] is None
    server.files.update(kept)  # and now they could be had
    asked = len(server.asked)
    done, _ = train(data, run)
    assert done.code == 2 and "holds this run already, finished" in done.err
    done, _ = train(data, run, "--resume")
    assert done.code == 0 and len(server.asked) == asked
    done, found = train(data, run, "--force")
    assert done.code == 0 and found["recipe"]["model"]["init"] == "pretrained"


def test_a_resumed_run_needs_no_published_weights(server, data, tmp_path):
    run = tmp_path / "run"
    train(data, run)
    before = (run / "last.json").read_bytes()
    shutil.rmtree(tmp_path / "cache")
    server.files.clear()
    asked = len(server.asked)
    done, _ = train(data, run, "--resume")
    assert done.code == 0 and len(server.asked) == asked
    assert json.loads(before)["state"] == json.loads((run / "last.json").read_bytes())["state"]


# --- checkpoints ---------------------------------------------------------------------------------


def test_a_run_to_start_from_brings_its_network(server, data, tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    train(data, first, "model.args.width=4", "--init", "none")
    done = cli("train", data, "--out", second, "--init", first, "optim.lr=0", *QUICK)
    assert done.code == 0, done
    assert torch.equal(conv_of(first), conv_of(second)) and len(conv_of(second)) == 4
    assert load_model(second)[1].contract.model == "toy_sealed"


def test_the_name_of_a_card_to_start_from(server, data, tmp_path):
    done, found = train(data, tmp_path / "run", "--init", "toy_sealed", "optim.lr=0")
    assert done.code == 0 and found["recipe"]["model"]["init"] == "toy_sealed"
    assert torch.equal(conv_of(tmp_path / "run"), published().conv.weight)


# --- a card's name as a model --------------------------------------------------------------------


def test_predict_and_eval_take_the_name_of_a_card(server, data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = class_names("kinetics400")
    clips = tmp_path / "clips"
    for folder, name in zip(sorted((data / "test").iterdir()), (names[3], names[7]), strict=False):
        shutil.copytree(folder, clips / name)
    (tmp_path / "split.csv").write_text("nothing that a card has made")
    video = next(clips.rglob("*.mp4"))

    model = vitascope.load("toy_sealed")
    assert model.classes == names and len(server.asked) == 1
    prediction = model.predict(video)
    with torch.no_grad():
        expected = published().eval()(model.clips(video)).softmax(1)[0]
    assert torch.allclose(prediction.scores, expected, atol=1e-6)

    done = cli("predict", "toy_sealed", video, "--json", "p.json")
    assert done.code == 0, done
    shown = json.loads(Path("p.json").read_text())["files"][0]["top"]
    assert [row["label"] for row in shown] == [score.label for score in prediction.top]

    done = cli("eval", "toy_sealed", "--data", clips, "--json", "e.json")
    assert done.code == 0, done
    found = json.loads(Path("e.json").read_text())
    assert found["n_evaluated"] == 4 and len(found["classes"]) == 400
    assert found["majority"]["top1"] == 0.5
    assert Path("toy_sealed-clips-all-scores.csv").is_file() and len(server.asked) == 1


def test_names_that_predict_cannot_use(server, data):
    video = next(data.rglob("*.mp4"))
    assert "Is the model toy_sealed" in refused("predict", "toy_sealedd", video)
    assert "no published weights are known" in refused("predict", "toy", video)
    assert "scores boxes" in refused("predict", "slow_r50_detection", video)
    assert "give the data" in refused("eval", "toy_sealed")


def test_public_class_lists():
    kinetics = class_names("kinetics400")
    # as in the published outputs of the models that were trained on it
    known = {"archery": 5, "bench pressing": 19, "playing flute": 231, "throwing discus": 358}
    assert {name: kinetics.index(name) for name in known} == known
    counts = {"kinetics400": 400, "kinetics600": 600, "ssv2": 174, "charades": 157}
    for name, count in counts.items():
        assert len(set(class_names(name))) == len(class_names(name)) == count
    assert class_names("ava") == class_names("../labels/ssv2") == ()


# --- every architecture --------------------------------------------------------------------------

FAMILIES = ("x3d_xs", "slow_r50", "csn_r101", "r2plus1d_r50", "slowfast_r50", "efficient_x3d_xs",
            "mvit_base_16x4")  # fmt: skip


@pytest.mark.parametrize("family", FAMILIES)
def test_every_architecture_starts_from_published_weights(server, family):
    real = get_card(family)
    args, _ = SHRINK[builder_name(real)](real)
    name = f"small_{family}"
    if name not in CARDS:
        publish(
            ModelCard(
                name=name, tag="test", builder=real.builder, args={**real.args, **args},
                logit_args=real.logit_args, clip=real.clip, pixels=real.pixels,
                labels=real.labels, cost=real.cost,
                weights=(Weights(url=f"https://{HOST}/{name}", dialect="pytorchvideo"),),
            )
        )  # fmt: skip
    torch.manual_seed(7)
    model = get_card(name)()
    server.files[f"/{HOST}/{name}"] = save({n: v.clone() for n, v in model.state_dict().items()})
    found = start.find_start(name, "auto")
    assert found.init == "pretrained", found.note
    recipe = fine_tune_recipe(FACTS, found).recipe
    trained: VideoModel = model_of_recipe(recipe, 5)
    assert trained.num_classes == 5
    state = trained.state_dict()
    heads = set(trained.head_entries())
    report = load_into(trained, model.state_dict(), new_head=True)
    assert set(report.new_head) <= heads
    after = trained.state_dict()
    same = [n for n in state if n not in heads and torch.equal(state[n], after[n])]
    assert len(same) == len(state) - len(heads)
    assert fit_recipe(FACTS, name).recipe.optim.epochs > recipe.optim.epochs


def test_what_cannot_begin_fetches_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong task, and a folder that holds something else, are refused before the weights."""

    def fetched(*args: object, **options: object) -> None:
        raise AssertionError("weights were looked for")

    monkeypatch.setattr(planning, "find_start", fetched)
    held = tmp_path / "held"
    held.mkdir()
    (held / "mine.txt").write_text("mine")
    with pytest.raises(RunError, match="holds no run"):
        plan_training(tmp_path, out=held)
    with pytest.raises(RunError, match="is a file"):
        plan_training(tmp_path, out=held / "mine.txt")
    with pytest.raises(UnknownNameError, match="classificatoin"):
        plan_training(tmp_path, overrides=["task=classificatoin"])
    assert (held / "mine.txt").read_text() == "mine"
