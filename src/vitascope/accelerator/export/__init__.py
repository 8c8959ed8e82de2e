"""Writing a trained model for other runtimes, checked against the original before it is kept."""

from __future__ import annotations

import copy
import dataclasses
import errno
import math
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from vitascope.accelerator.artifact import Artifact, Inputs, Packing, pathways
from vitascope.accelerator.export.target import TARGETS, ExportTarget, open_artifact, target_of
from vitascope.accelerator.verify import Verification, verify_export
from vitascope.errors import ConfigError, RunError, VerificationError, VitascopeError
from vitascope.files import draft_folder, folder_of, is_text, replacing
from vitascope.optional import require
from vitascope.spec import Contract

__all__ = [
    "TARGETS",
    "Artifact",
    "ExportTarget",
    "artifact_path",
    "export_model",
    "open_artifact",
    "require_target",
    "target_of",
]


def require_target(name: str) -> ExportTarget:
    """The target of that name, with everything it needs installed.

    Raises:
        UnknownNameError: there is no such target.
        MissingExtraError: a package is missing; the message names the pip extra.
    """
    target = TARGETS[name]
    for module in target.modules:
        require(module, extra=target.extra)
    return target


def artifact_path(path: str | Path, target: ExportTarget) -> Path:
    """Where an artifact goes: `path` itself if it has the right suffix, else `path`/model.suffix.

    Raises:
        ConfigError: `path` ends in the suffix of another target, or is not UTF-8.
    """
    path = Path(path)
    if not is_text(path):
        raise ConfigError(
            f"{path}: the name is not UTF-8, and {target.name} writes no such files. Give another "
            f"place (--out)"
        )
    others = {t.suffix for t in TARGETS.values()} - {target.suffix}
    if path.suffix in others:
        raise ConfigError(
            f"{path}: {target.name} writes {target.suffix} files. Name it "
            f"{path.with_suffix(target.suffix).name}, or give a folder."
        )
    return path if path.suffix == target.suffix else path / f"model{target.suffix}"


def export_model(
    model: nn.Module,
    contract: Contract,
    clips: Sequence[Inputs],
    path: str | Path,
    *,
    to: str,
    tolerance: float | None = None,
    repeats: int = 10,
) -> tuple[Path, Verification]:
    """Writes `model` for another runtime, runs both on `clips`, and keeps the file if they agree.

    The files are written into a hidden folder beside `path` and renamed into place after the
    check, so that nothing half-written and nothing wrong ever stands under `path`.

    A model of several pathways gets one input, as every other: the packing of the clip becomes
    part of the artifact. Clips that are lists make one input a pathway instead.

    Args:
        model: maps B C T H W (or a list, for pathways) to scores B N; it is copied, not changed.
        contract: classes, clip and pixels; it goes into the file.
        clips: real clips C T H W as the evaluation transform gives them (or lists of pathways).
            Their size becomes the size of the artifact's inputs; the batch dimension stays free.
        path: the file, or a folder in which it becomes `model` with the target's suffix.
        to: name of the target ("onnx").
        tolerance: replaces the target's own; see `ExportTarget.tolerance`.
        repeats: timed runs of each model.

    Returns:
        The path of the artifact, and what the check showed. If its `ok` is False the conversion
        was beyond tolerance and there is no file.

    Raises:
        UnknownNameError: no such target.
        MissingExtraError: a package is missing.
        VerificationError: no clips, a model that the target cannot express, outputs that differ
            in shape, or scores that are no numbers.
        RunError: the folder cannot be written.
    """
    target = require_target(to)
    path = artifact_path(path, target)
    if not clips:
        raise VerificationError("a conversion is checked on real clips, and there are none")
    plain = copy.deepcopy(model).cpu().float().eval().requires_grad_(False)
    if contract.clip.pathways and isinstance(clips[0], Tensor):
        plain = Packing(plain, contract.clip.pathways)
    example = [video.unsqueeze(0).repeat(2, 1, 1, 1, 1) for video in pathways(clips[0])]
    try:
        with folder_of(path), draft_folder(path) as folder:
            draft = folder / path.name
            _write(target, plain, example, contract, draft)
            files = [file for file in folder.iterdir() if file.is_file()]
            allowed = target.tolerance if tolerance is None else tolerance
            checked = verify_export(
                plain,
                target.open(draft, trust=True),
                clips,
                tolerance=allowed,
                target=to,
                repeats=repeats,
            )
            checked = dataclasses.replace(
                checked,
                size_bytes=sum(file.stat().st_size for file in files),
                size_bytes_before=sum(
                    t.numel() * t.element_size() for t in plain.state_dict().values()
                ),
            )
            if not math.isfinite(checked.max_abs_diff):
                raise VerificationError(
                    f"{contract.model} or its {to} form gives scores that are no numbers (NaN); "
                    f"nothing was written. Export another checkpoint of the run"
                )
            if checked.ok:
                _into_place(files, path)
    except OSError as error:
        raise RunError(
            f"{path}: cannot be written ({error.strerror or error}). Make room, or "
            f"give another place"
        ) from error
    return path, checked


_ROOM = 2**16  # bytes; a disk with less is full


def _write(
    target: ExportTarget,
    model: nn.Module,
    example: Sequence[Tensor],
    contract: Contract,
    path: Path,
) -> None:
    try:
        with torch.no_grad():
            target.write(model, example[0] if len(example) == 1 else example, contract, path)
    except VitascopeError:
        raise
    except RuntimeError as error:  # what torch.export and the converters raise
        # Written in C++, where a full disk is an error of the stream and no more.
        if "iostream error" in str(error) or shutil.disk_usage(path.parent).free < _ROOM:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error
        reason = next((line for line in str(error).splitlines() if line.strip()), repr(error))
        raise VerificationError(
            f"{type(model).__name__} ({contract.model}) cannot be converted to {target.name}: "
            f"{reason.strip()}"
        ) from error


def _into_place(files: Sequence[Path], path: Path) -> None:
    """Moves the artifact's files into place, the one that names it last.

    An older artifact of that name is taken away first: its main file beside the new companion
    would be a pair that does not belong together. Devices and pipes stay what they are, and a pair
    cannot go into them.

    Raises:
        RunError: one of several files would go into a device or a pipe.
    """
    companions = [file for file in files if file.name != path.name]
    for name in (path.name, *(file.name for file in companions)) if companions else ():
        place = path.parent / name
        if place.exists() and not place.is_file():
            raise RunError(
                f"{place}: is no file, and this target writes {len(files)} files. Give another path"
            )
    if companions:
        Path(os.path.realpath(path)).unlink(missing_ok=True)  # where it is a link, the link stays
    (main,) = (file for file in files if file.name == path.name)
    for file in (*companions, main):
        with replacing(path.parent / file.name) as draft:
            shutil.move(file, draft)
