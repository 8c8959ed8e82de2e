"""What a checkpoint, or the files beside it, say about the model in words.

PySlowFast stores its configuration in every checkpoint; Transformers and timm write a config.json
beside the weights.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from vitascope.errors import MissingExtraError, VitascopeError, WeightsError
from vitascope.files import read_json
from vitascope.models.card import ModelCard
from vitascope.models.foreign import timm as foreign_timm
from vitascope.models.registry import get_card
from vitascope.models.weights.containers import WRAPPERS, unwrap
from vitascope.models.weights.read import CONFIG
from vitascope.optional import require

_CONFIGURATION = 100_000  # characters of a stored configuration; PySlowFast's has 6,000
_FAMILY = re.compile(r"^(videomae|timesformer|vivit|vjepa2)\.")


@dataclass(frozen=True)
class ClipFacts:
    """Clips for which a model was trained, as PySlowFast stores them.

    Attributes:
        frames: frames of a clip (of the fast pathway).
        rate: frames of the video from one to the next.
        crop: height and width in the test.
    """

    frames: int
    rate: int
    crop: int

    def are_those_of(self, card: ModelCard) -> bool:
        """Whether a card has such clips."""
        clip = (card.clip.num_frames, card.clip.sampling_rate)
        return clip == (self.frames, self.rate) and self.crop in card.pixels.crop


def clips_of(content: Any) -> ClipFacts | None:
    """The clips that a checkpoint of PySlowFast names; None where it names none."""
    text = content.get("cfg") if isinstance(content, Mapping) else None
    # A merge of merges ("<<") takes time without end; no program writes one.
    if not isinstance(text, str) or len(text) > _CONFIGURATION or "<<" in text:
        return None
    try:
        data = yaml.safe_load(text)["DATA"]
        return ClipFacts(
            int(data["NUM_FRAMES"]), int(data["SAMPLING_RATE"]), int(data["TEST_CROP_SIZE"])
        )
    except (yaml.YAMLError, KeyError, TypeError, ValueError, OverflowError, RecursionError):
        return None  # the entry is another program's, and the weights are understood without it


def foreign_card_of(content: Any, path: Path) -> ModelCard | None:
    """The card of a model of Transformers or timm, from the description beside its weights.

    Args:
        content: what the checkpoint holds.
        path: the file or folder; its folder has the config.json.

    Returns:
        The card; None for a checkpoint of neither library.

    Raises:
        WeightsError: it is a model of Transformers without its configuration.
        MissingExtraError: the other library is not installed.
    """
    folder = path if path.is_dir() else path.parent
    entries, _ = unwrap(content, str(path))
    family = next((m[1] for name in entries if (m := _FAMILY.match(_bare(name)))), None)
    described = _description(folder / CONFIG)
    if "model_type" in described and (family is not None or path.is_dir()):
        return _read(lambda: get_card(f"hf:{folder}"), folder)
    if family is not None:
        raise WeightsError(
            f"{path} is a {family} model of Transformers, whose sizes stand in its {CONFIG}, and "
            f"there is none in {folder}. Put it beside the weights, or name a folder that has it: "
            f"--model hf:FOLDER"
        )
    architecture = described.get("architecture")
    if isinstance(architecture, str):
        return _read(lambda: foreign_timm.timm_card(architecture, {}, described), folder)
    return None


def _read(card: Callable[[], ModelCard], folder: Path) -> ModelCard:
    try:
        return card()
    except VitascopeError:
        raise
    except Exception as error:  # the other library raises whatever the entries lead to
        raise WeightsError(
            f"{folder / CONFIG} describes no model ({type(error).__name__}: {error!s:.200})"
        ) from error


def timm_card_named(path: Path) -> ModelCard | None:
    """The card of the encoder of timm that a file is named after ("resnet10t.a1_in1k.pth")."""
    try:
        timm = require("timm", extra=foreign_timm.EXTRA)
    except MissingExtraError:
        return None
    name = path.stem.partition(".")[0]
    return get_card(f"timm:{name}") if timm.is_model(name) else None


def _bare(name: str) -> str:
    while word := next((w for w in WRAPPERS if name.startswith(w)), None):
        name = name[len(word) :]
    return name


def _description(file: Path) -> dict[str, Any]:
    try:
        content = read_json(file)
    except FileNotFoundError:
        return {}
    return content if isinstance(content, dict) else {}
