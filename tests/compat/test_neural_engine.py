"""PyTorchVideo's neural_engine: steps that find their order, through old and new paths."""

from __future__ import annotations

import importlib
import itertools
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch

from support.model_reference import old_names
from support.sound import film_with_sound, tone
from support.videos import film, numbers
from vitascope.compat.ptv.neural_engine import DecodeHook, HookBase, NeuralEngine, X3DClsHook
from vitascope.compat.ptv.neural_engine import detection_hook as detection
from vitascope.compat.ptv.neural_engine import retrieval_hook as retrieval
from vitascope.data.write import write_video
from vitascope.errors import ConfigError, DecodeError, MissingExtraError, UnknownNameError
from vitascope.models.registry import create_model


def step(inputs: str, outputs: str, calls: list[str] | None = None, **more: Any) -> HookBase:
    """Adds its inputs up, and notes its name."""

    def work(status: Any) -> dict[str, Any]:
        if calls is not None:
            calls.append(outputs)
        return {name: sum(status[i] for i in inputs) + 1 for name in outputs}

    return HookBase(work, list(inputs), list(outputs), **more)


def test_old_paths_are_the_same_objects() -> None:
    old_names()
    for name in ("hook", "engine", "detection_hook", "retrieval_hook"):
        old = importlib.import_module(f"pytorchvideo.neural_engine.{name}")
        assert old is importlib.import_module(f"vitascope.compat.ptv.neural_engine.{name}")
    from pytorchvideo.neural_engine import HookBase as Old

    assert Old is HookBase


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
def test_every_order_of_steps_gives_the_same(order: tuple[int, ...]) -> None:
    steps = [step("a", "b"), step("ab", "c"), step("c", "de"), step("ae", "f")]
    with NeuralEngine([steps[i] for i in order]) as engine:
        found = engine({"a": 1})
    assert found == {"a": 1, "b": 2, "c": 4, "d": 5, "e": 5, "f": 7}
    assert {s.status for s in steps} == {"EXECUTED"}


def test_priority_and_another_order() -> None:
    calls: list[str] = []
    steps = [step("a", "b", calls), step("a", "c", calls, priority=3), step("a", "d", calls)]
    NeuralEngine(steps)({"a": 1})
    assert calls == ["c", "b", "d"]
    engine = NeuralEngine(steps)
    engine.set_execution_order_func(lambda status, hooks: hooks[::-1])
    engine({"a": 1})
    assert calls[3:] == ["d", "c", "b"]


def test_steps_that_cannot_run() -> None:
    with pytest.raises(ConfigError, match=r"lack an input: .*'x'"):
        NeuralEngine([step("a", "b"), step("xb", "c")])({"a": 1})
    with pytest.raises(ConfigError, match="more than one step gives b"):
        NeuralEngine([step("a", "b"), step("a", "b")])({"a": 1})
    with pytest.raises(ConfigError, match="lack"):  # a circle
        NeuralEngine([step("b", "a"), step("a", "b")])({})
    with pytest.raises(ConfigError, match="gave no b"):
        HookBase(lambda status: {}, ["a"], ["b"]).run({"a": 1})
    for bad in ({"fail_strategy": "ZERO_FILL"}, {"priority": -1}):
        with pytest.raises(ConfigError):
            step("a", "b", **bad)


def test_conditions_exits_and_failures(tmp_path: Path) -> None:
    seen: list[str] = []
    skipped = step("a", "b", conditional_execution_func=lambda: False)
    assert skipped.run({"a": 1}) == {} and skipped.status == "EARLY_EXIT"
    step("a", "b", exit_func=lambda: seen.append("out")).run({"a": 1})
    assert seen == ["out"]
    with pytest.raises(DecodeError):
        NeuralEngine([DecodeHook()])(str(tmp_path / "none.mp4"))
    lenient = DecodeHook(fail_strategy="RETURN_NONE")
    found = NeuralEngine([lenient])(str(tmp_path / "none.mp4"))
    assert found["video"] is None and found["audio"] is None and lenient.status == "FAILED"


def test_decoding(tmp_path: Path) -> None:
    path = film_with_sound(tmp_path / "s.mov", tone(1, 8000), 8000, frames=25)
    found = NeuralEngine([DecodeHook()])(str(path))
    assert found["video"].dtype == torch.float32 and found["audio"].shape == (8000,)
    assert numbers(found["video"].permute(1, 2, 3, 0).to(torch.uint8)) == list(range(25))
    silent = film(tmp_path / "v.mp4", frames=3)
    assert NeuralEngine([DecodeHook()])(str(silent))["audio"] is None
    assert "audio" not in NeuralEngine([DecodeHook(decode_audio=False)])(str(silent))


