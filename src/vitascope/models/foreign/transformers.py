"""Video classifiers of Transformers as `VideoModel`s, with their own weights and configurations.

VideoMAE (arXiv:2203.12602), TimeSformer (2102.05095), ViViT (2103.15691), V-JEPA 2 (2506.09985).
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from vitascope.errors import ConfigError, InputError, UnknownNameError, WeightsError
from vitascope.models.base import FeatureInfo, Triple, VideoModel, tokens_as_map
from vitascope.models.card import ModelCard
from vitascope.models.foreign.base import ForeignModel
from vitascope.models.foreign.rows import PUBLISHED, Published
from vitascope.optional import require
from vitascope.spec import LabelSpec, PixelSpec

EXTRA = "transformers"
# Entries of a configuration that say nothing about the network.
_NOT_KEPT = (
    "transformers_version", "architectures", "id2label", "label2id", "num_labels", "dtype",
    "torch_dtype", "_name_or_path", "problem_type",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Family:
    """Where a family keeps its parts.

    Attributes:
        network: class of Transformers.
        encoder: the part that maps frames to tokens.
        layers: its list of layers.
        embeddings: what lies before the layers.
        tail: what lies after them, from the encoder's last norm to the classifying layer.
        frames: entry of the configuration for the frames of a clip.
        side: entry for height and width.
        unused: parts that the classifier never calls.
        frames_last: the tokens of one place in all frames follow each other.
    """

    network: str
    encoder: str
    layers: str
    embeddings: str
    tail: tuple[str, ...]
    frames: str = "num_frames"
    side: str = "image_size"
    unused: tuple[str, ...] = ()
    frames_last: bool = False


FAMILIES = {
    "videomae": Family(
        network="VideoMAEForVideoClassification",
        encoder="videomae",
        layers="videomae.encoder.layer",
        embeddings="videomae.embeddings",
        tail=("videomae.layernorm", "fc_norm", "classifier"),
    ),
    "timesformer": Family(
        network="TimesformerForVideoClassification",
        encoder="timesformer",
        layers="timesformer.encoder.layer",
        embeddings="timesformer.embeddings",
        tail=("timesformer.layernorm", "classifier"),
        frames_last=True,
    ),
    "vivit": Family(
        network="VivitForVideoClassification",
        encoder="vivit",
        layers="vivit.layers",
        embeddings="vivit.embeddings",
        tail=("vivit.layernorm", "classifier"),
    ),
    "vjepa2": Family(
        network="VJEPA2ForVideoClassification",
        encoder="vjepa2.encoder",
        layers="vjepa2.encoder.layer",
        embeddings="vjepa2.encoder.embeddings",
        tail=("vjepa2.encoder.layernorm", "pooler", "classifier"),
        frames="frames_per_clip",
        side="crop_size",
        unused=("vjepa2.predictor",),
    ),
}


class TransformersModel(ForeignModel):
    """A video classifier of Transformers.

    Args:
        network: the classifier; its parameters keep their names, below "network.".

    Attributes:
        network: the same.
        size: T, H, W that its positions are made for.
    """

    library = "transformers"

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        config: Any = network.config
        self.family = FAMILIES[config.model_type]
        for name in self.family.unused:
            owner, _, attribute = name.rpartition(".")
            setattr(network.get_submodule(owner), attribute, None)
        self.network = network
        self.size = (getattr(config, self.family.frames), *_pair(getattr(config, self.family.side)))

    def forward_features(self, x: Any) -> Tensor:
        """Maps a clip B C T H W to tokens B N D."""
        clip = x[0] if isinstance(x, list | tuple) else x
        encoder = self.network.get_submodule(self.family.encoder)
        tokens: Tensor = encoder(clip.transpose(1, 2)).last_hidden_state
        return tokens

    def forward_head(self, features: Any, bboxes: Tensor | None = None) -> Tensor:
        """Maps tokens B N D to scores B classes: pooled as the family does, then classified."""
        if bboxes is not None:
            raise InputError("this model has no head for boxes")
        network: Any = self.network
        if hasattr(network, "pooler"):
            pooled = network.pooler(features)
        elif getattr(network, "fc_norm", None) is not None:
            pooled = network.fc_norm(features.mean(1))
        else:
            pooled = features[:, 0]
        scores: Tensor = network.classifier(pooled)
        return scores

    def head_linear(self) -> tuple[nn.Module, str]:
        """The classifying layer."""
        return self.network, "classifier"

    def head_entries(self) -> tuple[str, ...]:
        """Those of the classifying layer and of what comes with it, behind the encoder."""
        parts = (name for name in self.family.tail if not name.startswith(self.family.encoder))
        prefixes = tuple(f"network.{part}." for part in parts)
        return tuple(name for name in self.state_dict() if name.startswith(prefixes))

    def depth_prefixes(self) -> tuple[tuple[str, ...], ...]:
        """The embeddings, each layer, and everything behind the layers."""
        layers = (f"network.{self.family.layers}.{i}" for i in range(len(self._layers())))
        tail = tuple(f"network.{name}" for name in self.family.tail)
        return ((f"network.{self.family.embeddings}",), *((layer,) for layer in layers), tail)

    @property
    def feature_info(self) -> tuple[FeatureInfo, ...]:
        """The layers; each gives tokens B N D, with or without a class token."""
        config: Any = self.network.config
        return tuple(
            FeatureInfo(
                name=f"network.{self.family.layers}.{i}",
                channels=(config.hidden_size,),
                stride=(_patch(config),),
            )
            for i in range(len(self._layers()))
        )

    def _stage_maps(
        self, info: FeatureInfo, clip: Any, inputs: tuple[Any, ...], output: Any
    ) -> tuple[Tensor, ...]:
        """The tokens of a layer in the places of their patches."""
        del inputs
        tokens: Tensor = output if isinstance(output, Tensor) else output[0]
        sizes = zip(clip.shape[2:], info.stride[0], strict=True)
        t, h, w = (size // step for size, step in sizes)
        if not self.family.frames_last:
            return (tokens_as_map(tokens, (t, h, w)),)
        if len(tokens) != len(clip):  # each frame on its own
            frames = tokens_as_map(tokens, (1, h, w)).reshape(len(clip), t, -1, h, w)
            return (frames.transpose(1, 2),)
        return (tokens_as_map(tokens, (h, w, t)).permute(0, 1, 4, 2, 3),)

    @property
    def no_weight_decay(self) -> frozenset[str]:
        """Names of positions and class tokens, which are no weights."""
        ends = ("position_embeddings", "time_embeddings", "cls_token")
        return frozenset(name for name, _ in self.named_parameters() if name.endswith(ends))

    def _layers(self) -> nn.ModuleList:
        layers = self.network.get_submodule(self.family.layers)
        assert isinstance(layers, nn.ModuleList)
        return layers


def create_transformers(
    config: Any,
    *,
    num_frames: int | None = None,
    image_size: int | None = None,
    model_num_class: int | None = None,
) -> TransformersModel:
    """Builds a video classifier of Transformers with start values.

    Args:
        config: a configuration object, or its entries with "model_type".
        num_frames: frames of a clip in place of the configuration's.
        image_size: height and width of a clip in place of the configuration's.
        model_num_class: number of classes; None takes the configuration's.

    Raises:
        MissingExtraError: Transformers is not installed.
        UnknownNameError: a model type that is none of `FAMILIES`.
        ConfigError: entries that Transformers refuses, or a clip that is no multiple of a patch.
    """
    transformers = require("transformers", extra=EXTRA)
    entries = plain_config(config)
    family = _family(entries["model_type"])
    if num_frames is not None:
        entries[family.frames] = num_frames
    if image_size is not None:
        entries[family.side] = image_size
    classes = getattr(config, "num_labels", 2) if model_num_class is None else model_num_class
    try:
        built = transformers.AutoConfig.for_model(**entries, num_labels=classes)
        size = (getattr(built, family.frames), *_pair(getattr(built, family.side)))
        _require_whole_patches(size, _patch(built))
        return TransformersModel(getattr(transformers, family.network)(built))
    except (TypeError, ValueError, ZeroDivisionError) as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(f"{family.network} cannot be built: {error}") from error


def plain_config(config: Any) -> dict[str, Any]:
    """The entries of a configuration as JSON values, without those that are not the model's."""
    text = json.dumps(dict(config)) if isinstance(config, Mapping) else config.to_json_string()
    entries: dict[str, Any] = json.loads(text)
    if "model_type" not in entries:
        raise ConfigError(f"a configuration needs its model_type: one of {', '.join(FAMILIES)}")
    return {name: value for name, value in entries.items() if name not in _NOT_KEPT}


