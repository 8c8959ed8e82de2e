"""Image encoders of timm as `VideoModel`s: each frame on its own, features averaged over time.

The scores are those of temporal segment networks (arXiv:1608.00859) with an average: a linear
layer on the mean of the features is the mean of its scores over the frames.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from typing import Any

from torch import Tensor, nn

from vitascope.errors import ConfigError, InputError, UnknownNameError, WeightsError
from vitascope.models.base import FeatureInfo, VideoModel, tokens_as_map
from vitascope.models.card import ModelCard
from vitascope.models.foreign.base import ForeignModel
from vitascope.models.foreign.rows import IMAGENET_MEAN, IMAGENET_STD
from vitascope.optional import require
from vitascope.spec import ClipSpec, LabelSpec, PixelSpec

EXTRA = "timm"
FRAMES = 8
"""Frames of a clip by default, spread over the video."""


class TimmModel(ForeignModel):
    """An image encoder, an average over the frames, and a linear layer.

    Args:
        encoder: a model of timm without classifying layer (`num_classes=0`).
        side: height and width that it takes; None for any.
        num_classes: scores of a clip.
        dropout_rate: dropout of the averaged features.
        classifier: name that timm gives the classifying layer of the whole model.

    Attributes:
        encoder: the same; its parameters keep their names, below "encoder.".
        head: the classifying layer.
    """

    library = "timm"

    def __init__(
        self,
        encoder: nn.Module,
        side: int | None,
        num_classes: int,
        dropout_rate: float = 0.0,
        classifier: str = "fc",
    ) -> None:
        super().__init__()
        self.classifier = classifier
        self.encoder = encoder
        width: Any = getattr(encoder, "head_hidden_size", None) or encoder.num_features
        self.dropout = nn.Dropout(dropout_rate)
        self.head = nn.Linear(int(width), num_classes)
        self.size = (None, side, side)

    def forward_features(self, x: Any) -> Tensor:
        """Maps a clip B C T H W to the encoder's features of each frame, B T ..."""
        clip = x[0] if isinstance(x, list | tuple) else x
        encoder: Any = self.encoder
        frames = clip.transpose(1, 2)
        features: Tensor = encoder.forward_features(frames.flatten(0, 1))
        return features.reshape(*frames.shape[:2], *features.shape[1:])

    def forward_head(self, features: Any, bboxes: Tensor | None = None) -> Tensor:
        """Maps features B T ... to scores B classes."""
        if bboxes is not None:
            raise InputError("this model has no head for boxes")
        encoder: Any = self.encoder
        batch, frames = features.shape[:2]
        pooled = encoder.forward_head(features.flatten(0, 1), pre_logits=True)
        mean = pooled.reshape(batch, frames, -1).mean(1)
        scores: Tensor = self.head(self.dropout(mean))
        return scores

    def head_linear(self) -> tuple[nn.Module, str]:
        """The classifying layer."""
        return self, "head"

    def depth_prefixes(self) -> tuple[tuple[str, ...], ...]:
        """The layers of the encoder, as timm counts them for layer decay; then the head."""
        models = require("timm.models", extra=EXTRA)
        encoder: Any = self.encoder
        layers: Mapping[str, int] = models.group_parameters(
            encoder, encoder.group_matcher(coarse=False), reverse=True
        )
        numbers = sorted(set(layers.values()))
        rows: list[list[str]] = [[] for _ in numbers]
        for name, layer in layers.items():
            rows[numbers.index(layer)].append(f"encoder.{name}")
        return (*(tuple(row) for row in rows), ("head",))

    @property
    def feature_info(self) -> tuple[FeatureInfo, ...]:
        """The stages that timm names; each gives one map or row of tokens for each frame."""
        known = dict(self.encoder.named_modules())
        rows: Any = getattr(self.encoder, "feature_info", ())
        return tuple(
            FeatureInfo(
                name=f"encoder.{row['module']}",
                channels=(row["num_chs"],),
                stride=((1, row["reduction"], row["reduction"]),),
            )
            for row in rows
            if row.get("module") in known
        )

    def _stage_maps(
        self, info: FeatureInfo, clip: Any, inputs: tuple[Any, ...], output: Any
    ) -> tuple[Tensor, ...]:
        """The maps or tokens of the frames, put behind each other in time."""
        del inputs
        value: Tensor = output if isinstance(output, Tensor) else output[0]
        batch, frames = clip.shape[0], clip.shape[2]
        if value.dim() == 3:
            h, w = (
                -(-side // step)
                for side, step in zip(clip.shape[3:], info.stride[0][1:], strict=True)
            )
            value = tokens_as_map(value, (1, h, w))[:, :, 0]
        elif getattr(self.encoder, "output_fmt", "NCHW") == "NHWC":
            value = value.permute(0, 3, 1, 2)
        return (value.reshape(batch, frames, *value.shape[1:]).transpose(1, 2),)

    @property
    def no_weight_decay(self) -> frozenset[str]:
        """Names of the parameters that timm leaves without decay."""
        names: Any = getattr(self.encoder, "no_weight_decay", frozenset)()
        return frozenset(f"encoder.{name}" for name in names)


def create_timm(
    architecture: str,
    *,
    image_size: int | None = None,
    model_num_class: int = 1000,
    dropout_rate: float = 0.0,
) -> TimmModel:
    """Builds an image encoder of timm for clips, with start values.

    Args:
        architecture: timm's name ("resnet18").
        image_size: height and width of a frame, for encoders that are built for one size.
        model_num_class: number of classes.
        dropout_rate: dropout of the averaged features.

    Raises:
        MissingExtraError: timm is not installed.
        UnknownNameError: timm knows no such encoder.
        ConfigError: timm cannot build the encoder for this size.
    """
    timm = require("timm", extra=EXTRA)
    config = _config(architecture)
    fixed = bool(config.get("fixed_input_size", False))
    side = int(config.get("input_size", (3, 224, 224))[-1]) if image_size is None else image_size
    size = {"img_size": side} if fixed and image_size is not None else {}
    try:
        encoder = timm.create_model(architecture, pretrained=False, num_classes=0, **size)
    except (AssertionError, TypeError, ValueError) as error:
        raise ConfigError(f"timm cannot build {architecture} for {side} pixels: {error}") from error
    names = config.get("classifier") or "fc"
    name = names if isinstance(names, str) else names[0]
    return TimmModel(encoder, side if fixed else None, model_num_class, dropout_rate, name)


def _config(architecture: str) -> dict[str, Any]:
    """What timm says about an encoder and its default weights."""
    timm = require("timm", extra=EXTRA)
    if not timm.is_model(architecture):
        raise UnknownNameError("encoder of timm", architecture, timm.list_models())
    config = timm.get_pretrained_cfg(architecture)
    return {} if config is None else dict(config.to_dict())


def timm_card(
    source: str, args: Mapping[str, Any], stored: Mapping[str, Any] | None = None
) -> ModelCard:
    """The card of an image encoder.

    Args:
        source: timm's name.
        args: arguments of the builder that are known already; none is needed.
        stored: entries of a config.json beside weights, as timm writes it: classes and pixels.

    Raises:
        MissingExtraError: timm is not installed.
        UnknownNameError: timm knows no such encoder.
    """
    del args
    default, stored = _config(source), stored or {}
    config = {**default, **(stored.get("pretrained_cfg") or {})}
    classes = stored.get("num_classes") or config.get("num_classes") or 1000
    side, usual = (int(c.get("input_size", (3, 224, 224))[-1]) for c in (config, default))
    resized: dict[str, Any] = {} if side == usual else {"image_size": side}
    names = tuple(map(str, stored.get("label_names") or config.get("label_names") or ()))
    imagenet = "imagenet1k" if classes == 1000 else ""
    return ModelCard(
        name=f"timm:{source}",
        tag="",
        builder=create_timm,
        args={"architecture": source, "model_num_class": classes, **resized},
        clip=ClipSpec(num_frames=FRAMES, coverage="video"),
        pixels=PixelSpec(
            short_side=max(side, math.floor(side / config.get("crop_pct", 0.875))),
            crop=(side, side),
            mean=tuple(config.get("mean", IMAGENET_MEAN)),
            std=tuple(config.get("std", IMAGENET_STD)),
        ),
        labels=LabelSpec(names=names) if len(names) == classes else LabelSpec(name=imagenet),
        note="An image encoder of timm; the license of its weights is on its own card.",
        kept=tuple(resized),
        load=partial(_load, source=source),
    )


def _load(model: VideoModel, source: str) -> None:
    """Puts timm's weights into a model; its head keeps its start values if it has another size.

    Raises:
        WeightsError: timm has none, or they cannot be fetched.
    """
    timm = require("timm", extra=EXTRA)
    assert isinstance(model, TimmModel)
    side = model.size[1]
    size = {"img_size": side} if side is not None else {}
    try:
        whole = timm.create_model(source, pretrained=True, **size)
    except (OSError, RuntimeError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise WeightsError(f"timm:{source}: its weights cannot be loaded ({reason})") from error
    state, own = whole.state_dict(), model.encoder.state_dict()
    missing = [name for name in own if name not in state]
    if missing:
        raise WeightsError(f"timm:{source}: its weights have no {missing[0]}")
    model.encoder.load_state_dict({name: state[name] for name in own})
    last = whole.get_classifier()
    if isinstance(last, nn.Linear) and last.weight.shape == model.head.weight.shape:
        model.head.load_state_dict(last.state_dict())
