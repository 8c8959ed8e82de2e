"""Steps that find people and their joints with Detectron2, or with what is given in its place."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

from vitascope.compat.ptv.neural_engine.hook import HookBase, Status
from vitascope.data.decoder import Image, open_video
from vitascope.errors import ConfigError, MissingExtraError, UnknownNameError

Predictor = Callable[[Image], Mapping[str, Any]]

model_config: dict[str, Any] = {
    "backend": "detectron2",
    "model": "COCO-Keypoints/keypoint_rcnn_R_50_FPN_3x.yaml",
    "threshold": 0.7,
}
det_models = {
    "faster_rcnn_R_50_C4": "COCO-Detection/faster_rcnn_R_50_C4_3x.yaml",
    "faster_rcnn_R_50_FPN": "COCO-Detection/faster_rcnn_R_50_FPN_3x.yaml",
}


def generate_predictor(model_config: Mapping[str, Any], *args: Any) -> Predictor:
    """A detector of Detectron2 with its published weights.

    Args:
        model_config: `backend` ("detectron2"), `model` (a path in its zoo) and `threshold`.
        args: not used.

    Raises:
        ConfigError: another backend.
        MissingExtraError: Detectron2 is not installed.
    """
    if model_config["backend"] != "detectron2":
        raise ConfigError(f"backend = {model_config['backend']!r}; legal values: detectron2")
    try:
        zoo: Any = importlib.import_module("detectron2.model_zoo")
        config: Any = importlib.import_module("detectron2.config").get_cfg()
        engine: Any = importlib.import_module("detectron2.engine")
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            "detectron2 is not installed, and pip has no package of it. See "
            "https://detectron2.readthedocs.io/en/latest/tutorials/install.html, or give "
            "predictor=, which takes an image and gives {'instances': ...}"
        ) from error
    config.merge_from_file(zoo.get_config_file(model_config["model"]))
    config.MODEL.WEIGHTS = zoo.get_checkpoint_url(model_config["model"])
    config.MODEL.ROI_HEADS.SCORE_THRESH_TEST = model_config["threshold"]
    config.MODEL.DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
    predictor: Predictor = engine.DefaultPredictor(config)
    return predictor


def people_keypoints_executor(image: Image, predictor: Predictor) -> Mapping[str, Any]:
    """What the detector says about an image."""
    return predictor(image)


def people_detection_executor(loaded_image: Image, predictor: Predictor) -> Any:
    """Boxes of the people in an image, as the detector gives them."""
    return _people(predictor(loaded_image)).pred_boxes


def image_load_executor(image_path: str) -> Image:
    """An image uint8 H W C with its colors in the order B G R, as Detectron2 takes them."""
    with open_video(image_path) as video:
        return np.ascontiguousarray(video.read([0]).data[0].numpy()[..., ::-1])


def _people(found: Mapping[str, Any]) -> Any:
    """The instances of the first class of COCO."""
    instances = found["instances"]
    return instances[instances.pred_classes == 0]


class ImageLoadHook(HookBase):
    """From `image_path` to `loaded_image`.

    Args:
        executor: reads the image.
    """

    def __init__(self, executor: Callable[..., Any] = image_load_executor) -> None:
        super().__init__(executor, ["image_path"], ["loaded_image"])

    def _run(self, status: Status) -> Mapping[str, Any]:
        return {"loaded_image": self.executor(image_path=status["image_path"])}


class Detectron2PeopleDetectionHook(HookBase):
    """From `loaded_image` to `bbox_coordinates`, the boxes of people.

    Args:
        executor: asks the detector.
        model_name: one of `det_models`.
        threshold: least score of a box.
        predictor: a detector; None is Detectron2's.

    Raises:
        UnknownNameError: no such model.
        MissingExtraError: Detectron2 is not installed and no detector was given.
    """

    def __init__(
        self,
        executor: Callable[..., Any] = people_detection_executor,
        model_name: str = "faster_rcnn_R_50_C4",
        threshold: float = 0.7,
        predictor: Predictor | None = None,
    ) -> None:
        super().__init__(executor, ["loaded_image"], ["bbox_coordinates"])
        if model_name not in det_models:
            raise UnknownNameError("detector", model_name, det_models)
        wanted = {"backend": "detectron2", "model": det_models[model_name], "threshold": threshold}
        self.predictor = predictor or generate_predictor(wanted)

    def _run(self, status: Status) -> Mapping[str, Any]:
        found = self.executor(loaded_image=status["loaded_image"], predictor=self.predictor)
        return {"bbox_coordinates": found}


class PeopleKeypointDetectionHook(HookBase):
    """From `loaded_image` to `keypoint_coordinates`, people x joints x (x, y, score).

    Args:
        model_config: see `generate_predictor`.
        executor: asks the detector.
        predictor: a detector; None is that of `model_config`.

    Raises:
        MissingExtraError: Detectron2 is not installed and no detector was given.
    """

    def __init__(
        self,
        model_config: Mapping[str, Any] = model_config,
        executor: Callable[..., Any] = people_keypoints_executor,
        predictor: Predictor | None = None,
    ) -> None:
        super().__init__(executor, ["loaded_image", "bbox_coordinates"], ["keypoint_coordinates"])
        self.model_config = dict(model_config)
        self.predictor = predictor or generate_predictor(model_config)

    def _run(self, status: Status) -> Mapping[str, Any]:
        found = self.executor(image=status["loaded_image"], predictor=self.predictor)
        return {"keypoint_coordinates": _people(found).pred_keypoints}