def test_classes_are_those_of_the_network_on_its_own_input(tmp_path: Path) -> None:
    model = create_model("x3d_s", num_classes=6).eval()
    path = film(tmp_path / "v.mp4", frames=20, size=(200, 240))
    hook = X3DClsHook(model=model)
    found = NeuralEngine([hook, DecodeHook(decode_audio=False)])(str(path))
    clip = hook.transform(found["video"])
    assert clip.shape == (3, 13, 182, 182)
    # 13 of 20 frames, short side 182, the middle, colors; written out
    picked = found["video"][:, torch.linspace(0, 19, 13).long()]
    scaled = torch.nn.functional.interpolate(picked, size=(182, 218), mode="bilinear")
    want = (scaled[..., 18:200] / 255 - 0.45) / 0.225
    torch.testing.assert_close(clip, want, atol=1e-4, rtol=1e-4)
    with torch.no_grad():
        torch.testing.assert_close(found["action_class"], model(clip[None]))


class People:
    """Instances as Detectron2 gives them."""

    def __init__(self, classes: torch.Tensor, values: torch.Tensor) -> None:
        self.pred_classes, self.pred_boxes, self.pred_keypoints = classes, values, values * 2

    def __getitem__(self, keep: torch.Tensor) -> People:
        return People(self.pred_classes[keep], self.pred_boxes[keep])


def look(image: Any) -> dict[str, Any]:
    return {
        "instances": People(
            torch.tensor([0, 5, 0]), torch.tensor([1.0, 2.0, float(image[0, 0, 0])])
        )
    }


def test_people_in_an_image(tmp_path: Path) -> None:
    frame = torch.zeros(1, 32, 48, 3, dtype=torch.uint8)
    frame[..., 2] = 200  # blue
    path = write_video(tmp_path / "v.mp4", frame.numpy(), 1)
    hooks = [
        detection.PeopleKeypointDetectionHook(predictor=look),
        detection.Detectron2PeopleDetectionHook(predictor=look),
        detection.ImageLoadHook(),
    ]
    found = NeuralEngine(hooks)({"image_path": str(path)})
    blue = float(found["loaded_image"][0, 0, 0])
    assert abs(blue - 200) < 6, "blue comes first"
    assert found["bbox_coordinates"].tolist() == [1, blue]
    assert found["keypoint_coordinates"].tolist() == [2, 2 * blue]


def test_detectron2(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MissingExtraError, match="predictor="):
        detection.Detectron2PeopleDetectionHook()
    with pytest.raises(ConfigError, match="detectron2"):
        detection.generate_predictor({"backend": "other"})
    with pytest.raises(UnknownNameError, match="faster_rcnn_R_50_C4"):
        detection.Detectron2PeopleDetectionHook(model_name="faster")
    merged: list[str] = []
    config = SimpleNamespace(
        MODEL=SimpleNamespace(ROI_HEADS=SimpleNamespace()), merge_from_file=merged.append
    )
    fakes = {
        "model_zoo": {"get_config_file": "file/{}".format, "get_checkpoint_url": "url/{}".format},
        "config": {"get_cfg": lambda: config},
        "engine": {"DefaultPredictor": lambda cfg: ("predictor", cfg)},
    }
    monkeypatch.setitem(sys.modules, "detectron2", ModuleType("detectron2"))
    for name, members in fakes.items():
        module = ModuleType(f"detectron2.{name}")
        vars(module).update(members)
        monkeypatch.setitem(sys.modules, module.__name__, module)
    hook = detection.Detectron2PeopleDetectionHook(model_name="faster_rcnn_R_50_FPN", threshold=0.4)
    assert hook.predictor == ("predictor", config)
    assert merged == ["file/COCO-Detection/faster_rcnn_R_50_FPN_3x.yaml"]
    assert config.MODEL.ROI_HEADS.SCORE_THRESH_TEST == 0.4
    assert config.MODEL.WEIGHTS == "url/COCO-Detection/faster_rcnn_R_50_FPN_3x.yaml"


def test_frames_of_the_people_that_match() -> None:
    joints = torch.eye(4) * 9
    tracker = [{"keypoint_coord": joints[i].reshape(2, 2), "frame_id": 10 + i} for i in range(4)]
    engine = NeuralEngine([retrieval.PeopleKeypointRetrievalHook()])
    found = engine({"frame_tracker": tracker, "action_query": joints[2:3]})
    assert found["frame_id_list"] == [12]
    none = engine({"frame_tracker": tracker, "action_query": torch.zeros(1, 4)})
    assert none["frame_id_list"] == []
    scores = torch.tensor([[0.1, 3.0, 2.0]])
    assert retrieval.get_closest_keypoint_feature_match(scores, "topk", 2) == [1, 2]
    with pytest.raises(ConfigError, match="topk, softmax"):
        retrieval.get_closest_keypoint_feature_match(scores, "best", 2)