def _family(model_type: str) -> Family:
    if model_type not in FAMILIES:
        raise UnknownNameError("video classifier of Transformers", model_type, FAMILIES)
    return FAMILIES[model_type]


def _pair(size: int | Sequence[int]) -> tuple[int, int]:
    h, w = (size, size) if isinstance(size, int) else size
    return int(h), int(w)


def _patch(config: Any) -> Triple:
    """Frames, rows and columns of a token."""
    tubelet = getattr(config, "tubelet_size", 1)
    if isinstance(tubelet, list | tuple):
        t, h, w = tubelet
        return t, h, w
    return (tubelet, *_pair(config.patch_size))


def _require_whole_patches(size: Sequence[int], patch: Triple) -> None:
    if any(side % step for side, step in zip(size, patch, strict=True)):
        raise ConfigError(
            f"a clip of T x H x W = {'x'.join(map(str, size))} cannot be cut into patches of "
            f"{'x'.join(map(str, patch))}; take multiples (num_frames, image_size)"
        )


def transformers_card(source: str, args: dict[str, Any]) -> ModelCard:
    """The card of a video classifier.

    Args:
        source: a folder, a name on the hub, or a family.
        args: `config`, if it is known already.

    Raises:
        MissingExtraError: Transformers is not installed.
        UnknownNameError: a model type that is none of `FAMILIES`.
        WeightsError: there is no configuration.
    """
    given = args.get("config")
    config = _read_config(source) if given is None else _complete(given)
    family, published = _family(config.model_type), PUBLISHED[config.model_type]
    size = _pair(getattr(config, family.side))
    names = tuple(config.id2label[i] for i in sorted(config.id2label))
    generic = all(name == f"LABEL_{i}" for i, name in enumerate(names))
    stored = None if given is not None or source in FAMILIES else _read_processor(source)
    return ModelCard(
        name=f"hf:{source}",
        tag="",
        builder=create_transformers,
        args={"config": plain_config(config), "model_num_class": len(names)},
        clip=published.clip(getattr(config, family.frames)),
        pixels=pixels_of(stored, size, published),
        labels=LabelSpec(names=() if generic else names),
        paper=published.paper,
        note="A model of Transformers; the license of its weights is on its own card.",
        kept=("config",),
        load=partial(_load, source=source),
    )


