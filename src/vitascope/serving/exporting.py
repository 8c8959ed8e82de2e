"""A trained run for another runtime, compared on real clips of its own data."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from vitascope.accelerator.export import require_target
from vitascope.accelerator.verify import Verification
from vitascope.data.tables.read import read_table
from vitascope.errors import ConfigError, DatasetError
from vitascope.serving.history import note_export
from vitascope.serving.predictor import load

# Real clips that go through both models; taken from the test videos, evenly over the list.
CLIPS = 16


@dataclass(frozen=True)
class Exported:
    """An exported model.

    Attributes:
        path: what was written; None where the check failed, and then nothing was.
        verification: how far it agrees with the run.
        clips: the videos that both saw.
    """

    path: Path | None
    verification: Verification
    clips: tuple[str, ...]


def export(
    run: str | Path,
    to: str = "onnx",
    *,
    path: str | Path | None = None,
    data: str | Path | None = None,
    tolerance: float | None = None,
    on_begin: Callable[[Sequence[str]], None] = lambda clips: None,
) -> Exported:
    """Writes a trained model for another runtime and compares both on real clips.

    The report of a run shows it.

    Args:
        run: run folder or checkpoint.
        to: export target ("onnx", "openvino", "torch.export").
        path: file or folder to write; None writes into the run.
        data: videos to compare on; None takes test, validation or training videos of the run.
        tolerance: largest difference as a share of the scores; None takes the target's own.
        on_begin: called with the videos before they go through the models.

    Raises:
        WeightsError: there is no sound model, or it is an exported one.
        MissingExtraError: the target needs a package that is not installed.
        VitascopeError: there are no videos to compare on, or one cannot be read.
    """
    require_target(to)
    predictor = load(run)
    videos = find_clips(run, data)
    on_begin(videos)
    place = path or (run if os.path.isdir(run) else os.path.dirname(run) or ".")
    written, checked = predictor.export(to, videos, place, tolerance=tolerance)
    if checked.ok:
        note_export(run, written, checked)
    return Exported(written if checked.ok else None, checked, tuple(videos))


def find_clips(run: str | Path, data: str | Path | None = None) -> list[str]:
    """Up to `CLIPS` videos to compare on: of `data`, else of the run's test or validation split.

    Raises:
        VitascopeError: there are none, or they are no longer where they were.
    """
    folder = Path(run) if os.path.isdir(run) else Path(run).parent
    if data is None and not (folder / "split.csv").is_file():
        raise ConfigError(
            f"{folder} does not say on which videos it was trained; give videos to compare on "
            "(--data DATA)"
        )
    try:
        table = read_table(data or folder / "split.csv", labeled=False)
    except DatasetError as error:
        if data is not None:
            raise
        raise DatasetError(f"{error}. Or give other videos with --data DATA") from error
    for split in ("test", "val", "train"):
        if split in table.splits:
            paths = [record.path for record in table.of(split)]
            break
    else:
        paths = [record.path for record in table.records]
    paths = list(dict.fromkeys(paths))
    step = max(len(paths) / CLIPS, 1)
    return [paths[int(i * step)] for i in range(min(CLIPS, len(paths)))]
