"""Features of long videos: one row a window, with its exact place, in constant memory."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from numpy.lib import format as npy
from torch import Tensor

from vitascope.data.clips import Clip
from vitascope.data.decoder import open_video
from vitascope.engine.device import network_input
from vitascope.errors import (
    ConfigError,
    DecodeError,
    InputError,
    RunError,
    UnknownNameError,
    WeightsError,
)
from vitascope.files import folder_of, replacing
from vitascope.models.base import VideoModel
from vitascope.serving.predictor import Predictor, to_seconds
from vitascope.serving.windows import plan_windows
from vitascope.spec import to_json

Pool = Literal["all", "time", "none"]
EMBEDDING = "embedding"
"""Name of what enters the classifying layer, averaged over its positions."""


@dataclass(frozen=True)
class FeatureRow:
    """Features of one window.

    Attributes:
        clip: the part of the video, seconds from its first frame.
        features: float32; D, or with a stage's name what `pool` leaves: C ("all"), C T ("time"),
            C T H W ("none"). Of token models the patches are in their places.
    """

    clip: Clip
    features: Tensor


class FeatureExtractor:
    """Takes features out of a run's model while it looks at videos.

    Args:
        predictor: a run or checkpoint opened with `load`; an exported model has no inner layers.
        layer: `EMBEDDING`, or the name of a stage of the model ("blocks.3").
        pool: over what a stage's features are averaged: time and space, space, or nothing.

    Raises:
        WeightsError: the predictor is an exported model.
        UnknownNameError: the model has no such stage.
        ConfigError: the embedding has no positions to keep.
    """

    def __init__(self, predictor: Predictor, layer: str = EMBEDDING, pool: Pool = "all") -> None:
        module = predictor.source.module
        if not isinstance(module, VideoModel):
            raise WeightsError(
                f"{predictor.source.path}: features come from a run or checkpoint; "
                f"an exported model ({predictor.source.kind}) gives scores only"
            )
        if pool not in ("all", "time", "none"):
            raise ConfigError(f"pool = {pool!r}; legal values: all, time, none")
        stages = [stage.name for stage in module.feature_info]
        if layer != EMBEDDING and layer not in stages:
            raise UnknownNameError("layer", layer, [EMBEDDING, *stages])
        if layer == EMBEDDING and pool != "all":
            raise ConfigError(f"pool = {pool!r} needs the name of a stage: {', '.join(stages)}")
        self.predictor, self.layer, self.pool = predictor, layer, pool
        self._model = module

    def rows(
        self,
        video: str | Path,
        every: Fraction | float | str,
        *,
        window: Fraction | float | str | None = None,
    ) -> Iterator[FeatureRow]:
        """Features of each window of a video; windows and errors as in `Predictor.timeline`."""
        for clip, views in self.predictor.stream(video, every, window=window):
            features = torch.stack([self._features(view[None]) for view in views]).mean(0)
            yield FeatureRow(clip, features)

    def _features(self, video: Tensor) -> Tensor:
        device = next(self._model.parameters()).device
        clip = network_input(video.to(device), self.predictor.clip.pathways)
        with torch.inference_mode():
            value = self._embedding(clip) if self.layer == EMBEDDING else self._stage(clip)
        value = value.float().cpu()[0]
        if self.layer == EMBEDDING:
            return value.reshape(-1, value.shape[-1]).mean(0)
        if self.pool == "none":
            return value
        return value.mean((1, 2, 3) if self.pool == "all" else (2, 3))

    def _stage(self, clip: Any) -> Tensor:
        maps = self._model.stage_features(clip, self.layer)[self.layer]
        if len(maps) > 1:
            raise InputError(f"layer {self.layer} has several pathways; take {EMBEDDING}")
        return maps[0]

    def _embedding(self, clip: Any) -> Tensor:
        """What enters the classifying layer."""
        caught: list[Tensor] = []
        owner, attribute = self._model.head_linear()
        handle = getattr(owner, attribute).register_forward_hook(
            lambda module, inputs, output: caught.append(inputs[0])
        )
        try:
            self._model(clip)
        finally:
            handle.remove()
        return caught[-1]

    def facts(self) -> dict[str, Any]:
        """What the features depend on besides the video, as JSON values."""
        contract = to_json(self.predictor.source.contract)
        state = self._model.state_dict()
        digest = hashlib.sha256()
        for name in sorted(state):
            digest.update(name.encode())
            digest.update(state[name].cpu().contiguous().numpy().tobytes())
        return {
            "model": contract["model"],
            "weights": digest.hexdigest()[:16],
            "clip": contract["clip"],
            "pixels": contract["pixels"],
            "crops": self.predictor.views.crops,
            "layer": self.layer,
            "pool": self.pool,
        }


def write_features(
    extractor: FeatureExtractor,
    videos: Sequence[str | Path],
    out: str | Path,
    every: Fraction | float | str,
    *,
    window: Fraction | float | str | None = None,
) -> Iterator[tuple[Path, bool]]:
    """Writes one .npz file a video; memory does not grow with the length of a video.

    A file holds `features` (N rows), `start_s` and `end_s` (N, seconds), and `facts` (JSON text:
    model, hash of the weights, clip, pixels, layer, windows, the video's size). A file that is
    there already and has the same facts is left as it is, so an interrupted job goes on.

    Args:
        extractor: model and layer.
        videos: files or folders of frames; their names without suffix must differ.
        out: folder for the files; made when absent.
        every: seconds from one window to the next.
        window: seconds of a window; None takes the length of the model's clip.

    Yields:
        (file, whether it was written now) for each video.

    Raises:
        ConfigError: two videos would go to one file.
        DecodeError: a video cannot be read; the files before it are complete.
        RunError: a file cannot be written.
    """
    folder = Path(out)
    places = [folder / f"{Path(video).stem}.npz" for video in videos]
    twice = {place.name for place in places if places.count(place) > 1}
    if twice:
        raise ConfigError(f"several videos are named {sorted(twice)[0].removesuffix('.npz')}")
    shared = {
        **extractor.facts(),
        "every": str(to_seconds("every", every)),
        "window": None if window is None else str(to_seconds("window", window)),
    }
    for video, place in zip(videos, places, strict=True):
        facts = json.dumps({**shared, **_identity(video)}, sort_keys=True)
        if _facts_of(place) == facts:
            yield place, False
            continue
        try:
            with folder_of(place):
                _write(extractor, video, place, facts, every, window)
        except DecodeError:  # of the video; may be an OSError, too
            raise
        except OSError as error:
            raise RunError(f"{place}: cannot be written ({error.strerror or error}).") from error
        yield place, True


def _identity(video: str | Path) -> dict[str, Any]:
    path = Path(video)
    size = path.stat().st_size if path.is_file() else None
    return {"video": path.name, "bytes": size}


def _facts_of(place: Path) -> str | None:
    """The facts in a finished file; None if there is none."""
    try:
        with place.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            return str(file["facts"])
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        return None


def _write(
    extractor: FeatureExtractor,
    video: str | Path,
    place: Path,
    facts: str,
    every: Fraction | float | str,
    window: Fraction | float | str | None,
) -> None:
    """Writes row by row into a temporary file, which is renamed when it is complete."""
    count = _count(extractor.predictor, video, every, window)
    clips: list[tuple[float, float]] = []
    with replacing(place) as draft, zipfile.ZipFile(draft, "w", allowZip64=True) as archive:
        with archive.open("features.npy", "w", force_zip64=True) as stream:
            for row in extractor.rows(video, every, window=window):
                if not clips:
                    shape = (count, *row.features.shape)
                    npy.write_array_header_2_0(
                        stream, {"descr": "<f4", "fortran_order": False, "shape": shape}
                    )
                stream.write(row.features.numpy().astype("<f4").tobytes())
                clips.append((float(row.clip.start), float(row.clip.end)))
        assert len(clips) == count, f"{len(clips)} windows where {count} were planned"
        times = np.array(clips)
        _add(archive, "start_s", times[:, 0])
        _add(archive, "end_s", times[:, 1])
        _add(archive, "facts", np.array(facts))


def _count(
    predictor: Predictor,
    video: str | Path,
    every: Fraction | float | str,
    window: Fraction | float | str | None,
) -> int:
    with open_video(video) as film:
        length = (
            predictor.clip.duration(film.fps) if window is None else to_seconds("window", window)
        )
        return sum(1 for _ in plan_windows(film.duration, length, to_seconds("every", every)))


def _add(archive: zipfile.ZipFile, name: str, array: npt.NDArray[Any]) -> None:
    with archive.open(f"{name}.npy", "w") as stream:
        npy.write_array(stream, np.asarray(array, order="C"), allow_pickle=False)