def _complete(config: Any) -> Any:
    """A configuration object from one, or from its entries."""
    transformers = require("transformers", extra=EXTRA)
    if not isinstance(config, Mapping):
        return config
    entries = plain_config(config)
    _family(entries["model_type"])
    return transformers.AutoConfig.for_model(**entries)


def _read_config(source: str) -> Any:
    transformers = require("transformers", extra=EXTRA)
    if source in FAMILIES and not os.path.isdir(source):
        return transformers.AutoConfig.for_model(source)
    if "/" not in source and not os.path.isdir(source):
        hint = "Or give a folder, or OWNER/NAME of the hub."
        raise UnknownNameError("video classifier of Transformers", source, FAMILIES, hint)
    try:
        # Code that lies beside a configuration is never run, nor is anybody asked about it.
        return transformers.AutoConfig.from_pretrained(source, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        reason = str(error).strip().splitlines()[0]
        raise WeightsError(
            f"hf:{source}: no configuration that Transformers can read ({reason}). Give a folder "
            f"with its config.json, or OWNER/NAME of the hub"
        ) from error


def _read_processor(source: str) -> dict[str, Any] | None:
    """What was stored about the preprocessing; None if nothing was."""
    for name in ("preprocessor_config.json", "video_preprocessor_config.json"):
        path: Any = Path(source) / name
        if not os.path.isdir(source):
            path = _fetched(source, name)
        if path is not None and os.path.isfile(path):
            stored: dict[str, Any] = json.loads(Path(path).read_text(encoding="utf-8"))
            return stored
    return None


def _fetched(source: str, name: str) -> str | None:
    """A file of the hub in the cache of Transformers; None if the hub has no such file."""
    utils = require("transformers.utils", extra=EXTRA)
    try:
        found: str | None = utils.cached_file(
            source, name, _raise_exceptions_for_missing_entries=False
        )
    except OSError as error:
        reason = str(error).strip().splitlines()[0]
        raise WeightsError(
            f"hf:{source}: {name} cannot be fetched ({reason}). Without it nobody knows how the "
            f"pixels were scaled; try again, or give a folder that holds it"
        ) from error
    return found


def pixels_of(
    stored: Mapping[str, Any] | None, size: tuple[int, int], published: Published
) -> PixelSpec:
    """Size and scale of a frame, from a stored processor or as the family was published.

    A processor maps a value v of 0 to 255 to (f v - offset - mean) / std; here that becomes one
    mean and one std on a scale of 0 to 1.

    Args:
        stored: entries of a preprocessor_config.json.
        size: height and width that the model takes.
        published: the scale where the processor does not say it.
    """
    if stored is None:
        return published.pixels(size)
    factor = 255 * stored.get("rescale_factor", 1 / 255) if stored.get("do_rescale", True) else 255
    offset = 1.0 if stored.get("offset", False) and stored.get("do_rescale", True) else 0.0
    mean: Sequence[float] = (0.0,) * 3
    std: Sequence[float] = (1.0,) * 3
    if stored.get("do_normalize", True):
        mean = stored.get("image_mean") or published.mean
        std = stored.get("image_std") or published.std
    scaled = stored.get("size") or {}
    scaled = {"shortest_edge": scaled} if isinstance(scaled, int) else scaled
    squash = "shortest_edge" not in scaled and not stored.get("do_center_crop", True)
    edge = scaled.get("shortest_edge", scaled.get("height", min(size)))
    return PixelSpec(
        short_side=max(round(edge), min(size)),
        crop=size,
        mean=tuple((m + offset) / factor for m in mean),
        std=tuple(s / factor for s in std),
        fit="squash" if squash else "crop",
    )


def _load(model: VideoModel, source: str) -> None:
    """Puts the weights of a folder or of the hub into a model; its head may be a new one.

    Raises:
        WeightsError: there are none, or they are not for this model.
    """
    transformers = require("transformers", extra=EXTRA)
    assert isinstance(model, TransformersModel)
    if source in FAMILIES and not os.path.isdir(source):
        raise WeightsError(f"hf:{source} is a family without weights; give a folder or OWNER/NAME")
    try:
        loaded, report = getattr(transformers, model.family.network).from_pretrained(
            source,
            config=model.network.config,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
        )
    except (OSError, ValueError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise WeightsError(f"hf:{source}: its weights cannot be loaded ({reason})") from error
    named = [*report["missing_keys"], *(row[0] for row in report["mismatched_keys"])]
    head = tuple(n for n in model.family.tail if not n.startswith(model.family.encoder))
    wrong = [name for name in named if not name.startswith((*head, *model.family.unused))]
    if wrong:
        raise WeightsError(
            f"hf:{source}: {len(wrong)} tensors are missing or of another shape, the first "
            f"{wrong[0]}. Are the weights for another clip size? They fit clips of the size in "
            f"their own config.json"
        )
    state = loaded.state_dict()
    model.network.load_state_dict({name: state[name] for name in model.network.state_dict()})
